-- The names of the keyring's keys that a node holds: what is made from now on hangs on keys that all live nodes hold.
ALTER TABLE node ADD COLUMN held_keys text;
GRANT SELECT (seen_at, held_keys) ON node TO claviger_rt;
