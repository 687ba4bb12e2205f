-- What others call something of a tenant's, and keep beside it.
CREATE TABLE annotation (
    tenant_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('tenant', 'organization', 'member', 'key')),
    entity text NOT NULL,
    external_id text,
    metadata text NOT NULL DEFAULT '{}',
    created_at bigint NOT NULL,
    row_version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, kind, entity),
    FOREIGN KEY (tenant_id) REFERENCES tenant (tenant_id)
);
CREATE UNIQUE INDEX annotation_external ON annotation (tenant_id, kind, external_id) WHERE external_id IS NOT NULL;
CREATE TRIGGER annotation_updated BEFORE UPDATE ON annotation FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE TRIGGER annotation_changed AFTER INSERT OR UPDATE ON annotation FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION note_change();
ALTER TABLE annotation ENABLE ROW LEVEL SECURITY;
ALTER TABLE annotation FORCE ROW LEVEL SECURITY;
CREATE POLICY bound_tenant ON annotation TO claviger_rt
    USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))
    WITH CHECK (tenant_id = (SELECT current_setting('app.tenant')::uuid));
CREATE POLICY named_job ON annotation FOR SELECT TO claviger_system USING (true);
CREATE POLICY named_job_adds ON annotation FOR INSERT TO claviger_system WITH CHECK (true);
CREATE POLICY named_job_ends ON annotation FOR UPDATE TO claviger_system USING (true);
CREATE POLICY backfill ON annotation TO claviger_owner USING (current_setting('claviger.backfill', true) = 'on');
GRANT SELECT ON annotation TO claviger_rt;
GRANT INSERT ON annotation TO claviger_rt;
GRANT UPDATE ON annotation TO claviger_rt;
GRANT SELECT ON annotation TO claviger_system;
GRANT INSERT ON annotation TO claviger_system;
GRANT UPDATE ON annotation TO claviger_system;

-- Which external ids of a realm's tenants are taken, and by whom.
CREATE TABLE tenant_external_id (
    realm text NOT NULL,
    external_id text NOT NULL,
    holder uuid NOT NULL,
    PRIMARY KEY (realm, external_id),
    UNIQUE (holder),
    FOREIGN KEY (realm) REFERENCES realm (name),
    FOREIGN KEY (holder) REFERENCES tenant (tenant_id)
);
GRANT SELECT ON tenant_external_id TO claviger_system;
GRANT INSERT ON tenant_external_id TO claviger_system;
GRANT DELETE ON tenant_external_id TO claviger_system;

-- Runs as its owner, so that nobody else needs a right on the feed to change what it tells of.
CREATE OR REPLACE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = claviger, pg_temp AS $$
DECLARE
    subject_kind text;
    subject_id text;
    subject_needs bigint := 1;
BEGIN
    CASE TG_TABLE_NAME
        WHEN 'account' THEN
            subject_kind := 'account'; subject_id := NEW.account_id::text;
        WHEN 'tenant' THEN
            subject_kind := 'tenant'; subject_id := NEW.tenant_id::text;
        WHEN 'organization' THEN
            subject_kind := 'org'; subject_id := NEW.tenant_id::text || E'\n' || NEW.org_id::text;
        WHEN 'member' THEN
            subject_kind := 'member'; subject_id := NEW.tenant_id::text || E'\n' || NEW.org_id::text || E'\n' || NEW.account_id::text;
        WHEN 'session' THEN
            subject_kind := 'session'; subject_id := NEW.tenant_id::text || E'\n' || NEW.session_id::text;
        WHEN 'key_secret' THEN
            subject_kind := 'key'; subject_id := encode(NEW.digest, 'hex');
        WHEN 'user_secret' THEN
            subject_kind := 'user_secret'; subject_id := NEW.kid;
        WHEN 'foreign_identity' THEN
            subject_kind := 'foreign_identity'; subject_id := NEW.tenant_id::text || E'\n' || NEW.issuer || E'\n' || NEW.subject;
        WHEN 'annotation' THEN
            subject_kind := 'annotation'; subject_id := NEW.tenant_id::text || E'\n' || NEW.kind || E'\n' || NEW.entity; subject_needs := 2;
        WHEN 'signing_key' THEN
            subject_kind := 'identity_key'; subject_id := NEW.realm || E'\n' || NEW.kid;
        WHEN 'revoked_token' THEN
            subject_kind := 'revoked_token'; subject_id := NEW.tenant_id::text || E'\n' || NEW.token_id::text;
    END CASE;
    INSERT INTO change (kind, id, row_version, needs)
        VALUES (subject_kind, subject_id, NEW.row_version, subject_needs);
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION raise_secret_versions() RETURNS trigger LANGUAGE plpgsql SET search_path = claviger, pg_temp AS $$
BEGIN
    UPDATE key_secret SET row_version = row_version + 1 WHERE tenant_id = NEW.tenant_id AND key_id = NEW.key_id;
    RETURN NULL;
END $$;
