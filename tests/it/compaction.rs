//! `session.compact`: the summary beside the messages, the same call again, and clears before and after.

use aetherd::api::history::{MessagePage, RecentMessages};
use aetherd::error::{Error, Result};
use aetherd::model::Session;
use aetherd::model::limits::{MAX_PAGE_BYTES, MAX_SUMMARY_BYTES};
use aetherd::store::{Store, compact, history, messages, sessions};
use serde_json::{Value, json};

use crate::support::{ENGINES, Home, error_kind, open_store, params, runtime};

/// Starts a session of so many messages.
async fn start(store: &Store, count: usize) {
    let start = params(json!({"id": "s", "kind": "chat"}));
    store.write(move |tx| sessions::start(tx, &start)).await.expect("starts");
    say(store, count, "said").await;
}

async fn say(store: &Store, count: usize, content: &str) {
    for _ in 0..count {
        let append = params(json!({"session_id": "s", "role": "user", "content": content}));
        store.write(move |tx| messages::append(tx, &append)).await.expect("appends");
    }
}

/// The call with these members beside the session.
async fn compact(store: &Store, mut json: Value) -> Result<Session> {
    json["session_id"] = json!("s");
    let params = params(json);
    store.write(move |tx| compact::compact(tx, &params)).await
}

async fn clear(store: &Store, json: Value) -> Result<Session> {
    let params = params(json);
    store.write(move |tx| compact::clear(tx, &params)).await
}

async fn page(store: &Store, include_compacted: bool) -> MessagePage {
    let params =
        params(json!({"session_id": "s", "limit": 1000, "include_compacted": include_compacted}));
    store.read(move |tx| history::page(tx, &params)).await.expect("a page")
}

async fn recent(store: &Store, json: Value) -> RecentMessages {
    let params = params(json);
    store.read(move |tx| history::recent(tx, &params)).await.expect("recent messages")
}

/// The indexes that the history shows, and those that it shows with what is compacted.
async fn shown(store: &Store) -> (Vec<i64>, Vec<i64>) {
    let indexes = |page: MessagePage| {
        page.messages.iter().map(|message| message.index_in_session).collect::<Vec<i64>>()
    };
    (indexes(page(store, false).await), indexes(page(store, true).await))
}

fn assert_precondition(result: Result<Session>, is: i64) {
    let error = result.expect_err("is refused");
    assert!(matches!(error, Error::PreconditionFailed { actual, .. } if actual == is), "{error}");
}

