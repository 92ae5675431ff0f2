//! How much room there is: in the file, and on its disk for another one.

use std::path::Path;

use crate::error::{Error, Result};
use crate::paths::free_bytes;
use crate::store::ReadTx;
use crate::store::retention::page_counts;

/// Bytes that stay free on the disk beside the new file, for the logs of both.
const RESERVE_BYTES: u64 = 16 * 1024 * 1024;

/// Part of the file that is free, and bytes, past both of which it is worth to be compacted.
const WORTH_PART: u64 = 4;
const WORTH_BYTES: u64 = 16 * 1024 * 1024;

/// What of the database's file is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes of all its pages.
    pub bytes: u64,
    /// Bytes of those that hold nothing.
    pub free_bytes: u64,
}

impl Space {
    /// True where more than a quarter of the file is free, and more than 16 MiB.
    pub fn is_worth_compacting(self) -> bool {
        self.free_bytes > self.bytes / WORTH_PART && self.free_bytes > WORTH_BYTES
    }

    fn used_bytes(self) -> u64 {
        self.bytes - self.free_bytes
    }
}

/// Returns what of the file is in use.
pub fn space(tx: &mut ReadTx<'_>) -> Result<Space> {
    let [pages, free, size] = page_counts(tx)?.map(|count| u64::try_from(count).unwrap_or(0));
    Ok(Space { bytes: pages * size, free_bytes: free.min(pages) * size })
}

/// Refuses where the disk has no room for what of the file is in use.
pub(super) fn check_room(database: &Path, space: Space) -> Result<()> {
    let folder = database.parent().expect("a file lies in a folder");
    let available = free_bytes(folder)
        .map_err(|error| Error::io("asking for the room on the disk of", folder, &error))?;
    is_enough(space, available)
}

fn is_enough(space: Space, available: u64) -> Result<()> {
    // Rows that are written anew may fill their pages less well.
    let needed = space.used_bytes() + space.used_bytes() / 8 + RESERVE_BYTES;
    if available >= needed {
        return Ok(());
    }
    Err(Error::DiskFull(format!(
        "compacting the database needs {needed} bytes beside it, {available} are free"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn a_file_is_worth_it_past_a_quarter_and_16_mib() {
        let is_worth = |bytes, free_bytes| Space { bytes, free_bytes }.is_worth_compacting();
        assert!(!is_worth(32 * MIB, 16 * MIB));
        assert!(is_worth(32 * MIB, 16 * MIB + 1));
        assert!(!is_worth(400 * MIB, 100 * MIB));
        assert!(is_worth(400 * MIB, 100 * MIB + 1));
        assert!(!is_worth(0, 0));
    }

    #[test]
    fn a_disk_without_room_for_the_used_part_is_refused() {
        let space = Space { bytes: 1000 * MIB, free_bytes: 200 * MIB };
        let needed = 800 * MIB + 100 * MIB + 16 * MIB;
        is_enough(space, needed).expect("just enough");
        let error = is_enough(space, needed - 1).expect_err("one byte too few");
        assert!(matches!(error, Error::DiskFull(_)), "{error}");
        assert!(error.to_string().contains(&needed.to_string()), "{error}");
    }
}
