-- The first schema. Keys, unique constraints and references of a tenant's rows begin with its id. Times are
-- milliseconds since 1970, truths are 0 and 1. Runs as `claviger_owner`, in the schema `claviger`.

-- Facts about the store itself: its id, how far the feed was swept.
CREATE TABLE store_meta (
    name  text NOT NULL PRIMARY KEY,
    value text NOT NULL
);

-- One row per key of the keyring: proves that the keyring at hand is this store's.
CREATE TABLE keyring_check (
    kind       text   NOT NULL CHECK (kind IN ('pepper', 'encryption', 'derivation')),
    key_id     text   NOT NULL,
    check_hash bytea   NOT NULL,
    PRIMARY KEY (kind, key_id)
);

CREATE TABLE realm (
    name       text NOT NULL PRIMARY KEY,
    created_at bigint  NOT NULL
);

CREATE TABLE plan (
    realm      text NOT NULL REFERENCES realm (name),
    name       text NOT NULL,
    created_at bigint  NOT NULL,
    PRIMARY KEY (realm, name)
);

-- A person. `email_key` is the address folded for comparison.
CREATE TABLE account (
    account_id     uuid NOT NULL PRIMARY KEY,
    realm          text NOT NULL REFERENCES realm (name),
    email          text NOT NULL,
    email_key      text NOT NULL,
    password_hash  text,
    state          text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'deleted')),
    email_verified bigint  NOT NULL DEFAULT 0 CHECK (email_verified IN (0, 1)),
    generation     bigint  NOT NULL DEFAULT 1,
    created_at     bigint  NOT NULL,
    row_version    bigint  NOT NULL DEFAULT 1,
    UNIQUE (realm, email_key)
);

-- `data_key` is sealed under the keyring.
CREATE TABLE tenant (
    tenant_id   uuid NOT NULL PRIMARY KEY,
    realm       text NOT NULL REFERENCES realm (name),
    name        text NOT NULL,
    state       text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'deleted')),
    generation  bigint  NOT NULL DEFAULT 1,
    plan        text NOT NULL,
    requires_identity_headers bigint NOT NULL DEFAULT 0 CHECK (requires_identity_headers IN (0, 1)),
    data_key    bytea NOT NULL,
    created_at  bigint  NOT NULL,
    row_version bigint  NOT NULL DEFAULT 1,
    FOREIGN KEY (realm, plan) REFERENCES plan (realm, name)
);

CREATE TABLE organization (
    tenant_id   uuid NOT NULL REFERENCES tenant (tenant_id),
    org_id      uuid NOT NULL,
    name        text NOT NULL,
    state       text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'deleted')),
    generation  bigint  NOT NULL DEFAULT 1,
    created_at  bigint  NOT NULL,
    row_version bigint  NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, org_id)
);

CREATE TABLE member (
    tenant_id   uuid NOT NULL,
    org_id      uuid NOT NULL,
    account_id  uuid NOT NULL REFERENCES account (account_id),
    role        text NOT NULL,
    state       text NOT NULL CHECK (state IN ('invited', 'active', 'suspended', 'removed')),
    generation  bigint  NOT NULL DEFAULT 1,
    created_at  bigint  NOT NULL,
    row_version bigint  NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, org_id, account_id),
    FOREIGN KEY (tenant_id, org_id) REFERENCES organization (tenant_id, org_id)
);

CREATE TABLE session (
    tenant_id   uuid NOT NULL,
    session_id  uuid NOT NULL,
    org_id      uuid NOT NULL,
    account_id  uuid NOT NULL,
    ended       bigint  NOT NULL DEFAULT 0 CHECK (ended IN (0, 1)),
    expires_at  bigint  NOT NULL,
    tenant_generation  bigint NOT NULL,
    org_generation     bigint NOT NULL,
    account_generation bigint NOT NULL,
    member_generation  bigint NOT NULL,
    created_at  bigint  NOT NULL,
    row_version bigint  NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, session_id),
    FOREIGN KEY (tenant_id, org_id, account_id) REFERENCES member (tenant_id, org_id, account_id)
);

-- `networks` NULL is from anywhere, an empty text from nowhere. A disabled key is suspended, a revoked one deleted.
CREATE TABLE api_key (
    tenant_id   uuid NOT NULL,
    key_id      uuid NOT NULL,
    org_id      uuid NOT NULL,
    name        text NOT NULL,
    prefix      text NOT NULL,
    environment text NOT NULL CHECK (environment IN ('live', 'test')),
    grants      text NOT NULL,
    networks    text,
    state       text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'deleted')),
    expires_at  bigint,
    created_at  bigint  NOT NULL,
    row_version bigint  NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, key_id),
    FOREIGN KEY (tenant_id, org_id) REFERENCES organization (tenant_id, org_id)
);

