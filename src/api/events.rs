//! `events.*`: the change feed, followed on a connection or asked for page by page.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{self, Check};
use super::method;
use crate::error::{Error, Result};
use crate::model::limits::{MAX_PAGE_ITEMS, MAX_TOPICS, MAX_WAIT_MS};
use crate::model::{FeedCursor, Json, Millis, ProjectId, Seq, SessionId, Topic};

/// A change, and what it happened to as that is when this is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// The place behind this event: with it a client goes on from here.
    pub cursor: FeedCursor,
    /// The change's number: one more than that of the change before, of all clients.
    pub seq: Seq,
    /// When it was made.
    pub changed_at: Millis,
    /// What happened to what.
    pub topic: Topic,
    /// The id of what it happened to; of a setting the key, of an attachment the hash.
    pub entity_id: String,
    /// The session it belongs to; null where it belongs to none.
    pub session_id: Option<SessionId>,
    /// The project it belonged to when the change was made; of a setting the project whose scope
    /// it is in. Null where it belongs to none.
    pub project_id: Option<ProjectId>,
    /// The record as it is now, as its own `get` gives it, of an attachment without its bytes; null
    /// where it is gone or in the trash.
    pub data: Option<Json>,
}

/// Which changes are wanted: those that match all that is given.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Starts of topics.
    pub topics: Option<Vec<String>>,
    /// The session they belong to.
    pub session_id: Option<SessionId>,
    /// The project they belong to.
    pub project_id: Option<ProjectId>,
}

impl EventFilter {
    /// True for a change that is wanted.
    pub fn matches(
        &self,
        topic: Topic,
        session_id: Option<&SessionId>,
        project_id: Option<&ProjectId>,
    ) -> bool {
        self.topics
            .as_ref()
            .is_none_or(|starts| starts.iter().any(|start| topic.word().starts_with(start)))
            && self.session_id.as_ref().is_none_or(|wanted| session_id == Some(wanted))
            && self.project_id.as_ref().is_none_or(|wanted| project_id == Some(wanted))
    }
}

/// Checks the starts of topics: each is that of one there is, so that a typo does not wait for ever.
fn topics(topics: Option<&Vec<String>>) -> Result<()> {
    let Some(topics) = topics else { return Ok(()) };
    check::count("topics", topics.len(), MAX_TOPICS)?;
    let is_start = |start: &str| Topic::ALL.iter().any(|topic| topic.word().starts_with(start));
    match topics.iter().position(|start| start.is_empty() || !is_start(start)) {
        None => Ok(()),
        Some(at) => Err(Error::invalid(
            format!("topics[{at}]"),
            "no topic starts so; rpc.discover lists those there are under Topic",
        )),
    }
}

/// Params of `events.since`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SinceParams {
    /// The place behind which the events are wanted, as the daemon gave it. Without one there are
    /// those from now on, and `cursor` in the answer is the place to go on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<FeedCursor>,
    /// How long to wait for an event where there is none yet, in milliseconds.
    #[serde(default)]
    #[schemars(range(max = MAX_WAIT_MS))]
    pub wait_ms: u32,
    /// Only topics that start with one of these, such as `message` or `session.deleted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_TOPICS))]
    pub topics: Option<Vec<String>>,
    /// Only what belongs to this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Only what belonged to this project when it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// How many at most.
    #[serde(default = "check::default_page_items")]
    #[schemars(range(min = 1, max = MAX_PAGE_ITEMS))]
    pub limit: u32,
}

impl SinceParams {
    /// Returns which changes are wanted.
    pub fn filter(&self) -> EventFilter {
        EventFilter {
            topics: self.topics.clone(),
            session_id: self.session_id.clone(),
            project_id: self.project_id.clone(),
        }
    }
}

