//! What a client asks for and does not take is bounded, and what it sent is carried out all the same.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use aetherd::model::limits::{
    MAX_BATCH_REPLY_BYTES, MAX_CONTENT_BYTES, MAX_HELD_BYTES, MAX_IN_FLIGHT, MAX_PAGE_BYTES,
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::support::{Daemon, Home, LineClient, connect, error_kind, request};

/// Resident memory that a daemon has at most, however much one connection asks for.
const MAX_RESIDENT: u64 = 512 * 1024 * 1024;

fn assert_memory_is_bounded(daemon: &Daemon, doing: &str) {
    let peak = daemon.peak_memory();
    assert!(peak < MAX_RESIDENT, "{peak} bytes while {doing}");
}

/// Starts a session whose page is as large as a page gets.
fn fill_a_page(client: &mut LineClient) {
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    for id in ["m1", "m2"] {
        let content = "z".repeat(MAX_CONTENT_BYTES - 1024);
        client.call(
            "message.append",
            json!({"id": id, "session_id": "s", "role": "user", "content": content}),
        );
    }
    let page = client.call("history.recent", json!({"session_id": "s"})).to_string();
    assert!(page.len() > MAX_PAGE_BYTES - 8192, "{}", page.len());
}

#[test]
fn a_client_that_hangs_up_loses_no_write() {
    const WRITES: usize = 1_000;
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    let append = |session: &str, number: usize| {
        let params = json!({"session_id": session, "role": "user", "content": "c", "id": format!("{session}-{number}")});
        request(number as u64, "message.append", &params)
    };
    let mut hang_up = |session: &str, send: &dyn Fn(&str, UnixStream)| {
        client.call("session.start", json!({"id": session, "kind": "chat"}));
        send(session, connect(&home.socket()));
        // What was sent is carried out by and by: looked at until it is, up to the test's deadline.
        loop {
            let head = client.call("session.get", json!({"id": session}));
            if head["next_index"] == WRITES {
                break;
            }
        }
    };
    hang_up("lines", &|session, mut stream| {
        let lines: String = (0..WRITES).map(|number| append(session, number) + "\n").collect();
        stream.write_all(lines.as_bytes()).expect("the daemon reads");
    });
    hang_up("headers", &|session, mut stream| {
        let frames: String = (0..WRITES)
            .map(|number| append(session, number))
            .map(|json| format!("Content-Length: {}\r\n\r\n{json}", json.len()))
            .collect();
        stream.write_all(frames.as_bytes()).expect("the daemon reads");
    });
    hang_up("websocket", &|session, stream| {
        let (mut socket, _) = tungstenite::client("ws://localhost/", stream).expect("an upgrade");
        for number in 0..WRITES {
            socket.send(Message::text(append(session, number))).expect("the daemon reads");
        }
    });
}

/// A client that asks for much and reads nothing is not read any more; others are served; and
/// once it reads, it gets every reply.
#[test]
fn a_slow_reader_is_held_back_and_loses_nothing() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    let content = "z".repeat(1024 * 1024);
    client.call("message.append", json!({"session_id": "s", "role": "user", "content": content}));
    let mut slow = connect(&home.socket());
    slow.set_nonblocking(true).expect("a mode");
    let line = request(1, "history.recent", &json!({"session_id": "s"})) + "\n";
    let mut sent = 0;
    let mut partial = 0;
    // Sends until the socket takes no more: the daemon has stopped reading.
    while let Ok(count) = slow.write(&line.as_bytes()[partial..]) {
        partial += count;
        if partial == line.len() {
            partial = 0;
            sent += 1;
        }
        if sent % 500 == 0 {
            assert!(client.call("system.ping", json!({})).is_object(), "others are served");
        }
        assert!(sent < 1_000_000, "the daemon never stops reading");
    }
    assert!(sent > MAX_IN_FLIGHT, "only {sent} calls");
    assert_memory_is_bounded(&daemon, "a client does not read");
    assert!(client.call("system.ping", json!({})).is_object());
    // Now it reads: every whole line it sent is answered.
    slow.set_nonblocking(false).expect("a mode");
    let mut writer = slow.try_clone().expect("a second handle");
    let rest = line.as_bytes()[partial..].to_vec();
    let finish = std::thread::spawn(move || {
        if partial > 0 {
            writer.write_all(&rest).expect("the daemon reads again");
        }
        writer.shutdown(std::net::Shutdown::Write).expect("open");
    });
    let mut replies = 0;
    let mut reader = std::io::BufReader::new(slow);
    let mut reply = Vec::new();
    while std::io::BufRead::read_until(&mut reader, b'\n', &mut reply).expect("the daemon replies")
        > 0
    {
        assert!(reply.len() > content.len() && reply.ends_with(b"}\n"));
        replies += 1;
        reply.clear();
        if replies >= 200 {
            // Enough seen: the rest is of the same kind.
            break;
        }
    }
    assert_eq!(replies, 200.min(sent + usize::from(partial > 0)));
    drop(reader);
    let _ = finish.join();
}

