-- The tables of all nouns, as they are after the last migration: made from the declarations, and compared with what the
-- migrations make. Nothing runs this.

-- A population of tenants and accounts, and what they sign in to.
CREATE TABLE realm (
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (name)
) STRICT;

-- A realm's tariffs.
CREATE TABLE plan (
    realm TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (realm, name),
    FOREIGN KEY (realm) REFERENCES realm (name)
) STRICT;

-- A person. `email_key` is the address folded for comparison; who is `self_registered` gave it themselves. `email_since` is when it took the place of another one.
CREATE TABLE account (
    account_id TEXT NOT NULL,
    realm TEXT NOT NULL,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL,
    password_hash TEXT,
    state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'deleted')),
    email_verified INTEGER NOT NULL DEFAULT 0 CHECK (email_verified IN (0, 1)),
    created_at INTEGER NOT NULL,
    generation INTEGER NOT NULL DEFAULT 1,
    tokens_from INTEGER NOT NULL DEFAULT 0,
    credentials INTEGER NOT NULL DEFAULT 1,
    self_registered INTEGER NOT NULL DEFAULT 0 CHECK (self_registered IN (0, 1)),
    email_since INTEGER,
    row_version INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (account_id),
    UNIQUE (realm, email_key),
    FOREIGN KEY (realm) REFERENCES realm (name)
) STRICT;
CREATE TRIGGER account_inserted AFTER INSERT ON account BEGIN
    INSERT INTO change (kind, id, row_version) VALUES ('account', NEW.account_id, NEW.row_version);
END;
CREATE TRIGGER account_updated AFTER UPDATE ON account WHEN NEW.row_version = OLD.row_version BEGIN
    UPDATE account SET row_version = OLD.row_version + 1 WHERE account_id = NEW.account_id;
END;
CREATE TRIGGER account_versioned AFTER UPDATE OF row_version ON account WHEN NEW.row_version > OLD.row_version BEGIN
    INSERT INTO change (kind, id, row_version) VALUES ('account', NEW.account_id, NEW.row_version);
END;
CREATE TRIGGER account_kept BEFORE DELETE ON account BEGIN
    SELECT RAISE(ABORT, 'rows are withdrawn by their state');
END;

-- One customer. `data_key` is sealed under the keyring.
CREATE TABLE tenant (
    tenant_id TEXT NOT NULL,
    realm TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'deleted')),
    plan TEXT NOT NULL,
    requires_identity_headers INTEGER NOT NULL DEFAULT 0 CHECK (requires_identity_headers IN (0, 1)),
    data_key BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    generation INTEGER NOT NULL DEFAULT 1,
    tokens_from INTEGER NOT NULL DEFAULT 0,
    credentials INTEGER NOT NULL DEFAULT 1,
    requires_direct_sign_in INTEGER NOT NULL DEFAULT 0 CHECK (requires_direct_sign_in IN (0, 1)),
    owner_id TEXT,
    row_version INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id),
    FOREIGN KEY (realm) REFERENCES realm (name),
    FOREIGN KEY (realm, plan) REFERENCES plan (realm, name)
) STRICT;
CREATE INDEX tenant_by_realm ON tenant (realm, created_at, tenant_id);
CREATE INDEX tenant_by_name ON tenant (realm, name);
CREATE TRIGGER tenant_inserted AFTER INSERT ON tenant BEGIN
    INSERT INTO change (kind, id, row_version) VALUES ('tenant', NEW.tenant_id, NEW.row_version);
END;
CREATE TRIGGER tenant_updated AFTER UPDATE ON tenant WHEN NEW.row_version = OLD.row_version BEGIN
    UPDATE tenant SET row_version = OLD.row_version + 1 WHERE tenant_id = NEW.tenant_id;
END;
CREATE TRIGGER tenant_versioned AFTER UPDATE OF row_version ON tenant WHEN NEW.row_version > OLD.row_version BEGIN
    INSERT INTO change (kind, id, row_version) VALUES ('tenant', NEW.tenant_id, NEW.row_version);
