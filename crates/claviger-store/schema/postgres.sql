-- The tables of all nouns, as they are after the last migration: made from the declarations, and compared with what the
-- migrations make. Nothing runs this.

-- A population of tenants and accounts, and what they sign in to.
CREATE TABLE realm (
    name text NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (name)
);
GRANT SELECT ON realm TO claviger_rt;
GRANT SELECT ON realm TO claviger_system;
GRANT INSERT ON realm TO claviger_system;

-- A realm's tariffs.
CREATE TABLE plan (
    realm text NOT NULL,
    name text NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (realm, name),
    FOREIGN KEY (realm) REFERENCES realm (name)
);
GRANT SELECT ON plan TO claviger_rt;
GRANT SELECT ON plan TO claviger_system;
GRANT INSERT ON plan TO claviger_system;

-- A person. `email_key` is the address folded for comparison; who is `self_registered` gave it themselves. `email_since` is when it took the place of another one.
CREATE TABLE account (
    account_id uuid NOT NULL,
    realm text NOT NULL,
    email text NOT NULL,
    email_key text NOT NULL,
    password_hash text,
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'deleted')),
    email_verified bigint NOT NULL DEFAULT 0 CHECK (email_verified IN (0, 1)),
    created_at bigint NOT NULL,
    generation bigint NOT NULL DEFAULT 1,
    tokens_from bigint NOT NULL DEFAULT 0,
    credentials bigint NOT NULL DEFAULT 1,
    self_registered bigint NOT NULL DEFAULT 0 CHECK (self_registered IN (0, 1)),
    email_since bigint,
    row_version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (account_id),
    UNIQUE (realm, email_key),
    FOREIGN KEY (realm) REFERENCES realm (name)
);
CREATE TRIGGER account_updated BEFORE UPDATE ON account FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE TRIGGER account_changed AFTER INSERT OR UPDATE ON account FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION note_change();
GRANT SELECT (account_id, realm, email, email_key, state, email_verified, generation, credentials, created_at, self_registered, email_since) ON account TO claviger_rt;
GRANT INSERT (account_id, realm, email, email_key, password_hash, created_at, self_registered, email_verified) ON account TO claviger_rt;
GRANT SELECT ON account TO claviger_system;
GRANT INSERT ON account TO claviger_system;
GRANT UPDATE ON account TO claviger_system;

-- One customer. `data_key` is sealed under the keyring.
CREATE TABLE tenant (
    tenant_id uuid NOT NULL,
    realm text NOT NULL,
    name text NOT NULL,
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'deleted')),
    plan text NOT NULL,
    requires_identity_headers bigint NOT NULL DEFAULT 0 CHECK (requires_identity_headers IN (0, 1)),
    data_key bytea NOT NULL,
    created_at bigint NOT NULL,
    generation bigint NOT NULL DEFAULT 1,
    tokens_from bigint NOT NULL DEFAULT 0,
    credentials bigint NOT NULL DEFAULT 1,
    requires_direct_sign_in bigint NOT NULL DEFAULT 0 CHECK (requires_direct_sign_in IN (0, 1)),
    owner_id uuid,
    row_version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id),
    FOREIGN KEY (realm) REFERENCES realm (name),
    FOREIGN KEY (realm, plan) REFERENCES plan (realm, name)
);
CREATE INDEX tenant_by_realm ON tenant (realm, created_at, tenant_id);
CREATE INDEX tenant_by_name ON tenant (realm, name);
CREATE TRIGGER tenant_updated BEFORE UPDATE ON tenant FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE TRIGGER tenant_changed AFTER INSERT OR UPDATE ON tenant FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION note_change();
ALTER TABLE tenant ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON tenant TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
CREATE POLICY named_job ON tenant FOR SELECT TO claviger_system USING (true);
CREATE POLICY named_job_ends ON tenant FOR UPDATE TO claviger_system USING (true);
CREATE POLICY backfill ON tenant TO claviger_owner USING (current_setting('claviger.backfill', true) = 'on');
GRANT SELECT ON tenant TO claviger_rt;
GRANT INSERT ON tenant TO claviger_rt;
GRANT UPDATE ON tenant TO claviger_rt;
GRANT SELECT ON tenant TO claviger_system;
GRANT UPDATE (generation, tokens_from) ON tenant TO claviger_system;

