//! The change feed: what each write adds, who sees it, and what happens to those who are slow or late.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI64, Ordering};

use aetherd::api::project::{OpenParams, Opened};
use aetherd::config::FeedPolicy;
use aetherd::error::Result;
use aetherd::model::Sightings;
use aetherd::model::limits::{MAX_SUBSCRIPTIONS, MAX_TOPICS, MAX_WAIT_MS};
use aetherd::store::{
    Store, WriteTx, changes, compact, edits, files, fork, messages, places, projects, sessions,
    settings, trash,
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::support::{
    ENGINES, Home, LineClient, connect, error_kind, open_store, params, post, read_message,
    request, runtime,
};

/// The changes behind one, as `topic entity session project`.
async fn told(store: &Store, after: i64) -> Vec<String> {
    let changes = store.read(move |tx| changes::after(tx, after, 1000)).await.expect("changes");
    for (change, seq) in changes.iter().zip(after + 1..) {
        assert_eq!(change.seq, seq, "a number is missing or there twice");
    }
    let word = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let tell = |change: &aetherd::model::Change| {
        let session = word(change.session_id.as_ref().map(aetherd::model::SessionId::as_str));
        let project = word(change.project_id.as_ref().map(aetherd::model::ProjectId::as_str));
        format!("{} {} {session} {project}", change.topic.word(), change.entity_id)
    };
    changes.iter().map(tell).collect()
}

macro_rules! change {
    ($store:ident, $function:path, $params:tt) => {{
        let params = params(json!($params));
        $store.write(move |tx| $function(tx, &params)).await
    }};
}

/// Opens a project without a look at any folder.
fn open(tx: &mut WriteTx<'_>, params: &OpenParams) -> Result<Opened> {
    places::open(tx, params, &Sightings::default())
}

#[test]
fn each_write_tells_what_it_changed_and_a_write_that_changes_nothing_tells_nothing() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            change!(store, open, {"id": "p", "path": "/p"}).expect("opened");
            change!(store, open, {"path": "/p/"}).expect("opened again");
            change!(store, open, {"id": "q", "path": "/q"}).expect("opened");
            change!(store, projects::update, {"id": "p", "name": "P"}).expect("renamed");
            change!(store, projects::update, {"id": "p", "name": "P"}).expect("the same");
            change!(store, places::relocate, {"id": "p", "path": "/moved"}).expect("moved");
            change!(store, places::relocate, {"id": "p", "path": "/moved"}).expect("a retry");
            change!(store, places::relocate, {"id": "p", "path": "/q/"}).expect_err("another's");
            change!(store, files::touch, {"project_id": "p", "path": "./src/f"}).expect("touched");
            change!(store, files::touch, {"project_id": "p", "path": "./src/f"}).expect("the same");
            change!(store, files::touch, {"project_id": "p", "path": "../f"}).expect_err("outside");
            change!(store, files::touch, {"project_id": "p", "path": "/moved/src/f", "state": 1}).expect("touched");
            change!(store, files::remove, {"project_id": "p", "path": "src/f"}).expect("removed");
            change!(store, files::remove, {"project_id": "p", "path": "src/f"}).expect("gone already");
            change!(store, settings::set, {"key": "k", "value": 1}).expect("set");
            change!(store, settings::set_many, {"project_id": "p", "entries": [{"key": "a", "value": 1}, {"key": "b", "value": 2}]}).expect("set");
            change!(store, settings::delete, {"key": "k"}).expect("deleted");
            change!(store, settings::delete, {"key": "k"}).expect("gone already");
            change!(store, sessions::start, {"id": "s", "kind": "chat", "project_id": "p"}).expect("started");
            change!(store, sessions::start, {"id": "s", "kind": "chat", "project_id": "p"}).expect("a retry");
            change!(store, sessions::start, {"id": "s", "kind": "other"}).expect_err("another");
            change!(store, sessions::update, {"id": "s", "title": "t"}).expect("updated");
            change!(store, sessions::update, {"id": "s", "title": "t"}).expect("the same");
            change!(store, messages::append, {"id": "m", "session_id": "s", "role": "tool", "content": "1"}).expect("appended");
            change!(store, messages::append, {"id": "m", "session_id": "s", "role": "tool", "content": "1"}).expect("a retry");
            change!(store, messages::append_many, {"session_id": "s", "messages": [
                {"id": "m", "role": "tool", "content": "1"},
                {"id": "n", "role": "user", "content": "2"},
                {"id": "o", "role": "user", "content": "3"},
            ]}).expect("appended");
            change!(store, messages::append_many, {"session_id": "s", "messages": [
                {"id": "x", "role": "user", "content": "4"},
                {"id": "m", "role": "user", "content": "another"},
            ]}).expect_err("all or none");
            change!(store, messages::update, {"id": "m", "content": "5"}).expect("patched");
            change!(store, messages::update, {"id": "m", "content": "5"}).expect("the same");
            change!(store, edits::record, {"id": "e", "session_id": "none", "file_path": "f", "kind": "rename", "new_path": "g", "diff": ""}).expect_err("no session");
            change!(store, edits::record, {"id": "e", "session_id": "s", "file_path": "f", "kind": "rename", "new_path": "g", "diff": ""}).expect("recorded");
            change!(store, sessions::update, {"id": "s", "project_id": "q"}).expect("moved");
            change!(store, fork::fork, {"id": "f", "session_id": "s"}).expect("forked");
            change!(store, fork::fork, {"id": "f", "session_id": "s"}).expect("a retry");
            change!(store, fork::fork, {"id": "f", "session_id": "f"}).expect_err("another");
            change!(store, compact::compact, {"session_id": "s", "keep_last": 1, "summary": "a"}).expect("compacted");
            change!(store, compact::compact, {"session_id": "s", "keep_last": 1, "summary": "a"}).expect("the same");
            change!(store, sessions::update, {"id": "s", "archived": true}).expect("archived");
            change!(store, sessions::update, {"id": "s", "archived": true}).expect("the same");
            change!(store, compact::clear, {"id": "s"}).expect("cleared");
            change!(store, trash::delete, {"id": "s"}).expect("deleted");
            change!(store, trash::delete, {"id": "s"}).expect("gone already");
            change!(store, trash::restore, {"id": "s"}).expect("restored");
            change!(store, trash::restore, {"id": "s"}).expect("there already");
            change!(store, trash::delete, {"id": "f", "purge": true}).expect("purged");
            change!(store, trash::delete, {"id": "f", "purge": true}).expect_err("gone for good");
            let id = aetherd::model::ProjectId::parse("q").expect("an id");
            store.write(move |tx| projects::remove(tx, &id)).await.expect("removed");
            assert_eq!(
                told(&store, 0).await,
                [
                    "project.created p - p",
                    "project.opened p - p",
                    "project.created q - q",
                    "project.updated p - p",
                    "project.relocated p - p",
                    "file.touched src/f - p",
                    "file.touched src/f - p",
                    "file.removed src/f - p",
                    "settings.changed k - -",
                    "settings.changed a - p",
                    "settings.changed b - p",
                    "settings.deleted k - -",
                    "session.started s s p",
                    "session.updated s s p",
                    "message.appended m s p",
                    "message.appended n s p",
                    "message.appended o s p",
                    "message.updated m s p",
                    "edit.recorded e s p",
                    "session.moved s s p",
                    "session.updated s s q",
                    "session.forked f f q",
                    "session.compacted s s q",
                    "session.updated s s q",
                    "session.cleared s s q",
                    "session.deleted s s q",
                    "session.restored s s q",
                    "session.purged f f q",
                    "project.removed q - q",
                ],
                "{engine:?}"
            );
            assert_eq!(*store.committed().borrow(), 29);
            store.close().await.expect("closed");
        });
    }
}

