//! The trash and the archive: where a session is, and what a purge ends.

use std::path::Path;

use aetherd::error::{Error, Result};
use aetherd::model::Session;
use aetherd::store::{Store, edits, fork, history, messages, session_list, sessions, trash};
use serde_json::{Value, json};

use crate::support::{ENGINES, Home, edit_database, open_store, params, runtime};

async fn start(store: &Store, json: Value) -> Result<Session> {
    let params = params(json);
    store.write(move |tx| sessions::start(tx, &params)).await
}

/// Starts a session of so many messages and edits.
async fn start_with(store: &Store, id: &str, count: usize) {
    start(store, json!({"id": id, "kind": "chat", "system_prompt": "p"})).await.expect("starts");
    let messages: Vec<Value> = (0..count)
        .map(|at| json!({"id": format!("{id}-{at}"), "role": "user", "content": "c"}))
        .collect();
    for messages in messages.chunks(1000) {
        let params = params(json!({"session_id": id, "messages": messages}));
        store.write(move |tx| messages::append_many(tx, &params)).await.expect("appends");
    }
    for at in 0..count.min(3) {
        let edit = params(json!({
            "id": format!("{id}-{at}"), "session_id": id, "file_path": "/x", "kind": "replace",
            "diff": "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-0\n+1\n"
        }));
        store.write(move |tx| edits::record(tx, &edit)).await.expect("records");
    }
}

async fn delete(store: &Store, id: &str, purge: bool) -> Result<Value> {
    let params = params(json!({"id": id, "purge": purge}));
    store.write(move |tx| trash::delete(tx, &params)).await.map(|deleted| json!(deleted))
}

async fn restore(store: &Store, id: &str) -> Result<Session> {
    let params = params(json!({"id": id}));
    store.write(move |tx| trash::restore(tx, &params)).await
}

async fn update(store: &Store, json: Value) -> Session {
    let params = params(json);
    store.write(move |tx| sessions::update(tx, &params)).await.expect("updates")
}

async fn listed(store: &Store, json: Value) -> Vec<String> {
    let params = params(json);
    let page = store.read(move |tx| session_list::list(tx, &params)).await.expect("a page");
    page.sessions.iter().map(|session| session.id.to_string()).collect()
}

/// How many rows each table has for a session, in a file that no engine has open.
fn rows_of(home: &Home, session: &str) -> Vec<i64> {
    let file = rusqlite::Connection::open(home.path().join("ide.db")).expect("SQLite opens it");
    ["agent_messages", "agent_edits", "agent_session_texts"]
        .iter()
        .map(|table| format!("SELECT COUNT(*) FROM {table} WHERE session_id = ?1"))
        .chain(["SELECT COUNT(*) FROM agent_sessions WHERE id = ?1".to_owned()])
        .map(|sql| file.query_row(&sql, [session], |row| row.get(0)).expect("a count"))
        .collect()
}

fn is_sound(file: &Path) -> bool {
    let file = rusqlite::Connection::open(file).expect("SQLite opens it");
    let text = |sql: &str| file.query_row(sql, [], |row| row.get::<_, String>(0));
    let orphans = file.prepare("PRAGMA foreign_key_check").and_then(|mut check| check.exists([]));
    text("PRAGMA integrity_check").is_ok_and(|found| found == "ok") && orphans == Ok(false)
}

