-- The refresh token of a session: digests of the good one and of the one before. `direct` began with a password.
CREATE TABLE refresh_token (
    tenant_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    used_digest BLOB,
    sequence INTEGER NOT NULL DEFAULT 1,
    used_at INTEGER,
    direct INTEGER NOT NULL DEFAULT 0 CHECK (direct IN (0, 1)),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, session_id),
    FOREIGN KEY (tenant_id, session_id) REFERENCES session (tenant_id, session_id)
) STRICT;

-- How often an address was tried from a block of the network without success. `whose` is a MAC: nobody reads addresses here.
CREATE TABLE sign_in_failure (
    whose BLOB NOT NULL,
    tries INTEGER NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (whose)
) STRICT;
CREATE INDEX sign_in_failure_by_age ON sign_in_failure (since);
