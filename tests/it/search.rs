//! Search against a naive scan of what the history shows, across writes, kills, damage and rebuilds.
//!
//! The rule, plainly: a text is a row of positions, each with the terms that are found there. A word
//! is one position, or one for each part of an identifier; its joined form is found at its first and
//! last part. A query's word is found where its terms stand in a row. The words of these tests are
//! spelled out by hand below, so that nothing here cuts words.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Daemon, Home, LineClient, error_kind};

/// A word as it is written, and what is found at its positions.
struct Written(&'static str, &'static [&'static [&'static str]]);

const WRITTEN: &[Written] = &[
    Written("alpha", &[&["alpha"]]),
    Written("Alphabet", &[&["alphabet"]]),
    Written("beta", &[&["beta"]]),
    Written("BETA", &[&["beta"]]),
    Written("gamma", &[&["gamma"]]),
    Written("canción", &[&["cancion"]]),
    Written("CANCIÓN", &[&["cancion"]]),
    Written("cancio\u{301}n", &[&["cancion"]]),
    Written("año", &[&["ano"]]),
    Written("getUserName", &[&["get", "getusername"], &["user"], &["name", "getusername"]]),
    Written("user_name", &[&["user"], &["name"]]),
    Written("src/main.rs:42", &[&["src"], &["main"], &["rs"], &["42"]]),
    Written("HTTPServer", &[&["http", "httpserver"], &["server", "httpserver"]]),
    Written("数据", &[&["数"], &["据"]]),
];

/// A text of a query, the rows of terms that it stands for, and whether the last is a beginning.
struct Asked(&'static str, &'static [&'static [&'static str]], bool);

const ASKED: &[Asked] = &[
    Asked("alpha", &[&["alpha"]], false),
    Asked("ALPHA", &[&["alpha"]], false),
    Asked("alph*", &[&["alph"]], true),
    Asked("beta", &[&["beta"]], false),
    Asked("gamma", &[&["gamma"]], false),
    Asked("cancion", &[&["cancion"]], false),
    Asked("Canción", &[&["cancion"]], false),
    Asked("canc*", &[&["canc"]], true),
    Asked("ano", &[&["ano"]], false),
    Asked("getUserName", &[&["get", "user", "name"], &["getusername"]], false),
    Asked("getusername", &[&["getusername"]], false),
    Asked("user", &[&["user"]], false),
    Asked("getUs*", &[&["get", "us"], &["getus"]], true),
    Asked("user_name", &[&["user", "name"]], false),
    Asked("src/main.rs:42", &[&["src", "main", "rs", "42"]], false),
    Asked("main.rs", &[&["main", "rs"]], false),
    Asked("HTTPServer", &[&["http", "server"], &["httpserver"]], false),
    Asked("server", &[&["server"]], false),
    Asked("数据", &[&["数", "据"]], false),
    Asked("据", &[&["据"]], false),
    Asked("\"alpha beta\"", &[&["alpha", "beta"]], false),
    Asked("\"beta get*\"", &[&["beta", "get"]], true),
    Asked("\"getusername gamma\"", &[&["getusername", "gamma"]], false),
    Asked("\"name src\"", &[&["name", "src"]], false),
    Asked("absent", &[&["absent"]], false),
];

/// A query as a tree.
enum Query {
    Text(&'static Asked),
    And(Vec<Query>),
    Or(Vec<Query>),
    Not(Box<Query>),
}

impl Query {
    fn random(random: &mut fastrand::Rng, depth: u32) -> Self {
        let several = |count: usize, random: &mut fastrand::Rng| {
            (0..count).map(|_| Self::random(random, depth - 1)).collect()
        };
        match random.u32(0..10) {
            0..=1 if depth > 0 => Self::And(several(2, random)),
            2..=3 if depth > 0 => Self::Or(several(random.usize(2..4), random)),
            4 if depth > 0 => Self::Not(Box::new(Self::random(random, depth - 1))),
            5 if depth > 0 => Self::And(several(3, random)),
            _ => Self::Text(&ASKED[random.usize(..ASKED.len())]),
        }
    }

    fn shown(&self, random: &mut fastrand::Rng) -> String {
        let joined = |nodes: &[Self], word: &str, random: &mut fastrand::Rng| {
            let shown: Vec<String> = nodes.iter().map(|node| node.shown(random)).collect();
            format!("({})", shown.join(word))
        };
        match self {
            Self::Text(asked) => asked.0.to_owned(),
            Self::And(nodes) => joined(nodes, if random.bool() { " AND " } else { " " }, random),
            Self::Or(nodes) => joined(nodes, " OR ", random),
            Self::Not(node) => format!("NOT {}", node.shown(random)),
        }
    }

