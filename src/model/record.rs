//! The records: what the daemon stores and what it sends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Attachment, EditId, Json, JsonObject, MessageId, Millis, ProjectId, SessionId};

/// Who speaks in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
    /// Instructions to the model.
    System,
    /// A tool's result.
    Tool,
}

impl Role {
    /// Returns the role's word, as stored and as sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
            Self::Tool => "tool",
        }
    }

    /// Returns the role of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::User, Self::Assistant, Self::System, Self::Tool]
            .into_iter()
            .find(|role| role.as_str() == word)
    }
}

/// A folder the user works in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Project {
    /// The project's id.
    pub id: ProjectId,
    /// What the user calls it; the folder's name unless told otherwise.
    pub name: String,
    /// The folder, as the call named it that made the project or found it moved.
    pub path: String,
    /// The folders it had before, the last one first; as many as 64.
    pub former_paths: Vec<String>,
    /// Where its repository is fetched from, as host and path, such as `github.com/owner/repo`.
    pub git_remote: Option<String>,
    /// The first commit of its repository.
    pub git_root_commit: Option<String>,
    /// Free data of the client.
    pub metadata: Option<JsonObject>,
    /// When the daemon first saw it.
    pub created_at: Millis,
    /// When it was last opened.
    pub opened_at: Millis,
    /// When it was taken off the list; null while it is on it.
    pub removed_at: Option<Millis>,
}

/// A file of a project, as the client told of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct File {
    /// The project.
    pub project_id: ProjectId,
    /// The file, as the call that last told of it named it.
    pub path: String,
    /// Its place below the project's folder, with `/` between the names; stays when the folder moves.
    pub relative_path: String,
    /// The language it is written in.
    pub language: Option<String>,
    /// Its bytes.
    pub size: Option<i64>,
    /// A hash of its content, of whatever kind the client uses.
    pub hash: Option<String>,
    /// When it was last written.
    pub modified_at: Option<Millis>,
    /// When it was last opened; null if never.
    pub opened_at: Option<Millis>,
    /// Free data of the client, such as the cursor, folds and the scroll position.
    pub state: Option<Json>,
    /// When the daemon was first told of it.
    pub created_at: Millis,
    /// When this record last changed.
    pub updated_at: Millis,
}

/// A conversation with the agent, whole but for its messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// The session's id.
    pub id: SessionId,
    /// The project it belongs to; null where none was open.
    pub project_id: Option<ProjectId>,
    /// What the client uses it for, such as `chat`.
    pub kind: String,
    /// What the user calls it.
    pub title: Option<String>,
    /// A sentence about it.
    pub description: Option<String>,
    /// The model it talks to.
    pub model: Option<String>,
    /// The instructions the model was given.
    pub system_prompt: Option<String>,
    /// The session it came from; kept where that one is purged.
    pub parent_id: Option<SessionId>,
    /// Of a fork: the parent's index from which on its messages are not the fork's; else null.
    pub forked_at_index: Option<i64>,
    /// Free data of the client.
    pub metadata: Option<JsonObject>,
    /// How many messages its history shows.
    pub message_count: i64,
    /// How many more it shows with those that a summary stands for.
    pub compacted_count: i64,
    /// The index the next message will get.
    pub next_index: i64,
    /// Time of its first message; null while it has none.
    pub first_message_at: Option<Millis>,
    /// Time of its newest message; null while it has none.
    pub last_message_at: Option<Millis>,
    /// When it was started.
    pub created_at: Millis,
    /// When its own fields last changed.
    pub updated_at: Millis,
    /// When it was archived; null where it is not.
    pub archived_at: Option<Millis>,
    /// When it was pinned; null where it is not.
    pub pinned_at: Option<Millis>,
}