-- A part of a tenant with members of its own.
CREATE TABLE organization (
    tenant_id uuid NOT NULL,
    org_id uuid NOT NULL,
    name text NOT NULL,
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'deleted')),
    created_at bigint NOT NULL,
    generation bigint NOT NULL DEFAULT 1,
    tokens_from bigint NOT NULL DEFAULT 0,
    credentials bigint NOT NULL DEFAULT 1,
    row_version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, org_id),
    FOREIGN KEY (tenant_id) REFERENCES tenant (tenant_id)
);
CREATE INDEX organization_by_name ON organization (tenant_id, name);
CREATE TRIGGER organization_updated BEFORE UPDATE ON organization FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE TRIGGER organization_changed AFTER INSERT OR UPDATE ON organization FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION note_change();
ALTER TABLE organization ENABLE ROW LEVEL SECURITY;
ALTER TABLE organization FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON organization TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
CREATE POLICY named_job ON organization FOR SELECT TO claviger_system USING (true);
CREATE POLICY backfill ON organization TO claviger_owner USING (current_setting('claviger.backfill', true) = 'on');
GRANT SELECT ON organization TO claviger_rt;
GRANT INSERT ON organization TO claviger_rt;
GRANT UPDATE ON organization TO claviger_rt;
GRANT SELECT ON organization TO claviger_system;

-- An account in an organization.
CREATE TABLE member (
    tenant_id uuid NOT NULL,
    org_id uuid NOT NULL,
    account_id uuid NOT NULL,
    role text NOT NULL,
    state text NOT NULL CHECK (state IN ('invited', 'active', 'suspended', 'removed')),
    created_at bigint NOT NULL,
    generation bigint NOT NULL DEFAULT 1,
    tokens_from bigint NOT NULL DEFAULT 0,
    credentials bigint NOT NULL DEFAULT 1,
    row_version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, org_id, account_id),
    FOREIGN KEY (account_id) REFERENCES account (account_id),
    FOREIGN KEY (tenant_id, org_id) REFERENCES organization (tenant_id, org_id)
);
CREATE INDEX member_by_account ON member (account_id);
CREATE TRIGGER member_updated BEFORE UPDATE ON member FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE TRIGGER member_changed AFTER INSERT OR UPDATE ON member FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION note_change();
ALTER TABLE member ENABLE ROW LEVEL SECURITY;
ALTER TABLE member FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON member TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
CREATE POLICY named_job ON member FOR SELECT TO claviger_system USING (true);
CREATE POLICY backfill ON member TO claviger_owner USING (current_setting('claviger.backfill', true) = 'on');
GRANT SELECT ON member TO claviger_rt;
GRANT INSERT ON member TO claviger_rt;
GRANT UPDATE ON member TO claviger_rt;
GRANT SELECT ON member TO claviger_system;

-- Somebody is signed in, in one organization, under the generations of that moment.
CREATE TABLE session (
    tenant_id uuid NOT NULL,
    session_id uuid NOT NULL,
    org_id uuid NOT NULL,
    account_id uuid NOT NULL,
    ended bigint NOT NULL DEFAULT 0 CHECK (ended IN (0, 1)),
    expires_at bigint NOT NULL,
    tenant_generation bigint NOT NULL,
    org_generation bigint NOT NULL,
    account_generation bigint NOT NULL,
    member_generation bigint NOT NULL,
    created_at bigint NOT NULL,
    row_version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, session_id),
    FOREIGN KEY (tenant_id, org_id, account_id) REFERENCES member (tenant_id, org_id, account_id)
);
CREATE INDEX session_by_account ON session (tenant_id, account_id);
CREATE TRIGGER session_updated BEFORE UPDATE ON session FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE TRIGGER session_changed AFTER INSERT OR UPDATE ON session FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION note_change();
ALTER TABLE session ENABLE ROW LEVEL SECURITY;
ALTER TABLE session FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON session TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
CREATE POLICY named_job ON session FOR SELECT TO claviger_system USING (true);
CREATE POLICY backfill ON session TO claviger_owner USING (current_setting('claviger.backfill', true) = 'on');
GRANT SELECT ON session TO claviger_rt;
GRANT INSERT ON session TO claviger_rt;
GRANT UPDATE ON session TO claviger_rt;
GRANT SELECT ON session TO claviger_system;

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

