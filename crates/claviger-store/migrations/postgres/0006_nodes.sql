-- The servers that serve from this store. No decision reads it, so that it has no versions and is not in the feed.
CREATE TABLE node (
    node_id       uuid   NOT NULL PRIMARY KEY,
    name          text   NOT NULL,
    version       text   NOT NULL,
    settings_hash text   NOT NULL,
    started_at    bigint NOT NULL,
    seen_at       bigint NOT NULL,
    offset_millis bigint,
    -- What it has applied of the feed: written when somebody waits for it.
    origin        text,
    position      text
);
-- Who waits until every node has applied what was committed before.
CREATE TABLE node_wait (
    xid xid8   NOT NULL PRIMARY KEY DEFAULT pg_current_xact_id(),
    at  bigint NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON node TO claviger_system;
GRANT SELECT, INSERT, DELETE ON node_wait TO claviger_system;
