-- When a secret of a key was last used, and from where.
CREATE TABLE key_secret_use (
    tenant_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    used_at INTEGER NOT NULL,
    address TEXT,
    PRIMARY KEY (tenant_id, digest),
    FOREIGN KEY (tenant_id, digest) REFERENCES key_secret (tenant_id, digest)
) STRICT;
