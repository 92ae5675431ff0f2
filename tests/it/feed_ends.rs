//! How followers of the feed end: they hang up, the daemon stops, and no place is held for them.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use aetherd::model::limits::{MAX_IN_FLIGHT, MAX_WAIT_MS};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::support::{Daemon, Home, LineClient, connect, read_message, request};

/// A wait that is held to its end takes three times as long, and a stop that waits for its deadline
/// twice.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A call that waits for as long as one may, for what never comes.
fn wait(id: u64) -> String {
    request(id, "events.since", &json!({"topics": ["project"], "wait_ms": MAX_WAIT_MS}))
}

fn framed(json: &str) -> String {
    format!("Content-Length: {}\r\n\r\n{json}", json.len())
}

fn posted(json: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{}", framed(json))
}

fn websocket(socket: &Path) -> WebSocket<UnixStream> {
    tungstenite::client("ws://localhost/", connect(socket)).expect("an upgrade").0
}

fn sent(socket: &Path, text: &str) -> UnixStream {
    let mut stream = connect(socket);
    stream.write_all(text.as_bytes()).expect("the daemon reads");
    stream
}

/// Waits until so many connections are left.
fn wait_for_connections(daemon: &Daemon, count: usize) {
    let started = Instant::now();
    let mut client = daemon.client();
    loop {
        let connections = client.call("system.status", json!({}))["connections"].clone();
        if connections == count + 1 {
            break;
        }
        assert!(started.elapsed() < 4 * AT_ONCE, "{connections} connections are left");
    }
}

#[test]
fn who_hangs_up_while_it_waits_holds_no_place() {
    let home = Home::new();
    let daemon = home.start();
    let socket = home.socket();
    let waits: String = (0..MAX_IN_FLIGHT as u64).map(|id| wait(id) + "\n").collect();
    let streams = [
        sent(&socket, &(wait(1) + "\n")),
        // So many are in flight that it is not read, and does not see the end of what is sent.
        sent(&socket, &waits),
        sent(&socket, &framed(&wait(1))),
        sent(&socket, &posted(&wait(1))),
    ];
    let mut sockets = [websocket(&socket), websocket(&socket)];
    for socket in &mut sockets {
        socket.send(Message::text(wait(1))).expect("the daemon reads");
    }
    wait_for_connections(&daemon, streams.len() + sockets.len());
    drop(streams);
    let [dropped, mut closed] = sockets;
    drop(dropped);
    // A close ends what goes either way, whether or not the socket is closed behind it.
    closed.close(None).expect("the daemon reads");
    assert!(matches!(closed.read(), Ok(Message::Close(_))));
    assert!(closed.read().is_err(), "the daemon closes the socket");
    wait_for_connections(&daemon, 0);
}

/// What `… | nc -N` does: its half is closed, and it reads what it asked for.
#[test]
fn who_closes_its_half_gets_what_it_waits_for() {
    let home = Home::new();
    let daemon = home.start();
    let socket = home.socket();
    let streams = [wait(1) + "\n", framed(&wait(1)), posted(&wait(1))].map(|text| {
        let stream = sent(&socket, &text);
        stream.shutdown(Shutdown::Write).expect("half closed");
        stream
    });
    wait_for_connections(&daemon, streams.len());
    daemon.client().call("project.open", json!({"id": "p", "path": "/p"}));
    for mut stream in streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer, and the end");
        assert!(answer.contains(r#""topic":"project.created""#), "{answer}");
    }
}

#[test]
fn who_hangs_up_while_it_follows_or_waits_loses_no_write() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    let writes = |key: &str| -> Vec<String> {
        let set = |n| request(n, "settings.set", &json!({"key": format!("{key}{n}"), "value": n}));
        (0..200).map(set).collect()
    };
    let lines = writes("lines").join("\n");
    drop(sent(&home.socket(), &format!("{}\n{lines}\n", wait(1))));
    let subscribe = request(1, "events.subscribe", &json!({}));
    drop(sent(&home.socket(), &format!("{subscribe}\n{}\n", writes("following").join("\n"))));
    let batch = format!("[{},{}]", writes("http")[..99].join(","), wait(99));
    drop(sent(&home.socket(), &posted(&batch)));
    for key in ["lines199", "following199", "http98"] {
        let started = Instant::now();
        while client.call("settings.get", json!({"key": key}))["resolved"].is_null() {
            assert!(started.elapsed() < 4 * AT_ONCE, "{key} is not carried out");
        }
    }
    wait_for_connections(&daemon, 1);
}

