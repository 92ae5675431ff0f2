//! Numbered migrations, each step and its record in one transaction.
//!
//! `PRAGMA user_version` is the record. A file that holds data is backed up, and the backup
//! verified, before its first step. A database of a newer version, or of another program, is refused.

mod adopt;
mod changes;
mod edit_counts;
mod edits;
mod places;
pub(in crate::store) mod recognise;

use std::collections::BTreeSet;

use super::StoreOptions;
use super::backup::{self, Backup, HeldFiles, Reason, Target};
use super::engine::{self, Cell, Connection};
use crate::error::{Error, Result};

/// The version of the tables this build works with.
pub const CURRENT_VERSION: i64 = 8;

/// One step: from the version before to `version`. Its text never changes once released.
struct Step {
    version: i64,
    sql: &'static str,
    /// Runs the script, and moves the rows that SQL alone cannot.
    run: fn(&mut dyn Connection, &str) -> Result<()>,
}

const FOUNDATION: &str = include_str!("0001_foundation.sql");
const EDITS: &str = include_str!("0002_edits.sql");
const CHANGES: &str = include_str!("0003_changes.sql");
const ATTACHMENTS: &str = include_str!("0004_attachments.sql");
const SESSIONS: &str = include_str!("0005_sessions.sql");
const EDIT_COUNTS: &str = include_str!("0006_edit_counts.sql");
const PLACES: &str = include_str!("0007_places.sql");
const RETENTION: &str = include_str!("0008_retention.sql");

const STEPS: &[Step] = &[
    Step { version: 1, sql: FOUNDATION, run: run_script },
    Step { version: 2, sql: EDITS, run: edits::run },
    Step { version: 3, sql: CHANGES, run: changes::run },
    Step { version: 4, sql: ATTACHMENTS, run: run_script },
    Step { version: 5, sql: SESSIONS, run: run_script },
    Step { version: 6, sql: EDIT_COUNTS, run: edit_counts::run },
    Step { version: 7, sql: PLACES, run: places::run },
    Step { version: 8, sql: RETENTION, run: run_script },
];

/// Brings the database to the current version.
pub fn run(
    connection: &mut dyn Connection,
    options: &StoreOptions,
    held: &HeldFiles,
) -> Result<()> {
    let version = user_version(connection)?;
    recognise::refuse_version(options, version)?;
    let tables = backup::table_names(connection)?;
    if version == 0 {
        recognise::refuse_foreign(connection, options, &tables)?;
    } else {
        recognise::refuse_incomplete(options, version, &tables)?;
    }
    if version == CURRENT_VERSION {
        return Ok(());
    }
    if !tables.is_empty() {
        let backup = back_up(connection, options, held)?;
        tracing::info!(backup = %backup.path.display(), from = version, to = CURRENT_VERSION, "migrating; a verified backup is kept");
    }
    migrate(connection, options, version, &tables)
}

/// Brings a copy of a database to the current version.
pub(super) fn run_on_copy(connection: &mut dyn Connection, options: &StoreOptions) -> Result<()> {
    let version = user_version(connection)?;
    recognise::refuse_version(options, version)?;
    let tables = backup::table_names(connection)?;
    migrate(connection, options, version, &tables)
}

/// Makes the tables of a version in an empty database; none of version 0.
pub(super) fn make_tables(connection: &mut dyn Connection, version: i64) -> Result<()> {
    for step in STEPS.iter().filter(|step| step.version <= version) {
        (step.run)(connection, step.sql)?;
    }
    engine::run(connection, &format!("PRAGMA user_version = {version}"))
}

/// Returns the newest version all of whose tables are among these; the current one where none is known.
pub(super) fn version_of<'a>(tables: impl Iterator<Item = &'a str>) -> i64 {
    let found: BTreeSet<&str> = tables.collect();
    let mut versions = (1..=CURRENT_VERSION).rev();
    versions
        .find(|version| recognise::tables_of(*version).all(|table| found.contains(table)))
        .unwrap_or(if found.iter().any(|table| table.starts_with("agent_")) {
            0
        } else {
            CURRENT_VERSION
        })
}

