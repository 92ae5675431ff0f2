//! Compaction of the database's file: it shrinks, nothing is lost, and clients are served meanwhile.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;

use aetherd::config::EngineKind;
use aetherd::daemon::upkeep::compact_if_worth;
use aetherd::error::Error;
use aetherd::store::{Store, changes, compaction, messages, sessions, trash};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use crate::support::{ENGINES, Home, LineClient, error_kind, open_store, params, request, runtime};

/// Starts a session of so many messages of 800 bytes.
async fn fill(store: &Store, id: &str, count: usize) {
    let start = params(json!({"id": id, "kind": "chat", "system_prompt": "p"}));
    store.write(move |tx| sessions::start(tx, &start)).await.expect("starts");
    let all: Vec<Value> = (0..count)
        .map(|at| json!({"id": format!("{id}-{at}"), "role": "user", "content": format!("{at:0800}")}))
        .collect();
    for messages in all.chunks(500) {
        let append = params(json!({"session_id": id, "messages": messages}));
        store.write(move |tx| messages::append_many(tx, &append)).await.expect("appends");
    }
}

async fn purge(store: &Store, id: &str) {
    let delete = params(json!({"id": id, "purge": true}));
    store.write(move |tx| trash::delete(tx, &delete)).await.expect("purges");
    while store.read(trash::is_purging).await.expect("a look") {}
}

/// What is free in the file, as both readers see it and the one for what takes long.
async fn space(store: &Store) -> [compaction::Space; 3] {
    // Two at once, so that each reader has one.
    let (first, second) =
        tokio::join!(store.read(compaction::space), store.read(compaction::space));
    let long = store.queue_long_read(compaction::space).await.expect("queued").await;
    [first, second, long].map(|space| space.expect("a look"))
}

async fn append(store: &Store, session: &str, content: &str) {
    let append = params(json!({"session_id": session, "role": "user", "content": content}));
    store.write(move |tx| messages::append(tx, &append)).await.expect("appends");
}

/// Every row of every table of a file that no engine has open, but for what the last compaction did.
fn rows(home: &Home) -> BTreeMap<String, Vec<String>> {
    let file = rusqlite::Connection::open(home.path().join("ide.db")).expect("SQLite opens it");
    let verdict: String =
        file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a verdict");
    assert_eq!(verdict, "ok");
    let names: Vec<String> = file
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .and_then(|mut names| names.query_map([], |row| row.get(0))?.collect())
        .expect("names");
    let of_table = |name: &String| {
        let mut table = file.prepare(&format!("SELECT * FROM \"{name}\"")).expect("a query");
        let columns = table.column_count();
        let mut rows: Vec<String> = table
            .query_map([], |row| {
                let cells = (0..columns).map(|at| row.get::<_, rusqlite::types::Value>(at));
                Ok(format!("{:?}", cells.collect::<Result<Vec<_>, _>>()?))
            })
            .and_then(Iterator::collect)
            .expect("rows");
        rows.retain(|row| !row.contains("last_compaction"));
        rows.sort();
        rows
    };
    names.iter().map(|name| (name.clone(), of_table(name))).collect()
}

/// The files of a home that are of its database.
fn files(home: &Home) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(home.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .filter(|name| name.starts_with("ide.db"))
        .collect();
    names.sort();
    names
}

fn bytes_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