END;
CREATE TRIGGER tenant_kept BEFORE DELETE ON tenant BEGIN
    SELECT RAISE(ABORT, 'rows are withdrawn by their state');
END;

-- A part of a tenant with members of its own.
CREATE TABLE organization (
    tenant_id TEXT NOT NULL,
    org_id TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'deleted')),
    created_at INTEGER NOT NULL,
    generation INTEGER NOT NULL DEFAULT 1,
    tokens_from INTEGER NOT NULL DEFAULT 0,
    credentials INTEGER NOT NULL DEFAULT 1,
    row_version INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, org_id),
    FOREIGN KEY (tenant_id) REFERENCES tenant (tenant_id)
) STRICT;
CREATE INDEX organization_by_name ON organization (tenant_id, name);
CREATE TRIGGER organization_inserted AFTER INSERT ON organization BEGIN
    INSERT INTO change (kind, id, row_version) VALUES ('org', NEW.tenant_id || char(10) || NEW.org_id, NEW.row_version);
END;
CREATE TRIGGER organization_updated AFTER UPDATE ON organization WHEN NEW.row_version = OLD.row_version BEGIN
    UPDATE organization SET row_version = OLD.row_version + 1 WHERE tenant_id = NEW.tenant_id AND org_id = NEW.org_id;
END;
CREATE TRIGGER organization_versioned AFTER UPDATE OF row_version ON organization WHEN NEW.row_version > OLD.row_version BEGIN
    INSERT INTO change (kind, id, row_version) VALUES ('org', NEW.tenant_id || char(10) || NEW.org_id, NEW.row_version);
END;
CREATE TRIGGER organization_kept BEFORE DELETE ON organization BEGIN
    SELECT RAISE(ABORT, 'rows are withdrawn by their state');
END;

-- An account in an organization.
CREATE TABLE member (
    tenant_id TEXT NOT NULL,
    org_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    role TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('invited', 'active', 'suspended', 'removed')),
    created_at INTEGER NOT NULL,
    generation INTEGER NOT NULL DEFAULT 1,
    tokens_from INTEGER NOT NULL DEFAULT 0,
    credentials INTEGER NOT NULL DEFAULT 1,
    row_version INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, org_id, account_id),
    FOREIGN KEY (account_id) REFERENCES account (account_id),
    FOREIGN KEY (tenant_id, org_id) REFERENCES organization (tenant_id, org_id)
) STRICT;
CREATE INDEX member_by_account ON member (account_id);
CREATE TRIGGER member_inserted AFTER INSERT ON member BEGIN
    INSERT INTO change (kind, id, row_version) VALUES ('member', NEW.tenant_id || char(10) || NEW.org_id || char(10) || NEW.account_id, NEW.row_version);
END;
CREATE TRIGGER member_updated AFTER UPDATE ON member WHEN NEW.row_version = OLD.row_version BEGIN
    UPDATE member SET row_version = OLD.row_version + 1 WHERE tenant_id = NEW.tenant_id AND org_id = NEW.org_id AND account_id = NEW.account_id;
END;
CREATE TRIGGER member_versioned AFTER UPDATE OF row_version ON member WHEN NEW.row_version > OLD.row_version BEGIN
    INSERT INTO change (kind, id, row_version) VALUES ('member', NEW.tenant_id || char(10) || NEW.org_id || char(10) || NEW.account_id, NEW.row_version);
END;
CREATE TRIGGER member_kept BEFORE DELETE ON member BEGIN
    SELECT RAISE(ABORT, 'rows are withdrawn by their state');
END;

-- Somebody is signed in, in one organization, under the generations of that moment.
CREATE TABLE session (
    tenant_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    org_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    ended INTEGER NOT NULL DEFAULT 0 CHECK (ended IN (0, 1)),
    expires_at INTEGER NOT NULL,
    tenant_generation INTEGER NOT NULL,
    org_generation INTEGER NOT NULL,
    account_generation INTEGER NOT NULL,
    member_generation INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    row_version INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, session_id),
    FOREIGN KEY (tenant_id, org_id, account_id) REFERENCES member (tenant_id, org_id, account_id)
) STRICT;
CREATE INDEX session_by_account ON session (tenant_id, account_id);
CREATE TRIGGER session_inserted AFTER INSERT ON session BEGIN
    INSERT INTO change (kind, id, row_version) VALUES ('session', NEW.tenant_id || char(10) || NEW.session_id, NEW.row_version);