-- Mail to be sent, sealed: nobody reads addresses or links here.
CREATE TABLE mail (
    mail_id uuid NOT NULL,
    sealed bytea NOT NULL,
    tries bigint NOT NULL DEFAULT 0,
    due_at bigint NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (mail_id)
);
CREATE INDEX mail_by_due ON mail (due_at);
GRANT INSERT (mail_id, sealed, due_at, created_at) ON mail TO claviger_rt;
GRANT SELECT ON mail TO claviger_system;
GRANT INSERT ON mail TO claviger_system;
GRANT UPDATE ON mail TO claviger_system;
GRANT DELETE ON mail TO claviger_system;

-- A link that was mailed, by the digest of its secret. `whose` is a MAC of the address; a sign-up, or the address that another one is changed for, is sealed until it is proven.
CREATE TABLE proof (
    digest bytea NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('sign-up', 'verify', 'reset', 'change')),
    whose bytea NOT NULL,
    account_id uuid,
    sealed bytea,
    mail_id uuid NOT NULL,
    expires_at bigint NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (digest),
    FOREIGN KEY (account_id) REFERENCES account (account_id)
);
CREATE INDEX proof_by_whose ON proof (whose, purpose, created_at);
CREATE INDEX proof_by_mail ON proof (mail_id);
CREATE INDEX proof_by_age ON proof (expires_at);
GRANT SELECT ON proof TO claviger_system;
GRANT INSERT ON proof TO claviger_system;
GRANT UPDATE ON proof TO claviger_system;
GRANT DELETE ON proof TO claviger_system;

-- An invitation that was mailed, by the digest of its secret.
CREATE TABLE invitation (
    tenant_id uuid NOT NULL,
    org_id uuid NOT NULL,
    account_id uuid NOT NULL,
    digest bytea NOT NULL,
    expires_at bigint NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (tenant_id, org_id, account_id),
    FOREIGN KEY (tenant_id, org_id, account_id) REFERENCES member (tenant_id, org_id, account_id)
);
CREATE UNIQUE INDEX invitation_by_digest ON invitation (tenant_id, digest);
ALTER TABLE invitation ENABLE ROW LEVEL SECURITY;
ALTER TABLE invitation FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON invitation TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
GRANT SELECT ON invitation TO claviger_rt;
GRANT INSERT ON invitation TO claviger_rt;
GRANT UPDATE ON invitation TO claviger_rt;
GRANT DELETE ON invitation TO claviger_rt;

-- `networks` NULL is from anywhere, an empty text from nowhere. A disabled key is suspended, a revoked one deleted.
CREATE TABLE api_key (
    tenant_id uuid NOT NULL,
    key_id uuid NOT NULL,
    org_id uuid NOT NULL,
    name text NOT NULL,
    prefix text NOT NULL,
    environment text NOT NULL CHECK (environment IN ('live', 'test')),
    grants text NOT NULL,
    networks text,
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'deleted')),
    expires_at bigint,
    created_at bigint NOT NULL,
    tenant_credentials bigint NOT NULL DEFAULT 1,
    org_credentials bigint NOT NULL DEFAULT 1,
    row_version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, key_id),
    FOREIGN KEY (tenant_id, org_id) REFERENCES organization (tenant_id, org_id)
);
CREATE INDEX api_key_by_org ON api_key (tenant_id, org_id, created_at);
CREATE INDEX api_key_by_time ON api_key (tenant_id, created_at, key_id);
CREATE INDEX api_key_by_name ON api_key (tenant_id, name);
CREATE TRIGGER api_key_updated BEFORE UPDATE ON api_key FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE TRIGGER api_key_changed AFTER UPDATE ON api_key FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_secret_versions();
ALTER TABLE api_key ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_key FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON api_key TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
CREATE POLICY named_job ON api_key FOR SELECT TO claviger_system USING (true);
CREATE POLICY backfill ON api_key TO claviger_owner USING (current_setting('claviger.backfill', true) = 'on');
GRANT SELECT ON api_key TO claviger_rt;
GRANT INSERT ON api_key TO claviger_rt;
GRANT UPDATE ON api_key TO claviger_rt;
GRANT SELECT ON api_key TO claviger_system;

