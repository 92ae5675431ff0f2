//! Fills what a salvage lacks from the newest backup that can be read.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::catch;
use super::report::{Report, RowName};
use super::table::Table;
use crate::error::{Error, Result};
use crate::model::{Seq, Topic};
use crate::store::backup::{self, table_names};
use crate::store::engine::{self, Cell, Connection, quoted};
use crate::store::{StoreOptions, changes, migrations, remove_with_companions};

/// The feed is of one file alone.
const FEED: &str = "changes";

/// Adds the rows of the newest backup that can be read, but for what is known to have been deleted since.
pub(super) fn run(
    connection: &mut dyn Connection,
    options: &StoreOptions,
    report: &mut Report,
) -> Result<()> {
    let copy = options.database.with_extension("db.backup-copy");
    for backup in backup::list(&options.backups) {
        // What a backup that fails midway has filled is rolled back, and was never told.
        let mut told = report.clone();
        let filled = catch(|| fill(connection, options, &backup.path, &copy, &mut told));
        remove_with_companions(&copy);
        match filled {
            Ok(()) => {
                *report = Report { backup: Some(backup.path), ..told };
                return Ok(());
            }
            Err(error @ Error::DiskFull(_)) => return Err(error),
            Err(error) => {
                if !connection.is_autocommit()? {
                    engine::run(connection, "ROLLBACK")?;
                }
                tracing::warn!(%error, backup = %backup.path.display(), "a backup cannot be read; the one before it is tried");
            }
        }
    }
    Ok(())
}

/// Works on a copy: to open a file is to change it, and an old one is migrated first.
fn fill(
    connection: &mut dyn Connection,
    options: &StoreOptions,
    backup: &Path,
    copy: &PathBuf,
    report: &mut Report,
) -> Result<()> {
    remove_with_companions(copy);
    std::fs::copy(backup, copy).map_err(|error| Error::io("copying", backup, &error))?;
    let mut source = engine::open(options.engine, copy)?.connect()?;
    let problems = engine::integrity_problems(source.as_mut())?;
    if !problems.is_empty() {
        return Err(Error::Damaged(problems.join("; ")));
    }
    migrations::run_on_copy(source.as_mut(), options)?;
    let deleted = Deleted::since(connection, source.as_mut())?;
    engine::run(connection, "BEGIN")?;
    for name in table_names(source.as_mut())? {
        let mut table = Table::describe(connection, &name)?;
        if name == FEED || table.columns.is_empty() {
            continue;
        }
        let names: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
        let of_table = quoted(&name);
        let columns: Vec<String> =
            names.iter().map(|column| format!("{of_table}.{}", quoted(column))).collect();
        let select = format!("SELECT {} FROM {of_table}", columns.join(", "));
        let told = report.table(&name);
        let suspects: HashSet<String> = told.suspect.iter().map(key_of).collect();
        let (mut added, mut replaced) = (HashSet::new(), HashSet::new());
        let mut count = 0;
        source.run(&select, &mut |row| {
            let cells = names.iter().map(|_| row.cell()).collect::<Result<Vec<Cell>>>()?;
            if deleted.has(&name, &names, &cells) {
                return Ok(ControlFlow::Continue(()));
            }
            let row = table.with_rowid(cells);
            let row_name = table.name_of(&row);
            let key = key_of(&row_name);
            if suspects.contains(&key) {
                table.delete(connection, &row)?;
                replaced.insert(key);
            }
            if table.insert(connection, &row)? {
                added.extend(keys_of(&row_name));
                count += 1;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        told.from_backup += count;
        told.lost.retain(|lost| !added.contains(&key_of(lost)));
        told.suspect.retain(|suspect| !replaced.contains(&key_of(suspect)));
    }
    engine::run(connection, "COMMIT")
}

/// Returns what tells a row's name from others: of what an index knows, or the row itself.
fn key_of(name: &RowName) -> String {
    keys_of(name).swap_remove(0)
}

/// Returns all by which a row may be named.
fn keys_of(name: &RowName) -> Vec<String> {
    let part = |columns: &[&str]| {
        let values: Option<Vec<String>> =
            columns.iter().map(|column| Some(format!("{column}={}", name.get(*column)?))).collect();
        values.map(|values| values.join(" "))
    };
    let mut keys: Vec<String> =
        [part(&["id"]), part(&["session_id", "index_in_session"])].into_iter().flatten().collect();
    let columns: Vec<&str> = name.keys().map(String::as_str).collect();
    keys.extend(part(&columns));
    keys
}

/// What the feed knows to have been deleted since a backup was made.
#[derive(Debug, Default)]
struct Deleted {
    sessions: HashSet<String>,
    settings: HashSet<(String, String)>,
    files: HashSet<(String, String)>,
    attachments: HashSet<String>,
}

impl Deleted {
    fn since(connection: &mut dyn Connection, backup: &mut dyn Connection) -> Result<Self> {
        let mut deleted = Self::default();
        let same_feed = match (changes::feed_id(connection), changes::feed_id(backup)) {
            (Ok(one), Ok(other)) => one == other,
            _ => false,
        };
        if !same_feed {
            return Ok(deleted);
        }
        let since: Seq = changes::last_seq(backup)?;
        connection.query(
            "SELECT topic, entity_id, project_id FROM changes WHERE seq > ?1 ORDER BY seq",
            &[since.into()],
            &mut |row| {
                let (topic, entity, project) = (row.text()?, row.text()?, row.optional_text()?);
                if let Some(topic) = Topic::parse(&topic) {
                    deleted.follow(topic, entity, project.unwrap_or_default());
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(deleted)
    }

    /// Takes note of a change: what is made again is not deleted any more.
    fn follow(&mut self, topic: Topic, entity: String, project: String) {
        match topic {
            Topic::SessionPurged => drop(self.sessions.insert(entity)),
            Topic::SessionStarted | Topic::SessionForked => drop(self.sessions.remove(&entity)),
            Topic::SettingDeleted => drop(self.settings.insert((project, entity))),
            Topic::SettingChanged => drop(self.settings.remove(&(project, entity))),
            Topic::FileRemoved => drop(self.files.insert((project, entity))),
            Topic::FileTouched => drop(self.files.remove(&(project, entity))),
            Topic::AttachmentCollected => drop(self.attachments.insert(entity)),
            Topic::AttachmentAdded => drop(self.attachments.remove(&entity)),
            _ => {}
        }
    }

    fn has(&self, table: &str, columns: &[String], cells: &[Cell]) -> bool {
        let text = |column: &str| {
            let at = columns.iter().position(|name| name == column)?;
            match &cells[at] {
                Cell::Text(text) => Some(text.clone()),
                _ => None,
            }
        };
        let is_in = |set: &HashSet<String>, column: &str| {
            text(column).is_some_and(|value| set.contains(&value))
        };
        match table {
            "agent_sessions" => is_in(&self.sessions, "id"),
            "agent_messages" | "agent_edits" | "agent_session_texts" => {
                is_in(&self.sessions, "session_id")
            }
            "attachments" | "attachment_data" => is_in(&self.attachments, "hash"),
            "settings" => {
                let scope = text("scope").unwrap_or_default();
                let project = scope.strip_prefix("project:").unwrap_or_default().to_owned();
                self.settings.contains(&(project, text("key").unwrap_or_default()))
            }
            "files" => {
                let project = text("project_id").unwrap_or_default();
                self.files.contains(&(project, text("relative_path").unwrap_or_default()))
            }
            // The feed's name is of one file alone.
            "meta" => text("key").as_deref() == Some("feed_id"),
            _ => false,
        }
    }
}
