//! `message.*`: what was said. A message is appended once and patched, never streamed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::attachment::{AttachmentRef, check_refs};
use super::check::{self, Check};
use super::method;
use crate::error::Result;
use crate::model::limits::{
    MAX_APPEND_MANY, MAX_CONTENT_BYTES, MAX_MESSAGE_ATTACHMENTS, MAX_TIME, MIN_TIME,
};
use crate::model::{JsonObject, Message, MessageId, Millis, Role, SessionId};

/// Params of `message.append`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppendParams {
    /// The message's id; a UUIDv7 unless given. With an id the call can be retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<MessageId>,
    /// The session.
    pub session_id: SessionId,
    /// Who speaks.
    pub role: Role,
    /// What was said.
    pub content: String,
    /// Code the message is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_excerpt: Option<String>,
    /// Free data of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonObject>,
    /// What is attached to it: hashes of attachments that were put, or objects with more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_MESSAGE_ATTACHMENTS))]
    pub attachments: Vec<AttachmentRef>,
    /// The index the message must get; `precondition_failed` where it would get another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_index: Option<i64>,
    /// When it was said; now unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = MIN_TIME, max = MAX_TIME))]
    pub created_at: Option<Millis>,
}

impl Check for AppendParams {
    fn check(&self) -> Result<()> {
        check_texts("", &self.content, self.code_excerpt.as_ref(), self.metadata.as_ref())?;
        check_refs("", &self.attachments)?;
        check::optional_time("created_at", self.created_at)
    }
}

fn check_texts(
    prefix: &str,
    content: &str,
    code_excerpt: Option<&String>,
    metadata: Option<&JsonObject>,
) -> Result<()> {
    check::size(&format!("{prefix}content"), content, MAX_CONTENT_BYTES)?;
    check::optional_size(&format!("{prefix}code_excerpt"), code_excerpt, MAX_CONTENT_BYTES)?;
    check::metadata(&format!("{prefix}metadata"), metadata)
}

/// One message of `message.append_many`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    /// The message's id; a UUIDv7 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<MessageId>,
    /// Who speaks.
    pub role: Role,
    /// What was said.
    pub content: String,
    /// Code the message is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_excerpt: Option<String>,
    /// Free data of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonObject>,
    /// What is attached to it: hashes of attachments that were put, or objects with more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_MESSAGE_ATTACHMENTS))]
    pub attachments: Vec<AttachmentRef>,
    /// When it was said; now unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = MIN_TIME, max = MAX_TIME))]
    pub created_at: Option<Millis>,
}

/// Params of `message.append_many`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppendManyParams {
    /// The session.
    pub session_id: SessionId,
    /// The messages, in order.
    pub messages: Vec<NewMessage>,
    /// The index the first new message must get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_index: Option<i64>,
}

impl Check for AppendManyParams {
    fn check(&self) -> Result<()> {
        check::count("messages", self.messages.len(), MAX_APPEND_MANY)?;
        for (at, message) in self.messages.iter().enumerate() {
            let prefix = format!("messages[{at}].");
            check_texts(
                &prefix,
                &message.content,
                message.code_excerpt.as_ref(),
                message.metadata.as_ref(),
            )?;
            check_refs(&prefix, &message.attachments)?;
            check::optional_time(&format!("{prefix}created_at"), message.created_at)?;
        }
        Ok(())
    }
}

/// What `message.append_many` answers: enough to address each message, without its content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Appended {
    /// The messages, in the order given.
    pub messages: Vec<AppendedMessage>,
}

/// Where one message went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppendedMessage {
    /// Its id.
    pub id: MessageId,
    /// Its place in the session.
    pub index_in_session: i64,
    /// When it was said.
    pub created_at: Millis,
    /// False where it had been stored before.
    pub created: bool,
}

/// Params of `message.get`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdParams {
    /// The message.
    pub id: MessageId,
}

impl Check for IdParams {}

