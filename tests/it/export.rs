//! Exports and imports by a daemon: under load, killed, with the largest records, and by the command line.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use aetherd::model::limits::MAX_CONTENT_BYTES;
use serde_json::{Value, json};

use crate::support::dumps::{export, lines_of};
use crate::support::random_store::fill;
use crate::support::{ENGINES, Home, error_kind, open_store, request, runtime};

fn total(client: &mut crate::support::LineClient) -> Value {
    client.call("system.digest", json!({}))["total"].clone()
}

fn digest_of(home: &Home) -> Value {
    let daemon = home.start();
    total(&mut daemon.client())
}

#[test]
fn an_import_that_was_killed_goes_on_where_it_was() {
    for (seed, engine) in (40..).zip(ENGINES) {
        let (home, other) = (Home::new(), Home::new());
        let path = home.path().join("all.jsonl");
        let wanted = runtime().block_on(async {
            let store = open_store(&home, engine);
            fill(&store, &mut fastrand::Rng::with_seed(seed), 2000).await;
            let exported = export(&store, &path, json!({})).await.expect("exports");
            store.close().await.expect("closed");
            exported.digest.expect("all is exported")
        });
        let records = lines_of(&path).len() as u64;
        assert!(records > 300, "{records}");
        let mut random = fastrand::Rng::with_seed(seed);
        let params = json!({"path": path});
        let mut kills = 0;
        for _ in 0..8 {
            let mut daemon = other.start_with(&["--engine", engine_name(engine)]);
            let mut follower = daemon.client();
            follower.call("events.subscribe", json!({}));
            let mut client = daemon.client();
            client.send(&request(1, "system.import", &params));
            // Killed behind so many changes, at a point that differs from round to round.
            for _ in 0..random.u64(1..records / 6) {
                if follower.receive()["params"]["event"]["topic"] == "edit.recorded" {
                    break;
                }
            }
            daemon.kill();
            kills += 1;
            let daemon = other.start_with(&["--engine", engine_name(engine)]);
            let mut client = daemon.client();
            assert_eq!(client.call("system.check", json!({}))["ok"], true);
            if total(&mut client) == json!(wanted) {
                break;
            }
        }
        assert!(kills > 2, "the kills came too late to hit anything");
        let daemon = other.start_with(&["--engine", engine_name(engine)]);
        let mut client = daemon.client();
        let imported = client.call("system.import", params);
        assert_eq!(imported["problems"], json!([]));
        assert_eq!((&imported["is_whole"], &imported["digest"]), (&json!(true), &json!(wanted)));
        assert_eq!(total(&mut client), json!(wanted), "{engine:?}");
    }
}

fn engine_name(engine: aetherd::config::EngineKind) -> &'static str {
    match engine {
        aetherd::config::EngineKind::Turso => "turso",
        aetherd::config::EngineKind::Sqlite => "sqlite",
    }
}

#[test]
fn an_export_under_load_is_of_one_moment() {
    const CLIENTS: u8 = 4;
    let home = Home::new();
    let daemon = home.start();
    for client in 0..CLIENTS {
        daemon.client().call("session.start", json!({"id": format!("s{client}"), "kind": "chat"}));
    }
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (mut connection, is_over) = (daemon.client(), &is_over);
            scope.spawn(move || {
                let messages: Vec<Value> =
                    (0..7).map(|_| json!({"role": "user", "content": "said"})).collect();
                let params = json!({"session_id": format!("s{client}"), "messages": messages});
                while !is_over.load(Ordering::Relaxed) {
                    connection.call("message.append_many", params.clone());
                }
            });
        }
        let mut client = daemon.client();
        let mut before = 0;
        for round in 0..6 {
            let path = home.path().join(format!("{round}.jsonl"));
            let exported = client.call("system.export", json!({"path": path}));
            let lines = lines_of(&path);
            let mut indexes: BTreeMap<String, Vec<i64>> = BTreeMap::new();
            for line in lines.iter().filter(|line| line["type"] == "message") {
                let index = line["index_in_session"].as_i64().expect("an index");
                indexes.entry(line["session_id"].to_string()).or_default().push(index);
            }
            let count: usize = indexes.values().map(Vec::len).sum();
            for session in lines.iter().filter(|line| line["type"] == "session") {
                let next = session["next_index"].as_i64().expect("an index");
                let mut found = indexes.remove(&session["id"].to_string()).unwrap_or_default();
                found.sort_unstable();
                assert_eq!(found, (0..next).collect::<Vec<i64>>());
                assert_eq!(next % 7, 0, "all of a write or none");
            }
            assert_eq!(indexes.len(), 0, "messages of no session");
            assert!(count >= before, "what was there is there");
            before = count;
            // The digest of the footer is of the same moment: an import of it comes to the same.
            if round == 5 {
                let other = Home::new();
                let into = other.start();
                let imported = into.client().call("system.import", json!({"path": path}));
                assert_eq!(imported["problem_count"], 0);
                assert_eq!(total(&mut into.client()), exported["digest"]);
            }
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(before > 0);
    });
}

