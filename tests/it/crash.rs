//! Crashes under load, and flushes that fail: what was acknowledged is there, and the file is whole.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

#[cfg(target_os = "linux")]
use crate::support::FlushShim;
use crate::support::{Home, LineClient, request};

const KILLS: u64 = 20;
/// Kills past which the log should long have started over.
const MAX_KILLS: u64 = 200;
const CLIENTS: u64 = 4;
const PIPELINED: usize = 16;

#[test]
fn twenty_kills_lose_no_acknowledged_write() {
    let home = Home::new();
    let mut random = fastrand::Rng::with_seed(0x5eed);
    let mut acknowledged: BTreeMap<String, i64> = BTreeMap::new();
    {
        let daemon = home.start();
        for client in 0..CLIENTS {
            daemon
                .client()
                .call("session.start", json!({"id": format!("s{client}"), "kind": "chat"}));
        }
    }
    // The log is not cut when it starts over: recovery must stop where the frames of the
    // generation before go on. How many writes that takes depends on how many share a commit, so
    // there are more kills until one has left such frames: else nothing would show that it does.
    let mut has_met_stale_frames = false;
    let mut kills = 0;
    while kills < KILLS || !has_met_stale_frames {
        assert!(kills < MAX_KILLS, "no kill left frames of an earlier generation");
        let round = kills;
        // Without the index, whose reads put off that the log starts over.
        let mut daemon = home.start_with(&["--no-search"]);
        // Killed once so many replies came in, at a point that differs from round to round.
        let kill_after = random.u64(20..400);
        let replies = AtomicU64::new(0);
        let (reached, wait) = std::sync::mpsc::channel();
        let stored: Vec<BTreeMap<String, i64>> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    let (connection, reached, replies) =
                        (daemon.client(), reached.clone(), &replies);
                    scope.spawn(move || {
                        append_until_it_dies(
                            connection, round, client, kill_after, replies, &reached,
                        )
                    })
                })
                .collect();
            wait.recv().expect("the clients get replies");
            daemon.kill();
            clients.into_iter().map(|client| client.join().expect("the client ends well")).collect()
        });
        acknowledged.extend(stored.into_iter().flatten());
        has_met_stale_frames |= has_stale_frames(&home);
        kills += 1;
    }

    let mut daemon = home.start();
    let mut client = daemon.client();
    assert_eq!(client.call("system.check", json!({})), json!({"ok": true, "problems": []}));
    assert!(acknowledged.len() as u64 >= KILLS * 20, "only {} writes", acknowledged.len());
    for (id, index) in &acknowledged {
        assert_eq!(
            client.call("message.get", json!({"id": id}))["index_in_session"],
            *index,
            "{id}"
        );
    }
    daemon.kill();

    // A copy, log included, opens in SQLite too, whole, with every acknowledged row and no hole.
    let copy = Home::new();
    for name in ["ide.db", "ide.db-wal"] {
        std::fs::copy(home.path().join(name), copy.path().join(name)).expect("a copy");
    }
    let file = rusqlite::Connection::open(copy.path().join("ide.db")).expect("SQLite opens it");
    let verdict: String =
        file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a verdict");
    assert_eq!(verdict, "ok");
    let mut by_id =
        file.prepare("SELECT index_in_session FROM agent_messages WHERE id = ?1").expect("a query");
    for (id, index) in &acknowledged {
        assert_eq!(
            by_id.query_row([id], |row| row.get::<_, i64>(0)).expect("the row"),
            *index,
            "{id}"
        );
    }
    let holes: i64 = file
        .query_row(
            "SELECT COUNT(*) FROM agent_sessions s WHERE s.next_index <>
                (SELECT COUNT(*) FROM agent_messages m WHERE m.session_id = s.id AND m.index_in_session < s.next_index)",
            [],
            |row| row.get(0),
        )
        .expect("a count");
    assert_eq!(holes, 0);
}