#[test]
fn a_summary_stands_beside_the_messages_that_are_left() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            start(&store, 6).await;
            assert_eq!(page(&store, false).await.summary, None);
            let sent = json!({"keep_first": 1, "keep_last": 2, "summary": "one"});
            let session = compact(&store, sent).await.expect("compacts");
            assert_eq!(
                (session.message_count, session.compacted_count, session.next_index),
                (3, 3, 6)
            );
            assert_eq!(shown(&store).await, (vec![0, 4, 5], (0..6).collect()), "{engine:?}");
            say(&store, 2, "more").await;
            let sent = json!({"keep_first": 1, "keep_last": 1, "summary": "two"});
            let session = compact(&store, sent).await.expect("compacts");
            assert_eq!((session.message_count, session.compacted_count), (2, 6));
            store.close().await.expect("closed");
            let store = open_store(&home, engine);
            assert_eq!(shown(&store).await, (vec![0, 7], (0..8).collect()));
            let page = page(&store, true).await;
            let flags: Vec<bool> = page.messages.iter().map(|message| message.compacted).collect();
            assert_eq!(flags, [false, true, true, true, true, true, true, false]);
            let summary = page.summary.expect("a summary");
            assert_eq!(summary.content, "two");
            assert_eq!((summary.compacted_count, summary.through_index), (6, 6));
            // A compacted message can be got and patched as any other.
            let id = page.messages[3].id.clone();
            let patch = params(json!({"id": id, "content": "patched"}));
            let patched =
                store.write(move |tx| messages::update(tx, &patch)).await.expect("patches");
            assert!(patched.compacted);
            let got = store.read(move |tx| messages::get(tx, &id)).await.expect("is there");
            assert_eq!(got, patched);
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn a_compaction_is_retried_and_takes_nothing_more() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            start(&store, 5).await;
            let sent = |keep_last: u32, summary: &str, next: i64| {
                json!({"keep_last": keep_last, "summary": summary, "expected_next_index": next})
            };
            for wrong in [-1, 0, 4, 6] {
                assert_precondition(compact(&store, sent(2, "sum", wrong)).await, 5);
            }
            let first = compact(&store, sent(2, "sum", 5)).await.expect("compacts");
            assert_eq!(compact(&store, sent(2, "sum", 5)).await.expect("again"), first, "{engine:?}");
            say(&store, 2, "more").await;
            let again = compact(&store, sent(2, "sum", 5)).await.expect("is retried");
            assert_eq!((again.message_count, again.compacted_count), (4, 3));
            assert_eq!(shown(&store).await.0, [3, 4, 5, 6]);
            // Not the call that was carried out.
            assert_precondition(compact(&store, sent(1, "sum", 5)).await, 7);
            assert_precondition(compact(&store, sent(2, "other", 5)).await, 7);
            assert_precondition(compact(&store, sent(2, "sum", 6)).await, 7);
            // Nor is it, once the session was compacted again or cleared.
            compact(&store, sent(3, "sum", 7)).await.expect("compacts");
            assert_precondition(compact(&store, sent(2, "sum", 5)).await, 7);
            say(&store, 1, "more").await;
            compact(&store, sent(3, "sum", 7)).await.expect("is retried");
            clear(&store, json!({"id": "s", "keep_first": 9})).await.expect("clears");
            assert_precondition(compact(&store, sent(3, "sum", 7)).await, 8);
            store.close().await.expect("closed");
        });
    }
}

/// Also where no message came in between: the summary would go for good.
#[test]
fn a_clear_that_is_retried_ends_no_later_summary() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            start(&store, 4).await;
            let sent = json!({"id": "s", "keep_first": 2, "expected_next_index": 4});
            let cleared = clear(&store, sent.clone()).await.expect("clears");
            assert_eq!(clear(&store, sent.clone()).await.expect("again"), cleared);
            let later = json!({"keep_last": 1, "summary": "later"});
            let compacted = compact(&store, later).await.expect("compacts");
            let again = clear(&store, sent).await.expect("is retried");
            assert_eq!(again, compacted, "{engine:?}");
            let summary = page(&store, false).await.summary.expect("a summary");
            assert_eq!(summary.content, "later");
            // A clear of its own takes the summary along.
            clear(&store, json!({"id": "s", "keep_first": 2})).await.expect("clears");
            assert_eq!((page(&store, true).await.summary, shown(&store).await.1), (None, vec![1]));
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn a_summary_of_nothing_is_refused() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            start(&store, 3).await;
            for (keep_first, keep_last) in [(0, 3), (3, 0), (2, 1), (9, 9), (0, u32::MAX)] {
                let sent =
                    json!({"keep_first": keep_first, "keep_last": keep_last, "summary": "s"});
                let error = compact(&store, sent).await.expect_err("is refused");
                let is_named =
                    matches!(&error, Error::InvalidParams { field, .. } if field == "keep_last");
                assert!(is_named, "{engine:?}: {error}");
            }
            assert_eq!(page(&store, false).await.summary, None);
            compact(&store, json!({"keep_last": 2, "summary": "s"})).await.expect("compacts");
            // The summary can be written anew where nothing more is compacted.
            compact(&store, json!({"keep_last": 2, "summary": "t"})).await.expect("compacts");
            let summary = page(&store, false).await.summary.expect("a summary");
            assert_eq!((summary.content.as_str(), summary.compacted_count), ("t", 1));
            compact(&store, json!({"keep_last": 0, "summary": "all"})).await.expect("compacts");
            assert_eq!(shown(&store).await, (vec![], vec![0, 1, 2]));
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn a_clear_ends_a_summary_and_what_it_stands_for() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            start(&store, 6).await;
            let sent = json!({"keep_first": 1, "keep_last": 2, "summary": "sum"});
            compact(&store, sent.clone()).await.expect("compacts");
            let cleared = json!({"id": "s", "keep_first": 2, "expected_next_index": 6});
            let session = clear(&store, cleared.clone()).await.expect("clears");
            assert_eq!((session.message_count, session.compacted_count), (2, 0), "{engine:?}");
            assert_eq!(shown(&store).await, (vec![0, 4], vec![0, 4]));
            assert_eq!(page(&store, true).await.summary, None);
            // What was cleared is in no summary that comes later.
            say(&store, 3, "more").await;
            let session = compact(&store, sent).await.expect("compacts");
            assert_eq!((session.message_count, session.compacted_count), (3, 2));
            assert_eq!(shown(&store).await, (vec![0, 7, 8], vec![0, 4, 6, 7, 8]));
            let summary = page(&store, false).await.summary.expect("a summary");
            assert_eq!((summary.compacted_count, summary.through_index), (2, 6));
            // The clear is retried, and takes the summary that came since for none of its own.
            let again = clear(&store, cleared).await.expect("is retried");
            assert_eq!((again.message_count, again.compacted_count), (3, 2));
            store.close().await.expect("closed");
        });
    }
}

