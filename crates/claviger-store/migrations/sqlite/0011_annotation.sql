-- What others call something of a tenant's, and keep beside it.
CREATE TABLE annotation (
    tenant_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('tenant', 'organization', 'member', 'key')),
    entity TEXT NOT NULL,
    external_id TEXT,
    metadata TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL,
    row_version INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, kind, entity),
    FOREIGN KEY (tenant_id) REFERENCES tenant (tenant_id)
) STRICT;
CREATE UNIQUE INDEX annotation_external ON annotation (tenant_id, kind, external_id) WHERE external_id IS NOT NULL;
CREATE TRIGGER annotation_inserted AFTER INSERT ON annotation BEGIN
    INSERT INTO change (kind, id, row_version, needs) VALUES ('annotation', NEW.tenant_id || char(10) || NEW.kind || char(10) || NEW.entity, NEW.row_version, 2);
END;
CREATE TRIGGER annotation_updated AFTER UPDATE ON annotation WHEN NEW.row_version = OLD.row_version BEGIN
    UPDATE annotation SET row_version = OLD.row_version + 1 WHERE tenant_id = NEW.tenant_id AND kind = NEW.kind AND entity = NEW.entity;
END;
CREATE TRIGGER annotation_versioned AFTER UPDATE OF row_version ON annotation WHEN NEW.row_version > OLD.row_version BEGIN
    INSERT INTO change (kind, id, row_version, needs) VALUES ('annotation', NEW.tenant_id || char(10) || NEW.kind || char(10) || NEW.entity, NEW.row_version, 2);
END;
CREATE TRIGGER annotation_kept BEFORE DELETE ON annotation BEGIN
    SELECT RAISE(ABORT, 'rows are withdrawn by their state');
END;

-- Which external ids of a realm's tenants are taken, and by whom.
CREATE TABLE tenant_external_id (
    realm TEXT NOT NULL,
    external_id TEXT NOT NULL,
    holder TEXT NOT NULL,
    PRIMARY KEY (realm, external_id),
    UNIQUE (holder),
    FOREIGN KEY (realm) REFERENCES realm (name),
    FOREIGN KEY (holder) REFERENCES tenant (tenant_id)
) STRICT;
