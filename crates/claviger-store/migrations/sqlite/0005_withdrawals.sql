-- The withdrawals that nodes keep a file of, by name. The one node of this store is the store, and keeps none.
CREATE TABLE withdrawal (
    withdrawal_id TEXT    NOT NULL PRIMARY KEY,
    at            INTEGER NOT NULL
) STRICT;