END;
CREATE TRIGGER session_updated AFTER UPDATE ON session WHEN NEW.row_version = OLD.row_version BEGIN
    UPDATE session SET row_version = OLD.row_version + 1 WHERE tenant_id = NEW.tenant_id AND session_id = NEW.session_id;
END;
CREATE TRIGGER session_versioned AFTER UPDATE OF row_version ON session WHEN NEW.row_version > OLD.row_version BEGIN
    INSERT INTO change (kind, id, row_version) VALUES ('session', NEW.tenant_id || char(10) || NEW.session_id, NEW.row_version);
END;
CREATE TRIGGER session_kept BEFORE DELETE ON session BEGIN
    SELECT RAISE(ABORT, 'rows are withdrawn by their state');
END;

-- The refresh token of a session: digests of the good one and of the one before. `direct` began with a password.
CREATE TABLE refresh_token (
    tenant_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    used_digest BLOB,
    sequence INTEGER NOT NULL DEFAULT 1,
    used_at INTEGER,
    direct INTEGER NOT NULL DEFAULT 0 CHECK (direct IN (0, 1)),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, session_id),
    FOREIGN KEY (tenant_id, session_id) REFERENCES session (tenant_id, session_id)
) STRICT;

-- How often an address was tried from a block of the network without success. `whose` is a MAC: nobody reads addresses here.
CREATE TABLE sign_in_failure (
    whose BLOB NOT NULL,
    tries INTEGER NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (whose)
) STRICT;
CREATE INDEX sign_in_failure_by_age ON sign_in_failure (since);

-- Mail to be sent, sealed: nobody reads addresses or links here.
CREATE TABLE mail (
    mail_id TEXT NOT NULL,
    sealed BLOB NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (mail_id)
) STRICT;
CREATE INDEX mail_by_due ON mail (due_at);

-- A link that was mailed, by the digest of its secret. `whose` is a MAC of the address; a sign-up, or the address that another one is changed for, is sealed until it is proven.
CREATE TABLE proof (
    digest BLOB NOT NULL,
    purpose TEXT NOT NULL CHECK (purpose IN ('sign-up', 'verify', 'reset', 'change')),
    whose BLOB NOT NULL,
    account_id TEXT,
    sealed BLOB,
    mail_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (digest),
    FOREIGN KEY (account_id) REFERENCES account (account_id)
) STRICT;
CREATE INDEX proof_by_whose ON proof (whose, purpose, created_at);
CREATE INDEX proof_by_mail ON proof (mail_id);
CREATE INDEX proof_by_age ON proof (expires_at);

-- An invitation that was mailed, by the digest of its secret.
CREATE TABLE invitation (
    tenant_id TEXT NOT NULL,
    org_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, org_id, account_id),
    FOREIGN KEY (tenant_id, org_id, account_id) REFERENCES member (tenant_id, org_id, account_id)
) STRICT;
CREATE UNIQUE INDEX invitation_by_digest ON invitation (tenant_id, digest);

