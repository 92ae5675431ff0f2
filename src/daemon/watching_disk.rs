//! Says in the log that the disk runs full before it is, and when there is room again.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use crate::model::limits::LITTLE_ROOM_BYTES;
use crate::paths::free_bytes;

/// Time after which it looks again.
const INTERVAL: Duration = Duration::from_secs(60);

/// Looks at the disk of a folder, for as long as it is polled.
pub(super) async fn keep(folder: &Path) -> Infallible {
    let mut was_little = false;
    loop {
        // Where the system does not tell, there is nothing to say.
        if let Ok(free) = free_bytes(folder) {
            was_little = tell(free, was_little);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Tells of a change, and returns whether there is little room now.
fn tell(free_bytes: u64, was_little: bool) -> bool {
    let is_little = free_bytes < LITTLE_ROOM_BYTES;
    match (was_little, is_little) {
        (false, true) => tracing::warn!(
            free_bytes,
            "the disk of the database is nearly full; writes are refused once it is"
        ),
        (true, false) => tracing::info!(free_bytes, "there is room on the disk of the database"),
        _ => {}
    }
    is_little
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_little_room_below_the_limit() {
        for was_little in [false, true] {
            assert!(tell(0, was_little));
            assert!(tell(LITTLE_ROOM_BYTES - 1, was_little));
            assert!(!tell(LITTLE_ROOM_BYTES, was_little));
        }
    }
}
