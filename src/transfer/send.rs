//! Sends a planned session to the daemon: what is not there is added, what is there stays as it is.

use std::collections::HashSet;
use std::ops::Range;

use super::calls::divide;
use super::fields::listed;
use super::message::PlannedMessage;
use super::outcome::{Disposition, FileOutcome};
use super::session::SessionPlan;
use super::settle::settle;
use super::tally::Tally;
use crate::api::message::{AppendMany, AppendManyParams};
use crate::api::{ErrorKind, attachment, session};
use crate::client::{Client, ClientError};
use crate::model::limits::MAX_APPEND_MANY;
use crate::model::{Session, SessionId};

/// Stores a session and those of its messages that are not stored yet, in order.
pub(super) async fn session(
    client: &mut Client,
    plan: SessionPlan,
    outcome: &mut FileOutcome,
) -> Result<(), ClientError> {
    outcome.session_id = Some(plan.id.clone());
    outcome.messages.found = plan.messages.len() as u64;
    if !start(client, &plan, outcome).await? {
        return Ok(());
    }
    let SessionPlan { id, messages, notes, left_out, .. } = plan;
    if !left_out.is_empty() {
        outcome.left_out += left_out.len() as u64;
        let left_out = listed(&left_out);
        outcome.problems.push(format!("session {id}: too large, left out: {left_out}"));
    }
    outcome.notes.extend(notes);
    let mut fitting = Vec::with_capacity(messages.len());
    let mut sizes = Vec::with_capacity(messages.len());
    for message in messages {
        let size = message.encoded_bytes();
        match message.excess(size) {
            None => {
                tell_left_out(outcome, &message);
                fitting.push(message);
                sizes.push(size);
            }
            Some(reason) => fail(outcome, &message, &reason),
        }
    }
    let mut tally = Tally::default();
    for call in divide(sizes, MAX_APPEND_MANY) {
        append(client, &id, &fitting, call, outcome, &mut tally).await?;
    }
    outcome.notes.extend(tally.into_lines());
    Ok(())
}

