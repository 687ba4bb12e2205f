-- Whose a tenant is. Of one that was there before, nobody knows; an operator says it.
ALTER TABLE tenant ADD COLUMN owner_id uuid;

-- The organization that something happened in. Its index comes later, beside those who write.
ALTER TABLE audit ADD COLUMN org_id uuid;