#[test]
fn the_largest_records_go_through_though_no_frame_would_hold_them() {
    let home = Home::new();
    let (path, other) = (home.path().join("all.jsonl"), Home::new());
    let wanted = {
        let daemon = home.start();
        let mut client = daemon.client();
        client.call("session.start", json!({"id": "s", "kind": "chat"}));
        let long = "x".repeat(MAX_CONTENT_BYTES);
        client.call(
            "message.append",
            json!({"id": "m", "session_id": "s", "role": "user", "content": long}),
        );
        let metadata = json!({"a": "y".repeat(MAX_CONTENT_BYTES - 8)});
        assert_eq!(metadata.to_string().len(), MAX_CONTENT_BYTES);
        client.call("message.update", json!({"id": "m", "metadata": metadata}));
        client.call("message.update", json!({"id": "m", "code_excerpt": long}));
        // Written as JSON each of these letters has six bytes.
        let controls = "\u{1}".repeat(MAX_CONTENT_BYTES / 16);
        client.call(
            "message.append",
            json!({"id": "n", "session_id": "s", "role": "user", "content": controls}),
        );
        client.call("message.update", json!({"id": "n", "code_excerpt": controls}));
        let exported = client.call("system.export", json!({"path": path}));
        assert_eq!(exported["counts"], json!({"message": 2, "session": 1}));
        exported["digest"].clone()
    };
    let longest = std::fs::read(&path).expect("the export");
    let longest = longest.split(|byte| *byte == b'\n').map(<[u8]>::len).max().expect("lines");
    assert!(longest > 3 * (MAX_CONTENT_BYTES - 8), "{longest}");
    let daemon = other.start();
    let imported = daemon.client().call("system.import", json!({"path": path}));
    assert_eq!((&imported["problem_count"], &imported["is_whole"]), (&json!(0), &json!(true)));
    assert_eq!(total(&mut daemon.client()), wanted);
}

#[test]
fn a_file_is_new_private_and_of_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    let path = home.path().join("x.jsonl");
    client.call("system.export", json!({"path": path}));
    let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for (params, field, problem) in [
        (json!({"path": path}), "path", "an export replaces no file"),
        (json!({"path": "x.jsonl"}), "path", "an absolute path"),
        (json!({"path": home.path()}), "path", "an export replaces no file"),
        (json!({"path": "/none/x"}), "path", "a folder that is there"),
        (json!({"path": "/"}), "path", "a folder that is there"),
        (
            json!({"path": home.path().join("z"), "session_ids": []}),
            "session_ids",
            "1 to 1000 sessions, not 0",
        ),
        (
            json!({"path": home.path().join("z"), "session_ids": vec!["s"; 1001]}),
            "session_ids",
            "not 1001",
        ),
        (json!({"path": home.path().join("z"), "format": "pdf"}), "format", "unknown variant"),
    ] {
        let error = client.fail("system.export", params);
        assert_eq!(
            (error_kind(&error), &error["data"]["field"]),
            ("invalid_params", &json!(field))
        );
        assert!(error["message"].as_str().expect("a text").contains(problem), "{error}");
    }
    let many = json!({"path": home.path().join("y"), "session_ids": vec!["s"; 1000]});
    assert_eq!(error_kind(&client.fail("system.export", many)), "not_found");
    assert_eq!(error_kind(&client.fail("system.import", json!({"path": "/none/x"}))), "not_found");
    assert_eq!(error_kind(&client.fail("system.import", json!({"path": "x"}))), "invalid_params");
}