/// One that fails in a group has the group replayed: what it told the first time must not stay.
#[test]
fn a_group_that_is_replayed_tells_everything_once() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            change!(store, sessions::start, {"id": "s", "kind": "chat"}).expect("started");
            let mut pending = Vec::new();
            for number in 0..60 {
                let id = format!("m{number}");
                // Every seventh fails behind a message that it appended already.
                let second = if number % 7 == 3 { "m0".to_owned() } else { format!("n{number}") };
                let params: aetherd::api::message::AppendManyParams =
                    params(json!({"session_id": "s", "messages": [
                        {"id": id, "role": "user", "content": "first"},
                        {"id": second, "role": "user", "content": "second"},
                    ]}));
                pending.push(
                    store
                        .queue_write(0, move |tx| messages::append_many(tx, &params))
                        .await
                        .expect("a place"),
                );
            }
            let mut expected = Vec::new();
            for (number, write) in pending.into_iter().enumerate() {
                match write.await {
                    Ok(_) => {
                        expected.push(format!("message.appended m{number} s -"));
                        expected.push(format!("message.appended n{number} s -"));
                    }
                    Err(_) => assert_eq!(number % 7, 3),
                }
            }
            assert_eq!(told(&store, 1).await, expected, "{engine:?}");
            assert_eq!(*store.committed().borrow(), expected.len() as i64 + 1);
            store.close().await.expect("closed");
            let store = open_store(&home, engine);
            assert_eq!(*store.committed().borrow(), expected.len() as i64 + 1);
            store.close().await.expect("closed");
        });
    }
}

