-- The one node of an embedded store holds what it holds.
ALTER TABLE node ADD COLUMN held_keys TEXT;