    fn matches(&self, texts: &[Vec<Vec<&str>>]) -> bool {
        match self {
            Self::Text(Asked(_, rows, is_prefix)) => {
                rows.iter().any(|row| texts.iter().any(|text| has_row(text, row, *is_prefix)))
            }
            Self::And(nodes) => nodes.iter().all(|node| node.matches(texts)),
            Self::Or(nodes) => nodes.iter().any(|node| node.matches(texts)),
            Self::Not(node) => !node.matches(texts),
        }
    }
}

fn has_row(text: &[Vec<&str>], row: &[&str], is_prefix: bool) -> bool {
    text.windows(row.len()).any(|window| {
        window.iter().zip(row).enumerate().all(|(at, (terms, wanted))| {
            let is_beginning = is_prefix && at + 1 == row.len();
            terms.iter().any(
                |term| {
                    if is_beginning { term.starts_with(wanted) } else { term == wanted }
                },
            )
        })
    })
}

const BETWEEN: [&str; 4] = [" ", ", ", "\n", " -> "];

/// Writes a text of some words.
fn write(random: &mut fastrand::Rng, most: usize) -> String {
    let count = random.usize(0..=most);
    let words: Vec<&str> = (0..count).map(|_| WRITTEN[random.usize(..WRITTEN.len())].0).collect();
    words.join(BETWEEN[random.usize(..BETWEEN.len())])
}

/// Returns the positions of a text that was so written.
fn positions(text: &str) -> Vec<Vec<&'static str>> {
    let words = text.split([' ', ',', '\n']).filter(|word| !word.is_empty() && *word != "->");
    words
        .flat_map(|word| {
            let written = WRITTEN.iter().find(|written| written.0 == word);
            written.unwrap_or_else(|| panic!("{word:?} was not written")).1
        })
        .map(|terms| terms.to_vec())
        .collect()
}

/// Returns all pages of a list.
fn all(client: &mut LineClient, method: &str, params: &Value, items: &str) -> Vec<Value> {
    let (mut found, mut params) = (Vec::new(), params.clone());
    loop {
        let mut page = call(client, method, &params);
        found.extend(page[items].as_array().expect("items").iter().cloned());
        params["cursor"] = page["next_cursor"].take();
        if params["cursor"].is_null() {
            return found;
        }
    }
}

/// Calls a method, again where the index is being built.
fn call(client: &mut LineClient, method: &str, params: &Value) -> Value {
    loop {
        let mut reply = client.reply(method, params.clone());
        if reply["error"]["data"]["retryable"] != true {
            assert!(reply.get("error").is_none(), "{method} {params}: {reply}");
            return reply["result"].take();
        }
    }
}

/// What is found: the session, and the message's index, none for the title.
type Found = BTreeSet<(String, Option<i64>)>;

/// Scans all that the history shows, the compacted messages too.
fn scan(client: &mut LineClient, query: &Query, filter: &Value) -> Found {
    let mut found = Found::new();
    let mut sessions = all(client, "session.list", &json!({}), "sessions");
    sessions.extend(all(client, "session.list", &json!({"archived": true}), "sessions"));
    for session in sessions {
        let id = session["id"].as_str().expect("an id");
        let is_wanted =
            |name: &str, value: &Value| filter.get(name).is_none_or(|wanted| wanted == value);
        let in_time = |at: &Value| {
            let at = at.as_i64().expect("a time");
            filter["since"].as_i64().is_none_or(|since| since <= at)
                && filter["until"].as_i64().is_none_or(|until| at <= until)
        };
        if !is_wanted("project_id", &session["project_id"])
            || !is_wanted("kind", &session["kind"])
            || !is_wanted("session_id", &session["id"])
        {
            continue;
        }
        // A session without a title has an empty one, which only a negation finds: no hit is shown.
        if let Some(title) = session["title"].as_str()
            && filter.get("role").is_none()
            && in_time(&session["created_at"])
            && query.matches(&[positions(title)])
        {
            found.insert((id.to_owned(), None));
        }
        let params = json!({"session_id": id, "include_compacted": true, "limit": 50});
        for message in all(client, "history.page", &params, "messages") {
            let texts: Vec<_> = ["content", "code_excerpt"]
                .iter()
                .filter_map(|name| message[*name].as_str())
                .map(positions)
                .collect();
            if is_wanted("role", &message["role"])
                && in_time(&message["created_at"])
                && query.matches(&texts)
            {
                found.insert((id.to_owned(), message["index_in_session"].as_i64()));
            }
        }
    }
    found
}

