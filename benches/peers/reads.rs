//! Reads of a small corpus: the newest messages of a session, and the list of sessions.

use std::hint::black_box;
use std::path::Path;

use serde_json::{Value, json};

use crate::client::{Client, Request};
use crate::corpus::{Corpus, SessionSeed};
use crate::daemon::Daemon;
use crate::echo::Echo;
use crate::ide_files;
use crate::measure::{self, Figure, in_turns};
use crate::options::Options;
use crate::peer::Peer;
use crate::report::{Row, Target};

/// Messages of a model's next prompt.
pub(crate) const RECENT: usize = 20;
/// Sessions on the IDE's list.
const SHORT_LIST: usize = 50;

/// The rows of this file.
pub(crate) const NAMES: [&str; 4] =
    ["history_recent", "session_list", "list_or_files", "list_parsed_or_files"];

/// The small corpus on a daemon that runs.
pub(crate) struct SmallHome {
    pub(crate) daemon: Daemon,
    pub(crate) corpus: Corpus,
}

impl SmallHome {
    /// Stores the small corpus.
    pub(crate) fn create(options: &Options, folder: &Path) -> Self {
        let effort = options.effort();
        let corpus = Corpus::new(effort.sessions, effort.filled_sessions, effort.messages_each);
        let daemon = Daemon::start(&folder.join("small"));
        corpus.start_sessions(&daemon);
        corpus.append_messages(&daemon);
        Self { daemon, corpus }
    }
}

/// Measures the reads.
pub(crate) fn run(options: &Options, folder: &Path, small: &SmallHome, rows: &mut Vec<Row>) {
    let peer = Peer::create(&folder.join("reads.db"));
    peer.fill(&small.corpus);
    if options.wants(&["history_recent"]) {
        rows.push(history_recent(options, small, &peer));
    }
    if options.wants(&["session_list"]) {
        rows.push(session_list(options, small, &peer));
    }
    if options.wants(&["list_or_files", "list_parsed_or_files"]) {
        list_or_files(options, folder, small, rows);
    }
}

fn history_recent(options: &Options, small: &SmallHome, peer: &Peer) -> Row {
    let sessions = small.corpus.read_sessions();
    let requests = recent_requests(&sessions);
    let mut client = small.daemon.connect();
    let mut echo = Echo::start(client.call(&requests[0]).to_vec());
    let (ours, peer) = in_turns(
        options.rounds,
        || call_in_turn(&mut client, &requests, options.effort().reads),
        || {
            Figure::microseconds(measure::time_each(options.effort().reads, |at| {
                echo.exchange(requests[at % requests.len()].line());
                black_box(peer.recent(&sessions[at % sessions.len()].id, RECENT));
            }))
        },
    );
    Row {
        name: "history_recent",
        what: format!(
            "history.recent of {RECENT} among {} messages (peer: echo + query)",
            small.corpus.messages()
        ),
        unit: "us",
        ours,
        peer: Some(peer),
        target: Target::TimesThePeer(2.0),
    }
}

/// Returns a `history.recent` for each of these sessions.
pub(crate) fn recent_requests(sessions: &[&SessionSeed]) -> Vec<Request> {
    (1..)
        .zip(sessions)
        .map(|(id, session)| {
            let params = json!({"session_id": session.id, "limit": RECENT});
            Request::new(id, "history.recent", &params)
        })
        .collect()
}

/// Times calls that take one request after another, from the first again after the last.
pub(crate) fn call_in_turn(client: &mut Client, requests: &[Request], count: usize) -> Figure {
    Figure::microseconds(measure::time_each(count, |at| {
        black_box(client.call(&requests[at % requests.len()]));
    }))
}

fn session_list(options: &Options, small: &SmallHome, peer: &Peer) -> Row {
    let request = [Request::new(1, "session.list", &json!({"limit": SHORT_LIST}))];
    let mut client = small.daemon.connect();
    let mut echo = Echo::start(client.call(&request[0]).to_vec());
    let (ours, peer) = in_turns(
        options.rounds,
        || call_in_turn(&mut client, &request, options.effort().reads),
        || {
            Figure::microseconds(measure::time_each(options.effort().reads, |_| {
                echo.exchange(request[0].line());
                black_box(peer.list(SHORT_LIST));
            }))
        },
    );
    Row {
        name: "session_list",
        what: format!(
            "session.list of {SHORT_LIST} among {} sessions (peer: echo + query)",
            small.corpus.sessions().len()
        ),
        unit: "us",
        ours,
        peer: Some(peer),
        target: Target::TimesThePeer(3.0),
    }
}

/// Measures the list against the IDE's files, once as the other rows do and once with the reply parsed.
fn list_or_files(options: &Options, folder: &Path, small: &SmallHome, rows: &mut Vec<Row>) {
    let count = options.effort().session_files;
    let files = folder.join("agent-sessions");
    ide_files::write(&files, count);
    let request = Request::new(1, "session.list", &json!({"limit": count}));
    let mut client = small.daemon.connect();
    let mut measure = |name, what, parses: bool, target| {
        let (ours, peer) = in_turns(
            options.rounds,
            || {
                Figure::milliseconds(measure::time_each(options.effort().long_lists, |_| {
                    let reply = client.call(&request);
                    if parses {
                        let reply: Value = serde_json::from_slice(reply).expect("a reply is JSON");
                        black_box(reply);
                    }
                }))
            },
            || {
                Figure::milliseconds(measure::time_each(1, |_| {
                    black_box(ide_files::list(&files));
                }))
            },
        );
        rows.push(Row { name, what, unit: "ms", ours, peer: Some(peer), target });
    };
    let what =
        format!("session.list of {count} (peer: read, parse and sort {count} session files)");
    measure("list_or_files", what.clone(), false, Target::TimesFaster(50.0));
    measure("list_parsed_or_files", format!("{what}, our reply parsed too"), true, Target::None);
}
