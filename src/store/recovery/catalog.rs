//! What a database says of its tables and indexes, read from a file that may be damaged.

use std::io;

use crate::store::engine::Cell;
use crate::store::format::pages::Pages;
use crate::store::format::tree::{FoundRow, Hole, Walk};

/// The page that the catalog's own tree begins at.
const CATALOG_ROOT: u32 = 1;

/// A table or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) is_table: bool,
    pub(super) name: String,
    /// The table it is, or is of.
    pub(super) table: String,
    pub(super) root: u32,
    /// The statement that made it; an index that a constraint made has none.
    pub(super) sql: Option<String>,
}

/// The catalog, as far as it can be read.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    pub(super) entries: Vec<Entry>,
    pub(super) holes: Vec<Hole>,
}

impl Catalog {
    /// Reads the catalog; where its tree is broken, also what lies apart from it.
    pub(super) fn read(walk: &mut Walk<'_>) -> io::Result<Self> {
        let mut catalog = Self::default();
        let holes = walk.table(CATALOG_ROOT, &mut |row| catalog.add(row))?;
        if !holes.is_empty() {
            let known = catalog.entries.len();
            walk.orphans_like(&is_entry, &mut |row| catalog.add(row))?;
            let (found, late) = catalog.entries.split_at(known);
            let late: Vec<Entry> =
                late.iter().filter(|entry| !found.contains(entry)).cloned().collect();
            catalog.entries.truncate(known);
            catalog.entries.extend(late);
        }
        catalog.holes = holes;
        Ok(catalog)
    }

    fn add(&mut self, row: FoundRow) {
        self.entries.extend(entry(&row.cells));
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.is_table)
    }

    pub(super) fn indexes(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.is_table)
    }
}

fn is_entry(row: &FoundRow) -> bool {
    entry(&row.cells).is_some()
}

fn entry(cells: &[Cell]) -> Option<Entry> {
    let [Cell::Text(kind), Cell::Text(name), Cell::Text(table), Cell::Int(root), sql] = cells
    else {
        return None;
    };
    let is_table = match kind.as_str() {
        "table" => true,
        "index" => false,
        _ => return None,
    };
    let sql = match sql {
        Cell::Text(sql) => Some(sql.clone()),
        Cell::Null => None,
        _ => return None,
    };
    let root = u32::try_from(*root).ok().filter(|root| *root > 0)?;
    Some(Entry { is_table, name: name.clone(), table: table.clone(), root, sql })
}

/// Returns what is wrong with the pages of a database, each with what it belongs to.
pub(super) fn survey(pages: &mut Pages) -> io::Result<Vec<String>> {
    let mut problems = Vec::new();
    if pages.header.is_none() {
        problems.push("page 1: it has no header of a database".to_owned());
    }
    let mut walk = Walk::new(pages);
    let catalog = Catalog::read(&mut walk)?;
    let mut add = |holes: Vec<Hole>, of: &str| {
        problems.extend(holes.iter().map(|hole| describe(hole, of)));
    };
    add(catalog.holes.clone(), "the catalog");
    for entry in &catalog.entries {
        let holes = if entry.is_table {
            walk.table(entry.root, &mut |_| {})?
        } else {
            walk.index(entry.root, &mut |_| {})?
        };
        add(holes, &entry.name);
    }
    add(walk.free()?, "the free pages");
    Ok(problems)
}

/// Says what is wrong with a page.
pub(super) fn describe(hole: &Hole, of: &str) -> String {
    format!("page {} ({of}): {}", hole.page, hole.problem)
}
