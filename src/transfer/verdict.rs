//! How a file and the store compare, and what is told of it.

use std::fmt;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::outcome::{Disposition, FileKind, FileOutcome, shown};
use super::settle::value;
use crate::model::{JsonObject, ProjectId, SessionId, hex};

/// Hex digits of a hash that are shown of a text: enough to tell two apart.
const SHOWN_DIGITS: usize = 12;

/// How a file and the store compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All of the file is in the store, as it is in the file.
    Equal,
    /// Some of it is not; `differences` and `problems` tell what.
    Differs,
    /// None of it is; `reason` tells what is missing.
    Missing,
    /// It is none of the IDE's sessions and settings; `reason` tells why.
    Skipped,
    /// It could not be read or is not what it should be; `reason` tells why.
    Unreadable,
}

/// A field that is another in the store. Texts are told by their bytes and the start of their hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What it is of: `session`, a message by id and place, an edit or a setting.
    pub of: String,
    /// The field; null where all of it is missing.
    pub field: Option<&'static str>,
    /// What the file says; null for nothing.
    pub expected: Option<String>,
    /// What the store says; null for nothing.
    pub actual: Option<String>,
}

/// How one file compares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileVerdict {
    /// The file; what is not Unicode in its name is replaced.
    pub path: String,
    /// What it was taken for.
    pub kind: FileKind,
    /// How it compares.
    pub verdict: Verdict,
    /// Why it is missing, skipped or unreadable.
    pub reason: Option<String>,
    /// The session it holds.
    pub session_id: Option<SessionId>,
    /// The project whose settings it holds.
    pub project_id: Option<ProjectId>,
    /// How many fields were compared.
    pub compared: u64,
    /// The fields that are others in the store.
    pub differences: Vec<Difference>,
    /// What the store cannot have as the file has it.
    pub problems: Vec<String>,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

/// How all files compare.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyTotals {
    /// Files looked at: the sum of the next five.
    pub files: u64,
    /// Files that are in the store as they are.
    pub equal: u64,
    /// Files of which some is not.
    pub differs: u64,
    /// Files that are not in the store.
    pub missing: u64,
    /// Files that are none of the IDE's sessions and settings.
    pub skipped: u64,
    /// Files that could not be read.
    pub unreadable: u64,
    /// Fields that were compared.
    pub compared: u64,
    /// Fields that are others in the store.
    pub differences: u64,
}

impl FileVerdict {
    /// Returns the verdict on a file that was read, before it is compared.
    pub(super) fn of(outcome: FileOutcome) -> Self {
        let verdict = match outcome.disposition {
            Disposition::Skipped => Verdict::Skipped,
            Disposition::Unreadable => Verdict::Unreadable,
            _ if outcome.left_out + outcome.settings.failed > 0 => Verdict::Differs,
            _ => Verdict::Equal,
        };
        Self {
            path: outcome.path,
            kind: outcome.kind,
            verdict,
            reason: outcome.reason,
            session_id: None,
            project_id: outcome.project_id,
            compared: 0,
            differences: Vec::new(),
            problems: outcome.problems,
            notes: outcome.notes,
        }
    }

    pub(super) fn miss(&mut self, reason: String) {
        self.verdict = Verdict::Missing;
        self.reason = Some(reason);
    }

    pub(super) fn leave_out(&mut self, problem: String) {
        self.verdict = Verdict::Differs;
        self.problems.push(problem);
    }

    /// Tells that something is not in the store at all.
    pub(super) fn lack(&mut self, of: String) {
        let expected = Some("to be there".to_owned());
        self.compared += 1;
        self.differences.push(Difference { of, field: None, expected, actual: None });
    }

    /// Compares two texts.
    pub(super) fn compare(
        &mut self,
        of: impl Fn() -> String,
        field: &'static str,
        expected: Option<&str>,
        actual: Option<&str>,
    ) {
        let is_same = expected == actual;
        let shown = |text: Option<&str>| text.map(|text| told(text.as_bytes()));
        let (expected, actual) =
            if is_same { (None, None) } else { (shown(expected), shown(actual)) };
        self.compare_shown(of, field, expected, actual);
    }

    /// Compares two values that can be shown as they are.
    pub(super) fn compare_shown(
        &mut self,
        of: impl Fn() -> String,
        field: &'static str,
        expected: Option<String>,
        actual: Option<String>,
    ) {
        self.compared += 1;
        if expected != actual {
            let of = of();
            self.differences.push(Difference { of, field: Some(field), expected, actual });
        }
    }

    pub(super) fn compare_metadata(
        &mut self,
        of: impl Fn() -> String,
        expected: Option<&JsonObject>,
        actual: Option<&JsonObject>,
    ) {
        // The order of members does not count.
        let actual = if value(expected) == value(actual) { expected } else { actual };
        let text = |metadata: Option<&'_ JsonObject>| metadata.map(|it| it.as_str().to_owned());
        self.compare(of, "metadata", text(expected).as_deref(), text(actual).as_deref());
    }
}

/// Returns how bytes are told apart without showing them.
pub(super) fn told(bytes: &[u8]) -> String {
    format!("{} bytes, {}…", bytes.len(), &hex(&Sha256::digest(bytes))[..SHOWN_DIGITS])
}

impl VerifyTotals {
    /// True where every file of the IDE is in the store as it is.
    pub fn is_equal(&self) -> bool {
        self.differs + self.missing + self.unreadable == 0
    }

    pub(super) fn add(&mut self, verdict: &FileVerdict) {
        self.files += 1;
        *match verdict.verdict {
            Verdict::Equal => &mut self.equal,
            Verdict::Differs => &mut self.differs,
            Verdict::Missing => &mut self.missing,
            Verdict::Skipped => &mut self.skipped,
            Verdict::Unreadable => &mut self.unreadable,
        } += 1;
        self.compared += verdict.compared;
        self.differences += verdict.differences.len() as u64;
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "equal",
            Self::Differs => "differs",
            Self::Missing => "missing",
            Self::Skipped => "skipped",
            Self::Unreadable => "unreadable",
        })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(field) = self.field else {
            return write!(f, "{} is not in the store", shown(&self.of));
        };
        let side = |side: &Option<String>| {
            side.as_ref().map_or_else(|| "nothing".to_owned(), |text| shown(text))
        };
        let (expected, actual) = (side(&self.expected), side(&self.actual));
        write!(f, "{}: {field} is {actual}, in the file {expected}", shown(&self.of))
    }
}

/// One line; the differences, problems and notes are not in it.
impl fmt::Display for FileVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", shown(&self.path), self.verdict)?;
        match &self.reason {
            Some(reason) if self.verdict == Verdict::Missing => write!(f, ": {reason}"),
            Some(reason) => write!(f, ": it {reason}"),
            None if self.verdict == Verdict::Equal => write!(f, "; {} fields", self.compared),
            None => write!(f, "; {} of {} fields", self.differences.len(), self.compared),
        }
    }
}

impl fmt::Display for VerifyTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files: {} equal", self.files, self.equal)?;
        for (count, word) in [
            (self.differs, "different"),
            (self.missing, "missing"),
            (self.skipped, "skipped"),
            (self.unreadable, "unreadable"),
        ] {
            if count > 0 {
                write!(f, ", {count} {word}")?;
            }
        }
        write!(f, "; {} of {} fields differ", self.differences, self.compared)
    }
}