/// Makes sure that the session exists; false where its messages cannot be stored, as the outcome then tells.
async fn start(
    client: &mut Client,
    plan: &SessionPlan,
    outcome: &mut FileOutcome,
) -> Result<bool, ClientError> {
    match client.call::<session::Get>(&session::IdParams { id: plan.id.clone() }).await {
        Ok(stored) => {
            let stored = put_into_project(client, stored, plan, outcome).await?;
            outcome.notes.extend(kept_fields(&stored, plan));
            return Ok(true);
        }
        Err(error) if is(&error, ErrorKind::NotFound) => {}
        Err(error) => return Err(error),
    }
    if let Some(reason) = plan.excess() {
        outcome.messages.failed = outcome.messages.found;
        outcome.problems.push(format!("session {}: {reason}", plan.id));
        return Ok(false);
    }
    match client.call::<session::Start>(&plan.start).await {
        Ok(_) => {
            outcome.session_created = true;
            Ok(true)
        }
        // It is in no list and yet its id is in use.
        Err(error) if is(&error, ErrorKind::Conflict) => {
            outcome.messages.skipped = outcome.messages.found;
            outcome.refuse(
                Disposition::Skipped,
                "holds a session that is in the trash; it was not revived",
            );
            Ok(false)
        }
        Err(error) if is_about_content(&error) => {
            outcome.messages.failed = outcome.messages.found;
            outcome.problems.push(format!("session {}: {error}", plan.id));
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Puts a session into its project where it is in none: the project was opened after the import.
async fn put_into_project(
    client: &mut Client,
    stored: Session,
    plan: &SessionPlan,
    outcome: &mut FileOutcome,
) -> Result<Session, ClientError> {
    if stored.project_id.is_some() || plan.start.project_id.is_none() {
        return Ok(stored);
    }
    let update = session::UpdateParams {
        id: stored.id.clone(),
        title: None,
        description: None,
        model: None,
        system_prompt: None,
        project_id: Some(plan.start.project_id.clone()),
        metadata: None,
        archived: None,
        pinned: None,
    };
    match client.call::<session::Update>(&update).await {
        Ok(session) => {
            outcome.notes.push("the session was in no project; it is in its own now".to_owned());
            Ok(session)
        }
        // It was moved to the trash meanwhile.
        Err(error) if is_about_content(&error) => Ok(stored),
        Err(error) => Err(error),
    }
}

/// Tells in which fields the stored session is another: the user's changes there win over the file.
fn kept_fields(stored: &Session, plan: &SessionPlan) -> Option<String> {
    let start = &plan.start;
    let differing: Vec<&str> = [
        ("project", stored.project_id != start.project_id),
        ("title", stored.title != start.title),
        ("description", stored.description != start.description),
        ("model", stored.model != start.model),
        ("system prompt", stored.system_prompt != start.system_prompt),
        ("metadata", stored.metadata != start.metadata),
    ]
    .into_iter()
    .filter_map(|(field, differs)| differs.then_some(field))
    .collect();
    (!differing.is_empty()).then(|| {
        format!("the session was there with another {}; it was left as it is", differing.join(", "))
    })
}

/// Appends some messages. A call that is refused is halved until the message is found that it is about.
async fn append(
    client: &mut Client,
    session_id: &SessionId,
    messages: &[PlannedMessage],
    call: Range<usize>,
    outcome: &mut FileOutcome,
    tally: &mut Tally,
) -> Result<(), ClientError> {
    // The last one is next, so that the order stays.
    let mut waiting = vec![call];
    while let Some(range) = waiting.pop() {
        match append_call(client, session_id, &messages[range.clone()]).await {
            Ok(imported) => {
                outcome.messages.imported += imported;
                outcome.messages.already_there += range.len() as u64 - imported;
            }
            Err(error) if !is_about_content(&error) => return Err(error),
            Err(_) if range.len() > 1 => {
                let middle = range.start + range.len() / 2;
                waiting.push(middle..range.end);
                waiting.push(range.start..middle);
            }
            Err(error) if is(&error, ErrorKind::Conflict) => {
                settle(client, session_id, &messages[range.start], outcome, tally).await?;
            }
            Err(error) => fail(outcome, &messages[range.start], &error.to_string()),
        }
    }
    Ok(())
}

/// Appends messages in one call, and returns how many were new.
///
/// Their images are put only where the daemon lacks one: what is stored already needs none.
pub(super) async fn append_call(
    client: &mut Client,
    session_id: &SessionId,
    messages: &[PlannedMessage],
) -> Result<u64, ClientError> {
    let params = AppendManyParams {
        session_id: session_id.clone(),
        messages: messages.iter().map(PlannedMessage::to_new).collect(),
        expected_index: None,
    };
    let appended = match client.call::<AppendMany>(&params).await {
        Err(error) if is_about_attachments(&error) => {
            put_images(client, messages).await?;
            client.call::<AppendMany>(&params).await?
        }
        answer => answer?,
    };
    Ok(appended.messages.iter().filter(|message| message.created).count() as u64)
}

/// Puts the images of some messages.
pub(super) async fn put_images(
    client: &mut Client,
    messages: &[PlannedMessage],
) -> Result<(), ClientError> {
    let mut seen = HashSet::new();
    for image in messages.iter().flat_map(|message| &message.images) {
        if seen.insert(image.data.hash()) {
            client.call::<attachment::Put>(image.as_ref()).await?;
        }
    }
    Ok(())
}

/// True where an append was refused for an attachment that was not put.
fn is_about_attachments(error: &ClientError) -> bool {
    #[derive(serde::Deserialize)]
    struct Data {
        #[serde(default)]
        field: String,
    }
    let ClientError::Rpc { data, .. } = error else { return false };
    let field = serde_json::from_str(data).map(|Data { field }| field);
    is(error, ErrorKind::InvalidParams) && field.is_ok_and(|field| field.contains("attachments["))
}

pub(super) fn tell_left_out(outcome: &mut FileOutcome, message: &PlannedMessage) {
    if !message.left_out.is_empty() {
        outcome.left_out += message.left_out.len() as u64;
        outcome.problems.push(format!(
            "message {} (messages[{}]): too large, left out: {}",
            message.id,
            message.place,
            listed(&message.left_out)
        ));
    }
}

pub(super) fn fail(outcome: &mut FileOutcome, message: &PlannedMessage, reason: &str) {
    outcome.messages.failed += 1;
    outcome
        .problems
        .push(format!("message {} (messages[{}]): {reason}", message.id, message.place));
}

pub(super) fn is(error: &ClientError, expected: ErrorKind) -> bool {
    matches!(error, ClientError::Rpc { kind, .. } if kind == expected.word())
}

/// True where the daemon refused what was sent, and will take another call.
pub(super) fn is_about_content(error: &ClientError) -> bool {
    [ErrorKind::Conflict, ErrorKind::InvalidParams, ErrorKind::NotFound, ErrorKind::TooLarge]
        .into_iter()
        .any(|kind| is(error, kind))
}

#[cfg(test)]
mod tests {
    use super::super::session::{Origin, convert};
    use super::*;

    fn messages(contents: &[usize]) -> Vec<PlannedMessage> {
        let messages: Vec<String> = contents
            .iter()
            .enumerate()
            .map(|(at, size)| {
                format!(r#"{{"id":"m{at}","role":"user","content":"{}"}}"#, "x".repeat(*size))
            })
            .collect();
        let json = format!(r#"{{"id":"s","messages":[{}]}}"#, messages.join(","));
        convert(&json, &Origin::default()).expect("a session").messages
    }

    fn calls(planned: &[PlannedMessage]) -> Vec<Range<usize>> {
        divide(planned.iter().map(PlannedMessage::encoded_bytes), MAX_APPEND_MANY)
    }

    #[test]
    fn a_call_holds_as_many_messages_as_one_may() {
        let planned = messages(&vec![1; 2 * MAX_APPEND_MANY + 1]);
        let limit = MAX_APPEND_MANY;
        assert_eq!(calls(&planned), [0..limit, limit..2 * limit, 2 * limit..2 * limit + 1]);
        assert!(calls(&[]).is_empty());
    }

    #[test]
    fn a_call_holds_as_many_bytes_as_one_may() {
        let mib = 1024 * 1024;
        let planned = messages(&[mib, mib, mib, 2 * mib, 6 * mib, 1, 1]);
        assert_eq!(calls(&planned), [0..3, 3..4, 4..5, 5..7]);
    }
}
