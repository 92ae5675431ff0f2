//! Search against a naive scan of what the history shows, across writes, kills, damage and rebuilds.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::scan::{all, begin, call, change, compare};
use crate::support::{Daemon, Home, LineClient, error_kind};

#[test]
fn results_are_those_of_a_scan_through_all_that_happens_to_sessions() {
    for seed in 1..=2 {
        let mut random = fastrand::Rng::with_seed(seed);
        let home = Home::new();
        let mut daemon = home.start();
        begin(&mut daemon.client());
        let mut number = 0;
        for round in 0..6 {
            let mut client = daemon.client();
            for _ in 0..60 {
                change(&mut client, &mut random, number);
                number += 1;
                if number.is_multiple_of(10) {
                    compare(&mut client, &mut random, 2);
                }
            }
            compare(&mut client, &mut random, 12);
            // Some changes are not indexed yet when the daemon ends, one way or the other.
            for _ in 0..5 {
                change(&mut client, &mut random, number);
                number += 1;
            }
            match round % 3 {
                0 => daemon.kill(),
                1 => {
                    client.call("system.shutdown", json!({}));
                    daemon.wait();
                }
                _ => {
                    daemon.kill();
                    std::fs::remove_dir_all(home.path().join("search")).expect("an index");
                }
            }
            daemon = home.start();
            compare(&mut daemon.client(), &mut random, 12);
        }
    }
}

/// Writers that are killed at any time, and searches that must see all that was answered.
#[test]
fn a_search_sees_what_was_answered_before_it_also_behind_a_kill() {
    let home = Home::new();
    let mut random = fastrand::Rng::with_seed(7);
    let mut expected = 0;
    for round in 0..6 {
        let mut daemon = home.start();
        let mut client = daemon.client();
        client.reply("session.start", json!({"id": "s", "kind": "chat"}));
        for number in 0..random.usize(5..40) {
            let id = format!("m{round}-{number}");
            client.call("message.append", json!({"id": id, "session_id": "s", "role": "user", "content": format!("word{round}x{number} common")}));
            expected += 1;
            let query = json!({"query": format!("word{round}x{number}")});
            let page = call(&mut client, "history.search", &query);
            assert_eq!(page["hits"][0]["message_id"], id, "{page}");
            assert_eq!(page["hits"].as_array().map(Vec::len), Some(1));
        }
        let all =
            all(&mut client, "history.search", &json!({"query": "common", "limit": 1000}), "hits");
        assert_eq!(all.len(), expected);
        // Answered, and perhaps not indexed.
        client.call(
            "message.append",
            json!({"session_id": "s", "role": "user", "content": "common"}),
        );
        expected += 1;
        daemon.kill();
    }
    let daemon = home.start();
    let found = all(
        &mut daemon.client(),
        "history.search",
        &json!({"query": "common", "limit": 1000}),
        "hits",
    );
    assert_eq!(found.len(), expected);
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("an index")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.is_file() && path.metadata().is_ok_and(|file| file.len() > 0))
        .collect();
    files.sort();
    files
}

