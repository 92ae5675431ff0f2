//! `history.*`: a session's messages in order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{self, Check};
use super::method;
use super::page::{Paged, paged};
use crate::error::{Error, Result};
use crate::model::limits::{MAX_PAGE_BYTES, MAX_PAGE_ITEMS};
use crate::model::{Cursor, Message, SessionId, Summary};

/// Params of `history.recent`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecentParams {
    /// The session.
    pub session_id: SessionId,
    /// How many at most.
    #[serde(default = "check::default_page_items")]
    #[schemars(range(min = 1, max = MAX_PAGE_ITEMS))]
    pub limit: u32,
    /// Bytes of content, code excerpts, metadata, the lists of attachments (not the attachments) and
    /// the summary at most, for a prompt's budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = MAX_PAGE_BYTES))]
    pub max_bytes: Option<u64>,
}

impl Check for RecentParams {
    fn check(&self) -> Result<()> {
        if self.max_bytes.is_some_and(|bytes| bytes > MAX_PAGE_BYTES as u64) {
            return Err(Error::invalid("max_bytes", format!("expected at most {MAX_PAGE_BYTES}")));
        }
        check::page_limit(self.limit)
    }
}

/// What `history.recent` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecentMessages {
    /// The newest messages, oldest first.
    pub messages: Vec<Message>,
    /// True where older messages exist that did not fit.
    pub has_more: bool,
    /// What stands for the messages that `session.compact` took out; null where there is none.
    pub summary: Option<Summary>,
}

/// Which end a page starts from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// From the first message on.
    #[default]
    Oldest,
    /// From the last message back.
    Newest,
}

/// Params of `history.page`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PageParams {
    /// The session.
    pub session_id: SessionId,
    /// Which end comes first.
    #[serde(default)]
    pub order: Order,
    /// How many at most.
    #[serde(default = "check::default_page_items")]
    #[schemars(range(min = 1, max = MAX_PAGE_ITEMS))]
    pub limit: u32,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
    /// Also the messages that `session.compact` took out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub include_compacted: bool,
}

paged!(PageParams, Page);

impl Check for PageParams {
    fn check(&self) -> Result<()> {
        self.check_page()
    }
}

/// A page of messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessagePage {
    /// The messages, in the order asked for.
    pub messages: Vec<Message>,
    /// Where the next page starts; null on the last.
    pub next_cursor: Option<Cursor>,
    /// What stands for the messages that `session.compact` took out, the same on every page; null
    /// where there is none.
    pub summary: Option<Summary>,
}

method! {
    /// Gives the newest messages of a session, oldest first: what a model's next prompt is made of.
    ///
    /// It stops before the message that would pass `max_bytes`, but always gives the newest one. The
    /// summary, which a prompt has in front of the messages, is counted first and given whole.
    Recent = "history.recent", Read, RecentParams => RecentMessages,
    errors: [NotFound],
    example: r#"{"session_id": "ses-1", "limit": 1}"# => r#"{
        "messages": [{
            "id": "msg-3", "session_id": "ses-1", "index_in_session": 2, "role": "tool",
            "content": "export const total = 0;", "code_excerpt": null, "metadata": null,
            "attachments": [], "created_at": 1764000000000, "updated_at": null, "origin_id": null,
            "compacted": false
        }],
        "has_more": true,
        "summary": null
    }"#,
}

method! {
    /// Pages through a session's messages, in either order.
    ///
    /// A page ends early where its JSON would pass the page's bytes (`system.hello` tells how many);
    /// the cursor goes on from there. A message that is larger by itself is a page of its own.
    Page = "history.page", Read, PageParams => MessagePage,
    errors: [NotFound],
    example: r#"{"session_id": "ses-1", "limit": 1}"# => r#"{
        "messages": [{
            "id": "msg-1", "session_id": "ses-1", "index_in_session": 0, "role": "user",
            "content": "Why is the total wrong?", "code_excerpt": null, "metadata": null,
            "attachments": [{
                "hash": "4c4b6a3be1314ab86138bef4314dde022e600960d8689a2c8f8631802d20dab6",
                "mime": "image/png", "name": "total.png", "size": 8
            }],
            "created_at": 1764000000000, "updated_at": null, "origin_id": null,
            "compacted": false
        }],
        "next_cursor": "0477ee18.0.",
        "summary": null
    }"#,
}
