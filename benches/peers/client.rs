//! A fast client: JSON lines built beforehand, and a look at each reply that parses no more than it must.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

/// Bytes read at once: more than any reply but the longest lists.
const READ_BYTES: usize = 256 * 1024;

/// A request as it goes over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    id: u64,
    line: Vec<u8>,
}

impl Request {
    /// Builds a request's line.
    pub(crate) fn new(id: u64, method: &str, params: &Value) -> Self {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        Self { id, line: format!("{request}\n").into_bytes() }
    }

    /// The request's bytes, its newline included.
    pub(crate) fn line(&self) -> &[u8] {
        &self.line
    }
}

/// A connection to the daemon.
pub(crate) struct Client {
    reader: BufReader<UnixStream>,
    reply: Vec<u8>,
}

impl Client {
    /// Connects, or tells why nobody answers.
    pub(crate) fn try_connect(socket: &Path) -> std::io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        Ok(Self { reader: BufReader::with_capacity(READ_BYTES, stream), reply: Vec::new() })
    }

    /// Connects to a daemon that is up.
    pub(crate) fn connect(socket: &Path) -> Self {
        Self::try_connect(socket).expect("the daemon is up")
    }

    /// Sends one request and returns its reply.
    pub(crate) fn call(&mut self, request: &Request) -> &[u8] {
        self.send(&request.line);
        let id = self.receive();
        assert_eq!(id, request.id, "one call is in flight, so the reply is to it");
        &self.reply
    }

    /// Calls a method and returns its result.
    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Value {
        let reply = self.call(&Request::new(1, method, params));
        let mut reply: Value = serde_json::from_slice(reply).expect("a reply is JSON");
        reply["result"].take()
    }

    /// Sends requests whose replies nobody takes.
    pub(crate) fn leave(&mut self, requests: &[Request]) {
        requests.iter().for_each(|request| self.send(&request.line));
    }

    /// Sends requests of rising ids, so many in flight at one time, and waits for all replies.
    pub(crate) fn pipeline(&mut self, requests: &[Request], in_flight: usize) {
        let (Some(first), Some(last)) = (requests.first(), requests.last()) else { return };
        let (mut sent, mut answered) = (0, 0);
        let mut lines = Vec::new();
        while answered < requests.len() {
            let next = (answered + in_flight).min(requests.len());
            lines.clear();
            requests[sent..next].iter().for_each(|request| lines.extend_from_slice(&request.line));
            self.send(&lines);
            sent = next;
            loop {
                let id = self.receive();
                assert!((first.id..=last.id).contains(&id), "a reply to {id}, which was not asked");
                answered += 1;
                if !self.reader.buffer().contains(&b'\n') {
                    break;
                }
            }
        }
    }

    /// Waits for one notification.
    pub(crate) fn notified(&mut self) {
        self.reply.clear();
        self.reader.read_until(b'\n', &mut self.reply).expect("the daemon notifies");
        assert!(find(&self.reply, b"\"method\":\"events.event\"").is_some(), "an event");
    }

    fn send(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).expect("the daemon reads");
    }

    /// Reads one reply, which must be a result, and returns whose it is.
    fn receive(&mut self) -> u64 {
        self.reply.clear();
        self.reader.read_until(b'\n', &mut self.reply).expect("the daemon answers");
        match (find(&self.reply, b"\"result\":"), id_of(&self.reply)) {
            (Some(_), Some(id)) => id,
            _ => panic!("the daemon refused: {}", String::from_utf8_lossy(&self.reply)),
        }
    }
}

/// Returns the id of a reply: the first that is a number, as the ids of records are texts.
fn id_of(reply: &[u8]) -> Option<u64> {
    const KEY: &[u8] = b"\"id\":";
    let mut rest = reply;
    loop {
        rest = &rest[find(rest, KEY)? + KEY.len()..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
        let id =
            digits.fold(None, |id, digit| Some(id.unwrap_or(0) * 10 + u64::from(digit - b'0')));
        if id.is_some() {
            return id;
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
