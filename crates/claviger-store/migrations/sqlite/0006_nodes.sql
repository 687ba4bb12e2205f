-- The servers that serve from this store: one, as it is that one's alone. No decision reads it.
CREATE TABLE node (
    node_id       TEXT    NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL,
    version       TEXT    NOT NULL,
    settings_hash TEXT    NOT NULL,
    started_at    INTEGER NOT NULL,
    seen_at       INTEGER NOT NULL,
    offset_millis INTEGER,
    origin        TEXT,
    position      TEXT
) STRICT;
CREATE TABLE node_wait (
    xid INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at  INTEGER NOT NULL
) STRICT;
