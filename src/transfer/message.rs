//! One message of the IDE's file becomes one message of the daemon; what has no field goes into `metadata`.
//!
//! `metadata` holds, under the IDE's own names and as written, every field that the message has
//! no place for: `toolCalls`, `thoughts`, `metadata`, unknown ones, and also an `id`, `role`,
//! `content` or `timestamp` that could not be taken over as it is. Of `images` it holds what could not
//! be made attachments of (the head of `images.rs` says more). What the importer had to decide stands beside them under `import` (with `_` behind it where the file has that name):
//!
//! - `id`: `missing`, `invalid`, `repeated` in its file, or `taken` by another session's message
//! - `role`: `missing` or `unknown`; such a message is stored as the assistant's, whose words are
//!   no instruction to a model and need no tool call before them
//! - `content`: `missing` or `not a string`; stored empty
//! - `created_at`: `guessed`, the time of the message before, or of the session
//! - `shadowed`: members whose name comes again later, as `[name, value]`
//! - `message`: the whole of it, where it is not an object
//! - `as_text`: members nested too deeply for the daemon, whose JSON is kept in a string
//! - `left_out`: members, by their bytes, that are too large for the daemon to take

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::fields::{
    self, Fields, Members, flatten, free_name, json_of, object, pairs, quoted, shed,
};
use super::images::{self, IMAGES};
use super::instant;
use super::recover::{PlannedEdit, Recovery};
use super::tally::Tally;
use crate::api::attachment::PutParams;
use crate::api::message::NewMessage;
use crate::model::limits::{MAX_CONTENT_BYTES, MAX_FRAME_BYTES};
use crate::model::{MessageId, Millis, Role, SessionId};

/// Bytes of one message that a frame has room for, beside the call around it and a second id.
const MAX_MESSAGE_BYTES: usize = MAX_FRAME_BYTES - 8 * 1024;

/// The member of a message that holds its tool calls.
const TOOL_CALLS: &str = "toolCalls";

/// The namespace of the ids that are made here.
const DERIVED_IDS: Uuid = Uuid::from_u128(0x6f3c_1d2a_8f0b_5e47_9a61_c2d4_07be_35f8);

/// A message as it will be stored.
#[derive(Debug, Clone)]
pub(super) struct PlannedMessage {
    /// Its place in the file, from 0.
    pub(super) place: usize,
    pub(super) id: MessageId,
    pub(super) role: Role,
    pub(super) content: String,
    pub(super) created_at: Millis,
    /// Fields kept as written.
    kept: Members,
    /// What the importer decided.
    facts: Members,
    /// Names and sizes of what the daemon cannot take.
    pub(super) left_out: Members,
    /// The images that become attachments, in order.
    pub(super) images: Vec<Arc<PutParams>>,
    /// The member `images` as it was written, where some of it becomes attachments.
    written_images: Option<String>,
}

impl PlannedMessage {
    /// Returns the message as `message.append_many` takes it.
    pub(super) fn to_new(&self) -> NewMessage {
        let mut members = self.kept.clone();
        let mut facts = self.facts.clone();
        if !self.left_out.is_empty() {
            facts.push(("left_out".to_owned(), object(&self.left_out).as_str().to_owned()));
        }
        if !facts.is_empty() {
            let name = free_name("import", &members);
            members.push((name, object(&facts).as_str().to_owned()));
        }
        NewMessage {
            id: Some(self.id.clone()),
            role: self.role,
            content: self.content.clone(),
            code_excerpt: None,
            metadata: (!members.is_empty()).then(|| object(&members)),
            attachments: self.images.iter().map(|image| images::reference(image)).collect(),
            created_at: Some(self.created_at),
        }
    }

    /// Returns the message as importers stored it that made no attachments; `None` where it is the same.
    pub(super) fn with_images_in_metadata(&self) -> Option<Self> {
        let written = self.written_images.clone()?;
        let mut message = self.clone();
        message.images.clear();
        message.kept.retain(|(name, _)| name != IMAGES);
        message.kept.push((IMAGES.to_owned(), written));
        message.shed();
        Some(message)
    }

    /// Returns the member `images` as it was written, and what of it stays; `None` where all stays.
    pub(super) fn images_in_metadata(&self) -> Option<(&str, Option<&str>)> {
        let left = self.kept.iter().find(|(name, _)| name == IMAGES);
        self.written_images
            .as_deref()
            .map(|written| (written, left.map(|(_, value)| value.as_str())))
    }

