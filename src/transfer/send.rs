//! Sends a planned session to the daemon: what is not there is added, what is there stays as it is.

use std::collections::HashMap;
use std::ops::Range;

use super::calls::divide;
use super::fields::listed;
use super::message::PlannedMessage;
use super::outcome::FileOutcome;
use super::recover::PlannedEdit;
use super::session::SessionPlan;
use super::settle::{LEFT, TAKEN, settle, settle_own};
use super::start::start;
use super::tally::Tally;
use super::target::{Pictured, Target, is};
use crate::api::message::{AppendMany, AppendManyParams, Appended, Get, IdParams};
use crate::api::{ErrorKind, history};
use crate::client::ClientError;
use crate::model::limits::{MAX_APPEND_MANY, MAX_PAGE_ITEMS};
use crate::model::{JsonObject, MessageId, SessionId};

/// Messages that a dry run looks up at once.
const LOOK_UPS: usize = 64;

/// Stores a session, those of its messages that are not stored yet, in order, and its edits.
pub(super) async fn session(
    target: &mut Target<'_>,
    plan: SessionPlan,
    outcome: &mut FileOutcome,
) -> Result<(), ClientError> {
    begin(&plan, outcome);
    let Some(was_there) = start(target, &plan, outcome).await? else { return Ok(()) };
    let mut work = Work::new(plan, outcome);
    if was_there {
        work.find_stored(target).await?;
    }
    if target.is_dry() {
        work.foresee(target).await?;
    } else {
        work.append(target).await?;
    }
    work.finish(target, was_there).await
}

/// Notes what a session's file holds.
pub(super) fn begin(plan: &SessionPlan, outcome: &mut FileOutcome) {
    outcome.session_id = Some(plan.id.clone());
    outcome.messages.found = plan.messages.len() as u64;
    outcome.edits.found = plan.edits.len() as u64;
}

/// What is done with the messages and edits of one session that exists.
pub(super) struct Work<'a> {
    session_id: SessionId,
    outcome: &'a mut FileOutcome,
    tally: Tally,
    /// The messages that a call could carry and that are not known to be stored, and their sizes.
    pub(super) fitting: Vec<PlannedMessage>,
    sizes: Vec<usize>,
    /// The ids under which messages are stored, by their places in the file.
    stored_as: HashMap<usize, MessageId>,
    edits: Vec<PlannedEdit>,
}

impl<'a> Work<'a> {
    /// Tells of what no call could carry, and takes the rest.
    pub(super) fn new(plan: SessionPlan, outcome: &'a mut FileOutcome) -> Self {
        let SessionPlan { id, messages, edits, notes, left_out, .. } = plan;
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
        let (tally, stored_as) = (Tally::default(), HashMap::new());
        Self { session_id: id, outcome, tally, fitting, sizes, stored_as, edits }
    }

    /// Returns the ranges of messages that go in one call each.
    pub(super) fn calls(&self) -> Vec<Range<usize>> {
        divide(self.sizes.iter().copied(), MAX_APPEND_MANY)
    }

    /// Returns the params of a call.
    pub(super) fn params(&self, call: Range<usize>) -> AppendManyParams {
        append_params(&self.session_id, &self.fitting[call])
    }

    /// Notes that a call was carried out, and how many of its messages were new.
    pub(super) fn appended(&mut self, call: Range<usize>, imported: u64) {
        let messages = &self.fitting[call];
        self.outcome.messages.imported += imported;
        self.outcome.messages.already_there += messages.len() as u64 - imported;
        let stored = messages.iter().map(|message| (message.place, message.id.clone()));
        self.stored_as.extend(stored);
    }

    /// Records the edits.
    pub(super) async fn finish(
        self,
        target: &mut Target<'_>,
        was_there: bool,
    ) -> Result<(), ClientError> {
        let Self { session_id, outcome, tally, stored_as, edits, .. } = self;
        outcome.notes.extend(tally.into_lines());
        record(target, &session_id, edits, &stored_as, was_there, outcome).await
    }

