//! Cursors of the change feed: a place is known by its change, or is told where to start again.

use aetherd::api::events::{Event, EventFilter};
use aetherd::config::{EngineKind, FeedPolicy};
use aetherd::error::{Error, Result};
use aetherd::model::FeedCursor;
use aetherd::store::feed::{self, Room, Start};
use aetherd::store::{Store, changes, messages, sessions, settings};
use serde_json::json;

use crate::support::{ENGINES, Home, edit_database, open_store, params, runtime};

const ROOM: Room = Room { events: 1000, bytes: 1024 * 1024 };

const NONE: [i64; 0] = [];

/// Makes so many changes.
async fn make(store: &Store, count: usize) {
    for number in 0..count {
        let params = params(json!({"key": "k", "value": number}));
        store.write(move |tx| settings::set(tx, &params)).await.expect("set");
    }
}

/// What is behind a cursor, for a client that starts there.
async fn behind(store: &Store, cursor: &FeedCursor) -> Result<Vec<Event>> {
    let (feed, start) = (store.feed_id().clone(), Start::Cursor(cursor.clone()));
    let read = store.read(move |tx| {
        let after = start.check(tx, &feed)?.seq;
        feed::read(tx, &feed, after, &EventFilter::default(), ROOM)
    });
    Ok(read.await?.events)
}

/// The numbers of the changes that are behind a cursor.
async fn seqs(store: &Store, cursor: &FeedCursor) -> Vec<i64> {
    behind(store, cursor).await.expect("it is kept").iter().map(|event| event.seq).collect()
}

/// Where a client is told to start again: behind all, and in front of all that is kept.
async fn expired(store: &Store, cursor: &FeedCursor) -> [FeedCursor; 2] {
    match behind(store, cursor).await.expect_err("it is not kept") {
        Error::Expired { cursor, oldest } => [cursor, oldest].map(|text| params(json!(text))),
        error => panic!("{error}"),
    }
}

fn front(store: &Store) -> FeedCursor {
    FeedCursor { feed: store.feed_id().clone(), seq: 0, at: 0 }
}

async fn cursors(store: &Store) -> Vec<FeedCursor> {
    let events = behind(store, &front(store)).await.expect("all is kept");
    events.into_iter().map(|event| event.cursor).collect()
}

fn put_back(home: &Home, engine: EngineKind, copy: &[u8]) -> Store {
    std::fs::write(home.path().join("ide.db"), copy).expect("is put back");
    // With the mark of then, or without one: else what was acknowledged since would be missed.
    std::fs::remove_file(home.path().join("ide.db-mark")).expect("the mark is gone");
    open_store(home, engine)
}

#[test]
fn a_database_that_was_put_back_knows_the_cursors_that_are_not_of_its_past() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            make(&store, 3).await;
            store.close().await.expect("closed");
            let copy = std::fs::read(home.path().join("ide.db")).expect("a copy");
            let store = open_store(&home, engine);
            make(&store, 3).await;
            let past = cursors(&store).await;
            assert_eq!(past.len(), 6);
            store.close().await.expect("closed");
            let store = put_back(&home, engine, &copy);
            // Ahead of what there is, then of other changes of the same numbers.
            for written in [0, 2, 4] {
                make(&store, written).await;
                for (seq, cursor) in (1..).zip(&past) {
                    if seq <= 3 {
                        let last = *store.committed().borrow();
                        assert_eq!(
                            seqs(&store, cursor).await,
                            (seq + 1..=last).collect::<Vec<_>>()
                        );
                    } else {
                        let [newest, oldest] = expired(&store, cursor).await;
                        assert_eq!(oldest, front(&store));
                        assert_eq!(Some(&newest), cursors(&store).await.last());
                        assert_eq!(seqs(&store, &newest).await, NONE);
                    }
                }
            }
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn a_place_is_kept_as_long_as_all_that_followed_it() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            let front = front(&store);
            assert_eq!(seqs(&store, &front).await, NONE, "an empty feed has its front");
            let ahead = FeedCursor { seq: 1, at: 1, ..front.clone() };
            assert_eq!(expired(&store, &ahead).await, [front.clone(), front.clone()]);
            make(&store, 10).await;
            let all = cursors(&store).await;
            let prune = |max_changes: u32| {
                let policy = FeedPolicy { max_changes, max_age: i64::MAX, ..FeedPolicy::default() };
                store.write(move |tx| changes::prune(tx, policy, None, 0, 100))
            };
            prune(4).await.expect("pruned");
            // Behind the last one that is gone, and one before.
            assert_eq!(seqs(&store, &all[5]).await, [7, 8, 9, 10]);
            for gone in [&all[4], &front] {
                assert_eq!(expired(&store, gone).await, [all[9].clone(), all[5].clone()]);
            }
            // All is gone that may go: the newest place is behind the newest change.
            prune(0).await.expect("pruned");
            assert_eq!(seqs(&store, &all[8]).await, [10]);
            assert_eq!(seqs(&store, &all[9]).await, NONE);
            for gone in [&all[7], &front] {
                assert_eq!(expired(&store, gone).await, [all[9].clone(), all[8].clone()]);
            }
            make(&store, 1).await;
            assert_eq!(seqs(&store, &all[9]).await, [11]);
            store.close().await.expect("closed");
        });
    }
}

