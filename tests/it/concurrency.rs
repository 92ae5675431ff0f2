//! Many clients at once: order, holes, retries, and readers that see whole snapshots.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use aetherd::api::message::{AppendManyParams, NewMessage};
use aetherd::api::session::StartParams;
use aetherd::config::EngineKind;
use aetherd::error::Error;
use aetherd::model::{Role, SessionId};
use aetherd::store::{messages, sessions};
use serde_json::{Value, json};

use crate::support::{ENGINES, Home, LineClient, error_kind, open_store, request, runtime};

#[test]
fn eight_clients_on_one_session_leave_no_hole() {
    const CLIENTS: usize = 8;
    const EACH: usize = 50;
    let home = Home::new();
    let daemon = home.start();
    daemon.client().call("session.start", json!({"id": "s", "kind": "chat"}));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let mut client = daemon.client();
            std::thread::spawn(move || {
                let append = |_| {
                    let content = format!("from {number}");
                    client.call(
                        "message.append",
                        json!({"session_id": "s", "role": "user", "content": content}),
                    )["index_in_session"]
                        .as_u64()
                        .expect("an index")
                };
                (0..EACH).map(append).collect::<Vec<u64>>()
            })
        })
        .collect();
    let mut indexes = Vec::new();
    for client in clients {
        let own = client.join().expect("the client ends well");
        assert!(own.is_sorted(), "one client's appends keep their order");
        indexes.extend(own);
    }
    indexes.sort_unstable();
    assert_eq!(indexes, (0..(CLIENTS * EACH) as u64).collect::<Vec<_>>());
    let session = daemon.client().call("session.get", json!({"id": "s"}));
    assert_eq!(session["message_count"], CLIENTS * EACH);
}

#[test]
fn pipelined_writes_keep_their_order() {
    const WRITES: u64 = 500;
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    let mut sender = daemon.client();
    let sent: String = (0..WRITES)
        .map(|number| {
            let params = json!({"session_id": "s", "role": "user", "content": number.to_string()});
            request(number, "message.append", &params) + "\n"
        })
        .collect();
    let replies = std::thread::scope(|scope| {
        let mut receiver = LineClient::connect(&home.socket());
        // Sent by one thread while another reads, since a client need not read before all is sent.
        scope.spawn(move || receiver.call("system.ping", json!({})));
        sender.send(sent.trim_end());
        (0..WRITES).map(|_| sender.receive()).collect::<Vec<Value>>()
    });
    for reply in replies {
        assert_eq!(reply["result"]["content"], reply["id"].to_string());
        assert_eq!(reply["result"]["index_in_session"], reply["id"]);
    }
    let status = client.call("system.status", json!({}));
    assert!(
        status["groups"].as_u64() < status["writes"].as_u64(),
        "pipelined writes share transactions: {status}"
    );
}

#[test]
fn a_retried_id_is_stored_once() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    let session = json!({"id": "s", "kind": "chat", "title": "t"});
    assert_eq!(
        client.call("session.start", session.clone()),
        client.call("session.start", session)
    );
    let error = client.fail("session.start", json!({"id": "s", "kind": "chat", "title": "other"}));
    assert_eq!(error_kind(&error), "conflict");

    let message = json!({"id": "m", "session_id": "s", "role": "user", "content": "c", "metadata": {"a": [1.0, 2]}});
    assert_eq!(
        client.call("message.append", message.clone()),
        client.call("message.append", message.clone())
    );
    for other in ["content", "code_excerpt"] {
        let mut changed = message.clone();
        changed[other] = json!("other");
        let error = client.fail("message.append", changed);
        assert_eq!(error_kind(&error), "conflict");
        assert!(error["message"].as_str().is_some_and(|text| text.contains(other)), "{error}");
    }
    // The same at once, from many connections, and after a restart.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (mut client, message) = (daemon.client(), message.clone());
            scope.spawn(move || {
                assert_eq!(client.call("message.append", message)["index_in_session"], 0)
            });
        }
    });
    drop(daemon);
    let daemon = home.start();
    let mut client = daemon.client();
    assert_eq!(client.call("message.append", message)["index_in_session"], 0);
    assert_eq!(client.call("session.get", json!({"id": "s"}))["message_count"], 1);
}

#[test]
fn one_bad_write_of_a_group_fails_alone() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            let id = |name: &str| SessionId::parse(name).expect("an id");
            let start = move |name: &'static str| StartParams {
                id: Some(id(name)),
                kind: "chat".to_owned(),
                ..StartParams::default()
            };
            let good = store
                .queue_write(0, move |tx| sessions::start(tx, &start("one")))
                .await
                .expect("queued");
            let bad = store
                .queue_write(0, move |tx| {
                    sessions::start(tx, &start("half"))?;
                    Err::<(), _>(Error::conflict("session", "half", "was undone"))
                })
                .await
                .expect("queued");
            let good_too = store
                .queue_write(0, move |tx| sessions::start(tx, &start("two")))
                .await
                .expect("queued");
            assert!(good.await.is_ok());
            assert!(matches!(bad.await, Err(Error::Conflict { .. })));
            assert!(good_too.await.is_ok());
            for (name, stands) in [("one", true), ("half", false), ("two", true)] {
                let found = store.read(move |tx| sessions::get(tx, &id(name))).await;
                assert_eq!(found.is_ok(), stands, "{engine:?}: {name}");
            }
        });
    }
}

