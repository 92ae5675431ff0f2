//! Attachments: bytes stored once, lists of messages, retries, limits, and what is collected when.

use std::collections::{BTreeMap, BTreeSet};

use aetherd::api::attachment::{AttachmentRef, PutAttachment, PutParams};
use aetherd::api::history::RecentParams;
use aetherd::api::message::{AppendParams, UpdateParams};
use aetherd::api::session::{DeleteParams, StartParams};
use aetherd::daemon::collecting::collect;
use aetherd::error::{Error, Result};
use aetherd::model::limits::{
    ATTACHMENT_GRACE, MAX_ATTACHMENT_BYTES, MAX_COLLECT_LOOK, MAX_COLLECT_WRITE,
    MAX_MESSAGE_ATTACHMENTS, MAX_MIME_PART_CHARS, MAX_NAME_BYTES,
};
use aetherd::model::{
    Attachment, AttachmentData, AttachmentHash, JsonObject, Message, MessageId, Role, SessionId,
};
use aetherd::store::{Store, attachments, changes, history, messages, sessions, trash};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{
    ENGINES, Home, LineClient, edit_database, error_kind, open_store, request, runtime,
};

fn put_params(bytes: &[u8], mime: &str, name: Option<&str>) -> PutParams {
    let data = AttachmentData::new(bytes.to_vec());
    PutParams { mime: mime.to_owned(), data, name: name.map(str::to_owned) }
}

async fn put(store: &Store, bytes: &[u8]) -> PutAttachment {
    let params = put_params(bytes, "image/png", None);
    store.write(move |tx| attachments::put(tx, &params)).await.expect("is put")
}

fn hash_of(bytes: &[u8]) -> AttachmentHash {
    AttachmentHash::of(bytes)
}

fn just(bytes: &[u8]) -> AttachmentRef {
    AttachmentRef::of(hash_of(bytes))
}

fn session_id(id: &str) -> SessionId {
    SessionId::parse(id).expect("an id")
}

async fn start(store: &Store, id: &str) {
    let id = Some(session_id(id));
    let params = StartParams { id, kind: "chat".to_owned(), ..StartParams::default() };
    store.write(move |tx| sessions::start(tx, &params)).await.expect("starts");
}

fn message(id: &str, session: &str, attachments: Vec<AttachmentRef>) -> AppendParams {
    AppendParams {
        id: MessageId::parse(id).ok(),
        session_id: session_id(session),
        role: Role::User,
        content: "look".to_owned(),
        code_excerpt: None,
        metadata: None,
        attachments,
        expected_index: None,
        created_at: None,
    }
}

async fn append(store: &Store, params: AppendParams) -> Result<Message> {
    store.write(move |tx| messages::append(tx, &params)).await
}

async fn patch(store: &Store, id: &str, attachments: Vec<AttachmentRef>) -> Result<Message> {
    let params = UpdateParams {
        id: MessageId::parse(id).expect("an id"),
        content: None,
        code_excerpt: None,
        metadata: None,
        attachments: Some(attachments),
    };
    store.write(move |tx| messages::update(tx, &params)).await
}

fn field(error: Error) -> String {
    match error {
        Error::InvalidParams { field, .. } => field,
        other => panic!("{other}"),
    }
}

fn run<F: Future<Output = ()>>(test: impl Fn(Store) -> F) {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(test(open_store(&home, engine)));
    }
}