/// A session as `session.list` shows it: all but the system prompt and the metadata.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionSummary {
    /// The session's id.
    pub id: SessionId,
    /// The project it belongs to.
    pub project_id: Option<ProjectId>,
    /// What the client uses it for.
    pub kind: String,
    /// What the user calls it.
    pub title: Option<String>,
    /// A sentence about it.
    pub description: Option<String>,
    /// The model it talks to.
    pub model: Option<String>,
    /// The session it came from; kept where that one is purged.
    pub parent_id: Option<SessionId>,
    /// Of a fork: the parent's index from which on its messages are not the fork's; else null.
    pub forked_at_index: Option<i64>,
    /// How many messages its history shows.
    pub message_count: i64,
    /// How many more it shows with those that a summary stands for.
    pub compacted_count: i64,
    /// Time of its first message.
    pub first_message_at: Option<Millis>,
    /// Time of its newest message.
    pub last_message_at: Option<Millis>,
    /// When it was started.
    pub created_at: Millis,
    /// What the list is sorted by: the newest message's time, or else the start.
    pub activity_at: Millis,
    /// When it was archived; null where it is not.
    pub archived_at: Option<Millis>,
    /// When it was pinned; null where it is not.
    pub pinned_at: Option<Millis>,
    /// When it was moved to the trash; null where it is not there.
    pub deleted_at: Option<Millis>,
}

/// A session from which another one came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ancestor {
    /// The session's id.
    pub id: SessionId,
    /// What the client uses it for.
    pub kind: String,
    /// What the user calls it.
    pub title: Option<String>,
    /// The session it came from itself; the next one, unless that one is purged.
    pub parent_id: Option<SessionId>,
    /// Where it parts from its own parent, if it is a fork; else null.
    pub forked_at_index: Option<i64>,
    /// When it was started.
    pub created_at: Millis,
    /// When it was moved to the trash; null where it is not there.
    pub deleted_at: Option<Millis>,
}

/// What stands for a session's older messages in a prompt, as the client wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// The text.
    pub content: String,
    /// How many messages it stands for.
    pub compacted_count: i64,
    /// The last of them, by its index in the session.
    pub through_index: i64,
    /// When it was stored.
    pub created_at: Millis,
}

/// One message of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// The message's id.
    pub id: MessageId,
    /// Its session.
    pub session_id: SessionId,
    /// Its place in the session, from 0, without holes.
    pub index_in_session: i64,
    /// Who speaks.
    pub role: Role,
    /// What was said.
    pub content: String,
    /// Code the message is about.
    pub code_excerpt: Option<String>,
    /// Free data of the client, such as tool calls and thoughts.
    pub metadata: Option<JsonObject>,
    /// What is attached to it, in the order given, without the bytes.
    pub attachments: Vec<Attachment>,
    /// When it was said.
    pub created_at: Millis,
    /// When it was last patched; null if never.
    pub updated_at: Option<Millis>,
    /// Of a fork's copy: the message it is of, through forks of forks the first one; else null.
    pub origin_id: Option<MessageId>,
    /// True where its session's summary stands for it.
    pub compacted: bool,
}

/// What an edit does to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EditKind {
    /// Adds text, or a file.
    Insert,
    /// Puts text in the place of other text.
    Replace,
    /// Removes text, or the file.
    Delete,
    /// Gives the file another path, and may change its text too.
    Rename,
}

impl EditKind {
    /// Returns the kind's word, as stored and as sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Replace => "replace",
            Self::Delete => "delete",
            Self::Rename => "rename",
        }
    }

    /// Returns the kind of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Insert, Self::Replace, Self::Delete, Self::Rename]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// One change of one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Edit {
    /// The edit's id.
    pub id: EditId,
    /// The session it was made in.
    pub session_id: SessionId,
    /// The session's project; null where it has none.
    pub project_id: Option<ProjectId>,
    /// The message it was made for.
    pub message_id: Option<MessageId>,
    /// The file, by its path before the edit.
    pub file_path: String,
    /// What it does.
    pub kind: EditKind,
    /// The unified diff of the file.
    pub diff: String,
    /// The file's path after the edit; null where it stays.
    pub new_path: Option<String>,
    /// SHA-256 of the file's bytes before the edit, in hex.
    pub before_hash: Option<String>,
    /// SHA-256 of the file's bytes after the edit, in hex.
    pub after_hash: Option<String>,
    /// When it was recorded.
    pub created_at: Millis,
}

/// One setting as it applies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// The dotted key, such as `editor.fontSize`.
    pub key: String,
    /// The value; null where it is not set.
    pub value: Json,
    /// Which scope answered; null where the key is set in none.
    pub resolved: Option<ScopeKind>,
    /// When it was set.
    pub updated_at: Option<Millis>,
}

/// The kinds of scope a setting can be set in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScopeKind {
    /// The user's own, for all projects.
    User,
    /// One project's, which wins over the user's.
    Project,
}
