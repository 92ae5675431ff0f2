//! Export and import again: the same store, whatever is in it, on both engines and across them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aetherd::config::EngineKind;
use aetherd::store::Store;
use serde_json::{Value, json};

use crate::support::dumps::{digest, export, import, lines_of, sum};
use crate::support::random_store::fill;
use crate::support::{ENGINES, Home, open_store, runtime};

const SEEDS: u64 = 6;

/// Fills a store of an engine, exports it, and returns the digest.
async fn filled(
    home: &Home,
    engine: EngineKind,
    seed: u64,
    operations: usize,
) -> (String, PathBuf) {
    let store = open_store(home, engine);
    let mut random = fastrand::Rng::with_seed(seed);
    fill(&store, &mut random, operations).await;
    let path = home.path().join("all.jsonl");
    let exported = export(&store, &path, json!({})).await.expect("exports");
    let total = digest(&store).await.total;
    assert_eq!(exported.digest.as_ref(), Some(&total), "seed {seed}");
    assert_eq!(exported.bytes, std::fs::metadata(&path).expect("a file").len());
    store.close().await.expect("closed");
    (total, path)
}

fn open(home: &Home, engine: EngineKind) -> Arc<Store> {
    Arc::new(open_store(home, engine))
}

#[test]
fn what_is_exported_and_imported_again_is_the_same_store() {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for seed in 0..SEEDS {
        for from in ENGINES {
            let home = Home::new();
            runtime().block_on(async {
                let (total, path) = filled(&home, from, seed, 400).await;
                seen.extend(lines_of(&path).iter().map(|line| line["type"].to_string()));
                for to in ENGINES {
                    let other = Home::new();
                    let store = open(&other, to);
                    let looked = import(&store, &path, true).expect("is looked at");
                    let imported = import(&store, &path, false).expect("imports");
                    assert_eq!(imported.problems, [], "seed {seed}, {from:?} to {to:?}");
                    assert!(imported.is_whole && imported.digest.as_ref() == Some(&total));
                    assert_eq!((looked.counts, looked.problem_count), (imported.counts.clone(), 0));
                    assert_eq!(
                        digest(&store).await.total,
                        total,
                        "seed {seed}, {from:?} to {to:?}"
                    );
                    let again = import(&store, &path, false).expect("imports again");
                    assert_eq!((sum(&again), again.problem_count), (0, 0));
                    assert_eq!(digest(&store).await.total, total);
                    // The second export is the first, but for when it was made.
                    let second = other.path().join("second.jsonl");
                    export(&store, &second, json!({})).await.expect("exports");
                    assert_eq!(sorted(&second), sorted(&path), "seed {seed}");
                    store.close().await.expect("closed");
                    assert_whole(&other, to);
                }
            });
        }
    }
    let types = ["meta", "project", "setting", "file", "attachment", "session", "message", "edit"];
    for word in types {
        assert!(seen.contains(&format!("{word:?}")), "no seed has a {word}");
    }
}

fn sorted(path: &Path) -> Vec<String> {
    let mut lines: Vec<String> = lines_of(path)[1..].iter().map(Value::to_string).collect();
    lines.sort();
    lines
}

fn assert_whole(home: &Home, engine: EngineKind) {
    let file = rusqlite::Connection::open(home.path().join("ide.db")).expect("SQLite opens it");
    let one = |sql: &str| file.query_row(sql, [], |row| row.get::<_, String>(0)).expect("a row");
    assert_eq!(one("PRAGMA integrity_check"), "ok", "{engine:?}");
    let broken = file.prepare("PRAGMA foreign_key_check").expect("a check").exists([]);
    assert!(!broken.expect("a check"), "{engine:?}");
}

#[test]
fn an_export_has_every_column_of_every_table() {
    let home = Home::new();
    let (_, path) = runtime().block_on(filled(&home, EngineKind::Sqlite, 3, 600));
    let file = rusqlite::Connection::open(home.path().join("ide.db")).expect("SQLite opens it");
    let columns = |table: &str| -> BTreeSet<String> {
        file.prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))
            .expect("a query")
            .query_map([], |row| row.get(0))
            .expect("columns")
            .collect::<Result<_, _>>()
            .expect("columns")
    };
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    let lines = lines_of(&path);
    let of = |word: &str, member: &str| {
        let found = lines.iter().find(|line| line["type"] == word && !line[member].is_null());
        found.unwrap_or_else(|| panic!("no {word} has {member}")).clone()
    };
    for (word, table, part) in [
        ("meta", "meta", None),
        ("setting", "settings", None),
        ("project", "projects", None),
        ("file", "files", None),
        ("attachment", "attachments", Some(("content", "attachment_data", "hash"))),
        ("session", "agent_sessions", Some(("texts", "agent_session_texts", "session_id"))),
        ("message", "agent_messages", None),
        ("edit", "agent_edits", None),
    ] {
        let mut expected = columns(table);
        expected.insert("type".to_owned());
        let mut record = of(word, "type");
        if let Some((member, table, key)) = part {
            expected.insert(member.to_owned());
            record = of(word, member);
            let mut expected = columns(table);
            expected.remove(key);
            assert_eq!(keys(&record[member]), expected, "{table}");
        }
        assert_eq!(keys(&record), expected, "{table}");
    }
}