#[test]
fn bytes_come_back_and_are_stored_once() {
    let mut random = fastrand::Rng::with_seed(7);
    let sizes = [0, 1, 2, 3, 4095, 4096, 5000, 70_000, MAX_ATTACHMENT_BYTES];
    let contents: Vec<Vec<u8>> = sizes
        .iter()
        .map(|size| std::iter::repeat_with(|| random.u8(..)).take(*size).collect())
        .collect();
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            for bytes in &contents {
                let first = put_params(bytes, "image/png", Some("a.png"));
                let other = put_params(bytes, "text/plain", None);
                let put =
                    store.write(move |tx| attachments::put(tx, &first)).await.expect("is put");
                assert_eq!((put.hash.clone(), put.created), (hash_of(bytes), true));
                assert_eq!(put.size, bytes.len() as i64);
                // A later put changes nothing, and says what is stored.
                let again =
                    store.write(move |tx| attachments::put(tx, &other)).await.expect("is put");
                assert_eq!(again, PutAttachment { created: false, ..put.clone() }, "{engine:?}");
                let hash = put.hash.clone();
                let got =
                    store.read(move |tx| attachments::get(tx, &hash)).await.expect("is there");
                assert!(got.data.bytes() == bytes, "{engine:?}: {} bytes", bytes.len());
                assert_eq!((got.mime.as_str(), got.name.as_deref()), ("image/png", Some("a.png")));
                assert_eq!((got.size, got.created_at), (put.size, put.created_at));
            }
            let none = hash_of(b"none");
            let error =
                store.read(move |tx| attachments::get(tx, &none)).await.expect_err("is not");
            assert!(matches!(error, Error::NotFound { entity: "attachment", .. }), "{error}");
            store.close().await.expect("closed");
        });
        let file = rusqlite::Connection::open(home.path().join("ide.db")).expect("SQLite opens it");
        let stored: (i64, i64, String) = file
            .query_row(
                "SELECT COUNT(*), SUM(LENGTH(data)), (SELECT integrity_check FROM pragma_integrity_check)
                FROM attachment_data",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .expect("a row");
        let bytes = sizes.iter().sum::<usize>() as i64;
        assert_eq!(stored, (sizes.len() as i64, bytes, "ok".to_owned()), "{engine:?}");
    }
}

#[test]
fn a_message_lists_what_it_refers_to_in_its_own_words() {
    run(async |store| {
        start(&store, "s").await;
        let first = put_params(b"1", "image/png", Some("a.png"));
        store.write(move |tx| attachments::put(tx, &first)).await.expect("is put");
        put(&store, b"22").await;
        let listed = |bytes: &[u8], mime: &str, name: Option<&str>| Attachment {
            hash: hash_of(bytes),
            mime: mime.to_owned(),
            name: name.map(str::to_owned),
            size: bytes.len() as i64,
        };
        let sent = vec![
            just(b"1"),
            AttachmentRef { name: Some(Some("b".to_owned())), ..just(b"1") },
            AttachmentRef { name: Some(None), mime: Some("a/b".to_owned()), ..just(b"1") },
            just(b"22"),
        ];
        let expected = vec![
            listed(b"1", "image/png", Some("a.png")),
            listed(b"1", "image/png", Some("b")),
            listed(b"1", "a/b", None),
            listed(b"22", "image/png", None),
        ];
        let appended = append(&store, message("m", "s", sent)).await.expect("appends");
        assert_eq!(appended.attachments, expected);
        let plain = append(&store, message("n", "s", Vec::new())).await.expect("appends");
        assert_eq!(plain.attachments, []);
        let recent = RecentParams { session_id: session_id("s"), limit: 9, max_bytes: None };
        let recent = store.read(move |tx| history::recent(tx, &recent)).await.expect("is read");
        assert_eq!(recent.messages, [appended, plain]);
        // Of a patch that says the same nothing changes, one that says less replaces the list.
        let same = patch(&store, "m", vec![just(b"1")]).await.expect("patches");
        assert_eq!(same.attachments, expected[..1]);
        let at = same.updated_at;
        assert!(at.is_some());
        let again = patch(&store, "m", vec![just(b"1")]).await.expect("patches");
        assert_eq!((again.updated_at, again.attachments), (at, same.attachments));
        let none = patch(&store, "m", Vec::new()).await.expect("patches");
        assert_eq!(none.attachments, []);
        store.close().await.expect("closed");
    });
}

