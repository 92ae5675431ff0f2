//! `retention.*`: which sessions go by themselves, and when. Off until the user sets it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{self, Check};
use super::{method, system::NoParams};
use crate::error::{Error, Result};
use crate::model::limits::{
    MAX_FILE_SIZE, MAX_PAGE_ITEMS, MAX_RETENTION_DAYS, MAX_RETENTION_SESSIONS,
    MIN_RETENTION_DATABASE_BYTES,
};
use crate::model::{Millis, ProjectId, SessionId};

/// What goes by itself. A limit that is null or absent is none; where all are, retention is off.
///
/// No limit ever touches a session that was active in the last 24 hours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Days without activity after which a session goes to the trash.
    #[serde(default)]
    #[schemars(range(min = 1, max = MAX_RETENTION_DAYS))]
    pub max_age_days: Option<u32>,
    /// Sessions of a project, archived or not, of which the last active ones stay and the others go
    /// to the trash. Those of no project count as of one.
    #[serde(default)]
    #[schemars(range(min = 1, max = MAX_RETENTION_SESSIONS))]
    pub max_sessions_per_project: Option<u32>,
    /// Bytes of the database that are in use, without what is in the trash: past them the sessions
    /// that were not active for the longest time go to the trash, whatever project they are of.
    #[serde(default)]
    #[schemars(range(min = MIN_RETENTION_DATABASE_BYTES, max = MAX_FILE_SIZE))]
    pub max_database_bytes: Option<i64>,
    /// Days after which a session in the trash is gone for good, whoever put it there; null where
    /// the trash keeps all.
    #[serde(deserialize_with = "check::present")]
    #[schemars(range(max = MAX_RETENTION_DAYS))]
    pub trash_days: Option<u32>,
    /// Whether pinned sessions stay, whatever the limits say, and are not counted for
    /// `max_sessions_per_project`.
    pub keep_pinned: bool,
}

impl Policy {
    /// True where no limit is set.
    pub fn is_off(&self) -> bool {
        self.max_age_days.is_none()
            && self.max_sessions_per_project.is_none()
            && self.max_database_bytes.is_none()
            && self.trash_days.is_none()
    }

    fn check_as(&self, prefix: &str) -> Result<()> {
        range(prefix, "max_age_days", self.max_age_days, 1, MAX_RETENTION_DAYS)?;
        range(
            prefix,
            "max_sessions_per_project",
            self.max_sessions_per_project,
            1,
            MAX_RETENTION_SESSIONS,
        )?;
        range(
            prefix,
            "max_database_bytes",
            self.max_database_bytes,
            MIN_RETENTION_DATABASE_BYTES,
            MAX_FILE_SIZE,
        )?;
        range(prefix, "trash_days", self.trash_days, 0, MAX_RETENTION_DAYS)
    }
}

impl Check for Policy {
    fn check(&self) -> Result<()> {
        self.check_as("")
    }
}

/// Checks a number that may be none.
fn range<T: PartialOrd + std::fmt::Display + Copy>(
    prefix: &str,
    field: &str,
    value: Option<T>,
    min: T,
    max: T,
) -> Result<()> {
    match value.filter(|value| !(min..=max).contains(value)) {
        None => Ok(()),
        Some(value) => Err(Error::invalid(
            format!("{prefix}{field}"),
            format!("expected {min} to {max}, or null for no limit; found {value}"),
        )),
    }
}

/// What `retention.get` and `retention.set` answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Retention {
    /// What was set last; null where nothing ever was.
    pub policy: Option<Policy>,
    /// The last run that was not a dry one; null before the first.
    pub last_run: Option<Run>,
}

/// What a run did, or would have done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// When it began.
    pub started_at: Millis,
    /// When it ended.
    pub finished_at: Millis,
    /// True where it only looked.
    pub dry_run: bool,
    /// Sessions that it moved to the trash.
    pub moved: i64,
    /// About their bytes.
    pub moved_bytes: i64,
    /// Sessions that it purged from the trash.
    pub purged: i64,
    /// About their bytes.
    pub purged_bytes: i64,
    /// Sessions that it left alone after all: what happened to them meanwhile let them stay.
    pub skipped: i64,
}

/// What happens to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// It is gone for good, from the trash.
    Purge,
    /// It is moved to the trash.
    Trash,
}

/// The limit that a session is over: the first one, where it is over several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It has lain in the trash for longer.
    TrashDays,
    /// It was not active for longer.
    MaxAgeDays,
    /// Its project has so many that were active later.
    MaxSessionsPerProject,
    /// The database has more in use.
    MaxDatabaseBytes,
}

