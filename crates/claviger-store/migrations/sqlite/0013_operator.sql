-- Somebody who operates this server. `realms` and `tenants` bind them to these, where they are given.
CREATE TABLE operator (
    operator_id TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('reader', 'support', 'owner')),
    realms TEXT,
    tenants TEXT,
    token_digest BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    PRIMARY KEY (operator_id),
    UNIQUE (token_digest)
) STRICT;
CREATE UNIQUE INDEX operator_by_name ON operator (name) WHERE ended_at IS NULL;
