//! What the figures were measured on.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::measure::{self, Figure};
use crate::options::Options;

/// Bytes of the write that is synced: a page of either engine.
const PAGE_BYTES: usize = 4096;
/// Pages of the file that is overwritten and synced.
const PAGES: u64 = 256;

/// Returns the machine, and the options of the run.
pub(crate) fn describe(options: &Options, folder: &Path) -> Value {
    let sync = sync_time(folder);
    json!({
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "fdatasync_us": {"p50": sync.middle, "p99": sync.tail},
        "quick": options.quick,
        "rounds": options.rounds,
    })
}

/// Returns the microseconds that one page takes to the disk of this folder, in a file that does not grow.
fn sync_time(folder: &Path) -> Figure {
    let file = File::create(folder.join("sync")).expect("the bench's folder is writable");
    let page = [1_u8; PAGE_BYTES];
    for number in 0..PAGES {
        file.write_all_at(&page, number * PAGE_BYTES as u64).expect("the disk has room");
    }
    file.sync_all().expect("the disk syncs");
    Figure::microseconds(measure::time_each(PAGES as usize, |at| {
        file.write_all_at(&page, at as u64 * PAGE_BYTES as u64).expect("the disk has room");
        file.sync_data().expect("the disk syncs");
    }))
}