-- A key's secrets. `slot` says which one a rotation made and which one it put aside.
CREATE TABLE key_secret (
    tenant_id   uuid NOT NULL,
    digest      bytea NOT NULL,
    key_id      uuid NOT NULL,
    slot        text NOT NULL CHECK (slot IN ('current', 'old')),
    pepper      text NOT NULL,
    prefix      text NOT NULL,
    last_four   text NOT NULL,
    expires_at  bigint,
    revoked     bigint  NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)),
    created_at  bigint  NOT NULL,
    row_version bigint  NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, digest),
    FOREIGN KEY (tenant_id, key_id) REFERENCES api_key (tenant_id, key_id)
);

CREATE TABLE user_secret (
    tenant_id     uuid NOT NULL,
    kid           text NOT NULL,
    api           text NOT NULL,
    org_id        uuid NOT NULL,
    account_id    uuid NOT NULL,
    sealed_secret bytea NOT NULL,
    version       bigint  NOT NULL,
    revoked       bigint  NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)),
    created_at    bigint  NOT NULL,
    row_version   bigint  NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, kid),
    FOREIGN KEY (tenant_id, org_id, account_id) REFERENCES member (tenant_id, org_id, account_id)
);

CREATE TABLE foreign_identity (
    tenant_id   uuid NOT NULL REFERENCES tenant (tenant_id),
    issuer      text NOT NULL,
    subject     text NOT NULL,
    account_id  uuid NOT NULL REFERENCES account (account_id),
    linked      bigint  NOT NULL DEFAULT 1 CHECK (linked IN (0, 1)),
    not_before  bigint  NOT NULL DEFAULT 0,
    created_at  bigint  NOT NULL,
    row_version bigint  NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, issuer, subject)
);

-- A dropped key has no private half any more.
CREATE TABLE signing_key (
    realm       text NOT NULL,
    purpose     text NOT NULL CHECK (purpose IN ('identity', 'principal')),
    kid         text NOT NULL,
    algorithm   text NOT NULL,
    sealed_key  bytea,
    public_key  bytea NOT NULL,
    state       text NOT NULL CHECK (state IN ('next', 'active', 'retired', 'dropped')),
    created_at  bigint  NOT NULL,
    row_version bigint  NOT NULL DEFAULT 1,
    PRIMARY KEY (realm, purpose, kid)
);

CREATE TABLE revoked_token (
    tenant_id   uuid NOT NULL REFERENCES tenant (tenant_id),
    token_id    uuid NOT NULL,
    expires_at  bigint  NOT NULL,
    row_version bigint  NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, token_id)
);

-- What happened in a tenant. `seq` and `batch` are given once, by the sealer.
CREATE TABLE audit (
    tenant_id     uuid NOT NULL REFERENCES tenant (tenant_id),
    audit_id      uuid NOT NULL,
    actor         text NOT NULL,
    action        text NOT NULL,
    entity_type   text NOT NULL,
    entity_id     text NOT NULL,
    details       text NOT NULL,
    address       text,
    credential_id text,
    created_at    bigint  NOT NULL,
    seq           bigint,
    batch         text,
    PRIMARY KEY (tenant_id, audit_id)
);

-- What happened outside of every tenant.
CREATE TABLE operator_audit (
    audit_id      uuid NOT NULL PRIMARY KEY,
    actor         text NOT NULL,
    action        text NOT NULL,
    entity_type   text NOT NULL,
    entity_id     text NOT NULL,
    details       text NOT NULL,
    address       text,
    credential_id text,
    created_at    bigint  NOT NULL,
    seq           bigint,
    batch         text
);

-- What has changed, for the memory of every node: written by triggers alone.
CREATE TABLE change (
    kind        text   NOT NULL,
    id          text   NOT NULL,
    row_version bigint NOT NULL,
    xid         xid8   NOT NULL DEFAULT pg_current_xact_id(),
    at          bigint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000)::bigint
);