-- `networks` NULL is from anywhere, an empty text from nowhere. A disabled key is suspended, a revoked one deleted.
CREATE TABLE api_key (
    tenant_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    org_id TEXT NOT NULL,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    environment TEXT NOT NULL CHECK (environment IN ('live', 'test')),
    grants TEXT NOT NULL,
    networks TEXT,
    state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'deleted')),
    expires_at INTEGER,
    created_at INTEGER NOT NULL,
    tenant_credentials INTEGER NOT NULL DEFAULT 1,
    org_credentials INTEGER NOT NULL DEFAULT 1,
    row_version INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, key_id),
    FOREIGN KEY (tenant_id, org_id) REFERENCES organization (tenant_id, org_id)
) STRICT;
CREATE INDEX api_key_by_org ON api_key (tenant_id, org_id, created_at);
CREATE INDEX api_key_by_time ON api_key (tenant_id, created_at, key_id);
CREATE INDEX api_key_by_name ON api_key (tenant_id, name);
CREATE TRIGGER api_key_updated AFTER UPDATE ON api_key WHEN NEW.row_version = OLD.row_version BEGIN
    UPDATE api_key SET row_version = OLD.row_version + 1 WHERE tenant_id = NEW.tenant_id AND key_id = NEW.key_id;
    UPDATE key_secret SET row_version = row_version + 1 WHERE tenant_id = NEW.tenant_id AND key_id = NEW.key_id;
END;
CREATE TRIGGER api_key_kept BEFORE DELETE ON api_key BEGIN
    SELECT RAISE(ABORT, 'rows are withdrawn by their state');
END;

-- A key's secrets. `slot` says which one a rotation made and which one it put aside.
CREATE TABLE key_secret (
    tenant_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    key_id TEXT NOT NULL,
    slot TEXT NOT NULL CHECK (slot IN ('current', 'old')),
    pepper TEXT NOT NULL,
    prefix TEXT NOT NULL,
    last_four TEXT NOT NULL,
    expires_at INTEGER,
    revoked INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)),
    created_at INTEGER NOT NULL,
    row_version INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, digest),
    FOREIGN KEY (tenant_id, key_id) REFERENCES api_key (tenant_id, key_id)
) STRICT;
CREATE INDEX key_secret_by_digest ON key_secret (digest);
CREATE INDEX key_secret_by_key ON key_secret (tenant_id, key_id);
CREATE INDEX key_secret_by_end ON key_secret (last_four);
CREATE UNIQUE INDEX key_secret_current ON key_secret (tenant_id, key_id) WHERE slot = 'current' AND revoked = 0;
CREATE TRIGGER key_secret_inserted AFTER INSERT ON key_secret BEGIN
    INSERT INTO change (kind, id, row_version) VALUES ('key', lower(hex(NEW.digest)), NEW.row_version);
END;
CREATE TRIGGER key_secret_updated AFTER UPDATE ON key_secret WHEN NEW.row_version = OLD.row_version BEGIN
    UPDATE key_secret SET row_version = OLD.row_version + 1 WHERE tenant_id = NEW.tenant_id AND digest = NEW.digest;
END;
CREATE TRIGGER key_secret_versioned AFTER UPDATE OF row_version ON key_secret WHEN NEW.row_version > OLD.row_version BEGIN
    INSERT INTO change (kind, id, row_version) VALUES ('key', lower(hex(NEW.digest)), NEW.row_version);
END;
CREATE TRIGGER key_secret_kept BEFORE DELETE ON key_secret BEGIN
    SELECT RAISE(ABORT, 'rows are withdrawn by their state');
END;

-- When a secret of a key was last used, and from where.
CREATE TABLE key_secret_use (
    tenant_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    used_at INTEGER NOT NULL,
    address TEXT,
    PRIMARY KEY (tenant_id, digest),
    FOREIGN KEY (tenant_id, digest) REFERENCES key_secret (tenant_id, digest)
) STRICT;

-- What signs one user's tokens for one API, sealed.
CREATE TABLE user_secret (
    tenant_id TEXT NOT NULL,
    kid TEXT NOT NULL,
    api TEXT NOT NULL,
    org_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    sealed_secret BLOB NOT NULL,
    version INTEGER NOT NULL,
    revoked INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)),
    created_at INTEGER NOT NULL,
    tenant_credentials INTEGER NOT NULL DEFAULT 1,
    org_credentials INTEGER NOT NULL DEFAULT 1,
    account_credentials INTEGER NOT NULL DEFAULT 1,
    member_credentials INTEGER NOT NULL DEFAULT 1,
    row_version INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, kid),
    FOREIGN KEY (tenant_id, org_id, account_id) REFERENCES member (tenant_id, org_id, account_id)
) STRICT;
CREATE INDEX user_secret_by_kid ON user_secret (kid);
CREATE INDEX user_secret_by_account ON user_secret (tenant_id, account_id, api);
CREATE UNIQUE INDEX user_secret_live ON user_secret (tenant_id, api, account_id) WHERE revoked = 0;
CREATE TRIGGER user_secret_inserted AFTER INSERT ON user_secret BEGIN
    INSERT INTO change (kind, id, row_version) VALUES ('user_secret', NEW.kid, NEW.row_version);
