//! What an import makes of records that are there, that cannot be, and of files that are no export.

use std::path::PathBuf;
use std::sync::Arc;

use aetherd::api::dump::{ImportCounts, ImportOutcome, Imported};
use aetherd::config::EngineKind;
use aetherd::model::limits::{MAX_IMPORT_LINE_BYTES, MAX_IMPORT_PROBLEMS};
use aetherd::store::{
    Store, attachments, changes, edits, files, messages, sessions, settings, trash,
};
use serde_json::{Value, json};

use crate::support::dumps::{digest, export, import, lines_of, sum};
use crate::support::random_store::{open, remove};
use crate::support::{ENGINES, Home, open_store, params, runtime};

macro_rules! change {
    ($store:expr, $function:expr, $params:tt) => {{
        let params = params(json!($params));
        $store.write(move |tx| $function(tx, &params)).await.expect("is written")
    }};
}

const DIFF: &str = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-0\n+1\n";

/// Writes one of each kind of record, and returns an export of it.
async fn one_of_each(home: &Home, engine: EngineKind) -> (Arc<Store>, PathBuf) {
    let store = Arc::new(open_store(home, engine));
    change!(store, open, {"id": "p", "path": "/p"});
    change!(store, settings::set, {"key": "k", "value": {"a": 1.50}});
    change!(store, settings::set, {"key": "k", "value": "of p", "project_id": "p"});
    change!(store, files::touch, {"project_id": "p", "path": "src/f", "size": 1});
    let hash = change!(store, attachments::put, {"mime": "text/plain", "data": "aGk="}).hash;
    change!(store, sessions::start, {"id": "s", "kind": "chat", "project_id": "p", "title": "t", "system_prompt": "p"});
    change!(store, sessions::start, {"id": "gone", "kind": "chat"});
    change!(store, messages::append, {"id": "m0", "session_id": "s", "role": "user", "content": "zero", "attachments": [hash]});
    change!(store, messages::append, {"id": "m1", "session_id": "s", "role": "assistant", "content": "one"});
    change!(store, edits::record, {"id": "e0", "session_id": "s", "file_path": "/p/a", "kind": "replace", "diff": DIFF});
    change!(store, edits::record, {"id": "e1", "session_id": "s", "file_path": "/p/a", "kind": "replace", "diff": DIFF});
    change!(store, trash::delete, {"id": "gone"});
    let path = home.path().join("all.jsonl");
    export(&store, &path, json!({})).await.expect("exports");
    (store, path)
}

fn counts(imported: &Imported, word: &str) -> [u64; 5] {
    let ImportCounts { found, imported, already_there, conflict, refused } =
        imported.counts.get(word).copied().unwrap_or_default();
    [found, imported, already_there, conflict, refused]
}

/// The problems as `outcome word id: reason`.
fn problems(imported: &Imported) -> Vec<String> {
    let told = |problem: &aetherd::api::dump::ImportProblem| {
        let word = problem.word.as_deref().unwrap_or("-");
        let id = problem.id.as_deref().unwrap_or("-");
        format!("{:?} {word} {id}: {}", problem.outcome, problem.reason)
    };
    imported.problems.iter().map(told).collect()
}