-- A key's secrets. `slot` says which one a rotation made and which one it put aside.
CREATE TABLE key_secret (
    tenant_id uuid NOT NULL,
    digest bytea NOT NULL,
    key_id uuid NOT NULL,
    slot text NOT NULL CHECK (slot IN ('current', 'old')),
    pepper text NOT NULL,
    prefix text NOT NULL,
    last_four text NOT NULL,
    expires_at bigint,
    revoked bigint NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)),
    created_at bigint NOT NULL,
    row_version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, digest),
    FOREIGN KEY (tenant_id, key_id) REFERENCES api_key (tenant_id, key_id)
);
CREATE INDEX key_secret_by_digest ON key_secret (digest);
CREATE INDEX key_secret_by_key ON key_secret (tenant_id, key_id);
CREATE INDEX key_secret_by_end ON key_secret (last_four);
CREATE UNIQUE INDEX key_secret_current ON key_secret (tenant_id, key_id) WHERE slot = 'current' AND revoked = 0;
CREATE TRIGGER key_secret_updated BEFORE UPDATE ON key_secret FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE TRIGGER key_secret_changed AFTER INSERT OR UPDATE ON key_secret FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION note_change();
ALTER TABLE key_secret ENABLE ROW LEVEL SECURITY;
ALTER TABLE key_secret FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON key_secret TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
CREATE POLICY named_job ON key_secret FOR SELECT TO claviger_system USING (true);
CREATE POLICY backfill ON key_secret TO claviger_owner USING (current_setting('claviger.backfill', true) = 'on');
GRANT SELECT ON key_secret TO claviger_rt;
GRANT INSERT ON key_secret TO claviger_rt;
GRANT UPDATE ON key_secret TO claviger_rt;
GRANT SELECT ON key_secret TO claviger_system;

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

-- What signs one user's tokens for one API, sealed.
CREATE TABLE user_secret (
    tenant_id uuid NOT NULL,
    kid text NOT NULL,
    api text NOT NULL,
    org_id uuid NOT NULL,
    account_id uuid NOT NULL,
    sealed_secret bytea NOT NULL,
    version bigint NOT NULL,
    revoked bigint NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)),
    created_at bigint NOT NULL,
    tenant_credentials bigint NOT NULL DEFAULT 1,
    org_credentials bigint NOT NULL DEFAULT 1,
    account_credentials bigint NOT NULL DEFAULT 1,
    member_credentials bigint NOT NULL DEFAULT 1,
    row_version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, kid),
    FOREIGN KEY (tenant_id, org_id, account_id) REFERENCES member (tenant_id, org_id, account_id)
);
CREATE INDEX user_secret_by_kid ON user_secret (kid);
CREATE INDEX user_secret_by_account ON user_secret (tenant_id, account_id, api);
CREATE UNIQUE INDEX user_secret_live ON user_secret (tenant_id, api, account_id) WHERE revoked = 0;
CREATE TRIGGER user_secret_updated BEFORE UPDATE ON user_secret FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE TRIGGER user_secret_changed AFTER INSERT OR UPDATE ON user_secret FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION note_change();
ALTER TABLE user_secret ENABLE ROW LEVEL SECURITY;
ALTER TABLE user_secret FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON user_secret TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
CREATE POLICY named_job ON user_secret FOR SELECT TO claviger_system USING (true);
CREATE POLICY backfill ON user_secret TO claviger_owner USING (current_setting('claviger.backfill', true) = 'on');
GRANT SELECT ON user_secret TO claviger_rt;
GRANT INSERT ON user_secret TO claviger_rt;
GRANT UPDATE ON user_secret TO claviger_rt;
GRANT SELECT ON user_secret TO claviger_system;

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

