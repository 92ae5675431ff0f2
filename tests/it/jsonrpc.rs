//! JSON-RPC 2.0 to the letter, on every framing. The cases are the specification's own examples
//! (jsonrpc.org/specification, section 7), with this daemon's methods in place of its.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use aetherd::model::limits::MAX_CONNECTIONS;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::support::{Home, LineClient, connect, read_message};

/// A connection that sends a frame and receives one, whatever the framing.
trait Framed {
    fn send(&mut self, frame: &str);
    /// Receives the next reply.
    fn receive(&mut self) -> Value;
}

impl Framed for LineClient {
    fn send(&mut self, frame: &str) {
        LineClient::send(self, frame);
    }
    fn receive(&mut self) -> Value {
        LineClient::receive(self)
    }
}

struct ContentLength(UnixStream);

impl Framed for ContentLength {
    fn send(&mut self, frame: &str) {
        write!(self.0, "Content-Length: {}\r\n\r\n{frame}", frame.len()).expect("the daemon reads");
    }
    fn receive(&mut self) -> Value {
        let (head, body) = read_message(&mut self.0);
        assert_eq!(head, format!("Content-Length: {}\r\n\r\n", body.len()));
        serde_json::from_str(&body).expect("JSON")
    }
}

struct WebSocket(tungstenite::WebSocket<UnixStream>);

impl WebSocket {
    fn connect(socket: &Path) -> Self {
        Self(tungstenite::client("ws://localhost/", connect(socket)).expect("an upgrade").0)
    }
}

impl Framed for WebSocket {
    fn send(&mut self, frame: &str) {
        self.0.send(Message::text(frame)).expect("the daemon reads");
    }
    fn receive(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.0.read().expect("the daemon replies") {
                return serde_json::from_str(&text).expect("JSON");
            }
        }
    }
}

/// One POST after another on one connection; a frame without a reply gets 204.
struct Http {
    stream: UnixStream,
    last: Option<Value>,
}

impl Framed for Http {
    fn send(&mut self, frame: &str) {
        write!(
            self.stream,
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{frame}",
            frame.len()
        )
        .expect("the daemon reads");
        let (status, body) = read_http(&mut self.stream);
        assert_eq!(status, if body.is_empty() { 204 } else { 200 });
        if !body.is_empty() {
            self.last = Some(serde_json::from_str(&body).expect("JSON"));
        }
    }
    fn receive(&mut self) -> Value {
        self.last.take().expect("a reply came with the POST")
    }
}

fn read_http(stream: &mut UnixStream) -> (u16, String) {
    let (head, body) = read_message(stream);
    (head.split(' ').nth(1).expect("a status").parse().expect("a number"), body)
}

fn every_framing(socket: &Path) -> Vec<(&'static str, Box<dyn Framed>)> {
    vec![
        ("lines", Box::new(LineClient::connect(socket))),
        ("Content-Length", Box::new(ContentLength(connect(socket)))),
        ("WebSocket", Box::new(WebSocket::connect(socket))),
        ("HTTP", Box::new(Http { stream: connect(socket), last: None })),
    ]
}

/// Reduces a reply to its id and its result or error code.
fn essence(reply: &Value) -> Value {
    match reply {
        Value::Array(replies) => replies.iter().map(essence).collect(),
        reply => {
            assert_eq!(reply["jsonrpc"], "2.0");
            let mut essence = json!({ "id": reply["id"] });
            if let Some(error) = reply.get("error") {
                assert!(reply.get("result").is_none(), "{reply}");
                assert!(error["data"]["kind"].is_string(), "{reply}");
                essence["error"] = error["code"].clone();
            } else {
                essence["ok"] = json!(reply.get("result").is_some());
            }
            essence
        }
    }
}

