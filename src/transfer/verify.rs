//! Compares what the IDE keeps in files with the store, field by field. Writes nothing.

use std::collections::HashMap;

use super::fields::{json_of, listed};
use super::message::PlannedMessage;
use super::plan::{self, Plan, PlannedFile, Projects};
use super::recover::PlannedEdit;
use super::send::{has_made_id, pages_of};
use super::session::SessionPlan;
use super::settings;
use super::target::{Target, is};
use super::verdict::{FileVerdict, Verdict, VerifyTotals, told};
use super::{ImportError, ImportOptions, Progress};
use crate::api::settings::Entry;
use crate::api::{ErrorKind, attachment};
use crate::client::{Client, ClientError};
use crate::model::{Edit, EditKind, Message, MessageId, ProjectId, Role, Session};

/// Compares homes, folders or files with the store, and tells of each file as soon as it is done.
///
/// Fails only where the daemon does. Not cancel safe: after a dropped call, connect anew.
pub async fn verify(
    client: &mut Client,
    options: &ImportOptions,
    progress: &mut dyn FnMut(Progress<'_, FileVerdict>),
) -> Result<VerifyTotals, ImportError> {
    let projects = Projects::list(client).await.map_err(ImportError::NotBegun)?;
    let sources = plan::sources(&options.paths, &projects);
    progress(Progress::Found(sources.len()));
    // As in a dry run, so that nothing can be written.
    let mut target = Target::open(client, true).await.map_err(ImportError::NotBegun)?;
    let mut totals = VerifyTotals::default();
    let mut files = plan::start(sources, projects);
    while let Some(file) = files.recv().await {
        let path = file.outcome.path.clone();
        let verdict = verify_file(&mut target, file)
            .await
            .map_err(|source| ImportError::Stopped { path, source })?;
        progress(Progress::Done(&verdict));
        totals.add(&verdict);
    }
    Ok(totals)
}

async fn verify_file(
    target: &mut Target<'_>,
    file: PlannedFile,
) -> Result<FileVerdict, ClientError> {
    let PlannedFile { outcome, plan, share: _share } = file;
    let mut verdict = FileVerdict::of(outcome);
    match plan {
        Plan::Nothing => return Ok(verdict),
        Plan::Settings { entries, project_id } => {
            of_settings(target, &entries, project_id.as_ref(), &mut verdict).await?;
        }
        Plan::Session(plan) => of_session(target, &plan, &mut verdict).await?,
    }
    if verdict.verdict == Verdict::Equal && !verdict.differences.is_empty() {
        verdict.verdict = Verdict::Differs;
    }
    Ok(verdict)
}

async fn of_settings(
    target: &mut Target<'_>,
    entries: &[Entry],
    project_id: Option<&ProjectId>,
    verdict: &mut FileVerdict,
) -> Result<(), ClientError> {
    let stored = target.settings(&settings::keys(entries, project_id)).await?;
    if !stored.is_empty() && stored.iter().all(Option::is_none) {
        verdict.miss("none of its settings is in the store".to_owned());
        return Ok(());
    }
    for (entry, stored) in entries.iter().zip(stored) {
        let of = || format!("setting {}", entry.key);
        let actual = stored.as_ref().map(|value| value.as_str());
        verdict.compare(of, "value", Some(entry.value.as_str()), actual);
    }
    Ok(())
}

async fn of_session(
    target: &mut Target<'_>,
    plan: &SessionPlan,
    verdict: &mut FileVerdict,
) -> Result<(), ClientError> {
    verdict.session_id = Some(plan.id.clone());
    let Some(stored) = target.session(&plan.id).await? else {
        verdict.miss(match target.has_in_trash(&plan.id) {
            true => format!("the session {} is in the trash", plan.id),
            false => format!("the session {} is not in the store", plan.id),
        });
        return Ok(());
    };
    verdict.compare_session(plan, &stored);
    if !plan.left_out.is_empty() {
        verdict.leave_out(format!("session: too large, left out: {}", listed(&plan.left_out)));
    }
    let stored_as = of_messages(target, plan, verdict).await?;
    let recorded = target.edits(&plan.id).await?;
    for edit in &plan.edits {
        let id = edit.record.id.as_ref().expect("an import gives each edit its id");
        let of = || format!("edit {id}");
        match recorded.get(id) {
            None => verdict.lack(of()),
            Some(stored) => verdict.compare_edit(of, edit, stored, stored_as.get(&edit.place)),
        }
    }
    Ok(())
}

/// Compares the messages, and returns the ids they are stored under, by their places in the file.
async fn of_messages(
    target: &mut Target<'_>,
    plan: &SessionPlan,
    verdict: &mut FileVerdict,
) -> Result<HashMap<usize, MessageId>, ClientError> {
    let made: Vec<PlannedMessage> =
        plan.messages.iter().map(|message| message.with_derived_id(&plan.id, "taken")).collect();
    let mut places: HashMap<&MessageId, &PlannedMessage> =
        made.iter().map(|message| (&message.id, message)).collect();
    places.extend(plan.messages.iter().map(|message| (&message.id, message)));
    let mut found: HashMap<usize, (MessageId, i64)> = HashMap::new();
    let mut others = 0;
    let mut params = pages_of(&plan.id);
    loop {
        let (messages, has_more) = match target.page(&mut params).await {
            Err(error) if is(&error, ErrorKind::NotFound) => break,
            page => page?,
        };
        for stored in messages {
            let planned = places.get(&stored.id).filter(|planned| {
                let is_own = plan.messages[planned.place].id == stored.id;
                is_own || has_made_id(stored.metadata.as_ref())
            });
            let Some(planned) = planned else {
                others += 1;
                continue;
            };
            found.insert(planned.place, (stored.id.clone(), stored.index_in_session));
            verdict.compare_message(planned, &stored);
            of_images(target, planned, &stored, verdict).await?;
        }
        if !has_more {
            break;
        }
    }
    let mut last = -1;
    for message in &plan.messages {
        let of = || told_message(message);
        match found.get(&message.place) {
            None => verdict.lack(of()),
            Some((_, index)) => {
                let expected = format!("above {last}");
                let actual = if *index > last { expected.clone() } else { index.to_string() };
                verdict.compare_shown(of, "index_in_session", Some(expected), Some(actual));
                last = last.max(*index);
            }
        }
        if !message.left_out.is_empty() {
            let left_out = listed(&message.left_out);
            verdict.leave_out(format!("{}: too large, left out: {left_out}", of()));
        }
    }
    if others > 0 {
        verdict.notes.push(format!("the session has {others} messages that the file has not"));
    }
    Ok(found.into_iter().map(|(place, (id, _))| (place, id)).collect())
}

/// Compares the bytes of the images that are attached as they should be.
async fn of_images(
    target: &mut Target<'_>,
    planned: &PlannedMessage,
    stored: &Message,
    verdict: &mut FileVerdict,
) -> Result<(), ClientError> {
    for image in planned.puts() {
        let hash = image.data.hash();
        if !stored.attachments.iter().any(|attachment| attachment.hash == *hash) {
            continue;
        }
        let params = attachment::HashParams { hash: hash.clone() };
        let of = || told_message(planned);
        let expected = Some(told(image.data.bytes()));
        let actual = match target.client.call::<attachment::Get>(&params).await {
            Ok(attachment) => Some(told(attachment.data.bytes())),
            Err(error @ ClientError::Rpc { .. }) => Some(error.to_string()),
            Err(error) => return Err(error),
        };
        verdict.compare_shown(of, "attachments", expected, actual);
    }
    Ok(())
}

impl FileVerdict {
    fn compare_session(&mut self, plan: &SessionPlan, stored: &Session) {
        let start = &plan.start;
        let of = || "session".to_owned();
        if let Some(project_id) = &start.project_id {
            let shown = |id: &ProjectId| Some(id.to_string());
            let actual = stored.project_id.as_ref().and_then(shown);
            self.compare_shown(of, "project_id", shown(project_id), actual);
        }
        self.compare(of, "kind", Some(&start.kind), Some(&stored.kind));
        for (field, expected, actual) in [
            ("title", &start.title, &stored.title),
            ("description", &start.description, &stored.description),
            ("model", &start.model, &stored.model),
            ("system_prompt", &start.system_prompt, &stored.system_prompt),
        ] {
            self.compare(of, field, expected.as_deref(), actual.as_deref());
        }
        let created_at = start.created_at.map(|time| time.to_string());
        self.compare_shown(of, "created_at", created_at, Some(stored.created_at.to_string()));
        self.compare_metadata(of, start.metadata.as_ref(), stored.metadata.as_ref());
    }

    fn compare_message(&mut self, planned: &PlannedMessage, stored: &Message) {
        let new = planned.to_new();
        let of = || told_message(planned);
        let role = |role: Role| Some(role.as_str().to_owned());
        self.compare_shown(of, "role", role(new.role), role(stored.role));
        self.compare(of, "content", Some(&new.content), Some(&stored.content));
        self.compare(of, "code_excerpt", None, stored.code_excerpt.as_deref());
        let created_at = new.created_at.map(|time| time.to_string());
        self.compare_shown(of, "created_at", created_at, Some(stored.created_at.to_string()));
        self.compare_metadata(of, new.metadata.as_ref(), stored.metadata.as_ref());
        let list = |each: Vec<(&str, Option<&String>, Option<&String>)>| {
            Some(json_of(&each)).filter(|_| !each.is_empty())
        };
        let flat = |name: &'_ Option<Option<String>>| name.clone().flatten();
        let names: Vec<Option<String>> =
            new.attachments.iter().map(|attachment| flat(&attachment.name)).collect();
        let expected = new.attachments.iter().zip(&names).map(|(attachment, name)| {
            (attachment.hash.as_str(), name.as_ref(), attachment.mime.as_ref())
        });
        let actual = stored.attachments.iter().map(|attachment| {
            (attachment.hash.as_str(), attachment.name.as_ref(), Some(&attachment.mime))
        });
        let (expected, actual) = (list(expected.collect()), list(actual.collect()));
        self.compare(of, "attachments", expected.as_deref(), actual.as_deref());
    }

    fn compare_edit(
        &mut self,
        of: impl Fn() -> String,
        planned: &PlannedEdit,
        stored: &Edit,
        message_id: Option<&MessageId>,
    ) {
        let record = &planned.record;
        let kind = |kind: EditKind| Some(kind.as_str().to_owned());
        self.compare_shown(&of, "kind", kind(record.kind), kind(stored.kind));
        let stored_for = stored.message_id.as_ref().map(ToString::to_string);
        self.compare_shown(&of, "message_id", message_id.map(ToString::to_string), stored_for);
        for (field, expected, actual) in [
            ("file_path", Some(&record.file_path), Some(&stored.file_path)),
            ("diff", Some(&record.diff), Some(&stored.diff)),
            ("before_hash", record.before_hash.as_ref(), stored.before_hash.as_ref()),
            ("after_hash", record.after_hash.as_ref(), stored.after_hash.as_ref()),
        ] {
            let (expected, actual) = (expected.map(String::as_str), actual.map(String::as_str));
            self.compare(&of, field, expected, actual);
        }
    }
}

fn told_message(message: &PlannedMessage) -> String {
    format!("message {} (messages[{}])", message.id, message.place)
}
