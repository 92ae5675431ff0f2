//! The file format of the database (SQLite's, <https://sqlite.org/fileformat2.html>), read without an
//! engine: what is damaged must be read by what trusts nothing.

pub(super) mod files;
pub(super) mod fold;
pub(super) mod log;
pub(super) mod pages;
pub(super) mod record;
pub(super) mod tree;

use std::path::Path;

use crate::error::{Error, Result};
use pages::Pages;

/// True where each page of a database has a checksum, with which a damaged one is known.
pub(super) fn has_checksums(database: &Path) -> Result<bool> {
    let pages = Pages::open(database).map_err(|error| Error::io("reading", database, &error))?;
    Ok(pages.header.is_some() && pages.has_checksums())
}