END;
CREATE TRIGGER user_secret_updated AFTER UPDATE ON user_secret WHEN NEW.row_version = OLD.row_version BEGIN
    UPDATE user_secret SET row_version = OLD.row_version + 1 WHERE tenant_id = NEW.tenant_id AND kid = NEW.kid;
END;
CREATE TRIGGER user_secret_versioned AFTER UPDATE OF row_version ON user_secret WHEN NEW.row_version > OLD.row_version BEGIN
    INSERT INTO change (kind, id, row_version) VALUES ('user_secret', NEW.kid, NEW.row_version);
END;
CREATE TRIGGER user_secret_kept BEFORE DELETE ON user_secret BEGIN
    SELECT RAISE(ABORT, 'rows are withdrawn by their state');
END;

-- When a user's token was last used, and from where.
CREATE TABLE user_secret_use (
    tenant_id TEXT NOT NULL,
    kid TEXT NOT NULL,
    used_at INTEGER NOT NULL,
    address TEXT,
    PRIMARY KEY (tenant_id, kid),
    FOREIGN KEY (tenant_id, kid) REFERENCES user_secret (tenant_id, kid)
) STRICT;

-- A foreign issuer's subject, and whom it stands for in the tenant.
CREATE TABLE foreign_identity (
    tenant_id TEXT NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    account_id TEXT NOT NULL,
    linked INTEGER NOT NULL DEFAULT 1 CHECK (linked IN (0, 1)),
    not_before INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    row_version INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, issuer, subject),
    FOREIGN KEY (tenant_id) REFERENCES tenant (tenant_id),
    FOREIGN KEY (account_id) REFERENCES account (account_id)
) STRICT;
CREATE INDEX foreign_identity_by_account ON foreign_identity (account_id);
CREATE TRIGGER foreign_identity_inserted AFTER INSERT ON foreign_identity BEGIN
    INSERT INTO change (kind, id, row_version) VALUES ('foreign_identity', NEW.tenant_id || char(10) || NEW.issuer || char(10) || NEW.subject, NEW.row_version);
END;
CREATE TRIGGER foreign_identity_updated AFTER UPDATE ON foreign_identity WHEN NEW.row_version = OLD.row_version BEGIN
    UPDATE foreign_identity SET row_version = OLD.row_version + 1 WHERE tenant_id = NEW.tenant_id AND issuer = NEW.issuer AND subject = NEW.subject;
END;
CREATE TRIGGER foreign_identity_versioned AFTER UPDATE OF row_version ON foreign_identity WHEN NEW.row_version > OLD.row_version BEGIN
    INSERT INTO change (kind, id, row_version) VALUES ('foreign_identity', NEW.tenant_id || char(10) || NEW.issuer || char(10) || NEW.subject, NEW.row_version);
END;
CREATE TRIGGER foreign_identity_kept BEFORE DELETE ON foreign_identity BEGIN
    SELECT RAISE(ABORT, 'rows are withdrawn by their state');
END;

-- What others call something of a tenant's, and keep beside it.
CREATE TABLE annotation (
    tenant_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('tenant', 'organization', 'member', 'key')),
    entity TEXT NOT NULL,
    external_id TEXT,
    metadata TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL,
    row_version INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, kind, entity),
    FOREIGN KEY (tenant_id) REFERENCES tenant (tenant_id)
) STRICT;
CREATE UNIQUE INDEX annotation_external ON annotation (tenant_id, kind, external_id) WHERE external_id IS NOT NULL;
CREATE TRIGGER annotation_inserted AFTER INSERT ON annotation BEGIN
    INSERT INTO change (kind, id, row_version, needs) VALUES ('annotation', NEW.tenant_id || char(10) || NEW.kind || char(10) || NEW.entity, NEW.row_version, 2);
