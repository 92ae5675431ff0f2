//! Stores several new sessions at once: their calls are in flight together, so that they share transactions.
//!
//! Each file's outcome is what it would be one by one. Files that have a session or a message's id in
//! common are not put together: which of them has it first would depend on what fails.

use std::collections::HashSet;

use super::message::PlannedMessage;
use super::outcome::FileOutcome;
use super::plan::{Plan, PlannedFile};
use super::send::{self, Work, count_created, is_about_content};
use super::session::SessionPlan;
use super::target::Target;
use crate::api::message::{AppendMany, AppendManyParams};
use crate::client::ClientError;
use crate::model::{MessageId, SessionId};

/// Files that are stored at once.
pub(super) const FILES: usize = 16;

/// What sets files of one batch apart.
#[derive(Default)]
pub(super) struct Ids {
    sessions: HashSet<SessionId>,
    messages: HashSet<MessageId>,
}

impl Ids {
    /// Adds those of a file, and returns true where it has none in common with those before.
    pub(super) fn add(&mut self, file: &PlannedFile) -> bool {
        let Plan::Session(plan) = &file.plan else { return false };
        let is_new = |message: &MessageId| !self.messages.contains(message);
        let is_apart = !self.sessions.contains(&plan.id)
            && plan.messages.iter().all(|message| is_new(&message.id));
        self.sessions.insert(plan.id.clone());
        self.messages.extend(plan.messages.iter().map(|message| message.id.clone()));
        is_apart
    }
}

/// Stores the sessions of a batch that are new in the store, and leaves the others to be stored one by
/// one; returns for each whether it is stored.
pub(super) async fn store_new(
    target: &mut Target<'_>,
    batch: &mut [(FileOutcome, Option<SessionPlan>)],
) -> Result<(), ClientError> {
    let ids: Vec<SessionId> =
        batch.iter().filter_map(|(_, plan)| plan.as_ref().map(|plan| plan.id.clone())).collect();
    let mut is_new = target.are_new(&ids).await?.into_iter();
    let mut fresh: Vec<(&mut FileOutcome, &mut Option<SessionPlan>)> = batch
        .iter_mut()
        .filter(|(_, plan)| {
            let fits = |plan: &SessionPlan| plan.excess().is_none();
            plan.as_ref().is_some_and(|plan| is_new.next().unwrap_or_default() && fits(plan))
        })
        .map(|(outcome, plan)| (outcome, plan))
        .collect();
    let starts = fresh.iter().filter_map(|(_, plan)| plan.as_ref().map(|plan| &plan.start));
    let started = target.start_each(starts).await?;
    let mut works = Vec::with_capacity(fresh.len());
    for ((outcome, plan), started) in fresh.drain(..).zip(started) {
        match started {
            Err(error) if !is_about_content(&error) => return Err(error),
            // What is the matter with it is found when it is stored by itself.
            Err(_) => {}
            Ok(()) => {
                let plan = plan.take().expect("those without were left out");
                send::begin(&plan, outcome);
                outcome.session_created = true;
                works.push(Work::new(plan, outcome));
            }
        }
    }
    let messages = works.iter().flat_map(|work| &work.fitting);
    target.put(messages.flat_map(PlannedMessage::puts)).await?;
    // The first call of each at once; what needs more of them, or is refused, goes on by itself.
    let first: Vec<Option<AppendManyParams>> = works
        .iter()
        .map(|work| work.calls().into_iter().next().map(|call| work.params(call)))
        .collect();
    let appended = target.client.call_each::<AppendMany>(first.iter().flatten()).await?;
    let mut appended = appended.into_iter();
    for mut work in works {
        for (at, call) in work.calls().into_iter().enumerate() {
            let answer = if at == 0 { appended.next() } else { None };
            match answer {
                Some(Ok(answer)) => work.appended(call, count_created(&answer)),
                Some(Err(error)) if !is_about_content(&error) => return Err(error),
                _ => work.append_some(target, call).await?,
            }
        }
        work.finish(target, false).await?;
    }
    Ok(())
}
