//! `aetherd import` that is broken off at random points and run again: the store is as if it never was.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::ide::{IMAGE, message_json, session_json};
use crate::support::{Daemon, Home};

const SESSIONS: usize = 16;
/// How often each kind of import is broken off before it may end.
const BREAKS: usize = 3;

/// Writes a home whose sessions take several calls each, some with images and edits.
fn write_home(folder: &Path) {
    let sessions = folder.join("agent-sessions/_global");
    std::fs::create_dir_all(&sessions).expect("a folder");
    for number in 0..SESSIONS {
        let mut messages: Vec<String> = (0..number * 173 % 700 + 20)
            .map(|at| message_json(&format!("{number}-{at}"), &"x".repeat(at % 400)))
            .collect();
        messages.push(format!(
            r#"{{"id":"{number}-i","role":"user","content":"see","images":[{IMAGE}]}}"#
        ));
        let calls: Vec<Value> = (0..number * 7 % 30)
            .map(|at| {
                json!({"id": format!("c{at}"), "name": "create_file", "status": "success",
                    "arguments": {"path": format!("f{at}"), "content": "a\n"}, "result": {"success": true}})
            })
            .collect();
        let calls = Value::from(calls);
        messages.push(format!(
            r#"{{"id":"{number}-c","role":"assistant","content":"did","toolCalls":{calls}}}"#
        ));
        let file = sessions.join(format!("{number:02}.json"));
        std::fs::write(file, session_json(&format!("s{number}"), &messages)).expect("writes");
    }
    let settings: Vec<String> = (0..50).map(|at| format!(r#""k{at}":{at}"#)).collect();
    std::fs::write(folder.join("settings.json"), format!("{{{}}}", settings.join(",")))
        .expect("writes");
}

fn without(mut value: Value, names: &[&str]) -> Value {
    let object = value.as_object_mut().expect("an object");
    names.iter().for_each(|name| {
        object.remove(*name);
    });
    value
}

/// All that an import stores, but for the times at which it did.
fn stored(daemon: &Daemon) -> Vec<Value> {
    let mut client = daemon.client();
    let mut all = Vec::new();
    let mut pages = |method: &str, mut params: Value, items: &str| {
        let mut found: Vec<Value> = Vec::new();
        loop {
            let page = client.call(method, params.clone());
            found.extend(page[items].as_array().expect("a list").iter().cloned());
            if page["next_cursor"].is_null() {
                return found;
            }
            params["cursor"] = page["next_cursor"].clone();
        }
    };
    for number in 0..SESSIONS {
        let id = format!("s{number}");
        for message in pages("history.page", json!({"session_id": id, "limit": 1000}), "messages") {
            all.push(without(message, &["updated_at"]));
        }
        for edit in pages("edit.list", json!({"session_id": id, "limit": 1000}), "edits") {
            all.push(without(edit, &["created_at"]));
        }
    }
    for setting in pages("settings.list", json!({"limit": 1000}), "settings") {
        all.push(without(setting, &["updated_at"]));
    }
    for number in 0..SESSIONS {
        let session = client.call("session.get", json!({"id": format!("s{number}")}));
        all.push(without(session, &["updated_at"]));
    }
    all
}

fn import(home: &Home, folder: &Path) -> Command {
    let mut command = home.command();
    command.args(["--json", "import"]).arg(folder).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Starts an import and returns it once it has told of so many files.
fn import_until(home: &Home, folder: &Path, files: usize) -> Child {
    let mut child = import(home, folder).spawn().expect("the binary starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    for _ in 0..files {
        // It ends early where it is done, and where the daemon is gone.
        let Some(Ok(_)) = lines.next() else { break };
    }
    // The rest goes nowhere, and it must not wait for that to be read.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Break {
    Importer(Signal),
    Daemon,
    Alone,
}

#[test]
fn an_import_that_is_broken_off_and_run_again_stores_what_one_that_is_not_does() {
    let source = tempfile::tempdir().expect("a temporary folder");
    write_home(source.path());
    let whole = Home::new();
    let daemon = whole.start_with(&["--no-search"]);
    assert!(import(&whole, source.path()).output().expect("it runs").status.success());
    let expected = stored(&daemon);
    assert!(expected.len() > 3000, "{}", expected.len());
    let mut random = fastrand::Rng::with_seed(0xb4ea);
    let kinds =
        [Break::Importer(Signal::KILL), Break::Importer(Signal::INT), Break::Daemon, Break::Alone];
    for kind in kinds {
        let home = Home::new();
        for _ in 0..BREAKS {
            let mut daemon = (kind != Break::Alone).then(|| home.start_with(&["--no-search"]));
            let mut child = import_until(&home, source.path(), random.usize(0..SESSIONS));
            match (kind, &mut daemon) {
                (Break::Daemon, Some(daemon)) => daemon.kill(),
                (Break::Importer(signal), _) => {
                    kill_process(Pid::from_child(&child), signal).expect("it is our child");
                }
                _ => child.kill().expect("it is our child"),
            }
            let status = child.wait().expect("it is our child");
            assert!(!status.success() || kind != Break::Alone, "{kind:?}");
        }
        let daemon = home.start_with(&["--no-search"]);
        let last = import(&home, source.path()).output().expect("it runs");
        let told = String::from_utf8_lossy(&last.stdout);
        assert!(last.status.success(), "{kind:?}: {told}");
        let found = stored(&daemon);
        let differs = found.iter().zip(&expected).position(|(found, expected)| found != expected);
        let both = differs.map(|at| (&found[at], &expected[at]));
        assert_eq!((both, found.len()), (None, expected.len()), "{kind:?}");
    }
}
