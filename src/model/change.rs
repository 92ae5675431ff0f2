//! Changes: what the feed tells of each write, and the cursor of a place in it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Millis, ProjectId, SessionId};

macro_rules! topics {
    ($($(#[doc = $doc:literal])* $name:ident = $word:literal,)*) => {
        /// What happened to what: `noun.verb`, the verb in the past. The words never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Topic {
            $($(#[doc = $doc])* #[serde(rename = $word)] $name,)*
        }

        impl Topic {
            /// Every topic.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Returns the topic's word, as stored and as sent.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

topics! {
    /// A project was opened for the first time.
    ProjectCreated = "project.created",
    /// A project was opened again.
    ProjectOpened = "project.opened",
    /// A project's own fields changed.
    ProjectUpdated = "project.updated",
    /// A project's folder is another one now: it moved.
    ProjectRelocated = "project.relocated",
    /// A project was taken off the list.
    ProjectRemoved = "project.removed",
    /// A setting was set.
    SettingChanged = "settings.changed",
    /// A setting was taken out of a scope.
    SettingDeleted = "settings.deleted",
    /// A session was started.
    SessionStarted = "session.started",
    /// A session's own fields changed.
    SessionUpdated = "session.updated",
    /// A session was moved to another project, or to none; its `project_id` is the one it left.
    SessionMoved = "session.moved",
    /// A session's history was cleared.
    SessionCleared = "session.cleared",
    /// A session's older messages were compacted into a summary.
    SessionCompacted = "session.compacted",
    /// A session was started as a fork, with all its messages: they have no changes of their own.
    SessionForked = "session.forked",
    /// A session was moved to the trash.
    SessionDeleted = "session.deleted",
    /// A session was brought back from the trash.
    SessionRestored = "session.restored",
    /// A session is gone for good, with its messages and edits.
    SessionPurged = "session.purged",
    /// A message was appended.
    MessageAppended = "message.appended",
    /// A message was patched.
    MessageUpdated = "message.updated",
    /// What retention is to do was set.
    RetentionChanged = "retention.changed",
    /// The record of a file was made or changed.
    FileTouched = "file.touched",
    /// The record of a file was removed.
    FileRemoved = "file.removed",
    /// An edit was recorded.
    EditRecorded = "edit.recorded",
    /// An attachment was put that was not there.
    AttachmentAdded = "attachment.added",
    /// An attachment that nothing referred to was deleted.
    AttachmentCollected = "attachment.collected",
    /// The database was found damaged and was recovered: this is the first change of a new feed.
    DatabaseRecovered = "database.recovered",
    /// A backup was put in the place of the database: this is the first change of a new feed.
    DatabaseRestored = "database.restored",
}

impl Topic {
    /// Returns the topic of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|topic| topic.word() == word)
    }
}

/// The number of a change in its feed, from 1, without holes.
pub type Seq = i64;

/// A change as the feed keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its number.
    pub seq: Seq,
    /// When it was made.
    pub at: Millis,
    /// What happened.
    pub topic: Topic,
    /// What it happened to: an id; of a setting its key, of a file its path, of an
    /// attachment its hash.
    pub entity_id: String,
    /// The session it belongs to.
    pub session_id: Option<SessionId>,
    /// The project it belonged to when it was made.
    pub project_id: Option<ProjectId>,
}

/// The name of a database's feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedId(String);

/// Digits of a feed's name.
const FEED_DIGITS: usize = 32;

impl FeedId {
    /// Returns a new name.
    pub fn generate() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }

    /// Returns the name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name of a text; `None` where it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == FEED_DIGITS && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }
}

/// A place in a feed: behind a change. Clients hand it back as they got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedCursor {
    /// The feed.
    pub feed: FeedId,
    /// The change behind which it is; 0 is in front of the first.
    pub seq: Seq,
    /// When that change was made; 0 in front of the first. A database that was put back to an older
    /// state, and was written to since, has another change of this number.
    pub at: Millis,
}

impl FeedCursor {
    /// Returns the cursor of a text; `None` where it was never one.
    fn parse(text: &str) -> Option<Self> {
        let (feed, place) = text.split_once('.')?;
        let (seq, at) = place.split_once('.')?;
        let feed = FeedId::parse(feed)?;
        let cursor = Self { feed, seq: seq.parse().ok()?, at: at.parse().ok()? };
        // There is one way to write it: no signs, no zeros in front.
        (cursor.seq >= 0 && cursor.to_string() == text).then_some(cursor)
    }
}

impl fmt::Display for FeedCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.feed.0, self.seq, self.at)
    }
}

impl Serialize for FeedCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FeedCursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom("not a cursor of the feed; use one that the daemon gave")
        })
    }
}

impl JsonSchema for FeedCursor {
    fn schema_name() -> Cow<'static, str> {
        "FeedCursor".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Opaque: a place in the change feed, as the daemon gave it.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_its_word() {
        for topic in Topic::ALL {
            assert_eq!(Topic::parse(topic.word()), Some(*topic));
            let json = serde_json::to_string(topic).expect("JSON");
            assert_eq!(json, format!("{:?}", topic.word()));
        }
        assert_eq!(Topic::parse("session"), None);
    }

    #[test]
    fn a_cursor_is_written_in_one_way() {
        let feed = "0123456789abcdef".repeat(2);
        for place in ["0.0", "7.1764000000000", "1.-5", "9223372036854775807.9223372036854775807"] {
            let text = format!("{feed}.{place}");
            assert_eq!(FeedCursor::parse(&text).expect("a cursor").to_string(), text);
        }
        for number in ["", "+1", "01", "9223372036854775808", "1.", "x", "1 "] {
            for place in [number.to_owned(), format!("{number}.1"), format!("1.{number}")] {
                assert_eq!(FeedCursor::parse(&format!("{feed}.{place}")), None, "{place}");
            }
        }
        assert_eq!(FeedCursor::parse(&format!("{feed}.-1.1")), None);
        for feed in ["", &feed[1..], &feed.to_uppercase(), &feed.replace('a', "g")] {
            assert_eq!(FeedCursor::parse(&format!("{feed}.1.1")), None, "{feed}");
        }
    }
}
