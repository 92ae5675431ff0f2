//! Time as the protocol has it: integers of milliseconds since 1970-01-01T00:00Z.

use std::time::{SystemTime, UNIX_EPOCH};

use super::limits::{MAX_TIME, MIN_TIME};

/// Milliseconds since the epoch.
pub type Millis = i64;

/// True for a time that every client can show: RFC 3339 has it, and so has JavaScript's `Date`.
pub fn is_showable(time: Millis) -> bool {
    (MIN_TIME..=MAX_TIME).contains(&time)
}

/// Returns the time now.
pub fn now() -> Millis {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    }
}