    /// Finds which messages the session has, settles what is to be done with them, and drops them.
    async fn find_stored(&mut self, target: &mut Target<'_>) -> Result<(), ClientError> {
        let mut found = vec![None; self.fitting.len()];
        let mut under_made_ids = HashMap::new();
        if target.is_stored(&self.session_id) {
            let places: HashMap<MessageId, usize> =
                self.fitting.iter().enumerate().map(|(at, new)| (new.id.clone(), at)).collect();
            let mut params = pages_of(&self.session_id);
            loop {
                let (messages, has_more) = match target.page(&mut params).await {
                    // It went to the trash meanwhile.
                    Err(error) if is(&error, ErrorKind::NotFound) => break,
                    page => page?,
                };
                for stored in messages {
                    if let Some(at) = places.get(&stored.id) {
                        settle_own(target, &stored, &self.fitting[*at], &mut self.tally).await?;
                        found[*at] = Some(stored.id);
                    } else if has_made_id(stored.metadata.as_ref()) {
                        under_made_ids.insert(stored.id.clone(), stored);
                    }
                }
                if !has_more {
                    break;
                }
            }
        }
        for (at, found) in found.iter_mut().enumerate().filter(|(_, found)| found.is_none()) {
            if under_made_ids.is_empty() && !target.is_dry() {
                break;
            }
            let message = &self.fitting[at];
            let made = message.with_derived_id(&self.session_id, "taken");
            if let Some(stored) = under_made_ids.get(&made.id) {
                settle_own(target, stored, &made, &mut self.tally).await?;
                *found = Some(made.id);
            } else {
                for message in [message, &made] {
                    let pictured = target.pictured(&self.session_id, &message.to_new());
                    if let Some(Pictured::Here { is_same }) = pictured {
                        if !is_same {
                            self.tally.add(LEFT, message.place);
                        }
                        *found = Some(message.id.clone());
                        break;
                    }
                }
            }
        }
        let mut found = found.into_iter();
        let mut is_missing = Vec::with_capacity(self.fitting.len());
        for message in &self.fitting {
            let id = found.next().expect("one for each message");
            is_missing.push(id.is_none());
            if let Some(id) = id {
                self.outcome.messages.already_there += 1;
                self.stored_as.insert(message.place, id);
            }
        }
        let mut missing = is_missing.iter();
        self.fitting.retain(|_| *missing.next().expect("one for each message"));
        let mut missing = is_missing.iter();
        self.sizes.retain(|_| *missing.next().expect("one for each message"));
        Ok(())
    }

    /// Finds what would become of the messages that are missing.
    async fn foresee(&mut self, target: &mut Target<'_>) -> Result<(), ClientError> {
        for messages in self.fitting.chunks(LOOK_UPS) {
            let ids: Vec<IdParams> =
                messages.iter().map(|message| IdParams { id: message.id.clone() }).collect();
            let stored = target.client.call_each::<Get>(&ids).await?;
            for (message, stored) in messages.iter().zip(stored) {
                let new = message.to_new();
                let is_elsewhere = match stored {
                    Ok(_) => true,
                    Err(error) if is(&error, ErrorKind::NotFound) => {
                        target.pictured(&self.session_id, &new) == Some(Pictured::Elsewhere)
                    }
                    Err(error) => return Err(error),
                };
                let id = if is_elsewhere {
                    let made = message.with_derived_id(&self.session_id, "taken");
                    if made.left_out.len() > message.left_out.len() {
                        tell_left_out(self.outcome, &made);
                    }
                    self.tally.add(TAKEN, message.place);
                    target.picture(&self.session_id, &made.to_new());
                    made.id
                } else {
                    target.picture(&self.session_id, &new);
                    message.id.clone()
                };
                self.outcome.messages.imported += 1;
                self.stored_as.insert(message.place, id);
            }
        }
        Ok(())
    }

    /// Appends the messages that are missing.
    pub(super) async fn append(&mut self, target: &mut Target<'_>) -> Result<(), ClientError> {
        for call in self.calls() {
            self.append_some(target, call).await?;
        }
        Ok(())
    }