/// Compares some random searches with the scan.
fn compare(client: &mut LineClient, random: &mut fastrand::Rng, count: usize) {
    let mut hits_seen = 0;
    for _ in 0..count {
        let query = Query::random(random, 2);
        let text = query.shown(random);
        let mut params = json!({"query": text, "limit": random.u32(1..12)});
        match random.u32(0..9) {
            0 => params["session_id"] = json!(format!("s{}", random.u32(0..3))),
            1 => params["project_id"] = json!(["p", "q"][random.usize(0..2)]),
            2 => params["project_id"] = Value::Null,
            3 => params["role"] = json!(["user", "assistant", "tool"][random.usize(0..3)]),
            4 => params["kind"] = json!("review"),
            5 => params["since"] = json!(START + random.i64(0..100)),
            6 => params["until"] = json!(START + random.i64(0..100)),
            _ => {}
        }
        if let Some(id) = params.get("session_id")
            && client.reply("session.get", json!({"id": id})).get("error").is_some()
        {
            assert_eq!(error_kind(&client.fail("history.search", params)), "not_found");
            continue;
        }
        let hits = all(client, "history.search", &params, "hits");
        let mut found = Found::new();
        for hit in &hits {
            let id = hit["session"]["id"].as_str().expect("an id").to_owned();
            assert!(
                found.insert((id, hit["index_in_session"].as_i64())),
                "twice: {hit} in {params}"
            );
        }
        assert_eq!(found, scan(client, &query, &params), "{params}");
        hits_seen += hits.len();
    }
    assert!(count < 10 || hits_seen > 0, "nothing was ever found");
}

const START: i64 = 1_700_000_000_000;

/// Does something to a random session.
fn change(client: &mut LineClient, random: &mut fastrand::Rng, number: usize) {
    let id = format!("s{}", random.u32(0..8));
    let (at, content) = (START + number as i64, write(random, 6));
    match random.u32(0..30) {
        0..=3 => {
            let title = random.bool().then(|| write(random, 3));
            let project = [None, Some("p"), Some("q")][random.usize(0..3)];
            let kind = ["chat", "review"][random.usize(0..2)];
            client.reply("session.start", json!({"id": id, "kind": kind, "title": title, "project_id": project, "created_at": at}));
        }
        4..=5 => {
            client.reply("session.update", json!({"id": id, "title": write(random, 3)}));
        }
        6 => {
            let project = [None, Some("p"), Some("q")][random.usize(0..3)];
            client.reply("session.update", json!({"id": id, "project_id": project}));
        }
        7 => {
            client.reply("session.update", json!({"id": id, "archived": random.bool()}));
        }
        8 => {
            client.reply("session.clear", json!({"id": id, "keep_first": random.u32(0..4)}));
        }
        9 => {
            client.reply(
                "session.compact",
                json!({"session_id": id, "keep_last": random.u32(0..4), "summary": "s"}),
            );
        }
        10 => {
            client.reply("session.delete", json!({"id": id, "purge": random.bool()}));
        }
        11..=12 => {
            client.reply("session.restore", json!({"id": id}));
        }
        13 => {
            let fork = format!("s{}", random.u32(0..8));
            client.reply("session.fork", json!({"id": fork, "session_id": id}));
        }
        14..=18 => {
            let message = format!("m{}", random.usize(0..number.max(1)));
            client.reply("message.update", json!({"id": message, "content": content}));
        }
        _ => {
            let role = ["user", "assistant", "tool"][random.usize(0..3)];
            let code = random.bool().then(|| write(random, 4));
            client.reply("message.append", json!({"id": format!("m{number}"), "session_id": id, "role": role, "content": content, "code_excerpt": code, "created_at": at}));
        }
    }
}

/// Makes projects and some sessions.
fn begin(client: &mut LineClient) {
    for project in ["p", "q"] {
        client.call("project.open", json!({"id": project, "path": format!("/{project}")}));
    }
    for number in 0..4 {
        client.call("session.start", json!({"id": format!("s{number}"), "kind": "chat", "title": "alpha", "created_at": START}));
    }
}

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