/// A session that would go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Going {
    /// The session.
    pub id: SessionId,
    /// What the user calls it.
    pub title: Option<String>,
    /// The project it belongs to.
    pub project_id: Option<ProjectId>,
    /// Its last activity.
    pub activity_at: Millis,
    /// About its bytes: its texts, messages, edits and what is attached to them.
    pub bytes: i64,
    /// What would happen to it.
    pub step: Step,
    /// The limit it is over.
    pub why: Reason,
}

/// How many sessions would go, and what they hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sum {
    /// The sessions that would be moved to the trash.
    pub moved: i64,
    /// About their bytes.
    pub moved_bytes: i64,
    /// The sessions that would be purged from it.
    pub purged: i64,
    /// About their bytes.
    pub purged_bytes: i64,
}

/// What would go of one project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectSum {
    /// The project; null for the sessions of none.
    pub project_id: Option<ProjectId>,
    /// How many, and what they hold.
    pub total: Sum,
}

/// Params of `retention.preview`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewParams {
    /// The policy to look by; the one that is set unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// How many sessions, and how many projects, are listed at most; the sums are of all.
    #[serde(default = "check::default_page_items")]
    #[schemars(range(min = 1, max = MAX_PAGE_ITEMS))]
    pub limit: u32,
}

impl Check for PreviewParams {
    fn check(&self) -> Result<()> {
        if let Some(policy) = &self.policy {
            policy.check_as("policy.")?;
        }
        check::page_limit(self.limit)
    }
}

/// What a run would do now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Preview {
    /// The policy it was looked by; null where none is set.
    pub policy: Option<Policy>,
    /// Bytes of the database that are in use, without what is in the trash where
    /// `max_database_bytes` is set.
    pub used_bytes: i64,
    /// All that would go.
    pub total: Sum,
    /// The same by project, most bytes first.
    pub projects: Vec<ProjectSum>,
    /// The sessions in the order in which they would go.
    pub sessions: Vec<Going>,
    /// True where there are more sessions or projects than are listed.
    pub has_more: bool,
}

/// Params of `retention.run`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunParams {
    /// Whether it only looks, and changes nothing.
    #[serde(default)]
    pub dry_run: bool,
}

impl Check for RunParams {}

method! {
    /// Tells what goes by itself, and what the last run did.
    Get = "retention.get", Read, NoParams => Retention,
    errors: [],
    example: r#"{}"# => r#"{"policy": null, "last_run": null}"#,
}

method! {
    /// Says what goes by itself from now on; replaces all that was said before.
    ///
    /// A run once a day moves what is over the limits to the trash, and purges what has lain there for
    /// longer than `trash_days`. With every limit null retention is off again.
    Set = "retention.set", Write, Policy => Retention,
    errors: [],
    example: r#"{"max_age_days": 180, "trash_days": 30, "keep_pinned": true}"# => r#"{
        "policy": {
            "max_age_days": 180, "max_sessions_per_project": null, "max_database_bytes": null,
            "trash_days": 30, "keep_pinned": true
        },
        "last_run": null
    }"#,
}

method! {
    /// Tells what a run would do now, by the policy that is set or by another. Changes nothing.
    ///
    /// Takes seconds where much would go; others are served meanwhile.
    Look = "retention.preview", Read, PreviewParams => Preview,
    errors: [],
    example: r#"{"limit": 10}"# => r#"{
        "policy": {
            "max_age_days": 180, "max_sessions_per_project": null, "max_database_bytes": null,
            "trash_days": 30, "keep_pinned": true
        },
        "used_bytes": 4096,
        "total": {"moved": 0, "moved_bytes": 0, "purged": 0, "purged_bytes": 0},
        "projects": [], "sessions": [], "has_more": false
    }"#,
}

method! {
    /// Carries the policy out now: answers when what is over it is in the trash, and what was there for too long is off every list.
    ///
    /// What it purges is erased afterwards, in batches between other writes. Nothing that a run moves to
    /// the trash is purged by the same run. Where retention is off it does nothing. One run, or
    /// compaction, goes on at a time; the next waits for it.
    CarryOut = "retention.run", Write, RunParams => Run,
    errors: [],
    example: r#"{"dry_run": true}"# => r#"{
        "started_at": 1764000000000, "finished_at": 1764000000000, "dry_run": true,
        "moved": 0, "moved_bytes": 0, "purged": 0, "purged_bytes": 0, "skipped": 0
    }"#,
}
