-- What an operator has asked for under a key of their own, and what the answer was, without secrets.
CREATE TABLE idempotency (
    owner TEXT NOT NULL,
    key_digest BLOB NOT NULL,
    request_digest BLOB NOT NULL,
    answer TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (owner, key_digest)
) STRICT;
CREATE INDEX idempotency_by_age ON idempotency (created_at);
-- By what people find things.
CREATE INDEX tenant_by_name ON tenant (realm, name);
CREATE INDEX organization_by_name ON organization (tenant_id, name);
CREATE INDEX api_key_by_time ON api_key (tenant_id, created_at, key_id);
CREATE INDEX api_key_by_name ON api_key (tenant_id, name);
CREATE INDEX key_secret_by_end ON key_secret (last_four);
