//! ISO 8601 text to milliseconds, and back the way JavaScript writes it.

use crate::model::{Millis, time};

/// Returns the time a text names; parts below a millisecond are cut off.
///
/// A time the daemon would refuse is none: the text is then kept, and another time is taken.
pub(super) fn parse(text: &str) -> Option<Millis> {
    let timestamp = text.parse::<jiff::Timestamp>().ok()?;
    Some(timestamp.as_millisecond()).filter(|millis| time::is_showable(*millis))
}

/// True where the text is just what `Date.toJSON` writes for the time, so that the time says it all.
pub(super) fn is_canonical(text: &str, millis: Millis) -> bool {
    jiff::Timestamp::from_millisecond(millis).is_ok_and(|time| format!("{time:.3}") == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_millisecond() {
        for (text, millis, canonical) in [
            ("2025-11-01T14:26:40.214Z", 1_762_007_200_214, true),
            ("1970-01-01T00:00:00.000Z", 0, true),
            ("1969-12-31T23:59:59.999Z", -1, true),
            ("0001-01-01T00:00:00.000Z", -62_135_596_800_000, true),
            ("2025-11-01T14:26:40Z", 1_762_007_200_000, false),
            ("2025-11-01T14:26:40.214987Z", 1_762_007_200_214, false),
            ("2025-11-01T16:26:40.214+02:00", 1_762_007_200_214, false),
            ("2025-11-01 14:26:40.214Z", 1_762_007_200_214, false),
        ] {
            assert_eq!(parse(text), Some(millis), "{text}");
            assert_eq!(is_canonical(text, millis), canonical, "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_is_none() {
        for text in [
            "",
            "yesterday",
            "2025-11-01",
            "2025-11-01T14:26:40.214",
            "2025-13-01T00:00:00Z",
            "0000-12-31T23:59:59.999Z",
            "-000001-01-01T00:00:00.000Z",
            "+010000-01-01T00:00:00.000Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