/// Params of `message.update`. A field that is absent stays as it is; null clears one that can be null.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateParams {
    /// The message.
    pub id: MessageId,
    /// What was said.
    #[serde(
        default,
        deserialize_with = "check::not_null",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "String")]
    pub content: Option<String>,
    /// Code the message is about.
    #[serde(
        default,
        deserialize_with = "check::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    pub code_excerpt: Option<Option<String>>,
    /// A merge patch (RFC 7396) for its free data; null clears that.
    #[serde(
        default,
        deserialize_with = "check::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    pub metadata: Option<Option<JsonObject>>,
    /// What is attached to it from now on, all of it.
    #[serde(
        default,
        deserialize_with = "check::not_null",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Vec<AttachmentRef>", length(max = MAX_MESSAGE_ATTACHMENTS))]
    pub attachments: Option<Vec<AttachmentRef>>,
}

impl Check for UpdateParams {
    fn check(&self) -> Result<()> {
        let content = self.content.as_deref().unwrap_or_default();
        let code_excerpt = self.code_excerpt.as_ref().and_then(Option::as_ref);
        check_texts("", content, code_excerpt, self.metadata.as_ref().and_then(Option::as_ref))?;
        check_refs("", self.attachments.as_deref().unwrap_or_default())
    }
}

method! {
    /// Appends one message to a session. The answer comes after it is on the disk.
    ///
    /// With an `id` the call can be retried: the same id with the same content as was first sent
    /// gives the stored message, as it is now, with other content `conflict`. An attachment that is
    /// not there is `invalid_params` with its place in `data.field`: put it first.
    Append = "message.append", Write, AppendParams => Message,
    errors: [NotFound, Conflict, PreconditionFailed, TooLarge],
    example: r#"{
        "id": "msg-1", "session_id": "ses-1", "role": "user", "content": "Why is the total wrong?",
        "attachments": ["4c4b6a3be1314ab86138bef4314dde022e600960d8689a2c8f8631802d20dab6"],
        "expected_index": 0
    }"# => r#"{
        "id": "msg-1", "session_id": "ses-1", "index_in_session": 0, "role": "user",
        "content": "Why is the total wrong?", "code_excerpt": null, "metadata": null,
        "attachments": [{
            "hash": "4c4b6a3be1314ab86138bef4314dde022e600960d8689a2c8f8631802d20dab6",
            "mime": "image/png", "name": "total.png", "size": 8
        }],
        "created_at": 1764000000000, "updated_at": null, "origin_id": null,
        "compacted": false
    }"#,
}

method! {
    /// Appends several messages to one session, in order: all of them, or none.
    AppendMany = "message.append_many", Write, AppendManyParams => Appended,
    errors: [NotFound, Conflict, PreconditionFailed, TooLarge],
    example: r#"{
        "session_id": "ses-1",
        "messages": [
            {"id": "msg-2", "role": "assistant", "content": "Looking at cart.ts.",
             "metadata": {"tool_calls": [{"id": "t1", "name": "read_file", "status": "pending"}]}},
            {"id": "msg-3", "role": "tool", "content": "export const total = 0;"}
        ]
    }"# => r#"{
        "messages": [
            {"id": "msg-2", "index_in_session": 1, "created_at": 1764000000000, "created": true},
            {"id": "msg-3", "index_in_session": 2, "created_at": 1764000000000, "created": true}
        ]
    }"#,
}

method! {
    /// Patches one message, such as its tool calls while they run.
    ///
    /// `attachments` replaces the whole list; it is empty where nothing is attached any more.
    /// `updated_at` stays where nothing changes.
    Update = "message.update", Write, UpdateParams => Message,
    errors: [NotFound, TooLarge],
    example: r#"{
        "id": "msg-2",
        "metadata": {"tool_calls": [{"id": "t1", "name": "read_file", "status": "success"}]}
    }"# => r#"{
        "id": "msg-2", "session_id": "ses-1", "index_in_session": 1, "role": "assistant",
        "content": "Looking at cart.ts.", "code_excerpt": null,
        "metadata": {"tool_calls": [{"id": "t1", "name": "read_file", "status": "success"}]},
        "attachments": [], "created_at": 1764000000000, "updated_at": 1764000000000, "origin_id": null,
        "compacted": false
    }"#,
}

method! {
    /// Gives one message.
    Get = "message.get", Read, IdParams => Message,
    errors: [NotFound],
    example: r#"{"id": "msg-3"}"# => r#"{
        "id": "msg-3", "session_id": "ses-1", "index_in_session": 2, "role": "tool",
        "content": "export const total = 0;", "code_excerpt": null, "metadata": null,
        "attachments": [], "created_at": 1764000000000, "updated_at": null, "origin_id": null,
        "compacted": false
    }"#,
}
