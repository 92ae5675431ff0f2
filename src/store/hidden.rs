//! Which messages a session's history hides: ranges of indexes, kept as a text in the session's row.
//!
//! There are two such texts, of what was cleared and of what was compacted. Each has each range as `from-to`, without the message at `to`, in order and apart from each
//! other: `0-5,9-12`. NULL hides nothing.

use std::fmt::Write as _;

use crate::error::{Error, Result};

/// The messages that are hidden.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hidden {
    /// In order, none empty, none next to another.
    ranges: Vec<(i64, i64)>,
}

impl Hidden {
    /// Reads the stored text.
    pub(super) fn parse(text: Option<&str>) -> Result<Self> {
        let Some(text) = text else { return Ok(Self::default()) };
        let mut ranges: Vec<(i64, i64)> = Vec::new();
        for range in text.split(',') {
            let range = range.split_once('-').and_then(|(from, to)| {
                let range: (i64, i64) = (from.parse().ok()?, to.parse().ok()?);
                let is_apart = ranges.last().is_none_or(|before| before.1 < range.0);
                (is_apart && range.0 < range.1).then_some(range)
            });
            ranges.extend(range);
        }
        let hidden = Self { ranges };
        // A range that was not taken is missing here, and a number reads as it is written alone.
        if hidden.to_text().as_deref() == Some(text) {
            Ok(hidden)
        } else {
            Err(Error::Damaged(format!("the hidden ranges of a session read {text:?}")))
        }
    }

    /// Returns the text that is stored; `None` where nothing is hidden.
    pub(super) fn to_text(&self) -> Option<String> {
        let mut text = String::new();
        for (from, to) in &self.ranges {
            let comma = if text.is_empty() { "" } else { "," };
            write!(text, "{comma}{from}-{to}").expect("a String takes all");
        }
        Some(text).filter(|text| !text.is_empty())
    }

    /// Returns how many messages are hidden.
    pub(super) fn count(&self) -> i64 {
        self.ranges.iter().map(|(from, to)| to - from).sum()
    }

    /// Hides the messages from one index up to another, which stays as it is.
    pub(super) fn hide(&mut self, from: i64, to: i64) {
        if from < to {
            let (before, rest): (Vec<_>, Vec<_>) =
                self.ranges.iter().copied().partition(|range| range.1 < from);
            let (joined, after): (Vec<_>, Vec<_>) =
                rest.into_iter().partition(|range| range.0 <= to);
            let from = joined.iter().fold(from, |from, range| from.min(range.0));
            let to = joined.iter().fold(to, |to, range| to.max(range.1));
            self.ranges = before;
            self.ranges.push((from, to));
            self.ranges.extend(after);
        }
    }

    /// Hides what another one hides too.
    pub(super) fn hide_all(&mut self, other: &Self) {
        other.ranges.iter().for_each(|(from, to)| self.hide(*from, *to));
    }

    /// True where the message of this index is hidden.
    pub(super) fn contains(&self, index: i64) -> bool {
        // The ranges are in order: the one that may hold it is the first that ends behind it.
        let at = self.ranges.partition_point(|(_, to)| *to <= index);
        self.ranges.get(at).is_some_and(|(from, _)| *from <= index)
    }

    /// Returns the last index that is hidden; `None` where nothing is.
    pub(super) fn last(&self) -> Option<i64> {
        self.ranges.last().map(|(_, to)| to - 1)
    }

    /// Returns the ranges that are shown of a session with this next index, in order.
    pub(super) fn shown(&self, next_index: i64) -> Vec<(i64, i64)> {
        let starts = std::iter::once(0).chain(self.ranges.iter().map(|range| range.1));
        let ends = self.ranges.iter().map(|range| range.0).chain([next_index]);
        let shown = starts.zip(ends).map(|(from, to)| (from, to.min(next_index)));
        shown.filter(|(from, to)| from < to).collect()
    }

    /// Returns the index behind the first shown messages, as many as asked for, or the next index
    /// where there are not so many.
    pub(super) fn behind_first(&self, count: i64, next_index: i64) -> i64 {
        let mut left = count;
        for (from, to) in self.shown(next_index) {
            if left < to - from {
                return from + left;
            }
            left -= to - from;
        }
        next_index
    }

    /// Returns the index of the first of the last shown messages, as many as asked for, or 0 where
    /// there are not so many.
    pub(super) fn before_last(&self, count: i64, next_index: i64) -> i64 {
        let mut left = count;
        for (from, to) in self.shown(next_index).into_iter().rev() {
            if left <= to - from {
                return to - left;
            }
            left -= to - from;
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hidden(text: &str) -> Hidden {
        Hidden::parse(Some(text)).expect("ranges")
    }

    #[test]
    fn a_text_that_was_never_written_is_damage() {
        for text in [
            "",
            "5",
            "5-",
            "-5-6",
            "a-b",
            "0-5,",
            ",0-5",
            "5-5",
            "6-5",
            "+0-5",
            "00-5",
            "0-5, 9-12",
            "0-5;9-12",
            "9-12,0-5",
            "0-5,5-9",
            "0-5,3-9",
            "0-9223372036854775808",
        ] {
            let error = Hidden::parse(Some(text)).expect_err(text);
            assert!(matches!(error, Error::Damaged(_)), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_shown_lies_between_the_ranges() {
        assert_eq!(Hidden::parse(None).expect("nothing").shown(3), [(0, 3)]);
        assert_eq!(Hidden::default().shown(0), []);
        assert_eq!(hidden("0-5,9-12").shown(12), [(5, 9)]);
        assert_eq!(hidden("1-6").shown(10), [(0, 1), (6, 10)]);
        assert_eq!(hidden("1-6").behind_first(1, 10), 6);
        assert_eq!(hidden("1-6").behind_first(3, 10), 8);
        assert_eq!(hidden("1-6").behind_first(9, 10), 10);
    }

    proptest! {
        /// Against a list that says of each message whether it is hidden.
        #[test]
        fn ranges_do_what_a_list_does(ranges in proptest::collection::vec((0_i64..20, 0_i64..20), 0..8), count in 0_i64..24) {
            let mut hidden = Hidden::default();
            let mut flags = [false; 20];
            for (from, to) in ranges {
                hidden.hide(from, to);
                (from..to).for_each(|index| flags[index as usize] = true);
                prop_assert_eq!(&Hidden::parse(hidden.to_text().as_deref()).expect("ranges"), &hidden);
            }
            let shown: Vec<i64> = (0..20).filter(|index| !flags[*index as usize]).collect();
            let found: Vec<i64> = hidden.shown(20).into_iter().flat_map(|(from, to)| from..to).collect();
            prop_assert_eq!(&found, &shown);
            prop_assert_eq!(hidden.count(), 20 - shown.len() as i64);
            let behind = hidden.behind_first(count, 20);
            let kept: Vec<i64> = shown.iter().copied().filter(|index| *index < behind).collect();
            prop_assert_eq!(kept.len() as i64, count.min(shown.len() as i64));
            let before = hidden.before_last(count, 20);
            let kept = shown.iter().filter(|index| **index >= before).count();
            prop_assert_eq!(kept as i64, count.min(shown.len() as i64));
            for index in 0..20 {
                prop_assert_eq!(hidden.contains(index), flags[index as usize]);
            }
            prop_assert_eq!(hidden.last(), (0..20).rev().find(|index| flags[*index as usize]));
            let mut all = Hidden::default();
            all.hide(count, count + 1);
            all.hide_all(&hidden);
            prop_assert_eq!(all.count(), hidden.count() + i64::from(!hidden.contains(count)));
        }
    }
}
