//! Cursors of the change feed: a place is known by its change, or is told where to start again.

use aetherd::api::events::{Event, EventFilter};
use aetherd::config::{EngineKind, FeedPolicy};
use aetherd::error::{Error, Result};
use aetherd::model::FeedCursor;
use aetherd::store::feed::{self, Room, Start};
use aetherd::store::{Store, changes, settings};
use serde_json::json;

use crate::support::{ENGINES, Home, open_store, params, runtime};

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
                let policy = FeedPolicy { max_changes, max_age: i64::MAX };
                store.write(move |tx| changes::prune(tx, policy, 0, 100))
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
