//! A file at two times at once: the lines it had then, those it has now, and which are in both.

use std::collections::VecDeque;
use std::rc::Rc;

use super::align::{Part, align};
use super::lines::{Lines, behind_lines};

/// Lines of the file as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Run {
    /// The beginning or the end of the file, which counts for a line.
    Edge,
    /// So many lines of the content, from this one on.
    Content { from: usize, count: usize },
    /// Lines that were put back.
    Restored { text: Rc<str>, start: usize, end: usize, count: usize },
}

/// The edit that has changed lines since, by its number; none where nobody recorded it.
pub(super) type By = Option<usize>;

/// Some lines and when the file has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Then and now.
    Both(Run),
    /// Now alone.
    Now(Run, By),
    /// Then alone: so many lines.
    Then(usize, By),
}

impl Run {
    /// Returns lines that are put back.
    pub(super) fn restored(text: &str) -> Self {
        let count = text.split_inclusive('\n').count();
        Self::Restored { text: text.into(), start: 0, end: text.len(), count }
    }

    pub(super) fn count(&self) -> usize {
        match self {
            Self::Edge => 1,
            Self::Content { count, .. } | Self::Restored { count, .. } => *count,
        }
    }

    /// Cuts the run behind so many of its lines, fewer than it has.
    fn split(self, lines: usize) -> (Self, Self) {
        match self {
            Self::Edge => unreachable!("an edge is one line"),
            Self::Content { from, count } => (
                Self::Content { from, count: lines },
                Self::Content { from: from + lines, count: count - lines },
            ),
            Self::Restored { text, start, end, count } => {
                let at = start + behind_lines(&text[start..end], lines);
                (
                    Self::Restored { text: Rc::clone(&text), start, end: at, count: lines },
                    Self::Restored { text, start: at, end, count: count - lines },
                )
            }
        }
    }

    /// Returns the run's text; an edge has none.
    pub(super) fn text<'r>(&'r self, content: &Lines<'r>) -> &'r str {
        match self {
            Self::Edge => "",
            Self::Content { from, count } => content.range(*from, *count),
            Self::Restored { text, start, end, .. } => &text[*start..*end],
        }
    }
}

impl Piece {
    /// Returns how many lines of then it has.
    fn then_lines(&self) -> usize {
        match self {
            Self::Both(run) => run.count(),
            Self::Now(..) => 0,
            Self::Then(count, _) => *count,
        }
    }

    /// Returns who has changed the lines; the outer none where nobody has.
    pub(super) fn changed_by(&self) -> Option<By> {
        match self {
            Self::Both(_) => None,
            Self::Now(_, by) | Self::Then(_, by) => Some(*by),
        }
    }

    pub(super) fn is_edge(&self) -> bool {
        matches!(self, Self::Both(Run::Edge))
    }
}

/// Returns the pieces of a file that is as it was.
pub(super) fn unchanged(now: &Lines<'_>) -> Vec<Piece> {
    between_edges([Part::Both(0, now.count())].into_iter().filter(|_| now.count() > 0))
}

/// Returns the pieces of a file that nobody's edits have changed since.
pub(super) fn aligned(then: &Lines<'_>, now: &Lines<'_>) -> Vec<Piece> {
    between_edges(align(then, now).into_iter())
}

fn between_edges(parts: impl Iterator<Item = Part>) -> Vec<Piece> {
    let pieces = parts.map(|part| match part {
        Part::Both(from, count) => Piece::Both(Run::Content { from, count }),
        Part::Then(count) => Piece::Then(count, None),
        Part::Now(from, count) => Piece::Now(Run::Content { from, count }, None),
    });
    let edge = || std::iter::once(Piece::Both(Run::Edge));
    edge().chain(pieces).chain(edge()).collect()
}

/// The pieces as they are gone through, from the beginning of the file on.
pub(super) struct Walk {
    rest: VecDeque<Piece>,
    /// Those that were passed.
    pub(super) passed: Vec<Piece>,
    /// How many lines of then were taken.
    taken: usize,
}

impl Walk {
    pub(super) fn of(pieces: Vec<Piece>) -> Self {
        Self { passed: Vec::with_capacity(pieces.len()), rest: pieces.into(), taken: 0 }
    }

    /// Takes so many lines of then, with what is between and before them now; fewer at the end.
    pub(super) fn take(&mut self, lines: usize) -> Vec<Piece> {
        let mut found = Vec::new();
        let mut left = lines;
        while left > 0
            && let Some(piece) = self.rest.pop_front()
        {
            let count = piece.then_lines();
            if count <= left {
                left -= count;
                found.push(piece);
                continue;
            }
            let (first, second) = match piece {
                Piece::Both(run) => {
                    let (first, second) = run.split(left);
                    (Piece::Both(first), Piece::Both(second))
                }
                Piece::Then(count, by) => (Piece::Then(left, by), Piece::Then(count - left, by)),
                Piece::Now(..) => unreachable!("it has no lines of then"),
            };
            found.push(first);
            self.rest.push_front(second);
            left = 0;
        }
        self.taken += lines - left;
        found
    }

    /// Passes all that is before a line of then and has not been taken. The edge is line 0.
    pub(super) fn pass_to(&mut self, line: usize) {
        let pieces = self.take(line.saturating_sub(self.taken));
        self.pass(pieces);
    }

    pub(super) fn pass(&mut self, pieces: Vec<Piece>) {
        for piece in pieces {
            self.push(piece);
        }
    }

    /// Adds a piece, to the one before where it goes on from that.
    pub(super) fn push(&mut self, piece: Piece) {
        if let (
            Some(Piece::Both(Run::Content { from, count })),
            Piece::Both(Run::Content { from: next, count: more }),
        ) = (self.passed.last_mut(), &piece)
            && *from + *count == *next
        {
            *count += more;
            return;
        }
        self.passed.push(piece);
    }

    /// Returns what comes next.
    pub(super) fn peek(&self) -> Option<&Piece> {
        self.rest.front()
    }

    pub(super) fn finish(mut self) -> Vec<Piece> {
        while let Some(piece) = self.rest.pop_front() {
            self.push(piece);
        }
        self.passed
    }
}

/// Returns the line of the content that follows the last one of some pieces that is in both.
pub(super) fn next_line<'p>(pieces: impl DoubleEndedIterator<Item = &'p Piece>) -> usize {
    let last = pieces.rev().find_map(|piece| match piece {
        Piece::Both(Run::Content { from, count }) => Some(from + count),
        _ => None,
    });
    last.unwrap_or(0)
}
