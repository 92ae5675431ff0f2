//! What the import tells: of each file, and in sum.

use std::fmt;

use serde::Serialize;

use crate::model::{ProjectId, SessionId};

/// What a file was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A session of the IDE.
    Session,
    /// The user's settings.
    Settings,
    /// A project's settings.
    ProjectSettings,
    /// None of these.
    Other,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// All of it is stored, and some of it was not before.
    Imported,
    /// All of it was stored before; nothing was written.
    AlreadyThere,
    /// Some of it could not be stored as it was written; `problems` tells what.
    Partly,
    /// It was passed over on purpose; `reason` tells why.
    Skipped,
    /// It could not be read or is not what it should be; `reason` tells why.
    Unreadable,
}

/// What became of the parts of one kind: `found` is the sum of the other four.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// How many the file holds.
    pub found: u64,
    /// Stored now.
    pub imported: u64,
    /// Stored before, and left as they are.
    pub already_there: u64,
    /// Not stored; a problem tells of each.
    pub failed: u64,
    /// Passed over, since their session is in the trash.
    pub skipped: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.found += other.found;
        self.imported += other.imported;
        self.already_there += other.already_there;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileOutcome {
    /// The file; what is not Unicode in its name is replaced.
    pub path: String,
    /// What it was taken for.
    pub kind: FileKind,
    /// What became of it.
    pub disposition: Disposition,
    /// Why it was skipped or unreadable.
    pub reason: Option<String>,
    /// The session it holds.
    pub session_id: Option<SessionId>,
    /// The project whose settings it holds.
    pub project_id: Option<ProjectId>,
    /// True where the session is new in the store.
    pub session_created: bool,
    /// Its messages.
    pub messages: Counts,
    /// Its settings.
    pub settings: Counts,
    /// The edits that its tool calls tell of.
    pub edits: Counts,
    /// Fields of the session or its messages that are too large for the daemon, and the torn end of a
    /// file that was cut off; a problem names each.
    pub left_out: u64,
    /// What could not be stored as it was written.
    pub problems: Vec<String>,
    /// What is worth knowing; nothing is lost by it.
    pub notes: Vec<String>,
}

/// What became of all files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Files looked at: the sum of the next five.
    pub files: u64,
    /// Files of which something is new in the store, and all is there.
    pub imported: u64,
    /// Files that were stored before.
    pub already_there: u64,
    /// Files of which some could not be stored as written.
    pub partly: u64,
    /// Files passed over on purpose.
    pub skipped: u64,
    /// Files that could not be read.
    pub unreadable: u64,
    /// Sessions that are new in the store.
    pub sessions_created: u64,
    /// The messages of all files.
    pub messages: Counts,
    /// The settings of all files.
    pub settings: Counts,
    /// The edits of all files.
    pub edits: Counts,
}

impl FileOutcome {
    pub(super) fn new(path: &std::path::Path, kind: FileKind) -> Self {
        Self {
            path: path.to_string_lossy().into_owned(),
            kind,
            disposition: Disposition::AlreadyThere,
            reason: None,
            session_id: None,
            project_id: None,
            session_created: false,
            messages: Counts::default(),
            settings: Counts::default(),
            edits: Counts::default(),
            left_out: 0,
            problems: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Gives the file up, for a reason.
    pub(super) fn refuse(&mut self, disposition: Disposition, reason: impl Into<String>) {
        self.disposition = disposition;
        self.reason = Some(reason.into());
    }

    /// Concludes from the counts what became of a file that was read.
    ///
    /// What was repaired on the way in makes the file partly imported once; afterwards it is there.
    /// What was left out or failed is in the file alone, however often it is imported.
    pub(super) fn conclude(&mut self) {
        if self.reason.is_some() {
            return;
        }
        let counts = [self.messages, self.settings, self.edits];
        let is_new = self.session_created || counts.iter().any(|counts| counts.imported > 0);
        let failed = self.left_out > 0 || counts.iter().any(|counts| counts.failed > 0);
        self.disposition = match (is_new, failed) {
            (_, true) => Disposition::Partly,
            (true, false) if !self.problems.is_empty() => Disposition::Partly,
            (true, false) => Disposition::Imported,
            (false, false) => Disposition::AlreadyThere,
        };
    }
}

impl Totals {
    /// True where every file was stored whole, now or before.
    pub fn is_complete(&self) -> bool {
        self.partly + self.unreadable == 0
    }

    pub(super) fn add(&mut self, outcome: &FileOutcome) {
        self.files += 1;
        *match outcome.disposition {
            Disposition::Imported => &mut self.imported,
            Disposition::AlreadyThere => &mut self.already_there,
            Disposition::Partly => &mut self.partly,
            Disposition::Skipped => &mut self.skipped,
            Disposition::Unreadable => &mut self.unreadable,
        } += 1;
        self.sessions_created += u64::from(outcome.session_created);
        self.messages.add(outcome.messages);
        self.settings.add(outcome.settings);
        self.edits.add(outcome.edits);
    }
}

impl fmt::Display for Disposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Imported => "imported",
            Self::AlreadyThere => "already there",
            Self::Partly => "partly imported",
            Self::Skipped => "skipped",
            Self::Unreadable => "unreadable",
        })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} new, {} already there", self.imported, self.already_there)?;
        for (count, word) in [(self.failed, "failed"), (self.skipped, "skipped")] {
            if count > 0 {
                write!(f, ", {count} {word}")?;
            }
        }
        Ok(())
    }
}

