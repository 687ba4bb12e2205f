-- Somebody who operates this server. `realms` and `tenants` bind them to these, where they are given.
CREATE TABLE operator (
    operator_id uuid NOT NULL,
    name text NOT NULL,
    role text NOT NULL CHECK (role IN ('reader', 'support', 'owner')),
    realms text,
    tenants text,
    token_digest bytea NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    ended_at bigint,
    PRIMARY KEY (operator_id),
    UNIQUE (token_digest)
);
CREATE UNIQUE INDEX operator_by_name ON operator (name) WHERE ended_at IS NULL;
GRANT SELECT ON operator TO claviger_system;
GRANT INSERT ON operator TO claviger_system;
GRANT UPDATE (ended_at) ON operator TO claviger_system;
