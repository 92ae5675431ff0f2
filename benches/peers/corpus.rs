//! What is stored before anything is measured: the same sessions and messages on both sides.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::Request;
use crate::daemon::Daemon;

/// Bytes of a message's content.
pub(crate) const CONTENT_BYTES: usize = 800;

/// Time of the first session, in milliseconds.
const FIRST_SESSION_AT: i64 = 1_764_000_000_000;
/// Time between two sessions.
const BETWEEN_SESSIONS: i64 = 600_000;
/// Time between two messages.
const BETWEEN_MESSAGES: i64 = 1_000;
/// Sessions whose history is read: as many in either corpus, so that both have as much to cache.
const READ_SESSIONS: usize = 100;
/// Calls in flight while a corpus is stored.
const IN_FLIGHT: usize = 16;
/// Calls built at a time.
const CHUNK: usize = 200;

/// Sessions, the first of which hold messages.
pub(crate) struct Corpus {
    sessions: Vec<SessionSeed>,
    filled: usize,
    messages_each: usize,
}

/// One session's fields.
pub(crate) struct SessionSeed {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) created_at: i64,
}

impl SessionSeed {
    fn new(number: usize) -> Self {
        Self {
            id: Uuid::now_v7().to_string(),
            title: format!("Session {number}: why is the total wrong?"),
            created_at: FIRST_SESSION_AT + number as i64 * BETWEEN_SESSIONS,
        }
    }

    /// Returns the time of one of its messages.
    pub(crate) fn message_at(&self, index: usize) -> i64 {
        self.created_at + (index as i64 + 1) * BETWEEN_MESSAGES
    }
}

/// What every session of a corpus says of itself besides its title.
pub(crate) const KIND: &str = "chat";
pub(crate) const DESCRIPTION: &str = "The cart's total after the coupon is off by a cent";
pub(crate) const MODEL: &str = "gemini-flash-latest";

impl Corpus {
    /// Returns a corpus of so many sessions, the first `filled` of which hold messages.
    pub(crate) fn new(sessions: usize, filled: usize, messages_each: usize) -> Self {
        Self { sessions: (0..sessions).map(SessionSeed::new).collect(), filled, messages_each }
    }

    /// All sessions, oldest first.
    pub(crate) fn sessions(&self) -> &[SessionSeed] {
        &self.sessions
    }

    /// The sessions that hold messages.
    pub(crate) fn filled(&self) -> &[SessionSeed] {
        &self.sessions[..self.filled]
    }

    /// Messages of a session that holds any.
    pub(crate) fn messages_each(&self) -> usize {
        self.messages_each
    }

    /// Messages of all sessions.
    pub(crate) fn messages(&self) -> usize {
        self.filled * self.messages_each
    }

    /// The sessions whose history is read, spread evenly over those that hold messages.
    pub(crate) fn read_sessions(&self) -> Vec<&SessionSeed> {
        self.filled().iter().step_by((self.filled / READ_SESSIONS).max(1)).collect()
    }

    /// Starts the sessions on a daemon.
    pub(crate) fn start_sessions(&self, daemon: &Daemon) {
        let mut client = daemon.connect();
        for chunk in self.sessions.chunks(CHUNK) {
            let starts: Vec<Request> =
                (1..).zip(chunk).map(|(id, seed)| start_request(id, seed)).collect();
            client.pipeline(&starts, IN_FLIGHT);
        }
    }

    /// Stores the messages on a daemon, which makes up their ids.
    pub(crate) fn append_messages(&self, daemon: &Daemon) {
        let mut client = daemon.connect();
        for chunk in self.filled().chunks(CHUNK) {
            let appends: Vec<Request> =
                (1..).zip(chunk).map(|(id, seed)| self.append_many_request(id, seed)).collect();
            client.pipeline(&appends, IN_FLIGHT);
        }
    }

    fn append_many_request(&self, id: u64, seed: &SessionSeed) -> Request {
        let messages: Vec<Value> = (0..self.messages_each)
            .map(|index| {
                json!({
                    "role": role(index), "content": content(index), "created_at": seed.message_at(index),
                })
            })
            .collect();
        Request::new(
            id,
            "message.append_many",
            &json!({"session_id": seed.id, "messages": messages}),
        )
    }
}

fn start_request(id: u64, seed: &SessionSeed) -> Request {
    let params = json!({
        "id": seed.id, "kind": KIND, "title": seed.title, "description": DESCRIPTION, "model": MODEL,
        "created_at": seed.created_at,
    });
    Request::new(id, "session.start", &params)
}

/// Returns the role of a session's message.
pub(crate) fn role(index: usize) -> &'static str {
    if index.is_multiple_of(2) { "user" } else { "assistant" }
}

/// Returns the content of a message: lines of a reply, some of them code with quotes.
pub(crate) fn content(seed: usize) -> String {
    const LINES: [&str; 5] = [
        "Looking at cart.ts: the total is rounded before the coupon is applied, not after it.\n",
        "  const total = items.reduce((sum, item) => sum + item.price * item.count, 0);\n",
        "  if (coupon.kind === \"percent\") return Math.round(total * (1 - coupon.value));\n",
        "The test \"applies a coupon once\" passes with 10 % and fails with 12.5 %.\n",
        "Run `pnpm test cart` after the change; the snapshot needs no update.\n",
    ];
    let mut text = format!("{seed}. ");
    let mut lines = LINES.iter().cycle().skip(seed % LINES.len());
    while text.len() < CONTENT_BYTES {
        text.push_str(lines.next().expect("a cycle has no end"));
    }
    text.truncate(CONTENT_BYTES);
    text
}
