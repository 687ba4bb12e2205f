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

-- A link that was mailed, by the digest of its secret. `whose` is a MAC of the address; a sign-up is sealed until it is proven.
CREATE TABLE proof (
    digest bytea NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('sign-up', 'verify', 'reset')),
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
