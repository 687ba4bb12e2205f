-- The withdrawals that nodes have acknowledged and keep a file of, by name: one that is in a node's file and not here was
-- lost with the server that it was written to.
CREATE TABLE withdrawal (
    withdrawal_id uuid   NOT NULL PRIMARY KEY,
    at            bigint NOT NULL
);
CREATE INDEX withdrawal_by_time ON withdrawal (at);
GRANT INSERT ON withdrawal TO claviger_rt;
GRANT SELECT, INSERT, DELETE ON withdrawal TO claviger_system;
