-- Edits in the order recorded. This replaces the table of step 1, whose rows are read before and
-- written here after; only an adopted database had any.

-- `seq` is the order, and stays when the file is copied. `path_key` and `new_path_key` are the texts
-- that all paths of one file share. `project_id` is the session's, and follows it.
CREATE TABLE agent_edits (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    session_id TEXT NOT NULL REFERENCES agent_sessions (id) ON DELETE CASCADE,
    project_id TEXT,
    message_id TEXT,
    file_path TEXT NOT NULL,
    path_key TEXT NOT NULL,
    kind TEXT NOT NULL,
    diff TEXT NOT NULL,
    new_path TEXT,
    new_path_key TEXT,
    before_hash TEXT,
    after_hash TEXT,
    created_at INTEGER NOT NULL
);
CREATE INDEX idx_agent_edits_file_time ON agent_edits (file_path, created_at);
CREATE INDEX idx_agent_edits_path_order ON agent_edits (path_key, seq);
CREATE INDEX idx_agent_edits_new_path_order ON agent_edits (new_path_key, seq);
CREATE INDEX idx_agent_edits_session_order ON agent_edits (session_id, seq);
CREATE INDEX idx_agent_edits_project_order ON agent_edits (project_id, seq);
