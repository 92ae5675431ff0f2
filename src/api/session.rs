//! `session.*`: conversations with the agent.

mod compact;
mod fork;
mod trash;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use compact::{Clear, ClearParams, Compact, CompactParams};
pub use fork::{Ancestors, AncestorsPage, Fork, ForkParams};
pub use trash::{Delete, DeleteParams, DeletedSession, Restore};

use super::check::{self, Check};
use super::method;
use super::page::{Paged, paged};
use crate::error::{Error, Result};
use crate::model::limits::{MAX_CONTENT_BYTES, MAX_NAME_BYTES, MAX_PAGE_ITEMS, MAX_TIME, MIN_TIME};
use crate::model::{Cursor, JsonObject, Millis, ProjectId, Session, SessionId, SessionSummary};

/// Params of `session.start`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartParams {
    /// The session's id; a UUIDv7 unless given. With an id the call can be retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<SessionId>,
    /// The project it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// What the client uses it for, such as `chat`.
    pub kind: String,
    /// What the user calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// A sentence about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The model it talks to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The instructions the model is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// The session it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<SessionId>,
    /// Free data of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonObject>,
    /// When it was started; now unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = MIN_TIME, max = MAX_TIME))]
    pub created_at: Option<Millis>,
}

impl StartParams {
    /// Returns the session that is started by it.
    pub fn session(&self, now: Millis) -> Session {
        Session {
            id: self.id.clone().unwrap_or_else(SessionId::generate),
            project_id: self.project_id.clone(),
            kind: self.kind.clone(),
            title: self.title.clone(),
            description: self.description.clone(),
            model: self.model.clone(),
            system_prompt: self.system_prompt.clone(),
            parent_id: self.parent_id.clone(),
            forked_at_index: None,
            metadata: self.metadata.clone(),
            message_count: 0,
            compacted_count: 0,
            next_index: 0,
            first_message_at: None,
            last_message_at: None,
            created_at: self.created_at.unwrap_or(now),
            updated_at: now,
            archived_at: None,
            pinned_at: None,
        }
    }
}

impl Check for StartParams {
    fn check(&self) -> Result<()> {
        check::name("kind", &self.kind, MAX_NAME_BYTES)?;
        check::optional_size("title", self.title.as_ref(), MAX_NAME_BYTES * 8)?;
        check::optional_size("description", self.description.as_ref(), MAX_CONTENT_BYTES)?;
        check::optional_size("model", self.model.as_ref(), MAX_NAME_BYTES)?;
        check::optional_size("system_prompt", self.system_prompt.as_ref(), MAX_CONTENT_BYTES)?;
        check::metadata("metadata", self.metadata.as_ref())?;
        check::optional_time("created_at", self.created_at)
    }
}

/// Params of a method that names one session.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdParams {
    /// The session.
    pub id: SessionId,
}

impl Check for IdParams {}

/// Params of `session.list`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListParams {
    /// Only this project's; null for those of no project; absent for all.
    #[serde(
        default,
        deserialize_with = "check::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    pub project_id: Option<Option<ProjectId>>,
    /// Only those of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only those that came from this one, its forks among them, the last started first; without
    /// `project_id` and `kind`. It may be purged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<SessionId>,
    /// Those that are archived instead of those that are not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub archived: bool,
    /// Those in the trash, archived or not, instead of those outside.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// How many at most.
    #[serde(default = "check::default_page_items")]
    #[schemars(range(min = 1, max = MAX_PAGE_ITEMS))]
    pub limit: u32,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
}

paged!(ListParams, List);

impl Check for ListParams {
    fn check(&self) -> Result<()> {
        check::optional_size("kind", self.kind.as_ref(), MAX_NAME_BYTES)?;
        if self.parent_id.is_some() && (self.project_id.is_some() || self.kind.is_some()) {
            return Err(Error::invalid("parent_id", "stands without `project_id` and `kind`"));
        }
        if self.archived && self.deleted {
            return Err(Error::invalid("archived", "is false or absent where `deleted` is true"));
        }
        self.check_page()
    }
}

/// A page of sessions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionPage {
    /// The sessions, newest activity first; those of a parent, the last started first.
    pub sessions: Vec<SessionSummary>,
    /// Where the next page starts; null on the last.
    pub next_cursor: Option<Cursor>,
}

/// Params of `session.update`. A field that is absent stays as it is; null clears it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateParams {
    /// The session.
    pub id: SessionId,
    /// What the user calls it.
    #[serde(
        default,
        deserialize_with = "check::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    pub title: Option<Option<String>>,
    /// A sentence about it.
    #[serde(
        default,
        deserialize_with = "check::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    pub description: Option<Option<String>>,
    /// The model it talks to.
    #[serde(
        default,
        deserialize_with = "check::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    pub model: Option<Option<String>>,
    /// The instructions the model is given.
    #[serde(
        default,
        deserialize_with = "check::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    pub system_prompt: Option<Option<String>>,
    /// The project it belongs to.
    #[serde(
        default,
        deserialize_with = "check::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    pub project_id: Option<Option<ProjectId>>,
    /// A merge patch (RFC 7396) for its free data; null clears that.
    #[serde(
        default,
        deserialize_with = "check::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    pub metadata: Option<Option<JsonObject>>,
    /// Whether it is in the archive: off the usual list, and else as any other.
    #[serde(
        default,
        deserialize_with = "check::not_null",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "bool")]
    pub archived: Option<bool>,
    /// Whether it is pinned, so that retention can be told to leave it alone.
    #[serde(
        default,
        deserialize_with = "check::not_null",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "bool")]
    pub pinned: Option<bool>,
}