CREATE INDEX tenant_by_realm ON tenant (realm, created_at, tenant_id);
CREATE INDEX member_by_account ON member (account_id);
CREATE INDEX session_by_account ON session (tenant_id, account_id);
CREATE INDEX api_key_by_org ON api_key (tenant_id, org_id, created_at);
CREATE INDEX key_secret_by_digest ON key_secret (digest);
CREATE INDEX key_secret_by_key ON key_secret (tenant_id, key_id);
CREATE UNIQUE INDEX key_secret_current ON key_secret (tenant_id, key_id) WHERE slot = 'current' AND revoked = 0;
CREATE INDEX user_secret_by_kid ON user_secret (kid);
CREATE UNIQUE INDEX user_secret_live ON user_secret (tenant_id, api, account_id) WHERE revoked = 0;
CREATE UNIQUE INDEX signing_key_active ON signing_key (realm, purpose) WHERE state = 'active';
CREATE UNIQUE INDEX signing_key_next ON signing_key (realm, purpose) WHERE state = 'next';
CREATE INDEX revoked_token_by_expiry ON revoked_token (expires_at);
CREATE INDEX audit_by_time ON audit (tenant_id, created_at, audit_id);
CREATE INDEX operator_audit_by_time ON operator_audit (created_at, audit_id);
CREATE INDEX change_by_xid ON change (xid);

-- Every change of a row that a decision reads raises the row's version, and every new version is a line of the feed.
CREATE FUNCTION raise_version() RETURNS trigger LANGUAGE plpgsql SET search_path = claviger, pg_temp AS $$
BEGIN
    IF NEW.row_version = OLD.row_version THEN
        NEW.row_version := OLD.row_version + 1;
    END IF;
    RETURN NEW;
END $$;

-- Runs as its owner, so that nobody else needs a right on the feed to change what it tells of.
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = claviger, pg_temp AS $$
DECLARE
    subject_kind text;
    subject_id text;
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
        WHEN 'signing_key' THEN
            subject_kind := 'identity_key'; subject_id := NEW.realm || E'\n' || NEW.kid;
        WHEN 'revoked_token' THEN
            subject_kind := 'revoked_token'; subject_id := NEW.tenant_id::text || E'\n' || NEW.token_id::text;
    END CASE;
    INSERT INTO change (kind, id, row_version) VALUES (subject_kind, subject_id, NEW.row_version);
    RETURN NULL;
END $$;

CREATE TRIGGER account_updated BEFORE UPDATE ON account FOR EACH ROW EXECUTE FUNCTION raise_version();
CREATE TRIGGER account_changed AFTER INSERT OR UPDATE ON account FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE TRIGGER tenant_updated BEFORE UPDATE ON tenant FOR EACH ROW EXECUTE FUNCTION raise_version();
CREATE TRIGGER tenant_changed AFTER INSERT OR UPDATE ON tenant FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE TRIGGER organization_updated BEFORE UPDATE ON organization FOR EACH ROW EXECUTE FUNCTION raise_version();
CREATE TRIGGER organization_changed AFTER INSERT OR UPDATE ON organization FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE TRIGGER member_updated BEFORE UPDATE ON member FOR EACH ROW EXECUTE FUNCTION raise_version();
CREATE TRIGGER member_changed AFTER INSERT OR UPDATE ON member FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE TRIGGER session_updated BEFORE UPDATE ON session FOR EACH ROW EXECUTE FUNCTION raise_version();
CREATE TRIGGER session_changed AFTER INSERT OR UPDATE ON session FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE TRIGGER key_secret_updated BEFORE UPDATE ON key_secret FOR EACH ROW EXECUTE FUNCTION raise_version();
CREATE TRIGGER key_secret_changed AFTER INSERT OR UPDATE ON key_secret FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE TRIGGER user_secret_updated BEFORE UPDATE ON user_secret FOR EACH ROW EXECUTE FUNCTION raise_version();
CREATE TRIGGER user_secret_changed AFTER INSERT OR UPDATE ON user_secret FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE TRIGGER foreign_identity_updated BEFORE UPDATE ON foreign_identity FOR EACH ROW EXECUTE FUNCTION raise_version();
CREATE TRIGGER foreign_identity_changed AFTER INSERT OR UPDATE ON foreign_identity FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE TRIGGER signing_key_updated BEFORE UPDATE ON signing_key FOR EACH ROW EXECUTE FUNCTION raise_version();
CREATE TRIGGER signing_key_changed AFTER INSERT OR UPDATE ON signing_key FOR EACH ROW WHEN (NEW.purpose = 'identity') EXECUTE FUNCTION note_change();
CREATE TRIGGER revoked_token_updated BEFORE UPDATE ON revoked_token FOR EACH ROW EXECUTE FUNCTION raise_version();
CREATE TRIGGER revoked_token_changed AFTER INSERT OR UPDATE ON revoked_token FOR EACH ROW EXECUTE FUNCTION note_change();

