//! One hunk that is gone back behind: compared, and taken out where it is undone.

use super::super::pieces::{self, By, Piece, Run, Walk};
use super::super::{Hunk, Line, Side};
use super::{Clash, Rewind, cut};

/// A hunk that is gone back behind.
pub(super) struct HunkStep<'r, 'a> {
    pub(super) rewind: &'r mut Rewind<'a>,
    pub(super) number: usize,
    pub(super) hunk: usize,
    pub(super) undoes: bool,
    /// True once one of its lines cannot be that of another place.
    pub(super) is_anchored: bool,
    pub(super) has_clash: bool,
}

/// Where an edit's lines are not as it left them.
struct Difference<'t> {
    at: usize,
    expected: Option<&'t str>,
    changed_by: By,
}

impl HunkStep<'_, '_> {
    /// Goes back behind a hunk whose lines start there, and returns how many it has of both files.
    pub(super) fn run(&mut self, walk: &mut Walk, hunk: &Hunk<'_>, start: usize) -> (usize, usize) {
        let (mut old, mut new) = (0, 0);
        walk.pass_to(start + 1);
        self.is_anchored = walk.passed.last().is_some_and(Piece::is_edge);
        let mut context = None;
        let mut lines = hunk.lines().peekable();
        while let Some(line) = lines.next() {
            if line.side == Side::Context {
                (old, new) = (old + 1, new + 1);
                context = Some(line.text);
                let taken = walk.take(1);
                self.compare(&walk.passed, &taken, &[line.text]);
                walk.pass(taken);
                continue;
            }
            let (mut added, mut removed) = (Vec::new(), String::new());
            let mut next = Some(line);
            while let Some(line) = next {
                if line.side == Side::Added {
                    added.push(line.text);
                } else {
                    old += 1;
                    removed.push_str(line.text);
                }
                next = lines.next_if(|line| line.side != Side::Context);
            }
            new += added.len();
            let behind = lines.peek().map(|line: &Line<'_>| line.text);
            self.change(walk, context, &added, behind, &removed);
        }
        self.is_anchored |= walk.peek().is_some_and(Piece::is_edge);
        if self.undoes && !self.has_clash && !self.is_anchored && self.rewind.counts.is_some() {
            let (edit, hunk) = (self.number, Some(self.hunk));
            let line = Some(pieces::next_line(walk.passed.iter()).max(1));
            self.rewind.unsure.add(|| Clash {
                edit,
                is_ambiguous: true,
                hunk,
                line,
                expected: None,
                actual: None,
                changed_by: None,
            });
        }
        (old, new)
    }

    /// Goes back behind lines that were added and removed at one place.
    fn change(
        &mut self,
        walk: &mut Walk,
        before: Option<&str>,
        added: &[&str],
        behind: Option<&str>,
        removed: &str,
    ) {
        let taken = walk.take(added.len());
        let fits = self.compare(&walk.passed, &taken, added);
        let restored = (!removed.is_empty()).then(|| Run::restored(removed));
        if self.undoes {
            let difference = self
                .touched(walk, &taken, before, added, behind)
                .or_else(|| self.unended(walk, removed));
            match difference {
                Some(difference) => self.clash(&difference),
                None if fits => {
                    self.rewind.bytes += removed.len();
                    self.rewind.bytes -= added.iter().map(|line| line.len()).sum::<usize>();
                    if let Some(restored) = restored {
                        walk.push(Piece::Both(restored));
                    }
                    return;
                }
                None => {}
            }
        }
        // The edit stays: its lines are none of the file before it.
        let by = Some(self.number);
        for piece in taken {
            match piece {
                Piece::Both(Run::Edge) | Piece::Now(..) => walk.push(piece),
                Piece::Both(run) => walk.push(Piece::Now(run, by)),
                Piece::Then(..) => {}
            }
        }
        if let Some(restored) = restored {
            walk.push(Piece::Then(restored.count(), by));
        }
    }

    /// Compares lines of the diff with those there are, and returns whether they are the same.
    fn compare(&mut self, passed: &[Piece], taken: &[Piece], expected: &[&str]) -> bool {
        let mut lines = expected.iter();
        for (index, piece) in taken.iter().enumerate() {
            match piece {
                Piece::Now(..) => {}
                Piece::Then(count, _) => drop(lines.by_ref().take(*count).count()),
                Piece::Both(run) => {
                    self.anchor(run);
                    let mut found = run.text(&self.rewind.now).split_inclusive('\n').enumerate();
                    let expected = lines.by_ref().take(run.count());
                    let differs = expected
                        .map(|line| (*line, found.next()))
                        .enumerate()
                        .find(|(_, (line, found))| found.is_none_or(|(_, found)| found != *line));
                    if let Some((offset, (line, _))) = differs {
                        let before = passed.iter().chain(&taken[..index]);
                        let at = pieces::next_line(before) + offset;
                        self.differ(&Difference { at, expected: Some(line), changed_by: None });
                        return false;
                    }
                }
            }
        }
        match lines.next() {
            None => true,
            Some(line) => {
                let at = self.rewind.now.count();
                self.differ(&Difference { at, expected: Some(line), changed_by: None });
                false
            }
        }
    }

    /// A line that is not the recorded one is a conflict, or shows that not all was recorded.
    fn differ(&mut self, difference: &Difference<'_>) {
        if self.undoes {
            self.clash(difference);
        } else {
            self.rewind.is_doubtful = true;
        }
    }

    /// Returns where the lines of a change, or those beside it, were changed since.
    fn touched<'t>(
        &self,
        walk: &Walk,
        taken: &[Piece],
        before: Option<&'t str>,
        added: &[&'t str],
        behind: Option<&'t str>,
    ) -> Option<Difference<'t>> {
        let first = added.first().copied().or(behind);
        let left = walk.passed.last().and_then(|piece| {
            let expected = if matches!(piece, Piece::Then(..)) { before } else { first };
            Some((0, expected, piece.changed_by()?))
        });
        let inside = || {
            let mut line = 0;
            taken.iter().enumerate().find_map(|(index, piece)| {
                if let Piece::Both(run) = piece {
                    line += run.count();
                }
                Some((index, added.get(line).copied().or(behind), piece.changed_by()?))
            })
        };
        let right = || Some((taken.len(), behind, walk.peek()?.changed_by()?));
        let (index, expected, changed_by) = left.or_else(inside).or_else(right)?;
        let at = pieces::next_line(walk.passed.iter().chain(&taken[..index]));
        Some(Difference { at, expected, changed_by })
    }

