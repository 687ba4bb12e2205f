-- One row ends all that hangs on it. A floor is the time before which other issuers' tokens are ended, and the number that
-- keys and user secrets have to be made under, beside the generation that sessions have.
ALTER TABLE tenant ADD COLUMN tokens_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenant ADD COLUMN credentials INTEGER NOT NULL DEFAULT 1;
ALTER TABLE organization ADD COLUMN tokens_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE organization ADD COLUMN credentials INTEGER NOT NULL DEFAULT 1;
ALTER TABLE account ADD COLUMN tokens_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN credentials INTEGER NOT NULL DEFAULT 1;
ALTER TABLE member ADD COLUMN tokens_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE member ADD COLUMN credentials INTEGER NOT NULL DEFAULT 1;

ALTER TABLE api_key ADD COLUMN tenant_credentials INTEGER NOT NULL DEFAULT 1;
ALTER TABLE api_key ADD COLUMN org_credentials INTEGER NOT NULL DEFAULT 1;
ALTER TABLE user_secret ADD COLUMN tenant_credentials INTEGER NOT NULL DEFAULT 1;
ALTER TABLE user_secret ADD COLUMN org_credentials INTEGER NOT NULL DEFAULT 1;
ALTER TABLE user_secret ADD COLUMN account_credentials INTEGER NOT NULL DEFAULT 1;
ALTER TABLE user_secret ADD COLUMN member_credentials INTEGER NOT NULL DEFAULT 1;

-- A user's secrets, by the user.
CREATE INDEX user_secret_by_account ON user_secret (tenant_id, account_id, api);
