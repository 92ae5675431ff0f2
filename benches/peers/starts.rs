//! From the start of the process to its first answer, and the memory it then has.

use std::path::Path;

use crate::daemon::Daemon;
use crate::measure::{self, Figure};
use crate::options::Options;
use crate::report::{Row, Target};

/// The rows of this file.
pub(crate) const NAMES: [&str; 2] = ["start_empty", "memory_idle"];

/// Measures starts on homes that are empty.
pub(crate) fn run(options: &Options, folder: &Path, rows: &mut Vec<Row>) {
    let mut homes = (0..).map(|number: usize| folder.join(format!("empty-{number}")));
    let mut memory = Vec::new();
    let first_answer = measure::alone(options.rounds, || {
        let times = homes.by_ref().take(options.effort().starts).map(|home| {
            let daemon = Daemon::start(&home);
            memory.extend(daemon.resident_mib());
            let first_answer = daemon.first_answer();
            daemon.stop();
            first_answer
        });
        Figure::milliseconds(times.collect())
    });
    if options.wants(&["start_empty"]) {
        rows.push(Row {
            name: "start_empty",
            what: "empty home to first answer".to_owned(),
            unit: "ms",
            ours: first_answer,
            peer: None,
            target: Target::AtMost(60.0),
        });
    }
    if options.wants(&["memory_idle"]) && !memory.is_empty() {
        rows.push(Row {
            name: "memory_idle",
            what: "resident memory after the first answer".to_owned(),
            unit: "MiB",
            ours: Figure::of(measure::median(memory)),
            peer: None,
            target: Target::AtMost(30.0),
        });
    }
}