    /// Returns the message under an id made for it, since its own is in use; its own is kept.
    pub(super) fn with_derived_id(&self, session_id: &SessionId, why: &str) -> Self {
        let mut message = self.clone();
        message.id = derived_id(session_id, self.place, &self.content);
        if message.kept.iter().all(|(name, _)| name != "id") {
            message.kept.insert(0, ("id".to_owned(), quoted(self.id.as_str())));
        }
        message.facts.insert(0, ("id".to_owned(), quoted(why)));
        message.shed();
        message
    }

    /// Leaves the largest members out where the daemon would refuse the message for them.
    fn shed(&mut self) {
        let members = self.kept.iter().chain(&self.facts);
        let metadata: usize = members.map(|(name, value)| name.len() + value.len()).sum();
        let is_small =
            metadata < MAX_CONTENT_BYTES / 2 && self.content.len() < MAX_CONTENT_BYTES / 4;
        if is_small && self.images.is_empty() {
            return;
        }
        let mut new = self.to_new();
        let metadata = new.metadata.take().map_or(0, |metadata| metadata.as_str().len());
        let others = encoded_bytes(&new);
        let room = metadata_room(MAX_MESSAGE_BYTES, others);
        if metadata > room {
            self.left_out.extend(shed(&mut self.kept, &mut self.facts, room));
        }
    }

    /// Returns its images, as they are put.
    pub(super) fn puts(&self) -> impl Iterator<Item = &PutParams> {
        self.images.iter().map(Arc::as_ref)
    }

    /// Returns the bytes the message takes in a frame.
    pub(super) fn encoded_bytes(&self) -> usize {
        encoded_bytes(&self.to_new())
    }

    /// Returns why no call could carry the message, which takes so many bytes in a frame.
    pub(super) fn excess(&self, bytes: usize) -> Option<String> {
        if self.content.len() > MAX_CONTENT_BYTES {
            let bytes = self.content.len();
            return Some(format!("its content is {bytes} bytes; the limit is {MAX_CONTENT_BYTES}"));
        }
        (bytes > MAX_MESSAGE_BYTES)
            .then(|| format!("it is {bytes} bytes as JSON; the limit is {MAX_MESSAGE_BYTES}"))
    }
}

/// Converts the messages of one session, in order.
pub(super) struct Converter<'a> {
    session_id: &'a SessionId,
    /// Where the session has calls that change files.
    recovery: Option<Recovery<'a>>,
    used: HashSet<MessageId>,
    time: Millis,
    tally: Tally,
}

impl<'a> Converter<'a> {
    /// Returns a converter for a session that was started at a time.
    pub(super) fn new(session_id: &'a SessionId, created_at: Millis) -> Self {
        let (used, tally) = (HashSet::new(), Tally::default());
        Self { session_id, recovery: None, used, time: created_at, tally }
    }

    /// Also makes edits of the tool calls.
    pub(super) fn with_edits(self) -> Self {
        Self { recovery: Some(Recovery::new(self.session_id)), ..self }
    }

    /// Returns what was decided, a line each, and the edits that were made.
    pub(super) fn finish(self) -> (Vec<String>, Vec<PlannedEdit>) {
        let mut notes = self.tally.into_lines();
        let (edits, untold) = self.recovery.map_or_else(Default::default, Recovery::finish);
        if untold > 0 {
            notes.push(format!(
                "tool calls that changed a file of which the session does not tell what it held: \
                 {untold}; they stay in the metadata, no edits are made of them"
            ));
        }
        (notes, edits)
    }