#[test]
fn what_is_there_with_another_content_stays_and_is_named() {
    for engine in ENGINES {
        let (home, other) = (Home::new(), Home::new());
        runtime().block_on(async {
            let (source, path) = one_of_each(&home, engine).await;
            let store = Arc::new(open_store(&other, engine));
            change!(store, open, {"id": "p", "path": "/elsewhere"});
            change!(store, settings::set, {"key": "k", "value": "mine"});
            change!(store, files::touch, {"project_id": "p", "path": "src/f", "size": 2});
            change!(store, attachments::put, {"mime": "text/html", "data": "aGk="});
            change!(store, sessions::start, {"id": "s", "kind": "chat", "title": "mine"});
            change!(store, messages::append, {"id": "m0", "session_id": "s", "role": "user", "content": "mine"});
            change!(store, edits::record, {"id": "e0", "session_id": "s", "file_path": "/p/mine", "kind": "replace", "diff": DIFF});
            change!(store, edits::record, {"id": "mine", "session_id": "s", "file_path": "/p/mine", "kind": "replace", "diff": DIFF});
            let before = digest(&store).await;
            for dry_run in [true, false] {
                let imported = import(&store, &path, dry_run).expect("imports");
                sum(&imported);
                assert!(imported.is_whole);
                assert_eq!(counts(&imported, "project"), [1, 0, 0, 1, 0]);
                assert_eq!(counts(&imported, "setting"), [2, 1, 0, 1, 0]);
                assert_eq!(counts(&imported, "file"), [1, 0, 0, 1, 0]);
                assert_eq!(counts(&imported, "attachment"), [1, 0, 0, 1, 0]);
                assert_eq!(counts(&imported, "session"), [2, 1, 0, 1, 0]);
                assert_eq!(counts(&imported, "message"), [2, 0, 0, 2, 0]);
                assert_eq!(counts(&imported, "edit"), [2, 1, 0, 1, 0]);
                let told = problems(&imported);
                assert_eq!(told.len(), 8, "{told:?}");
                assert!(told[0].starts_with("Conflict project p: is there with another name, path"));
                assert_eq!(told[1].split(',').next(), Some("Conflict setting user k: is there with another value"));
                assert!(told[4].starts_with("Conflict session s: is there with another project_id, title"), "{told:?}");
                assert!(told[4].contains("texts.system_prompt"));
                assert!(told[5].starts_with("Conflict message m0: is there with another content"), "{told:?}");
                assert_eq!(told[6], "Conflict message m1: its session \"s\" is there with other messages: it has none of index 1");
                if dry_run {
                    assert_eq!(digest(&store).await, before, "nothing is written");
                }
            }
            // The edit whose number was taken is behind all that were there, and the session counts it.
            let seqs = seqs(&store, &other).await;
            assert_eq!(seqs, [("e0".to_owned(), 1), ("mine".to_owned(), 2), ("e1".to_owned(), 3)]);
            let read = store.read(aetherd::store::status::counts).await.expect("counts");
            assert_eq!(read.edits, 3);
            let kept = store.read(|tx| messages::get(tx, &aetherd::model::MessageId::parse("m0").expect("an id")));
            assert_eq!(kept.await.expect("is there").content, "mine");
            let again = import(&store, &path, false).expect("imports again");
            assert_eq!((sum(&again), again.problem_count), (0, 8));
            store.close().await.expect("closed");
            source.close().await.expect("closed");
        });
    }
}

async fn seqs(store: &Store, home: &Home) -> Vec<(String, i64)> {
    let path = home.path().join("seqs.jsonl");
    export(store, &path, json!({})).await.expect("exports");
    let lines = lines_of(&path);
    std::fs::remove_file(&path).expect("it is there");
    let edits = lines.iter().filter(|line| line["type"] == "edit");
    edits
        .map(|edit| {
            let id = edit["id"].as_str().expect("an id").to_owned();
            (id, edit["seq"].as_i64().expect("a number"))
        })
        .collect()
}

/// A number that is free but in front of an edit that was moved would turn their order.
#[test]
fn edits_keep_their_order_where_one_gets_another_number() {
    for engine in ENGINES {
        let (home, other) = (Home::new(), Home::new());
        runtime().block_on(async {
            let (source, path) = one_of_each(&home, engine).await;
            for number in 2..5 {
                change!(source, edits::record, {"id": format!("e{number}"), "session_id": "s", "file_path": "/p/a", "kind": "replace", "diff": DIFF});
            }
            std::fs::remove_file(&path).expect("it is there");
            export(&source, &path, json!({})).await.expect("exports");
            let store = Arc::new(open_store(&other, engine));
            change!(store, sessions::start, {"id": "t", "kind": "chat"});
            for id in ["x", "y"] {
                change!(store, edits::record, {"id": id, "session_id": "t", "file_path": "/p/a", "kind": "replace", "diff": DIFF});
            }
            let imported = import(&store, &path, false).expect("imports");
            assert_eq!(imported.problem_count, 0, "{imported:?}");
            let numbered: Vec<String> =
                seqs(&store, &other).await.into_iter().map(|(id, seq)| format!("{seq}{id}")).collect();
            assert_eq!(numbered, ["1x", "2y", "3e0", "4e1", "5e2", "6e3", "7e4"]);
            let again = import(&store, &path, false).expect("imports again");
            assert_eq!(counts(&again, "edit"), [5, 0, 5, 0, 0]);
            store.close().await.expect("closed");
            source.close().await.expect("closed");
        });
    }
}

