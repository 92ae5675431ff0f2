-- Sessions that fork, are compacted, archived and purged. No table is rewritten: columns are added,
-- and the indexes of the lists are made anew over the sessions alone.

-- The index in the parent from which on its messages are not the fork's; NULL where it is no fork.
ALTER TABLE agent_sessions ADD COLUMN forked_at_index INTEGER;

-- `compacted_ranges` are written as `hidden_ranges` are, and the two have no index in common;
-- `compacted_count` is how many those are, `compacted_index` the next index at the last compaction.
-- `summary_through` is the last index that the summary stands for; its text is in agent_session_texts.
ALTER TABLE agent_sessions ADD COLUMN compacted_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agent_sessions ADD COLUMN compacted_ranges TEXT;
ALTER TABLE agent_sessions ADD COLUMN compacted_index INTEGER;
ALTER TABLE agent_sessions ADD COLUMN summary_through INTEGER;
ALTER TABLE agent_sessions ADD COLUMN summary_at INTEGER;
ALTER TABLE agent_session_texts ADD COLUMN summary TEXT;

-- `shelf` is the list a session is on: 0 the usual one, 1 the archive, 2 the trash, 3 none any more,
-- since it is being purged.
ALTER TABLE agent_sessions ADD COLUMN archived_at INTEGER;
ALTER TABLE agent_sessions ADD COLUMN shelf INTEGER NOT NULL DEFAULT 0;
UPDATE agent_sessions SET shelf = 2 WHERE deleted_at IS NOT NULL;

-- The message that a fork's copy is of, through forks of forks the first one.
ALTER TABLE agent_messages ADD COLUMN origin_id TEXT;

-- Every append moves the session in the first two, at a page of the log each; in the third it stays.
DROP INDEX idx_agent_sessions_kind_activity;
DROP INDEX idx_agent_sessions_project_kind_activity;
CREATE INDEX idx_agent_sessions_shelf_kind_activity ON agent_sessions (shelf, kind, activity_at, id);
CREATE INDEX idx_agent_sessions_shelf_project_kind_activity ON agent_sessions (shelf, project_id, kind, activity_at, id);
CREATE INDEX idx_agent_sessions_parent_created ON agent_sessions (parent_id, shelf, created_at, id);
