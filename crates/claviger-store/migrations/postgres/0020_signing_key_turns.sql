-- When a key took its last step, for those that take turns by themselves.
ALTER TABLE signing_key ADD COLUMN changed_at bigint;
