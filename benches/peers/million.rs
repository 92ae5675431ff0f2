//! A million messages in ten thousand sessions: what they cost to store, to read from, and to start on.

use crate::corpus::Corpus;
use crate::daemon::Daemon;
use crate::large::LargeHome;
use crate::measure::{self, Figure, in_turns};
use crate::options::Options;
use crate::reads::{RECENT, SmallHome, call_in_turn, recent_requests};
use crate::report::{Row, Target};

/// The rows of this file.
pub(crate) const NAMES: [&str; 5] =
    ["append_many", "memory_million", "history_million", "history_scattered", "start_million"];

/// Measures the large corpus; its history against that of the small one.
pub(crate) fn run(
    options: &Options,
    large: &LargeHome,
    daemon: Daemon,
    small: &SmallHome,
    rows: &mut Vec<Row>,
) {
    if options.wants(&["append_many"]) {
        rows.push(append_many(large));
    }
    if let Some(memory) = large.memory.filter(|_| options.wants(&["memory_million"])) {
        rows.push(memory_million(&large.corpus, memory));
    }
    if options.wants(&["history_million"]) {
        rows.push(history_million(options, small, &daemon, &large.corpus));
    }
    if options.wants(&["history_scattered"]) {
        rows.push(history_scattered(options, &daemon, &large.corpus));
    }
    daemon.stop();
    if options.wants(&["start_million"]) {
        rows.push(start_million(options, large));
    }
}

fn append_many(large: &LargeHome) -> Row {
    let messages = large.corpus.messages();
    Row {
        name: "append_many",
        what: format!(
            "message.append_many of {}, {messages} messages in all",
            large.corpus.messages_each(),
        ),
        unit: "/s",
        ours: Figure::of(messages as f64 / large.appended.as_secs_f64()),
        peer: None,
        target: Target::None,
    }
}

fn memory_million(corpus: &Corpus, memory: f64) -> Row {
    Row {
        name: "memory_million",
        what: format!("resident memory after {} appends", corpus.messages()),
        unit: "MiB",
        ours: Figure::of(memory),
        peer: None,
        target: Target::AtMost(100.0),
    }
}

/// The same number of sessions is read of either corpus, so that what is measured is their size.
fn history_million(options: &Options, small: &SmallHome, daemon: &Daemon, corpus: &Corpus) -> Row {
    let requests = recent_requests(&corpus.read_sessions());
    let small_requests = recent_requests(&small.corpus.read_sessions());
    let (mut client, mut small_client) = (daemon.connect(), small.daemon.connect());
    let count = options.effort().reads;
    let (ours, of_small) = in_turns(
        options.rounds,
        || call_in_turn(&mut client, &requests, count),
        || call_in_turn(&mut small_client, &small_requests, count),
    );
    Row {
        name: "history_million",
        what: format!(
            "history.recent of {RECENT} among {} messages (peer: among {})",
            corpus.messages(),
            small.corpus.messages()
        ),
        unit: "us",
        ours,
        peer: Some(of_small),
        target: Target::TimesThePeer(1.25),
    }
}

/// Each read is of another session, so that the daemon's page cache has none of them.
fn history_scattered(options: &Options, daemon: &Daemon, corpus: &Corpus) -> Row {
    let mut sessions: Vec<_> = corpus.filled().iter().collect();
    fastrand::Rng::with_seed(1).shuffle(&mut sessions);
    let requests = recent_requests(&sessions);
    let mut client = daemon.connect();
    let count = options.effort().reads;
    Row {
        name: "history_scattered",
        what: format!("the same, of a session not read before, of {}", sessions.len()),
        unit: "us",
        ours: measure::alone(options.rounds, || call_in_turn(&mut client, &requests, count)),
        peer: None,
        target: Target::None,
    }
}

fn start_million(options: &Options, large: &LargeHome) -> Row {
    let ours = measure::alone(options.rounds, || {
        let times = (0..options.effort().starts).map(|_| {
            let daemon = Daemon::start(&large.home);
            let first_answer = daemon.first_answer();
            daemon.stop();
            first_answer
        });
        Figure::milliseconds(times.collect())
    });
    Row {
        name: "start_million",
        what: format!("database of {} to first answer", large.size()),
        unit: "ms",
        ours,
        peer: None,
        target: Target::AtMost(150.0),
    }
}