fn assert_not_found<T: std::fmt::Debug>(result: Result<T>) {
    let error = result.expect_err("is refused");
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

#[test]
fn a_session_goes_to_the_list_it_is_put_on() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            start_with(&store, "s", 2).await;
            let lists = async || {
                let mut found = Vec::new();
                for list in [json!({}), json!({"archived": true}), json!({"deleted": true})] {
                    found.push(listed(&store, list).await.len());
                }
                found
            };
            assert_eq!(lists().await, [1, 0, 0]);
            let archived = update(&store, json!({"id": "s", "archived": true})).await;
            assert!(archived.archived_at.is_some());
            assert_eq!(lists().await, [0, 1, 0], "{engine:?}");
            // An archived one stays so since then, and takes messages as any other.
            assert_eq!(update(&store, json!({"id": "s", "archived": true})).await, archived);
            let append = params(json!({"session_id": "s", "role": "user", "content": "on"}));
            store.write(move |tx| messages::append(tx, &append)).await.expect("appends");
            assert_eq!(lists().await, [0, 1, 0]);
            let gone = json!({"deleted": true, "purged": false});
            assert_eq!(delete(&store, "s", false).await.expect("deletes"), gone);
            let again = json!({"deleted": false, "purged": false});
            assert_eq!(delete(&store, "s", false).await.expect("again"), again);
            assert_eq!(lists().await, [0, 0, 1]);
            assert_not_found(store.read(|tx| sessions::get(tx, &params(json!("s")))).await);
            store.close().await.expect("closed");
            let store = open_store(&home, engine);
            let restored = restore(&store, "s").await.expect("restores");
            assert_eq!((restored.archived_at, restored.message_count), (archived.archived_at, 3));
            assert_eq!(restore(&store, "s").await.expect("again"), restored);
            assert_eq!(listed(&store, json!({"archived": true})).await, ["s"]);
            update(&store, json!({"id": "s", "archived": false})).await;
            assert_eq!(listed(&store, json!({})).await, ["s"]);
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn a_purge_ends_a_session_and_leaves_its_forks() {
    for engine in ENGINES {
        for is_in_trash in [false, true] {
            let home = Home::new();
            runtime().block_on(async {
                let store = open_store(&home, engine);
                start_with(&store, "s", 3).await;
                start_with(&store, "other", 3).await;
                let sent = params(json!({"session_id": "s", "id": "f"}));
                store.write(move |tx| fork::fork(tx, &sent)).await.expect("forks");
                if is_in_trash {
                    delete(&store, "s", false).await.expect("deletes");
                }
                let purged = delete(&store, "s", true).await.expect("purges");
                assert_eq!(purged, json!({"deleted": !is_in_trash, "purged": true}), "{engine:?}");
                assert_not_found(delete(&store, "s", true).await);
                assert_not_found(restore(&store, "s").await);
                assert_not_found(store.read(|tx| messages::get(tx, &params(json!("s-0")))).await);
                assert_eq!(listed(&store, json!({"parent_id": "s"})).await, ["f"]);
                assert_eq!(listed(&store, json!({"deleted": true})).await, [""; 0]);
                store.close().await.expect("closed");
            });
            assert_eq!(rows_of(&home, "s"), [0, 0, 0, 0], "{engine:?}");
            assert_eq!(rows_of(&home, "f"), [3, 0, 1, 1]);
            assert_eq!(rows_of(&home, "other"), [3, 3, 1, 1]);
            assert!(is_sound(&home.path().join("ide.db")));
            // Its ids are free again.
            runtime().block_on(async {
                let store = open_store(&home, engine);
                start_with(&store, "s", 3).await;
                let asked = params(json!({"session_id": "f"}));
                let of_fork =
                    store.read(move |tx| history::page(tx, &asked)).await.expect("a page");
                assert_eq!(of_fork.messages.len(), 3);
                store.close().await.expect("closed");
            });
        }
    }
}

/// More than one batch: the session is gone at once, its rows soon, and others write meanwhile.
#[test]
fn a_long_session_is_purged_between_other_writes() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            start_with(&store, "s", 2200).await;
            start_with(&store, "other", 1).await;
            delete(&store, "s", true).await.expect("purges");
            assert_not_found(store.read(|tx| sessions::get(tx, &params(json!("s")))).await);
            // Before each group a batch is deleted, so these are enough.
            for _ in 0..6 {
                let append =
                    params(json!({"session_id": "other", "role": "user", "content": "on"}));
                store.write(move |tx| messages::append(tx, &append)).await.expect("appends");
            }
            start(&store, json!({"id": "s", "kind": "chat"})).await.expect("the id is free");
            store.close().await.expect("closed");
        });
        assert_eq!(rows_of(&home, "s"), [0, 0, 0, 1], "{engine:?}");
        assert_eq!(rows_of(&home, "other"), [7, 1, 1, 1]);
        assert!(is_sound(&home.path().join("ide.db")));
    }
}

/// The daemon ended while it purged: what is left is not seen, and goes.
#[test]
fn a_purge_that_was_broken_off_goes_on_at_the_next_start() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            start_with(&store, "s", 1300).await;
            start_with(&store, "other", 1).await;
            store.close().await.expect("closed");
        });
        edit_database(&home.path().join("ide.db"), |file| {
            file.execute_batch(
                "UPDATE agent_sessions SET shelf = 3, deleted_at = 1 WHERE id = 's';
                 DELETE FROM agent_messages WHERE session_id = 's' AND index_in_session < 250;",
            )
            .expect("a purge that has begun");
        });
        runtime().block_on(async {
            let store = open_store(&home, engine);
            assert_not_found(store.read(|tx| sessions::get(tx, &params(json!("s")))).await);
            assert_not_found(restore(&store, "s").await);
            for list in [json!({}), json!({"archived": true}), json!({"deleted": true})] {
                assert!(!listed(&store, list).await.contains(&"s".to_owned()), "{engine:?}");
            }
            for _ in 0..4 {
                let append =
                    params(json!({"session_id": "other", "role": "user", "content": "on"}));
                store.write(move |tx| messages::append(tx, &append)).await.expect("appends");
            }
            store.close().await.expect("closed");
        });
        assert_eq!(rows_of(&home, "s"), [0, 0, 0, 0], "{engine:?}");
        assert_eq!(rows_of(&home, "other"), [5, 1, 1, 1]);
    }
}