/// What happens to a file, in a word and as it is done.
type Damage = (&'static str, fn(&Path));

/// Every file of the index is damaged in every way, one after another.
#[test]
fn a_damaged_index_is_built_anew() {
    let home = Home::new();
    let index = home.path().join("search/index");
    let mut random = fastrand::Rng::with_seed(3);
    {
        let mut daemon = home.start();
        let mut client = daemon.client();
        begin(&mut client);
        for number in 0..80 {
            change(&mut client, &mut random, number);
        }
        compare(&mut client, &mut random, 3);
        client.call("system.shutdown", json!({}));
        daemon.wait();
    }
    let count = files_of(&index).len();
    assert!(count >= 4, "{:?}", files_of(&index));
    let damages: [Damage; 4] = [
        ("gone", |path| std::fs::remove_file(path).expect("a file")),
        ("cut", |path| {
            let file = std::fs::File::options().write(true).open(path).expect("a file");
            let length = file.metadata().expect("a length").len();
            file.set_len(length / 2).expect("is cut");
        }),
        ("flipped", |path| {
            let mut bytes = std::fs::read(path).expect("a file");
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
            std::fs::write(path, bytes).expect("is written");
        }),
        ("zeroed", |path| {
            let bytes = vec![0; std::fs::read(path).expect("a file").len()];
            std::fs::write(path, bytes).expect("is written");
        }),
    ];
    for (damage, spoil) in damages {
        for at in 0..count {
            let Some(path) = files_of(&index).get(at).cloned() else { continue };
            spoil(&path);
            let mut daemon = home.start();
            let mut client = daemon.client();
            compare(&mut client, &mut random, 2);
            let status = client.call("system.status", json!({}))["search"].take();
            assert_eq!(
                (&status["state"], &status["lag"]),
                (&json!("ready"), &json!(0)),
                "{damage} {}: {status}",
                path.display()
            );
            client.call("system.shutdown", json!({}));
            daemon.wait();
        }
    }
    // Of another version of the daemon, and with the lock of one that was killed.
    let meta = index.join("meta.json");
    let bytes = std::fs::read(&meta).expect("a file");
    let text = std::str::from_utf8(&bytes[32..]).expect("a text behind its checksum");
    let other = text.replace(r#"\"version\":1"#, r#"\"version\":999"#);
    assert_ne!(text, other);
    let with_checksum = [Sha256::digest(&other).as_slice(), other.as_bytes()].concat();
    std::fs::write(&meta, with_checksum).expect("is written");
    std::fs::write(index.join(".tantivy-writer.lock"), "").expect("is written");
    let log = home.log().len();
    let daemon = home.start();
    compare(&mut daemon.client(), &mut random, 4);
    assert!(home.log()[log..].contains("is of another version"), "{}", &home.log()[log..]);
}

/// The index is of a place that the feed no longer has, then of a database that was put back.
#[test]
fn an_index_that_cannot_go_on_is_built_anew() {
    const GOES_NOT_ON: &str = "it does not go on with this database's changes";
    let home = Home::new();
    let mut random = fastrand::Rng::with_seed(9);
    let stop = |mut daemon: Daemon| {
        daemon.client().call("system.shutdown", json!({}));
        daemon.wait();
    };
    let daemon = home.start();
    begin(&mut daemon.client());
    for number in 0..60 {
        change(&mut daemon.client(), &mut random, number);
    }
    compare(&mut daemon.client(), &mut random, 4);
    stop(daemon);
    let before = std::fs::read(home.path().join("ide.db")).expect("a database");
    let daemon = home.start_with(&["--no-search", "--feed-max-changes", "1"]);
    let mut client = daemon.client();
    for number in 60..700 {
        change(&mut client, &mut random, number);
        client.call("settings.set", json!({"key": "k", "value": number}));
    }
    // What is too old goes behind the writes, by and by.
    let feed = format!("{}.0.0", feed_of(&mut client));
    while client.reply("events.since", json!({"cursor": feed})).get("error").is_none() {}
    stop(daemon);
    let daemon = home.start();
    compare(&mut daemon.client(), &mut random, 12);
    assert_eq!(home.log().matches(GOES_NOT_ON).count(), 1);
    stop(daemon);
    std::fs::write(home.path().join("ide.db"), before).expect("is put back");
    std::fs::remove_file(home.path().join("ide.db-mark")).expect("the mark is gone");
    let daemon = home.start();
    let mut client = daemon.client();
    for number in 700..760 {
        change(&mut client, &mut random, number);
    }
    compare(&mut client, &mut random, 12);
    assert_eq!(home.log().matches(GOES_NOT_ON).count(), 2);
}

fn feed_of(client: &mut LineClient) -> String {
    let cursor = client.call("events.since", json!({}))["cursor"].take();
    cursor.as_str().and_then(|text| text.split_once('.')).expect("a cursor").0.to_owned()
}

#[test]
fn a_query_that_cannot_be_read_is_pointed_at() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    for (query, offset) in [("", 0), ("one AND", 7), ("(é OR two", 9), ("\"open", 0), ("a*b", 1)] {
        let error = client.fail("history.search", json!({"query": query}));
        assert_eq!(error_kind(&error), "invalid_params", "{error}");
        assert_eq!(error["data"]["field"], "query", "{error}");
        assert_eq!(error["data"]["offset"], offset, "{error}");
        assert!(error["data"]["expected"].is_string(), "{error}");
    }
}

#[test]
fn search_can_be_turned_off() {
    let home = Home::new();
    {
        let mut daemon = home.start_with(&["--no-search"]);
        let mut client = daemon.client();
        client.call("session.start", json!({"id": "s", "kind": "chat", "title": "alpha"}));
        let error = client.fail("history.search", json!({"query": "alpha"}));
        assert_eq!(error_kind(&error), "turned_off", "{error}");
        assert_eq!(client.call("system.status", json!({}))["search"]["state"], "off");
        assert!(!home.path().join("search").exists());
        daemon.kill();
    }
    let daemon = home.start();
    let page = call(&mut daemon.client(), "history.search", &json!({"query": "alpha"}));
    assert_eq!(page["hits"][0]["session"]["id"], "s");
    assert_eq!(page["hits"][0]["message_id"], Value::Null);
}

#[test]
fn pages_go_on_where_they_ended_and_the_best_comes_first() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    for number in 0..30 {
        let content = format!(
            "{}needle {}",
            "hay ".repeat(number),
            if number == 29 { "needle needle needle" } else { "" }
        );
        client.call("message.append", json!({"id": format!("m{number}"), "session_id": "s", "role": "user", "content": content}));
    }
    let first = call(&mut client, "history.search", &json!({"query": "needle", "limit": 1}));
    assert!(
        ["m0", "m29"].contains(&first["hits"][0]["message_id"].as_str().expect("an id")),
        "{first}"
    );
    assert_eq!(first["hits"][0]["snippet"]["source"], "content");
    let is_marked = |part: &Value| part["match"] == true && part["text"] == "needle";
    assert!(first["hits"][0]["snippet"]["parts"].as_array().expect("parts").iter().any(is_marked));
    let whole =
        all(&mut client, "history.search", &json!({"query": "needle", "limit": 1000}), "hits");
    let mut params = json!({"query": "needle", "limit": 7});
    let mut paged = Vec::new();
    loop {
        let page = call(&mut client, "history.search", &params);
        paged.extend(
            page["hits"].as_array().expect("hits").iter().map(|hit| hit["message_id"].clone()),
        );
        // What is written meanwhile changes nothing of the pages that follow.
        client.call(
            "message.append",
            json!({"session_id": "s", "role": "user", "content": "needle"}),
        );
        params["cursor"] = page["next_cursor"].clone();
        if params["cursor"].is_null() {
            break;
        }
    }
    let ids: Vec<Value> = whole.iter().map(|hit| hit["message_id"].clone()).collect();
    assert_eq!(paged, ids);
    // A cursor is of its own query.
    let page = call(&mut client, "history.search", &json!({"query": "needle", "limit": 1}));
    let error =
        client.fail("history.search", json!({"query": "hay", "cursor": page["next_cursor"]}));
    assert_eq!(error["data"]["field"], "cursor");
}

