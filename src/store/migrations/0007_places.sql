-- Projects that move, and their files.

-- `path_without_case` finds a folder that may be the same in another case, which a look then tells.
-- `former_paths` is a JSON array, the last folder first.
ALTER TABLE projects ADD COLUMN path_without_case TEXT;
ALTER TABLE projects ADD COLUMN former_paths TEXT;
ALTER TABLE projects ADD COLUMN git_remote TEXT;
ALTER TABLE projects ADD COLUMN git_root_commit TEXT;
CREATE INDEX idx_projects_path_without_case ON projects (path_without_case, opened_at, id);
CREATE INDEX idx_projects_git_remote ON projects (git_remote, opened_at, id);
CREATE INDEX idx_projects_git_root_commit ON projects (git_root_commit, opened_at, id);

-- The keys of `former_paths`.
CREATE TABLE project_former_paths (
    path_key TEXT NOT NULL,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    PRIMARY KEY (path_key, project_id)
);

-- `path_key` is of the place below the project's folder, so that it stays when that moves.
-- `opened_in` is the project again, of files that were ever opened. An index that began with
-- `project_id` would be taken by Turso to find one file, in place of the key, among all of its project.
CREATE TABLE files (
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    path_key TEXT NOT NULL,
    path TEXT NOT NULL,
    relative_path TEXT NOT NULL,
    language TEXT,
    size INTEGER,
    hash TEXT,
    modified_at INTEGER,
    opened_at INTEGER,
    opened_in TEXT,
    state TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (project_id, path_key)
);
CREATE INDEX idx_files_opened ON files (opened_in, opened_at, path_key);
