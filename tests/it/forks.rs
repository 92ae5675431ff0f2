//! Forks: what they take, the same call again, and where sessions come from.

use aetherd::api::history::MessagePage;
use aetherd::api::session::AncestorsPage;
use aetherd::error::{Error, Result};
use aetherd::model::limits::MAX_ANCESTORS;
use aetherd::model::{Message, Session};
use aetherd::store::{
    Store, attachments, compact, edits, fork, history, messages, sessions, trash,
};
use serde_json::{Value, json};

use crate::support::{ENGINES, Home, open_store, params, runtime};

async fn start(store: &Store, json: Value) -> Session {
    let params = params(json);
    store.write(move |tx| sessions::start(tx, &params)).await.expect("starts")
}

async fn append(store: &Store, json: Value) -> Message {
    let params = params(json);
    store.write(move |tx| messages::append(tx, &params)).await.expect("appends")
}

async fn update(store: &Store, json: Value) -> Session {
    let params = params(json);
    store.write(move |tx| sessions::update(tx, &params)).await.expect("updates")
}

async fn delete(store: &Store, id: &str, purge: bool) {
    let params = params(json!({"id": id, "purge": purge}));
    store.write(move |tx| trash::delete(tx, &params)).await.expect("deletes");
}

async fn try_fork(store: &Store, json: Value) -> Result<Session> {
    let params = params(json);
    store.write(move |tx| fork::fork(tx, &params)).await
}

async fn page(store: &Store, id: &str) -> MessagePage {
    let params = params(json!({"session_id": id, "limit": 1000, "include_compacted": true}));
    store.read(move |tx| history::page(tx, &params)).await.expect("a page")
}

async fn ancestors(store: &Store, id: &str) -> AncestorsPage {
    let params = params(json!({"id": id}));
    store.read(move |tx| fork::ancestors(tx, &params)).await.expect("a page")
}

fn ids(page: &AncestorsPage) -> Vec<&str> {
    page.ancestors.iter().map(|ancestor| ancestor.id.as_str()).collect()
}