/// Readers beside a writer that appends in groups, fails, rolls back and checkpoints: every
/// snapshot has as many messages as its session's row says.
#[test]
fn readers_see_whole_snapshots() {
    const READS: usize = 4_000;
    const WRITES: u64 = 21;
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = Arc::new(open_store(&home, engine));
            let start = StartParams { id: Some(SessionId::parse("s").expect("an id")), kind: "chat".to_owned(), ..StartParams::default() };
            store.write(move |tx| sessions::start(tx, &start)).await.expect("started");
            // Each side goes on until the other has done its part, however they are scheduled.
            let (writes, reads) = (AtomicU64::new(0), AtomicUsize::new(0));
            let is_done = || {
                writes.load(Ordering::Relaxed) >= WRITES && reads.load(Ordering::Relaxed) >= READS
            };
            let writing = {
                let (store, writes) = (Arc::clone(&store), &writes);
                async move {
                    while !is_done() {
                        let number = writes.load(Ordering::Relaxed) + 1;
                        let params = AppendManyParams {
                            session_id: SessionId::parse("s").expect("an id"),
                            messages: (0..3)
                                .map(|part| NewMessage {
                                    id: None,
                                    role: Role::Tool,
                                    content: format!("{number}.{part} {}", "x".repeat(700)),
                                    code_excerpt: None,
                                    metadata: None,
                                    attachments: Vec::new(),
                                    created_at: None,
                                })
                                .collect(),
                            expected_index: None,
                        };
                        let fails = number.is_multiple_of(7);
                        let outcome = store
                            .write(move |tx| {
                                messages::append_many(tx, &params)?;
                                if fails { Err(Error::invalid("", "undone")) } else { Ok(()) }
                            })
                            .await;
                        assert_eq!(outcome.is_err(), fails);
                        writes.store(number, Ordering::Relaxed);
                    }
                }
            };
            let reading = async {
                let one_read = || {
                    store.read(|tx| {
                        let id = SessionId::parse("s").expect("an id");
                        let session = sessions::get(tx, &id)?;
                        let counted = tx.first(
                            "SELECT COUNT(*), COALESCE(MAX(index_in_session), -1) FROM agent_messages WHERE session_id = ?1",
                            &["s".into()],
                            |row| Ok((row.int()?, row.int()?)),
                        )?;
                        Ok((session.next_index, counted.expect("a count")))
                    })
                };
                while !is_done() {
                    let found = futures_util::future::join_all((0..4).map(|_| one_read())).await;
                    reads.fetch_add(found.len(), Ordering::Relaxed);
                    for read in found {
                        let (next_index, (count, last)) = read.expect("a read");
                        assert_eq!((count, last), (next_index, next_index - 1), "{engine:?}");
                    }
                }
            };
            futures_util::future::join(writing, reading).await;
            let problems = store.read(|tx| tx.integrity_problems()).await.expect("checked");
            assert_eq!(problems, Vec::<String>::new());
            store.close().await.expect("closed");
        });
    }
}

/// A check of a large file takes seconds; nobody else waits for it, a stop neither.
#[test]
fn long_reads_hold_nobody_up() {
    for engine in ENGINES {
        let home = Home::new();
        let store = open_store(&home, engine);
        runtime().block_on(async {
            let (release, held) = std::sync::mpsc::channel::<()>();
            let first = store.queue_long_read(move |_| {
                let _ = held.recv();
                Ok(())
            });
            let first = first.await.expect("a place");
            let second = store.queue_long_read(|_| Ok(())).await.expect("a place");
            for _ in 0..10 {
                store.read(|_| Ok(())).await.expect("others are served");
            }
            store.close().await.expect("a stop does not wait");
            release.send(()).expect("it still waits");
            first.await.expect("it ends");
            second.await.expect("and the next one too");
        });
    }
}

/// Whoever hangs up leaves no work behind that others would have to wait for.
#[test]
fn a_read_that_nobody_waits_for_is_not_carried_out() {
    let home = Home::new();
    let store = open_store(&home, EngineKind::Turso);
    runtime().block_on(async {
        let mut releases = Vec::new();
        let mut busy = Vec::new();
        for _ in 0..2 {
            let (release, held) = std::sync::mpsc::channel::<()>();
            let read = store.queue_read(move |_| {
                let _ = held.recv();
                Ok(())
            });
            busy.push(read.await.expect("a place"));
            releases.push(release);
        }
        let was_run = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&was_run);
        let abandoned = store.queue_read(move |_| {
            flag.store(true, Ordering::SeqCst);
            Ok(())
        });
        drop(abandoned.await.expect("a place"));
        let behind = store.queue_read(|_| Ok(())).await.expect("a place");
        drop(releases);
        behind.await.expect("it is served");
        for read in busy {
            read.await.expect("it ends");
        }
        assert!(!was_run.load(Ordering::SeqCst));
    });
}
