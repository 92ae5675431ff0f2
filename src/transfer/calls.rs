//! Divides what is to be sent into calls, within what one call may hold.

use std::ops::Range;

/// Bytes in one call. An item that is larger goes alone.
const CALL_BYTES: usize = 4 * 1024 * 1024;

/// Returns the ranges of items, given by their sizes in bytes, that go in one call each.
pub(super) fn divide(sizes: impl IntoIterator<Item = usize>, most: usize) -> Vec<Range<usize>> {
    let mut calls: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (at, size) in sizes.into_iter().enumerate() {
        match calls.last_mut() {
            Some(call) if call.len() < most && bytes + size <= CALL_BYTES => {
                call.end = at + 1;
                bytes += size;
            }
            _ => {
                calls.push(at..at + 1);
                bytes = size;
            }
        }
    }
    calls
}
