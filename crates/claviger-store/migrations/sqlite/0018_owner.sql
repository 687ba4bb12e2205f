-- Whose a tenant is. Of one that was there before, nobody knows; an operator says it.
ALTER TABLE tenant ADD COLUMN owner_id TEXT;

-- The organization that something happened in.
ALTER TABLE audit ADD COLUMN org_id TEXT;
CREATE INDEX audit_by_org ON audit (tenant_id, org_id, created_at, audit_id);
DROP TRIGGER audit_fixed;
CREATE TRIGGER audit_fixed BEFORE UPDATE OF tenant_id, audit_id, actor, action, entity_type, entity_id, details, address, credential_id,
    created_at, org_id ON audit BEGIN
    SELECT RAISE(ABORT, 'audit entries are immutable');
END;