impl Check for SinceParams {
    fn check(&self) -> Result<()> {
        if self.wait_ms > MAX_WAIT_MS {
            return Err(Error::invalid(
                "wait_ms",
                format!("expected 0 to {MAX_WAIT_MS}, found {}", self.wait_ms),
            ));
        }
        topics(self.topics.as_ref())?;
        check::page_limit(self.limit)
    }
}

/// A page of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventPage {
    /// The events, in order.
    pub events: Vec<Event>,
    /// Where the next page starts, also where there is no event.
    pub cursor: FeedCursor,
    /// True where more may be there already: ask again at once.
    pub has_more: bool,
}

/// Params of `events.subscribe`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscribeParams {
    /// The place behind which the events are wanted: the `cursor` of the last event that was seen.
    /// Without one there are those from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<FeedCursor>,
    /// Only topics that start with one of these, such as `message` or `session.deleted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_TOPICS))]
    pub topics: Option<Vec<String>>,
    /// Only what belongs to this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Only what belonged to this project when it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
}

impl SubscribeParams {
    /// Returns which changes are wanted.
    pub fn filter(&self) -> EventFilter {
        EventFilter {
            topics: self.topics.clone(),
            session_id: self.session_id.clone(),
            project_id: self.project_id.clone(),
        }
    }
}

impl Check for SubscribeParams {
    fn check(&self) -> Result<()> {
        topics(self.topics.as_ref())
    }
}

/// What `events.subscribe` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Subscribed {
    /// The subscription, which its notifications name.
    pub subscription: String,
    /// The place behind which its events start.
    pub cursor: FeedCursor,
}

/// Params of `events.unsubscribe`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnsubscribeParams {
    /// The subscription, one of this connection.
    pub subscription: String,
}

impl Check for UnsubscribeParams {}

/// What `events.unsubscribe` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Unsubscribed {
    /// True where the subscription was there until now; it sends nothing behind this answer.
    pub unsubscribed: bool,
}

/// The method of the notification that carries an event.
pub const EVENT_NOTIFICATION: &str = "events.event";
/// The method of the notification that ends a subscription.
pub const ENDED_NOTIFICATION: &str = "events.ended";

method! {
    /// Gives the changes behind a cursor, and waits for one where there is none.
    ///
    /// What is written here is what a subscription gets, for a client that asks again and again.
    /// The cursor moves on also past changes that do not match. One that is older than the feed
    /// keeps, of another database, or behind the backup that was put in its place, is `expired`.
    Since = "events.since", Read, SinceParams => EventPage,
    errors: [Expired],
    example: r#"{"topics": ["message"], "session_id": "ses-1", "wait_ms": 0}"# => r#"{
        "events": [], "cursor": "5f0c1d0e9a5b4c7d8e2f3a4b5c6d7e8f.17.1764000000000", "has_more": false
    }"#,
}

method! {
    /// Follows the changes on this connection: first those behind a cursor, then each as it is committed.
    ///
    /// Each event is a notification `events.event` with `{subscription, event}`, in order, without
    /// a gap or a repeat, also across restarts of the daemon where a client goes on from the cursor
    /// of the last event it saw. `events.ended` with `{subscription, error}` ends it: a client that
    /// was too slow for what the feed keeps is told `expired` so, and where to start again. Needs a
    /// connection that stays open: over HTTP a WebSocket.
    Subscribe = "events.subscribe", Read, SubscribeParams => Subscribed,
    errors: [Expired, InvalidRequest],
    example: r#"{"topics": ["message", "session.updated"], "session_id": "ses-1"}"# => r#"{
        "subscription": "1", "cursor": "5f0c1d0e9a5b4c7d8e2f3a4b5c6d7e8f.17.1764000000000"
    }"#,
}

method! {
    /// Ends a subscription of this connection.
    Unsubscribe = "events.unsubscribe", Direct, UnsubscribeParams => Unsubscribed,
    errors: [InvalidRequest],
    example: r#"{"subscription": "1"}"# => r#"{"unsubscribed": true}"#,
}