#[test]
fn what_was_not_put_is_named_and_nothing_is_stored() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    let there = client.call("attachment.put", json!({"mime": "a/b", "data": ""}))["hash"].clone();
    let none = "0".repeat(64);
    let new = |attachments: Value| json!({"id": "m", "role": "user", "content": "", "attachments": attachments});
    let mut one = new(json!([there, {"hash": there}, none]));
    one["session_id"] = json!("s");
    let error = client.fail("message.append", one.clone());
    assert_eq!(error["data"]["field"], "attachments[2]", "{error}");
    assert!(error["message"].as_str().expect("a text").contains("does not exist"), "{error}");
    let many = json!({"session_id": "s", "messages": [new(json!([])), new(json!([there, none]))]});
    let error = client.fail("message.append_many", many);
    // The first message is rolled back too.
    assert_eq!(error_kind(&error), "conflict", "one id twice: {error}");
    let mut second = new(json!([there, none]));
    second["id"] = json!("n");
    let many = json!({"session_id": "s", "messages": [new(json!([])), second]});
    let error = client.fail("message.append_many", many);
    assert_eq!(error["data"]["field"], "messages[1].attachments[1]", "{error}");
    assert_eq!(client.call("session.get", json!({"id": "s"}))["message_count"], 0);
    one["attachments"] = json!([there]);
    client.call("message.append", one);
    let error =
        client.fail("message.update", json!({"id": "m", "content": "x", "attachments": [none]}));
    assert_eq!(error["data"]["field"], "attachments[0]", "{error}");
    let stored = client.call("message.get", json!({"id": "m"}));
    assert_eq!((&stored["content"], &stored["attachments"][0]["hash"]), (&json!(""), &there));
}

#[test]
fn an_append_is_retried_with_its_attachments() {
    run(async |store| {
        start(&store, "s").await;
        put(&store, b"1").await;
        put(&store, b"2").await;
        let named = AttachmentRef { name: Some(Some("n".to_owned())), ..just(b"2") };
        let sent = || message("m", "s", vec![just(b"1"), named.clone()]);
        let others = [
            vec![],
            vec![just(b"1")],
            vec![named.clone(), just(b"1")],
            vec![just(b"1"), just(b"2")],
            vec![just(b"1"), AttachmentRef { mime: Some("a/b".to_owned()), ..named.clone() }],
            vec![just(b"1"), AttachmentRef::of(hash_of(b"never put"))],
        ];
        let first = append(&store, sent()).await.expect("appends");
        assert_eq!(append(&store, sent()).await.expect("is retried"), first);
        let refused = async |store: &Store| {
            for other in &others {
                let error =
                    append(store, message("m", "s", other.clone())).await.expect_err("refused");
                assert!(matches!(error, Error::Conflict { .. }), "{other:?}: {error}");
            }
        };
        refused(&store).await;
        // What was first sent is known after it was patched away and collected.
        let patched = patch(&store, "m", vec![]).await.expect("patches");
        assert_eq!(collect(&store, i64::MAX, 0).await.expect("collects"), 2);
        assert_eq!(append(&store, sent()).await.expect("is retried"), patched);
        refused(&store).await;
        // And where it had none, after it got some.
        let plain = || message("p", "s", vec![]);
        append(&store, plain()).await.expect("appends");
        put(&store, b"3").await;
        let patched = patch(&store, "p", vec![just(b"3")]).await.expect("patches");
        assert_eq!(append(&store, plain()).await.expect("is retried"), patched);
        let now = append(&store, message("p", "s", vec![just(b"3")])).await.expect_err("refused");
        assert!(matches!(now, Error::Conflict { .. }), "{now}");
        store.close().await.expect("closed");
    });
}

/// Ages an attachment: the store takes the time of a put from the clock.
async fn set_put_at(store: &Store, hash: &AttachmentHash, put_at: i64) {
    let hash = hash.clone();
    let set = "UPDATE attachments SET put_at = ?2 WHERE hash = ?1";
    store
        .write(move |tx| tx.execute_one(set, &[hash.as_str().into(), put_at.into()]))
        .await
        .expect("is set");
}

