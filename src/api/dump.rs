//! `system.export`, `system.import`, `system.digest`: what is stored as a file for others, and back.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::backup::check_path;
use super::{Check, method};
use crate::error::{Error, Result};
use crate::model::limits::MAX_EXPORT_SESSIONS;
use crate::model::{Millis, ProjectId, SessionId};

/// The name of the format, in the header of every export.
pub const FORMAT: &str = "aetherd-export";
/// The version of the format that is written, and the newest that is read.
pub const FORMAT_VERSION: u32 = 1;

/// In what form an export is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// One record a line, with all that is stored: what `system.import` reads.
    #[default]
    Jsonl,
    /// Transcripts for people to read.
    Markdown,
}

/// Params of `system.export`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportParams {
    /// The file to write, an absolute path at which nothing is yet.
    pub path: String,
    /// In what form.
    #[serde(default)]
    pub format: ExportFormat,
    /// These sessions alone, with their projects, messages, edits and attachments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_ids: Option<Vec<SessionId>>,
    /// The sessions of this project alone, beside those of `session_ids`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
}

impl ExportParams {
    /// Returns what is selected; `None` for all that is stored.
    pub fn selection(&self) -> Option<Selected> {
        let is_all = self.session_ids.is_none() && self.project_id.is_none();
        (!is_all).then(|| Selected {
            session_ids: self.session_ids.clone().unwrap_or_default(),
            project_id: self.project_id.clone(),
        })
    }
}

impl Check for ExportParams {
    fn check(&self) -> Result<()> {
        check_path(&self.path)?;
        let Some(ids) = &self.session_ids else { return Ok(()) };
        if ids.is_empty() || ids.len() > MAX_EXPORT_SESSIONS {
            return Err(Error::invalid(
                "session_ids",
                format!("expected 1 to {MAX_EXPORT_SESSIONS} sessions, not {}", ids.len()),
            ));
        }
        Ok(())
    }
}

/// What was asked for, where that is not all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Selected {
    /// The sessions that were named.
    pub session_ids: Vec<SessionId>,
    /// The project that was named.
    pub project_id: Option<ProjectId>,
}

/// What `system.export` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Exported {
    /// The file.
    pub path: String,
    /// Its bytes.
    pub bytes: u64,
    /// How many records of each type it has.
    pub counts: BTreeMap<String, u64>,
    /// The total of `system.digest` for what was exported, where that is all that is stored.
    pub digest: Option<String>,
}

/// The first line of an export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// `header`.
    #[serde(rename = "type")]
    pub word: String,
    /// [`FORMAT`].
    pub format: String,
    /// The version of the format.
    pub version: u32,
    /// When it was written.
    pub created_at: Millis,
    /// The version of the aetherd that wrote it.
    pub aetherd: String,
    /// The version of its tables.
    pub schema_version: i64,
    /// What was asked for; `None` for all.
    pub selection: Option<Selected>,
}

impl Header {
    /// Reads the header of an export from its first line; `None` where that is none.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        let header: Self = serde_json::from_slice(line).ok()?;
        (header.word == "header" && header.format == FORMAT).then_some(header)
    }
}

/// The last line of an export, by which one that was cut off is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Footer {
    /// `footer`.
    #[serde(rename = "type")]
    pub word: String,
    /// How many records of each type came before it.
    pub counts: BTreeMap<String, u64>,
    /// The total of `system.digest`, where all was exported.
    pub digest: Option<String>,
}

/// Params of `system.import`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportParams {
    /// The file that `system.export` wrote, an absolute path.
    pub path: String,
    /// True to tell what would happen, and write nothing.
    #[serde(default)]
    pub dry_run: bool,
}

impl Check for ImportParams {
    fn check(&self) -> Result<()> {
        check_path(&self.path)
    }
}

/// What became of the records of one type. The last four add up to the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImportCounts {
    /// Records of this type in the file.
    pub found: u64,
    /// Those that were not there, and are now.
    pub imported: u64,
    /// Those that were there with the same content.
    pub already_there: u64,
    /// Those that are there with another content, which stays.
    pub conflict: u64,
    /// Those that cannot be stored.
    pub refused: u64,
}

/// Why a line of the file was not imported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImportProblem {
    /// The line, from 1.
    pub line: u64,
    /// The record's type, where it is known.
    #[serde(rename = "type")]
    pub word: Option<String>,
    /// The record's id, where it is known; of a setting its scope and key, of a file its project and
    /// place.
    pub id: Option<String>,
    /// What became of the line.
    pub outcome: ImportOutcome,
    /// Why.
    pub reason: String,
}

