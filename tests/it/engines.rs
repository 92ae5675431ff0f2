//! What the store relies on in its engines, where they differ.

use std::ops::ControlFlow;

use aetherd::api::message::AppendParams;
use aetherd::api::session::StartParams;
use aetherd::store::{engine, messages, sessions};

use serde_json::json;

use crate::support::{ENGINES, Home, open_store, params};

/// Turso takes a query that was broken off for one that goes on, and makes no checkpoint beside it: the
/// log would not be folded into the file at the end, nor the file be compacted.
#[test]
fn a_query_that_was_broken_off_is_at_its_end() {
    for kind in ENGINES {
        let home = Home::new();
        let path = home.path().join("x.db");
        let engine = engine::open(kind, &path).expect("an engine");
        let mut connection = engine.connect().expect("a connection");
        for sql in ["CREATE TABLE t (a)", "INSERT INTO t VALUES (1), (2), (3)"] {
            engine::run(connection.as_mut(), sql).expect("is carried out");
        }
        for begin_and_end in [None, Some(["BEGIN", "COMMIT"])] {
            let mut run = |sql: &str| engine::run(connection.as_mut(), sql);
            begin_and_end.map_or(Ok(()), |[begin, _]| run(begin)).expect("begins");
            for _ in 0..2 {
                let mut read = Vec::new();
                connection
                    .query("SELECT a FROM t ORDER BY a", &[], &mut |row| {
                        read.push(row.int()?);
                        let is_enough = read.len() == 2;
                        Ok(if is_enough {
                            ControlFlow::Break(())
                        } else {
                            ControlFlow::Continue(())
                        })
                    })
                    .expect("reads");
                assert_eq!(read, [1, 2], "{kind:?}");
            }
            let mut run = |sql: &str| engine::run(connection.as_mut(), sql);
            begin_and_end.map_or(Ok(()), |[_, end]| run(end)).expect("ends");
            run("INSERT INTO t VALUES (4)").expect("writes");
            run("PRAGMA wal_checkpoint(TRUNCATE)").expect("a checkpoint is made");
            let log = std::fs::metadata(home.path().join("x.db-wal")).expect("a log");
            assert_eq!(log.len(), 0, "{kind:?}");
        }
    }
}

/// What the check cannot read is what it has found, each time that it is asked.
#[tokio::test]
async fn a_check_of_a_damaged_file_says_what_it_found() {
    const PAGE: usize = 4096;
    for engine in ENGINES {
        let home = Home::new();
        let store = open_store(&home, engine);
        let session: StartParams = params(json!({"id": "s", "kind": "chat"}));
        let id = session.id.clone().expect("an id");
        store.write(move |tx| sessions::start(tx, &session)).await.expect("a session");
        for _ in 0..200 {
            let message: AppendParams =
                params(json!({"session_id": "s", "role": "user", "content": "c".repeat(3000)}));
            store.write(move |tx| messages::append(tx, &message)).await.expect("a message");
        }
        store.close().await.expect("closes");
        drop(store);

        let path = home.path().join("ide.db");
        let mut bytes = std::fs::read(&path).expect("a file");
        let pages = bytes.len() / PAGE;
        let mut random = fastrand::Rng::with_seed(7);
        let middle = pages / 3 * PAGE..pages * 2 / 3 * PAGE;
        bytes[middle].iter_mut().for_each(|byte| *byte = random.u8(..));
        std::fs::write(&path, bytes).expect("damaged");

        let store = open_store(&home, engine);
        for _ in 0..2 {
            let check = store.queue_long_read(|tx| tx.integrity_problems()).await.expect("queued");
            assert!(!check.await.expect("checked").is_empty(), "{engine:?}");
        }
        // What is whole is served on.
        let found = store.read(move |tx| sessions::get(tx, &id)).await.expect("reads");
        assert_eq!(found.message_count, 200);
        store.close().await.expect("closes");
    }
}
