//! `session.*`: conversations with the agent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{self, Check};
use super::method;
use super::page::{Paged, paged};
use crate::error::Result;
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
        self.check_page()
    }
}

/// A page of sessions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionPage {
    /// The sessions, newest activity first.
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
}

impl Check for UpdateParams {
    fn check(&self) -> Result<()> {
        let text = |field: &'static str, value: &Option<Option<String>>, limit| {
            check::optional_size(field, value.as_ref().and_then(Option::as_ref), limit)
        };
        text("title", &self.title, MAX_NAME_BYTES * 8)?;
        text("description", &self.description, MAX_CONTENT_BYTES)?;
        text("model", &self.model, MAX_NAME_BYTES)?;
        text("system_prompt", &self.system_prompt, MAX_CONTENT_BYTES)?;
        check::metadata("metadata", self.metadata.as_ref().and_then(Option::as_ref))
    }
}

/// Params of `session.clear`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClearParams {
    /// The session.
    pub id: SessionId,
    /// How many of the messages that its history shows now stay, from the first on: 1 keeps the
    /// system prompt the IDE puts there.
    #[serde(default)]
    pub keep_first: u32,
    /// The session's next index; `precondition_failed` where it is another, unless this very call
    /// was carried out before. With it the call can be retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_next_index: Option<i64>,
}

impl Check for ClearParams {}

/// What `session.delete` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeletedSession {
    /// True where the session was outside the trash until now.
    pub deleted: bool,
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
        "parent_id": null, "metadata": null, "message_count": 0, "next_index": 0,
        "first_message_at": null, "last_message_at": null,
        "created_at": 1764000000000, "updated_at": 1764000000000
    }"#,
}

method! {
    /// Gives one session, whole but for its messages.
    Get = "session.get", Read, IdParams => Session,
    errors: [NotFound],
    example: r#"{"id": "ses-1"}"# => r#"{
        "id": "ses-1", "project_id": "prj-1", "kind": "chat", "title": "Checkout bug",
        "description": null, "model": "gemini-flash-latest", "system_prompt": "You are Rainy.",
        "parent_id": null, "metadata": {"pinned": true}, "message_count": 3, "next_index": 3,
        "first_message_at": 1764000000000, "last_message_at": 1764000000000,
        "created_at": 1764000000000, "updated_at": 1764000000000
    }"#,
}

method! {
    /// Lists sessions, newest activity first, without reading their messages.
    List = "session.list", Read, ListParams => SessionPage,
    errors: [TooLarge],
    example: r#"{"project_id": "prj-1", "kind": "chat"}"# => r#"{
        "sessions": [{
            "id": "ses-1", "project_id": "prj-1", "kind": "chat", "title": "Checkout bug",
            "description": null, "model": "gemini-flash-latest", "parent_id": null,
            "message_count": 3,
            "first_message_at": 1764000000000, "last_message_at": 1764000000000,
            "created_at": 1764000000000, "activity_at": 1764000000000
        }],
        "next_cursor": null
    }"#,
}

method! {
    /// Changes a session's own fields; the order of the list stays.
    ///
    /// `updated_at` stays where nothing changes.
    Update = "session.update", Write, UpdateParams => Session,
    errors: [NotFound, TooLarge],
    example: r#"{"id": "ses-1", "title": "Checkout bug", "metadata": {"pinned": true}}"# => r#"{
        "id": "ses-1", "project_id": "prj-1", "kind": "chat", "title": "Checkout bug",
        "description": null, "model": "gemini-flash-latest", "system_prompt": "You are Rainy.",
        "parent_id": null, "metadata": {"pinned": true}, "message_count": 0, "next_index": 0,
        "first_message_at": null, "last_message_at": null,
        "created_at": 1764000000000, "updated_at": 1764000000000
    }"#,
}

method! {
    /// Starts the conversation over: its history shows only the first messages, as many as are kept.
    ///
    /// Nothing is erased: the messages stay in the database and readable by `message.get`, and
    /// the next index goes on. What is hidden stays hidden: a second clear keeps the first of the
    /// messages that are shown then, those kept before and those said since. Without
    /// `expected_next_index` a retry also hides what was appended in between; with it, it does not.
    Clear = "session.clear", Write, ClearParams => Session,
    errors: [NotFound, PreconditionFailed],
    example: r#"{"id": "ses-1", "keep_first": 1, "expected_next_index": 3}"# => r#"{
        "id": "ses-1", "project_id": "prj-1", "kind": "chat", "title": "Checkout bug",
        "description": null, "model": "gemini-flash-latest", "system_prompt": "You are Rainy.",
        "parent_id": null, "metadata": {"pinned": true}, "message_count": 1, "next_index": 3,
        "first_message_at": 1764000000000, "last_message_at": 1764000000000,
        "created_at": 1764000000000, "updated_at": 1764000000000
    }"#,
}

method! {
    /// Moves a session to the trash: no method shows it or its messages any more, nothing is erased.
    Delete = "session.delete", Write, IdParams => DeletedSession,
    errors: [NotFound],
    example: r#"{"id": "ses-1"}"# => r#"{"deleted": true}"#,
}
