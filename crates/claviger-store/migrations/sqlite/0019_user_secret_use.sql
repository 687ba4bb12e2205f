-- When a user's token was last used, and from where.
CREATE TABLE user_secret_use (
    tenant_id TEXT NOT NULL,
    kid TEXT NOT NULL,
    used_at INTEGER NOT NULL,
    address TEXT,
    PRIMARY KEY (tenant_id, kid),
    FOREIGN KEY (tenant_id, kid) REFERENCES user_secret (tenant_id, kid)
) STRICT;
