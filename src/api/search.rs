//! `history.search`: messages and titles that have what is asked for, the best first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{self, Check};
use super::method;
use super::page::{Paged, paged};
use crate::error::Result;
use crate::model::limits::{MAX_NAME_BYTES, MAX_PAGE_ITEMS, MAX_QUERY_BYTES};
use crate::model::{Cursor, MessageId, Millis, ProjectId, Role, SessionId};

/// Params of `history.search`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchParams {
    /// What is looked for: words, all of which must be there; phrases in quotes; `word*`; AND, OR,
    /// NOT and parentheses.
    #[schemars(length(max = MAX_QUERY_BYTES))]
    pub query: String,
    /// Only in this project's sessions; null for those of no project; absent for all.
    #[serde(
        default,
        deserialize_with = "check::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    pub project_id: Option<Option<ProjectId>>,
    /// Only in this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Only messages of this role, and so no titles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Only in sessions of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Nothing older than this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Millis>,
    /// Nothing newer than this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Millis>,
    /// How many at most.
    #[serde(default = "check::default_page_items")]
    #[schemars(range(min = 1, max = MAX_PAGE_ITEMS))]
    pub limit: u32,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
}

paged!(SearchParams, Search);

impl Check for SearchParams {
    fn check(&self) -> Result<()> {
        check::size("query", &self.query, MAX_QUERY_BYTES)?;
        check::optional_size("kind", self.kind.as_ref(), MAX_NAME_BYTES)?;
        check::optional_time("since", self.since)?;
        check::optional_time("until", self.until)?;
        self.check_page()
    }
}

/// The session in which something was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HitSession {
    /// The session's id.
    pub id: SessionId,
    /// What the user calls it.
    pub title: Option<String>,
    /// What the client uses it for.
    pub kind: String,
    /// The project it belongs to.
    pub project_id: Option<ProjectId>,
}

/// The text that a snippet is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SnippetSource {
    /// The message's content.
    Content,
    /// The message's code excerpt.
    CodeExcerpt,
    /// The session's title.
    Title,
}

/// A stretch of a snippet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnippetPart {
    /// The text; `…` where the snippet is cut.
    pub text: String,
    /// True for what was looked for.
    #[serde(rename = "match")]
    pub is_match: bool,
}

/// The part of a text that shows why it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snippet {
    /// The text it is of.
    pub source: SnippetSource,
    /// Its stretches, in order.
    pub parts: Vec<SnippetPart>,
}

/// A message or a title that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hit {
    /// The session.
    pub session: HitSession,
    /// The message; null where it is the session's title.
    pub message_id: Option<MessageId>,
    /// Its index in the session; null for a title.
    pub index_in_session: Option<i64>,
    /// Who speaks; null for a title.
    pub role: Option<Role>,
    /// The message's time; for a title the session's start.
    pub created_at: Millis,
    /// The part that shows why it was found.
    pub snippet: Snippet,
}

/// A page of what was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HitPage {
    /// What was found, the best first.
    pub hits: Vec<Hit>,
    /// Where the next page starts; null on the last.
    pub next_cursor: Option<Cursor>,
}

method! {
    /// Searches messages and session titles for words, phrases and beginnings of words, the best match first.
    ///
    /// It sees every write that was answered before it. What a session's history shows can be found,
    /// outside the trash. While the index is built, or far behind, it is `overloaded`: try again.
    Search = "history.search", Read, SearchParams => HitPage,
    errors: [NotFound, TooLarge, TurnedOff],
    example: r#"{"query": "total AND (wrong OR cart*)", "session_id": "ses-1", "limit": 2}"# => r#"{
        "hits": [{
            "session": {"id": "ses-1", "title": "Checkout bug", "kind": "chat", "project_id": "prj-1"},
            "message_id": "msg-1", "index_in_session": 0, "role": "user", "created_at": 1764000000000,
            "snippet": {"source": "content", "parts": [
                {"text": "Why is the ", "match": false}, {"text": "total", "match": true},
                {"text": " ", "match": false}, {"text": "wrong", "match": true},
                {"text": "?", "match": false}
            ]}
        }],
        "next_cursor": null
    }"#,
}
