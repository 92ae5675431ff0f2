//! The peer: SQLite as an application would embed it, with the same tables and indexes.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use crate::corpus::{self, Corpus};

const TABLES: &str = include_str!("../../src/store/migrations/0001_foundation.sql");

/// Log, durability, cache and checks are the daemon's own.
const PRAGMAS: &str =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;
    PRAGMA foreign_keys = ON; PRAGMA cache_size = -8192;";

/// Time a connection waits for the others; none gives up within a bench.
const BUSY_TIMEOUT: Duration = Duration::from_secs(120);

const INSERT_SESSION: &str = "INSERT INTO agent_sessions
        (id, kind, title, description, model, created_at, updated_at, activity_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?6)";

const HEAD: &str = "SELECT next_index, first_message_at FROM agent_sessions
    WHERE id = ?1 AND deleted_at IS NULL";

const INSERT_MESSAGE: &str = "INSERT INTO agent_messages
        (id, session_id, role, index_in_session, content, code_excerpt, metadata, created_at)
    VALUES (?1, ?2, ?3, ?4, ?5, NULL, NULL, ?6)";

const APPENDED: &str = "UPDATE agent_sessions
    SET next_index = ?2, first_message_at = ?3, last_message_at = ?4, activity_at = ?4 WHERE id = ?1";

const RECENT: &str =
    "SELECT id, session_id, index_in_session, role, content, code_excerpt, metadata,
        created_at, updated_at
    FROM agent_messages WHERE session_id = ?1 ORDER BY index_in_session DESC LIMIT ?2";

const LIST: &str = "SELECT id, project_id, kind, title, description, model, parent_id,
        next_index - hidden_count, first_message_at, last_message_at, created_at, activity_at
    FROM agent_sessions WHERE deleted_at IS NULL AND kind = 'chat'
    ORDER BY activity_at DESC, id DESC LIMIT ?1";

/// A message, all its columns.
pub(crate) type Message =
    (String, String, i64, String, String, Option<String>, Option<String>, i64, Option<i64>);

/// A session, the columns of the list.
pub(crate) type Summary = (
    String,
    Option<String>,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    i64,
    Option<i64>,
    Option<i64>,
    i64,
    i64,
);

/// One connection to the peer's database.
pub(crate) struct Peer {
    connection: Connection,
}

impl Peer {
    /// Creates a database with the daemon's tables.
    pub(crate) fn create(database: &Path) -> Self {
        let peer = Self::open(database);
        peer.connection.execute_batch(TABLES).expect("the tables are new");
        peer
    }

    /// Opens another connection.
    pub(crate) fn open(database: &Path) -> Self {
        let connection = Connection::open(database).expect("the bench's folder is writable");
        connection.busy_timeout(BUSY_TIMEOUT).expect("a connection takes a timeout");
        connection.execute_batch(PRAGMAS).expect("SQLite knows these pragmas");
        Self { connection }
    }

    /// Stores a corpus.
    pub(crate) fn fill(&self, corpus: &Corpus) {
        self.execute("BEGIN IMMEDIATE");
        for seed in corpus.sessions() {
            self.insert_session(&seed.id, &seed.title, seed.created_at);
        }
        for seed in corpus.filled() {
            for index in 0..corpus.messages_each() {
                self.insert(
                    &seed.id,
                    corpus::role(index),
                    &corpus::content(index),
                    seed.message_at(index),
                );
            }
        }
        self.execute("COMMIT");
    }

    /// Starts a session.
    pub(crate) fn start_session(&self, id: &str) {
        self.insert_session(id, "Appends", now());
    }

    fn insert_session(&self, id: &str, title: &str, created_at: i64) {
        let row = params![id, corpus::KIND, title, corpus::DESCRIPTION, corpus::MODEL, created_at];
        let mut statement =
            self.connection.prepare_cached(INSERT_SESSION).expect("the table is there");
        statement.execute(row).expect("the id is new");
    }

    /// Appends one message in a transaction of its own, on the disk when this returns.
    pub(crate) fn append(&self, session_id: &str, role: &str, content: &str) {
        self.execute("BEGIN IMMEDIATE");
        self.insert(session_id, role, content, now());
        self.execute("COMMIT");
    }

    fn insert(&self, session_id: &str, role: &str, content: &str, created_at: i64) {
        let mut head = self.connection.prepare_cached(HEAD).expect("the table is there");
        let (index, first_at): (i64, Option<i64>) = head
            .query_row([session_id], |row| <(i64, Option<i64>)>::try_from(row))
            .expect("the session is there");
        let id = Uuid::now_v7().to_string();
        let mut insert =
            self.connection.prepare_cached(INSERT_MESSAGE).expect("the table is there");
        insert
            .execute(params![id, session_id, role, index, content, created_at])
            .expect("the id is new");
        let mut appended = self.connection.prepare_cached(APPENDED).expect("the table is there");
        let first_at = first_at.unwrap_or(created_at);
        appended
            .execute(params![session_id, index + 1, first_at, created_at])
            .expect("the session is there");
    }

    /// Returns a session's newest messages, oldest first.
    pub(crate) fn recent(&self, session_id: &str, limit: usize) -> Vec<Message> {
        let mut statement = self.connection.prepare_cached(RECENT).expect("the table is there");
        let rows = statement
            .query_map(params![session_id, limit as i64], |row: &Row<'_>| Message::try_from(row))
            .expect("the query runs");
        let mut messages: Vec<Message> = rows.map(|row| row.expect("a row is as stored")).collect();
        messages.reverse();
        messages
    }

    /// Returns the sessions of newest activity.
    pub(crate) fn list(&self, limit: usize) -> Vec<Summary> {
        let mut statement = self.connection.prepare_cached(LIST).expect("the table is there");
        let rows = statement
            .query_map([limit as i64], |row: &Row<'_>| Summary::try_from(row))
            .expect("the query runs");
        rows.map(|row| row.expect("a row is as stored")).collect()
    }

    fn execute(&self, sql: &str) {
        let mut statement =
            self.connection.prepare_cached(sql).expect("SQLite knows the statement");
        statement.execute([]).expect("no other connection holds the lock for minutes");
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    i64::try_from(since.as_millis()).expect("milliseconds fit for ages")
}
