-- The timeline of the server for which a node has done again what the one before lost of the withdrawals that it had acknowledged,
-- and the one that it believes, as all have done so.
ALTER TABLE node ADD COLUMN repeated text, ADD COLUMN believed text;
