//! Starts a planned session, or finds it and tells in what it is another by now.

use super::outcome::{Disposition, FileOutcome};
use super::send::is_about_content;
use super::session::SessionPlan;
use super::target::{Target, is};
use crate::api::ErrorKind;
use crate::client::ClientError;
use crate::model::Session;

/// Makes sure that the session exists, and returns whether it did; `None` where its messages cannot be
/// stored, as the outcome then tells.
pub(super) async fn start(
    target: &mut Target<'_>,
    plan: &SessionPlan,
    outcome: &mut FileOutcome,
) -> Result<Option<bool>, ClientError> {
    if target.has_in_trash(&plan.id) {
        skip(outcome);
        return Ok(None);
    }
    if let Some(stored) = target.session(&plan.id).await? {
        let stored = put_into_project(target, stored, plan, outcome).await?;
        outcome.notes.extend(kept_fields(&stored, plan));
        return Ok(Some(true));
    }
    if let Some(reason) = plan.excess() {
        refuse(outcome, plan, &reason);
        return Ok(None);
    }
    match target.start(&plan.start).await {
        Ok(()) => {
            outcome.session_created = true;
            Ok(Some(false))
        }
        // It went to the trash meanwhile: it is in no list and yet its id is in use.
        Err(error) if is(&error, ErrorKind::Conflict) => {
            skip(outcome);
            Ok(None)
        }
        Err(error) if is_about_content(&error) => {
            refuse(outcome, plan, &error.to_string());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn skip(outcome: &mut FileOutcome) {
    outcome.messages.skipped = outcome.messages.found;
    outcome.edits.skipped = outcome.edits.found;
    outcome
        .refuse(Disposition::Skipped, "holds a session that is in the trash; it was not revived");
}

fn refuse(outcome: &mut FileOutcome, plan: &SessionPlan, reason: &str) {
    outcome.messages.failed = outcome.messages.found;
    outcome.edits.failed = outcome.edits.found;
    outcome.problems.push(format!("session {}: {reason}", plan.id));
}

/// Puts a session into its project where it is in none: the project was opened after the import.
async fn put_into_project(
    target: &mut Target<'_>,
    stored: Session,
    plan: &SessionPlan,
    outcome: &mut FileOutcome,
) -> Result<Session, ClientError> {
    let Some(project_id) = plan.start.project_id.as_ref().filter(|_| stored.project_id.is_none())
    else {
        return Ok(stored);
    };
    match target.put_into_project(&stored, project_id).await {
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