#[test]
fn the_specifications_examples_hold_on_every_framing() {
    let home = Home::new();
    let daemon = home.start();
    let _ = &daemon;
    for (framing, mut connection) in every_framing(&home.socket()) {
        for (sent, expected) in [
            // rpc call with named parameters, in any order of members
            (
                r#"{"jsonrpc": "2.0", "method": "settings.get", "params": {"key": "a"}, "id": 3}"#,
                json!({"id": 3, "ok": true}),
            ),
            (
                r#"{"id": "4", "params": {"key": "a"}, "method": "settings.get", "jsonrpc": "2.0"}"#,
                json!({"id": "4", "ok": true}),
            ),
            // ids of every kind come back as they were
            (
                r#"{"jsonrpc": "2.0", "method": "system.ping", "id": -7}"#,
                json!({"id": -7, "ok": true}),
            ),
            (
                r#"{"jsonrpc": "2.0", "method": "system.ping", "id": 1.5}"#,
                json!({"id": 1.5, "ok": true}),
            ),
            (
                r#"{"jsonrpc": "2.0", "method": "system.ping", "id": null}"#,
                json!({"id": null, "ok": true}),
            ),
            (
                r#"{"jsonrpc": "2.0", "method": "system.ping", "id": "é\n"}"#,
                json!({"id": "é\n", "ok": true}),
            ),
            // rpc call with positional parameters: this daemon takes named ones
            (
                r#"{"jsonrpc": "2.0", "method": "settings.get", "params": [42, 23], "id": 1}"#,
                json!({"id": 1, "error": -32602}),
            ),
            // rpc call of non-existent method
            (
                r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#,
                json!({"id": "1", "error": -32601}),
            ),
            // rpc call with invalid JSON
            (
                r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#,
                json!({"id": null, "error": -32700}),
            ),
            // rpc call with invalid Request object
            (
                r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#,
                json!({"id": null, "error": -32600}),
            ),
            (
                r#"{"jsonrpc": "1.0", "method": "system.ping", "id": 9}"#,
                json!({"id": 9, "error": -32600}),
            ),
            // an escaped letter is the letter
            (
                r#"{"jsonrpc": "\u0032.0", "m\u0065thod": "system.\u0070ing", "id": 9}"#,
                json!({"id": 9, "ok": true}),
            ),
            (
                r#"{"jsonrpc": 2.0, "method": "system.ping", "id": 9}"#,
                json!({"id": 9, "error": -32600}),
            ),
            (r#"{"method": "system.ping", "id": 9}"#, json!({"id": 9, "error": -32600})),
            (
                r#"{"jsonrpc": "2.0", "method": "system.ping", "id": {}}"#,
                json!({"id": null, "error": -32600}),
            ),
            (
                r#"{"jsonrpc": "2.0", "method": "system.ping", "params": 1, "id": 8}"#,
                json!({"id": 8, "error": -32600}),
            ),
            (
                r#"{"jsonrpc": "2.0", "method": "system.ping", "params": null, "id": 8}"#,
                json!({"id": 8, "error": -32600}),
            ),
            // rpc call Batch, invalid JSON
            (
                r#"[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method""#,
                json!({"id": null, "error": -32700}),
            ),
            // rpc call with an empty Array
            ("[]", json!({"id": null, "error": -32600})),
            // rpc call with an invalid Batch (but not empty)
            ("[1]", json!([{"id": null, "error": -32600}])),
            // rpc call with invalid Batch
            (
                "[1,2,3]",
                json!([{"id": null, "error": -32600}, {"id": null, "error": -32600}, {"id": null, "error": -32600}]),
            ),
            // rpc call Batch
            (
                r#"[
                    {"jsonrpc": "2.0", "method": "system.ping", "id": "1"},
                    {"jsonrpc": "2.0", "method": "settings.set", "params": {"key": "batch", "value": 7}},
                    {"jsonrpc": "2.0", "method": "settings.get", "params": {"key": "x"}, "id": "2"},
                    {"foo": "boo"},
                    {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
                    {"jsonrpc": "2.0", "method": "system.ping", "id": "9"}
                ]"#,
                json!([
                    {"id": "1", "ok": true},
                    {"id": "2", "ok": true},
                    {"id": null, "error": -32600},
                    {"id": "5", "error": -32601},
                    {"id": "9", "ok": true}
                ]),
            ),
        ] {
            // In the line framing a frame is one line.
            connection.send(&sent.replace('\n', " "));
            let reply = connection.receive();
            assert_eq!(essence(&reply), expected, "{framing}: {sent}: {reply}");
        }
    }
}

#[test]
fn a_member_that_is_there_twice_is_named_with_the_id_where_that_is_known() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    for (sent, id, member) in [
        (r#"{"jsonrpc": "2.0", "id": 1, "id": 2, "method": "system.ping"}"#, Value::Null, "id"),
        (
            r#"{"jsonrpc": "2.0", "id": 1, "method": "system.ping", "m\u0065thod": "a"}"#,
            json!(1),
            "method",
        ),
        (
            r#"{"jsonrpc": "2.0", "id": "a", "params": {}, "method": "system.ping", "params": {}}"#,
            json!("a"),
            "params",
        ),
        (
            r#"{"jsonrpc": "2.0", "jsonrpc": "2.0", "method": "system.ping"}"#,
            Value::Null,
            "jsonrpc",
        ),
    ] {
        client.send(sent);
        let reply = client.receive();
        assert_eq!(essence(&reply), json!({"id": id, "error": -32600}), "{sent}");
        let message = reply["error"]["message"].as_str().expect("a text");
        assert!(message.contains(&format!("member {member} more than once")), "{sent}: {message}");
    }
}

#[test]
fn notifications_are_carried_out_and_not_answered_on_every_framing() {
    let home = Home::new();
    let daemon = home.start();
    let _ = &daemon;
    for (framing, mut connection) in every_framing(&home.socket()) {
        let key = json!(format!("by.{framing}"));
        connection.send(
            &json!({"jsonrpc": "2.0", "method": "settings.set", "params": {"key": key, "value": [framing]}}).to_string(),
        );
        // A notification that fails is not answered either, and neither is one of no method.
        connection.send(r#"{"jsonrpc": "2.0", "method": "settings.set", "params": {"kez": 1}}"#);
        connection.send(r#"[{"jsonrpc": "2.0", "method": "foobar"}, {"jsonrpc": "2.0", "method": "system.ping"}]"#);
        // A write behind it is answered when it stands.
        connection.send(
            &json!({"jsonrpc": "2.0", "id": 1, "method": "settings.set", "params": {"key": "last", "value": 1}}).to_string(),
        );
        assert_eq!(connection.receive()["id"], 1, "{framing}");
        connection.send(
            &json!({"jsonrpc": "2.0", "id": 2, "method": "settings.get", "params": {"key": key}})
                .to_string(),
        );
        assert_eq!(connection.receive()["result"]["value"], json!([framing]));
    }
}

#[test]
fn a_connection_lives_on_after_what_cannot_be_read() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    // The first byte chooses the framing, so the first frame is a good one.
    client.call("system.ping", json!({}));
    for bad in
        ["nonsense", "\u{1}", "{", "\"text\"", "12", "null", "{\"a\":\"\\ud800\"}", "[", "{}"]
    {
        client.send(bad);
        let reply = client.receive();
        assert_eq!(reply["id"], Value::Null, "{bad}: {reply}");
        assert!(
            reply["error"]["code"] == -32700 || reply["error"]["code"] == -32600,
            "{bad}: {reply}"
        );
    }
    let mut raw = connect(&home.socket());
    raw.write_all(b"{\xff}\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"system.ping\"}")
        .expect("the daemon reads");
    raw.shutdown(std::net::Shutdown::Write).expect("open");
    let mut replies = String::new();
    raw.read_to_string(&mut replies).expect("the daemon replies and hangs up");
    let codes: Vec<Value> =
        replies.lines().map(|line| essence(&serde_json::from_str(line).expect("JSON"))).collect();
    assert_eq!(codes, [json!({"id": null, "error": -32700}), json!({"id": 1, "ok": true})]);
    assert!(client.call("system.ping", json!({}))["pid"].is_number());
}

/// A client that ends the lines of its headers with bare newlines hears of it and does not wait.
#[test]
fn bare_newlines_in_headers_are_told() {
    let home = Home::new();
    let daemon = home.start();
    let _ = &daemon;
    let mut raw = connect(&home.socket());
    raw.write_all(b"Content-Length: 2\n\n{}").expect("the daemon reads");
    let (_, reply) = read_message(&mut raw);
    let reply: Value = serde_json::from_str(&reply).expect("JSON");
    assert_eq!(essence(&reply), json!({"id": null, "error": -32700}));
    assert!(
        reply["error"]["message"].as_str().is_some_and(|text| text.contains("CRLF")),
        "{reply}"
    );
    // What follows cannot be told apart any more: the connection ends.
    assert_eq!(std::io::Read::read(&mut raw, &mut [0]).expect("an end"), 0);
}

#[test]
fn an_error_in_params_names_the_field_and_what_was_expected() {
    const WHOLE_NUMBER: &str = "expected a whole number from 0 to 4294967295";
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    for (method, params, field, says) in [
        ("settings.get", r#"{"key": "a", "key": "b"}"#, "key", "duplicate"),
        (
            "message.append_many",
            r#"{"session_id": "s", "messages": [{"role": "user", "content": "a", "content": "b"}]}"#,
            "messages[0].content",
            "duplicate",
        ),
        ("system.hello", r#"{"client": {"name": 5}}"#, "client.name", "expected a string"),
        ("system.hello", r#"{"client": 5}"#, "client", "integer `5`, expected an object"),
        ("history.recent", r#"{"session_id": "s", "limit": 10.0}"#, "limit", WHOLE_NUMBER),
        (
            "session.list",
            r#"{"limit": ", expected u32"}"#,
            "limit",
            r#"string ", expected u32", expected a whole number from 0 to 4294967295"#,
        ),
    ] {
        client.send(&format!(
            r#"{{"jsonrpc": "2.0", "id": 1, "method": "{method}", "params": {params}}}"#
        ));
        let error = client.receive()["error"].take();
        assert_eq!(error["data"]["kind"], "invalid_params", "{params}: {error}");
        assert_eq!(error["data"]["field"], field, "{params}: {error}");
        let message = error["message"].as_str().expect("a text");
        assert!(message.starts_with(field) && message.contains(says), "{params}: {message}");
    }
}

#[test]
fn stored_line_breaks_do_not_break_a_line() {
    let home = Home::new();
    let daemon = home.start();
    let mut sender = ContentLength(connect(&home.socket()));
    sender.send("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"settings.set\",\n\"params\":{\"key\":\"k\",\"value\":{\n\"a\":\r\n[1,\n2]}}}");
    assert_eq!(sender.receive()["id"], 1);
    assert_eq!(
        daemon.client().call("settings.get", json!({"key": "k"}))["value"],
        json!({"a": [1, 2]})
    );
}

#[test]
fn http_says_what_is_wrong_with_a_request() {
    let home = Home::new();
    let daemon = home.start();
    let _ = &daemon;
    for (request, status, says) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "POST"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", 415, "application/json"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
            400,
            "Sec-WebSocket-Key",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n",
            200,
            "the frame is empty",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 1\r\n\r\n{",
            200,
            "parse_error",
        ),
    ] {
        let mut stream = connect(&home.socket());
        stream.write_all(request.as_bytes()).expect("the daemon reads");
        let (got, body) = read_http(&mut stream);
        assert_eq!(got, status, "{request}");
        assert!(body.contains(says), "{request}: {body}");
    }
}

/// A connection that has ended gives its place back, whatever its framing was.
#[test]
fn connections_of_every_framing_give_their_place_back() {
    let home = Home::new();
    let daemon = home.start();
    for round in 0..MAX_CONNECTIONS / 4 + 8 {
        for (framing, mut connection) in every_framing(&home.socket()) {
            connection.send(r#"{"jsonrpc": "2.0", "method": "system.ping", "id": 1}"#);
            assert_eq!(connection.receive()["id"], 1, "{framing}, round {round}");
        }
    }
    let mut client = daemon.client();
    while client.call("system.status", json!({}))["connections"] != 1 {}
}

/// A strict reader fails on half of a surrogate pair, and on every page that has one.
#[test]
fn half_of_a_surrogate_pair_is_refused_in_every_field() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    for (method, params, field) in [
        ("settings.set", r#"{"key": "k", "value": {"a": ["\ud800"]}}"#, "value"),
        ("settings.set", r#"{"key": "\ud800", "value": 1}"#, "key"),
        (
            "settings.set_many",
            r#"{"entries": [{"key": "k", "value": "\ud800 \udc00"}]}"#,
            "entries[0].value",
        ),
        ("session.start", r#"{"kind": "chat", "metadata": {"\ud800": 1}}"#, "metadata"),
        ("session.update", r#"{"id": "s", "title": "\ud800"}"#, "title"),
        ("session.update", r#"{"id": "s", "metadata": {"a": "\ud800"}}"#, "metadata"),
        (
            "message.append",
            r#"{"session_id": "s", "role": "user", "content": "cut \ud800"}"#,
            "content",
        ),
        (
            "message.append",
            r#"{"session_id": "s", "role": "user", "content": "", "metadata": {"a": "\ud800\u0041"}}"#,
            "metadata",
        ),
        (
            "message.append_many",
            r#"{"session_id": "s", "messages": [{"role": "user", "content": "\ud800"}]}"#,
            "messages[0].content",
        ),
        ("project.open", r#"{"path": "/p", "metadata": {"a": "\ud800"}}"#, "metadata"),
    ] {
        client.send(&format!(
            r#"{{"jsonrpc": "2.0", "id": 1, "method": "{method}", "params": {params}}}"#
        ));
        let error = client.receive()["error"].take();
        assert_eq!(error["data"]["kind"], "invalid_params", "{params}: {error}");
        assert_eq!(error["data"]["field"], field, "{params}: {error}");
        let message = format!("{field}: has half of a surrogate pair, \\ud800: not Unicode");
        assert_eq!(error["message"], message, "{params}");
    }
    client.send(r#"{"jsonrpc": "2.0", "id": 1, "method": "settings.set", "params": {"key": "k", "value": "\ud83e\udd80 \\ud800"}}"#);
    assert_eq!(client.receive()["result"]["value"], "🦀 \\ud800");
}
