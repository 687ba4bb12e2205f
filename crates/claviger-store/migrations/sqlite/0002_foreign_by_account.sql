-- An account's links in all tenants, whose tokens end with the account's.
CREATE INDEX foreign_identity_by_account ON foreign_identity (account_id);
