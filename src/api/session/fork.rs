//! `session.fork` and `session.ancestors`: sessions that come from others.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{IdParams, nullable_size};
use crate::api::check::{self, Check};
use crate::api::method;
use crate::error::Result;
use crate::model::limits::{MAX_CONTENT_BYTES, MAX_NAME_BYTES, MAX_TIME, MIN_TIME};
use crate::model::{Ancestor, JsonObject, Millis, Session, SessionId};

/// Params of `session.fork`. A field that is absent is as the source has it; null is none.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForkParams {
    /// The session to fork: the source.
    pub session_id: SessionId,
    /// The fork's id; a UUIDv7 unless given. With an id the call can be retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<SessionId>,
    /// The last message that the fork has too, by its index in the source; all unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to_index: Option<i64>,
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
    /// Free data of the client.
    #[serde(
        default,
        deserialize_with = "check::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    pub metadata: Option<Option<JsonObject>>,
    /// When it was started; now unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = MIN_TIME, max = MAX_TIME))]
    pub created_at: Option<Millis>,
}

impl Check for ForkParams {
    fn check(&self) -> Result<()> {
        nullable_size("title", self.title.as_ref(), MAX_NAME_BYTES * 8)?;
        nullable_size("description", self.description.as_ref(), MAX_CONTENT_BYTES)?;
        nullable_size("model", self.model.as_ref(), MAX_NAME_BYTES)?;
        check::metadata("metadata", self.metadata.as_ref().and_then(Option::as_ref))?;
        check::optional_time("created_at", self.created_at)
    }
}

/// What `session.ancestors` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AncestorsPage {
    /// The sessions, from the parent back to the first; they end before one that is purged.
    pub ancestors: Vec<Ancestor>,
    /// True where there are more: ask for those of the last one given.
    pub has_more: bool,
}

method! {
    /// Starts a session that shows what another one's history shows, up to a message and with it.
    ///
    /// The fork has copies: what happens to either session later does not touch the other. Messages
    /// that `session.clear` hid are not taken, so the copies' indexes count anew from 0; each copy has
    /// the time of its original and names it in `origin_id`. A summary is taken where all it stands
    /// for is, and what is compacted is so in the fork; up to an earlier message, the fork has no
    /// summary and shows all. The project, the kind and the system prompt are the source's; edits stay
    /// with the source. It is one write, of all or nothing, and other writes wait for it. With an `id`
    /// the call can be retried: the same params give the stored fork, as it is now, also where the
    /// source has changed; others give `conflict`.
    Fork = "session.fork", Write, ForkParams => Session,
    errors: [NotFound, Conflict, TooLarge],
    example: r#"{
        "id": "ses-2", "session_id": "ses-1", "up_to_index": 1, "title": "Another way"
    }"# => r#"{
        "id": "ses-2", "project_id": "prj-1", "kind": "chat", "title": "Another way",
        "description": null, "model": "gemini-flash-latest", "system_prompt": "You are Rainy.",
        "parent_id": "ses-1", "forked_at_index": 2, "metadata": {"pinned": true},
        "message_count": 2, "compacted_count": 0, "next_index": 2,
        "first_message_at": 1764000000000, "last_message_at": 1764000000000,
        "created_at": 1764000000000, "updated_at": 1764000000000, "archived_at": null, "pinned_at": null
    }"#,
}

method! {
    /// Lists the sessions that a session came from: its parent, the parent's parent and so on.
    ///
    /// Those in the trash are among them. The other way, `session.list` with `parent_id` gives the
    /// sessions that came from one.
    Ancestors = "session.ancestors", Read, IdParams => AncestorsPage,
    errors: [NotFound],
    example: r#"{"id": "ses-2"}"# => r#"{
        "ancestors": [{
            "id": "ses-1", "kind": "chat", "title": "Checkout bug", "parent_id": null,
            "forked_at_index": null, "created_at": 1764000000000, "deleted_at": null
        }],
        "has_more": false
    }"#,
}
