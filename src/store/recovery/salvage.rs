//! Reads every row that damaged files still have into a new database.
//!
//! The trees of the tables are walked, and then those of the indexes: an entry of an index whose row was
//! not found names a row that is lost. It may lie on a page that no tree leads to any more; then it is
//! found there. What no index knows of is not taken from such pages: they may be old ones, of rows
//! that were deleted.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use super::catalog::{Catalog, Entry, describe};
use super::report::{Report, RowName};
use super::table::{Table, index_columns, shown};
use crate::error::{Error, Result};
use crate::store::backup::table_names;
use crate::store::engine::{self, Cell, Connection};
use crate::store::format::pages::Pages;
use crate::store::format::tree::{FoundRow, Hole, Walk};
use crate::store::migrations;

/// Rows that are written in one transaction.
const ROWS_AT_ONCE: usize = 1_000;

/// What was found of the tables while they were walked.
struct Salvage<'a> {
    connection: &'a mut dyn Connection,
    tables: BTreeMap<String, Table>,
    /// The numbers of the rows that were found, by table.
    found: HashMap<String, HashSet<i64>>,
    /// Rows that an index names and that were not found, by table and number.
    missing: BTreeMap<(String, i64), RowName>,
    /// Tables of which an index is broken, or that have none.
    is_unsure: HashSet<String>,
    report: &'a mut Report,
    /// Rows in the open transaction.
    pending: usize,
    failed: Option<Error>,
}

/// Reads the rows of damaged files into an empty database, whose tables it makes.
pub(super) fn run(
    damaged: &Path,
    connection: &mut dyn Connection,
    report: &mut Report,
) -> Result<()> {
    let failed = |error| Error::io("reading", damaged, &error);
    let mut pages = Pages::open(damaged).map_err(failed)?;
    note_log(&pages, report);
    let header = pages.header;
    let is_header_sound = pages.page(1).map_err(failed)?.is_some_and(|page| page.is_sound);
    let mut walk = Walk::new(&mut pages);
    let catalog = Catalog::read(&mut walk).map_err(failed)?;
    report.damage.extend(catalog.holes.iter().map(|hole| describe(hole, "the catalog")));
    let version = header
        .filter(|_| is_header_sound)
        .map(|header| header.user_version)
        .filter(|version| (0..=migrations::CURRENT_VERSION).contains(version))
        .unwrap_or_else(|| {
            migrations::version_of(catalog.tables().map(|table| table.name.as_str()))
        });
    make_tables(connection, &catalog, version)?;
    let mut tables = BTreeMap::new();
    for name in table_names(connection)? {
        tables.insert(name.clone(), Table::describe(connection, &name)?);
    }
    engine::run(connection, "BEGIN")?;
    let mut salvage = Salvage {
        connection,
        tables,
        found: HashMap::new(),
        missing: BTreeMap::new(),
        is_unsure: HashSet::new(),
        report,
        pending: 0,
        failed: None,
    };
    let is_catalog_broken = !catalog.holes.is_empty();
    let mut walked = HashSet::new();
    for entry in catalog.tables().filter(|entry| walked.insert(entry.name.clone())) {
        salvage.walk_table(&mut walk, entry).map_err(failed)?;
    }
    for entry in catalog.indexes().filter(|entry| walked.insert(entry.name.clone())) {
        salvage.walk_index(&mut walk, entry).map_err(failed)?;
    }
    let free = walk.free().map_err(failed)?;
    salvage.report.damage.extend(free.iter().map(|hole| describe(hole, "the free pages")));
    if is_catalog_broken {
        salvage.is_unsure.extend(salvage.tables.keys().cloned());
    }
    walk.orphans(&mut |page, rows| salvage.take_orphans(page, rows)).map_err(failed)?;
    salvage.finish(is_catalog_broken)
}

/// Tells what of the log could not be read.
fn note_log(pages: &Pages, report: &mut Report) {
    let log = pages.log();
    if log.header_is_damaged {
        report.damage.push("the log: its header".to_owned());
    }
    for (frame, page) in &log.damaged_frames {
        report.damage.push(format!("the log: frame {frame}, which says it is of page {page}"));
    }
}

/// Makes the tables of a version, and those of others that the catalog has beside them.
fn make_tables(connection: &mut dyn Connection, catalog: &Catalog, version: i64) -> Result<()> {
    migrations::make_tables(connection, version)?;
    if version > 0 {
        // A new database has rows of its own, such as the feed's name.
        for table in table_names(connection)? {
            engine::run(connection, &format!("DELETE FROM {}", engine::quoted(&table)))?;
        }
    }
    let made: HashSet<String> = table_names(connection)?.into_iter().collect();
    for entry in catalog.tables().filter(|entry| !made.contains(&entry.name)) {
        let is_engines = entry.name.starts_with("sqlite_");
        if let Some(sql) = entry.sql.as_ref().filter(|_| !is_engines)
            && let Err(error) = engine::run(connection, sql)
        {
            tracing::warn!(%error, "a table of the damaged database cannot be made again");
        }
    }
    Ok(())
}