END;
CREATE TRIGGER annotation_updated AFTER UPDATE ON annotation WHEN NEW.row_version = OLD.row_version BEGIN
    UPDATE annotation SET row_version = OLD.row_version + 1 WHERE tenant_id = NEW.tenant_id AND kind = NEW.kind AND entity = NEW.entity;
END;
CREATE TRIGGER annotation_versioned AFTER UPDATE OF row_version ON annotation WHEN NEW.row_version > OLD.row_version BEGIN
    INSERT INTO change (kind, id, row_version, needs) VALUES ('annotation', NEW.tenant_id || char(10) || NEW.kind || char(10) || NEW.entity, NEW.row_version, 2);
END;
CREATE TRIGGER annotation_kept BEFORE DELETE ON annotation BEGIN
    SELECT RAISE(ABORT, 'rows are withdrawn by their state');
END;

-- Which external ids of a realm's tenants are taken, and by whom.
CREATE TABLE tenant_external_id (
    realm TEXT NOT NULL,
    external_id TEXT NOT NULL,
    holder TEXT NOT NULL,
    PRIMARY KEY (realm, external_id),
    UNIQUE (holder),
    FOREIGN KEY (realm) REFERENCES realm (name),
    FOREIGN KEY (holder) REFERENCES tenant (tenant_id)
) STRICT;

-- A dropped key has no private half any more. `changed_at` is when it took the last step, if it has taken one.
CREATE TABLE signing_key (
    realm TEXT NOT NULL,
    purpose TEXT NOT NULL CHECK (purpose IN ('identity', 'principal')),
    kid TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    sealed_key BLOB,
    public_key BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('next', 'active', 'retired', 'dropped')),
    created_at INTEGER NOT NULL,
    changed_at INTEGER,
    row_version INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (realm, purpose, kid)
) STRICT;
CREATE UNIQUE INDEX signing_key_active ON signing_key (realm, purpose) WHERE state = 'active';
CREATE UNIQUE INDEX signing_key_next ON signing_key (realm, purpose) WHERE state = 'next';
CREATE TRIGGER signing_key_inserted AFTER INSERT ON signing_key WHEN NEW.purpose = 'identity' BEGIN
    INSERT INTO change (kind, id, row_version) VALUES ('identity_key', NEW.realm || char(10) || NEW.kid, NEW.row_version);
END;
CREATE TRIGGER signing_key_updated AFTER UPDATE ON signing_key WHEN NEW.row_version = OLD.row_version BEGIN
    UPDATE signing_key SET row_version = OLD.row_version + 1 WHERE realm = NEW.realm AND purpose = NEW.purpose AND kid = NEW.kid;
END;
CREATE TRIGGER signing_key_versioned AFTER UPDATE OF row_version ON signing_key WHEN NEW.row_version > OLD.row_version AND NEW.purpose = 'identity' BEGIN
    INSERT INTO change (kind, id, row_version) VALUES ('identity_key', NEW.realm || char(10) || NEW.kid, NEW.row_version);
END;
CREATE TRIGGER signing_key_kept BEFORE DELETE ON signing_key BEGIN
    SELECT RAISE(ABORT, 'rows are withdrawn by their state');
END;

-- Somebody who operates this server. `realms` and `tenants` bind them to these, where they are given.
CREATE TABLE operator (
    operator_id TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('reader', 'support', 'owner')),
    realms TEXT,
    tenants TEXT,
    token_digest BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    PRIMARY KEY (operator_id),
    UNIQUE (token_digest)
) STRICT;
CREATE UNIQUE INDEX operator_by_name ON operator (name) WHERE ended_at IS NULL;

