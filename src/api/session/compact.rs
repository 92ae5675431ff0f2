//! `session.clear` and `session.compact`: what leaves a session's history.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::check::{self, Check};
use crate::api::method;
use crate::error::Result;
use crate::model::limits::MAX_SUMMARY_BYTES;
use crate::model::{Session, SessionId};

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

/// Params of `session.compact`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompactParams {
    /// The session.
    pub session_id: SessionId,
    /// How many of the messages that its history shows now stay, from the last one back.
    pub keep_last: u32,
    /// How many stay from the first one on: 1 keeps the system prompt the IDE puts there.
    #[serde(default)]
    pub keep_first: u32,
    /// What stands for the messages between: those, and those that the summary before stood for.
    pub summary: String,
    /// The session's next index; `precondition_failed` where it is another, unless this very call
    /// was carried out before. With it the call can be retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_next_index: Option<i64>,
}

impl Check for CompactParams {
    fn check(&self) -> Result<()> {
        check::name("summary", &self.summary, MAX_SUMMARY_BYTES)
    }
}

method! {
    /// Starts the conversation over: its history shows only the first messages, as many as are kept.
    ///
    /// Nothing is erased: the messages stay in the database and readable by `message.get`, and
    /// the next index goes on. A summary goes too, and what it stands for is hidden with the rest. What is hidden stays hidden: a second clear keeps the first of the
    /// messages that are shown then, those kept before and those said since. Without
    /// `expected_next_index` a retry also hides what was appended in between; with it, it does not.
    Clear = "session.clear", Write, ClearParams => Session,
    errors: [NotFound, PreconditionFailed],
    example: r#"{"id": "ses-1", "keep_first": 1, "expected_next_index": 3}"# => r#"{
        "id": "ses-1", "project_id": "prj-1", "kind": "chat", "title": "Checkout bug",
        "description": null, "model": "gemini-flash-latest", "system_prompt": "You are Rainy.",
        "parent_id": null, "forked_at_index": null, "metadata": {"pinned": true},
        "message_count": 1, "compacted_count": 0, "next_index": 3,
        "first_message_at": 1764000000000, "last_message_at": 1764000000000,
        "created_at": 1764000000000, "updated_at": 1764000000000, "archived_at": null, "pinned_at": null
    }"#,
}

method! {
    /// Puts a summary, which the caller wrote, in the place of a session's older messages.
    ///
    /// They leave `history.recent` and `history.page`, which give the summary beside the messages
    /// instead, and stay readable by `history.page` with `include_compacted` and by `message.get`. A
    /// later summary replaces this one and stands for what this one stood for too: write it from this
    /// one and the messages since. Where all messages shown are kept and none is compacted yet, the
    /// call is refused, `invalid_params` for `keep_last`.
    Compact = "session.compact", Write, CompactParams => Session,
    errors: [NotFound, PreconditionFailed, TooLarge],
    example: r#"{
        "session_id": "ses-2", "keep_last": 1, "summary": "The user asks why the total is wrong.",
        "expected_next_index": 2
    }"# => r#"{
        "id": "ses-2", "project_id": "prj-1", "kind": "chat", "title": "Another way",
        "description": null, "model": "gemini-flash-latest", "system_prompt": "You are Rainy.",
        "parent_id": "ses-1", "forked_at_index": 2, "metadata": {"pinned": true},
        "message_count": 1, "compacted_count": 1, "next_index": 2,
        "first_message_at": 1764000000000, "last_message_at": 1764000000000,
        "created_at": 1764000000000, "updated_at": 1764000000000, "archived_at": null, "pinned_at": null
    }"#,
}
