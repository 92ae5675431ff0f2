//! Durable appends: one after another, pipelined, and from many clients at one time.

use std::path::Path;

use serde_json::json;
use uuid::Uuid;

use crate::client::{Client, Request};
use crate::corpus;
use crate::daemon::Daemon;
use crate::echo::Echo;
use crate::measure::{self, Figure, in_turns};
use crate::options::Options;
use crate::peer::Peer;
use crate::report::{Row, Target};

/// Clients that append at one time.
pub(crate) const CLIENTS: usize = 16;
/// Appends in flight of the client that pipelines: as many as the daemon takes.
const IN_FLIGHT: usize = 64;

/// The rows of this file.
pub(crate) const NAMES: [&str; 4] =
    ["append_one", "append_one_echoed", "append_pipelined", "append_clients"];

/// Measures the appends on a database of their own.
pub(crate) fn run(options: &Options, folder: &Path, rows: &mut Vec<Row>) {
    let daemon = Daemon::start(&folder.join("appends"));
    let database = folder.join("appends.db");
    let peer = Peer::create(&database);
    let sessions: Vec<String> = (0..CLIENTS).map(|_| Uuid::now_v7().to_string()).collect();
    let mut client = daemon.connect();
    for id in &sessions {
        client.call(&Request::new(1, "session.start", &json!({"id": id, "kind": corpus::KIND})));
        peer.start_session(id);
    }
    if options.wants(&["append_one", "append_one_echoed"]) {
        one_after_another(options, &mut client, &peer, &sessions[0], rows);
    }
    if options.wants(&["append_pipelined"]) {
        rows.push(pipelined(options, &mut client, &peer, &sessions[0]));
    }
    if options.wants(&["append_clients"]) {
        rows.push(many_clients(options, &daemon, &database, &sessions));
    }
    daemon.stop();
}

/// Measures single appends against the peer's commit, and against what a commit in any other process costs.
fn one_after_another(
    options: &Options,
    client: &mut Client,
    peer: &Peer,
    session: &str,
    rows: &mut Vec<Row>,
) {
    let count = options.effort().appends;
    let requests = requests(session, count);
    let contents: Vec<String> = (0..count).map(corpus::content).collect();
    let mut echo = Echo::start(client.call(&requests[0]).to_vec());
    let mut measure = |name, what: &str, echoes: bool, target| {
        let (ours, peer) = in_turns(
            options.rounds,
            || {
                Figure::microseconds(measure::time_each(count, |at| {
                    client.call(&requests[at]);
                }))
            },
            || {
                Figure::microseconds(measure::time_each(count, |at| {
                    if echoes {
                        echo.exchange(requests[at].line());
                    }
                    peer.append(session, corpus::role(at), &contents[at]);
                }))
            },
        );
        rows.push(Row { name, what: what.to_owned(), unit: "us", ours, peer: Some(peer), target });
    };
    let what = "one client, one durable append after another";
    measure("append_one", what, false, Target::TimesThePeer(1.5));
    measure("append_one_echoed", "the same (peer: echo + its commit)", true, Target::None);
}

fn pipelined(options: &Options, client: &mut Client, peer: &Peer, session: &str) -> Row {
    let (count, peers_count) = (options.effort().pipelined_appends, options.effort().appends);
    let requests = requests(session, count);
    let contents: Vec<String> = (0..peers_count).map(corpus::content).collect();
    let (ours, peer) = in_turns(
        options.rounds,
        || measure::rate(count, || client.pipeline(&requests, IN_FLIGHT)),
        || {
            measure::rate(peers_count, || {
                for (at, content) in contents.iter().enumerate() {
                    peer.append(session, corpus::role(at), content);
                }
            })
        },
    );
    Row {
        name: "append_pipelined",
        what: format!("one client, {IN_FLIGHT} appends in flight"),
        unit: "/s",
        ours,
        peer: Some(peer),
        target: Target::TimesThePeersRate(4.0),
    }
}

fn many_clients(options: &Options, daemon: &Daemon, database: &Path, sessions: &[String]) -> Row {
    let count = options.effort().appends_of_each_client;
    let mut clients: Vec<(Client, Vec<Request>)> =
        sessions.iter().map(|session| (daemon.connect(), requests(session, count))).collect();
    let mut peers: Vec<(Peer, &String)> =
        sessions.iter().map(|session| (Peer::open(database), session)).collect();
    let contents: Vec<String> = (0..count).map(corpus::content).collect();
    let (ours, peer) = in_turns(
        options.rounds,
        || {
            at_one_time(&mut clients, count, |(client, requests)| {
                for request in requests.iter() {
                    client.call(request);
                }
            })
        },
        || {
            at_one_time(&mut peers, count, |(peer, session)| {
                for (at, content) in contents.iter().enumerate() {
                    peer.append(session, corpus::role(at), content);
                }
            })
        },
    );
    Row {
        name: "append_clients",
        what: format!(
            "{CLIENTS} clients (peer: threads, a connection each), one append in flight each"
        ),
        unit: "/s",
        ours,
        peer: Some(peer),
        target: Target::TimesThePeersRate(4.0),
    }
}

/// Returns how many appends a second these sides make together, each on a thread of its own.
pub(crate) fn at_one_time<T: Send>(
    sides: &mut [T],
    count_each: usize,
    work: impl Fn(&mut T) + Sync,
) -> Figure {
    measure::rate(sides.len() * count_each, || {
        std::thread::scope(|scope| {
            for side in sides {
                scope.spawn(|| work(side));
            }
        });
    })
}

/// Returns appends to a session.
pub(crate) fn requests(session: &str, count: usize) -> Vec<Request> {
    (0..count)
        .map(|at| {
            let params = json!({
                "session_id": session, "role": corpus::role(at), "content": corpus::content(at),
            });
            Request::new(at as u64 + 1, "message.append", &params)
        })
        .collect()
}
