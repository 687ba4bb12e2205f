-- A backfill gives rows that are there a value for a column that is new: no decision reads it yet, and a line in the feed for each
-- would empty every node's memory. It is the owner's, who says so in its transaction; everybody else's changes raise versions
-- and are told of as ever, whatever they set.
CREATE OR REPLACE TRIGGER account_updated BEFORE UPDATE ON account FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE OR REPLACE TRIGGER account_changed AFTER INSERT OR UPDATE ON account FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION note_change();
CREATE OR REPLACE TRIGGER tenant_updated BEFORE UPDATE ON tenant FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE OR REPLACE TRIGGER tenant_changed AFTER INSERT OR UPDATE ON tenant FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION note_change();
CREATE OR REPLACE TRIGGER organization_updated BEFORE UPDATE ON organization FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE OR REPLACE TRIGGER organization_changed AFTER INSERT OR UPDATE ON organization FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION note_change();
CREATE OR REPLACE TRIGGER member_updated BEFORE UPDATE ON member FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE OR REPLACE TRIGGER member_changed AFTER INSERT OR UPDATE ON member FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION note_change();
CREATE OR REPLACE TRIGGER session_updated BEFORE UPDATE ON session FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE OR REPLACE TRIGGER session_changed AFTER INSERT OR UPDATE ON session FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION note_change();
CREATE OR REPLACE TRIGGER key_secret_updated BEFORE UPDATE ON key_secret FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE OR REPLACE TRIGGER key_secret_changed AFTER INSERT OR UPDATE ON key_secret FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION note_change();
CREATE OR REPLACE TRIGGER user_secret_updated BEFORE UPDATE ON user_secret FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE OR REPLACE TRIGGER user_secret_changed AFTER INSERT OR UPDATE ON user_secret FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION note_change();
CREATE OR REPLACE TRIGGER foreign_identity_updated BEFORE UPDATE ON foreign_identity FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE OR REPLACE TRIGGER foreign_identity_changed AFTER INSERT OR UPDATE ON foreign_identity FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION note_change();
CREATE OR REPLACE TRIGGER signing_key_updated BEFORE UPDATE ON signing_key FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE OR REPLACE TRIGGER signing_key_changed AFTER INSERT OR UPDATE ON signing_key FOR EACH ROW
    WHEN (NEW.purpose = 'identity' AND (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on'))
    EXECUTE FUNCTION note_change();
CREATE OR REPLACE TRIGGER revoked_token_updated BEFORE UPDATE ON revoked_token FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE OR REPLACE TRIGGER revoked_token_changed AFTER INSERT OR UPDATE ON revoked_token FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION note_change();
CREATE OR REPLACE TRIGGER api_key_updated BEFORE UPDATE ON api_key FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_version();
CREATE OR REPLACE TRIGGER api_key_changed AFTER UPDATE ON api_key FOR EACH ROW
    WHEN (current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION raise_secret_versions();

-- Rows of tenants are hidden from the owner, too, but for that.
CREATE POLICY backfill ON tenant TO claviger_owner USING (current_setting('claviger.backfill', true) = 'on');
CREATE POLICY backfill ON organization TO claviger_owner USING (current_setting('claviger.backfill', true) = 'on');
CREATE POLICY backfill ON member TO claviger_owner USING (current_setting('claviger.backfill', true) = 'on');
CREATE POLICY backfill ON session TO claviger_owner USING (current_setting('claviger.backfill', true) = 'on');
CREATE POLICY backfill ON api_key TO claviger_owner USING (current_setting('claviger.backfill', true) = 'on');
CREATE POLICY backfill ON key_secret TO claviger_owner USING (current_setting('claviger.backfill', true) = 'on');
CREATE POLICY backfill ON user_secret TO claviger_owner USING (current_setting('claviger.backfill', true) = 'on');
CREATE POLICY backfill ON foreign_identity TO claviger_owner USING (current_setting('claviger.backfill', true) = 'on');
CREATE POLICY backfill ON revoked_token TO claviger_owner USING (current_setting('claviger.backfill', true) = 'on');
