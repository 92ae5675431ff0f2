//! Counts what happened to many messages, so that it can be told in one line each.

/// How often each thing happened, and where first.
#[derive(Debug, Default)]
pub(super) struct Tally {
    entries: Vec<(&'static str, usize, usize)>,
}

impl Tally {
    /// Counts a thing that happened to the message at a place.
    pub(super) fn add(&mut self, what: &'static str, place: usize) {
        match self.entries.iter_mut().find(|(known, ..)| *known == what) {
            Some((_, count, _)) => *count += 1,
            None => self.entries.push((what, 1, place)),
        }
    }

    /// Returns a line for each thing, in the order in which they first happened.
    pub(super) fn into_lines(self) -> Vec<String> {
        let line = |(what, count, first)| match count {
            1 => format!("{what}: messages[{first}]"),
            _ => format!("{what}: {count} messages, the first is messages[{first}]"),
        };
        self.entries.into_iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_how_often_and_where_first() {
        let mut tally = Tally::default();
        for (what, place) in [("no id", 3), ("no role", 4), ("no id", 5)] {
            tally.add(what, place);
        }
        assert_eq!(
            tally.into_lines(),
            ["no id: 2 messages, the first is messages[3]", "no role: messages[4]"]
        );
    }
}
