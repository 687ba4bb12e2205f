-- When a user's token was last used, and from where.
CREATE TABLE user_secret_use (
    tenant_id uuid NOT NULL,
    kid text NOT NULL,
    used_at bigint NOT NULL,
    address text,
    PRIMARY KEY (tenant_id, kid),
    FOREIGN KEY (tenant_id, kid) REFERENCES user_secret (tenant_id, kid)
);
ALTER TABLE user_secret_use ENABLE ROW LEVEL SECURITY;
ALTER TABLE user_secret_use FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON user_secret_use TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
CREATE POLICY named_job ON user_secret_use FOR SELECT TO claviger_system USING (true);
CREATE POLICY named_job_adds ON user_secret_use FOR INSERT TO claviger_system WITH CHECK (true);
CREATE POLICY named_job_ends ON user_secret_use FOR UPDATE TO claviger_system USING (true);
GRANT SELECT ON user_secret_use TO claviger_rt;
GRANT SELECT ON user_secret_use TO claviger_system;
GRANT INSERT ON user_secret_use TO claviger_system;
GRANT UPDATE ON user_secret_use TO claviger_system;