#[test]
fn what_is_imported_is_searched_and_goes_on() {
    let home = Home::new();
    let path = home.path().join("all.jsonl");
    {
        let daemon = home.start();
        let mut client = daemon.client();
        client.call("session.start", json!({"id": "s", "kind": "chat", "title": "Quokkas"}));
        client.call(
            "message.append",
            json!({"id": "m", "session_id": "s", "role": "user", "content": "wombats dig"}),
        );
        client.call("system.export", json!({"path": path}));
    }
    let other = Home::new();
    let daemon = other.start();
    let mut client = daemon.client();
    client.call("system.import", json!({"path": path}));
    for query in ["quokkas", "wombats"] {
        let found = client.call("history.search", json!({"query": query}));
        assert_eq!(found["hits"][0]["session"]["id"], "s", "{found}");
    }
    // A retry of what was written before the export is known, and the session goes on.
    let again = json!({"id": "m", "session_id": "s", "role": "user", "content": "wombats dig"});
    assert_eq!(client.call("message.append", again)["index_in_session"], 0);
    let next = json!({"session_id": "s", "role": "user", "content": "on"});
    assert_eq!(client.call("message.append", next)["index_in_session"], 1);
}

#[test]
fn the_command_line_exports_imports_and_compares() {
    let (home, other) = (Home::new(), Home::new());
    runtime().block_on(async {
        let store = open_store(&home, aetherd::config::EngineKind::Turso);
        fill(&store, &mut fastrand::Rng::with_seed(21), 500).await;
        store.close().await.expect("closed");
    });
    let run = |home: &Home, arguments: &[&str]| {
        let output = home.command().args(arguments).output().expect("the binary runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("a text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    // Where no daemon runs, the command is one meanwhile.
    let (code, all, errors) = run(&home, &["export"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(all.starts_with("{\"type\":\"header\"") && all.ends_with("}\n"));
    let run_folder = |home: &Home| {
        let names = std::fs::read_dir(home.path().join("run")).expect("a folder");
        names
            .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains("export"))
            .collect::<Vec<String>>()
    };
    assert_eq!(run_folder(&home), [""; 0]);
    let file = other.path().join("all.jsonl");
    std::fs::write(&file, &all).expect("is written");
    let path = file.to_str().expect("a path");
    let (code, line, errors) = run(&other, &["import", path]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{line}");
    assert!(line.starts_with(&format!("{path}: imported; attachment: ")), "{line}");
    let (code, line, _) = run(&other, &["--json", "import", path]);
    let imported: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((code, &imported["export"]["problem_count"]), (Some(0), &json!(0)));
    let wanted = digest_of(&home);
    let daemon = other.start();
    let (code, text, _) = run(&other, &["status", "--digest"]);
    assert_eq!(code, Some(0));
    let last = text.lines().last().expect("a total");
    assert_eq!(last, format!("{:<38}{}", "total", wanted.as_str().expect("a text")));
    assert!(
        text.lines().any(|line| line.starts_with("changes ") && line.ends_with("not in the total"))
    );
    let (_, text, _) = run(&other, &["--json", "status", "--digest"]);
    assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON")["total"], wanted);
    // A daemon writes the file that is asked for; what cannot be is an error, and leaves nothing.
    let target = other.path().join("some.md");
    let (code, line, _) =
        run(&other, &["export", "--format", "markdown", "-o", target.to_str().expect("a path")]);
    assert_eq!(code, Some(0));
    assert!(line.contains("session "), "{line}");
    assert!(Path::new(&target).is_file());
    for arguments in [&["export", "--session", "none"][..], &["export", "--project", "none"]] {
        let (code, out, errors) = run(&other, arguments);
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert!(errors.contains("not_found") && errors.contains("\"none\""), "{errors}");
        assert_eq!(run_folder(&other), [""; 0]);
    }
    drop(daemon);
    // A file that was cut off is imported as far as it goes, which is no success.
    std::fs::write(&file, &all[..all.len() / 2]).expect("is written");
    let (code, line, errors) = run(&Home::new(), &["import", path]);
    assert_eq!(code, Some(1));
    assert!(line.contains(": partly imported; ") && line.contains("it was cut off"), "{line}");
    assert!(errors.contains("not all could be imported"), "{errors}");
}
