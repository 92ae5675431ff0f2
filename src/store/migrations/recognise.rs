//! Tells whether a file is a database of ours before anything in it is changed.

use std::collections::BTreeSet;

use super::adopt::{AGREED, columns_of};
use super::{CURRENT_VERSION, STEPS};
use crate::error::{Error, Result};
use crate::store::StoreOptions;
use crate::store::engine::Connection;

/// The tables that no other program is likely to have: `settings` and `projects` anybody may.
const OUR_OWN: &str = "agent_";

/// Refuses a database of a version that this build does not know.
pub(in crate::store) fn refuse_version(options: &StoreOptions, version: i64) -> Result<()> {
    if version < 0 {
        return Err(refused(options, &format!("is not of aetherd: its version is {version}")));
    }
    if version > CURRENT_VERSION {
        return Err(Error::Startup(format!(
            "the database {} is of version {version}, this aetherd {} knows up to {CURRENT_VERSION}; \
             start a newer aetherd, or restore a backup",
            options.database.display(),
            env!("CARGO_PKG_VERSION"),
        )));
    }
    Ok(())
}

/// Refuses a database of version 0 that is neither empty nor the IDE's own.
///
/// The IDE's has the agreed tables with the agreed columns, not all of them in each file. Tables of
/// others beside them are left alone, but not where `settings` and `projects` are all there is of
/// the agreed ones.
pub(super) fn refuse_foreign(
    connection: &mut dyn Connection,
    options: &StoreOptions,
    tables: &[String],
) -> Result<()> {
    let (agreed, others): (Vec<&str>, Vec<&str>) =
        tables.iter().map(String::as_str).partition(|table| column_names(table).is_some());
    let is_our_own = agreed.iter().any(|table| table.starts_with(OUR_OWN));
    if !others.is_empty() && !is_our_own {
        return Err(foreign(options, tables));
    }
    for table in agreed {
        let found = columns_of(connection, table)?;
        let wanted = column_names(table).unwrap_or_default();
        if !wanted.iter().all(|column| found.iter().any(|name| name == column)) {
            return Err(refused(
                options,
                &format!(
                    "has a table {table} that is not the IDE's: its columns are {}",
                    list(&found)
                ),
            ));
        }
    }
    Ok(())
}

/// Refuses a database that says it is of a version of ours and lacks a table of it.
pub(super) fn refuse_incomplete(
    options: &StoreOptions,
    version: i64,
    tables: &[String],
) -> Result<()> {
    let found: BTreeSet<&str> = tables.iter().map(String::as_str).collect();
    if tables_of(version).all(|table| found.contains(table)) {
        return Ok(());
    }
    Err(foreign(options, tables))
}

/// The tables that the steps up to a version make, by their scripts, which begin each one at the
/// start of a line.
pub(in crate::store) fn tables_of(version: i64) -> impl Iterator<Item = &'static str> {
    STEPS
        .iter()
        .filter(move |step| step.version <= version)
        .flat_map(|step| step.sql.lines())
        .filter_map(|line| line.strip_prefix("CREATE TABLE "))
        .filter_map(|rest| rest.split([' ', '(']).next())
}

fn column_names(table: &str) -> Option<&'static [&'static str]> {
    AGREED.iter().find(|(name, _)| *name == table).map(|(_, columns)| *columns)
}

fn foreign(options: &StoreOptions, tables: &[String]) -> Error {
    refused(options, &format!("is not of aetherd or the IDE: its tables are {}", list(tables)))
}

/// The first few names, so that a file of many tables does not fill the screen.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    match names.len() {
        0 => "none".to_owned(),
        count if count > SHOWN => format!("{} and {} more", shown.join(", "), count - SHOWN),
        _ => shown.join(", "),
    }
}

fn refused(options: &StoreOptions, problem: &str) -> Error {
    Error::Startup(format!(
        "{} {problem}; move it away, or put a backup from {} in its place",
        options.database.display(),
        options.backups.display()
    ))
}

/// Adds to what the engine says of a damaged file which file it is, and what to do.
pub(in crate::store) fn name_the_file(options: &StoreOptions, error: Error) -> Error {
    match error {
        Error::Damaged(problem) => refused(options, &format!("is damaged: {problem}")),
        error => error,
    }
}
