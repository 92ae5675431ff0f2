//! Database files of a daemon that has ended, changed by SQLite or by hand.

use std::path::Path;

/// Bytes of a page, of which the last eight are its checksum.
pub(crate) const PAGE: usize = 4096;
/// Where the header says how many bytes at the end of each page are not SQLite's.
const RESERVED_AT: usize = 20;

/// Has SQLite carry out statements in a database that is not open, and then gives its pages their
/// checksums again, of which SQLite knows nothing.
pub(crate) fn edit_database(database: &Path, edit: impl FnOnce(&rusqlite::Connection)) {
    let connection = rusqlite::Connection::open(database).expect("SQLite opens it");
    edit(&connection);
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("all is in the file");
    drop(connection);
    let mut bytes = std::fs::read(database).expect("the file");
    if usize::from(bytes[RESERVED_AT]) == 8 {
        bytes.chunks_exact_mut(PAGE).for_each(stamp);
        std::fs::write(database, bytes).expect("the file is written");
    }
}

/// Gives a page its checksum.
pub(crate) fn stamp(page: &mut [u8]) {
    let (content, checksum) = page.split_at_mut(PAGE - 8);
    checksum.copy_from_slice(&twox_hash::XxHash3_64::oneshot(content).to_le_bytes());
}