async fn hashes(store: &Store, sql: &'static str) -> BTreeSet<String> {
    let rows = store.read(move |tx| tx.all(sql, &[], aetherd::store::engine::Row::text)).await;
    rows.expect("rows").into_iter().collect()
}

#[derive(Debug, Clone)]
enum Operation {
    Put {
        content: u8,
    },
    Append {
        message: u8,
        session: u8,
        contents: Vec<u8>,
    },
    Patch {
        message: u8,
        contents: Vec<u8>,
    },
    /// As a purge will: the messages go with their session.
    Purge {
        session: u8,
    },
    Trash {
        session: u8,
    },
    Wait {
        millis: i64,
    },
    Collect,
}

fn operations() -> impl Strategy<Value = Operation> {
    let content = 0_u8..6;
    let contents = proptest::collection::vec(content.clone(), 0..4);
    prop_oneof![
        5 => content.prop_map(|content| Operation::Put { content }),
        4 => (0_u8..8, 0_u8..3, contents.clone())
            .prop_map(|(message, session, contents)| Operation::Append { message, session, contents }),
        2 => (0_u8..8, contents).prop_map(|(message, contents)| Operation::Patch { message, contents }),
        1 => (0_u8..3).prop_map(|session| Operation::Purge { session }),
        1 => (0_u8..3).prop_map(|session| Operation::Trash { session }),
        3 => (1_i64..70).prop_map(|millis| Operation::Wait { millis }),
        3 => Just(Operation::Collect),
    ]
}

/// What a naive store would hold.
#[derive(Default)]
struct Model {
    /// When each content was last put.
    put_at: BTreeMap<u8, i64>,
    /// Session and contents of each message.
    messages: BTreeMap<u8, (u8, Vec<u8>)>,
    trash: BTreeSet<u8>,
}

const GRACE: i64 = 100;

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_collected_is_what_a_model_says(operations in proptest::collection::vec(operations(), 1..50)) {
        for engine in ENGINES {
            let home = Home::new();
            runtime().block_on(async {
                let store = open_store(&home, engine);
                for session in 0..3 {
                    start(&store, &format!("s{session}")).await;
                }
                let (mut model, mut now) = (Model::default(), 1000);
                let refs = |contents: &[u8]| contents.iter().map(|content| just(&[*content])).collect::<Vec<_>>();
                for operation in &operations {
                    match operation {
                        Operation::Put { content } => {
                            let stored = put(&store, &[*content]).await;
                            set_put_at(&store, &stored.hash, now).await;
                            let before = model.put_at.insert(*content, now);
                            prop_assert_eq!(stored.created, before.is_none());
                        }
                        Operation::Append { message: number, session, contents } => {
                            let name = format!("m{number}");
                            let params = message(&name, &format!("s{session}"), refs(contents));
                            let outcome = append(&store, params).await;
                            let missing = contents.iter().position(|content| !model.put_at.contains_key(content));
                            if model.messages.contains_key(number) || model.trash.contains(session) {
                                // Stored before, in this session or another, or no session to store it in.
                                continue;
                            }
                            match missing {
                                Some(at) => prop_assert_eq!(field(outcome.expect_err("is refused")), format!("attachments[{at}]")),
                                None => {
                                    let listed = outcome.expect("appends").attachments;
                                    prop_assert_eq!(listed.len(), contents.len());
                                    model.messages.insert(*number, (*session, contents.clone()));
                                }
                            }
                        }
                        Operation::Patch { message: number, contents } => {
                            let outcome = patch(&store, &format!("m{number}"), refs(contents)).await;
                            let all_there = contents.iter().all(|content| model.put_at.contains_key(content));
                            match model.messages.get_mut(number) {
                                Some((session, listed)) if !model.trash.contains(session) => {
                                    prop_assert_eq!(outcome.is_ok(), all_there);
                                    if all_there {
                                        listed.clone_from(contents);
                                    }
                                }
                                _ => {
                                    let is_refused = matches!(outcome, Err(Error::NotFound { .. }));
                                    prop_assert!(is_refused);
                                }
                            }
                        }
                        Operation::Purge { session } => {
                            let again = format!("s{session}");
                            let id = session_id(&again);
                            let purge = DeleteParams { id, purge: true };
                            store.write(move |tx| trash::delete(tx, &purge)).await.expect("is purged");
                            model.messages.retain(|_, (of, _)| of != session);
                            model.trash.remove(session);
                            start(&store, &again).await;
                        }
                        Operation::Trash { session } => {
                            let id = session_id(&format!("s{session}"));
                            let delete = DeleteParams { id, purge: false };
                            store.write(move |tx| trash::delete(tx, &delete)).await.expect("is deleted");
                            model.trash.insert(*session);
                        }
                        Operation::Wait { millis } => now += millis,
                        Operation::Collect => {
                            let kept: BTreeSet<u8> =
                                model.messages.values().flat_map(|(_, contents)| contents.clone()).collect();
                            let before = model.put_at.len();
                            model.put_at.retain(|content, put_at| kept.contains(content) || now - *put_at < GRACE);
                            let deleted = collect(&store, now, GRACE).await.expect("collects");
                            prop_assert_eq!(deleted, before - model.put_at.len(), "{:?}", engine);
                        }
                    }
                    let expected: BTreeSet<String> =
                        model.put_at.keys().map(|content| hash_of(&[*content]).to_string()).collect();
                    prop_assert_eq!(&hashes(&store, "SELECT hash FROM attachments").await, &expected, "{:?}", engine);
                    prop_assert_eq!(&hashes(&store, "SELECT hash FROM attachment_data").await, &expected);
                    let referred: BTreeSet<String> = model
                        .messages
                        .iter()
                        .flat_map(|(number, (_, contents))| {
                            contents.iter().map(move |content| format!("m{number} {}", hash_of(&[*content])))
                        })
                        .collect();
                    let rows = hashes(&store, "SELECT message_id || ' ' || hash FROM message_attachments").await;
                    prop_assert_eq!(rows, referred, "{:?}", engine);
                }
                store.close().await.expect("closed");
                Ok(())
            })?;
        }
    }
}