-- A foreign issuer's subject, and whom it stands for in the tenant.
CREATE TABLE foreign_identity (
    tenant_id uuid NOT NULL,
    issuer text NOT NULL,
    subject text NOT NULL,
    account_id uuid NOT NULL,
    linked bigint NOT NULL DEFAULT 1 CHECK (linked IN (0, 1)),
    not_before bigint NOT NULL DEFAULT 0,
    created_at bigint NOT NULL,
    row_version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, issuer, subject),
    FOREIGN KEY (tenant_id) REFERENCES tenant (tenant_id),
    FOREIGN KEY (account_id) REFERENCES account (account_id)
);
CREATE INDEX foreign_identity_by_account ON foreign_identity (account_id);
CREATE TRIGGER foreign_identity_updated BEFORE UPDATE ON foreign_identity FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE TRIGGER foreign_identity_changed AFTER INSERT OR UPDATE ON foreign_identity FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION note_change();
ALTER TABLE foreign_identity ENABLE ROW LEVEL SECURITY;
ALTER TABLE foreign_identity FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON foreign_identity TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
CREATE POLICY named_job ON foreign_identity FOR SELECT TO claviger_system USING (true);
CREATE POLICY backfill ON foreign_identity TO claviger_owner USING (current_setting('claviger.backfill', true) = 'on');
GRANT SELECT ON foreign_identity TO claviger_rt;
GRANT INSERT ON foreign_identity TO claviger_rt;
GRANT UPDATE ON foreign_identity TO claviger_rt;
GRANT SELECT ON foreign_identity TO claviger_system;

-- What others call something of a tenant's, and keep beside it.
CREATE TABLE annotation (
    tenant_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('tenant', 'organization', 'member', 'key')),
    entity text NOT NULL,
    external_id text,
    metadata text NOT NULL DEFAULT '{}',
    created_at bigint NOT NULL,
    row_version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, kind, entity),
    FOREIGN KEY (tenant_id) REFERENCES tenant (tenant_id)
);
CREATE UNIQUE INDEX annotation_external ON annotation (tenant_id, kind, external_id) WHERE external_id IS NOT NULL;
CREATE TRIGGER annotation_updated BEFORE UPDATE ON annotation FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE TRIGGER annotation_changed AFTER INSERT OR UPDATE ON annotation FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION note_change();
ALTER TABLE annotation ENABLE ROW LEVEL SECURITY;
ALTER TABLE annotation FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON annotation TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
CREATE POLICY named_job ON annotation FOR SELECT TO claviger_system USING (true);
CREATE POLICY named_job_adds ON annotation FOR INSERT TO claviger_system WITH CHECK (true);
CREATE POLICY named_job_ends ON annotation FOR UPDATE TO claviger_system USING (true);
CREATE POLICY backfill ON annotation TO claviger_owner USING (current_setting('claviger.backfill', true) = 'on');
GRANT SELECT ON annotation TO claviger_rt;
GRANT INSERT ON annotation TO claviger_rt;
GRANT UPDATE ON annotation TO claviger_rt;
GRANT SELECT ON annotation TO claviger_system;
GRANT INSERT ON annotation TO claviger_system;
GRANT UPDATE ON annotation TO claviger_system;

-- Which external ids of a realm's tenants are taken, and by whom.
CREATE TABLE tenant_external_id (
    realm text NOT NULL,
    external_id text NOT NULL,
    holder uuid NOT NULL,
    PRIMARY KEY (realm, external_id),
    UNIQUE (holder),
    FOREIGN KEY (realm) REFERENCES realm (name),
    FOREIGN KEY (holder) REFERENCES tenant (tenant_id)
);
GRANT SELECT ON tenant_external_id TO claviger_system;
GRANT INSERT ON tenant_external_id TO claviger_system;
GRANT DELETE ON tenant_external_id TO claviger_system;

