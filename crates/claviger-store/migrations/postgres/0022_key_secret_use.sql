-- When a secret of a key was last used, and from where.
CREATE TABLE key_secret_use (
    tenant_id uuid NOT NULL,
    digest bytea NOT NULL,
    used_at bigint NOT NULL,
    address text,
    PRIMARY KEY (tenant_id, digest),
    FOREIGN KEY (tenant_id, digest) REFERENCES key_secret (tenant_id, digest)
);
ALTER TABLE key_secret_use ENABLE ROW LEVEL SECURITY;
ALTER TABLE key_secret_use FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON key_secret_use TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
CREATE POLICY named_job ON key_secret_use FOR SELECT TO claviger_system USING (true);
CREATE POLICY named_job_adds ON key_secret_use FOR INSERT TO claviger_system WITH CHECK (true);
CREATE POLICY named_job_ends ON key_secret_use FOR UPDATE TO claviger_system USING (true);
GRANT SELECT ON key_secret_use TO claviger_rt;
GRANT SELECT ON key_secret_use TO claviger_system;
GRANT INSERT ON key_secret_use TO claviger_system;
GRANT UPDATE ON key_secret_use TO claviger_system;