/// The engine itself keeps what a message refers to.
#[test]
fn an_attachment_in_use_cannot_be_deleted_by_any_statement() {
    run(async |store| {
        start(&store, "s").await;
        put(&store, b"1").await;
        append(&store, message("m", "s", vec![just(b"1")])).await.expect("appends");
        store
            .write(|tx| tx.execute("DELETE FROM attachments", &[]))
            .await
            .expect_err("the engine refuses");
        let hash = hash_of(b"1");
        store.read(move |tx| attachments::get(tx, &hash)).await.expect("is there");
        store.close().await.expect("closed");
    });
}

#[test]
fn appends_and_collections_at_once_leave_nothing_dangling() {
    const ROUNDS: u32 = 60;
    run(async |store| {
        start(&store, "s").await;
        for round in 0..ROUNDS {
            let bytes = round.to_le_bytes();
            let id = format!("m{round}");
            // All are in flight: which is first is not said.
            let (put, collected, appended, again) = tokio::join!(
                put(&store, &bytes),
                collect(&store, i64::MAX, 0),
                append(&store, message(&id, "s", vec![just(&bytes)])),
                collect(&store, i64::MAX, 0),
            );
            collected.expect("collects");
            again.expect("collects");
            assert!(put.created);
            let is_there =
                store.read(move |tx| attachments::get(tx, &hash_of(&bytes))).await.is_ok();
            assert!(is_there || appended.is_err(), "{round}");
        }
        store.close().await.expect("closed");
    });
}

