-- An account's links in all tenants, whose tokens end with the account's.
CREATE INDEX foreign_identity_by_account ON foreign_identity (account_id);

-- Ending an account's tokens reaches into every tenant, for this one column.
DROP POLICY named_job ON foreign_identity;
CREATE POLICY named_job ON foreign_identity TO claviger_system USING (true);
GRANT UPDATE (not_before) ON foreign_identity TO claviger_system;
