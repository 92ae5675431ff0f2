//! A naive scan of what the history shows, which searches are compared with, and changes at random.
//!
//! The rule, plainly: a text is a row of positions, each with the terms that are found there. A word
//! is one position, or one for each part of an identifier; its joined form is found at its first and
//! last part. A query's word is found where its terms stand in a row. The words of these tests are
//! spelled out by hand below, so that nothing here cuts words.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{LineClient, error_kind};

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
pub(crate) fn write(random: &mut fastrand::Rng, most: usize) -> String {
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
pub(crate) fn all(
    client: &mut LineClient,
    method: &str,
    params: &Value,
    items: &str,
) -> Vec<Value> {
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
pub(crate) fn call(client: &mut LineClient, method: &str, params: &Value) -> Value {
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
pub(crate) fn compare(client: &mut LineClient, random: &mut fastrand::Rng, count: usize) {
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
pub(crate) fn change(client: &mut LineClient, random: &mut fastrand::Rng, number: usize) {
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
pub(crate) fn begin(client: &mut LineClient) {
    for project in ["p", "q"] {
        client.call("project.open", json!({"id": project, "path": format!("/{project}")}));
    }
    for number in 0..4 {
        client.call("session.start", json!({"id": format!("s{number}"), "kind": "chat", "title": "alpha", "created_at": START}));
    }
}
