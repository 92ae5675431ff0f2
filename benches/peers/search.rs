//! Search among a million messages: against FTS5 in the application, the lag, the rebuild, the memory.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::appends::{CLIENTS, at_one_time, requests};
use crate::client::{Client, Request};
use crate::corpus;
use crate::daemon::Daemon;
use crate::echo::Echo;
use crate::measure::{self, Figure, in_turns};
use crate::options::Options;
use crate::prose;
use crate::report::{Row, Target};

/// The rows of this file.
pub(crate) const NAMES: [&str; 4] =
    ["search_two_words", "search_lag", "search_rebuild", "search_resident"];

/// Messages of one call that stores them.
const CALL: usize = 500;
/// Hits of a page.
const HITS: usize = 20;
/// Time after which a daemon at rest has let go of what it does not need.
const REST: Duration = Duration::from_secs(20);
/// Time between two looks at the status.
const PAUSE: Duration = Duration::from_millis(5);

const FTS5: &str = "SELECT rowid, snippet(messages, 0, '[', ']', '…', 32) FROM messages
    WHERE messages MATCH ?1 ORDER BY rank LIMIT ?2";

/// Measures search on a database of its own.
pub(crate) fn run(options: &Options, folder: &Path, rows: &mut Vec<Row>) {
    let home = folder.join("search");
    let daemon = Daemon::start(&home);
    let peer = Connection::open(folder.join("fts5.db")).expect("the peer opens");
    peer.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;
        CREATE VIRTUAL TABLE messages USING fts5(content)",
    )
    .expect("SQLite has FTS5");
    let messages = options.effort().search_messages;
    store(&daemon, &peer, messages);
    if options.wants(&NAMES[..1]) {
        rows.push(two_words(options, &daemon, &peer, messages));
    }
    if options.wants(&NAMES[1..2]) {
        rows.push(lag(options, &daemon));
    }
    daemon.stop();
    if options.wants(&NAMES[2..]) {
        rebuild(options, &home, messages, rows);
    }
}

/// Stores the same messages on both sides.
fn store(daemon: &Daemon, peer: &Connection, messages: usize) {
    let mut random = fastrand::Rng::with_seed(11);
    let mut client = daemon.connect();
    let mut session = String::new();
    peer.execute_batch("BEGIN").expect("begins");
    let mut insert =
        peer.prepare("INSERT INTO messages (content) VALUES (?1)").expect("a statement");
    for call in 0..messages / CALL {
        if call % 2 == 0 {
            session = start_session(&mut client);
        }
        let contents: Vec<String> = (0..CALL).map(|_| prose::content(&mut random)).collect();
        let new: Vec<Value> = contents
            .iter()
            .map(|content| json!({"role": "assistant", "content": content}))
            .collect();
        let params = json!({"session_id": session, "messages": new});
        client.call(&Request::new(1, "message.append_many", &params));
        for content in &contents {
            insert.execute([content]).expect("is stored");
        }
    }
    peer.execute_batch("COMMIT; INSERT INTO messages (messages) VALUES ('optimize')")
        .expect("is stored");
    wait_until_indexed(&mut client);
}

fn start_session(client: &mut Client) -> String {
    let id = Uuid::now_v7().to_string();
    client.call(&Request::new(1, "session.start", &json!({"id": id, "kind": corpus::KIND})));
    id
}

fn status(client: &mut Client) -> Value {
    client.ask("system.status", &json!({}))["search"].take()
}

/// Waits until the index has all, and returns the greatest lag that was seen meanwhile.
pub(crate) fn wait_until_indexed(client: &mut Client) -> i64 {
    let mut greatest = 0;
    loop {
        let status = status(client);
        let lag = status["lag"].as_i64().expect("a number");
        greatest = greatest.max(lag);
        if status["state"] == "ready" && lag == 0 {
            return greatest;
        }
        std::thread::sleep(PAUSE);
    }
}

