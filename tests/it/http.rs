//! HTTP and WebSocket: which path, which version, how a connection ends and what its close says.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use aetherd::model::limits::{MAX_CONTENT_BYTES, MAX_FRAME_BYTES};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::support::{Home, connect, error_kind, read_message, request};

/// The daemon gives what is in flight ten seconds; a stop that waits for nothing is far below.
const AT_ONCE: Duration = Duration::from_secs(5);

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"system.ping"}"#;

fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn upgrade(path: &str, version: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

fn websocket(socket: &Path) -> WebSocket<UnixStream> {
    tungstenite::client("ws://localhost/", connect(socket)).expect("an upgrade").0
}

/// Reads to the close, and returns the replies before it and its frame.
fn read_to_close(socket: &mut WebSocket<UnixStream>) -> (Vec<Value>, Option<CloseFrame>) {
    let mut replies = Vec::new();
    loop {
        match socket.read().expect("a close comes before the end") {
            Message::Text(text) => replies.push(serde_json::from_str(&text).expect("JSON")),
            Message::Close(frame) => return (replies, frame),
            other => panic!("unexpected: {other:?}"),
        }
    }
}

#[test]
fn one_path_and_one_version_are_served() {
    let home = Home::new();
    let daemon = home.start();
    let _ = &daemon;
    for (sent, status, head_says) in [
        (post("/", PING), "200 OK", "application/json"),
        (post("/?trace=1", PING), "200 OK", "application/json"),
        (post("http://localhost", PING), "200 OK", "application/json"),
        (post("/rpc", PING), "404 Not Found", "text/plain"),
        (post("//", PING), "404 Not Found", "text/plain"),
        (upgrade("/", "13"), "101 Switching Protocols", "sec-websocket-accept"),
        (upgrade("/ws", "13"), "404 Not Found", "text/plain"),
        (upgrade("/", "8"), "426 Upgrade Required", "sec-websocket-version: 13"),
    ] {
        let mut stream = connect(&home.socket());
        stream.write_all(sent.as_bytes()).expect("the daemon reads");
        let (head, body) = read_message(&mut stream);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{sent}: {head}{body}");
        assert!(head.contains(head_says), "{sent}: {head}{body}");
    }
}

#[test]
fn half_a_request_does_not_hold_up_the_stop() {
    let home = Home::new();
    let mut daemon = home.start();
    let whole = post("/", PING);
    let head = &whole[..whole.len() - PING.len()];
    let mut streams = Vec::new();
    for (before, half) in [
        ("", "P"),
        ("", &head[..20]),
        ("", head),
        ("", &whole[..whole.len() - 1]),
        (
            "",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{\"",
        ),
        (&whole, ""),
        (&whole, &head[..20]),
        (&whole, &whole[..whole.len() - 1]),
    ] {
        let mut stream = connect(&home.socket());
        stream.write_all(before.as_bytes()).expect("the daemon reads");
        if !before.is_empty() {
            assert!(read_message(&mut stream).0.starts_with("HTTP/1.1 200"));
        }
        stream.write_all(half.as_bytes()).expect("the daemon reads");
        streams.push((half, stream));
    }
    // Each has its place, so each was accepted.
    let mut client = daemon.client();
    while client.call("system.status", json!({}))["connections"] != streams.len() + 1 {}
    let started = Instant::now();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0), "{}", home.log());
    assert!(started.elapsed() < AT_ONCE, "the stop took {:?}", started.elapsed());
    for (half, mut stream) in streams {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).expect("it is closed");
        // With a whole head there is a request to answer: it can be sent again.
        let is_told = rest.starts_with("HTTP/1.1 503") && rest.contains("shutting_down");
        assert!(
            if half.contains("\r\n\r\n") { is_told } else { rest.is_empty() },
            "{half:?}: {rest}"
        );
    }
}

