-- Sessions that stay: `pinned_at` is when the user pinned one; NULL where it is not. What retention is
-- told to do, and what its last run did, are values in `meta`.
ALTER TABLE agent_sessions ADD COLUMN pinned_at INTEGER;