#[test]
fn a_compacted_file_is_smaller_and_holds_every_row() {
    for engine in ENGINES {
        let home = Home::new();
        let path = home.path().join("ide.db");
        runtime().block_on(async {
            let store = open_store(&home, engine);
            fill(&store, "stays", 1000).await;
            fill(&store, "goes", 1500).await;
            let full = space(&store).await;
            purge(&store, "goes").await;
            // Each reader sees that it is free now, also where it has looked before.
            let freed = space(&store).await;
            assert_eq!(full.map(|space| space.free_bytes), [0; 3], "{engine:?}");
            assert!(
                freed.iter().all(|space| space.free_bytes > 1_000_000),
                "{engine:?}: {freed:?}"
            );
            store.close().await.expect("closed");
            drop(store);
            let before = rows(&home);
            let bytes_before = bytes_of(&path);
            let store = open_store(&home, engine);
            assert_eq!(store.read(compaction::last).await.expect("a look"), None);
            let compacted = store.compact().await.expect("compacts");
            assert_eq!(compacted.bytes_before, bytes_before, "{engine:?}");
            assert!(compacted.bytes_after * 10 <= bytes_before * 6, "{engine:?}: {compacted:?}");
            assert_eq!(
                store.read(compaction::last).await.expect("a look"),
                Some(compacted.clone())
            );
            let space = store.read(compaction::space).await.expect("a look");
            assert_eq!(space.free_bytes, 0);
            // Both readers, the one for what takes long and the writer have the new file.
            for _ in 0..4 {
                let count = store.read(|tx| sessions::get(tx, &params(json!("stays"))));
                assert_eq!(count.await.expect("a session").message_count, 1000);
            }
            let checked = store.queue_long_read(|tx| tx.integrity_problems());
            let checked = checked.await.expect("queued").await.expect("checks");
            assert_eq!(checked, Vec::<String>::new());
            assert!(!files(&home).contains(&"ide.db.compacting".to_owned()));
            store.close().await.expect("closed");
            drop(store);
            assert_eq!(rows(&home), before, "{engine:?}");
            assert_eq!(bytes_of(&path), compacted.bytes_after);
            // A write goes to the new file, and one more compaction finds it there.
            let store = open_store(&home, engine);
            append(&store, "stays", "one more").await;
            store.compact().await.expect("compacts again");
            append(&store, "stays", "and one behind").await;
            let last = *store.committed().borrow();
            store.close().await.expect("closed");
            drop(store);
            let store = open_store(&home, engine);
            let found = store.read(|tx| sessions::get(tx, &params(json!("stays")))).await;
            assert_eq!(found.expect("a session").message_count, 1002);
            let told = store.read(move |tx| changes::after(tx, last - 2, 10)).await.expect("told");
            assert_eq!(told.len(), 2, "the feed goes on without a hole");
            store.close().await.expect("closed");
        });
    }
}

/// What is written between the snapshot and the change of the files is in the new one, once.
#[test]
fn what_is_written_meanwhile_is_there() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            fill(&store, "s", 2000).await;
            fill(&store, "goes", 1200).await;
            let is_done = std::cell::Cell::new(false);
            let compacting = async {
                let mut compacted = Vec::new();
                for _ in 0..3 {
                    compacted.push(store.compact().await.expect("compacts"));
                }
                is_done.set(true);
                compacted
            };
            let writing = async {
                let mut written = 0;
                // As many as do not make a machine with other work to do compact for minutes.
                while !is_done.get() && written < 1500 {
                    append(&store, "s", &format!("meanwhile {written}")).await;
                    written += 1;
                    if written == 5 {
                        // Its batches are between the writes, and in the journal too.
                        let delete = params(json!({"id": "goes", "purge": true}));
                        store.write(move |tx| trash::delete(tx, &delete)).await.expect("purges");
                    }
                }
                written
            };
            let (compacted, written) = tokio::join!(compacting, writing);
            assert!(written > 10, "{engine:?}: only {written} writes came through");
            assert!(compacted.iter().all(|compacted| compacted.waited_ms < 5000), "{compacted:?}");
            while store.read(trash::is_purging).await.expect("a look") {}
            store.close().await.expect("closed");
            drop(store);
            let rows = rows(&home);
            let meanwhile: Vec<&String> =
                rows["agent_messages"].iter().filter(|row| row.contains("meanwhile")).collect();
            assert_eq!(meanwhile.len(), written, "{engine:?}");
            assert_eq!(rows["agent_messages"].len(), 2000 + written);
            assert_eq!(rows["agent_sessions"].len(), 1);
        });
    }
}

