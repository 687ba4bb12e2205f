-- The refresh token of a session: digests of the good one and of the one before. `direct` began with a password.
CREATE TABLE refresh_token (
    tenant_id uuid NOT NULL,
    session_id uuid NOT NULL,
    digest bytea NOT NULL,
    used_digest bytea,
    sequence bigint NOT NULL DEFAULT 1,
    used_at bigint,
    direct bigint NOT NULL DEFAULT 0 CHECK (direct IN (0, 1)),
    created_at bigint NOT NULL,
    PRIMARY KEY (tenant_id, session_id),
    FOREIGN KEY (tenant_id, session_id) REFERENCES session (tenant_id, session_id)
);
ALTER TABLE refresh_token ENABLE ROW LEVEL SECURITY;
ALTER TABLE refresh_token FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON refresh_token TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
GRANT SELECT ON refresh_token TO claviger_rt;
GRANT INSERT ON refresh_token TO claviger_rt;
GRANT UPDATE ON refresh_token TO claviger_rt;

-- How often an address was tried from a block of the network without success. `whose` is a MAC: nobody reads addresses here.
CREATE TABLE sign_in_failure (
    whose bytea NOT NULL,
    tries bigint NOT NULL,
    since bigint NOT NULL,
    PRIMARY KEY (whose)
);
CREATE INDEX sign_in_failure_by_age ON sign_in_failure (since);
GRANT SELECT ON sign_in_failure TO claviger_system;
GRANT INSERT ON sign_in_failure TO claviger_system;
GRANT UPDATE ON sign_in_failure TO claviger_system;
GRANT DELETE ON sign_in_failure TO claviger_system;