/// Returns a path as a terminal can show it: a name may hold what moves the cursor or ends the line.
pub(super) fn shown(path: &str) -> String {
    path.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// One line; the problems and notes are not in it.
impl fmt::Display for FileOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", shown(&self.path), self.disposition)?;
        match (&self.reason, self.kind) {
            (Some(reason), _) => write!(f, ": it {reason}"),
            (None, FileKind::Session) => {
                write!(f, "; messages: {}", self.messages)?;
                write_edits(f, self.edits)
            }
            (None, FileKind::Settings | FileKind::ProjectSettings) => {
                write!(f, "; settings: {}", self.settings)
            }
            (None, FileKind::Other) => Ok(()),
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} files: {} imported, {} already there",
            self.files, self.imported, self.already_there
        )?;
        for (count, word) in [
            (self.partly, "partly imported"),
            (self.skipped, "skipped"),
            (self.unreadable, "unreadable"),
        ] {
            if count > 0 {
                write!(f, ", {count} {word}")?;
            }
        }
        write!(f, "; {} new sessions", self.sessions_created)?;
        write!(f, "; messages: {}; settings: {}", self.messages, self.settings)?;
        write_edits(f, self.edits)
    }
}

fn write_edits(f: &mut fmt::Formatter<'_>, edits: Counts) -> fmt::Result {
    if edits.found > 0 { write!(f, "; edits: {edits}") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(imported: u64, failed: u64, problem: Option<&str>) -> FileOutcome {
        let mut outcome = FileOutcome::new("a\nb.json".as_ref(), FileKind::Session);
        outcome.messages =
            Counts { found: imported + failed + 1, imported, already_there: 1, failed, skipped: 0 };
        outcome.problems.extend(problem.map(str::to_owned));
        outcome.conclude();
        outcome
    }

    #[test]
    fn a_disposition_follows_from_the_counts() {
        for (imported, failed, problem, disposition) in [
            (1, 0, None, Disposition::Imported),
            (0, 0, None, Disposition::AlreadyThere),
            (1, 0, Some("repaired"), Disposition::Partly),
            (0, 0, Some("repaired"), Disposition::AlreadyThere),
            (1, 1, Some("too large"), Disposition::Partly),
            (0, 1, Some("too large"), Disposition::Partly),
        ] {
            assert_eq!(outcome(imported, failed, problem).disposition, disposition);
        }
    }

    #[test]
    fn a_line_stays_a_line_and_the_sums_add_up() {
        let mut refused = FileOutcome::new("c.json".as_ref(), FileKind::Session);
        refused.refuse(Disposition::Unreadable, "is empty");
        refused.conclude();
        assert_eq!(refused.to_string(), "c.json: unreadable: it is empty");
        let partly = outcome(2, 1, Some("x"));
        assert_eq!(
            partly.to_string(),
            "a\u{FFFD}b.json: partly imported; messages: 2 new, 1 already there, 1 failed"
        );
        let mut totals = Totals::default();
        for outcome in [&refused, &partly, &outcome(3, 0, None)] {
            totals.add(outcome);
        }
        assert_eq!(
            totals.to_string(),
            "3 files: 1 imported, 0 already there, 1 partly imported, 1 unreadable; 0 new sessions; \
             messages: 5 new, 2 already there, 1 failed; settings: 0 new, 0 already there"
        );
        assert_eq!(totals.messages.found, 8);
        assert!(!totals.is_complete());
    }
}
