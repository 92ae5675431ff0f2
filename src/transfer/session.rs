//! One session file of the IDE becomes a plan: how the session is started, and its messages in order.
//!
//! `name` becomes the title, `systemPrompt` the system prompt; `description`, `model` and
//! `createdAt` keep their meaning. The session's `metadata` then has
//!
//! - `ide`: every other field of the file under its own name and as written, `lastMessageAt` among
//!   them, and also one that could not be taken over as it is, such as a `description` that is no
//!   string, a `name` over the limit, or a `createdAt` that says more than a time in milliseconds
//! - `import`: what the importer knew or decided: `workspace`, the name of the file's folder; `id`,
//!   `missing` or `invalid` where the file's name was taken for it; `created_at`, `guessed`;
//!   `shadowed`, members whose name comes again later, as `[name, value]`; `as_text`, members
//!   nested too deeply for the daemon, whose JSON is kept in a string; `left_out`, members, by their
//!   bytes, that are too large for it
//!
//! The head of `message.rs` says the same of messages.

use serde_json::value::RawValue;
use uuid::Uuid;

use super::fields::{Fields, Kind, Members, flatten, json_of, list, object, pairs, quoted, shed};
use super::message::{Converter, PlannedMessage, encoded_bytes, metadata_room, take_time};
use super::recover::{self, PlannedEdit};
use crate::api::session::StartParams;
use crate::model::limits::{MAX_CONTENT_BYTES, MAX_FRAME_BYTES, MAX_NAME_BYTES};
use crate::model::{JsonObject, Millis, ProjectId, SessionId};

/// The kind of the sessions of the IDE.
const KIND: &str = "chat";
/// Bytes of a session's own fields that a frame has room for, beside the call around them.
const MAX_SESSION_BYTES: usize = MAX_FRAME_BYTES - 8 * 1024;
/// The limit of a title, as `session.start` has it.
const MAX_TITLE_BYTES: usize = MAX_NAME_BYTES * 8;

/// What is known of a session file beside its text.
#[derive(Debug, Clone, Default)]
pub(super) struct Origin {
    /// The file's name without `.json`.
    pub(super) stem: String,
    /// The name of its folder under `agent-sessions`.
    pub(super) workspace: Option<String>,
    /// The project that folder stands for.
    pub(super) project_id: Option<ProjectId>,
    /// When the file was last written.
    pub(super) modified_at: Millis,
}

/// A session as it will be stored.
#[derive(Debug)]
pub(super) struct SessionPlan {
    pub(super) id: SessionId,
    pub(super) start: StartParams,
    pub(super) messages: Vec<PlannedMessage>,
    /// The edits that are made of its tool calls, in order.
    pub(super) edits: Vec<PlannedEdit>,
    /// What was decided, a line each.
    pub(super) notes: Vec<String>,
    /// Names and sizes of what the daemon cannot take.
    pub(super) left_out: Members,
}

impl SessionPlan {
    /// Returns why no call could carry the session's own fields.
    pub(super) fn excess(&self) -> Option<String> {
        let bytes = encoded_bytes(&self.start);
        (bytes > MAX_SESSION_BYTES).then(|| {
            format!("the session's own fields are {bytes} bytes; the limit is {MAX_SESSION_BYTES}")
        })
    }
}