#[test]
fn four_clients_write_on_and_lose_nothing() {
    for engine in ["turso", "sqlite"] {
        let home = Home::new();
        let daemon = home.start_with(&["--engine", engine]);
        let mut client = daemon.client();
        let messages: Vec<Value> =
            (0..1000).map(|_| json!({"role": "user", "content": "x".repeat(2000)})).collect();
        client.call("session.start", json!({"id": "bulk", "kind": "chat"}));
        client.call("message.append_many", json!({"session_id": "bulk", "messages": messages}));
        let is_done = std::sync::atomic::AtomicBool::new(false);
        let acknowledged: Vec<Vec<(String, i64)>> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|number| {
                    let (mut client, is_done) = (daemon.client(), &is_done);
                    scope.spawn(move || write_until(&mut client, number, is_done))
                })
                .collect();
            for _ in 0..2 {
                let compacted = client.call("system.compact", json!({}));
                assert!(compacted["bytes_after"].as_u64().is_some_and(|bytes| bytes > 1_000_000));
            }
            is_done.store(true, std::sync::atomic::Ordering::Relaxed);
            clients.into_iter().map(|client| client.join().expect("ends well")).collect()
        });
        assert_eq!(client.call("system.check", json!({})), json!({"ok": true, "problems": []}));
        let status = client.call("system.status", json!({}));
        assert!(status["last_compaction"]["waited_ms"].is_u64(), "{status}");
        for (number, stored) in acknowledged.iter().enumerate() {
            assert!(stored.len() >= 3, "{engine}: client {number} wrote {}", stored.len());
            let session = client.call("session.get", json!({"id": format!("s{number}")}));
            assert_eq!(session["next_index"], stored.len(), "{engine}: none twice, none lost");
            for (at, (id, index)) in stored.iter().enumerate() {
                assert_eq!(*index, at as i64);
                assert_eq!(client.call("message.get", json!({"id": id}))["index_in_session"], at);
            }
        }
    }
}

/// Appends until told to stop, and returns what was acknowledged.
fn write_until(
    client: &mut LineClient,
    number: usize,
    is_done: &std::sync::atomic::AtomicBool,
) -> Vec<(String, i64)> {
    let session = format!("s{number}");
    client.call("session.start", json!({"id": session, "kind": "chat"}));
    let mut stored = Vec::new();
    // As many as do not make a machine with other work to do compact for minutes.
    while stored.len() < 1500 && !is_done.load(std::sync::atomic::Ordering::Relaxed) {
        let id = format!("{number}-{}", stored.len());
        let appended = client.call(
            "message.append",
            json!({"id": id, "session_id": session, "role": "user", "content": "x".repeat(900)}),
        );
        stored.push((id, appended["index_in_session"].as_i64().expect("an index")));
    }
    stored
}

#[test]
fn a_disk_without_room_stops_a_compaction_and_nothing_else() {
    for engine in ["turso", "sqlite"] {
        let home = Home::new();
        let daemon = home.start_with(&["--engine", engine, "--no-search"]);
        let mut client = daemon.client();
        client.call("session.start", json!({"id": "s", "kind": "chat"}));
        let messages: Vec<Value> =
            (0..1000).map(|_| json!({"role": "user", "content": "x".repeat(4000)})).collect();
        client.call("message.append_many", json!({"session_id": "s", "messages": messages}));
        let pid = Pid::from_raw(i32::try_from(daemon.pid()).expect("a pid")).expect("a pid");
        let limit = Rlimit { current: Some(2 * 1024 * 1024), maximum: None };
        let unlimited = prlimit(Some(pid), Resource::Fsize, limit).expect("the limit is set");
        let error = client.fail("system.compact", json!({}));
        // SQLite takes a file that may not grow for a failure, and only a full disk for that.
        let kind = if engine == "turso" { "disk_full" } else { "storage" };
        assert_eq!(error_kind(&error), kind, "{engine}: {error}");
        assert_eq!(client.call("session.get", json!({"id": "s"}))["message_count"], 1000);
        assert!(!files(&home).iter().any(|name| name.contains("compacting")), "{:?}", files(&home));
        prlimit(Some(pid), Resource::Fsize, unlimited).expect("the limit is lifted");
        let append = json!({"session_id": "s", "role": "user", "content": "on"});
        client.call("message.append", append.clone());
        client.call("system.compact", json!({}));
        client.call("message.append", append);
        assert_eq!(client.call("session.get", json!({"id": "s"}))["message_count"], 1002);
        assert_eq!(client.call("system.check", json!({})), json!({"ok": true, "problems": []}));
    }
}

