-- The change feed: a row for each change, written in the transaction of the change.

-- `seq` counts on without a hole; the newest row is never deleted, so that no number is used twice.
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    topic TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    session_id TEXT,
    project_id TEXT
);

-- What is one for the whole database: `feed_id` tells this feed from that of another database.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