fn assert_conflict(result: Result<Session>, says: &str) {
    let error = result.expect_err("is refused");
    assert!(matches!(error, Error::Conflict { .. }), "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

/// A session of three messages, with all that a session can have.
async fn source(store: &Store) {
    start(
        store,
        json!({"id": "s", "kind": "chat", "title": "T", "description": "D", "model": "M",
               "system_prompt": "P", "metadata": {"a": 1}}),
    )
    .await;
    let put = params(json!({"mime": "a/b", "data": "AAAA"}));
    let put = store.write(move |tx| attachments::put(tx, &put)).await.expect("puts");
    for number in 0..3 {
        append(
            store,
            json!({"id": format!("m{number}"), "session_id": "s", "role": "tool", "content": "said",
                   "code_excerpt": "let a;", "metadata": {"n": 1}, "attachments": [{"hash": put.hash}], "created_at": 7 + number}),
        )
        .await;
    }
}

#[test]
fn a_fork_is_retried_whatever_happened_since() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            source(&store).await;
            let sent = json!({"session_id": "s", "id": "f", "up_to_index": 1, "title": null,
                              "metadata": {"b": 2}, "created_at": 5});
            let first = try_fork(&store, sent.clone()).await.expect("forks");
            assert_eq!(try_fork(&store, sent.clone()).await.expect("is retried"), first);
            append(&store, json!({"session_id": "f", "role": "user", "content": "on"})).await;
            let stored =
                update(&store, json!({"id": "f", "title": "Mine", "metadata": null})).await;
            update(&store, json!({"id": "s", "title": "Other"})).await;
            delete(&store, "s", true).await;
            let again = try_fork(&store, sent.clone()).await.expect("is retried");
            assert_eq!(again, Session { message_count: 3, ..again.clone() });
            assert_eq!(again, Session { updated_at: again.updated_at, ..stored }, "{engine:?}");
            for (name, other) in [
                ("session_id", json!("f")),
                ("up_to_index", json!(0)),
                ("up_to_index", Value::Null),
                ("title", json!("T")),
                ("title", json!("")),
                ("description", Value::Null),
                ("model", json!("M")),
                ("metadata", json!({"b": 3})),
                ("metadata", Value::Null),
                ("created_at", json!(6)),
            ] {
                let mut sent = sent.clone();
                sent[name] = other;
                assert_conflict(try_fork(&store, sent).await, "f");
            }
            // Absent is as the source has it, null is none: two calls.
            let mut absent = sent.clone();
            absent.as_object_mut().expect("an object").shift_remove("title");
            assert_conflict(try_fork(&store, absent).await, "other params");
            let params = params(json!({"id": "f", "kind": "chat"}));
            assert_conflict(store.write(move |tx| sessions::start(tx, &params)).await, "a fork");
            start(&store, json!({"id": "g", "kind": "chat", "parent_id": "f"})).await;
            let of_no_fork = json!({"session_id": "f", "id": "g"});
            assert_conflict(try_fork(&store, of_no_fork).await, "no fork");
            delete(&store, "f", false).await;
            assert_conflict(try_fork(&store, sent).await, "trash");
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn a_fork_takes_what_the_call_does_not_say_from_its_source() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            source(&store).await;
            let all = try_fork(&store, json!({"session_id": "s"})).await.expect("forks");
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let told = |session: &Session| {
                let metadata = session.metadata.as_ref().map_or("", |object| object.as_str());
                let texts = [&session.title, &session.description, &session.model];
                (texts.map(text), metadata.to_owned(), text(&session.system_prompt))
            };
            let of_source = ["T", "D", "M"].map(str::to_owned);
            assert_eq!(told(&all), (of_source, r#"{"a":1}"#.to_owned(), "P".to_owned()));
            assert_eq!(all.parent_id.as_ref().map(|id| id.as_str()), Some("s"));
            assert_eq!((all.forked_at_index, all.message_count, all.kind.as_str()), (Some(3), 3, "chat"));
            assert_eq!((all.first_message_at, all.last_message_at), (Some(7), Some(9)));
            let none = json!({"session_id": "s", "title": null, "description": null, "model": null, "metadata": null});
            let none = try_fork(&store, none).await.expect("forks");
            let nothing = ["", "", ""].map(str::to_owned);
            assert_eq!(told(&none), (nothing, String::new(), "P".to_owned()), "{engine:?}");
            let stored = none.id.clone();
            let stored = store.read(move |tx| sessions::get(tx, &stored)).await.expect("is there");
            assert_eq!(stored, none);
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn a_copy_is_its_original_but_for_where_it_is() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            source(&store).await;
            let patch = params(json!({"id": "m1", "content": "patched"}));
            store.write(move |tx| messages::update(tx, &patch)).await.expect("patches");
            try_fork(&store, json!({"session_id": "s", "id": "f"})).await.expect("forks");
            try_fork(&store, json!({"session_id": "f", "id": "g"})).await.expect("forks");
            let originals = page(&store, "s").await.messages;
            for fork in ["f", "g"] {
                let copies = page(&store, fork).await.messages;
                assert_eq!(copies.len(), originals.len());
                for (copy, original) in copies.iter().zip(&originals) {
                    assert_ne!(copy.id, original.id);
                    let expected = Message {
                        id: copy.id.clone(),
                        session_id: copy.session_id.clone(),
                        origin_id: Some(original.id.clone()),
                        ..original.clone()
                    };
                    assert_eq!(copy, &expected, "{engine:?}");
                    let id = copy.id.clone();
                    let got = store.read(move |tx| messages::get(tx, &id)).await.expect("got");
                    assert_eq!(got, expected);
                    assert_eq!(got.attachments.len(), 1);
                }
            }
            store.close().await.expect("closed");
        });
        // Each copy keeps the attachment from being collected, as its original does.
        let file = rusqlite::Connection::open(home.path().join("ide.db")).expect("SQLite opens it");
        let counted = "SELECT COUNT(*) FROM message_attachments";
        let rows: i64 = file.query_row(counted, [], |row| row.get(0)).expect("a count");
        assert_eq!(rows, 9, "{engine:?}");
    }
}

#[test]
fn a_fork_ends_with_a_message_of_the_source() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            source(&store).await;
            for (up_to, count) in [(0, 1), (2, 3)] {
                let fork = try_fork(&store, json!({"session_id": "s", "up_to_index": up_to})).await;
                let fork = fork.expect("forks");
                assert_eq!((fork.message_count, fork.forked_at_index), (count, Some(count)));
            }
            for up_to in [-1, 3, i64::MAX, i64::MIN] {
                let fork = try_fork(&store, json!({"session_id": "s", "up_to_index": up_to})).await;
                let error = fork.expect_err("is refused");
                let is_named =
                    matches!(&error, Error::InvalidParams { field, .. } if field == "up_to_index");
                assert!(is_named, "{engine:?}: {up_to}: {error}");
            }
            start(&store, json!({"id": "empty", "kind": "chat"})).await;
            let fork = try_fork(&store, json!({"session_id": "empty"})).await.expect("forks");
            assert_eq!((fork.next_index, fork.forked_at_index), (0, Some(0)));
            assert!(
                try_fork(&store, json!({"session_id": "empty", "up_to_index": 0})).await.is_err()
            );
            store.close().await.expect("closed");
        });
    }
}