/// What became of a line that was not imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportOutcome {
    /// It is there with another content, which stays.
    Conflict,
    /// It cannot be stored.
    Refused,
    /// The line is no record.
    Unreadable,
}

/// What `system.import` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Imported {
    /// True where nothing was written.
    pub dry_run: bool,
    /// True where the file has its end, with as many records as that says.
    pub is_whole: bool,
    /// What became of the records, by type.
    pub counts: BTreeMap<String, ImportCounts>,
    /// Lines that are no records.
    pub unreadable: u64,
    /// The first of what went wrong.
    pub problems: Vec<ImportProblem>,
    /// How much went wrong in all.
    pub problem_count: u64,
    /// The total of `system.digest` that the file names: that of the store it came from.
    pub digest: Option<String>,
}

/// What `system.digest` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DigestReport {
    /// The digest of all that an export holds: two stores of one content have the same, whatever their
    /// engines, and however they came to it.
    pub total: String,
    /// The digest of each table.
    pub tables: Vec<TableDigest>,
}

/// The digest of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableDigest {
    /// The table.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// The digest of its rows, in whatever order they lie.
    pub digest: String,
    /// False where the table is of this one database, such as its change feed, and not in the total.
    pub in_total: bool,
}

method! {
    /// Gives a digest of what is stored, by which two stores can be compared.
    ///
    /// It is of one moment. Two stores of the same content have the same total, also where one was made
    /// from an export of the other on another engine. The change feed, its name and tables that are not
    /// aetherd's are no part of it. Takes seconds on a large database; others are served meanwhile.
    Digest = "system.digest", Read, super::system::NoParams => DigestReport,
    errors: [],
    example: r#"{}"# => r#"{
        "total": "5f0c1b0d3f0c9d1a6f1b1c7a2b2f61f6f0b5c3a9f9f5c0f1e7f1b2a3c4d5e6f7",
        "tables": [
            {"name": "agent_edits", "rows": 1, "in_total": true,
                "digest": "00f1c7a2b2f61f6f0b5c3a9f9f5c0f1e7f1b2a3c4d5e6f75f0c1b0d3f0c9d1a6"}
        ]
    }"#,
}

method! {
    /// Writes what is stored into a file: all of it, or some sessions with what belongs to them.
    ///
    /// `jsonl` is described in `proto/export.md`, holds everything, and is what `system.import` reads;
    /// `markdown` is a transcript for people. The file is of one moment. It is written under another name,
    /// flushed, and only then gets its own. Takes seconds where much is stored; others are served meanwhile.
    Export = "system.export", Read, ExportParams => Exported,
    errors: [InvalidParams, NotFound, DiskFull],
    example: r#"{"path": "/home/me/.rainy-aether/cart.jsonl", "session_ids": ["ses-1"]}"# => r#"{
        "path": "/home/me/.rainy-aether/cart.jsonl", "bytes": 4096,
        "counts": {"attachment": 1, "edit": 1, "message": 3, "project": 1, "session": 1}, "digest": null
    }"#,
}

method! {
    /// Reads a file that `system.export` wrote, and stores of it what is not there.
    ///
    /// Each record is stored as it was: with its id, its times and its place in the order. One that is
    /// there with another content stays as it is here, and is named. So it can be called again, and goes on
    /// where it was broken off. It writes in small parts, between the writes of others. A newer format, and
    /// a file that is none, is refused as a whole.
    Import = "system.import", Read, ImportParams => Imported,
    errors: [InvalidParams, NotFound, DiskFull],
    example: r#"{"path": "/home/me/.rainy-aether/cart.jsonl"}"# => r#"{
        "dry_run": false, "is_whole": true,
        "counts": {
            "attachment": {"found": 1, "imported": 0, "already_there": 1, "conflict": 0, "refused": 0},
            "edit": {"found": 1, "imported": 0, "already_there": 1, "conflict": 0, "refused": 0},
            "message": {"found": 3, "imported": 0, "already_there": 3, "conflict": 0, "refused": 0},
            "project": {"found": 1, "imported": 0, "already_there": 1, "conflict": 0, "refused": 0},
            "session": {"found": 1, "imported": 0, "already_there": 1, "conflict": 0, "refused": 0}
        },
        "unreadable": 0, "problems": [], "problem_count": 0, "digest": null
    }"#,
}