/// True where frames of an earlier generation lie behind those of the log's current one.
///
/// The log's header has its page size and salts at fixed places, as has each frame's header (SQLite
/// file format, section 4).
fn has_stale_frames(home: &Home) -> bool {
    let log = std::fs::read(home.path().join("ide.db-wal")).expect("a log");
    let Some((header, frames)) = log.split_at_checked(32) else { return false };
    let page_size = u32::from_be_bytes(header[8..12].try_into().expect("four bytes")) as usize;
    let salts = |frame: &[u8]| frame[8..16] == header[16..24];
    let frames: Vec<&[u8]> = frames.chunks_exact(24 + page_size).collect();
    frames.first().is_some_and(|first| salts(first)) && !frames.iter().all(|frame| salts(frame))
}

fn append_until_it_dies(
    mut connection: LineClient,
    round: u64,
    client: u64,
    kill_after: u64,
    replies: &AtomicU64,
    reached: &std::sync::mpsc::Sender<()>,
) -> BTreeMap<String, i64> {
    let mut stored = BTreeMap::new();
    let mut sent: u64 = 0;
    let mut append = |connection: &mut LineClient| {
        let params = json!({
            "id": format!("{round}-{client}-{sent}"),
            "session_id": format!("s{client}"),
            "role": "assistant",
            "content": "x".repeat(800),
        });
        sent += 1;
        connection.try_send(&request(sent, "message.append", &params))
    };
    for _ in 0..PIPELINED {
        if append(&mut connection).is_err() {
            return stored;
        }
    }
    while let Some(reply) = connection.try_receive() {
        let message = &reply["result"];
        let id = message["id"].as_str().expect("an id").to_owned();
        stored.insert(id, message["index_in_session"].as_i64().expect("an index"));
        if replies.fetch_add(1, Ordering::Relaxed) + 1 == kill_after {
            reached.send(()).expect("the killer waits");
        }
        if append(&mut connection).is_err() {
            // What the socket still holds is read; a reply is a reply.
            while let Some(reply) = connection.try_receive() {
                let message = &reply["result"];
                let id = message["id"].as_str().expect("an id").to_owned();
                stored.insert(id, message["index_in_session"].as_i64().expect("an index"));
            }
            break;
        }
    }
    stored
}

/// What a flush that failed has dropped cannot be known, and the next one may succeed all the same.
/// So the daemon ends, and the next start reads what the log has.
#[test]
#[cfg(target_os = "linux")]
fn a_failed_flush_ends_the_daemon() {
    for call in ["fdatasync", "fsync"] {
        let home = Home::new();
        let shim = FlushShim::build(&home);
        let mut command = home.command();
        command.arg("serve");
        shim.stand_before(&mut command);
        shim.prepare_failure(&mut command, call);
        let mut daemon = home.start_command(command);
        let mut client = daemon.client();
        client.call("session.start", json!({"id": "s", "kind": "chat"}));
        let append = |id: u64| {
            let params = json!({"id": format!("m{id}"), "session_id": "s", "role": "user", "content": "x".repeat(9_000)});
            request(id, "message.append", &params)
        };
        client.send(&append(0));
        assert!(client.receive().get("result").is_some());
        shim.fail();
        // The log is flushed at each commit, the database when the log is folded into it.
        let mut acknowledged = vec![0];
        for id in 1..2_000 {
            if client.try_send(&append(id)).is_err() {
                break;
            }
            match client.try_receive() {
                Some(reply) if reply.get("result").is_some() => acknowledged.push(id),
                _ => break,
            }
        }
        assert_eq!(daemon.wait().code(), Some(1), "{call}: {}", home.log());
        assert!(home.log().contains("flushing the database's files failed"), "{}", home.log());
        assert_eq!(acknowledged.len() == 1, call == "fdatasync", "{call}");
        let daemon = home.start();
        let mut client = daemon.client();
        for id in acknowledged {
            client.call("message.get", json!({"id": format!("m{id}")}));
        }
        assert_eq!(client.call("system.check", json!({})), json!({"ok": true, "problems": []}));
    }
}
