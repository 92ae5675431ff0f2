//! Takes edits of a file out of what it holds now, wherever other edits have moved them.
//!
//! Gone back to the newest first, over those that stay too: so which lines of the file after an edit
//! are still there, and where, is known and not searched for. An edit is undone where all the lines
//! it made are there, with the line before and the one behind, and nothing has come between: what
//! touches a later change is a conflict, as it is in a merge.

mod clash;
mod step;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_by_chance;

use std::collections::HashMap;

use super::lines::Lines;
use super::pieces::{self, By, Piece, Run, Walk};
use super::{Change, FileDiff};
pub use clash::{Clash, Clashes};
use step::HunkStep;

/// Bytes of a line that a conflict shows at most.
pub const CONFLICT_LINE_BYTES: usize = 1024;

/// What is known of the content that the newest edit left.
#[derive(Debug, Clone, Copy)]
pub enum Left<'a> {
    /// All; none where there was no file.
    Known(Option<&'a str>),
    /// It is taken to be what is there now, and every line of a diff is compared.
    Assumed {
        /// True where it is known to be something else.
        is_doubtful: bool,
    },
}

/// The way back through a file's edits.
pub struct Rewind<'a> {
    now: Lines<'a>,
    pieces: Vec<Piece>,
    /// False where there is no file, or no longer.
    exists: bool,
    /// The edit behind which that was changed.
    exists_by: By,
    bytes: usize,
    /// How often the content has a line, where a hunk may be at another place than it was.
    counts: Option<HashMap<&'a str, usize>>,
    is_doubtful: bool,
    clashes: Clashes,
    /// What is a conflict if the file holds changes that nobody recorded.
    unsure: Clashes,
}

impl<'a> Rewind<'a> {
    /// Returns the way back from what a file holds now, of which so many conflicts are listed.
    pub fn new(now: Option<&'a str>, left: Left<'_>, limit: usize) -> Self {
        let text = now.unwrap_or_default();
        let lines = Lines::of(text);
        let clashes = Clashes::at_most(limit);
        let (pieces, counts, is_doubtful) = match left {
            Left::Known(left) if left == now => (pieces::unchanged(&lines), None, false),
            Left::Known(left) => {
                (pieces::aligned(&Lines::of(left.unwrap_or_default()), &lines), None, false)
            }
            Left::Assumed { is_doubtful } => {
                let mut counts = HashMap::new();
                text.split_inclusive('\n').for_each(|line| *counts.entry(line).or_insert(0) += 1);
                (pieces::unchanged(&lines), Some(counts), is_doubtful)
            }
        };
        Self {
            now: lines,
            pieces,
            exists: now.is_some(),
            exists_by: None,
            bytes: text.len(),
            counts,
            is_doubtful,
            unsure: clashes.clone(),
            clashes,
        }
    }

    /// Goes back behind an edit that stays.
    pub fn keep(&mut self, number: usize, diff: &FileDiff<'_>) {
        self.go_back(number, diff, false);
        if diff.change != Change::Modify {
            self.exists_by = Some(number);
        }
    }

    /// Goes back behind an edit, and takes it out of the content.
    pub fn undo(&mut self, number: usize, diff: &FileDiff<'_>) {
        let existed = diff.change != Change::Delete;
        let fits = existed == self.exists;
        if !fits {
            let file = |is_there: bool| is_there.then(|| "a file".to_owned());
            let changed_by = self.exists_by;
            self.clashes.add(|| Clash {
                edit: number,
                is_ambiguous: false,
                hunk: None,
                line: None,
                expected: file(existed),
                actual: file(!existed),
                changed_by,
            });
        }
        self.go_back(number, diff, fits);
        match diff.change {
            Change::Modify => {}
            Change::Create if fits => self.exists = false,
            Change::Delete if fits => self.exists = true,
            Change::Create | Change::Delete => self.exists_by = Some(number),
        }
    }

    /// Returns how many bytes the content has so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the content without the edits, or what hinders it; none where there is no file.
    pub fn finish(mut self) -> Result<Option<String>, Clashes> {
        if self.is_doubtful {
            self.clashes.count += self.unsure.count;
            self.clashes.listed.append(&mut self.unsure.listed);
            self.clashes.listed.sort_by_key(|clash| (std::cmp::Reverse(clash.edit), clash.hunk));
            self.clashes.listed.truncate(self.clashes.limit);
        }
        if self.clashes.count > 0 {
            return Err(self.clashes);
        }
        let mut content = String::with_capacity(self.bytes);
        for piece in &self.pieces {
            match piece {
                Piece::Both(run) | Piece::Now(run, _) => content.push_str(run.text(&self.now)),
                Piece::Then(..) => {}
            }
        }
        Ok(self.exists.then_some(content))
    }

    fn go_back(&mut self, number: usize, diff: &FileDiff<'_>, undoes: bool) {
        let mut walk = Walk::of(std::mem::take(&mut self.pieces));
        let clashes = self.clashes.count;
        let (mut old_end, mut new_end) = (0, 0);
        for (index, hunk) in diff.hunks.iter().enumerate() {
            let start = new_end + (hunk.before - old_end);
            let mut step = HunkStep {
                rewind: self,
                number,
                hunk: index + 1,
                undoes,
                is_anchored: false,
                has_clash: false,
            };
            let (old, new) = step.run(&mut walk, hunk, start);
            (old_end, new_end) = (hunk.before + old, start + new);
        }
        // A file that an edit made has nothing but what the edit put there; one that is gone, nothing.
        if undoes && diff.change != Change::Modify && self.clashes.count == clashes {
            if diff.hunks.is_empty() {
                walk.pass_to(1);
            }
            self.need_edges(number, diff.hunks.len(), &walk);
        }
        self.pieces = walk.finish();
    }

    fn need_edges(&mut self, number: usize, hunks: usize, walk: &Walk) {
        let before = walk.passed.last().filter(|piece| hunks == 0 && !piece.is_edge());
        let Some(piece) = before.or_else(|| walk.peek().filter(|piece| !piece.is_edge())) else {
            return;
        };
        let at = match piece {
            Piece::Both(Run::Content { from, .. }) | Piece::Now(Run::Content { from, .. }, _) => {
                *from
            }
            _ => pieces::next_line(walk.passed.iter()),
        };
        let actual = self.now.get(at);
        self.clashes.add(|| Clash {
            edit: number,
            is_ambiguous: false,
            hunk: Some(hunks).filter(|hunks| *hunks > 0),
            line: Some(at + 1),
            expected: None,
            actual: actual.map(cut),
            changed_by: piece.changed_by().flatten(),
        });
    }
}

fn cut(line: &str) -> String {
    super::cut(line.to_owned(), CONFLICT_LINE_BYTES)
}