/// What one line is turned into, and what becomes of it then. The others go on.
#[test]
fn a_bad_line_is_named_and_the_others_go_on() {
    let (home, engine) = (Home::new(), EngineKind::Turso);
    let (source, path) = runtime().block_on(one_of_each(&home, engine));
    runtime().block_on(source.close()).expect("closed");
    let lines: Vec<String> =
        std::fs::read_to_string(&path).expect("the export").lines().map(str::to_owned).collect();
    let place = |word: &str| {
        let start = format!("{{\"type\":\"{word}\"");
        lines.iter().position(|line| line.starts_with(&start)).expect("there is one")
    };
    let with = |word: &str, change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&lines[place(word)]).expect("JSON");
        change(&mut value);
        value.to_string()
    };
    let set = |word: &str, member: &str, to: Value| with(word, &|value| value[member] = to.clone());
    let long = format!("{{\"type\":\"message\",\"x\":\"{}\"}}", "x".repeat(MAX_IMPORT_LINE_BYTES));
    let cases: Vec<(&str, String, &str)> = vec![
        ("message", "{".to_owned(), "Unreadable - -: is no JSON object"),
        ("message", "7".to_owned(), "Unreadable - -: is no JSON object"),
        ("message", "{}".to_owned(), "Unreadable - -: has no type"),
        (
            "message",
            set("message", "type", json!("thought")),
            "Unreadable - -: is of a type that is not known: \"thought\"",
        ),
        (
            "message",
            "{\"type\":\"message\",\"type\":\"message\"}".to_owned(),
            "Unreadable - -: is no JSON object: type is there twice",
        ),
        (
            "message",
            set("message", "mood", json!("good")),
            "Refused message m0: mood: unknown field",
        ),
        (
            "message",
            with("message", &|value| {
                value.as_object_mut().expect("an object").remove("role");
            }),
            "Refused message m0: role: is missing",
        ),
        ("message", set("message", "role", json!(null)), "Refused message m0: role: is null"),
        (
            "message",
            set("message", "role", json!("boss")),
            "Refused message m0: role: no role is called \"boss\"",
        ),
        (
            "message",
            set("message", "content", json!(7)),
            "Refused message m0: content: expected a text",
        ),
        (
            "message",
            set("message", "created_at", json!("now")),
            "Refused message m0: created_at: expected a whole number",
        ),
        (
            "message",
            set("message", "index_in_session", json!(-1)),
            "Refused message m0: index_in_session: expected 0 to",
        ),
        (
            "message",
            set("message", "index_in_session", json!(i64::MAX)),
            "Refused message m0: index_in_session: expected 0 to",
        ),
        (
            "message",
            set("message", "metadata", json!("[]")),
            "Refused message m0: metadata: expected a JSON object",
        ),
        ("message", set("message", "attachments", json!("{")), "Refused message m0: attachments:"),
        (
            "message",
            set("message", "session_id", json!("none")),
            "Refused message m0: its session \"none\" is not there",
        ),
        (
            "message",
            lines[place("message")].replace("zero", "\\ud83e"),
            "Refused message m0: content: is no text",
        ),
        ("message", long, "Unreadable - -: is longer than"),
        ("edit", set("edit", "kind", json!("paint")), "Refused edit e0: kind: no kind is called"),
        ("edit", set("edit", "seq", json!(0)), "Refused edit e0: seq: expected 1 to"),
        ("session", set("session", "shelf", json!(2)), "Refused session"),
        ("session", set("session", "hidden_count", json!(1)), "Refused session"),
        (
            "session",
            with("session", &|value| value["texts"]["metadata"] = json!("x")),
            "Refused session",
        ),
        (
            "session",
            with("session", &|value| value["texts"]["mood"] = json!("x")),
            "Refused session s: texts.mood: unknown field",
        ),
        (
            "attachment",
            with("attachment", &|value| value["content"]["data"] = json!("aGkh")),
            "Refused attachment",
        ),
        ("attachment", set("attachment", "content", json!(null)), "Refused attachment"),
        (
            "setting",
            set("setting", "scope", json!("all")),
            "Refused setting all k: scope: expected user",
        ),
        (
            "setting",
            set("setting", "value", json!("{")),
            "Refused setting user k: value: is no JSON",
        ),
        ("file", set("file", "project_id", json!("none")), "Refused file none "),
    ];
    for (word, line, expected) in cases {
        let other = Home::new();
        let store = Arc::new(open_store(&other, engine));
        let mut changed = lines.clone();
        let at = place(word);
        changed[at] = line;
        let bad = other.path().join("bad.jsonl");
        std::fs::write(&bad, changed.join("\n") + "\n").expect("is written");
        let imported = import(&store, &bad, false).expect("imports");
        sum(&imported);
        let told = problems(&imported);
        assert!(told[0].starts_with(expected), "{expected}: {told:?}");
        assert_eq!(imported.problems[0].line, at as u64 + 1, "{told:?}");
        // What refers to a record that was refused goes with it, by name; all else is there.
        let lost = match word {
            "session" => 5,
            "attachment" => 2,
            _ => 1,
        };
        assert_eq!(sum(&imported) + lost, lines.len() as u64 - 2, "{told:?}");
        assert!(told.iter().all(|told| !told.starts_with("Conflict")), "{told:?}");
        runtime().block_on(store.close()).expect("closed");
    }
}