fn two_words(options: &Options, daemon: &Daemon, peer: &Connection, messages: usize) -> Row {
    let mut random = fastrand::Rng::with_seed(12);
    let queries: Vec<[String; 2]> = (0..200).map(|_| prose::two_words(&mut random)).collect();
    let requests: Vec<Request> = (1..)
        .zip(&queries)
        .map(|(id, words)| {
            Request::new(id, "history.search", &json!({"query": words.join(" "), "limit": HITS}))
        })
        .collect();
    let mut client = daemon.connect();
    let mut statement = peer.prepare(FTS5).expect("a statement");
    let mut echo = Echo::start(client.call(&requests[0]).to_vec());
    let count = options.effort().searches;
    let (ours, theirs) = in_turns(
        options.rounds,
        || {
            Figure::milliseconds(measure::time_each(count, |at| {
                black_box(client.call(&requests[at % requests.len()]));
            }))
        },
        || {
            Figure::milliseconds(measure::time_each(count, |at| {
                let words = &queries[at % queries.len()];
                echo.exchange(requests[at % requests.len()].line());
                let query = format!("\"{}\" \"{}\"", words[0], words[1]);
                let hits: Vec<(i64, String)> = statement
                    .query_map((query, HITS as i64), |row| Ok((row.get(0)?, row.get(1)?)))
                    .expect("is found")
                    .collect::<Result<_, _>>()
                    .expect("is read");
                black_box(hits);
            }))
        },
    );
    Row {
        name: NAMES[0],
        what: format!(
            "history.search of two words among {messages} messages (peer: echo + FTS5); p99 wanted <= 50 ms"
        ),
        unit: "ms",
        ours,
        peer: Some(theirs),
        target: Target::TimesThePeer(1.0),
    }
}

/// From the last answer of sixteen clients that appended to an index that has it all.
fn lag(options: &Options, daemon: &Daemon) -> Row {
    let count = options.effort().appends_of_each_client * 4;
    let mut clients: Vec<(Client, Vec<Request>)> = (0..CLIENTS)
        .map(|_| {
            let mut client = daemon.connect();
            let session = start_session(&mut client);
            (client, requests(&session, count))
        })
        .collect();
    let mut watcher = daemon.connect();
    let mut greatest = 0;
    let ours = measure::alone(options.rounds, || {
        at_one_time(&mut clients, count, |(client, requests)| {
            for request in requests.iter() {
                client.call(request);
            }
        });
        let ended = Instant::now();
        greatest = greatest.max(wait_until_indexed(&mut watcher));
        Figure::of(ended.elapsed().as_secs_f64() * 1000.0)
    });
    Row {
        name: NAMES[1],
        what: format!(
            "from the last of {} appends to the index having all (at their end it lacked {greatest})",
            CLIENTS * count
        ),
        unit: "ms",
        ours,
        peer: None,
        target: Target::AtMost(1000.0),
    }
}

/// The index is gone; the daemon serves while it builds another.
fn rebuild(options: &Options, home: &Path, messages: usize, rows: &mut Vec<Row>) {
    std::fs::remove_dir_all(home.join("search")).expect("there was an index");
    let started = Instant::now();
    let daemon = Daemon::start(home);
    let mut client = daemon.connect();
    let ping = Request::new(1, "system.ping", &json!({}));
    let mut slowest = Duration::ZERO;
    while status(&mut client)["state"] != "ready" {
        let asked = Instant::now();
        client.call(&ping);
        slowest = slowest.max(asked.elapsed());
        std::thread::sleep(PAUSE);
    }
    let seconds = started.elapsed().as_secs_f64();
    if options.wants(&NAMES[2..3]) {
        rows.push(Row {
            name: NAMES[2],
            what: format!(
                "rebuilding the index of {messages} messages (slowest ping meanwhile {:.1} ms)",
                slowest.as_secs_f64() * 1000.0
            ),
            unit: "s",
            ours: Figure::of(seconds),
            peer: None,
            target: Target::AtMost(180.0),
        });
    }
    std::thread::sleep(REST);
    if let Some(resident) = daemon.resident_mib().filter(|_| options.wants(&NAMES[3..])) {
        rows.push(Row {
            name: NAMES[3],
            what: format!("resident memory, idle after {messages} messages were indexed"),
            unit: "MiB",
            ours: Figure::of(resident),
            peer: None,
            target: Target::AtMost(76.3),
        });
    }
    daemon.stop();
}
