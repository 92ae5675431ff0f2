//! The replay of a long file's many edits.

use std::hint::black_box;
use std::path::Path;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::Request;
use crate::corpus;
use crate::daemon::Daemon;
use crate::measure::{self, Figure};
use crate::options::Options;
use crate::report::{Row, Target};

/// Lines of the file before the first edit.
const LINES: usize = 5_000;
const FILE: &str = "/home/me/shop/src/cart.rs";
/// Lines of context on each side, as git gives.
const CONTEXT: usize = 3;
/// Calls in flight while the edits are recorded.
const IN_FLIGHT: usize = 64;

/// The rows of this file.
pub(crate) const NAMES: [&str; 1] = ["edit_replay"];

/// Measures the replay on a database of its own.
pub(crate) fn run(options: &Options, folder: &Path, rows: &mut Vec<Row>) {
    let effort = options.effort();
    let daemon = Daemon::start(&folder.join("edits"));
    let mut client = daemon.connect();
    let session = Uuid::now_v7().to_string();
    let params = json!({"id": session, "kind": corpus::KIND});
    client.call(&Request::new(1, "session.start", &params));
    let mut lines: Vec<String> = (0..LINES).map(line).collect();
    let base = lines.concat();
    let edits: Vec<Request> = (0..effort.replayed_edits)
        .map(|number| {
            Request::new(2 + number as u64, "edit.record", &edit(&session, &mut lines, number))
        })
        .collect();
    client.pipeline(&edits, IN_FLIGHT);
    let replay = Request::new(1, "edit.replay", &json!({"file_path": FILE, "base": base}));
    let reply: Value = serde_json::from_slice(client.call(&replay)).expect("a reply is JSON");
    assert_eq!(
        reply["result"]["content"],
        lines.concat(),
        "the replay gives the file's last content"
    );
    let ours = measure::alone(options.rounds, || {
        Figure::milliseconds(measure::time_each(effort.replays, |_| {
            black_box(client.call(&replay));
        }))
    });
    daemon.stop();
    rows.push(Row {
        name: NAMES[0],
        what: format!("edit.replay of {} edits on a file of {LINES} lines", edits.len()),
        unit: "ms",
        ours,
        peer: None,
        target: Target::AtMost(100.0),
    });
}

fn line(number: usize) -> String {
    format!("    let total_{number} = prices.iter().sum::<u64>();\n")
}

/// Changes the file at a place far from the one before: takes a line out, puts one in, or both.
fn edit(session: &str, lines: &mut Vec<String>, number: usize) -> Value {
    let at = number * 7919 % lines.len();
    let taken = usize::from(number % 3 != 1);
    let put: Vec<String> = if number % 3 == 2 { Vec::new() } else { vec![line(LINES + number)] };
    let (from, to) = (at.saturating_sub(CONTEXT), (at + taken + CONTEXT).min(lines.len()));
    let (old, new) = (to - from, to - from - taken + put.len());
    let mut diff =
        format!("--- a/src/cart.rs\n+++ b/src/cart.rs\n@@ -{0},{old} +{0},{new} @@\n", from + 1);
    for (sign, lines) in [
        (' ', &lines[from..at]),
        ('-', &lines[at..at + taken]),
        ('+', &put),
        (' ', &lines[at + taken..to]),
    ] {
        lines.iter().for_each(|line| diff.extend([sign.to_string().as_str(), line]));
    }
    lines.splice(at..at + taken, put);
    json!({"session_id": session, "file_path": FILE, "kind": "replace", "diff": diff})
}