#[test]
fn a_collection_goes_through_all_in_small_writes() {
    run(async |store| {
        start(&store, "s").await;
        let count = MAX_COLLECT_LOOK + MAX_COLLECT_WRITE + 1;
        let content = |number: usize| number.to_le_bytes();
        let puts = (0..count).map(|number| put_params(&content(number), "a/b", None));
        for chunk in puts.collect::<Vec<_>>().chunks(500) {
            let chunk = chunk.to_vec();
            store
                .write(move |tx| {
                    chunk.iter().try_for_each(|params| attachments::put(tx, params).map(|_| ()))
                })
                .await
                .expect("are put");
        }
        append(&store, message("m", "s", vec![just(&content(7))])).await.expect("appends");
        let now = aetherd::model::time::now();
        assert_eq!(
            collect(&store, now, ATTACHMENT_GRACE).await.expect("collects"),
            0,
            "all are young"
        );
        assert_eq!(
            collect(&store, now - ATTACHMENT_GRACE, ATTACHMENT_GRACE).await.expect("collects"),
            0
        );
        // One write has its share, at the limit and past it.
        let asked: Vec<AttachmentHash> =
            (0..=MAX_COLLECT_WRITE).map(|number| hash_of(&content(number))).collect();
        let done = store
            .write(move |tx| attachments::collect(tx, &asked, i64::MAX, 0))
            .await
            .expect("collects");
        assert_eq!((done.seen, done.deleted), (MAX_COLLECT_WRITE, MAX_COLLECT_WRITE - 1));
        let deleted = collect(&store, i64::MAX, 0).await.expect("collects");
        assert_eq!(deleted, count - MAX_COLLECT_WRITE);
        assert_eq!(hashes(&store, "SELECT hash FROM attachments").await.len(), 1);
        // Two large ones are a write's share of bytes.
        let large: Vec<Vec<u8>> =
            (1..=3_u8).map(|byte| vec![byte; MAX_ATTACHMENT_BYTES / 2]).collect();
        for bytes in &large {
            put(&store, bytes).await;
        }
        let asked: Vec<AttachmentHash> = large.iter().map(|bytes| hash_of(bytes)).collect();
        let done = store
            .write(move |tx| attachments::collect(tx, &asked, i64::MAX, 0))
            .await
            .expect("collects");
        assert_eq!((done.seen, done.deleted), (2, 2));
        store.close().await.expect("closed");
    });
}

#[test]
fn the_feed_tells_what_is_added_and_what_is_collected() {
    run(async |store| {
        start(&store, "s").await;
        put(&store, b"1").await;
        put(&store, b"1").await;
        append(&store, message("m", "s", vec![just(b"1")])).await.expect("appends");
        patch(&store, "m", vec![just(b"1")]).await.expect("changes nothing");
        patch(&store, "m", vec![]).await.expect("patches");
        collect(&store, i64::MAX, 0).await.expect("collects");
        let told = store.read(|tx| changes::after(tx, 0, 100)).await.expect("changes");
        let told: Vec<(&str, &str)> =
            told.iter().map(|change| (change.topic.word(), change.entity_id.as_str())).collect();
        let hash = hash_of(b"1");
        assert_eq!(
            told,
            [
                ("session.started", "s"),
                ("attachment.added", hash.as_str()),
                ("message.appended", "m"),
                ("message.updated", "m"),
                ("attachment.collected", hash.as_str()),
            ]
        );
        store.close().await.expect("closed");
    });
}

fn base64(bytes: usize) -> String {
    serde_json::to_value(AttachmentData::new(vec![7; bytes]))
        .expect("JSON")
        .as_str()
        .expect("a text")
        .to_owned()
}

