-- The one node of an embedded store has nobody to wait for.
ALTER TABLE node ADD COLUMN repeated TEXT;
ALTER TABLE node ADD COLUMN believed TEXT;
