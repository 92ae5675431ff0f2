//! Writes what a log has committed into a database file that has nothing yet.
//!
//! Turso reads from the file whether its pages have checksums, and takes a file without a header for a new
//! one, which has them. So one whose pages are all in the log, and have none, is given its pages
//! before the engine opens it. The log stays, so that it may happen twice.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use super::pages::{HEADER_BYTES, Pages};
use crate::error::{Error, Result};

/// Gives a database file its pages, where the log alone has them.
pub(in crate::store) fn fold_where_empty(database: &Path) -> Result<()> {
    let failed = |error| Error::io("reading", database, &error);
    match std::fs::metadata(database) {
        Ok(file) if file.len() >= HEADER_BYTES as u64 => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(_) => {}
    }
    let mut pages = Pages::open(database).map_err(failed)?;
    if pages.header.is_none() {
        return Ok(());
    }
    let failed = |error| Error::io("writing", database, &error);
    let mut file = File::options().write(true).open(database).map_err(failed)?;
    for number in (1..=pages.count).rev() {
        let Some(page) = pages.page(number).map_err(failed)? else { continue };
        // The first page comes last: with it the file has a header, and is not written to again.
        if number == 1 {
            file.sync_all().map_err(failed)?;
        }
        let at = u64::from(number - 1) * page.bytes.len() as u64;
        file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(&page.bytes)).map_err(failed)?;
    }
    file.sync_all().map_err(failed)
}
