-- One row ends all that hangs on it. A floor is the time before which other issuers' tokens are ended, and the number that
-- keys and user secrets have to be made under, beside the generation that sessions have.
ALTER TABLE tenant ADD COLUMN tokens_from bigint NOT NULL DEFAULT 0, ADD COLUMN credentials bigint NOT NULL DEFAULT 1;
ALTER TABLE organization ADD COLUMN tokens_from bigint NOT NULL DEFAULT 0, ADD COLUMN credentials bigint NOT NULL DEFAULT 1;
ALTER TABLE account ADD COLUMN tokens_from bigint NOT NULL DEFAULT 0, ADD COLUMN credentials bigint NOT NULL DEFAULT 1;
ALTER TABLE member ADD COLUMN tokens_from bigint NOT NULL DEFAULT 0, ADD COLUMN credentials bigint NOT NULL DEFAULT 1;

ALTER TABLE api_key ADD COLUMN tenant_credentials bigint NOT NULL DEFAULT 1,
    ADD COLUMN org_credentials bigint NOT NULL DEFAULT 1;
ALTER TABLE user_secret ADD COLUMN tenant_credentials bigint NOT NULL DEFAULT 1,
    ADD COLUMN org_credentials bigint NOT NULL DEFAULT 1,
    ADD COLUMN account_credentials bigint NOT NULL DEFAULT 1,
    ADD COLUMN member_credentials bigint NOT NULL DEFAULT 1;

-- A user's secrets, by the user.
CREATE INDEX user_secret_by_account ON user_secret (tenant_id, account_id, api);

GRANT SELECT (credentials) ON account TO claviger_rt;

-- No job reaches into a tenant's links any more.
DROP POLICY named_job ON foreign_identity;
CREATE POLICY named_job ON foreign_identity FOR SELECT TO claviger_system USING (true);
REVOKE UPDATE (not_before) ON foreign_identity FROM claviger_system;

-- After a restore every tenant's sessions and tokens are ended.
CREATE POLICY named_job_ends ON tenant FOR UPDATE TO claviger_system USING (true);
GRANT UPDATE (generation, tokens_from) ON tenant TO claviger_system;