#[test]
fn an_attachment_has_8_mib_and_a_message_32_of_them() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    let with = |data: String| json!({"mime": "image/png", "data": data});
    let error = client.fail("attachment.put", with(base64(MAX_ATTACHMENT_BYTES + 1)));
    assert_eq!(error_kind(&error), "too_large", "{error}");
    let told = (&error["data"]["field"], &error["data"]["limit"], &error["data"]["actual"]);
    let (limit, actual) = (json!(MAX_ATTACHMENT_BYTES), json!(MAX_ATTACHMENT_BYTES + 1));
    assert_eq!(told, (&json!("data"), &limit, &actual));
    let data = base64(MAX_ATTACHMENT_BYTES);
    let put = client.call("attachment.put", with(data.clone()));
    let hash = put["hash"].clone();
    assert_eq!(put["size"], MAX_ATTACHMENT_BYTES);
    let stored = &client.call("system.status", json!({}))["stored"];
    assert_eq!((&stored["attachments"], &stored["attachment_bytes"]), (&json!(1), &limit));
    // More replies than the daemon holds for one connection: each waits for its place.
    let asked = 8;
    for id in 0..asked {
        client.send(&request(id, "attachment.get", &json!({"hash": hash})));
    }
    for _ in 0..asked {
        assert!(client.receive()["result"]["data"] == *data);
    }
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    let long = "n".repeat(MAX_NAME_BYTES);
    let part = "m".repeat(MAX_MIME_PART_CHARS);
    let full = json!({"hash": hash, "name": long, "mime": format!("{part}/{part}")});
    let append = |list: Value| json!({"session_id": "s", "role": "user", "content": "", "attachments": list});
    let stored = client.call("message.append", append(json!(vec![full; MAX_MESSAGE_ATTACHMENTS])));
    assert_eq!(stored["attachments"].as_array().map(Vec::len), Some(MAX_MESSAGE_ATTACHMENTS));
    for (list, field) in [
        (json!(vec![hash.clone(); MAX_MESSAGE_ATTACHMENTS + 1]), "attachments"),
        (json!([hash, {"hash": hash, "name": format!("{long}n")}]), "attachments[1].name"),
        (json!([{"hash": hash, "name": ""}]), "attachments[0].name"),
        (json!([{"hash": hash, "mime": format!("{part}m/{part}")}]), "attachments[0].mime"),
        (json!([{"hash": hash, "mime": null}]), "attachments[0].mime"),
        (json!([{"hash": hash, "nmae": "x"}]), "attachments[0].nmae"),
        (json!([{"hash": "x"}]), "attachments[0].hash"),
        (json!([{"name": "x"}]), "attachments[0].hash"),
        (json!([hash, "ABC"]), "attachments[1]"),
        (json!([hash, hash, 7]), "attachments[2]"),
        (json!([null]), "attachments[0]"),
        (json!(null), "attachments"),
    ] {
        let error = client.fail("message.append", append(list.clone()));
        assert_eq!(error["data"]["field"], field, "{list}: {error}");
    }
}

#[test]
fn what_is_no_base64_is_refused_with_its_place() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    for (params, field, says) in [
        (json!({"mime": "a/b", "data": "Zm9v*A=="}), "data", "position 4"),
        (json!({"mime": "a/b", "data": "Zm9vZg"}), "data", "multiple of 4"),
        (json!({"mime": "a/b", "data": "Zm9v\nZg="}), "data", "position 4"),
        (json!({"mime": "a/b", "data": "data:a/b;base64,Zm9v"}), "data", "position 4"),
        (json!({"mime": "a/b", "data": [1]}), "data", "a base64 string"),
        (json!({"mime": "a/b"}), "data", "missing"),
        (json!({"mime": "png", "data": ""}), "mime", "image/png"),
        (json!({"mime": "a/b; c=d", "data": ""}), "mime", "image/png"),
        (json!({"mime": "a/b", "data": "", "name": ""}), "name", "empty"),
    ] {
        let error = client.fail("attachment.put", params.clone());
        assert_eq!(error["data"]["field"], field, "{params}: {error}");
        assert!(error["message"].as_str().expect("a text").contains(says), "{params}: {error}");
    }
    assert_eq!(client.call("system.status", json!({}))["stored"]["attachments"], 0);
    let error = client.fail("attachment.get", json!({"hash": "A".repeat(64)}));
    assert_eq!(error["data"]["field"], "hash", "{error}");
}

