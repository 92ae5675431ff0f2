//! A text by its lines, each with its end.

/// A text and where its lines start.
pub(super) struct Lines<'a> {
    text: &'a str,
    /// Where each line starts, and the text's end.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let mut starts = vec![0];
        starts.extend(memchr::memchr_iter(b'\n', text.as_bytes()).map(|end| end + 1));
        if starts.last() != Some(&text.len()) {
            starts.push(text.len());
        }
        Self { text, starts }
    }

    pub(super) fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// Returns a line, counted from 0.
    pub(super) fn get(&self, line: usize) -> Option<&'a str> {
        Some(&self.text[*self.starts.get(line)?..*self.starts.get(line + 1)?])
    }

    /// Returns some lines from one on, which must be there.
    pub(super) fn range(&self, from: usize, count: usize) -> &'a str {
        &self.text[self.starts[from]..self.starts[from + count]]
    }
}

/// Returns where the line begins that so many others lie before; the end where there are not so many.
pub(super) fn behind_lines(text: &str, count: usize) -> usize {
    match count.checked_sub(1) {
        None => 0,
        Some(last) => {
            memchr::memchr_iter(b'\n', text.as_bytes()).nth(last).map_or(text.len(), |end| end + 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_what_lies_between_their_ends() {
        for text in ["", "a", "\n", "a\nb", "a\r\n\né\n", "\n\n"] {
            let lines = Lines::of(text);
            let found: Vec<&str> = (0..).map_while(|line| lines.get(line)).collect();
            let expected: Vec<&str> = text.split_inclusive('\n').collect();
            assert_eq!((found, lines.count()), (expected.clone(), expected.len()), "{text:?}");
            assert_eq!(lines.range(0, lines.count()), text);
            for count in 0..4 {
                let before: usize = expected.iter().take(count).map(|line| line.len()).sum();
                assert_eq!(behind_lines(text, count), before, "{text:?}, {count}");
            }
        }
    }
}
