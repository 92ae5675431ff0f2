//! The lists of sessions, newest activity first: of all, of a project, of a kind, of both. Each is one of
//! three: of the usual sessions, of the archive or of the trash.
//!
//! Every append moves the session in each index that holds `activity_at`, which costs a page of
//! the log an index. So there are two of them, not one a list: by kind, and by project and kind. A
//! list of every kind is merged from the lists of each, and takes a few seeks a kind; there are
//! few kinds, since a kind says what a client uses a session for.
//!
//! The list of the sessions that came from one goes by their start, so that appends leave its index
//! alone.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use super::ReadTx;
use super::engine::{Row, Value};
use super::page::Page;
use super::sessions::{parent_id, project_id};
use super::shelf::Shelf;
use crate::api::Paged;
use crate::api::session::{ListParams, SessionPage};
use crate::error::{Error, Result};
use crate::model::{Cursor, Millis, ProjectId, SessionId, SessionSummary};

/// The statements of one list. Their parameters are the kind, the shelf, the project, the time and the
/// id that the page before ended with, and the limit.
struct List {
    /// The first kind not before the one given.
    kind: &'static str,
    /// The sessions of a kind.
    rows: Parts,
    /// Their keys alone.
    keys: Parts,
}

/// The statements that read a kind's part of a page.
struct Parts {
    /// On the first page. It has no condition on the key: none could let every time of an older
    /// file pass.
    first: [&'static str; 1],
    /// On a later one: the others of the time the page before ended with, then those of earlier
    /// times. With one condition, a row value too, Turso would read all of that time again.
    later: [&'static str; 2],
}

macro_rules! columns {
    () => {
        "id, project_id, kind, title, description, model, parent_id, forked_at_index,
            next_index - hidden_count - compacted_count, compacted_count, first_message_at,
            last_message_at, created_at, activity_at, archived_at, pinned_at, deleted_at"
    };
}

macro_rules! part {
    ($columns:expr, $project:literal, $key:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM agent_sessions WHERE shelf = ?2 AND kind = ?1",
            $project,
            $key,
            " ORDER BY activity_at DESC, id DESC LIMIT ?6",
        )
    };
}

macro_rules! parts {
    ($columns:expr, $project:literal) => {
        Parts {
            first: [part!($columns, $project, "")],
            later: [
                part!($columns, $project, " AND activity_at = ?4 AND id < ?5"),
                part!($columns, $project, " AND activity_at < ?4"),
            ],
        }
    };
}

macro_rules! list {
    ($project:literal) => {
        List {
            kind: concat!(
                "SELECT kind FROM agent_sessions WHERE shelf = ?2 AND kind >= ?1",
                $project,
                " ORDER BY kind LIMIT 1",
            ),
            rows: parts!(columns!(), $project),
            keys: parts!("activity_at, id", $project),
        }
    };
}

const OF_ALL: List = list!("");
const OF_PROJECT: List = list!(" AND project_id = ?3");
const OF_NO_PROJECT: List = list!(" AND project_id IS NULL");

macro_rules! children {
    ($key:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM agent_sessions WHERE parent_id = ?1 AND shelf = ?2",
            $key,
            " ORDER BY created_at DESC, id DESC LIMIT ?5",
        )
    };
}

/// The sessions that came from one. The parameters are that one, the shelf, the time and the id that
/// the page before ended with, and the limit.
const CHILDREN: Parts = Parts {
    first: [children!("")],
    later: [children!(" AND created_at = ?3 AND id < ?4"), children!(" AND created_at < ?3")],
};