const EVENTS: usize = 64;

/// Appends more than a socket holds, and returns once it was published.
fn append_more_than_a_socket_holds(daemon: &Daemon) {
    let (mut writer, mut quick) = (daemon.client(), subscriber(daemon));
    writer.call("session.start", json!({"id": "s", "kind": "chat"}));
    let content = "c".repeat(64 * 1024);
    for number in 0..EVENTS {
        let id = format!("m{number}");
        writer.call(
            "message.append",
            json!({"id": id, "session_id": "s", "role": "user", "content": content}),
        );
        assert_eq!(quick.receive()["params"]["event"]["entity_id"], id);
    }
}

fn subscriber(daemon: &Daemon) -> LineClient {
    let mut client = daemon.client();
    client.call("events.subscribe", json!({"topics": ["message"]}));
    client
}

/// Events are in the feed, so nobody waits until they are taken; who comes back misses none.
#[test]
fn a_stop_does_not_wait_for_who_takes_no_events() {
    let home = Home::new();
    let mut daemon = home.start();
    let [mut deaf, mut half_way] = [(); 2].map(|()| subscriber(&daemon));
    let mut half_closed = connect(&home.socket());
    let subscribe = request(1, "events.subscribe", &json!({"topics": ["message"]}));
    half_closed.write_all(framed(&subscribe).as_bytes()).expect("the daemon reads");
    read_message(&mut half_closed);
    let mut socket = websocket(&home.socket());
    socket.send(Message::text(subscribe)).expect("the daemon reads");
    assert!(socket.read().expect("an answer").is_text());
    append_more_than_a_socket_holds(&daemon);
    half_closed.shutdown(Shutdown::Write).expect("half closed");
    let mut seen: Vec<Value> = Vec::new();
    for _ in 0..EVENTS / 2 {
        seen.push(half_way.receive()["params"]["event"].take());
    }
    let started = Instant::now();
    daemon.client().call("system.shutdown", json!({}));
    assert!(daemon.wait().success());
    assert!(started.elapsed() < AT_ONCE, "the stop took {:?}", started.elapsed());
    assert!(deaf.try_receive().is_some(), "what its socket had room for is there");
    while let Some(mut frame) = half_way.try_receive() {
        seen.push(frame["params"]["event"].take());
    }
    assert!(seen.len() < EVENTS, "the stop came half-way");
    let daemon = home.start();
    let mut again = daemon.client();
    let last = &seen[seen.len() - 1]["cursor"];
    again.call("events.subscribe", json!({"since": last, "topics": ["message"]}));
    while seen.len() < EVENTS {
        seen.push(again.receive()["params"]["event"].take());
    }
    for (number, event) in seen.iter().enumerate() {
        assert_eq!(event["entity_id"], format!("m{number}"), "without a gap or a repeat");
    }
}

#[test]
fn a_stop_waits_for_who_is_owed_a_reply_behind_its_events() {
    let home = Home::new();
    let mut daemon = home.start();
    let mut slow = subscriber(&daemon);
    append_more_than_a_socket_holds(&daemon);
    slow.send(&request(7, "system.ping", &json!({})));
    daemon.client().call("system.shutdown", json!({}));
    while slow.receive()["id"] != 7 {}
    assert!(daemon.wait().success());
}
