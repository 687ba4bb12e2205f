-- What an operator has asked for under a key of their own, and what the answer was, without secrets.
CREATE TABLE idempotency (
    owner text NOT NULL,
    key_digest bytea NOT NULL,
    request_digest bytea NOT NULL,
    answer text,
    created_at bigint NOT NULL,
    PRIMARY KEY (owner, key_digest)
);
CREATE INDEX idempotency_by_age ON idempotency (created_at);
GRANT SELECT ON idempotency TO claviger_system;
GRANT INSERT ON idempotency TO claviger_system;
GRANT UPDATE ON idempotency TO claviger_system;
GRANT DELETE ON idempotency TO claviger_system;