-- A key and its secrets are read together, so that a change of the key is one of each of its secrets.
CREATE FUNCTION raise_secret_versions() RETURNS trigger LANGUAGE plpgsql SET search_path = claviger, pg_temp AS $$
BEGIN
    UPDATE key_secret SET row_version = row_version + 1 WHERE tenant_id = NEW.tenant_id AND key_id = NEW.key_id;
    RETURN NULL;
END $$;
CREATE TRIGGER api_key_updated BEFORE UPDATE ON api_key FOR EACH ROW EXECUTE FUNCTION raise_version();
CREATE TRIGGER api_key_changed AFTER UPDATE ON api_key FOR EACH ROW EXECUTE FUNCTION raise_secret_versions();

-- What was written down stays as it was; only the sealer adds, once, the place in the sealed order.
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql SET search_path = claviger, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.seq IS NULL
        AND to_jsonb(OLD) - 'seq' - 'batch' = to_jsonb(NEW) - 'seq' - 'batch' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'audit entries are immutable' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER audit_fixed BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER operator_audit_fixed BEFORE UPDATE OR DELETE ON operator_audit FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA claviger FROM PUBLIC;

-- The walls. Without a bound tenant the setting cannot be read as an id: an error, and never an empty answer.
ALTER TABLE tenant ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON tenant TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
ALTER TABLE organization ENABLE ROW LEVEL SECURITY;
ALTER TABLE organization FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON organization TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
ALTER TABLE member ENABLE ROW LEVEL SECURITY;
ALTER TABLE member FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON member TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
ALTER TABLE session ENABLE ROW LEVEL SECURITY;
ALTER TABLE session FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON session TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
ALTER TABLE api_key ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_key FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON api_key TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
ALTER TABLE key_secret ENABLE ROW LEVEL SECURITY;
ALTER TABLE key_secret FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON key_secret TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
ALTER TABLE user_secret ENABLE ROW LEVEL SECURITY;
ALTER TABLE user_secret FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON user_secret TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
ALTER TABLE foreign_identity ENABLE ROW LEVEL SECURITY;
ALTER TABLE foreign_identity FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON foreign_identity TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
ALTER TABLE revoked_token ENABLE ROW LEVEL SECURITY;
ALTER TABLE revoked_token FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON revoked_token TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
ALTER TABLE audit ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON audit TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));

-- A node reads of the feed what its own transaction wrote; the whole is for the system role.
ALTER TABLE change ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_transaction ON change FOR SELECT TO claviger_rt USING (xid = pg_current_xact_id_if_assigned());
CREATE POLICY named_job ON change TO claviger_system USING (true);

-- Named jobs see what they need of every tenant, and change only what is listed here.
CREATE POLICY named_job ON tenant FOR SELECT TO claviger_system USING (true);
CREATE POLICY named_job ON organization FOR SELECT TO claviger_system USING (true);
CREATE POLICY named_job ON member FOR SELECT TO claviger_system USING (true);
CREATE POLICY named_job ON session FOR SELECT TO claviger_system USING (true);
CREATE POLICY named_job ON api_key FOR SELECT TO claviger_system USING (true);
CREATE POLICY named_job ON key_secret FOR SELECT TO claviger_system USING (true);
CREATE POLICY named_job ON user_secret FOR SELECT TO claviger_system USING (true);
CREATE POLICY named_job ON foreign_identity FOR SELECT TO claviger_system USING (true);
CREATE POLICY named_job ON revoked_token TO claviger_system USING (true);

GRANT USAGE ON SCHEMA claviger TO claviger_rt, claviger_system;

GRANT SELECT, INSERT, UPDATE ON tenant, organization, member, session, api_key, key_secret, user_secret, foreign_identity
    TO claviger_rt;
GRANT SELECT, INSERT ON revoked_token, audit TO claviger_rt;
GRANT SELECT ON realm, plan, change TO claviger_rt;
-- A tenant's transaction finds and makes accounts. It never sees a password again, and changes no account.
GRANT SELECT (account_id, realm, email, email_key, state, email_verified, generation, created_at) ON account TO claviger_rt;
GRANT INSERT (account_id, realm, email, email_key, password_hash, created_at) ON account TO claviger_rt;

GRANT SELECT ON tenant, organization, member, session, api_key, key_secret, user_secret, foreign_identity, revoked_token,
    change, signing_key, realm, plan, account, operator_audit, keyring_check, store_meta TO claviger_system;
GRANT INSERT ON realm, plan, account, signing_key, operator_audit, keyring_check, store_meta TO claviger_system;
GRANT UPDATE ON account, signing_key, store_meta TO claviger_system;
GRANT DELETE ON change, revoked_token TO claviger_system;