/// A prompt is the summary and the messages.
#[test]
fn the_budget_of_a_prompt_counts_the_summary() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            start(&store, 2).await;
            say(&store, 4, "0123456789").await;
            compact(&store, json!({"keep_last": 4, "summary": "s".repeat(15)}))
                .await
                .expect("compacts");
            for (max_bytes, count) in
                [(15 + 40, 4), (15 + 39, 3), (15 + 20, 2), (15 + 10, 1), (3, 1)]
            {
                let recent =
                    recent(&store, json!({"session_id": "s", "max_bytes": max_bytes})).await;
                assert_eq!(recent.messages.len(), count, "{engine:?}: {max_bytes}");
                assert_eq!(recent.has_more, count < 4);
                assert_eq!(recent.summary.expect("is given whole").content.len(), 15);
            }
            store.close().await.expect("closed");
        });
    }
}

/// A summary whose JSON is six times its size, and messages that fill the rest of the page.
#[test]
fn a_page_with_a_summary_has_16_mib_too() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            start(&store, 1).await;
            say(&store, 6, &"x".repeat(3 << 20)).await;
            let summary = "\u{1}".repeat(MAX_SUMMARY_BYTES);
            compact(&store, json!({"keep_last": 6, "summary": summary})).await.expect("compacts");
            let page = page(&store, false).await;
            assert_eq!(page.messages.len(), 3, "{engine:?}");
            assert!(serde_json::to_string(&page).expect("JSON").len() <= MAX_PAGE_BYTES + 100);
            let recent = recent(&store, json!({"session_id": "s"})).await;
            assert_eq!((recent.messages.len(), recent.has_more), (3, true));
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn a_summary_has_1_mib() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    client.call("message.append", json!({"session_id": "s", "role": "user", "content": ""}));
    let sent = |summary: String| json!({"session_id": "s", "keep_last": 0, "summary": summary});
    let error = client.fail("session.compact", sent("x".repeat(MAX_SUMMARY_BYTES + 1)));
    assert_eq!(error_kind(&error), "too_large");
    assert_eq!(
        (&error["data"]["field"], &error["data"]["limit"]),
        (&json!("summary"), &json!(MAX_SUMMARY_BYTES))
    );
    let error = client.fail("session.compact", sent(String::new()));
    assert_eq!(
        (error_kind(&error), &error["data"]["field"]),
        ("invalid_params", &json!("summary"))
    );
    let at = "x".repeat(MAX_SUMMARY_BYTES);
    client.call("session.compact", sent(at.clone()));
    let recent = client.call("history.recent", json!({"session_id": "s"}));
    assert_eq!(recent["summary"]["content"], at);
}
