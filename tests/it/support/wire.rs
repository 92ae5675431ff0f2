//! A plain client of the line framing, as a plugin's author would write it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A connection.
pub(crate) struct LineClient {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    next_id: u64,
}

/// Connects to the daemon that comes after one, on the same socket.
pub(crate) fn reconnect(socket: &Path, before: &Value) -> LineClient {
    let started = Instant::now();
    loop {
        if let Ok(stream) = UnixStream::connect(socket) {
            // The one that ends may still have taken it.
            let mut client = LineClient::of(stream);
            let asked = client.try_send(&request(1, "system.ping", &json!({})));
            let answer = asked.ok().and_then(|()| client.try_receive());
            // One that ends answers with an error.
            let instance = answer.map(|mut answer| answer["result"]["instance_id"].take());
            if instance.is_some_and(|instance| instance.is_string() && instance != *before) {
                return client;
            }
        }
        assert!(started.elapsed() < Duration::from_secs(60), "no other daemon answers");
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl LineClient {
    /// Connects.
    pub(crate) fn connect(socket: &Path) -> Self {
        Self::of(UnixStream::connect(socket).expect("the daemon listens"))
    }

    /// Returns the client of a connection.
    pub(crate) fn of(writer: UnixStream) -> Self {
        writer.set_read_timeout(Some(Duration::from_secs(120))).expect("a timeout");
        let reader = BufReader::new(writer.try_clone().expect("a second handle"));
        Self { reader, writer, next_id: 0 }
    }

    /// Sends a text as it is, with a newline.
    pub(crate) fn send(&mut self, line: &str) {
        self.try_send(line).expect("the daemon reads");
    }

    /// Sends a text as it is, or tells that the daemon is gone.
    pub(crate) fn try_send(&mut self, line: &str) -> std::io::Result<()> {
        self.writer.write_all(line.as_bytes())?;
        self.writer.write_all(b"\n")
    }

    /// Receives a reply, or `None` where the daemon is gone.
    pub(crate) fn try_receive(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("the daemon is there and sends nothing")
            }
            Ok(0) | Err(_) => None,
            // A daemon that was killed may leave half a line.
            Ok(_) if !line.ends_with('\n') => None,
            Ok(_) => Some(serde_json::from_str(&line).expect("a reply is JSON")),
        }
    }

    /// Receives a reply.
    pub(crate) fn receive(&mut self) -> Value {
        self.try_receive().expect("the daemon replies")
    }

    /// Calls a method and returns the whole reply.
    pub(crate) fn reply(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        self.send(&request(self.next_id, method, &params));
        let reply = self.receive();
        assert_eq!(reply["id"], self.next_id, "{reply}");
        reply
    }

    /// Calls a method while another call waits, and returns the reply that comes first.
    pub(crate) fn call_behind(&mut self, method: &str) -> Value {
        self.send(&json!({ "jsonrpc": "2.0", "id": "ping", "method": method }).to_string());
        self.receive()
    }

    /// Calls a method that must succeed.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        let mut reply = self.reply(method, params);
        assert!(reply.get("error").is_none(), "{method}: {reply}");
        reply["result"].take()
    }

    /// Calls a method that must fail, and returns the error.
    pub(crate) fn fail(&mut self, method: &str, params: Value) -> Value {
        let mut reply = self.reply(method, params);
        assert!(reply.get("result").is_none(), "{method}: {reply}");
        reply["error"].take()
    }
}

/// Connects, with a deadline for what is read.
pub(crate) fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).expect("the daemon listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    stream
}

/// Posts a request over HTTP and returns the answer's JSON.
pub(crate) fn post(socket: &Path, body: &str) -> Value {
    let mut stream = connect(socket);
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("the daemon reads");
    let (_, answer) = read_message(&mut stream);
    serde_json::from_str(&answer).expect("JSON")
}

/// Reads headers up to the empty line, and the body whose length they tell.
pub(crate) fn read_message(stream: &mut impl Read) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the daemon replies");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("ASCII");
    let length = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, length)| length.parse().expect("a number"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("the daemon replies");
    (head, String::from_utf8(body).expect("UTF-8"))
}

/// Returns the text of a request.
pub(crate) fn request(id: u64, method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
}

/// Returns an error's kind.
pub(crate) fn error_kind(error: &Value) -> &str {
    error["data"]["kind"].as_str().expect("an error has a kind")
}