/// Converts the text of a session file, or returns why it holds no session.
pub(super) fn convert(json: &str, origin: &Origin) -> Result<SessionPlan, String> {
    let value: &RawValue =
        serde_json::from_str(json).map_err(|error| format!("is not JSON: {error}"))?;
    let mut fields = Fields::of(value).ok_or_else(|| {
        format!("is JSON but no session: it is {}, not an object", Kind::of(value))
    })?;
    let messages = match fields.take("messages") {
        None => return Err("is JSON but no session: it has no `messages`".to_owned()),
        Some(messages) => list(messages).ok_or_else(|| {
            format!("is JSON but no session: its `messages` are {}, not a list", Kind::of(messages))
        })?,
    };

    let mut notes = Vec::new();
    let mut facts = Members::new();
    if let Some(workspace) = &origin.workspace {
        facts.push(("workspace".to_owned(), quoted(workspace)));
    }
    let id = match fields.take_text("id", |text| SessionId::parse(text).is_ok()) {
        Some(id) => SessionId::parse(id).expect("checked when it was taken"),
        None => {
            let why = if fields.get("id").is_some() { "invalid" } else { "missing" };
            facts.push(("id".to_owned(), quoted(why)));
            notes.push(
                "the session's id is missing or invalid; the file's name was taken".to_owned(),
            );
            id_of_name(&origin.stem)
        }
    };
    let title = fields.take_text("name", |text| text.len() <= MAX_TITLE_BYTES);
    let description = fields.take_text("description", |text| text.len() <= MAX_CONTENT_BYTES);
    let model = fields.take_text("model", |text| text.len() <= MAX_NAME_BYTES);
    let system_prompt = fields.take_text("systemPrompt", |text| text.len() <= MAX_CONTENT_BYTES);
    for name in ["name", "description", "model", "systemPrompt"] {
        if fields.get(name).is_some_and(|value| Kind::of(value) != Kind::Null) {
            notes.push(format!("{name} is no string or over the limit; it is in the metadata"));
        }
    }
    let created_at = take_time(&mut fields, "createdAt").unwrap_or_else(|| {
        facts.push(("created_at".to_owned(), quoted("guessed")));
        notes
            .push("createdAt is missing or no time; another time of the file was taken".to_owned());
        guessed_start(&fields, &messages).unwrap_or(origin.modified_at)
    });
    let (mut ide, shadowed) = fields.into_rest();
    if !shadowed.is_empty() {
        facts.push(("shadowed".to_owned(), pairs(&shadowed)));
        notes.push("a field of the session comes twice; the first is in the metadata".to_owned());
    }

    let as_text = [flatten(&mut ide, 2), flatten(&mut facts, 2)].concat();
    if !as_text.is_empty() {
        facts.push(("as_text".to_owned(), json_of(&as_text)));
        let fields = as_text.join(", ");
        notes.push(format!("nested too deeply, the JSON is kept in a string: {fields}"));
    }

    let mut converter = Converter::new(&id, created_at);
    if recover::may_have_edits(json) {
        converter = converter.with_edits();
    }
    let messages =
        messages.iter().enumerate().map(|(place, value)| converter.convert(place, value)).collect();
    let (told, edits) = converter.finish();
    notes.extend(told);

    let mut start = StartParams {
        id: Some(id.clone()),
        project_id: origin.project_id.clone(),
        kind: KIND.to_owned(),
        title,
        description,
        model,
        system_prompt,
        parent_id: None,
        metadata: None,
        created_at: Some(created_at),
    };
    let others = encoded_bytes(&start);
    let room = metadata_room(MAX_SESSION_BYTES, others);
    let mut left_out = Members::new();
    start.metadata = metadata(&ide, &facts);
    if start.metadata.as_ref().is_some_and(|metadata| metadata.as_str().len() > room) {
        left_out = shed(&mut ide, &mut facts, room);
        facts.push(("left_out".to_owned(), object(&left_out).as_str().to_owned()));
        start.metadata = metadata(&ide, &facts);
    }
    Ok(SessionPlan { id, start, messages, edits, notes, left_out })
}

/// Returns the free data of a session: what the file had, and what was decided.
fn metadata(ide: &Members, facts: &Members) -> Option<JsonObject> {
    let metadata: Members = [("ide", ide), ("import", facts)]
        .into_iter()
        .filter(|(_, members)| !members.is_empty())
        .map(|(name, members)| (name.to_owned(), object(members).as_str().to_owned()))
        .collect();
    (!metadata.is_empty()).then(|| object(&metadata))
}

/// Returns the time of the first message that has one, or else of the last change.
fn guessed_start(fields: &Fields<'_>, messages: &[&RawValue]) -> Option<Millis> {
    let first =
        messages.iter().find_map(|message| take_time(&mut Fields::of(message)?, "timestamp"));
    // Looked at in a field of its own: `lastMessageAt` is kept whatever it says.
    first.or_else(|| {
        let last = super::fields::text(fields.get("lastMessageAt")?)?;
        super::instant::parse(&last)
    })
}