/// A session of more than is read, and more than is committed, at one time: all of it is found, where it
/// moves to a project, where the daemon is killed half way through that, and where the index is built.
#[test]
fn a_session_of_many_megabytes_is_indexed_in_pieces() {
    let home = Home::new();
    let mut daemon = home.start();
    let mut client = daemon.client();
    client.call("project.open", json!({"id": "p", "path": "/p"}));
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    // Few words: what counts here are the bytes.
    let content = format!("needle{}", " ".repeat(3 << 20));
    for index in 0..24 {
        client.call("message.append", json!({"id": format!("m{index}"), "session_id": "s", "role": "user", "content": content}));
    }
    let params = json!({"query": "needle", "project_id": "p", "limit": 1000});
    let found = |client: &mut LineClient| {
        let hits = all(client, "history.search", &params, "hits");
        let mut indexes: Vec<i64> =
            hits.iter().map(|hit| hit["index_in_session"].as_i64().expect("an index")).collect();
        indexes.sort_unstable();
        indexes
    };
    let every: Vec<i64> = (0..24).collect();
    assert_eq!(found(&mut client), [0; 0]);
    let meta = home.path().join("search/index/meta.json");
    let before = std::fs::read(&meta).expect("is read");
    client.call("session.update", json!({"id": "s", "project_id": "p"}));
    // The first commit behind the move has some of the session. Polled, for a commit tells nobody.
    while std::fs::read(&meta).expect("is read") == before {
        std::thread::yield_now();
    }
    daemon.kill();
    daemon = home.start();
    assert_eq!(found(&mut daemon.client()), every);
    daemon.kill();
    std::fs::remove_dir_all(home.path().join("search")).expect("an index");
    daemon = home.start();
    assert_eq!(found(&mut daemon.client()), every);
}