async fn kept(store: &Store) -> (i64, i64) {
    let bounds = store.read(changes::bounds).await.expect("bounds");
    (bounds.first, bounds.last)
}

#[test]
fn the_feed_keeps_what_its_policy_says_and_always_the_newest_change() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            assert_eq!(kept(&store).await, (1, 0));
            let never = FeedPolicy { max_changes: 100, max_age: i64::MAX, max_for_index: 0 };
            let prune = |policy: FeedPolicy, now: i64, batch: usize| {
                store.write(move |tx| changes::prune(tx, policy, None, now, batch))
            };
            assert!(!prune(never, 0, 10).await.expect("nothing to delete"));
            for number in 0..100 {
                change!(store, settings::set, {"key": "k", "value": number}).expect("set");
            }
            assert!(!prune(never, 0, 10).await.expect("at the limit"));
            assert_eq!(kept(&store).await, (1, 100));
            change!(store, settings::set, {"key": "k", "value": null}).expect("set");
            assert!(!prune(never, 0, 10).await.expect("one past it: by its row a cursor is known"));
            assert_eq!(kept(&store).await, (1, 101));
            let one_less = FeedPolicy { max_changes: 99, ..never };
            assert!(!prune(one_less, 0, 10).await.expect("two past it"));
            assert_eq!(kept(&store).await, (3, 101));
            let few = FeedPolicy { max_changes: 60, ..never };
            assert!(prune(few, 0, 25).await.expect("a batch"));
            assert_eq!(kept(&store).await, (28, 101));
            assert!(!prune(few, 0, 25).await.expect("the rest"));
            assert_eq!(kept(&store).await, (42, 101));
            let read = store.read(move |tx| changes::after(tx, 0, 1000)).await.expect("changes");
            let newest = read.iter().map(|change| change.at).max().expect("some are kept");
            let age = FeedPolicy { max_changes: u32::MAX, max_age: 1000, ..never };
            assert!(!prune(age, newest, 100).await.expect("as old as may be"));
            let young = read.iter().filter(|change| change.at == newest).count() as i64;
            let old_enough = newest + 1000 + 1;
            assert!(!prune(age, newest + 1000, 100).await.expect("older ones go"));
            assert_eq!(kept(&store).await, (101 - young + 1, 101), "{engine:?}");
            assert!(!prune(age, old_enough, 100).await.expect("all but the newest go"));
            assert_eq!(kept(&store).await, (101, 101));
            let none = FeedPolicy { max_changes: 0, max_age: 0, ..never };
            assert!(!prune(none, i64::MAX, 100).await.expect("the newest stays"));
            assert_eq!(kept(&store).await, (101, 101));
            store.close().await.expect("closed");
            let store = open_store(&home, engine);
            change!(store, settings::set, {"key": "k", "value": 1}).expect("set");
            assert_eq!(kept(&store).await, (101, 102));
            store.close().await.expect("closed");
        });
    }
}

