//! Transcripts of sessions as Markdown, for people to read and to share.

use std::io::Write;
use std::ops::ControlFlow;

use serde_json::Value;

use super::new_file::NewFile;
use super::prose::{fenced, html, inline, quoted};
use super::selection::{Selection, project_id, session_id};
use crate::api::dump::ExportParams;
use crate::error::{Error, Result};
use crate::model::{JsonObject, Message, Millis, Role, Session};
use crate::store::engine::Row;
use crate::store::hidden::Hidden;
use crate::store::messages::{columns, read_message};
use crate::store::{ReadTx, projects, sessions};

const HIDDEN: &str = "SELECT hidden_ranges, compacted_ranges FROM agent_sessions WHERE id = ?1";
const SUMMARY: &str = "SELECT summary FROM agent_session_texts WHERE session_id = ?1";
const MESSAGES: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM agent_messages m WHERE m.session_id = ?1 ORDER BY m.index_in_session"
);

/// How much was written.
#[derive(Debug, Default)]
pub(super) struct Transcripts {
    pub(super) sessions: u64,
    pub(super) messages: u64,
}

/// Writes the sessions that were asked for, one behind the other.
pub(super) fn write(
    tx: &mut ReadTx<'_>,
    params: &ExportParams,
    file: &mut NewFile,
) -> Result<Transcripts> {
    let selection = match params.selection() {
        Some(selected) => Selection::resolve(tx, &selected, false)?,
        None => Selection::outside_trash(tx)?,
    };
    let mut written = Transcripts::default();
    for id in &selection.sessions {
        let found = sessions::find(tx, &session_id(id)?)?;
        let session = found.ok_or_else(|| Error::not_found("session", id))?.session;
        if written.sessions > 0 {
            file.write_all(b"\n---\n\n").map_err(|error| file.failed(&error))?;
        }
        written.messages += write_session(tx, &session, file)?;
        written.sessions += 1;
    }
    Ok(written)
}

fn write_session(tx: &mut ReadTx<'_>, session: &Session, file: &mut NewFile) -> Result<u64> {
    let id = session.id.as_str();
    let project = match &session.project_id {
        Some(id) => Some(project_id(id.as_str())?),
        None => None,
    };
    let project = project.and_then(|id| projects::get(tx, &id).ok()).map(|project| project.name);
    let (hidden, compacted) = tx
        .first(HIDDEN, &[id.into()], |row| {
            let hidden = Hidden::parse(row.optional_text()?.as_deref())?;
            Ok((hidden, Hidden::parse(row.optional_text()?.as_deref())?))
        })?
        .unwrap_or_default();
    let mut summary = tx.first(SUMMARY, &[id.into()], Row::optional_text)?.flatten();
    let put = |file: &mut NewFile, text: &str| {
        file.write_all(text.as_bytes()).map_err(|error| file.failed(&error))
    };
    put(file, &head(session, project.as_deref()))?;
    let mut count = 0;
    tx.each(MESSAGES, &[id.into()], |row| {
        let message = read_message(row)?;
        let index = message.index_in_session;
        // It stands where what it tells of was said.
        if compacted.contains(index)
            && let Some(text) = summary.take()
        {
            put(file, &format!("\n## Summary of earlier messages\n\n{}", quoted(&text)))?;
        }
        if !hidden.contains(index) && !compacted.contains(index) {
            put(file, &shown(&message))?;
            count += 1;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count)
}

fn head(session: &Session, project: Option<&str>) -> String {
    let title = session.title.as_deref().filter(|title| !title.trim().is_empty());
    let mut facts = vec![match session.last_message_at {
        Some(last) if last != session.created_at => {
            format!("{} to {}", moment(session.created_at), moment(last))
        }
        _ => moment(session.created_at),
    }];
    facts.extend(session.model.as_deref().map(|model| format!("model {}", inline(model))));
    facts.extend(project.map(|name| format!("project {}", inline(name))));
    let mut text =
        format!("# {}\n\n{}\n", inline(title.unwrap_or("Untitled session")), facts.join(" · "));
    if let Some(description) = session.description.as_deref().filter(|text| !text.is_empty()) {
        text.push('\n');
        text.push_str(&quoted(description));
    }
    text
}

fn moment(millis: Millis) -> String {
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| millis.to_string(), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

fn shown(message: &Message) -> String {
    let role = match message.role {
        Role::User => "User",
        Role::Assistant => "Assistant",
        Role::System => "System",
        Role::Tool => "Tool",
    };
    let mut text = format!("\n## {role}\n\n");
    if !message.content.is_empty() {
        text.push_str(&quoted(&message.content));
    }
    if let Some(code) = &message.code_excerpt {
        text.push('\n');
        text.push_str(&fenced(code, ""));
    }
    for call in tool_calls(message.metadata.as_ref()) {
        text.push('\n');
        text.push_str(&folded(&call));
    }
    if !message.attachments.is_empty() {
        text.push_str("\nAttachments:\n\n");
        for attachment in &message.attachments {
            let name = attachment.name.as_deref().unwrap_or("without a name");
            text.push_str(&format!(
                "- {} ({}, {} bytes)\n",
                inline(name),
                inline(&attachment.mime),
                attachment.size
            ));
        }
    }
    text
}

fn tool_calls(metadata: Option<&JsonObject>) -> Vec<Value> {
    let parsed = metadata.and_then(|object| serde_json::from_str::<Value>(object.as_str()).ok());
    match parsed.map(|mut value| value["toolCalls"].take()) {
        Some(Value::Array(calls)) => calls,
        _ => Vec::new(),
    }
}

/// Returns a tool call that is opened by a click, what it was given and what it gave.
fn folded(call: &Value) -> String {
    let name = call["name"].as_str().unwrap_or("without a name");
    let status = call["status"].as_str().map(|status| format!(" ({})", html(status)));
    let mut text = format!(
        "<details>\n<summary>Tool call: <code>{}</code>{}</summary>\n\n",
        html(name),
        status.unwrap_or_default()
    );
    for (member, word) in [("arguments", "Given"), ("result", "Result"), ("error", "Error")] {
        let Some(value) = call.get(member).filter(|value| !value.is_null()) else { continue };
        let block = match value {
            Value::String(value) => fenced(value, ""),
            value => fenced(&format!("{value:#}"), "json"),
        };
        text.push_str(&format!("{word}:\n\n{block}\n"));
    }
    text.push_str("</details>\n");
    text
}
