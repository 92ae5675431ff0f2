//! What hinders edits from being undone: listed up to a limit, counted beyond it.

/// What hinders an edit from being undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The edit's number.
    pub edit: usize,
    /// True where all lines are there, but may be those of another place.
    pub is_ambiguous: bool,
    /// The hunk, from 1; none where the edit as a whole is meant.
    pub hunk: Option<usize>,
    /// The line of the content, from 1.
    pub line: Option<usize>,
    /// What the edit left there; none for the end of the file, and where the diff does not tell.
    pub expected: Option<String>,
    /// What is there; none for the end of the file.
    pub actual: Option<String>,
    /// The number of the later edit that changed it; none where no edit did.
    pub changed_by: Option<usize>,
}

/// Conflicts: as many as can be listed, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clashes {
    /// The first ones.
    pub listed: Vec<Clash>,
    /// All.
    pub count: usize,
    pub(super) limit: usize,
}

impl Clashes {
    /// Returns none yet, of which so many are listed.
    pub(super) fn at_most(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Adds a conflict, whose text is made only where it is listed.
    pub(super) fn add(&mut self, make: impl FnOnce() -> Clash) {
        self.count += 1;
        if self.listed.len() < self.limit {
            self.listed.push(make());
        }
    }
}
