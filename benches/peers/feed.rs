//! The change feed: what it costs those who append, and how soon subscribers hear of a commit.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;

use crate::appends::{CLIENTS, at_one_time, requests};
use crate::client::{Client, Request};
use crate::corpus;
use crate::daemon::Daemon;
use crate::measure::{self, Figure, in_turns};
use crate::options::Options;
use crate::report::{Row, Target};

/// Subscribers that hear of each commit.
const SUBSCRIBERS: usize = 50;

/// The rows of this file.
pub(crate) const NAMES: [&str; 2] = ["append_clients_feed", "event_fanout"];

/// Measures the feed on databases of its own.
pub(crate) fn run(options: &Options, folder: &Path, rows: &mut Vec<Row>) {
    if options.wants(&NAMES[..1]) {
        rows.push(appends(options, folder));
    }
    if options.wants(&NAMES[1..]) {
        rows.push(fanout(options, folder));
    }
}

/// Sixteen clients, with the feed and the index at work and without.
fn appends(options: &Options, folder: &Path) -> Row {
    let count = options.effort().appends_of_each_client;
    let with = Daemon::start(&folder.join("with-feed"));
    let without = Daemon::start_without_feed(&folder.join("without-feed"));
    let side = |daemon: &Daemon| -> Vec<(Client, Vec<Request>)> {
        (0..CLIENTS)
            .map(|_| {
                let session = Uuid::now_v7().to_string();
                let mut client = daemon.connect();
                start_session(&mut client, &session);
                (client, requests(&session, count))
            })
            .collect()
    };
    let append = |clients: &mut Vec<(Client, Vec<Request>)>| {
        at_one_time(clients, count, |(client, requests)| {
            for request in requests.iter() {
                client.call(request);
            }
        })
    };
    let (mut of_with, mut of_without) = (side(&with), side(&without));
    let (ours, peer) =
        in_turns(options.rounds, || append(&mut of_with), || append(&mut of_without));
    with.stop();
    without.stop();
    Row {
        name: NAMES[0],
        what: format!("{CLIENTS} clients append, with feed and index (peer: without both)"),
        unit: "/s",
        ours,
        peer: Some(peer),
        target: Target::TimesThePeersRate(0.8),
    }
}

/// From the sending of an append to each subscriber's having its event: the commit is part of it.
fn fanout(options: &Options, folder: &Path) -> Row {
    let daemon = Daemon::start(&folder.join("fanout"));
    let session = Uuid::now_v7().to_string();
    let mut writer = daemon.connect();
    start_session(&mut writer, &session);
    let subscribe = Request::new(1, "events.subscribe", &json!({"topics": ["message.appended"]}));
    let mut subscribers: Vec<Client> = (0..SUBSCRIBERS)
        .map(|_| {
            let mut client = daemon.connect();
            client.call(&subscribe);
            client
        })
        .collect();
    let requests = requests(&session, options.effort().appends / 3);
    let ours = measure::alone(options.rounds, || {
        let mut times: Vec<Duration> = Vec::with_capacity(requests.len() * SUBSCRIBERS);
        for request in &requests {
            let sent = Instant::now();
            writer.call(request);
            for subscriber in &mut subscribers {
                subscriber.notified();
                times.push(sent.elapsed());
            }
        }
        Figure::milliseconds(times)
    });
    daemon.stop();
    Row {
        name: NAMES[1],
        what: format!("from an append (commit included) to its event at {SUBSCRIBERS} subscribers"),
        unit: "ms",
        ours,
        peer: None,
        target: Target::TailAtMost(5.0),
    }
}

fn start_session(client: &mut Client, session: &str) {
    let params = json!({"id": session, "kind": corpus::KIND});
    client.call(&Request::new(1, "session.start", &params));
}
