-- Who does a job that one server does at a time, and until when.
CREATE TABLE lease (
    job TEXT NOT NULL,
    holder TEXT NOT NULL,
    fence INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    PRIMARY KEY (job)
) STRICT;

-- What happened may leave once it is older than is said here; until then the file refuses to forget it.
CREATE INDEX audit_by_age ON audit (created_at);
DROP TRIGGER audit_kept;
CREATE TRIGGER audit_kept BEFORE DELETE ON audit WHEN OLD.created_at >= coalesce(
        (SELECT CAST(value AS INTEGER) FROM store_meta WHERE name = 'audit_kept_from'), 0) BEGIN
    SELECT RAISE(ABORT, 'audit entries are immutable');
END;
DROP TRIGGER operator_audit_kept;
CREATE TRIGGER operator_audit_kept BEFORE DELETE ON operator_audit WHEN OLD.created_at >= coalesce(
        (SELECT CAST(value AS INTEGER) FROM store_meta WHERE name = 'audit_kept_from'), 0) BEGIN
    SELECT RAISE(ABORT, 'audit entries are immutable');
END;