    /// Appends some messages. A call that is refused is halved until the message is found that it is
    /// about.
    pub(super) async fn append_some(
        &mut self,
        target: &mut Target<'_>,
        call: Range<usize>,
    ) -> Result<(), ClientError> {
        // The last one is next, so that the order stays.
        let mut waiting = vec![call];
        while let Some(range) = waiting.pop() {
            let messages = &self.fitting[range.clone()];
            match append_call(target, &self.session_id, messages).await {
                Ok(imported) => self.appended(range, imported),
                Err(error) if !is_about_content(&error) => return Err(error),
                Err(_) if range.len() > 1 => {
                    let middle = range.start + range.len() / 2;
                    waiting.push(middle..range.end);
                    waiting.push(range.start..middle);
                }
                Err(error) if is(&error, ErrorKind::Conflict) => {
                    let message = &messages[0];
                    let (outcome, tally) = (&mut *self.outcome, &mut self.tally);
                    let id = settle(target, &self.session_id, message, outcome, tally).await?;
                    self.stored_as.extend(id.map(|id| (message.place, id)));
                }
                Err(error) => fail(self.outcome, &messages[0], &error.to_string()),
            }
        }
        Ok(())
    }
}

fn append_params(session_id: &SessionId, messages: &[PlannedMessage]) -> AppendManyParams {
    AppendManyParams {
        session_id: session_id.clone(),
        messages: messages.iter().map(PlannedMessage::to_new).collect(),
        expected_index: None,
    }
}

/// Returns the params of the first page of all that a session has.
pub(super) fn pages_of(session_id: &SessionId) -> history::PageParams {
    history::PageParams {
        session_id: session_id.clone(),
        order: history::Order::Oldest,
        limit: MAX_PAGE_ITEMS,
        cursor: None,
        include_compacted: true,
    }
}

/// True where an importer may have made the id, since another session had the message's own.
pub(super) fn has_made_id(metadata: Option<&JsonObject>) -> bool {
    metadata.is_some_and(|metadata| metadata.as_str().contains(r#""id":"taken""#))
}

/// Appends messages in one call, and returns how many were new.
///
/// Their images are put only where the daemon lacks one: what is stored already needs none.
pub(super) async fn append_call(
    target: &mut Target<'_>,
    session_id: &SessionId,
    messages: &[PlannedMessage],
) -> Result<u64, ClientError> {
    let params = append_params(session_id, messages);
    let appended = match target.client.call::<AppendMany>(&params).await {
        Err(error) if is_about_attachments(&error) => {
            target.put(messages.iter().flat_map(PlannedMessage::puts)).await?;
            target.client.call::<AppendMany>(&params).await?
        }
        answer => answer?,
    };
    Ok(count_created(&appended))
}

pub(super) fn count_created(appended: &Appended) -> u64 {
    appended.messages.iter().filter(|message| message.created).count() as u64
}

/// Records the edits of a session that are not recorded yet, each with the message it was made for.
async fn record(
    target: &mut Target<'_>,
    session_id: &SessionId,
    edits: Vec<PlannedEdit>,
    stored_as: &HashMap<usize, MessageId>,
    was_there: bool,
    outcome: &mut FileOutcome,
) -> Result<(), ClientError> {
    if edits.is_empty() {
        return Ok(());
    }
    let stored = if was_there { target.edits(session_id).await? } else { HashMap::new() };
    let mut missing = Vec::new();
    for PlannedEdit { place, mut record } in edits {
        let id = record.id.as_ref().expect("an import gives each edit its id");
        if stored.contains_key(id) || target.has_pictured_edit(id) {
            outcome.edits.already_there += 1;
        } else if let Some(message_id) = stored_as.get(&place) {
            record.message_id = Some(message_id.clone());
            missing.push(record);
        } else {
            outcome.edits.failed += 1;
            let problem = format!("edit {id} (messages[{place}]): its message is not stored");
            outcome.problems.push(problem);
        }
    }
    let recorded = target.record(&missing).await?;
    for (edit, recorded) in missing.iter().zip(recorded) {
        match recorded {
            Ok(()) => outcome.edits.imported += 1,
            Err(error) if is_about_content(&error) => {
                outcome.edits.failed += 1;
                let id = edit.id.as_ref().expect("an import gives each edit its id");
                outcome.problems.push(format!("edit {id}: {error}"));
            }
            Err(error) => return Err(error),
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