    /// Returns where lines that are put back would follow, or be followed by, what has no line's end.
    fn unended<'t>(&self, walk: &'t Walk, removed: &str) -> Option<Difference<'t>> {
        let at = pieces::next_line(walk.passed.iter());
        let is_unended = |text: &str| !text.is_empty() && !text.ends_with('\n');
        let follows_unended = !removed.is_empty()
            && matches!(walk.passed.last(), Some(Piece::Both(run)) if is_unended(run.text(&self.rewind.now)));
        let is_followed = is_unended(removed) && walk.peek().is_some_and(|piece| !piece.is_edge());
        (follows_unended || is_followed).then_some(Difference {
            at,
            expected: None,
            changed_by: None,
        })
    }

    /// One conflict a hunk.
    fn clash(&mut self, difference: &Difference<'_>) {
        if std::mem::replace(&mut self.has_clash, true) {
            return;
        }
        let actual = self.rewind.now.get(difference.at);
        let (edit, hunk) = (self.number, Some(self.hunk));
        self.rewind.clashes.add(|| Clash {
            edit,
            is_ambiguous: false,
            hunk,
            line: Some(difference.at + 1),
            expected: difference.expected.map(cut),
            actual: actual.map(cut),
            changed_by: difference.changed_by,
        });
    }

    /// Sees whether a line can be that of no other place: an end of the file, a line that was put
    /// back, or one that the content has once.
    fn anchor(&mut self, run: &Run) {
        let (false, Some(counts)) = (self.is_anchored, &self.rewind.counts) else { return };
        self.is_anchored = matches!(run, Run::Restored { .. })
            || run.text(&self.rewind.now).split_inclusive('\n').any(|line| counts[line] == 1);
    }
}