/// Of what is compacted, a fork takes all and the summary, or it shows all it takes.
#[test]
fn a_fork_has_the_summary_where_it_has_all_that_it_stands_for() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            source(&store).await;
            let cleared = params(json!({"id": "s", "keep_first": 0}));
            store.write(move |tx| compact::clear(tx, &cleared)).await.expect("clears");
            for _ in 3..8 {
                append(&store, json!({"session_id": "s", "role": "user", "content": "c"})).await;
            }
            // Of 3 to 7 the history keeps 3 and 7.
            let compacted = params(
                json!({"session_id": "s", "keep_first": 1, "keep_last": 1, "summary": "sum"}),
            );
            store.write(move |tx| compact::compact(tx, &compacted)).await.expect("compacts");
            for (up_to, indexes, has_summary) in [
                (7, &[false, true, true, true, false][..], true),
                (6, &[false, true, true, true][..], true),
                (5, &[false; 3][..], false),
                (3, &[false][..], false),
                (2, &[][..], false),
            ] {
                let sent = json!({"session_id": "s", "up_to_index": up_to});
                let fork = try_fork(&store, sent).await.expect("forks");
                let page = page(&store, fork.id.as_str()).await;
                let flags: Vec<bool> =
                    page.messages.iter().map(|message| message.compacted).collect();
                assert_eq!(flags, indexes, "{engine:?}: {up_to}");
                let summary = page.summary.map(|summary| {
                    (summary.content, summary.compacted_count, summary.through_index)
                });
                assert_eq!(summary, has_summary.then(|| ("sum".to_owned(), 3, 3)), "{up_to}");
                let compacted = flags.iter().filter(|flag| **flag).count() as i64;
                assert_eq!(fork.compacted_count, compacted);
                assert_eq!(fork.message_count, flags.len() as i64 - compacted);
            }
            store.close().await.expect("closed");
        });
    }
}

/// More messages, and more bytes, than are copied at a time.
#[test]
fn a_long_session_is_copied_whole() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            start(&store, json!({"id": "s", "kind": "chat"})).await;
            for part in 0..3 {
                let mut messages: Vec<Value> = (0..200)
                    .map(|number| json!({"role": "user", "content": format!("{part} {number}")}))
                    .collect();
                messages.push(json!({"role": "user", "content": "x".repeat(3 << 20)}));
                let params = params(json!({"session_id": "s", "messages": messages}));
                store.write(move |tx| messages::append_many(tx, &params)).await.expect("appends");
            }
            let fork =
                try_fork(&store, json!({"session_id": "s", "id": "f"})).await.expect("forks");
            assert_eq!((fork.message_count, fork.next_index), (603, 603), "{engine:?}");
            let of_source = page(&store, "s").await.messages;
            let of_fork = page(&store, "f").await.messages;
            assert_eq!(of_source.len(), 603);
            for (copy, original) in of_fork.iter().zip(&of_source) {
                assert_eq!(copy.index_in_session, original.index_in_session);
                assert!(copy.content == original.content, "{engine:?}");
            }
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn edits_stay_with_their_session() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            source(&store).await;
            let edit =
                params(json!({"id": "e", "session_id": "s", "file_path": "/x", "kind": "replace",
                                     "diff": "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-0\n+1\n"}));
            store.write(move |tx| edits::record(tx, &edit)).await.expect("records");
            try_fork(&store, json!({"session_id": "s", "id": "f"})).await.expect("forks");
            for (session, count) in [("s", 1), ("f", 0)] {
                let params = params(json!({"session_id": session}));
                let page = store.read(move |tx| edits::list(tx, &params)).await.expect("a page");
                assert_eq!(page.edits.len(), count, "{engine:?}");
            }
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn ancestors_go_back_to_one_that_is_purged() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            source(&store).await;
            start(&store, json!({"id": "f", "kind": "chat", "parent_id": "s"})).await;
            try_fork(&store, json!({"session_id": "f", "id": "g"})).await.expect("forks");
            assert_eq!(ids(&ancestors(&store, "s").await), [""; 0]);
            assert_eq!(ids(&ancestors(&store, "g").await), ["f", "s"]);
            delete(&store, "f", false).await;
            let page = ancestors(&store, "g").await;
            assert_eq!(ids(&page), ["f", "s"], "{engine:?}");
            assert!(page.ancestors[0].deleted_at.is_some());
            assert_eq!(page.ancestors[0].forked_at_index, None, "a child, but no fork");
            delete(&store, "s", true).await;
            assert_eq!(ids(&ancestors(&store, "g").await), ["f"]);
            // Its id is used again, by one that came from its own descendant.
            start(&store, json!({"id": "s", "kind": "chat", "parent_id": "g"})).await;
            let page = ancestors(&store, "g").await;
            assert_eq!((ids(&page), page.has_more), (vec!["f", "s"], false));
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn ancestors_come_a_hundred_at_a_time() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            for number in 0..=MAX_ANCESTORS + 1 {
                let parent = number.checked_sub(1).map(|parent| format!("s{parent}"));
                let id = format!("s{number}");
                start(&store, json!({"id": id, "kind": "chat", "parent_id": parent})).await;
            }
            let page = ancestors(&store, &format!("s{MAX_ANCESTORS}")).await;
            assert_eq!((page.ancestors.len(), page.has_more), (MAX_ANCESTORS, false), "{engine:?}");
            let page = ancestors(&store, &format!("s{}", MAX_ANCESTORS + 1)).await;
            assert_eq!((page.ancestors.len(), page.has_more), (MAX_ANCESTORS, true));
            let last = page.ancestors.last().expect("the last").id.clone();
            assert_eq!(ids(&ancestors(&store, last.as_str()).await), ["s0"]);
            store.close().await.expect("closed");
        });
    }
}
