//! Crashes under load: what was acknowledged is there, and the file is whole.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use crate::support::{Home, LineClient, request};

const KILLS: u64 = 20;
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
    for round in 0..KILLS {
        let mut daemon = home.start();
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
