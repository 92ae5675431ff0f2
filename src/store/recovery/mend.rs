//! Makes a salvaged database whole again: what refers to rows that are gone gets rows, or is let go, and
//! what counts rows counts them anew. What had to be made up is told.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::report::{Report, RowName};
use crate::error::Result;
use crate::model::{FeedId, Topic, time};
use crate::store::engine::{self, Connection, Value};
use crate::store::hidden::Hidden;
use crate::store::{WriteTx, changes};

/// What a session is called whose row is gone.
const RECOVERED: &str = "recovered";

const SESSIONS_WITHOUT_ROW: &str = "SELECT DISTINCT session_id FROM agent_messages
        WHERE session_id NOT IN (SELECT id FROM agent_sessions)
    UNION SELECT DISTINCT session_id FROM agent_edits
        WHERE session_id NOT IN (SELECT id FROM agent_sessions)
    UNION SELECT session_id FROM agent_session_texts
        WHERE session_id NOT IN (SELECT id FROM agent_sessions)";
const TIMES: &str =
    "SELECT MIN(created_at), MAX(created_at) FROM agent_messages WHERE session_id = ?1";
const ADD_SESSION: &str = "INSERT INTO agent_sessions
    (id, kind, created_at, updated_at, activity_at, first_message_at, last_message_at)
    VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6)";

const PROJECTS_WITHOUT_ROW: &str = "SELECT DISTINCT project_id FROM files
        WHERE project_id NOT IN (SELECT id FROM projects)
    UNION SELECT DISTINCT project_id FROM project_former_paths
        WHERE project_id NOT IN (SELECT id FROM projects)
    UNION SELECT DISTINCT project_id FROM agent_sessions
        WHERE project_id IS NOT NULL AND project_id NOT IN (SELECT id FROM projects)";
const PLACE: &str = "SELECT path, relative_path FROM files WHERE project_id = ?1 LIMIT 1";
const ADD_PROJECT: &str = "INSERT INTO projects (id, name, path, path_key, created_at, opened_at)
    VALUES (?1, ?2, ?3, ?3, ?4, ?4)";

const HEADS: &str = "SELECT id, next_index, hidden_ranges, compacted_ranges, edit_count
    FROM agent_sessions ORDER BY id";
const INDEXES: &str =
    "SELECT index_in_session FROM agent_messages WHERE session_id = ?1 ORDER BY index_in_session";
const EDITS: &str = "SELECT COUNT(*) FROM agent_edits WHERE session_id = ?1";
const SET_HEAD: &str = "UPDATE agent_sessions
    SET next_index = ?2, hidden_ranges = ?3, hidden_count = ?4, edit_count = ?5 WHERE id = ?1";

const MESSAGES_WITH_ATTACHMENTS: &str =
    "SELECT id, attachments FROM agent_messages WHERE attachments IS NOT NULL";
const REFERENCES: &str = "SELECT hash, message_id FROM message_attachments";
const DROP_REFERENCES: &str = "DELETE FROM message_attachments";
const REFER: &str = "INSERT OR IGNORE INTO message_attachments (hash, message_id) VALUES (?1, ?2)";
const DATA_WITHOUT_ROW: &str = "SELECT hash, LENGTH(data) FROM attachment_data
    WHERE hash NOT IN (SELECT hash FROM attachments)";
const ADD_ATTACHMENT: &str = "INSERT INTO attachments (hash, size, mime, created_at, put_at)
    VALUES (?1, ?2, 'application/octet-stream', ?3, ?3)";
const ROWS_WITHOUT_DATA: &str = "SELECT hash FROM attachments
    WHERE hash NOT IN (SELECT hash FROM attachment_data)";
const DROP_ATTACHMENT: &str = "DELETE FROM attachments WHERE hash = ?1";
const HASHES: &str = "SELECT hash FROM attachments";

const CLEAR_FEED: &str = "DELETE FROM changes";
const NAME_FEED: &str = "INSERT OR REPLACE INTO meta (key, value) VALUES ('feed_id', ?1)";