impl Salvage<'_> {
    fn walk_table(&mut self, walk: &mut Walk<'_>, entry: &Entry) -> std::io::Result<()> {
        if !self.tables.contains_key(&entry.name) {
            return Ok(());
        }
        let holes = walk.table(entry.root, &mut |row| {
            if self.fits(&entry.name, &row) {
                self.insert(&entry.name, &row);
            }
        })?;
        self.note(&holes, &entry.name);
        if !holes.is_empty() {
            self.report.table(&entry.name).may_lack_more = true;
        }
        Ok(())
    }

    fn walk_index(&mut self, walk: &mut Walk<'_>, entry: &Entry) -> std::io::Result<()> {
        let columns = match index_columns(self.connection, &entry.name) {
            Ok(columns) => columns,
            Err(error) => {
                self.failed.get_or_insert(error);
                return Ok(());
            }
        };
        let holes = walk.index(entry.root, &mut |mut cells| {
            let Some(Cell::Int(rowid)) = cells.pop() else { return };
            let is_found = self.found.get(&entry.table).is_some_and(|found| found.contains(&rowid));
            if !is_found && self.tables.contains_key(&entry.table) {
                let name = self.missing.entry((entry.table.clone(), rowid)).or_default();
                name.extend(
                    columns.iter().zip(&cells).map(|(column, cell)| (column.clone(), shown(cell))),
                );
            }
        })?;
        self.note(&holes, &entry.name);
        if !holes.is_empty() || columns.is_empty() {
            self.is_unsure.insert(entry.table.clone());
        }
        Ok(())
    }

    fn note(&mut self, holes: &[Hole], of: &str) {
        self.report.damage.extend(holes.iter().map(|hole| describe(hole, of)));
    }

    fn fits(&self, table: &str, row: &FoundRow) -> bool {
        self.tables.get(table).is_some_and(|table| table.fits(row))
    }

    /// True where an index names the row, and it was not found yet.
    fn misses(&self, table: &str, row: &FoundRow) -> bool {
        self.missing.contains_key(&(table.to_owned(), row.rowid))
    }

    /// Takes the rows of a page that no tree leads to, where they are of a table that misses them.
    fn take_orphans(&mut self, page: u32, rows: Vec<FoundRow>) {
        let is_broken = |name: &str| {
            self.report.tables.get(name).is_some_and(|table| table.may_lack_more)
                || self.is_unsure.contains(name)
        };
        let has_index = |name: &str| self.missing.keys().any(|(table, _)| table == name);
        let fitting: Vec<(usize, String)> = self
            .tables
            .values()
            .filter(|table| is_broken(&table.name) && rows.iter().all(|row| table.fits(row)))
            .map(|table| {
                let count = rows.iter().filter(|row| self.misses(&table.name, row)).count();
                (count, table.name.clone())
            })
            .collect();
        let Some((count, name)) = fitting.iter().max().cloned() else { return };
        // Where the indexes are whole, they know every row that there was.
        let all = self.is_unsure.contains(&name) || name == CHANGES;
        if count == 0 && (!all || (fitting.len() > 1 && !has_index(&name))) {
            if fitting.len() > 1 && all {
                self.report
                    .damage
                    .push(format!("page {page}: its rows may be of any of several tables"));
            }
            return;
        }
        for row in rows {
            if all || self.misses(&name, &row) {
                self.insert(&name, &row);
            }
        }
    }

    fn insert(&mut self, name: &str, row: &FoundRow) {
        if self.failed.is_some() {
            return;
        }
        if let Err(error) = self.try_insert(name, row) {
            self.failed = Some(error);
        }
    }

    fn try_insert(&mut self, name: &str, row: &FoundRow) -> Result<()> {
        let table = self.tables.get_mut(name).expect("the caller looked it up");
        let row_name = table.name_of(row);
        if !table.insert(self.connection, row)? {
            // Another row has its key: one of the two is not what was last written.
            if !row.is_sound {
                return Ok(());
            }
            self.report.table(name).suspect.push(row_name);
            return Ok(());
        }
        self.found.entry(name.to_owned()).or_default().insert(row.rowid);
        self.missing.remove(&(name.to_owned(), row.rowid));
        let report = self.report.table(name);
        report.saved += 1;
        if !row.is_sound {
            report.suspect.push(row_name);
        }
        self.pending += 1;
        if self.pending >= ROWS_AT_ONCE {
            self.pending = 0;
            engine::run(self.connection, "COMMIT")?;
            engine::run(self.connection, "BEGIN")?;
        }
        Ok(())
    }

    fn finish(self, is_catalog_broken: bool) -> Result<()> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        for ((table, _), name) in self.missing {
            self.report.table(&table).lost.push(name);
        }
        for name in self.tables.keys() {
            let table = self.report.table(name);
            // The indexes have named all that is gone, unless they are broken too.
            let is_sure = !is_catalog_broken && !self.is_unsure.contains(name) && name != CHANGES;
            table.may_lack_more &= !is_sure;
            table.may_lack_more |= is_catalog_broken;
        }
        engine::run(self.connection, "COMMIT")
    }
}

/// The one table without an index.
const CHANGES: &str = "changes";
