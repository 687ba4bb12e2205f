-- Since when an account has its address, if it had another one before: what was mailed to that one is worth nothing.
ALTER TABLE account ADD COLUMN email_since bigint;
GRANT SELECT (email_since) ON account TO claviger_rt;

-- Links that change an address.
ALTER TABLE proof DROP CONSTRAINT proof_purpose_check;
ALTER TABLE proof ADD CONSTRAINT proof_purpose_check CHECK (purpose IN ('sign-up', 'verify', 'reset', 'change'));