/// A read that goes on holds the old file open: a compaction waits for it for a while, and no longer.
#[test]
fn a_read_that_goes_on_is_waited_for_or_stops_the_compaction() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            fill(&store, "s", 100).await;
            for is_long in [false, true] {
                let (go_on, wait) = mpsc::channel::<()>();
                let held = move |_: &mut aetherd::store::ReadTx<'_>| {
                    wait.recv().expect("is told to go on");
                    Ok(())
                };
                let reading = if is_long {
                    store.queue_long_read(held).await
                } else {
                    store.queue_read(held).await
                };
                let reading = reading.expect("queued");
                let error = store.compact().await.expect_err("gives up");
                assert!(matches!(error, Error::Overloaded { .. }), "{engine:?}: {error}");
                assert!(!files(&home).iter().any(|name| name.contains("compacting")));
                // Clients are served by the old file, the other reader too.
                append(&store, "s", "on").await;
                if is_long {
                    let found = store.read(|tx| sessions::get(tx, &params(json!("s")))).await;
                    assert_eq!(found.expect("a session").message_count, 102);
                }
                go_on.send(()).expect("it waits");
                reading.await.expect("reads");
            }
            // One that ends in time is waited for.
            let unfinished = home.path().join("ide.db.compacting");
            let looked = unfinished.clone();
            let reading = store
                .queue_long_read(move |_| {
                    while !looked.exists() {
                        std::thread::yield_now();
                    }
                    Ok(())
                })
                .await
                .expect("queued");
            store.compact().await.expect("compacts");
            reading.await.expect("reads");
            assert!(!unfinished.exists());
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn what_a_compaction_left_that_did_not_end_is_removed_at_the_start() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            fill(&store, "s", 10).await;
            store.close().await.expect("closed");
            drop(store);
            for name in ["ide.db.compacting", "ide.db.compacting-wal", "ide.db.compacting-shm"] {
                std::fs::write(home.path().join(name), "half a file").expect("is written");
            }
            let store = open_store(&home, engine);
            let found = store.read(|tx| sessions::get(tx, &params(json!("s")))).await;
            assert_eq!(found.expect("a session").message_count, 10);
            assert!(!files(&home).iter().any(|name| name.contains("compacting")));
            store.close().await.expect("closed");
        });
    }
}

/// The end of the store ends a compaction, and leaves the old file.
#[test]
fn a_store_that_closes_leaves_no_half_file() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            fill(&store, "s", 3000).await;
            let mut compacting = std::pin::pin!(store.compact());
            let unfinished = home.path().join("ide.db.compacting");
            while !unfinished.exists() {
                tokio::select! {
                    biased;
                    ended = &mut compacting => panic!("{engine:?}: too early: {ended:?}"),
                    () = tokio::task::yield_now() => {}
                }
            }
            store.close().await.expect("closed");
            let error = compacting.await.expect_err("was ended");
            assert!(matches!(error, Error::ShuttingDown), "{error}");
            assert!(matches!(store.compact().await, Err(Error::ShuttingDown)));
            assert!(!unfinished.exists());
        });
        assert_eq!(rows(&home)["agent_messages"].len(), 3000);
    }
}

