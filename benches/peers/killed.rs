//! A start behind a kill: the log has all that was written, and nothing has folded it into the file.

use std::fs::File;
use std::path::Path;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::Request;
use crate::corpus;
use crate::daemon::Daemon;
use crate::measure::{self, Figure};
use crate::options::Options;
use crate::report::{Row, Target};

/// The rows of this file.
pub(crate) const NAMES: [&str; 1] = ["start_killed"];

/// Bytes of the log that the start has to read, at least.
const LOG_BYTES: u64 = 64 << 20;
/// Bytes of appends behind which the log should have had as many.
const TOO_MANY_BYTES: usize = 1 << 30;
/// Messages of one call that stores them.
const CALL: usize = 500;
/// Digests that are asked for: each is a read of all that is stored, and while it goes on the log does not
/// begin anew. There are more than will be answered.
const DIGESTS: u64 = 1000;

/// Bytes of a log's header, and of a frame's (SQLite file format, sections 4.1 and 4.2).
const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;

/// Measures starts, each on a copy of the same home: a start that ends folds the log.
pub(crate) fn run(options: &Options, folder: &Path, rows: &mut Vec<Row>) {
    let killed = folder.join("killed");
    write_and_kill(&killed);
    let log = valid_bytes(&killed.join("ide.db-wal"));
    assert!(log >= LOG_BYTES, "the log has {log} bytes of one generation only");
    let copy = folder.join("killed-copy");
    let ours = measure::alone(options.rounds, || {
        let times = (0..options.effort().starts).map(|_| {
            copy_files(&killed, &copy);
            let daemon = Daemon::start(&copy);
            let first_answer = daemon.first_answer();
            daemon.kill();
            std::fs::remove_dir_all(&copy).expect("the bench's folder is writable");
            first_answer
        });
        Figure::milliseconds(times.collect())
    });
    rows.push(Row {
        name: NAMES[0],
        what: format!(
            "home of a killed daemon to first answer, {:.0} MiB in its log",
            log as f64 / f64::from(1 << 20)
        ),
        unit: "ms",
        ours,
        peer: None,
        target: Target::AtMost(1000.0),
    });
}

/// Has a daemon write until its log is long, and kills it.
fn write_and_kill(home: &Path) {
    let daemon = Daemon::start_undisturbed(home);
    let (mut client, mut reader) = (daemon.connect(), daemon.connect());
    let session = Uuid::now_v7().to_string();
    client.ask("session.start", &json!({"id": session, "kind": corpus::KIND}));
    let digests: Vec<Request> =
        (1..=DIGESTS).map(|id| Request::new(id, "system.digest", &json!({}))).collect();
    reader.leave(&digests);
    let messages: Vec<Value> = (0..CALL)
        .map(|at| json!({"role": corpus::role(at), "content": corpus::content(at)}))
        .collect();
    let append = Request::new(
        1,
        "message.append_many",
        &json!({"session_id": session, "messages": messages}),
    );
    let log = home.join("ide.db-wal");
    let mut bytes = 0;
    while std::fs::metadata(&log).map_or(0, |log| log.len()) < LOG_BYTES + LOG_BYTES / 64 {
        assert!(bytes < TOO_MANY_BYTES, "the log began anew before it was long");
        client.call(&append);
        bytes += append.line().len();
    }
    daemon.kill();
}

/// Returns the bytes of a log that belong to it: behind them may lie frames of one before.
fn valid_bytes(log: &Path) -> u64 {
    let log = std::fs::read(log).expect("there is a log");
    let page = u32::from_be_bytes(log[8..12].try_into().expect("four bytes")) as usize;
    let salts = &log[16..24];
    let frames = log[HEADER_BYTES..].chunks_exact(FRAME_HEADER_BYTES + page);
    let valid = frames.take_while(|frame| &frame[8..16] == salts).count();
    (valid * (FRAME_HEADER_BYTES + page)) as u64
}

/// Copies a home, all but its socket, and has it on the disk, so that the start does not wait for that.
fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the bench's folder is writable");
    let metadata = std::fs::metadata(from).expect("the home is there");
    std::fs::set_permissions(to, metadata.permissions()).expect("the folder is ours");
    for entry in std::fs::read_dir(from).expect("the home is there") {
        let entry = entry.expect("the home is there");
        let (kind, target) = (entry.file_type().expect("has a type"), to.join(entry.file_name()));
        if kind.is_dir() {
            copy_files(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), &target).expect("the bench's folder is writable");
            File::open(&target).and_then(|copy| copy.sync_all()).expect("is flushed");
        }
    }
}
