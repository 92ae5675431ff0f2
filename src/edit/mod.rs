//! Unified diffs of one file, as git writes them: parsed, applied to the letter, and taken back.
//!
//! Applied strictly: a hunk fits where it says, byte for byte, or not at all. There is no search for
//! another place and no fuzz, since an edit that lands elsewhere is a guess.

mod align;
mod apply;
mod lines;
mod parse;
mod pieces;
mod revert;

pub use apply::{Mismatch, apply};
pub use parse::parse;
pub use revert::{CONFLICT_LINE_BYTES, Clash, Clashes, Left, Rewind};

/// The diff of one file, whose hunks are counted, in order and apart from each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDiff<'a> {
    /// What becomes of the file.
    pub change: Change,
    /// True where it says that the file is renamed.
    pub renames: bool,
    /// Its hunks.
    pub hunks: Vec<Hunk<'a>>,
}

/// What a diff makes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The file is there before and after.
    Modify,
    /// The file is new.
    Create,
    /// The file is gone afterwards.
    Delete,
}

/// One hunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hunk<'a> {
    /// How many lines of the old file lie before it.
    before: usize,
    /// Its lines, as the diff has them.
    body: &'a str,
}

/// What a line of a hunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Context,
    Removed,
    Added,
}

/// A line of a hunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line<'a> {
    side: Side,
    /// Its text, with the `\n` where it has one.
    text: &'a str,
    /// True where the diff says that it has none.
    is_unended: bool,
    /// How much of the hunk's text is behind it.
    rest: &'a str,
}

/// Returns the line that a hunk's text starts with; `None` where it starts with none.
fn first_line(body: &str) -> Option<Line<'_>> {
    let end = body.find('\n')? + 1;
    let side = match body.as_bytes()[0] {
        // git writes an empty line of context without its space where it is told to.
        b' ' | b'\n' => Side::Context,
        b'-' => Side::Removed,
        b'+' => Side::Added,
        _ => return None,
    };
    let start = usize::from(!body.starts_with('\n'));
    let (text, rest) = (&body[start..end], &body[end..]);
    // `\ No newline at end of file`, in the words of the locale.
    if !rest.starts_with("\\ ") {
        return Some(Line { side, text, is_unended: false, rest });
    }
    let rest = rest.find('\n').map_or("", |end| &rest[end + 1..]);
    Some(Line { side, text: &text[..text.len() - 1], is_unended: true, rest })
}

/// Returns so many bytes of a line at most; one that is cut ends with `…`.
pub fn cut(mut line: String, bytes: usize) -> String {
    if line.len() > bytes {
        line.truncate(line.floor_char_boundary(bytes));
        line.push('…');
    }
    line
}

impl<'a> Hunk<'a> {
    fn lines(&self) -> impl Iterator<Item = Line<'a>> + use<'a> {
        let mut body = self.body;
        std::iter::from_fn(move || {
            let line = first_line(body)?;
            body = line.rest;
            Some(line)
        })
    }
}
