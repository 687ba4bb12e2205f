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

-- A link that was mailed, by the digest of its secret. `whose` is a MAC of the address; a sign-up is sealed until it is proven.
CREATE TABLE proof (
    digest BLOB NOT NULL,
    purpose TEXT NOT NULL CHECK (purpose IN ('sign-up', 'verify', 'reset')),
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