/// Returns the id that a file's name gives: the name itself, where it can be one.
fn id_of_name(stem: &str) -> SessionId {
    SessionId::parse(stem).unwrap_or_else(|_| {
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, stem.as_bytes());
        SessionId::parse(id.to_string()).expect("a UUID is an id")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limits::MAX_JSON_DEPTH;

    fn origin() -> Origin {
        Origin { stem: "stem".to_owned(), modified_at: 99, ..Origin::default() }
    }

    fn plan(json: &str) -> SessionPlan {
        convert(json, &origin()).expect("a session")
    }

    fn metadata(plan: &SessionPlan) -> &str {
        plan.start.metadata.as_ref().map_or("", JsonObject::as_str)
    }

    #[test]
    fn a_session_of_the_ide_is_taken_over() {
        let json = r#"{"id":"s","name":"Fix","description":"d","model":"m","systemPrompt":"p","messages":[{"id":"a","content":"p","role":"system","timestamp":"2025-11-01T14:26:40.214Z"}],"createdAt":"2025-11-01T14:26:40.214Z","lastMessageAt":"2025-11-01T14:34:23.009Z"}"#;
        let project_id = crate::model::ProjectId::parse("p1").ok();
        let origin = Origin { workspace: Some("shop_1a2b3c".to_owned()), project_id, ..origin() };
        let plan = convert(json, &origin).expect("a session");
        let start = &plan.start;
        assert_eq!(plan.id.as_str(), "s");
        assert_eq!((start.kind.as_str(), start.title.as_deref()), ("chat", Some("Fix")));
        assert_eq!((start.description.as_deref(), start.model.as_deref()), (Some("d"), Some("m")));
        assert_eq!(
            (start.system_prompt.as_deref(), start.created_at),
            (Some("p"), Some(1_762_007_200_214))
        );
        assert_eq!(start.project_id.as_ref().map(ProjectId::as_str), Some("p1"));
        let kept = r#"{"ide":{"lastMessageAt":"2025-11-01T14:34:23.009Z"},"import":{"workspace":"shop_1a2b3c"}}"#;
        assert_eq!(metadata(&plan), kept);
        assert_eq!((plan.messages.len(), plan.notes.len()), (1, 0), "{:?}", plan.notes);
        assert_eq!(plan.excess(), None);
    }

    #[test]
    fn what_cannot_be_taken_over_is_kept_and_told() {
        let plan = plan(
            r#"{"id":7,"name":["x"],"description":null,"model":1.50,"messages":[],"createdAt":"soon","tokens":1E400,"workspace":"w","tokens":2}"#,
        );
        assert_eq!(plan.id.as_str(), "stem");
        let kept = r#"{"ide":{"id":7,"name":["x"],"description":null,"model":1.50,"createdAt":"soon","tokens":2,"workspace":"w"},"import":{"id":"invalid","created_at":"guessed","shadowed":[["tokens",1E400]]}}"#;
        assert_eq!(metadata(&plan), kept);
        assert_eq!(plan.start.created_at, Some(99));
        assert_eq!(plan.notes.len(), 5, "{:?}", plan.notes);
    }

    #[test]
    fn a_start_is_guessed_from_the_messages_then_from_the_last_change() {
        let dated = r#"{"messages":[{},{"timestamp":"1970-01-01T00:00:01.000Z"}],"lastMessageAt":"1970-01-01T00:00:05.000Z"}"#;
        assert_eq!(plan(dated).start.created_at, Some(1000));
        let undated = r#"{"messages":[{}],"lastMessageAt":"1970-01-01T00:00:05.000Z"}"#;
        let plan = plan(undated);
        assert_eq!((plan.start.created_at, plan.messages[0].created_at), (Some(5000), 5000));
        assert!(metadata(&plan).contains(r#""ide":{"lastMessageAt":"#), "{}", metadata(&plan));
    }

    #[test]
    fn a_title_over_the_limit_goes_into_the_metadata_whole() {
        let name = "é".repeat(MAX_TITLE_BYTES / 2 + 1);
        let plan = plan(&format!(
            r#"{{"id":"s","name":"{name}","messages":[],"createdAt":"1970-01-01T00:00:01.000Z"}}"#
        ));
        assert_eq!(plan.start.title, None);
        assert_eq!(metadata(&plan), format!(r#"{{"ide":{{"name":"{name}"}}}}"#));
    }

    #[test]
    fn a_field_that_is_too_large_is_left_out_and_named() {
        let big = "x".repeat(MAX_CONTENT_BYTES);
        let plan = plan(&format!(
            r#"{{"id":"s","messages":[],"createdAt":"1970-01-01T00:00:01.000Z","small":1,"big":"{big}"}}"#
        ));
        let left = r#"{"ide":{"small":1},"import":{"left_out":{"big":8388610}}}"#;
        assert_eq!(metadata(&plan), left);
        assert_eq!(plan.left_out, [("big".to_owned(), "8388610".to_owned())]);
        assert_eq!(plan.excess(), None);
    }

    #[test]
    fn a_field_that_is_too_deep_is_kept_as_text() {
        let deep = "[".repeat(MAX_JSON_DEPTH - 1) + &"]".repeat(MAX_JSON_DEPTH - 1);
        let plan = plan(&format!(
            r#"{{"id":"s","messages":[],"createdAt":"1970-01-01T00:00:01.000Z","deep":{deep}}}"#
        ));
        let kept = format!(r#"{{"ide":{{"deep":"{deep}"}},"import":{{"as_text":["deep"]}}}}"#);
        assert_eq!(metadata(&plan), kept);
        assert_eq!(plan.notes, ["nested too deeply, the JSON is kept in a string: deep"]);
    }

    #[test]
    fn a_session_over_the_frame_is_told() {
        let big = "x".repeat(MAX_CONTENT_BYTES);
        let plan = plan(&format!(
            r#"{{"id":"s","messages":[],"description":"{big}","systemPrompt":"{big}"}}"#
        ));
        assert!(plan.excess().is_some());
    }

    #[test]
    fn json_that_is_no_session_is_refused() {
        for (json, problem) in [
            ("[]", "it is a list, not an object"),
            ("null", "it is null, not an object"),
            ("{}", "it has no `messages`"),
            (r#"{"id":"s","messages":"x"}"#, "its `messages` are a string, not a list"),
        ] {
            let found = convert(json, &origin()).expect_err("is refused");
            assert!(found.ends_with(problem), "{found}");
        }
    }

    #[test]
    fn a_name_that_is_no_id_gives_one_that_stays_the_same() {
        let long = "n".repeat(129);
        assert_eq!(id_of_name("s").as_str(), "s");
        assert_eq!(id_of_name(&long), id_of_name(&long));
        assert_ne!(id_of_name(&long), id_of_name("n\n"));
    }
}
