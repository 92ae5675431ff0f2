-- Attachments: bytes by their SHA-256, and which messages refer to them.

-- `mime` and `name` are those of the first put. `put_at` is when it was last put.
CREATE TABLE attachments (
    hash TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    mime TEXT NOT NULL,
    name TEXT,
    created_at INTEGER NOT NULL,
    put_at INTEGER NOT NULL
);

-- The bytes, apart from the row that every put rewrites.
CREATE TABLE attachment_data (
    hash TEXT PRIMARY KEY REFERENCES attachments (hash) ON DELETE CASCADE,
    data BLOB NOT NULL
);

-- A row for each attachment of a message, however often the message lists it: as long as there is
-- one, the engine itself refuses to delete the attachment.
CREATE TABLE message_attachments (
    hash TEXT NOT NULL REFERENCES attachments (hash),
    message_id TEXT NOT NULL REFERENCES agent_messages (id) ON DELETE CASCADE,
    PRIMARY KEY (message_id, hash)
);
-- Of just the column that refers: the engine searches no other index before it deletes an attachment.
CREATE INDEX idx_message_attachments_hash ON message_attachments (hash);

-- What the message lists, as JSON, so that a page of messages is one query. NULL where it lists none.
ALTER TABLE agent_messages ADD COLUMN attachments TEXT;
