-- Where the feed comes from. Crash recovery and promotion may give out transaction ids again that a cursor counts as
-- seen, and both empty an unlogged table: its one row, made anew by whoever finds none, tells one epoch from the next.
CREATE UNLOGGED TABLE feed_epoch (
    only_one boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (only_one),
    epoch    uuid    NOT NULL
);

-- The least version of the feed that must understand the line: a node of that version, or a later one, that does not
-- know its kind is out of date.
ALTER TABLE change ADD COLUMN needs bigint NOT NULL DEFAULT 1;

-- The server and the table: another one after a dump was restored, which carries transaction ids of the old server.
CREATE FUNCTION feed_home() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = claviger, pg_temp AS $$
    SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' || 'change'::regclass::oid
$$;

-- Home, timeline, the table's file, epoch; NULL while there is no epoch, and on a server that takes no writes any more, which
-- is not the one that withdrawals are written to; an error in recovery.
CREATE FUNCTION feed_origin() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = claviger, pg_temp AS $$
    SELECT CASE current_setting('default_transaction_read_only') WHEN 'off' THEN '' END || feed_home() || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || '/'
        || pg_relation_filenode('change'::regclass) || '/' || (SELECT epoch FROM feed_epoch)
$$;

CREATE FUNCTION begin_epoch() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = claviger, pg_temp AS $$
    INSERT INTO feed_epoch (epoch) VALUES (gen_random_uuid()) ON CONFLICT DO NOTHING;
    SELECT count(*) FROM feed_epoch;
$$;

-- Begins the feed anew at home, after a restore that somebody has looked at.
CREATE FUNCTION take_home() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = claviger, pg_temp AS $$
BEGIN
    TRUNCATE change, feed_epoch;
    DELETE FROM store_meta WHERE name IN ('swept_to', 'sweep_mark');
    INSERT INTO store_meta (name, value) VALUES ('home', feed_home())
        ON CONFLICT (name) DO UPDATE SET value = excluded.value;
    RETURN feed_home();
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA claviger FROM PUBLIC;
GRANT EXECUTE ON FUNCTION feed_home(), feed_origin(), begin_epoch(), take_home() TO claviger_system;

-- The one clock: what a row says of time is by it, and no node's own.
CREATE FUNCTION claviger_now() RETURNS bigint LANGUAGE sql VOLATILE SET search_path = claviger, pg_temp AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint
$$;
REVOKE ALL ON FUNCTION claviger_now() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION claviger_now() TO claviger_rt, claviger_system;

-- What an earlier program left behind may come from another server: the feed begins here.
SELECT take_home();
