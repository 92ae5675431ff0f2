//! Appends while retention removes half of what is stored, and the file behind that.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::daemon::Daemon;
use crate::large::LargeHome;
use crate::load::Load;
use crate::measure::Figure;
use crate::options::Options;
use crate::report::{Row, Target};
use crate::search::wait_until_indexed;

/// The rows of this file.
pub(crate) const NAMES: [&str; 2] = ["retention_load", "retention_file"];

/// Time between two looks at the status.
const PAUSE: Duration = Duration::from_millis(200);
/// Time after which what was not compacted will not be.
const PATIENCE: Duration = Duration::from_secs(1800);

/// How long the parts of it took.
struct Removed {
    /// Moving half of the sessions to the trash.
    moving: Duration,
    /// Purging them from there, which begins with a backup.
    purging: Duration,
    /// From there to the end of the compaction, the erasing included.
    compacting: Duration,
    /// What the compaction tells; `None` where it gave up beside the load.
    compacted: Option<Value>,
}

/// Measures the load during one removal, as there is one half to remove, and before it.
pub(crate) fn run(options: &Options, large: &LargeHome, rows: &mut Vec<Row>) {
    let (size, before) = (large.size(), large.bytes());
    let daemon = Daemon::start_undisturbed(&large.home);
    let mut client = daemon.connect();
    wait_until_indexed(&mut client);
    let mut load = Load::start(&daemon);
    let appends = options.effort().appends;
    load.append(appends);
    let without = Figure::microseconds(load.append(appends * usize::from(options.rounds)));
    let (removed, times) = load.append_during(|| remove(&daemon, &mut client, large));
    let slowest = times.iter().max().map_or(0.0, Duration::as_secs_f64);
    let count = times.len();
    let [moving, purging, compacting] =
        [removed.moving, removed.purging, removed.compacting].map(|time| time.as_secs_f64());
    let ended = match &removed.compacted {
        Some(compacted) => format!("for which writes waited {} ms", compacted["waited_ms"]),
        None => "which GAVE UP beside the appends".to_owned(),
    };
    if options.wants(&NAMES[..1]) {
        rows.push(Row {
            name: NAMES[0],
            what: format!(
                "one durable append after another, {count} in one run, while half of {size} goes: {moving:.1} s \
                to the trash, {purging:.1} s for a backup and off the trash, {compacting:.1} s to be erased and \
                compacted, {ended}; slowest {:.0} ms (peer: before)",
                slowest * 1000.0
            ),
            unit: "us",
            ours: Figure::microseconds(times),
            peer: Some(without),
            target: Target::TimesThePeersTail(3.0),
        });
    }
    if options.wants(&NAMES[1..]) {
        load.erase(&mut client);
        rows.push(Row {
            name: NAMES[1],
            what: "the database's file, compacted without the appends and what they stored (peer: before)"
                .to_owned(),
            unit: "MiB",
            ours: mebibytes(large.bytes()),
            peer: Some(mebibytes(before)),
            target: Target::TimesThePeer(0.6),
        });
    }
    daemon.stop();
}

/// Removes the half that was not active for longer, and waits until the file is compacted.
///
/// One run moves it to the trash, and the next one purges it from there. The daemon compacts by itself
/// behind that.
fn remove(daemon: &Daemon, client: &mut Client, large: &LargeHome) -> Removed {
    let half = large.corpus.sessions().len() / 2;
    let policy = json!({"max_sessions_per_project": half, "trash_days": 0, "keep_pinned": true});
    client.ask("retention.set", &policy);
    let before = last_compaction(client);
    let mut carry_out = |what: &str| {
        let started = Instant::now();
        let run = client.ask("retention.run", &json!({}));
        let gone = run[what].as_u64().expect("a run counts");
        assert!(gone >= half as u64, "{gone} sessions of {half} were {what}: {run}");
        started.elapsed()
    };
    let (moving, purging) = (carry_out("moved"), carry_out("purged"));
    let started = Instant::now();
    let unfinished = large.home.join("ide.db.compacting");
    let mut has_begun = false;
    let compacted = loop {
        let goes_on = unfinished.exists();
        let compacted = last_compaction(client);
        if compacted != before {
            break Some(compacted);
        }
        if has_begun && !goes_on {
            // It has ended. A write comes behind its note of that, where it made one.
            client.ask("retention.set", &policy);
            let compacted = last_compaction(client);
            break (compacted != before).then_some(compacted);
        }
        has_begun |= goes_on;
        assert!(started.elapsed() < PATIENCE, "nothing was compacted: {}", daemon.log());
        std::thread::sleep(PAUSE);
    };
    Removed { moving, purging, compacting: started.elapsed(), compacted }
}

fn last_compaction(client: &mut Client) -> Value {
    client.ask("system.status", &json!({}))["last_compaction"].take()
}

fn mebibytes(bytes: u64) -> Figure {
    Figure::of(bytes as f64 / f64::from(1 << 20))
}