/// Changes a closed database behind the daemon's back, as a fault of the disk does.
fn damage(home: &Home, sql: &str) {
    edit_database(&home.path().join("ide.db"), |connection| {
        assert_eq!(connection.execute(sql, []).expect("it is changed"), 1);
    });
}

#[test]
fn what_cannot_be_read_stops_nobody() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            let start = params(json!({"id": "s", "kind": "chat"}));
            store.write(move |tx| sessions::start(tx, &start)).await.expect("started");
            for id in ["m1", "m2"] {
                let message = json!({"id": id, "session_id": "s", "role": "user", "content": "c", "metadata": {"a": 1}});
                let message = params(message);
                store.write(move |tx| messages::append(tx, &message)).await.expect("appended");
            }
            make(&store, 3).await;
            let all = cursors(&store).await;
            store.close().await.expect("closed");
            damage(&home, "UPDATE agent_messages SET metadata = '{' WHERE id = 'm1'");
            damage(&home, "UPDATE changes SET topic = 'what?' WHERE seq = 5");
            let store = open_store(&home, engine);
            let events = behind(&store, &front(&store)).await.expect("those before");
            let seen: Vec<_> = events
                .iter()
                .map(|event| (event.seq, event.unreadable, event.data.is_none()))
                .collect();
            assert_eq!(
                seen,
                [(1, false, false), (2, true, true), (3, false, false), (4, false, false)],
                "{engine:?}"
            );
            // The lost change is the next one; behind it the feed goes on.
            assert_eq!(expired(&store, &all[3]).await, [all[5].clone(), all[4].clone()]);
            assert_eq!(seqs(&store, &all[4]).await, [6]);
            let filter = EventFilter { topics: Some(vec!["project".to_owned()]), ..Default::default() };
            let looked = store.read(move |tx| feed::first_match(tx, 0, &filter)).await.expect("looked");
            assert_eq!((looked.before, looked.is_match), (4, true), "who waits is told");
            store.close().await.expect("closed");
        });
    }
}

/// What the search index lacks stays past the policy, its own row too, up to a bound of its own.
#[test]
fn a_place_that_is_needed_is_kept_up_to_a_bound() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            make(&store, 20).await;
            let all = cursors(&store).await;
            // All are over it, by their number and by their age.
            let policy = FeedPolicy { max_changes: 1, max_age: 0, max_for_index: 10 };
            let prune = |needed: Option<i64>| {
                store.write(move |tx| changes::prune(tx, policy, needed, i64::MAX, 100))
            };
            let is_over = |needed: Option<i64>| {
                store.read(move |tx| changes::is_over(tx, policy, needed, i64::MAX))
            };
            prune(Some(12)).await.expect("pruned");
            assert!(!is_over(Some(12)).await.expect("is read"), "nothing that may go is left");
            assert_eq!(seqs(&store, &all[11]).await, [13, 14, 15, 16, 17, 18, 19, 20]);
            assert_eq!(expired(&store, &all[10]).await, [all[19].clone(), all[11].clone()]);
            make(&store, 2).await;
            prune(Some(12)).await.expect("pruned");
            assert_eq!(seqs(&store, &all[11]).await.len(), 10, "at the bound");
            make(&store, 1).await;
            assert!(is_over(Some(12)).await.expect("is read"), "one past it");
            prune(Some(12)).await.expect("pruned");
            expired(&store, &all[11]).await;
            assert_eq!(seqs(&store, &all[12]).await.len(), 10);
            // Who needs nothing newer than all holds nothing, nor does nobody.
            prune(Some(22)).await.expect("pruned");
            expired(&store, &all[19]).await;
            prune(None).await.expect("pruned");
            assert_eq!(store.read(changes::bounds).await.expect("bounds").first, 23);
            store.close().await.expect("closed");
        });
    }
}