fn append(session: &str, id: &str) -> Value {
    json!({"id": id, "session_id": session, "role": "user", "content": "said"})
}

/// Takes the next event of a subscription.
fn event(client: &mut LineClient) -> Value {
    let mut notification = client.receive();
    assert_eq!(notification["method"], "events.event", "{notification}");
    assert!(notification.get("id").is_none());
    assert!(notification["params"]["subscription"].is_string());
    notification["params"]["event"].take()
}

fn topics_of(events: &[Value]) -> Vec<String> {
    let tell =
        |event: &Value| format!("{} {}", event["topic"], event["entity_id"]).replace('"', "");
    events.iter().map(tell).collect()
}

#[test]
fn a_subscriber_gets_what_was_and_then_what_comes() {
    let home = Home::new();
    let daemon = home.start();
    let mut writer = daemon.client();
    let start = writer.call("events.since", json!({}));
    assert_eq!(start["events"], json!([]));
    writer.call("session.start", json!({"id": "s", "kind": "chat"}));
    writer.call("message.append", append("s", "m1"));
    writer.call("session.start", json!({"id": "t", "kind": "chat"}));
    let mut all = daemon.client();
    let subscribed = all.call("events.subscribe", json!({"since": start["cursor"]}));
    assert_eq!(subscribed["cursor"], start["cursor"]);
    let past: Vec<Value> = (0..3).map(|_| event(&mut all)).collect();
    assert_eq!(topics_of(&past), ["session.started s", "message.appended m1", "session.started t"]);
    assert_eq!(past[1]["data"], writer.call("message.get", json!({"id": "m1"})));
    assert_eq!(past[1]["session_id"], "s");
    // From now on, and of one session and topic alone.
    let mut some = daemon.client();
    let now = some.call(
        "events.subscribe",
        json!({"topics": ["message.up", "session.d"], "session_id": "s"}),
    );
    assert_eq!(now["cursor"], past[2]["cursor"]);
    writer.call("message.append", append("s", "m2"));
    writer.call("message.append", append("t", "m3"));
    writer.call("message.update", json!({"id": "m3", "content": "other"}));
    writer.call("message.update", json!({"id": "m2", "content": "other"}));
    writer.call("session.delete", json!({"id": "s"}));
    let coming: Vec<Value> = (0..5).map(|_| event(&mut all)).collect();
    assert_eq!(
        topics_of(&coming),
        [
            "message.appended m2",
            "message.appended m3",
            "message.updated m3",
            "message.updated m2",
            "session.deleted s"
        ]
    );
    let seqs: Vec<i64> =
        past.iter().chain(&coming).map(|event| event["seq"].as_i64().expect("a number")).collect();
    assert_eq!(seqs, (seqs[0]..seqs[0] + 8).collect::<Vec<i64>>());
    let chosen = [event(&mut some), event(&mut some)];
    assert_eq!(topics_of(&chosen), ["message.updated m2", "session.deleted s"]);
    assert_eq!(chosen[1]["data"], Value::Null, "what is in the trash is not shown");
    // The same page by page, of each place.
    for (at, seen) in past.iter().chain(&coming).enumerate() {
        let page = writer.call("events.since", json!({"cursor": seen["cursor"], "limit": 2}));
        let rest = 7 - at;
        assert_eq!(page["events"].as_array().expect("events").len(), rest.min(2));
        assert_eq!(page["has_more"], rest > 2);
    }
    // An end that is asked for is one.
    let name = subscribed["subscription"].clone();
    let ended = all.call("events.unsubscribe", json!({"subscription": name}));
    assert_eq!(ended, json!({"unsubscribed": true}));
    let ended = all.call("events.unsubscribe", json!({"subscription": name}));
    assert_eq!(ended, json!({"unsubscribed": false}));
    writer.call("message.append", append("t", "m4"));
    assert_eq!(all.call("system.ping", json!({}))["protocol"], 1);
}

