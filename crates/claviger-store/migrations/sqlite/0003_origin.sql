-- The least version of the feed that must understand the line: a node of that version, or a later one, that does not
-- know its kind is out of date.
ALTER TABLE change ADD COLUMN needs INTEGER NOT NULL DEFAULT 1;
