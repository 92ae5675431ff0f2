//! Reads a frame as JSON-RPC 2.0: a call, a notification, a batch, or what is wrong with it.

use std::fmt;

use jsonrpsee_types::ErrorObjectOwned;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use serde_json::value::RawValue;

use super::wire_error::error_object;
use crate::api::ErrorKind;
use crate::model::limits::MAX_BATCH_CALLS;

/// What a frame holds.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// One request.
    Single(Entry<'a>),
    /// Several, whose replies go out as one array.
    Batch(Vec<Entry<'a>>),
}

/// One request of a frame, or the error it is answered with.
#[derive(Debug)]
pub enum Entry<'a> {
    /// A call, or without an id a notification.
    Request(Request<'a>),
    /// What is wrong with it.
    Invalid(Invalid),
}

/// What is answered to something that is no request.
#[derive(Debug)]
pub struct Invalid {
    /// The id's JSON text, `null` where none could be read.
    pub id: String,
    /// The error.
    pub error: ErrorObjectOwned,
}

/// A call or a notification.
#[derive(Debug, PartialEq)]
pub struct Request<'a> {
    /// The id's JSON text, given back as it was sent; `None` in a notification.
    pub id: Option<&'a str>,
    /// The method's name.
    pub method: std::borrow::Cow<'a, str>,
    /// The params' JSON text.
    pub params: Option<&'a str>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Option<&'a RawValue>,
    /// Absent in a notification; a null is an id.
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    /// May be absent; a null is no params.
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
}

/// Reads a member that is there, also where it is null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a frame.
pub fn parse(frame: &[u8]) -> Incoming<'_> {
    let Ok(text) = std::str::from_utf8(frame) else {
        return Incoming::Single(invalid("null", ErrorKind::ParseError, "the frame is not UTF-8"));
    };
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    if text.is_empty() {
        return Incoming::Single(invalid("null", ErrorKind::ParseError, "the frame is empty"));
    }
    if text.starts_with('[') {
        return parse_batch(text);
    }
    Incoming::Single(parse_entry(text))
}

/// The entries of a batch up to the limit, and how many there are.
struct Batch<'a> {
    entries: Vec<&'a RawValue>,
    count: usize,
}

impl<'de> Deserialize<'de> for Batch<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BatchVisitor)
    }
}

struct BatchVisitor;

impl<'de> Visitor<'de> for BatchVisitor {
    type Value = Batch<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a batch")
    }

    /// Past the limit entries are counted and not kept: a frame has room for millions.
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while entries.len() < MAX_BATCH_CALLS
            && let Some(entry) = sequence.next_element()?
        {
            entries.push(entry);
        }
        let mut count = entries.len();
        while sequence.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Batch { entries, count })
    }
}

fn parse_batch(text: &str) -> Incoming<'_> {
    match serde_json::from_str::<Batch<'_>>(text) {
        Err(error) => Incoming::Single(not_json(&error)),
        Ok(Batch { count: 0, .. }) => {
            Incoming::Single(invalid("null", ErrorKind::InvalidRequest, "the batch is empty"))
        }
        Ok(Batch { count, .. }) if count > MAX_BATCH_CALLS => {
            Incoming::Single(Entry::Invalid(Invalid {
                id: "null".to_owned(),
                error: error_object(
                    ErrorKind::TooLarge,
                    format!(
                        "the batch has {count} calls; the limit is {MAX_BATCH_CALLS}; none was carried out"
                    ),
                    &[("limit", json!(MAX_BATCH_CALLS)), ("actual", json!(count))],
                ),
            }))
        }
        Ok(Batch { entries, .. }) => {
            Incoming::Batch(entries.into_iter().map(|entry| parse_entry(entry.get())).collect())
        }
    }
}

fn parse_entry(text: &str) -> Entry<'_> {
    let envelope: Envelope<'_> = match serde_json::from_str(text) {
        Ok(envelope) if text.starts_with('{') => envelope,
        Ok(_) => return not_a_request(),
        Err(error) => {
            return match serde_json::from_str::<IgnoredAny>(text) {
                Err(_) => not_json(&error),
                Ok(_) => doubled_member(text).unwrap_or_else(not_a_request),
            };
        }
    };
    let id = match envelope.id.map(RawValue::get) {
        Some(id) if !is_id(id) => {
            return invalid(
                "null",
                ErrorKind::InvalidRequest,
                "an id is a string, a number or null",
            );
        }
        id => id,
    };
    // Where a request is bad, the answer carries its id, and null where it has none.
    let shown_id = id.unwrap_or("null");
    if !envelope.jsonrpc.is_some_and(is_version_2) {
        return invalid(shown_id, ErrorKind::InvalidRequest, "the member jsonrpc must be \"2.0\"");
    }
    let Some(method) =
        envelope.method.and_then(|method| serde_json::from_str::<String>(method.get()).ok())
    else {
        return invalid(shown_id, ErrorKind::InvalidRequest, "the member method must be a string");
    };
    let params = envelope.params.map(RawValue::get);
    if params.is_some_and(|params| !params.starts_with(['{', '['])) {
        return invalid(shown_id, ErrorKind::InvalidRequest, "the member params must be an object");
    }
    Entry::Request(Request { id, method: method.into(), params })
}

/// Compares the decoded text: a writer may escape any letter of it.
fn is_version_2(version: &RawValue) -> bool {
    serde_json::from_str::<String>(version.get()).is_ok_and(|version| version == "2.0")
}

fn is_id(text: &str) -> bool {
    text == "null"
        || text.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit())
}

fn not_json(error: &serde_json::Error) -> Entry<'static> {
    // Its position only: the message could repeat what was sent.
    invalid(
        "null",
        ErrorKind::ParseError,
        &format!("the frame is not JSON (line {}, column {})", error.line(), error.column()),
    )
}

/// How often an object has each member of a request, and the id where it has one alone.
#[derive(Default)]
struct Members<'a> {
    counts: [usize; MEMBERS.len()],
    id: Option<&'a RawValue>,
}

/// The members of a request.
const MEMBERS: [&str; 4] = ["jsonrpc", "id", "method", "params"];

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value::<&RawValue>()?;
            if let Some(at) = MEMBERS.iter().position(|member| *member == name) {
                members.counts[at] += 1;
            }
            if name == "id" {
                members.id = Some(value);
            }
        }
        Ok(members)
    }
}

/// Answers a request that has a member more than once; with its id, where that is not the one.
fn doubled_member(text: &str) -> Option<Entry<'static>> {
    let members = serde_json::from_str::<Members<'_>>(text).ok()?;
    let at = members.counts.iter().position(|count| *count > 1)?;
    let has_one_id = members.counts[MEMBERS.iter().position(|member| *member == "id")?] == 1;
    let id = members.id.map(RawValue::get).filter(|id| has_one_id && is_id(id));
    let problem = format!("the request has the member {} more than once", MEMBERS[at]);
    Some(invalid(id.unwrap_or("null"), ErrorKind::InvalidRequest, &problem))
}

fn not_a_request() -> Entry<'static> {
    invalid("null", ErrorKind::InvalidRequest, "a request is an object with jsonrpc, method and id")
}

fn invalid(id: &str, kind: ErrorKind, problem: &str) -> Entry<'static> {
    Entry::Invalid(Invalid { id: id.to_owned(), error: error_object(kind, problem, &[]) })
}