-- A dropped key has no private half any more. `changed_at` is when it took the last step, if it has taken one.
CREATE TABLE signing_key (
    realm text NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('identity', 'principal')),
    kid text NOT NULL,
    algorithm text NOT NULL,
    sealed_key bytea,
    public_key bytea NOT NULL,
    state text NOT NULL CHECK (state IN ('next', 'active', 'retired', 'dropped')),
    created_at bigint NOT NULL,
    changed_at bigint,
    row_version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (realm, purpose, kid)
);
CREATE UNIQUE INDEX signing_key_active ON signing_key (realm, purpose) WHERE state = 'active';
CREATE UNIQUE INDEX signing_key_next ON signing_key (realm, purpose) WHERE state = 'next';
CREATE TRIGGER signing_key_updated BEFORE UPDATE ON signing_key FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE TRIGGER signing_key_changed AFTER INSERT OR UPDATE ON signing_key FOR EACH ROW
    WHEN (NEW.purpose = 'identity' AND (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on'))
    EXECUTE FUNCTION note_change();
GRANT SELECT ON signing_key TO claviger_system;
GRANT INSERT ON signing_key TO claviger_system;
GRANT UPDATE ON signing_key TO claviger_system;

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

-- A token that was taken back before its end.
CREATE TABLE revoked_token (
    tenant_id uuid NOT NULL,
    token_id uuid NOT NULL,
    expires_at bigint NOT NULL,
    row_version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, token_id),
    FOREIGN KEY (tenant_id) REFERENCES tenant (tenant_id)
);
CREATE INDEX revoked_token_by_expiry ON revoked_token (expires_at);
CREATE TRIGGER revoked_token_updated BEFORE UPDATE ON revoked_token FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE TRIGGER revoked_token_changed AFTER INSERT OR UPDATE ON revoked_token FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION note_change();
ALTER TABLE revoked_token ENABLE ROW LEVEL SECURITY;
ALTER TABLE revoked_token FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON revoked_token TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
CREATE POLICY named_job ON revoked_token TO claviger_system USING (true);
CREATE POLICY backfill ON revoked_token TO claviger_owner USING (current_setting('claviger.backfill', true) = 'on');
GRANT SELECT ON revoked_token TO claviger_rt;
GRANT INSERT ON revoked_token TO claviger_rt;
GRANT SELECT ON revoked_token TO claviger_system;
GRANT DELETE ON revoked_token TO claviger_system;

-- What happened in a tenant. `seq` and `batch` are given once, by the sealer.
CREATE TABLE audit (
    tenant_id uuid NOT NULL,
    audit_id uuid NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    entity_type text NOT NULL,
    entity_id text NOT NULL,
    details text NOT NULL,
    address text,
    credential_id text,
    created_at bigint NOT NULL,
    seq bigint,
    batch text,
    org_id uuid,
    PRIMARY KEY (tenant_id, audit_id),
    FOREIGN KEY (tenant_id) REFERENCES tenant (tenant_id)
);
CREATE INDEX audit_by_time ON audit (tenant_id, created_at, audit_id);
CREATE INDEX audit_by_age ON audit (created_at);
CREATE INDEX audit_by_org ON audit (tenant_id, org_id, created_at, audit_id);
CREATE TRIGGER audit_fixed BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
ALTER TABLE audit ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON audit TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
CREATE POLICY retired ON audit TO claviger_system USING (created_at < (SELECT claviger_now() - 2592000000));
GRANT SELECT ON audit TO claviger_rt;
GRANT INSERT ON audit TO claviger_rt;
GRANT SELECT (tenant_id, audit_id, created_at) ON audit TO claviger_system;
GRANT DELETE ON audit TO claviger_system;

-- What happened outside of every tenant.
CREATE TABLE operator_audit (
    audit_id uuid NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    entity_type text NOT NULL,
    entity_id text NOT NULL,
    details text NOT NULL,
    address text,
    credential_id text,
    created_at bigint NOT NULL,
    seq bigint,
    batch text,
    PRIMARY KEY (audit_id)
);
CREATE INDEX operator_audit_by_time ON operator_audit (created_at, audit_id);
CREATE TRIGGER operator_audit_fixed BEFORE UPDATE OR DELETE ON operator_audit FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
GRANT SELECT ON operator_audit TO claviger_system;
GRANT INSERT ON operator_audit TO claviger_system;
GRANT DELETE ON operator_audit TO claviger_system;

-- Who does a job that one server does at a time, and until when.
CREATE TABLE lease (
    job text NOT NULL,
    holder uuid NOT NULL,
    fence bigint NOT NULL,
    ends_at bigint NOT NULL,
    PRIMARY KEY (job)
);
GRANT SELECT ON lease TO claviger_system;
GRANT INSERT ON lease TO claviger_system;
GRANT UPDATE ON lease TO claviger_system;

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

-- Runs as its owner, so that nobody else needs a right on the feed to change what it tells of.
CREATE OR REPLACE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = claviger, pg_temp AS $$
DECLARE
    subject_kind text;
    subject_id text;
    subject_needs bigint := 1;
BEGIN
    CASE TG_TABLE_NAME
        WHEN 'account' THEN
            subject_kind := 'account'; subject_id := NEW.account_id::text;
        WHEN 'tenant' THEN
            subject_kind := 'tenant'; subject_id := NEW.tenant_id::text;
        WHEN 'organization' THEN
            subject_kind := 'org'; subject_id := NEW.tenant_id::text || E'\n' || NEW.org_id::text;
        WHEN 'member' THEN
            subject_kind := 'member'; subject_id := NEW.tenant_id::text || E'\n' || NEW.org_id::text || E'\n' || NEW.account_id::text;
        WHEN 'session' THEN
            subject_kind := 'session'; subject_id := NEW.tenant_id::text || E'\n' || NEW.session_id::text;
        WHEN 'key_secret' THEN
            subject_kind := 'key'; subject_id := encode(NEW.digest, 'hex');
        WHEN 'user_secret' THEN
            subject_kind := 'user_secret'; subject_id := NEW.kid;
        WHEN 'foreign_identity' THEN
            subject_kind := 'foreign_identity'; subject_id := NEW.tenant_id::text || E'\n' || NEW.issuer || E'\n' || NEW.subject;
        WHEN 'annotation' THEN
            subject_kind := 'annotation'; subject_id := NEW.tenant_id::text || E'\n' || NEW.kind || E'\n' || NEW.entity; subject_needs := 2;
        WHEN 'signing_key' THEN
            subject_kind := 'identity_key'; subject_id := NEW.realm || E'\n' || NEW.kid;
        WHEN 'revoked_token' THEN
            subject_kind := 'revoked_token'; subject_id := NEW.tenant_id::text || E'\n' || NEW.token_id::text;
    END CASE;
    INSERT INTO change (kind, id, row_version, needs)
        VALUES (subject_kind, subject_id, NEW.row_version, subject_needs);
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION raise_secret_versions() RETURNS trigger LANGUAGE plpgsql SET search_path = claviger, pg_temp AS $$
BEGIN
    UPDATE key_secret SET row_version = row_version + 1 WHERE tenant_id = NEW.tenant_id AND key_id = NEW.key_id;
    RETURN NULL;
END $$;

-- How decisions' records are read.

-- LOAD_key
SELECT r.digest, r.row_version, k.key_id, k.tenant_id, k.org_id, k.environment, k.grants, k.state, k.expires_at, r.expires_at, r.revoked,
             k.networks, k.tenant_credentials, k.org_credentials FROM jsonb_array_elements(CAST($1 AS jsonb)) AS j(value) JOIN key_secret AS r ON r.digest = decode(j.value ->> 0, 'hex') JOIN api_key AS k ON k.tenant_id = r.tenant_id AND k.key_id = r.key_id;

-- LOAD_tenant
SELECT r.tenant_id, r.row_version, r.realm, r.state, r.generation, r.tokens_from, r.credentials, r.plan, r.requires_identity_headers FROM jsonb_array_elements(CAST($1 AS jsonb)) AS j(value) JOIN tenant AS r ON r.tenant_id = CAST(j.value ->> 0 AS uuid);

-- LOAD_org
SELECT r.tenant_id, r.org_id, r.row_version, r.state, r.generation, r.tokens_from, r.credentials FROM jsonb_array_elements(CAST($1 AS jsonb)) AS j(value) JOIN organization AS r ON r.tenant_id = CAST(j.value ->> 0 AS uuid) AND r.org_id = CAST(j.value ->> 1 AS uuid);

-- LOAD_account
SELECT r.account_id, r.row_version, r.realm, r.state, r.email_verified, r.generation, r.tokens_from, r.credentials FROM jsonb_array_elements(CAST($1 AS jsonb)) AS j(value) JOIN account AS r ON r.account_id = CAST(j.value ->> 0 AS uuid);

-- LOAD_member
SELECT r.tenant_id, r.org_id, r.account_id, r.row_version, r.role, r.state, r.generation, r.tokens_from, r.credentials FROM jsonb_array_elements(CAST($1 AS jsonb)) AS j(value) JOIN member AS r ON r.tenant_id = CAST(j.value ->> 0 AS uuid) AND r.org_id = CAST(j.value ->> 1 AS uuid) AND r.account_id = CAST(j.value ->> 2 AS uuid);

-- LOAD_session
SELECT r.tenant_id, r.session_id, r.row_version, r.tenant_id, r.session_id, r.org_id, r.account_id, r.ended, r.expires_at, r.tenant_generation,
             r.org_generation, r.account_generation, r.member_generation FROM jsonb_array_elements(CAST($1 AS jsonb)) AS j(value) JOIN session AS r ON r.tenant_id = CAST(j.value ->> 0 AS uuid) AND r.session_id = CAST(j.value ->> 1 AS uuid);

-- LOAD_user_secret
SELECT r.kid, r.row_version, r.api, r.tenant_id, r.org_id, r.account_id, r.revoked, r.sealed_secret, t.data_key, r.tenant_credentials,
             r.org_credentials, r.account_credentials, r.member_credentials FROM jsonb_array_elements(CAST($1 AS jsonb)) AS j(value) JOIN user_secret AS r ON r.kid = j.value ->> 0 JOIN tenant AS t ON t.tenant_id = r.tenant_id;

-- LOAD_foreign_identity
SELECT r.tenant_id, r.issuer, r.subject, r.row_version, r.account_id, r.not_before FROM jsonb_array_elements(CAST($1 AS jsonb)) AS j(value) JOIN foreign_identity AS r ON r.tenant_id = CAST(j.value ->> 0 AS uuid) AND r.issuer = j.value ->> 1 AND r.subject = j.value ->> 2 WHERE r.linked = 1;

-- LOAD_annotation
SELECT r.tenant_id, r.kind, r.entity, r.row_version, r.external_id, r.metadata FROM jsonb_array_elements(CAST($1 AS jsonb)) AS j(value) JOIN annotation AS r ON r.tenant_id = CAST(j.value ->> 0 AS uuid) AND r.kind = j.value ->> 1 AND r.entity = j.value ->> 2;

-- LOAD_identity_key
SELECT r.realm, r.kid, r.row_version, r.algorithm, r.public_key FROM jsonb_array_elements(CAST($1 AS jsonb)) AS j(value) JOIN signing_key AS r ON r.realm = j.value ->> 0 AND r.kid = j.value ->> 1 WHERE r.purpose = 'identity' AND r.state <> 'dropped';

-- LOAD_revoked_token
SELECT r.tenant_id, r.token_id, r.row_version, r.expires_at FROM jsonb_array_elements(CAST($1 AS jsonb)) AS j(value) JOIN revoked_token AS r ON r.tenant_id = CAST(j.value ->> 0 AS uuid) AND r.token_id = CAST(j.value ->> 1 AS uuid);