impl Parts {
    /// Returns those of a first or of a later page.
    fn of(&'static self, after: &After) -> &'static [&'static str] {
        if after.is_none() { &self.first } else { &self.later }
    }
}

/// Bytes of texts that are read of a kind at a time, while a page is merged of several.
const CHUNK_BYTES: usize = 64 * 1024;

/// Returns a page of sessions.
pub fn list(tx: &mut ReadTx<'_>, params: &ListParams) -> Result<SessionPage> {
    let after = params.cursor.as_ref().map(Cursor::position);
    let shelf = match (params.deleted, params.archived) {
        (true, _) => Shelf::Trash,
        (false, true) => Shelf::Archive,
        (false, false) => Shelf::Usual,
    };
    let mut page = Page::new(params.limit);
    if let Some(parent_id) = &params.parent_id {
        let (created_at, id) = key(&after);
        for sql in CHILDREN.of(&after) {
            let values = vec![
                parent_id.as_str().into(),
                shelf.number().into(),
                created_at.into(),
                id.into(),
            ];
            page.fill(tx, sql, values, read_summary, size)?;
        }
    } else {
        fill(tx, params, shelf, after, &mut page)?;
    }
    let next_cursor = page.end().map(|last| {
        let is_of_parent = params.parent_id.is_some();
        let at = if is_of_parent { last.created_at } else { last.activity_at };
        Cursor::after(params.list(), at, last.id.as_str())
    });
    Ok(SessionPage { sessions: page.items, next_cursor })
}

/// Reads a page of the list by activity.
fn fill(
    tx: &mut ReadTx<'_>,
    params: &ListParams,
    shelf: Shelf,
    after: After,
    page: &mut Page<SessionSummary>,
) -> Result<()> {
    let (list, project_id) = match &params.project_id {
        None => (&OF_ALL, None),
        Some(None) => (&OF_NO_PROJECT, None),
        Some(Some(project_id)) => (&OF_PROJECT, Some(project_id)),
    };
    let query = Query { list, shelf, project_id, after };
    let kinds = match &params.kind {
        Some(kind) => vec![kind.clone()],
        None => query.kinds(tx)?,
    };
    match kinds.as_slice() {
        [kind] => query.fill(tx, kind, page),
        kinds => query.merge(tx, kinds, params.limit, page),
    }
}

/// Returns the time and the id behind which a list goes on.
fn key(after: &After) -> (Option<Millis>, Option<&str>) {
    after.as_ref().map(|(at, id)| (*at, id.as_str())).unzip()
}

/// Where a list goes on: behind this time and id, or at its start.
type After = Option<(Millis, String)>;

/// What of a list is asked.
struct Query<'a> {
    list: &'static List,
    shelf: Shelf,
    project_id: Option<&'a ProjectId>,
    after: After,
}