/// Somebody follows, so that the newest events are in memory: they must not tell what is gone.
#[test]
fn who_subscribes_behind_a_purge_is_shown_nothing_of_it() {
    let home = Home::new();
    let daemon = home.start();
    let mut writer = daemon.client();
    let start = writer.call("events.since", json!({}))["cursor"].take();
    let mut follower = daemon.client();
    follower.call("events.subscribe", json!({}));
    writer.call("session.start", json!({"id": "s", "kind": "chat"}));
    writer.call("message.append", append("s", "m"));
    writer.call("session.start", json!({"id": "t", "kind": "chat"}));
    writer.call("session.delete", json!({"id": "s", "purge": true}));
    for _ in 0..4 {
        event(&mut follower);
    }
    let mut late = daemon.client();
    late.call("events.subscribe", json!({"since": start}));
    let seen: Vec<Value> = (0..4).map(|_| event(&mut late)).collect();
    let told = ["session.started s", "message.appended m", "session.started t", "session.purged s"];
    assert_eq!(topics_of(&seen), told);
    let has_data: Vec<bool> = seen.iter().map(|event| !event["data"].is_null()).collect();
    assert_eq!(has_data, [false, false, true, false]);
}

#[test]
fn a_subscription_needs_a_place_a_known_topic_and_a_connection_that_stays() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    for number in 1..=MAX_SUBSCRIPTIONS {
        let made = client.call("events.subscribe", json!({}));
        assert_eq!(made["subscription"], number.to_string());
    }
    assert_eq!(error_kind(&client.fail("events.subscribe", json!({}))), "overloaded");
    client.call("events.unsubscribe", json!({"subscription": "7"}));
    client.call("events.subscribe", json!({}));
    assert_eq!(error_kind(&client.fail("events.subscribe", json!({}))), "overloaded");
    // The end of the connection gives all places back; they are each connection's own anyway.
    let mut client = daemon.client();
    let many = |count: usize| json!({"topics": vec!["message"; count]});
    client.call("events.subscribe", many(MAX_TOPICS));
    for (method, bad, field) in [
        ("events.subscribe", many(MAX_TOPICS + 1), "topics"),
        ("events.since", many(0), "topics"),
        ("events.since", json!({"topics": ["message", "mesage"]}), "topics[1]"),
        ("events.since", json!({"topics": [""]}), "topics[0]"),
        ("events.since", json!({"wait_ms": MAX_WAIT_MS + 1}), "wait_ms"),
        ("events.since", json!({"limit": 0}), "limit"),
        ("events.since", json!({"limit": 1001}), "limit"),
        ("events.since", json!({"cursor": "1"}), "cursor"),
        ("events.subscribe", json!({"since": 1}), "since"),
    ] {
        let error = client.fail(method, bad);
        assert_eq!(error_kind(&error), "invalid_params", "{error}");
        assert_eq!(error["data"]["field"], field, "{error}");
    }
    // As a notification it has no answer, and so no name: none is made.
    client.send(r#"{"jsonrpc":"2.0","method":"events.subscribe"}"#);
    for (method, params) in
        [("events.subscribe", json!({})), ("events.unsubscribe", json!({"subscription": "1"}))]
    {
        let answer = post(&home.socket(), &request(1, method, &params));
        assert_eq!(error_kind(&answer["error"]), "invalid_request");
    }
    let mut writer = daemon.client();
    writer.call("session.start", json!({"id": "s", "kind": "chat"}));
    writer.call("message.append", append("s", "m"));
    assert_eq!(topics_of(&[event(&mut client)]), ["message.appended m"]);
    assert_eq!(client.call("system.ping", json!({}))["protocol"], 1, "there is one subscription");
}