-- A token that was taken back before its end.
CREATE TABLE revoked_token (
    tenant_id TEXT NOT NULL,
    token_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    row_version INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, token_id),
    FOREIGN KEY (tenant_id) REFERENCES tenant (tenant_id)
) STRICT;
CREATE INDEX revoked_token_by_expiry ON revoked_token (expires_at);
CREATE TRIGGER revoked_token_inserted AFTER INSERT ON revoked_token BEGIN
    INSERT INTO change (kind, id, row_version) VALUES ('revoked_token', NEW.tenant_id || char(10) || NEW.token_id, NEW.row_version);
END;
CREATE TRIGGER revoked_token_updated AFTER UPDATE ON revoked_token WHEN NEW.row_version = OLD.row_version BEGIN
    UPDATE revoked_token SET row_version = OLD.row_version + 1 WHERE tenant_id = NEW.tenant_id AND token_id = NEW.token_id;
END;
CREATE TRIGGER revoked_token_versioned AFTER UPDATE OF row_version ON revoked_token WHEN NEW.row_version > OLD.row_version BEGIN
    INSERT INTO change (kind, id, row_version) VALUES ('revoked_token', NEW.tenant_id || char(10) || NEW.token_id, NEW.row_version);
END;

-- What happened in a tenant. `seq` and `batch` are given once, by the sealer.
CREATE TABLE audit (
    tenant_id TEXT NOT NULL,
    audit_id TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    entity_type TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    details TEXT NOT NULL,
    address TEXT,
    credential_id TEXT,
    created_at INTEGER NOT NULL,
    seq INTEGER,
    batch TEXT,
    org_id TEXT,
    PRIMARY KEY (tenant_id, audit_id),
    FOREIGN KEY (tenant_id) REFERENCES tenant (tenant_id)
) STRICT;
CREATE INDEX audit_by_time ON audit (tenant_id, created_at, audit_id);
CREATE INDEX audit_by_age ON audit (created_at);
CREATE INDEX audit_by_org ON audit (tenant_id, org_id, created_at, audit_id);
CREATE TRIGGER audit_kept BEFORE DELETE ON audit WHEN OLD.created_at >= coalesce(
        (SELECT CAST(value AS INTEGER) FROM store_meta WHERE name = 'audit_kept_from'), 0) BEGIN
    SELECT RAISE(ABORT, 'audit entries are immutable');
END;
CREATE TRIGGER audit_fixed BEFORE UPDATE OF tenant_id, audit_id, actor, action, entity_type, entity_id, details, address, credential_id, created_at, org_id ON audit BEGIN
    SELECT RAISE(ABORT, 'audit entries are immutable');
END;
CREATE TRIGGER audit_sealed BEFORE UPDATE OF seq, batch ON audit WHEN OLD.seq IS NOT NULL BEGIN
    SELECT RAISE(ABORT, 'audit entries are immutable');
END;

-- What happened outside of every tenant.
CREATE TABLE operator_audit (
    audit_id TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    entity_type TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    details TEXT NOT NULL,
    address TEXT,
    credential_id TEXT,
    created_at INTEGER NOT NULL,
    seq INTEGER,
    batch TEXT,
    PRIMARY KEY (audit_id)
) STRICT;
CREATE INDEX operator_audit_by_time ON operator_audit (created_at, audit_id);
CREATE TRIGGER operator_audit_kept BEFORE DELETE ON operator_audit WHEN OLD.created_at >= coalesce(
        (SELECT CAST(value AS INTEGER) FROM store_meta WHERE name = 'audit_kept_from'), 0) BEGIN
    SELECT RAISE(ABORT, 'audit entries are immutable');
END;
CREATE TRIGGER operator_audit_fixed BEFORE UPDATE OF audit_id, actor, action, entity_type, entity_id, details, address, credential_id, created_at ON operator_audit BEGIN
    SELECT RAISE(ABORT, 'audit entries are immutable');
END;
CREATE TRIGGER operator_audit_sealed BEFORE UPDATE OF seq, batch ON operator_audit WHEN OLD.seq IS NOT NULL BEGIN
    SELECT RAISE(ABORT, 'audit entries are immutable');