/// Mends a database of the current version, and starts its feed anew behind a change of this number.
pub(super) fn run(
    connection: &mut dyn Connection,
    last_seq: i64,
    name: &str,
    report: &mut Report,
) -> Result<()> {
    engine::run(connection, "BEGIN")?;
    add_projects(connection, report)?;
    add_sessions(connection, report)?;
    mend_sessions(connection, report)?;
    mend_attachments(connection, report)?;
    connection.execute(CLEAR_FEED, &[])?;
    connection.execute(NAME_FEED, &[FeedId::generate().as_str().into()])?;
    // A feed that begins in the middle has a row in front of its oldest change.
    let mut transaction = WriteTx::new(connection, Some((last_seq - 1).max(0)));
    for _ in 0..if last_seq > 0 { 2 } else { 1 } {
        transaction.changed(Topic::DatabaseRecovered, name, None, None)?;
    }
    engine::run(connection, "COMMIT")?;
    debug_assert!(changes::last_seq(connection)? > last_seq);
    Ok(())
}

fn texts(connection: &mut dyn Connection, sql: &'static str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    connection.query(sql, &[], &mut |row| {
        found.extend(row.optional_text()?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

fn add_projects(connection: &mut dyn Connection, report: &mut Report) -> Result<()> {
    for id in texts(connection, PROJECTS_WITHOUT_ROW)? {
        let mut place = None;
        connection.query(PLACE, &[(&id).into()], &mut |row| {
            let (path, below) = (row.text()?, row.text()?);
            place = path.strip_suffix(&below).map(|folder| folder.trim_end_matches('/').to_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        let path =
            place.filter(|path| !path.is_empty()).unwrap_or_else(|| format!("/{RECOVERED}/{id}"));
        let name = path.rsplit('/').next().unwrap_or(RECOVERED).to_owned();
        connection.execute(
            ADD_PROJECT,
            &[(&id).into(), (&name).into(), (&path).into(), time::now().into()],
        )?;
        report.made_up.push(format!("project {id}: its row was lost, and is {path} now"));
    }
    Ok(())
}

fn add_sessions(connection: &mut dyn Connection, report: &mut Report) -> Result<()> {
    for id in texts(connection, SESSIONS_WITHOUT_ROW)? {
        let (mut first, mut last) = (None, None);
        connection.query(TIMES, &[(&id).into()], &mut |row| {
            (first, last) = (row.optional_int()?, row.optional_int()?);
            Ok(ControlFlow::Continue(()))
        })?;
        let created_at = first.unwrap_or_else(time::now);
        connection.execute(
            ADD_SESSION,
            &[
                (&id).into(),
                RECOVERED.into(),
                created_at.into(),
                last.unwrap_or(created_at).into(),
                first.into(),
                last.into(),
            ],
        )?;
        report.made_up.push(format!(
            "session {id}: its row was lost; its messages and edits are in one of kind {RECOVERED}"
        ));
    }
    Ok(())
}

/// What a session's row says of its messages and edits.
struct Head {
    id: String,
    next_index: i64,
    hidden: Option<String>,
    compacted: Option<String>,
    edits: i64,
}

/// Indexes follow each other without a hole: what is missing among them is lost, and is hidden from now
/// on, so that counts and pages stay right.
fn mend_sessions(connection: &mut dyn Connection, report: &mut Report) -> Result<()> {
    let mut heads = Vec::new();
    connection.query(HEADS, &[], &mut |row| {
        heads.push(Head {
            id: row.text()?,
            next_index: row.int()?,
            hidden: row.optional_text()?,
            compacted: row.optional_text()?,
            edits: row.int()?,
        });
        Ok(ControlFlow::Continue(()))
    })?;
    for head in heads {
        let (mut next, mut missing) = (0, Vec::new());
        connection.query(INDEXES, &[(&head.id).into()], &mut |row| {
            let index = row.int()?;
            if index > next {
                missing.push((next, index));
            }
            next = index + 1;
            Ok(ControlFlow::Continue(()))
        })?;
        if head.next_index > next {
            missing.push((next, head.next_index));
        }
        let next_index = next.max(head.next_index);
        let mut edits = 0;
        connection.query(EDITS, &[(&head.id).into()], &mut |row| {
            edits = row.int()?;
            Ok(ControlFlow::Continue(()))
        })?;
        let mut hidden = Hidden::parse(head.hidden.as_deref()).unwrap_or_default();
        let compacted = Hidden::parse(head.compacted.as_deref()).unwrap_or_default();
        for (from, to) in &missing {
            name_lost(report, &head.id, *from, *to);
            (*from..*to).filter(|index| !compacted.contains(*index)).for_each(|index| {
                hidden.hide(index, index + 1);
            });
        }
        if missing.is_empty() && next_index == head.next_index && edits == head.edits {
            continue;
        }
        connection.execute(
            SET_HEAD,
            &[
                (&head.id).into(),
                next_index.into(),
                hidden.to_text().as_deref().into(),
                hidden.count().into(),
                edits.into(),
            ],
        )?;
    }
    Ok(())
}

/// Names the messages of some indexes as lost, but for those that an index has named.
fn name_lost(report: &mut Report, session: &str, from: i64, to: i64) {
    let lost = &mut report.table("agent_messages").lost;
    let known: BTreeSet<i64> = lost
        .iter()
        .filter(|name| name.get("session_id").and_then(|id| id.as_str()) == Some(session))
        .filter_map(|name| name.get("index_in_session")?.as_i64())
        .collect();
    for index in (from..to).filter(|index| !known.contains(index)) {
        lost.push(BTreeMap::from([
            ("session_id".to_owned(), session.into()),
            ("index_in_session".to_owned(), index.into()),
        ]));
    }
}

fn mend_attachments(connection: &mut dyn Connection, report: &mut Report) -> Result<()> {
    let mut without_row = Vec::new();
    connection.query(DATA_WITHOUT_ROW, &[], &mut |row| {
        without_row.push((row.text()?, row.int()?));
        Ok(ControlFlow::Continue(()))
    })?;
    for (hash, size) in without_row {
        connection.execute(ADD_ATTACHMENT, &[(&hash).into(), size.into(), time::now().into()])?;
        report.made_up.push(format!("attachment {hash}: its media type and name were lost"));
    }
    for hash in texts(connection, ROWS_WITHOUT_DATA)? {
        connection.execute(DROP_ATTACHMENT, &[(&hash).into()])?;
        report.made_up.push(format!("attachment {hash}: its bytes were lost, and so it is gone"));
        report.table("attachments").lost.push(attachment_name(&hash));
    }
    // What each message lists is in the message itself.
    let hashes: BTreeSet<String> = texts(connection, HASHES)?.into_iter().collect();
    let mut references: Vec<(String, String)> = Vec::new();
    connection.query(MESSAGES_WITH_ATTACHMENTS, &[], &mut |row| {
        let (id, listed) = (row.text()?, row.text()?);
        references.extend(hashes_in(&listed).map(|hash| (hash, id.clone())));
        Ok(ControlFlow::Continue(()))
    })?;
    let mut before = Vec::new();
    connection.query(REFERENCES, &[], &mut |row| {
        before.push((row.text()?, row.text()?));
        Ok(ControlFlow::Continue(()))
    })?;
    connection.execute(DROP_REFERENCES, &[])?;
    let mut gone = BTreeSet::new();
    for (hash, message) in &references {
        if hashes.contains(hash) {
            connection.execute(REFER, &[hash.into(), Value::Text(message)])?;
        } else {
            gone.insert(hash.clone());
        }
    }
    name_references(connection, before, report)?;
    let lost = &mut report.table("attachments").lost;
    for hash in gone {
        let name = attachment_name(&hash);
        if !lost.contains(&name) {
            lost.push(name);
        }
    }
    Ok(())
}

/// Names the references that were there and are not any more, since what they lead from or to is lost.
fn name_references(
    connection: &mut dyn Connection,
    before: Vec<(String, String)>,
    report: &mut Report,
) -> Result<()> {
    let mut now = BTreeSet::new();
    connection.query(REFERENCES, &[], &mut |row| {
        now.insert((row.text()?, row.text()?));
        Ok(ControlFlow::Continue(()))
    })?;
    let gone = before.into_iter().filter(|reference| !now.contains(reference));
    report.table("message_attachments").lost.extend(gone.map(|(hash, message)| {
        BTreeMap::from([
            ("hash".to_owned(), hash.into()),
            ("message_id".to_owned(), message.into()),
        ])
    }));
    Ok(())
}

fn attachment_name(hash: &str) -> RowName {
    BTreeMap::from([("hash".to_owned(), hash.into())])
}

/// Returns the hashes in what a message lists.
fn hashes_in(listed: &str) -> impl Iterator<Item = String> + use<> {
    let listed: Vec<serde_json::Value> = serde_json::from_str(listed).unwrap_or_default();
    listed.into_iter().filter_map(|attachment| Some(attachment.get("hash")?.as_str()?.to_owned()))
}