/// A file without checksums gets them once, when nothing is written; else only what is worth it is done.
#[test]
fn a_file_is_compacted_by_itself_where_it_is_worth_it() {
    let home = Home::new();
    let path = home.path().join("ide.db");
    runtime().block_on(async {
        let store = open_store(&home, EngineKind::Sqlite);
        fill(&store, "s", 10).await;
        assert!(!store.has_page_checksums());
        assert_eq!(compact_if_worth(&store, true).await.expect("a look"), None, "not on SQLite");
        store.close().await.expect("closed");
        drop(store);
        let store = open_store(&home, EngineKind::Turso);
        assert!(!store.has_page_checksums());
        assert_eq!(compact_if_worth(&store, false).await.expect("a look"), None);
        let compacted = compact_if_worth(&store, true).await.expect("compacts").expect("once");
        assert_eq!(compact_if_worth(&store, true).await.expect("a look"), None);
        assert_eq!(store.has_page_checksums(), compacted.page_checksums);
        store.close().await.expect("closed");
        drop(store);
        let reserved = std::fs::read(&path).expect("a file")[20];
        assert_eq!(compacted.page_checksums, reserved == 8);
        let store = open_store(&home, EngineKind::Turso);
        assert_eq!(store.has_page_checksums(), reserved == 8);
        store.close().await.expect("closed");
    });
}

/// Twenty kills while a file is compacted and written: every acknowledged write is there, the file whole.
#[test]
fn a_kill_leaves_the_old_file_or_the_new_one() {
    for engine in ["turso", "sqlite"] {
        let home = Home::new();
        let mut random = fastrand::Rng::with_seed(0xc0ac7);
        let arguments = ["--engine", engine, "--no-search"];
        {
            let daemon = home.start_with(&arguments);
            let mut client = daemon.client();
            client.call("session.start", json!({"id": "s", "kind": "chat"}));
            client.call("session.start", json!({"id": "bulk", "kind": "chat"}));
            let messages: Vec<Value> =
                (0..1000).map(|_| json!({"role": "user", "content": "x".repeat(1500)})).collect();
            for _ in 0..3 {
                client.call(
                    "message.append_many",
                    json!({"session_id": "bulk", "messages": messages}),
                );
            }
        }
        let (mut acknowledged, mut halves) = (0_u64, 0);
        for kill in 0..24 {
            let mut daemon = home.start_with(&arguments);
            assert!(!files(&home).iter().any(|name| name.contains("compacting")), "{engine}");
            let (mut client, mut compacting) = (daemon.client(), daemon.client());
            compacting.send(&request(1, "system.compact", &json!({})));
            // So many writes are answered before the kill.
            for _ in 0..random.u64(1..160) {
                let params = json!({"id": format!("m{acknowledged}"), "session_id": "s", "role": "user", "content": "c".repeat(500)});
                let appended = client.call("message.append", params);
                assert_eq!(appended["index_in_session"], acknowledged, "{engine}: kill {kill}");
                acknowledged += 1;
            }
            daemon.kill();
            if files(&home).iter().any(|name| name.contains("compacting")) {
                halves += 1;
            }
        }
        assert!(halves >= 5, "{engine}: only {halves} of the kills met a compaction");
        let daemon = home.start_with(&arguments);
        let mut client = daemon.client();
        assert_eq!(client.call("system.check", json!({})), json!({"ok": true, "problems": []}));
        let session = client.call("session.get", json!({"id": "s"}));
        assert_eq!(session["next_index"], acknowledged, "{engine}");
        for id in 0..acknowledged {
            let message = client.call("message.get", json!({"id": format!("m{id}")}));
            assert_eq!(message["index_in_session"], id);
        }
        assert_eq!(client.call("session.get", json!({"id": "bulk"}))["message_count"], 3000);
        client.call("system.compact", json!({}));
        assert_eq!(client.call("session.get", json!({"id": "s"}))["next_index"], acknowledged);
    }
}