fn migrate(
    connection: &mut dyn Connection,
    options: &StoreOptions,
    version: i64,
    tables: &[String],
) -> Result<()> {
    for step in STEPS.iter().filter(|step| step.version > version) {
        engine::run(connection, "BEGIN IMMEDIATE")?;
        let adopts = version == 0 && step.version == 1 && !tables.is_empty();
        let done = if adopts {
            adopt::run(connection, step.sql, tables)
        } else {
            (step.run)(connection, step.sql)
        }
        .and_then(|()| engine::run(connection, &format!("PRAGMA user_version = {}", step.version)))
        .and_then(|()| engine::run(connection, "COMMIT"));
        if let Err(error) = done {
            if !connection.is_autocommit()? {
                engine::run(connection, "ROLLBACK")?;
            }
            return Err(Error::Startup(format!(
                "migrating {} to version {} failed and was undone: {error}",
                options.database.display(),
                step.version
            )));
        }
    }
    Ok(())
}

/// Makes a verified backup of a database that is about to become one of the current version.
fn back_up(
    connection: &mut dyn Connection,
    options: &StoreOptions,
    held: &HeldFiles,
) -> Result<Backup> {
    engine::run(connection, "BEGIN")?;
    let written = backup::write(
        connection,
        &options.database,
        held,
        options.engine,
        &Target::Folder(options.backups.clone()),
        Reason::Migration(CURRENT_VERSION),
        &mut |_| Ok(()),
    );
    engine::run(connection, "COMMIT")?;
    written
}

fn user_version(connection: &mut dyn Connection) -> Result<i64> {
    match engine::scalar(connection, "PRAGMA user_version")? {
        Some(Cell::Int(version)) => Ok(version),
        other => Err(Error::Damaged(format!("the version of the tables reads {other:?}"))),
    }
}

/// Runs a script's statements one by one. The scripts hold no `;` but those that end one.
pub(super) fn run_script(connection: &mut dyn Connection, script: &str) -> Result<()> {
    let code: String = script
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"))
        .collect::<Vec<_>>()
        .join("\n");
    for statement in code.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        engine::run(connection, statement)?;
    }
    Ok(())
}

/// Makes a new database for a test, with its tables, and the folder it is in.
#[cfg(test)]
pub(super) fn new_database(
    kind: crate::config::EngineKind,
) -> (tempfile::TempDir, Box<dyn Connection>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = engine::open(kind, &folder.path().join("x.db")).expect("an engine");
    let mut connection = engine.connect().expect("a connection");
    for step in STEPS {
        (step.run)(connection.as_mut(), step.sql).expect("tables");
    }
    (folder, connection)
}

/// Hands a test a new database of each engine, so that it sees how statements search the tables.
#[cfg(test)]
pub(super) fn on_each_engine(mut test: impl FnMut(crate::config::EngineKind, &mut dyn Connection)) {
    use crate::config::EngineKind;
    for kind in [EngineKind::Turso, EngineKind::Sqlite] {
        let (_folder, mut connection) = new_database(kind);
        test(kind, connection.as_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A released step is frozen: users' databases were made by it. Add a step instead.
    #[test]
    fn released_steps_do_not_change() {
        let hashes: Vec<(i64, u64)> =
            STEPS.iter().map(|step| (step.version, fnv1a(step.sql))).collect();
        let released = [
            (1, 10_220_965_645_696_731_951),
            (2, 11_588_211_762_320_414_885),
            (3, 2_497_846_561_302_484_531),
            (4, 16_563_745_087_661_377_257),
            (5, 12_375_475_164_534_188_704),
            (6, 4_382_029_383_422_392_652),
            (7, 8_840_777_377_563_797_528),
            (8, 15_218_562_877_222_439_332),
        ];
        assert_eq!(hashes, released);
        assert_eq!(STEPS.last().map(|step| step.version), Some(CURRENT_VERSION));
    }

    /// FNV-1a, 64 bits (draft-eastlake-fnv): enough to notice a change.
    fn fnv1a(text: &str) -> u64 {
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}
