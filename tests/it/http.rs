//! HTTP and WebSocket: which path, which version.

use std::io::Write;

use crate::support::{Home, connect, read_message};

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