/// The daemon is asked to stop by the same batch, so that the reply is yet to be made then.
#[test]
fn a_call_in_flight_over_http_is_answered_at_the_stop() {
    let home = Home::new();
    let mut daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    let content = "c".repeat(MAX_CONTENT_BYTES);
    client.call("message.append", json!({"session_id": "s", "role": "user", "content": content}));
    let calls = [
        request(1, "history.recent", &json!({"session_id": "s"})),
        request(2, "settings.set", &json!({"key": "k", "value": 1})),
        request(3, "system.shutdown", &json!({})),
    ];
    let mut stream = connect(&home.socket());
    stream
        .write_all(post("/", &format!("[{}]", calls.join(","))).as_bytes())
        .expect("the daemon reads");
    let (head, body) = read_message(&mut stream);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let replies: Vec<Value> = serde_json::from_str(&body).expect("JSON");
    assert_eq!(replies[0]["result"]["messages"][0]["content"], content);
    assert!(replies[1]["result"].is_object(), "{}", replies[1]);
    assert_eq!(stream.read(&mut [0]).expect("it is closed"), 0);
    assert_eq!(daemon.wait().code(), Some(0), "{}", home.log());
}

#[test]
fn a_websocket_close_says_why() {
    let home = Home::new();
    let daemon = home.start();
    let _ = &daemon;
    let text =
        |payload: Vec<u8>| Message::Frame(Frame::message(payload, OpCode::Data(Data::Text), true));
    let reserved = Message::Frame(Frame::message(&b"x"[..], OpCode::Data(Data::Reserved(3)), true));
    for (name, message, kind, code) in [
        // Sent to its end before the answer is read, as a client that blocks does it.
        ("too large", Message::text("x".repeat(MAX_FRAME_BYTES + 1)), "too_large", CloseCode::Size),
        ("not UTF-8", text(b"{\xff}".to_vec()), "parse_error", CloseCode::Invalid),
        ("not a message", reserved, "parse_error", CloseCode::Protocol),
    ] {
        let mut socket = websocket(&home.socket());
        socket.send(Message::text(PING)).expect("the daemon reads");
        socket.send(message).expect("the daemon reads");
        let (replies, close) = read_to_close(&mut socket);
        assert!(replies[0]["result"].is_object(), "{name}: {}", replies[0]);
        assert_eq!(error_kind(&replies[1]["error"]), kind, "{name}");
        assert_eq!(replies.len(), 2, "{name}");
        let close = close.expect("a close with a code");
        assert_eq!(close.code, code, "{name}");
        assert!(!close.reason.is_empty(), "{name}");
    }
    // A client's own close comes back.
    let mut socket = websocket(&home.socket());
    let bye = CloseFrame { code: CloseCode::Normal, reason: "bye".into() };
    socket.close(Some(bye.clone())).expect("the daemon reads");
    assert_eq!(read_to_close(&mut socket), (vec![], Some(bye)));
}

#[test]
fn the_stop_closes_a_websocket_with_1001_behind_what_is_in_flight() {
    let home = Home::new();
    let mut daemon = home.start();
    let mut idle = websocket(&home.socket());
    idle.send(Message::text(PING)).expect("the daemon reads");
    assert!(matches!(idle.read(), Ok(Message::Text(_))));
    let mut busy = websocket(&home.socket());
    let calls = [
        request(1, "settings.set", &json!({"key": "k", "value": 1})),
        request(2, "system.shutdown", &json!({})),
    ];
    busy.send(Message::text(format!("[{}]", calls.join(",")))).expect("the daemon reads");
    let (replies, close) = read_to_close(&mut busy);
    assert!(replies[0][0]["result"].is_object(), "{replies:?}");
    assert_eq!(close.expect("a close with a code").code, CloseCode::Away);
    let (replies, close) = read_to_close(&mut idle);
    assert_eq!((replies, close.map(|close| close.code)), (vec![], Some(CloseCode::Away)));
    assert_eq!(daemon.wait().code(), Some(0), "{}", home.log());
}
