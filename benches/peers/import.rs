//! The import of what the IDE keeps in files, by `aetherd import` alone and beside a daemon.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::command;
use crate::corpus;
use crate::daemon::Daemon;
use crate::measure::{self, Figure};
use crate::options::Options;
use crate::report::{Row, Target};

/// Bytes of a file, which is as the IDE writes it: indented.
const FILE_BYTES: usize = 200_000;

/// The rows of this file.
pub(crate) const NAMES: [&str; 3] = ["import_alone", "import_served", "import_memory"];

/// Measures imports of the same files into homes that are empty.
pub(crate) fn run(options: &Options, folder: &Path, rows: &mut Vec<Row>) {
    let files = folder.join("imported/agent-sessions/shop_1a2b3c");
    let count = options.effort().imported_files;
    let bytes = write(&files, count);
    let source = folder.join("imported");
    let mut homes = (0..).map(|number: usize| folder.join(format!("import-{number}")));
    let mut peak: f64 = 0.0;
    let megabytes = bytes as f64 / 1e6;
    let what = |how: &str| {
        format!("import of {count} session files of the IDE ({megabytes:.0} MB), {how}")
    };
    let alone = measure::alone(options.rounds, || {
        let home = homes.next().expect("there is always one more");
        let (time, most) = import(&home, &source);
        peak = peak.max(most);
        throw_away(&home);
        Figure::of(megabytes / time.as_secs_f64())
    });
    let served = measure::alone(options.rounds, || {
        let home = homes.next().expect("there is always one more");
        let daemon = Daemon::start(&home);
        let (time, most) = import(&home, &source);
        peak = peak.max(most).max(daemon.peak_mib().unwrap_or_default());
        daemon.stop();
        throw_away(&home);
        Figure::of(megabytes / time.as_secs_f64())
    });
    for (name, what, unit, ours, target) in [
        (NAMES[0], what("no daemon running"), "MB/s", alone, Target::AtLeast(50.0)),
        (NAMES[1], what("into a running daemon"), "MB/s", served, Target::AtLeast(50.0)),
        (
            NAMES[2],
            "most resident memory of any process of it".to_owned(),
            "MiB",
            Figure::of(peak),
            Target::AtMost(95.0),
        ),
    ] {
        rows.push(Row { name, what, unit, ours, peer: None, target });
    }
}

fn throw_away(home: &Path) {
    std::fs::remove_dir_all(home).expect("the bench's folder is writable");
}

/// Imports, and returns how long it took and the most memory it had, in MiB.
fn import(home: &Path, source: &Path) -> (Duration, f64) {
    let done = command::run(home, &["import".as_ref(), source.as_ref()]);
    (done.time, done.peak)
}

/// Writes the same session files each time, and returns their bytes.
fn write(folder: &Path, count: usize) -> usize {
    std::fs::create_dir_all(folder).expect("the bench's folder is writable");
    (0..count)
        .map(|number| {
            let text = session(number);
            let path: PathBuf = folder.join(format!("{number:05}.json"));
            std::fs::write(path, &text).expect("the bench's folder is writable");
            text.len()
        })
        .sum()
}

/// Returns a session whose bytes are, as in the files that the IDE leaves, mostly those of tool calls.
fn session(number: usize) -> String {
    let at = |index: usize| {
        format!("2025-11-{:02}T10:{:02}:{:02}.000Z", number % 28 + 1, index / 60 % 60, index % 60)
    };
    let mut messages = Vec::new();
    let mut bytes = 0;
    while bytes < FILE_BYTES {
        let index = messages.len();
        let mut message = json!({
            "id": format!("{number}-{index}"), "content": corpus::content(number * 31 + index),
            "role": if index % 2 == 0 { "user" } else { "assistant" }, "timestamp": at(index),
        });
        if index % 2 == 1 {
            message["toolCalls"] = tool_calls(number, index);
        }
        let text = serde_json::to_string_pretty(&message).expect("a value is JSON");
        // As deep in the file as it will be: four more spaces a line.
        bytes += text.len() + 4 * text.lines().count() + 2;
        messages.push(message);
    }
    let session = json!({
        "id": format!("imported-{number}"), "name": format!("Session {number}"), "model": corpus::MODEL,
        "systemPrompt": "You are Rainy, the coding agent of the IDE.", "messages": messages,
        "createdAt": at(0), "lastMessageAt": at(messages.len()),
    });
    serde_json::to_string_pretty(&session).expect("a value is JSON")
}

fn tool_calls(number: usize, index: usize) -> Value {
    let path = format!("src/file_{}.rs", index % 7);
    let code: Vec<String> = (0..30)
        .map(|line| format!("    let value_{line} = compute({number}, {index}, \"{line}\");"))
        .collect();
    let call = |kind: usize, name: &str, arguments: Value, result: Value| {
        json!({
            "id": format!("{number}-{index}-{kind}"), "name": name, "arguments": arguments,
            "status": "success", "result": result,
        })
    };
    json!([
        call(
            0,
            "read_file",
            json!({"path": path}),
            json!({"success": true, "content": code.join("\n")})
        ),
        call(
            1,
            "edit_file",
            json!({"path": path, "old_string": code[3], "new_string": format!("{}\n{}", code[3], code[4])}),
            json!({"success": true}),
        ),
    ])
}
