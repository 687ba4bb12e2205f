-- Since when an account has its address, if it had another one before: what was mailed to that one is worth nothing.
ALTER TABLE account ADD COLUMN email_since INTEGER;

-- Links that change an address. (A check is not changed in its place here.)
ALTER TABLE proof RENAME TO proof_before;
DROP INDEX proof_by_whose;
DROP INDEX proof_by_mail;
DROP INDEX proof_by_age;
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
INSERT INTO proof (digest, purpose, whose, account_id, sealed, mail_id, expires_at, created_at)
    SELECT digest, purpose, whose, account_id, sealed, mail_id, expires_at, created_at FROM proof_before;
DROP TABLE proof_before;
CREATE INDEX proof_by_whose ON proof (whose, purpose, created_at);
CREATE INDEX proof_by_mail ON proof (mail_id);
CREATE INDEX proof_by_age ON proof (expires_at);
