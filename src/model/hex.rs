//! Bytes as a text of lower-case hexadecimal digits.

use std::fmt::Write as _;

/// Returns two digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a String takes all");
    }
    text
}
