//! The export of a million messages, and its import into an empty home, by the commands of these names.

use std::path::Path;

use serde_json::{Value, json};

use crate::command;
use crate::daemon::Daemon;
use crate::large::LargeHome;
use crate::measure::{self, Figure};
use crate::options::Options;
use crate::report::{Row, Target};
use crate::search::wait_until_indexed;

/// The rows of this file.
pub(crate) const NAMES: [&str; 4] =
    ["export_million", "export_memory", "import_million", "import_export_memory"];

/// What either way may take, in times of the appends.
const TIMES_THE_APPENDS: f64 = 1.5;
/// The most memory that either way may take, in MiB, however much is stored.
const MEMORY: f64 = 95.0;

/// Measures both ways against the time in which the same messages were appended.
pub(crate) fn run(options: &Options, folder: &Path, large: &LargeHome, rows: &mut Vec<Row>) {
    let file = folder.join("large.jsonl");
    let digest = export(options, large, &file, rows);
    if options.wants(&NAMES[2..]) {
        import(options, folder, large, &file, &digest, rows);
    }
    std::fs::remove_file(&file).expect("the bench's folder is writable");
}

/// Exports while a daemon runs, as it does where the IDE is open, and returns the digest of what is stored.
fn export(options: &Options, large: &LargeHome, file: &Path, rows: &mut Vec<Row>) -> Value {
    let daemon = Daemon::start_undisturbed(&large.home);
    let mut client = daemon.connect();
    wait_until_indexed(&mut client);
    let mut peak: f64 = 0.0;
    let mut write = || {
        // Nothing may be there; of the last round there is.
        let _ = std::fs::remove_file(file);
        let arguments = ["export", "--format", "jsonl", "-o"].map(AsRef::as_ref);
        let done = command::run(&large.home, &[&arguments[..], &[file.as_ref()]].concat());
        peak = peak.max(done.peak);
        Figure::of(done.time.as_secs_f64())
    };
    if options.wants(&NAMES[..2]) {
        let ours = measure::alone(options.rounds, write);
        let megabytes = std::fs::metadata(file).expect("it is written").len() as f64 / 1e6;
        let what = format!(
            "aetherd export of {} messages ({megabytes:.0} MB) by a running daemon",
            large.corpus.messages()
        );
        push(options, rows, large, [NAMES[0], NAMES[1]], what, ours, {
            peak.max(daemon.peak_mib().unwrap_or_default())
        });
    } else {
        write();
    }
    let digest = client.ask("system.digest", &json!({}))["total"].take();
    daemon.stop();
    digest
}

/// Imports where no daemon runs, as on a new machine. The home must have the same digest then.
fn import(
    options: &Options,
    folder: &Path,
    large: &LargeHome,
    file: &Path,
    digest: &Value,
    rows: &mut Vec<Row>,
) {
    let home = folder.join("imported-export");
    let mut peak: f64 = 0.0;
    let ours = measure::alone(options.rounds, || {
        if home.exists() {
            std::fs::remove_dir_all(&home).expect("the bench's folder is writable");
        }
        let done = command::run(&home, &["import".as_ref(), file.as_ref()]);
        peak = peak.max(done.peak);
        Figure::of(done.time.as_secs_f64())
    });
    let daemon = Daemon::start_undisturbed(&home);
    let imported = daemon.connect().ask("system.digest", &json!({}))["total"].take();
    daemon.stop();
    assert!(digest.is_string() && *digest == imported, "{imported} is not as exported: {digest}");
    std::fs::remove_dir_all(&home).expect("the bench's folder is writable");
    let what =
        "aetherd import of that into an empty home, no daemon running (same digest)".to_owned();
    push(options, rows, large, [NAMES[2], NAMES[3]], what, ours, peak);
}

/// Adds the row of the time and that of the memory.
fn push(
    options: &Options,
    rows: &mut Vec<Row>,
    large: &LargeHome,
    [of_time, of_memory]: [&'static str; 2],
    what: String,
    ours: Figure,
    peak: f64,
) {
    if options.wants(&[of_time]) {
        rows.push(Row {
            name: of_time,
            what: format!("{what} (peer: appending them, once)"),
            unit: "s",
            ours,
            peer: Some(Figure::of(large.appended.as_secs_f64())),
            target: Target::TimesThePeer(TIMES_THE_APPENDS),
        });
    }
    if options.wants(&[of_memory]) && peak > 0.0 {
        rows.push(Row {
            name: of_memory,
            what: "most resident memory of any process of it".to_owned(),
            unit: "MiB",
            ours: Figure::of(peak),
            peer: None,
            target: Target::AtMost(MEMORY),
        });
    }
}