/// Reads what a client is sent, line by line, and gives each line's bytes and what is not a result.
fn read_replies(stream: UnixStream, count: usize) -> Vec<(usize, Option<Value>)> {
    let mut reader = BufReader::new(stream);
    (0..count)
        .map(|_| {
            let mut line = Vec::new();
            reader.read_until(b'\n', &mut line).expect("the daemon replies");
            let is_short = line.len() < 4096;
            (line.len(), is_short.then(|| serde_json::from_slice(&line).expect("a reply")))
        })
        .collect()
}

#[test]
fn calls_in_flight_make_no_more_replies_than_are_taken() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    fill_a_page(&mut client);
    let mut slow = connect(&home.socket());
    let read = request(1, "history.recent", &json!({"session_id": "s"})) + "\n";
    slow.write_all(read.repeat(MAX_IN_FLIGHT).as_bytes()).expect("the daemon reads");
    // Others are served behind them: whatever could be made by now is made.
    client.call("session.get", json!({"id": "s"}));
    assert_memory_is_bounded(&daemon, "64 large reads wait for their client");
    for (bytes, error) in read_replies(slow, 8) {
        assert!(bytes > MAX_PAGE_BYTES - 8192, "{bytes} bytes: {error:?}");
    }
    assert_memory_is_bounded(&daemon, "they are taken");
}

#[test]
fn the_replies_of_a_batch_are_bounded() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    fill_a_page(&mut client);
    let calls: Vec<String> = (0..60)
        .map(|id| request(id, "history.page", &json!({"session_id": "s"})))
        .chain([request(60, "settings.set", &json!({"key": "k", "value": 1}))])
        .collect();
    client.send(&format!("[{}]", calls.join(",")));
    let replies = client.receive();
    let replies = replies.as_array().expect("replies");
    assert_eq!(replies.len(), 61);
    let made = replies.iter().filter(|reply| reply.get("result").is_some()).count();
    // Two readers may each have been at one when the limit was met.
    let fit = MAX_BATCH_REPLY_BYTES / MAX_PAGE_BYTES + 1;
    assert!((fit..=fit + 2).contains(&made), "{made} of 60");
    for reply in replies.iter().filter(|reply| reply.get("error").is_some()) {
        assert_eq!(error_kind(&reply["error"]), "overloaded");
        assert_eq!(reply["error"]["data"]["retryable"], true);
        assert_eq!(reply["error"]["data"]["limit"], MAX_BATCH_REPLY_BYTES);
    }
    assert_memory_is_bounded(&daemon, "a batch reads much");
}

/// A patch is small, but it is answered with the whole message.
#[test]
fn the_replies_of_writes_are_bounded() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    fill_a_page(&mut client);
    let mut slow = connect(&home.socket());
    let patch = |number: usize| {
        request(number as u64, "message.update", &json!({"id": "m1", "metadata": {"n": number}}))
            + "\n"
    };
    let patches: String = (0..MAX_IN_FLIGHT).map(patch).collect();
    slow.write_all(patches.as_bytes()).expect("the daemon reads");
    client.call("settings.set", json!({"key": "k", "value": 1}));
    let (mut done, mut refused) = (0, 0);
    for (bytes, reply) in read_replies(slow, MAX_IN_FLIGHT) {
        match reply {
            None => {
                assert!(bytes > MAX_CONTENT_BYTES - 8192);
                done += 1;
            }
            Some(reply) => {
                assert_eq!(error_kind(&reply["error"]), "overloaded");
                refused += 1;
            }
        }
    }
    assert!(done >= MAX_HELD_BYTES / MAX_CONTENT_BYTES, "{done} done, {refused} refused");
    assert_memory_is_bounded(&daemon, "patches of a large message");
}