#[test]
fn other_framings_carry_subscriptions_too() {
    let home = Home::new();
    let daemon = home.start();
    let subscribe = request(1, "events.subscribe", &json!({"topics": ["session"]}));
    let mut framed = connect(&home.socket());
    write!(framed, "Content-Length: {}\r\n\r\n{subscribe}", subscribe.len()).expect("it reads");
    let (_, answer) = read_message(&mut framed);
    assert!(answer.contains(r#""subscription":"1""#), "{answer}");
    let stream = connect(&home.socket());
    let (mut socket, _) = tungstenite::client("ws://localhost/", stream).expect("an upgrade");
    socket.send(Message::text(subscribe)).expect("it reads");
    let answer = socket.read().expect("an answer").into_text().expect("a text");
    assert!(answer.contains(r#""subscription":"1""#), "{answer}");
    daemon.client().call("session.start", json!({"id": "s", "kind": "chat"}));
    let (_, framed) = read_message(&mut framed);
    let socket = socket.read().expect("an event").into_text().expect("a text");
    for event in [framed.as_str(), socket.as_str()] {
        let event: Value = serde_json::from_str(event).expect("JSON");
        assert_eq!(event["params"]["event"]["data"]["id"], "s", "{event}");
    }
}

#[test]
fn a_page_waits_for_the_first_event_that_matches() {
    let home = Home::new();
    let mut daemon = home.start();
    let mut writer = daemon.client();
    writer.call("session.start", json!({"id": "s", "kind": "chat"}));
    let mut client = daemon.client();
    let start = client.call("events.since", json!({"wait_ms": 1}));
    assert_eq!(start["events"], json!([]), "the time is over");
    let wait = |topics: Value| {
        request(
            5,
            "events.since",
            &json!({"cursor": start["cursor"], "topics": topics, "wait_ms": MAX_WAIT_MS}),
        )
    };
    client.send(&wait(json!(["message.updated"])));
    let mut half_closed = connect(&home.socket());
    half_closed.write_all((wait(json!(["message"])) + "\n").as_bytes()).expect("it reads");
    half_closed.shutdown(std::net::Shutdown::Write).expect("half closed");
    writer.call("message.append", append("s", "m"));
    let mut half_closed = std::io::BufReader::new(half_closed);
    let mut line = String::new();
    std::io::BufRead::read_line(&mut half_closed, &mut line).expect("an answer");
    let page: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(page["result"]["events"][0]["entity_id"], "m");
    writer.call("message.update", json!({"id": "m", "content": "x"}));
    let page = client.receive();
    assert_eq!(
        topics_of(page["result"]["events"].as_array().expect("events")),
        ["message.updated m"]
    );
    assert_eq!(page["result"]["events"][0]["cursor"], page["result"]["cursor"]);
    // A stop does not wait for who waits.
    client.send(&request(6, "events.since", &json!({"wait_ms": MAX_WAIT_MS})));
    let mut follower = daemon.client();
    follower.call("events.subscribe", json!({}));
    assert_eq!(client.call_behind("system.ping")["id"], "ping");
    writer.call("system.shutdown", json!({}));
    let page = client.receive();
    assert_eq!(page["result"]["events"], json!([]), "{page}");
    assert!(client.try_receive().is_none() && follower.try_receive().is_none());
    assert!(daemon.wait().success());
}

/// A feed from which the oldest is gone, and a reader who never takes what it is sent.
#[test]
fn who_is_too_late_or_too_slow_is_told_and_slows_nobody() {
    let home = Home::new();
    let daemon = home.start_with(&["--feed-max-changes", "1"]);
    let mut writer = daemon.client();
    let start = writer.call("events.since", json!({}))["cursor"].clone();
    let mut slow = daemon.client();
    slow.call("events.subscribe", json!({"since": start}));
    let mut quick = daemon.client();
    quick.call("events.subscribe", json!({"since": start, "topics": ["message"]}));
    writer.call("session.start", json!({"id": "s", "kind": "chat"}));
    let content = "x".repeat(16 * 1024);
    let mut newest = Value::Null;
    for number in 0..1_200 {
        // What the slow one does not take fills its socket first, then it is left where it is.
        let id = format!("m{number}");
        writer.call(
            "message.append",
            json!({"id": id, "session_id": "s", "role": "user", "content": content}),
        );
        let event = event(&mut quick);
        assert_eq!(event["entity_id"], id);
        newest = event["cursor"].clone();
    }
    let mut seq = 0;
    let ended = loop {
        let notification = slow.receive();
        if notification["method"] == "events.ended" {
            break notification;
        }
        seq += 1;
        assert_eq!(notification["params"]["event"]["seq"], seq, "without a gap up to the end");
    };
    assert!((1..1_000).contains(&seq), "{seq}");
    let error = &ended["params"]["error"];
    assert_eq!((error_kind(error), &error["code"]), ("expired", &json!(1410)));
    assert_eq!(error["data"]["cursor"], newest, "where to start again");
    // Its place is free and its connection lives on.
    assert_eq!(
        slow.call("events.unsubscribe", json!({"subscription": "1"}))["unsubscribed"],
        false
    );
    let again = slow.call("events.subscribe", json!({"since": error["data"]["cursor"]}));
    assert_eq!(again["subscription"], "2");
    writer.call("message.append", append("s", "last"));
    assert_eq!(event(&mut slow)["entity_id"], "last");
    // Too old, ahead, and of another database.
    let parts: Vec<&str> = newest.as_str().expect("a cursor").split('.').collect();
    let &[feed, seq, at] = parts.as_slice() else { panic!("{newest}") };
    let seq: i64 = seq.parse().expect("a number");
    let ahead = format!("{feed}.{}.{at}", seq + 2);
    let foreign = format!("{}.{seq}.{at}", "0".repeat(feed.len()));
    for cursor in [start.as_str().expect("a text"), &ahead, &foreign] {
        for (method, name) in [("events.since", "cursor"), ("events.subscribe", "since")] {
            let error = writer.fail(method, json!({name: cursor}));
            assert_eq!(error_kind(&error), "expired", "{cursor}: {error}");
            writer.call("events.since", json!({"cursor": error["data"]["cursor"]}));
            let kept =
                writer.call("events.since", json!({"cursor": error["data"]["oldest"], "limit": 1}));
            assert_eq!(kept["events"].as_array().expect("events").len(), 1);
        }
        let error = writer.fail("events.since", json!({"cursor": cursor, "wait_ms": MAX_WAIT_MS}));
        assert_eq!(error_kind(&error), "expired");
    }
}

const WRITERS: u64 = 8;
const SUBSCRIBERS: u64 = 20;
const KILLS: usize = 6;

/// Writers retry what was not answered; subscribers come and go; the daemon is killed.
#[test]
fn every_subscriber_sees_every_change_once_and_in_order_across_kills() {
    let home = Home::new();
    let mut daemon = home.start();
    let mut client = daemon.client();
    let start =
        client.call("events.since", json!({}))["cursor"].as_str().expect("a cursor").to_owned();
    for writer in 0..WRITERS {
        client.call("session.start", json!({"id": format!("s{writer}"), "kind": "chat"}));
    }
    drop(client);
    // The number of the last change, once there is one.
    let last = AtomicI64::new(i64::MAX);
    let answered = AtomicI64::new(0);
    let socket = home.socket();
    std::thread::scope(|scope| {
        let subscribers: Vec<_> = (0..SUBSCRIBERS)
            .map(|number| {
                let (socket, start, last) = (&socket, start.clone(), &last);
                scope.spawn(move || follow(socket, start, last, fastrand::Rng::with_seed(number)))
            })
            .collect();
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let (socket, answered) = (&socket, &answered);
                scope.spawn(move || write_on(socket, number, answered))
            })
            .collect();
        for kill in 1..=KILLS {
            // At a point of the writers' work, not of the clock.
            while answered.load(Ordering::Relaxed) < (kill * 150) as i64 {
                std::thread::yield_now();
            }
            daemon.kill();
            daemon = home.start();
        }
        for writer in writers {
            writer.join().expect("the writer ends well");
        }
        let mut client = daemon.client();
        let end = client.call("events.since", json!({}))["cursor"].clone();
        let seq = end.as_str().and_then(|text| text.split('.').nth(1)).expect("a cursor");
        last.store(seq.parse().expect("a number"), Ordering::Relaxed);
        // Wakes those who have it all and wait.
        client.call("settings.set", json!({"key": "the.end", "value": true}));
        let seen: Vec<_> = subscribers
            .into_iter()
            .map(|subscriber| subscriber.join().expect("the subscriber ends well"))
            .collect();
        let expected: BTreeSet<String> = (0..WRITERS)
            .flat_map(|writer| (0..PER_WRITER).map(move |number| format!("m{writer}-{number}")))
            .collect();
        let last = last.load(Ordering::Relaxed);
        for seen in seen {
            let seqs: Vec<i64> =
                seen.iter().map(|(seq, _)| *seq).take_while(|seq| *seq <= last).collect();
            assert_eq!(seqs, (1..=last).collect::<Vec<i64>>());
            let messages: Vec<&String> =
                seen.iter().map(|(_, id)| id).filter(|id| id.starts_with('m')).collect();
            assert_eq!(messages.len(), expected.len());
            assert_eq!(messages.into_iter().cloned().collect::<BTreeSet<_>>(), expected);
        }
    });
}

const PER_WRITER: u64 = 150;

/// Appends messages one by one, again and again until each is answered.
fn write_on(socket: &std::path::Path, writer: u64, answered: &AtomicI64) {
    let mut client = None;
    for number in 0..PER_WRITER {
        let params = append(&format!("s{writer}"), &format!("m{writer}-{number}"));
        loop {
            let connected: &mut LineClient = client.get_or_insert_with(|| connect_again(socket));
            let sent = connected.try_send(&request(number, "message.append", &params));
            let reply = sent.ok().and_then(|()| connected.try_receive());
            if let Some(reply) = reply {
                assert!(reply.get("error").is_none(), "{reply}");
                answered.fetch_add(1, Ordering::Relaxed);
                break;
            }
            client = None;
        }
    }
}

/// Follows the feed to its last change, leaving and coming back at random.
fn follow(
    socket: &std::path::Path,
    mut cursor: String,
    last: &AtomicI64,
    mut random: fastrand::Rng,
) -> Vec<(i64, String)> {
    let mut seen = Vec::new();
    loop {
        let mut client = connect_again(socket);
        let subscribe = request(1, "events.subscribe", &json!({"since": cursor}));
        if client.try_send(&subscribe).is_err() {
            continue;
        }
        let leaves_after = random.usize(1..200);
        for _ in 0..=leaves_after {
            // The first is the answer.
            let Some(frame) = client.try_receive() else { break };
            assert!(frame.get("error").is_none(), "{frame}");
            let event = &frame["params"]["event"];
            let Some(seq) = event["seq"].as_i64() else { continue };
            cursor = event["cursor"].as_str().expect("a cursor").to_owned();
            seen.push((seq, event["entity_id"].as_str().expect("an id").to_owned()));
            if seq > last.load(Ordering::Relaxed) {
                return seen;
            }
        }
    }
}

fn connect_again(socket: &std::path::Path) -> LineClient {
    // A killed daemon is started again: tried until it listens.
    loop {
        if let Ok(stream) = UnixStream::connect(socket) {
            return LineClient::of(stream);
        }
        std::thread::yield_now();
    }
}