    /// Converts the next message.
    pub(super) fn convert(&mut self, place: usize, value: &RawValue) -> PlannedMessage {
        let mut facts = Members::new();
        let mut fact = |name: &str, value: &str| facts.push((name.to_owned(), quoted(value)));
        let fields = Fields::of(value);
        let is_object = fields.is_some();
        let mut fields = fields.unwrap_or_default();

        let own_id = fields.take_text("id", |text| MessageId::parse(text).is_ok());
        if own_id.is_none() && is_object {
            fact("id", if fields.get("id").is_some() { "invalid" } else { "missing" });
            self.tally.add("no usable id, one was made", place);
        }
        let role = fields.take_text("role", |text| Role::parse(text).is_some());
        if role.is_none() && is_object {
            fact("role", if fields.get("role").is_some() { "unknown" } else { "missing" });
            self.tally.add("no known role, stored as the assistant's", place);
        }
        let content = fields.take_text("content", |_| true);
        if content.is_none() && is_object {
            fact(
                "content",
                if fields.get("content").is_some() { "not a string" } else { "missing" },
            );
            self.tally.add("no text for a content, stored empty", place);
        }
        match take_time(&mut fields, "timestamp") {
            Some(time) => self.time = time,
            None if is_object => {
                fact("created_at", "guessed");
                self.tally.add("no usable timestamp, the time before it was taken", place);
            }
            None => {}
        }
        if !is_object {
            facts.push(("message".to_owned(), value.get().to_owned()));
            self.tally.add("not an object, kept in the metadata", place);
        }
        let (mut kept, shadowed) = fields.into_rest();
        let calls =
            kept.iter().find(|(name, _)| name == TOOL_CALLS).map(|(_, calls)| calls.clone());
        let taken = images::take(&mut kept);
        for reason in &taken.reasons {
            self.tally.add(reason, place);
        }
        if !shadowed.is_empty() {
            facts.push(("shadowed".to_owned(), pairs(&shadowed)));
            self.tally.add("a field comes twice, the first is in the metadata", place);
        }
        let as_text = [flatten(&mut kept, 1), flatten(&mut facts, 2)].concat();
        if !as_text.is_empty() {
            facts.push(("as_text".to_owned(), json_of(&as_text)));
            self.tally.add("a field is nested too deeply, its JSON is kept in a string", place);
        }

        let content = content.unwrap_or_default();
        let own_id = own_id.and_then(|id| MessageId::parse(id).ok());
        let id = own_id.unwrap_or_else(|| derived_id(self.session_id, place, &content));
        let role = role.and_then(|role| Role::parse(&role)).unwrap_or(Role::Assistant);
        let created_at = self.time;
        let mut message = PlannedMessage {
            place,
            id,
            role,
            content,
            created_at,
            kept,
            facts,
            left_out: Members::new(),
            images: taken.images,
            written_images: taken.as_written,
        };
        message.shed();
        if self.used.contains(&message.id) {
            self.tally.add("an id comes again, another was made", place);
            message = message.with_derived_id(self.session_id, "repeated");
        }
        self.used.insert(message.id.clone());
        if let Some(recovery) = &mut self.recovery {
            recovery.look(place, &message.id, message.role, calls.as_deref());
        }
        message
    }
}

/// Returns the bytes of a value's JSON, which is not made for that.
pub(super) fn encoded_bytes<T: serde::Serialize>(value: &T) -> usize {
    struct Count(usize);

    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).map_or(usize::MAX, |()| count.0)
}