#[test]
fn a_file_that_is_no_export_or_of_a_newer_aetherd_is_refused_before_anything_is_written() {
    let home = Home::new();
    let (source, path) = runtime().block_on(one_of_each(&home, EngineKind::Sqlite));
    runtime().block_on(source.close()).expect("closed");
    let whole = std::fs::read_to_string(&path).expect("the export");
    let (header, rest) = whole.split_once('\n').expect("a header");
    let other = Home::new();
    let store = Arc::new(open_store(&other, EngineKind::Sqlite));
    let before = runtime().block_on(digest(&store));
    let file = other.path().join("x.jsonl");
    for (header, problem) in [
        (header.replace("\"version\":1,", "\"version\":2,"), "is of a newer aetherd"),
        (header.replace("\"schema_version\":", "\"schema_version\":9"), "is of a newer aetherd"),
        (header.replace("aetherd-export", "other-export"), "is no export"),
        (header.replace("header", "footer"), "is no export"),
        (String::new(), "is no export"),
        ("{\"id\": \"a chat of the IDE\"}".to_owned(), "is no export"),
    ] {
        std::fs::write(&file, format!("{header}\n{rest}")).expect("is written");
        let error = import(&store, &file, false).expect_err("is refused").to_string();
        assert!(error.starts_with("path: ") && error.contains(problem), "{error}");
    }
    std::fs::write(&file, "").expect("is written");
    assert!(import(&store, &file, false).expect_err("is empty").to_string().contains("no export"));
    let missing = import(&store, &other.path().join("none"), false).expect_err("is not there");
    assert!(missing.to_string().ends_with("does not exist"), "{missing}");
    assert!(import(&store, other.path(), false).is_err(), "a folder");
    runtime().block_on(async {
        assert_eq!(digest(&store).await, before);
        // A byte-order mark and other ends of lines are no harm, a line behind the end is named.
        let other_ends = format!("\u{feff}{}", whole.replace('\n', "\r\n\r\n"));
        std::fs::write(&file, other_ends + "{\"type\":\"header\"}").expect("is written");
        let imported = import(&store, &file, false).expect("imports");
        assert!(imported.is_whole);
        assert_eq!(problems(&imported), ["Unreadable - -: is behind the end of the export"]);
        let of_meta = Value::from("{\"type\":\"meta\",\"key\":\"feed_id\",\"value\":\"x\"}");
        let meta = format!("{header}\n{}\n", of_meta.as_str().expect("a text"));
        std::fs::write(&file, meta).expect("is written");
        let imported = import(&store, &file, false).expect("imports");
        assert_eq!(counts(&imported, "meta"), [1, 0, 0, 0, 1], "{imported:?}");
        store.close().await.expect("closed");
    });
}