END;

-- Who does a job that one server does at a time, and until when.
CREATE TABLE lease (
    job TEXT NOT NULL,
    holder TEXT NOT NULL,
    fence INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    PRIMARY KEY (job)
) STRICT;

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

-- How decisions' records are read.

-- LOAD_key
SELECT r.digest, r.row_version, k.key_id, k.tenant_id, k.org_id, k.environment, k.grants, k.state, k.expires_at, r.expires_at, r.revoked,
             k.networks, k.tenant_credentials, k.org_credentials FROM json_each(?1) AS j JOIN key_secret AS r ON r.digest = unhex(j.value ->> 0) JOIN api_key AS k ON k.tenant_id = r.tenant_id AND k.key_id = r.key_id;

-- LOAD_tenant
SELECT r.tenant_id, r.row_version, r.realm, r.state, r.generation, r.tokens_from, r.credentials, r.plan, r.requires_identity_headers FROM json_each(?1) AS j JOIN tenant AS r ON r.tenant_id = j.value ->> 0;

-- LOAD_org
SELECT r.tenant_id, r.org_id, r.row_version, r.state, r.generation, r.tokens_from, r.credentials FROM json_each(?1) AS j JOIN organization AS r ON r.tenant_id = j.value ->> 0 AND r.org_id = j.value ->> 1;

-- LOAD_account
SELECT r.account_id, r.row_version, r.realm, r.state, r.email_verified, r.generation, r.tokens_from, r.credentials FROM json_each(?1) AS j JOIN account AS r ON r.account_id = j.value ->> 0;

-- LOAD_member
SELECT r.tenant_id, r.org_id, r.account_id, r.row_version, r.role, r.state, r.generation, r.tokens_from, r.credentials FROM json_each(?1) AS j JOIN member AS r ON r.tenant_id = j.value ->> 0 AND r.org_id = j.value ->> 1 AND r.account_id = j.value ->> 2;

-- LOAD_session
SELECT r.tenant_id, r.session_id, r.row_version, r.tenant_id, r.session_id, r.org_id, r.account_id, r.ended, r.expires_at, r.tenant_generation,
             r.org_generation, r.account_generation, r.member_generation FROM json_each(?1) AS j JOIN session AS r ON r.tenant_id = j.value ->> 0 AND r.session_id = j.value ->> 1;

-- LOAD_user_secret
SELECT r.kid, r.row_version, r.api, r.tenant_id, r.org_id, r.account_id, r.revoked, r.sealed_secret, t.data_key, r.tenant_credentials,
             r.org_credentials, r.account_credentials, r.member_credentials FROM json_each(?1) AS j JOIN user_secret AS r ON r.kid = j.value ->> 0 JOIN tenant AS t ON t.tenant_id = r.tenant_id;

-- LOAD_foreign_identity
SELECT r.tenant_id, r.issuer, r.subject, r.row_version, r.account_id, r.not_before FROM json_each(?1) AS j JOIN foreign_identity AS r ON r.tenant_id = j.value ->> 0 AND r.issuer = j.value ->> 1 AND r.subject = j.value ->> 2 WHERE r.linked = 1;

-- LOAD_annotation
SELECT r.tenant_id, r.kind, r.entity, r.row_version, r.external_id, r.metadata FROM json_each(?1) AS j JOIN annotation AS r ON r.tenant_id = j.value ->> 0 AND r.kind = j.value ->> 1 AND r.entity = j.value ->> 2;

-- LOAD_identity_key
SELECT r.realm, r.kid, r.row_version, r.algorithm, r.public_key FROM json_each(?1) AS j JOIN signing_key AS r ON r.realm = j.value ->> 0 AND r.kid = j.value ->> 1 WHERE r.purpose = 'identity' AND r.state <> 'dropped';

-- LOAD_revoked_token
SELECT r.tenant_id, r.token_id, r.row_version, r.expires_at FROM json_each(?1) AS j JOIN revoked_token AS r ON r.tenant_id = j.value ->> 0 AND r.token_id = j.value ->> 1;