/// Returns the bytes of metadata that fit a frame's share beside the other fields.
pub(super) fn metadata_room(share: usize, others: usize) -> usize {
    MAX_CONTENT_BYTES.min(share.saturating_sub(others + r#","metadata":"#.len()))
}

/// Takes a time out of a field; a text that says more than the time stays.
pub(super) fn take_time(fields: &mut Fields<'_>, name: &str) -> Option<Millis> {
    let text = fields::text(fields.get(name)?)?;
    let millis = instant::parse(&text)?;
    if instant::is_canonical(&text, millis) {
        fields.take(name);
    }
    Some(millis)
}

/// Returns the id of a message that has none of its own: the same for the same file each time.
///
/// The content is part of it, so that a message which took another's place since the last import is
/// not mistaken for it; tool calls are not, which change while they run.
fn derived_id(session_id: &SessionId, place: usize, content: &str) -> MessageId {
    let name = format!("{session_id}\0{place}\0{content}");
    let id = Uuid::new_v5(&DERIVED_IDS, name.as_bytes());
    MessageId::parse(id.to_string()).expect("a UUID is an id")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limits::MAX_JSON_DEPTH;

    fn convert(messages: &[&str]) -> (Vec<PlannedMessage>, Vec<String>) {
        let session_id = SessionId::parse("ses").expect("an id");
        let mut converter = Converter::new(&session_id, 7);
        let planned = messages
            .iter()
            .enumerate()
            .map(|(place, json)| {
                converter.convert(place, serde_json::from_str(json).expect("JSON"))
            })
            .collect();
        (planned, converter.finish().0)
    }

    fn metadata(message: &PlannedMessage) -> String {
        message.to_new().metadata.map_or_else(String::new, |metadata| metadata.as_str().to_owned())
    }

    #[test]
    fn a_plain_message_leaves_nothing_over() {
        let json =
            r#"{"id":"m","content":"é\n","role":"user","timestamp":"2025-11-01T14:26:40.214Z"}"#;
        let (messages, notes) = convert(&[json]);
        let new = messages[0].to_new();
        assert_eq!(new.id.as_ref().map(MessageId::as_str), Some("m"));
        assert_eq!((new.role, new.content.as_str()), (Role::User, "é\n"));
        assert_eq!((new.created_at, new.metadata), (Some(1_762_007_200_214), None));
        assert_eq!(notes, [""; 0]);
    }

    #[test]
    fn all_other_fields_are_kept_to_the_letter() {
        let json = r#"{"id":"m","content":"","role":"assistant","timestamp":"2025-11-01T14:26:40Z",
            "toolCalls":[{"n":1.10}],"thoughts":"\u0041","images":[],"metadata":{"a":1E400},"import":1}"#;
        let (messages, _) = convert(&[json]);
        let kept = r#"{"timestamp":"2025-11-01T14:26:40Z","toolCalls":[{"n":1.10}],"thoughts":"\u0041","images":[],"metadata":{"a":1E400},"import":1}"#;
        assert_eq!(metadata(&messages[0]), kept);
    }

    #[test]
    fn what_cannot_be_taken_over_is_kept_and_told() {
        let (messages, notes) = convert(&[
            r#"{"id":"","content":{"parts":[1]},"role":"function","timestamp":"soon","import":true}"#,
            r#"{"content":"x","content":"y"}"#,
            "12.0",
        ]);
        let first = r#"{"id":"","content":{"parts":[1]},"role":"function","timestamp":"soon","import":true,"import_":{"id":"invalid","role":"unknown","content":"not a string","created_at":"guessed"}}"#;
        assert_eq!(metadata(&messages[0]), first);
        assert_eq!((messages[0].role, messages[0].created_at), (Role::Assistant, 7));
        assert_eq!(messages[1].content, "y");
        let second = r#"{"import":{"id":"missing","role":"missing","created_at":"guessed","shadowed":[["content","x"]]}}"#;
        assert_eq!(metadata(&messages[1]), second);
        assert_eq!(metadata(&messages[2]), r#"{"import":{"message":12.0}}"#);
        assert_eq!(notes[0], "no usable id, one was made: 2 messages, the first is messages[0]");
        assert_eq!(notes.len(), 6, "{notes:?}");
    }

    #[test]
    fn a_time_is_guessed_from_the_message_before() {
        let (messages, _) = convert(&[
            r#"{"id":"a","content":"","role":"user","timestamp":"1970-01-01T00:00:01.000Z"}"#,
            r#"{"id":"b","content":"","role":"user","timestamp":12}"#,
            r#"{"id":"c","content":"","role":"user","timestamp":"-000001-01-01T00:00:00.000Z"}"#,
        ]);
        assert_eq!((messages[1].created_at, messages[2].created_at), (1000, 1000));
        let early =
            r#"{"timestamp":"-000001-01-01T00:00:00.000Z","import":{"created_at":"guessed"}}"#;
        assert_eq!(metadata(&messages[2]), early);
        assert_eq!(metadata(&messages[1]), r#"{"timestamp":12,"import":{"created_at":"guessed"}}"#);
    }

    #[test]
    fn a_repeated_id_gives_way_to_a_made_one_that_stays_the_same() {
        let json =
            r#"{"id":"m","content":"x","role":"tool","timestamp":"1970-01-01T00:00:00.000Z"}"#;
        let (messages, _) = convert(&[json, json, json]);
        let (again, _) = convert(&[json, json, json]);
        let ids: Vec<_> = messages.iter().map(|message| message.id.as_str().to_owned()).collect();
        assert_eq!(ids[0], "m");
        assert_eq!(HashSet::<&String>::from_iter(&ids).len(), 3, "{ids:?}");
        assert_eq!(metadata(&messages[1]), r#"{"id":"m","import":{"id":"repeated"}}"#);
        for (message, again) in messages.iter().zip(&again) {
            assert_eq!(message.id, again.id);
        }
    }

    #[test]
    fn a_made_id_depends_on_session_place_and_content_but_not_on_tool_calls() {
        let id = |json: &str| convert(&[json]).0[0].id.clone();
        let plain = id(r#"{"content":"x"}"#);
        assert_eq!(id(r#"{"content":"x","toolCalls":[1]}"#), plain);
        assert_ne!(id(r#"{"content":"y"}"#), plain);
        assert_ne!(convert(&["{}", r#"{"content":"x"}"#]).0[1].id, plain);
        let other = SessionId::parse("other").expect("an id");
        assert_ne!(derived_id(&other, 0, "x"), plain);
    }

    #[test]
    fn a_message_over_a_limit_is_told() {
        let planned = |content: &str| {
            let json = format!(r#"{{"id":"m","content":"{content}","role":"user"}}"#);
            convert(&[&json]).0.remove(0)
        };
        let excess = |message: PlannedMessage| message.excess(message.encoded_bytes());
        assert_eq!(excess(planned(&"x".repeat(MAX_CONTENT_BYTES))), None);
        let too_long = excess(planned(&"x".repeat(MAX_CONTENT_BYTES + 1))).expect("is over");
        assert!(too_long.starts_with("its content is 8388609 bytes"), "{too_long}");
        // Within the limit of a content, but each byte of it takes six in a frame.
        let escaped = excess(planned(&r"\u0001".repeat(MAX_MESSAGE_BYTES / 6))).expect("is over");
        assert!(escaped.ends_with("bytes as JSON; the limit is 16769024"), "{escaped}");
    }

    #[test]
    fn what_is_too_large_is_left_out_and_named_and_the_rest_stays() {
        let images = "i".repeat(MAX_CONTENT_BYTES);
        let json = |images: &str, more: &str| {
            format!(
                r#"{{"id":"m","content":"said","role":"user","timestamp":"1970-01-01T00:00:00.000Z","toolCalls":[1],"images":"{images}"{more}}}"#
            )
        };
        let around = r#"{"toolCalls":[1],"images":""}"#.len();
        let (messages, _) = convert(&[
            &json(&images[around..], ""),
            &json(&images[around - 1..], r#","id":"n""#),
            &json(&images[..MAX_CONTENT_BYTES / 2], r#","thoughts":"t""#),
        ]);
        // Just at the limit nothing is left out.
        assert_eq!(metadata(&messages[0]).len(), MAX_CONTENT_BYTES);
        assert!(messages[0].left_out.is_empty() && messages[2].left_out.is_empty());
        let size = images.len() - around + 1 + 2;
        let left = format!(
            r#"{{"toolCalls":[1],"import":{{"shadowed":[["id","m"]],"left_out":{{"images":{size}}}}}}}"#
        );
        assert_eq!(metadata(&messages[1]), left);
        assert_eq!(messages[1].content, "said");
        assert_eq!(messages[1].left_out, [("images".to_owned(), size.to_string())]);
    }

    #[test]
    fn what_is_too_deep_is_kept_as_text() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        // An object of metadata is one level, `import` in it another, the message's pairs two more.
        let (at, over) = (deep(MAX_JSON_DEPTH - 1), deep(MAX_JSON_DEPTH));
        let json = format!(
            r#"{{"id":"m","content":"","role":"user","timestamp":"1970-01-01T00:00:00.000Z","at":{at},"over":{over}}}"#
        );
        let (messages, notes) = convert(&[&json, &over]);
        let kept = format!(r#"{{"at":{at},"over":"{over}","import":{{"as_text":["over"]}}}}"#);
        assert_eq!(metadata(&messages[0]), kept);
        let whole = format!(r#"{{"import":{{"message":"{over}","as_text":["message"]}}}}"#);
        assert_eq!(metadata(&messages[1]), whole);
        let note = "a field is nested too deeply, its JSON is kept in a string: 2 messages, the first is messages[0]";
        assert!(notes.iter().any(|found| found == note), "{notes:?}");
    }

    #[test]
    fn beside_a_large_content_there_is_less_room() {
        let long = "c".repeat(MAX_CONTENT_BYTES);
        let planned = |images: usize| {
            let images = "i".repeat(images);
            convert(&[&format!(
                r#"{{"id":"m","content":"{long}","role":"user","images":"{images}"}}"#
            )])
            .0
            .remove(0)
        };
        let around = planned(2000).encoded_bytes() - 2000;
        let just = planned(MAX_MESSAGE_BYTES - around);
        assert!(just.left_out.is_empty());
        assert_eq!(
            (just.encoded_bytes(), just.excess(just.encoded_bytes())),
            (MAX_MESSAGE_BYTES, None)
        );
        let over = planned(MAX_MESSAGE_BYTES - around + 1);
        assert_eq!(over.left_out[0].0, "images");
        assert_eq!(over.excess(over.encoded_bytes()), None);
    }
}