#[test]
fn the_first_problems_are_listed_and_all_are_counted() {
    let home = Home::new();
    let (source, path) = runtime().block_on(one_of_each(&home, EngineKind::Turso));
    for (bad, listed) in
        [(MAX_IMPORT_PROBLEMS, MAX_IMPORT_PROBLEMS), (MAX_IMPORT_PROBLEMS + 1, MAX_IMPORT_PROBLEMS)]
    {
        let mut lines: Vec<String> = std::fs::read_to_string(&path)
            .expect("the export")
            .lines()
            .map(str::to_owned)
            .collect();
        let end = lines.pop().expect("a footer");
        lines.extend((0..bad).map(|_| "?".to_owned()));
        lines.push(end);
        let file = home.path().join("bad.jsonl");
        std::fs::write(&file, lines.join("\n")).expect("is written");
        let imported = import(&source, &file, false).expect("imports");
        assert_eq!(imported.problems.len(), listed);
        assert_eq!((imported.problem_count, imported.unreadable), (bad as u64, bad as u64));
        assert!(
            imported.problems.iter().all(|problem| problem.outcome == ImportOutcome::Unreadable)
        );
    }
    runtime().block_on(source.close()).expect("closed");
}

#[test]
fn what_is_imported_is_told_as_its_writes_would_tell_it() {
    for engine in ENGINES {
        let (home, other) = (Home::new(), Home::new());
        runtime().block_on(async {
            let (source, path) = one_of_each(&home, engine).await;
            change!(source, open, {"id": "q", "path": "/q"});
            change!(source, remove, {"id": "q"});
            std::fs::remove_file(&path).expect("it is there");
            export(&source, &path, json!({})).await.expect("exports");
            source.close().await.expect("closed");
            let store = Arc::new(open_store(&other, engine));
            import(&store, &path, true).expect("is looked at");
            let told = |store: Arc<Store>, after| async move {
                let read = store.read(move |tx| changes::after(tx, after, 100)).await;
                let told: Vec<String> = read
                    .expect("changes")
                    .iter()
                    .map(|change| {
                        let session = change.session_id.as_ref().map_or("-", |id| id.as_str());
                        let project = change.project_id.as_ref().map_or("-", |id| id.as_str());
                        let id: String = change.entity_id.chars().take(5).collect();
                        format!("{} {id} {session} {project}", change.topic.word())
                    })
                    .collect();
                told
            };
            assert_eq!(told(Arc::clone(&store), 0).await, [""; 0], "a look tells nothing");
            import(&store, &path, false).expect("imports");
            assert_eq!(
                told(Arc::clone(&store), 0).await,
                [
                    "project.created p - p",
                    "project.created q - q",
                    "project.removed q - q",
                    "settings.changed k - -",
                    "settings.changed k - p",
                    "file.touched src/f - p",
                    "attachment.added 8f434 - -",
                    "session.started s s p",
                    "session.started gone gone -",
                    "session.deleted gone gone -",
                    "message.appended m0 s p",
                    "message.appended m1 s p",
                    "edit.recorded e0 s p",
                    "edit.recorded e1 s p",
                ]
            );
            import(&store, &path, false).expect("imports again");
            assert_eq!(told(Arc::clone(&store), 14).await, [""; 0], "nothing is new");
            store.close().await.expect("closed");
        });
    }
}

/// They are stored before the messages that refer to them, and their last put may be long ago.
#[test]
fn an_import_keeps_attachments_until_their_messages_are_there() {
    let home = Home::new();
    runtime().block_on(async {
        let store = open_store(&home, EngineKind::Turso);
        change!(store, attachments::put, {"mime": "text/plain", "data": "aGk="});
        let collect =
            || aetherd::daemon::collecting::collect(&store, aetherd::model::time::now() + 1, 0);
        let (one, two) = (store.hold_attachments(), store.hold_attachments());
        assert_eq!(collect().await.expect("collects"), 0);
        drop(one);
        assert_eq!(collect().await.expect("collects"), 0);
        drop(two);
        assert_eq!(collect().await.expect("collects"), 1);
        store.close().await.expect("closed");
    });
}
