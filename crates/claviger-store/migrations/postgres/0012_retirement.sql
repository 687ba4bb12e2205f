-- Who does a job that one server does at a time, and until when.
CREATE TABLE lease (
    job text NOT NULL,
    holder uuid NOT NULL,
    fence bigint NOT NULL,
    ends_at bigint NOT NULL,
    PRIMARY KEY (job)
);
GRANT SELECT ON lease TO claviger_system;
GRANT INSERT ON lease TO claviger_system;
GRANT UPDATE ON lease TO claviger_system;

-- What happened may leave once it is older than is said there, and never before 30 days. The index by age comes later, beside those
-- who write.
CREATE OR REPLACE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql SET search_path = claviger, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.seq IS NULL
        AND to_jsonb(OLD) - 'seq' - 'batch' = to_jsonb(NEW) - 'seq' - 'batch' THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' AND OLD.created_at < claviger_now() - 30::bigint * 24 * 60 * 60 * 1000
        AND OLD.created_at < (SELECT m.value::bigint FROM store_meta AS m WHERE m.name = 'audit_kept_from') THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit entries are immutable' USING ERRCODE = 'restrict_violation';
END $$;
CREATE POLICY retired ON audit TO claviger_system USING (created_at < (SELECT claviger_now() - 2592000000));
GRANT SELECT (tenant_id, audit_id, created_at) ON audit TO claviger_system;
GRANT DELETE ON audit, operator_audit TO claviger_system;
