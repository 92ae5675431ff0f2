-- Sessions, messages, settings and projects: what the foundation serves. No method writes
-- `agent_edits` yet, but an adopted database brings some.

CREATE TABLE settings (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
);

CREATE TABLE projects (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    path_key TEXT NOT NULL,
    metadata TEXT,
    created_at INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    removed_at INTEGER
);
CREATE INDEX idx_projects_path_key ON projects (path_key);
CREATE INDEX idx_projects_opened ON projects (opened_at, id);

-- `hidden_ranges` are the indexes that the history hides, such as `0-5,9-12`, each without its end;
-- `hidden_count` is how many those are, `cleared_index` the next index at the last clear.
CREATE TABLE agent_sessions (
    id TEXT PRIMARY KEY,
    project_id TEXT,
    kind TEXT NOT NULL,
    title TEXT,
    description TEXT,
    model TEXT,
    parent_id TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    activity_at INTEGER NOT NULL,
    next_index INTEGER NOT NULL DEFAULT 0,
    hidden_count INTEGER NOT NULL DEFAULT 0,
    hidden_ranges TEXT,
    cleared_index INTEGER,
    first_message_at INTEGER,
    last_message_at INTEGER,
    deleted_at INTEGER
);
CREATE INDEX idx_agent_sessions_project_created ON agent_sessions (project_id, created_at);
-- Every append moves the session in these two, at a page of the log each.
CREATE INDEX idx_agent_sessions_kind_activity ON agent_sessions (deleted_at, kind, activity_at, id);
CREATE INDEX idx_agent_sessions_project_kind_activity ON agent_sessions (deleted_at, project_id, kind, activity_at, id);

-- What may be long and seldom changes, apart from the row that every append rewrites. `first_sent`,
-- here and in agent_messages, is the fingerprint of what was first sent; NULL until it is patched.
CREATE TABLE agent_session_texts (
    session_id TEXT PRIMARY KEY REFERENCES agent_sessions (id) ON DELETE CASCADE,
    system_prompt TEXT,
    metadata TEXT,
    first_sent TEXT
);

CREATE TABLE agent_messages (
    id TEXT PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES agent_sessions (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    index_in_session INTEGER NOT NULL,
    content TEXT NOT NULL,
    code_excerpt TEXT,
    metadata TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER,
    first_sent TEXT
);
CREATE UNIQUE INDEX idx_agent_messages_session_order ON agent_messages (session_id, index_in_session);

CREATE TABLE agent_edits (
    id TEXT PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES agent_sessions (id) ON DELETE CASCADE,
    file_path TEXT NOT NULL,
    kind TEXT NOT NULL,
    diff TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE INDEX idx_agent_edits_file_time ON agent_edits (file_path, created_at);
