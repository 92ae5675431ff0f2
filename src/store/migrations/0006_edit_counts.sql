-- How many edits each session has, kept by every `edit.record`: to count them anew would read as many
-- entries of an index as there are edits, each time that somebody asks for the status.
ALTER TABLE agent_sessions ADD COLUMN edit_count INTEGER NOT NULL DEFAULT 0;