/// Each beginning of an export is imported behind the one before, as by who tries again and again.
#[test]
fn an_export_that_was_cut_off_is_known_and_gives_what_it_has() {
    let home = Home::new();
    let (total, path) = runtime().block_on(filled(&home, EngineKind::Turso, 5, 120));
    let whole = std::fs::read(&path).expect("the export");
    let mut ends: Vec<usize> = Vec::new();
    let mut start = 0;
    for (at, _) in whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        ends.extend([start + (at - start) / 2, at, at + 1]);
        start = at + 1;
    }
    for engine in ENGINES {
        let other = Home::new();
        let store = open(&other, engine);
        let cut = other.path().join("cut.jsonl");
        let header = whole.iter().position(|byte| *byte == b'\n').expect("a line");
        for end in ends.iter().copied().filter(|end| *end < whole.len() - 1) {
            std::fs::write(&cut, &whole[..end]).expect("is written");
            let imported = import(&store, &cut, false);
            if end < header {
                let error = imported.expect_err("has no header").to_string();
                assert!(error.contains("is no export"), "{error}");
                continue;
            }
            let imported = imported.expect("imports");
            sum(&imported);
            let lines = whole[..end].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let records = lines.count() as u64 - 1;
            let is_half = serde_json::from_slice::<Value>(
                whole[..end].split(|byte| *byte == b'\n').next_back().unwrap_or_default(),
            )
            .is_err_and(|_| whole[end - 1] != b'\n');
            let found: u64 = imported.counts.values().map(|counts| counts.found).sum();
            assert_eq!(found + imported.unreadable, records, "{end}");
            assert_eq!(imported.unreadable, u64::from(is_half), "{end}");
            assert!(!imported.is_whole, "{end}");
            let last = imported.problems.last().expect("a problem");
            assert!(last.reason.contains("cut off"), "{imported:?}");
            assert_eq!(imported.problem_count, 1 + u64::from(is_half), "{imported:?}");
        }
        runtime().block_on(async {
            assert_eq!(digest(&store).await.total, total, "{engine:?}");
            // A line that is missing in the middle is known too.
            let mut lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
            lines.remove(lines.len() / 2);
            std::fs::write(&cut, lines.concat()).expect("is written");
            let imported = import(&store, &cut, false).expect("imports");
            assert!(!imported.is_whole && imported.problem_count == 1, "{imported:?}");
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn a_selection_has_the_sessions_and_what_belongs_to_them() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            fill(&store, &mut fastrand::Rng::with_seed(11), 800).await;
            let path = home.path().join("all.jsonl");
            export(&store, &path, json!({})).await.expect("exports");
            let all = lines_of(&path);
            let of = |lines: &[Value], word: &str| -> Vec<Value> {
                lines.iter().filter(|line| line["type"] == word).cloned().collect()
            };
            let sessions = of(&all, "session");
            let in_project = sessions.iter().find(|one| one["project_id"].is_string());
            let project = in_project.expect("one is of a project")["project_id"].clone();
            let one = sessions.iter().find(|one| one["project_id"] != project);
            let one = one.expect("one is of another project or none")["id"].clone();
            let asked = json!({"session_ids": [one, one], "project_id": project});
            let some = home.path().join("some.jsonl");
            let exported = export(&store, &some, asked).await.expect("exports");
            assert_eq!(exported.digest, None);
            let some_lines = lines_of(&some);
            let wanted: BTreeSet<String> = sessions
                .iter()
                .filter(|session| session["project_id"] == project || session["id"] == one)
                .map(|session| session["id"].to_string())
                .collect();
            let ids = |lines: Vec<Value>, member: &str| -> BTreeSet<String> {
                lines.iter().map(|line| line[member].to_string()).collect()
            };
            assert_eq!(ids(of(&some_lines, "session"), "id"), wanted);
            for word in ["message", "edit"] {
                let mut expected = of(&all, word);
                expected.retain(|line| wanted.contains(&line["session_id"].to_string()));
                assert!(!expected.is_empty(), "{word}");
                let key = |line: &Value| line.to_string();
                let mut found = of(&some_lines, word);
                if word == "edit" {
                    assert_eq!(found, expected, "edits stay in their order");
                }
                expected.sort_by_key(key);
                found.sort_by_key(key);
                assert_eq!(found, expected, "{word}");
            }
            let listed: BTreeSet<String> = of(&some_lines, "message")
                .iter()
                .filter_map(|message| message["attachments"].as_str())
                .flat_map(|list| serde_json::from_str::<Vec<Value>>(list).expect("a list"))
                .map(|attachment| attachment["hash"].to_string())
                .collect();
            assert_eq!(ids(of(&some_lines, "attachment"), "hash"), listed);
            assert!(!listed.is_empty());
            let projects = ids(of(&some_lines, "project"), "id");
            assert!(projects.contains(&project.to_string()) && projects.len() <= 2, "{projects:?}");
            // It is a whole of its own.
            let other = Home::new();
            let empty = open(&other, engine);
            let imported = import(&empty, &some, false).expect("imports");
            assert!(imported.is_whole && imported.problem_count == 0, "{imported:?}");
            empty.close().await.expect("closed");
            for (asked, problem) in [
                (json!({"session_ids": ["none"]}), "session \"none\" does not exist"),
                (json!({"project_id": "none"}), "project \"none\" does not exist"),
            ] {
                let place = home.path().join("none.jsonl");
                let error = export(&store, &place, asked).await.expect_err("is refused");
                assert_eq!(error.to_string(), problem);
            }
            let names: BTreeMap<String, u64> = std::fs::read_dir(home.path())
                .expect("a folder")
                .map(|entry| (entry.expect("a file").file_name().to_string_lossy().into_owned(), 1))
                .filter(|(name, _)| name.contains("jsonl"))
                .collect();
            assert_eq!(names.keys().collect::<Vec<_>>(), ["all.jsonl", "some.jsonl"]);
            store.close().await.expect("closed");
        });
    }
}
