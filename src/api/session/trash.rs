//! `session.delete` and `session.restore`: the trash, and the end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::IdParams;
use crate::api::check::Check;
use crate::api::method;
use crate::model::{Session, SessionId};

/// Params of `session.delete`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteParams {
    /// The session, outside the trash or in it.
    pub id: SessionId,
    /// Whether it is gone for good, with its messages and edits, instead of in the trash.
    #[serde(default)]
    pub purge: bool,
}

impl Check for DeleteParams {}

/// What `session.delete` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeletedSession {
    /// True where the session was outside the trash until now.
    pub deleted: bool,
    /// True where it is gone for good.
    pub purged: bool,
}

method! {
    /// Moves a session to the trash, or ends it with `purge`.
    ///
    /// Of one in the trash only `session.list` with `deleted` tells; nothing is erased, and
    /// `session.restore` brings it back. One that is purged does not exist any more, nor do its
    /// messages and edits; its forks have messages of their own, and stay. The ids are free again,
    /// those of a long session a moment later: until then they give `conflict`.
    Delete = "session.delete", Write, DeleteParams => DeletedSession,
    errors: [NotFound],
    example: r#"{"id": "ses-1"}"# => r#"{"deleted": true, "purged": false}"#,
}

method! {
    /// Brings a session back from the trash, to the list it was on.
    ///
    /// One outside the trash stays as it is.
    Restore = "session.restore", Write, IdParams => Session,
    errors: [NotFound],
    example: r#"{"id": "ses-1"}"# => r#"{
        "id": "ses-1", "project_id": "prj-1", "kind": "chat", "title": "Checkout bug",
        "description": null, "model": "gemini-flash-latest", "system_prompt": "You are Rainy.",
        "parent_id": null, "forked_at_index": null, "metadata": {"pinned": true},
        "message_count": 1, "compacted_count": 0, "next_index": 3,
        "first_message_at": 1764000000000, "last_message_at": 1764000000000,
        "created_at": 1764000000000, "updated_at": 1764000000000, "archived_at": null, "pinned_at": null
    }"#,
}