/// A page is counted with its lists: thirty full ones are far over the small change of an item.
#[test]
fn lists_count_for_a_page_and_for_a_budget() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    let hash = client.call("attachment.put", json!({"mime": "a/b", "data": ""}))["hash"].clone();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    // In JSON a control character takes six bytes.
    let entry = json!({"hash": hash, "name": "\u{1}".repeat(MAX_NAME_BYTES)});
    let new =
        json!({"role": "user", "content": "", "attachments": vec![entry; MAX_MESSAGE_ATTACHMENTS]});
    for _ in 0..2 {
        client.call(
            "message.append_many",
            json!({"session_id": "s", "messages": vec![new.clone(); 50]}),
        );
    }
    let page = client.call("history.page", json!({"session_id": "s", "limit": 1000}));
    assert!(page["messages"].to_string().len() <= aetherd::model::limits::MAX_PAGE_BYTES);
    let count = page["messages"].as_array().expect("messages").len();
    assert!(!page["next_cursor"].is_null() && count > 50, "{count}");
    let recent = client.call("history.recent", json!({"session_id": "s", "max_bytes": 80_000}));
    assert_eq!(recent["messages"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_daemon_collects_what_is_old_and_keeps_what_is_used_or_young() {
    let home = Home::new();
    let mut daemon = home.start();
    let mut client = daemon.client();
    let put = |client: &mut LineClient, data: &str| {
        client.call("attachment.put", json!({"mime": "a/b", "data": data}))["hash"].clone()
    };
    let (used, trashed, old) =
        (put(&mut client, "AA=="), put(&mut client, "AQ=="), put(&mut client, "Ag=="));
    for (session, hash) in [("s", &used), ("t", &trashed)] {
        client.call("session.start", json!({"id": session, "kind": "chat"}));
        client.call(
            "message.append",
            json!({"session_id": session, "role": "user", "content": "", "attachments": [hash]}),
        );
    }
    client.call("session.delete", json!({"id": "t"}));
    // Acknowledged, so there after a kill.
    daemon.kill();
    let mut daemon = home.start();
    let mut client = daemon.client();
    assert_eq!(client.call("attachment.get", json!({"hash": old}))["data"], "Ag==");
    let cursor = client.call("events.since", json!({}))["cursor"].clone();
    drop(client);
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0), "{}", home.log());
    edit_database(&home.path().join("ide.db"), |file| {
        file.execute("UPDATE attachments SET put_at = 0", []).expect("they are old");
    });

    let daemon = home.start();
    let mut client = daemon.client();
    let asked = json!({"cursor": cursor, "topics": ["attachment.collected"], "wait_ms": 30_000});
    let events = client.call("events.since", asked)["events"].take();
    assert_eq!(events.as_array().map(Vec::len), Some(1), "{events}");
    assert_eq!((&events[0]["entity_id"], &events[0]["data"]), (&old, &Value::Null));
    assert_eq!(error_kind(&client.fail("attachment.get", json!({"hash": old}))), "not_found");
    for hash in [used, trashed] {
        client.call("attachment.get", json!({"hash": hash}));
    }
    let stored = &client.call("system.status", json!({}))["stored"];
    assert_eq!((&stored["attachments"], &stored["attachment_bytes"]), (&json!(2), &json!(2)));
}

#[test]
fn metadata_and_attachments_are_patched_in_one_call() {
    run(async |store| {
        start(&store, "s").await;
        put(&store, b"1").await;
        append(&store, message("m", "s", vec![])).await.expect("appends");
        let params = UpdateParams {
            id: MessageId::parse("m").expect("an id"),
            content: Some("done".to_owned()),
            code_excerpt: None,
            metadata: Some(Some(JsonObject::parse(r#"{"a":1}"#.to_owned()).expect("an object"))),
            attachments: Some(vec![just(b"1")]),
        };
        let patched = store.write(move |tx| messages::update(tx, &params)).await.expect("patches");
        assert_eq!((patched.content.as_str(), patched.attachments.len()), ("done", 1));
        let id = patched.id.clone();
        let stored = store.read(move |tx| messages::get(tx, &id)).await.expect("is there");
        assert_eq!(stored, patched);
        store.close().await.expect("closed");
    });
}