impl Check for UpdateParams {
    fn check(&self) -> Result<()> {
        nullable_size("title", self.title.as_ref(), MAX_NAME_BYTES * 8)?;
        nullable_size("description", self.description.as_ref(), MAX_CONTENT_BYTES)?;
        nullable_size("model", self.model.as_ref(), MAX_NAME_BYTES)?;
        nullable_size("system_prompt", self.system_prompt.as_ref(), MAX_CONTENT_BYTES)?;
        check::metadata("metadata", self.metadata.as_ref().and_then(Option::as_ref))
    }
}

/// Checks the size of a text that may be absent or null.
fn nullable_size(field: &str, text: Option<&Option<String>>, limit: usize) -> Result<()> {
    check::optional_size(field, text.and_then(Option::as_ref), limit)
}

method! {
    /// Starts a session.
    ///
    /// With an `id` the call can be retried: the same id with the same content as was first sent
    /// gives the stored session, as it is now, with other content `conflict`.
    Start = "session.start", Write, StartParams => Session,
    errors: [NotFound, Conflict, TooLarge],
    example: r#"{
        "id": "ses-1", "project_id": "prj-1", "kind": "chat", "title": "New Chat",
        "model": "gemini-flash-latest", "system_prompt": "You are Rainy."
    }"# => r#"{
        "id": "ses-1", "project_id": "prj-1", "kind": "chat", "title": "New Chat",
        "description": null, "model": "gemini-flash-latest", "system_prompt": "You are Rainy.",
        "parent_id": null, "forked_at_index": null, "metadata": null, "message_count": 0,
        "compacted_count": 0, "next_index": 0,
        "first_message_at": null, "last_message_at": null,
        "created_at": 1764000000000, "updated_at": 1764000000000, "archived_at": null, "pinned_at": null
    }"#,
}

method! {
    /// Gives one session, whole but for its messages.
    Get = "session.get", Read, IdParams => Session,
    errors: [NotFound],
    example: r#"{"id": "ses-1"}"# => r#"{
        "id": "ses-1", "project_id": "prj-1", "kind": "chat", "title": "Checkout bug",
        "description": null, "model": "gemini-flash-latest", "system_prompt": "You are Rainy.",
        "parent_id": null, "forked_at_index": null, "metadata": {"pinned": true},
        "message_count": 3, "compacted_count": 0, "next_index": 3,
        "first_message_at": 1764000000000, "last_message_at": 1764000000000,
        "created_at": 1764000000000, "updated_at": 1764000000000, "archived_at": null, "pinned_at": null
    }"#,
}

method! {
    /// Lists sessions, newest activity first, without reading their messages.
    ///
    /// Each is on one of three lists: the usual one, the archive (`archived`) or the trash (`deleted`).
    List = "session.list", Read, ListParams => SessionPage,
    errors: [TooLarge],
    example: r#"{"project_id": "prj-1", "kind": "chat"}"# => r#"{
        "sessions": [{
            "id": "ses-1", "project_id": "prj-1", "kind": "chat", "title": "Checkout bug",
            "description": null, "model": "gemini-flash-latest", "parent_id": null,
            "forked_at_index": null, "message_count": 3, "compacted_count": 0,
            "first_message_at": 1764000000000, "last_message_at": 1764000000000,
            "created_at": 1764000000000, "activity_at": 1764000000000,
            "archived_at": null, "pinned_at": null, "deleted_at": null
        }],
        "next_cursor": null
    }"#,
}

method! {
    /// Changes a session's own fields, archives or pins it, or takes that back; the order of the list stays.
    ///
    /// `updated_at` stays where nothing changes.
    Update = "session.update", Write, UpdateParams => Session,
    errors: [NotFound, TooLarge],
    example: r#"{"id": "ses-1", "title": "Checkout bug", "metadata": {"pinned": true}}"# => r#"{
        "id": "ses-1", "project_id": "prj-1", "kind": "chat", "title": "Checkout bug",
        "description": null, "model": "gemini-flash-latest", "system_prompt": "You are Rainy.",
        "parent_id": null, "forked_at_index": null, "metadata": {"pinned": true},
        "message_count": 0, "compacted_count": 0, "next_index": 0,
        "first_message_at": null, "last_message_at": null,
        "created_at": 1764000000000, "updated_at": 1764000000000, "archived_at": null, "pinned_at": null
    }"#,
}