impl Query<'_> {
    /// Reads the sessions of one kind into a page.
    fn fill(&self, tx: &mut ReadTx<'_>, kind: &str, page: &mut Page<SessionSummary>) -> Result<()> {
        for sql in self.list.rows.of(&self.after) {
            page.fill(tx, sql, self.values(kind), read_summary, size)?;
        }
        Ok(())
    }

    /// Reads the sessions of several kinds into a page.
    fn merge(
        &self,
        tx: &mut ReadTx<'_>,
        kinds: &[String],
        limit: u32,
        page: &mut Page<SessionSummary>,
    ) -> Result<()> {
        let newest = self.newest(tx, kinds, limit as usize + 1)?;
        let part = KindPart { after: self.after.clone(), ..KindPart::default() };
        let mut parts = vec![part; kinds.len()];
        for at in &newest {
            parts[*at].wanted += 1;
        }
        for at in newest {
            let session = parts[at].next(tx, self, &kinds[at])?;
            let bytes = size(&session);
            if page.push(session, bytes)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Returns the parameters of a statement, all but the limit.
    fn values<'a>(&'a self, kind: &'a str) -> Vec<Value<'a>> {
        let (activity_at, id) = key(&self.after);
        let project_id = self.project_id.map(ProjectId::as_str);
        let shelf = self.shelf.number();
        vec![kind.into(), shelf.into(), project_id.into(), activity_at.into(), id.into()]
    }

    /// Returns the kinds that the list has.
    fn kinds(&self, tx: &mut ReadTx<'_>) -> Result<Vec<String>> {
        let mut kinds = Vec::new();
        let mut from = String::new();
        loop {
            let mut values = vec![Value::from(&from), self.shelf.number().into()];
            values.extend(self.project_id.map(|id| Value::from(id.as_str())));
            let Some(kind) = tx.first(self.list.kind, &values, Row::text)? else {
                return Ok(kinds);
            };
            // The first text behind a kind is that kind and a NUL.
            from = format!("{kind}\0");
            kinds.push(kind);
        }
    }

    /// Returns of which kind each of the newest sessions is, newest first, by the kinds' places.
    fn newest(&self, tx: &mut ReadTx<'_>, kinds: &[String], count: usize) -> Result<Vec<usize>> {
        let mut newest: BinaryHeap<Reverse<(Millis, String, usize)>> = BinaryHeap::new();
        for (at, kind) in kinds.iter().enumerate() {
            for sql in self.list.keys.of(&self.after) {
                let mut values = self.values(kind);
                values.push((count as i64).into());
                tx.each(sql, &values, |row| {
                    let key = (row.int()?, row.text()?, at);
                    if newest.len() == count {
                        // What follows is older still.
                        if newest.peek().is_some_and(|Reverse(oldest)| key < *oldest) {
                            return Ok(ControlFlow::Break(()));
                        }
                        newest.pop();
                    }
                    newest.push(Reverse(key));
                    Ok(ControlFlow::Continue(()))
                })?;
            }
        }
        // The heap's order is reversed: the newest comes first.
        Ok(newest.into_sorted_vec().into_iter().map(|Reverse((_, _, at))| at).collect())
    }
}

/// One kind's sessions while a page is merged, read a chunk at a time.
#[derive(Clone, Default)]
struct KindPart {
    wanted: u32,
    after: After,
    read: std::vec::IntoIter<SessionSummary>,
}

impl KindPart {
    fn next(
        &mut self,
        tx: &mut ReadTx<'_>,
        query: &Query<'_>,
        kind: &str,
    ) -> Result<SessionSummary> {
        if self.read.len() == 0 {
            let mut chunk = Page::with_text_budget(self.wanted, CHUNK_BYTES);
            let query = Query { after: self.after.take(), ..*query };
            query.fill(tx, kind, &mut chunk)?;
            self.wanted -= chunk.items.len() as u32;
            self.after =
                chunk.items.last().map(|last| (last.activity_at, last.id.as_str().to_owned()));
            self.read = chunk.items.into_iter();
        }
        // Both readings are of one snapshot.
        self.read.next().ok_or_else(|| Error::Internal("a listed session is gone".to_owned()))
    }
}

/// The bytes of a summary's texts.
fn size(session: &SessionSummary) -> usize {
    let optional = [&session.title, &session.description, &session.model];
    session.kind.len() + optional.into_iter().flatten().map(String::len).sum::<usize>()
}

fn read_summary(row: &mut Row) -> Result<SessionSummary> {
    Ok(SessionSummary {
        id: super::stored(SessionId::parse(row.text()?))?,
        project_id: project_id(row)?,
        kind: row.text()?,
        title: row.optional_text()?,
        description: row.optional_text()?,
        model: row.optional_text()?,
        parent_id: parent_id(row)?,
        forked_at_index: row.optional_int()?,
        message_count: row.int()?,
        compacted_count: row.int()?,
        first_message_at: row.optional_int()?,
        last_message_at: row.optional_int()?,
        created_at: row.int()?,
        activity_at: row.int()?,
        archived_at: row.optional_int()?,
        pinned_at: row.optional_int()?,
        deleted_at: row.optional_int()?,
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, StatementStatus, params};

    use super::*;
    use crate::config::EngineKind;
    use crate::store::{engine, migrations};

    fn statements(list: &List) -> Vec<&'static str> {
        let parts = [&list.rows, &list.keys];
        let parts = parts.iter().flat_map(|parts| parts.first.iter().chain(&parts.later));
        parts.copied().chain([list.kind]).collect()
    }

    /// A list that scans or sorts is slow only once there is much in it.
    #[test]
    fn every_statement_searches_its_index_on_both_engines() {
        for kind in [EngineKind::Turso, EngineKind::Sqlite] {
            let (_folder, mut connection) = migrations::new_database(kind);
            let children = [&CHILDREN.first[..], &CHILDREN.later].concat();
            for (statements, index) in [
                (statements(&OF_ALL), "idx_agent_sessions_shelf_kind_activity"),
                (statements(&OF_PROJECT), "idx_agent_sessions_shelf_project_kind_activity"),
                (statements(&OF_NO_PROJECT), "idx_agent_sessions_shelf_project_kind_activity"),
                (children, "idx_agent_sessions_parent_created"),
            ] {
                for sql in statements {
                    let plan = engine::query_plan(connection.as_mut(), sql);
                    let [step] = plan.as_slice() else { panic!("{kind:?}: {sql}: {plan:?}") };
                    let searches = step.starts_with("SEARCH agent_sessions USING ");
                    assert!(
                        searches && step.contains(&format!("{index} (")),
                        "{kind:?}: {sql}: {step}"
                    );
                }
            }
        }
    }

    /// Of 6,000 sessions: a third each is in the archive and the trash, one kind is rare, a thousand are
    /// of one time, and all but a few came from one.
    fn sessions() -> (tempfile::TempDir, Connection) {
        let (folder, _) = migrations::new_database(EngineKind::Sqlite);
        let connection = Connection::open(folder.path().join("x.db")).expect("a database");
        connection.execute_batch("BEGIN").expect("begins");
        for number in 0..6000_i64 {
            let project = (number % 4 > 0).then(|| format!("p{}", number % 4));
            let kind = if number % 1000 < 4 { "rare" } else { "chat" };
            let at = number.clamp(2000, 5000);
            let parent = (number % 500 > 0).then_some("p1");
            connection
                .execute(
                    "INSERT INTO agent_sessions
                        (id, project_id, kind, created_at, updated_at, activity_at, shelf, parent_id)
                    VALUES (?1, ?2, ?3, ?4, ?4, ?4, ?5, ?6)",
                    params![format!("{number:06}"), project, kind, at, number % 3, parent],
                )
                .expect("inserts");
        }
        connection.execute_batch("COMMIT").expect("commits");
        (folder, connection)
    }

    /// Runs a statement with these parameters, as many as it has, and returns its steps and rows.
    fn run(connection: &Connection, sql: &str, values: &[&dyn rusqlite::ToSql]) -> (i32, i32) {
        let mut statement = connection.prepare(sql).expect("a statement");
        for (number, value) in (1..=statement.parameter_count()).zip(values) {
            statement.raw_bind_parameter(number, value).expect("binds");
        }
        let mut rows = 0;
        let mut found = statement.raw_query();
        while found.next().expect("a row").is_some() {
            rows += 1;
        }
        drop(found);
        (statement.get_status(StatementStatus::VmStep), rows)
    }

    #[test]
    fn every_statement_reads_about_the_rows_it_returns() {
        let (_folder, connection) = sessions();
        let check = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
            let (steps, rows) = run(&connection, sql, values);
            assert!(steps < 50 * (rows + 1), "{steps} steps for {rows} rows: {sql}");
            rows
        };
        // In the middle, within the thousand of one time at the end, and at the start.
        let places = [(4000, "004000"), (5000, "005500"), (2000, "000001")];
        for (at, id) in places {
            for list in [&OF_ALL, &OF_PROJECT, &OF_NO_PROJECT] {
                for sql in statements(list) {
                    for kind in ["chat", "rare", "none"] {
                        check(sql, &[&kind, &0, &"p1", &at, &id, &51]);
                    }
                }
            }
            for sql in CHILDREN.first.iter().chain(&CHILDREN.later) {
                check(sql, &[&"p1", &1, &at, &id, &51]);
                assert_eq!(check(sql, &[&"none", &1, &at, &id, &51]), 0);
            }
        }
    }
}
