//! A lost answer: the same call again gives what is stored, also where that changed since.

use aetherd::api::history::{Order, PageParams};
use aetherd::api::message::{AppendManyParams, AppendParams, NewMessage};
use aetherd::api::session::{ClearParams, StartParams};
use aetherd::api::{message, session};
use aetherd::error::{Error, Result};
use aetherd::model::{JsonObject, Message, MessageId, Role, Session, SessionId};
use aetherd::store::{Store, compact, history, messages, sessions};

use crate::support::{ENGINES, Home, open_store, runtime};

fn object(text: &str) -> Option<JsonObject> {
    Some(JsonObject::parse(text.to_owned()).expect("an object"))
}

fn start_params() -> StartParams {
    StartParams {
        id: SessionId::parse("s").ok(),
        kind: "chat".to_owned(),
        title: Some("New Chat".to_owned()),
        system_prompt: Some("Be brief.".to_owned()),
        metadata: object(r#"{"a": 1}"#),
        ..StartParams::default()
    }
}

fn append_params() -> AppendParams {
    AppendParams {
        id: MessageId::parse("m").ok(),
        session_id: SessionId::parse("s").expect("an id"),
        role: Role::Assistant,
        content: "Looking.".to_owned(),
        code_excerpt: Some("let a;".to_owned()),
        metadata: object(r#"{"tool_calls": [1]}"#),
        attachments: Vec::new(),
        expected_index: Some(0),
        created_at: None,
    }
}

async fn start(store: &Store, params: StartParams) -> Result<Session> {
    store.write(move |tx| sessions::start(tx, &params)).await
}

async fn append(store: &Store, params: AppendParams) -> Result<Message> {
    store.write(move |tx| messages::append(tx, &params)).await
}

async fn update_session(store: &Store, title: Option<&str>, metadata: &str) -> Session {
    let params = session::UpdateParams {
        id: SessionId::parse("s").expect("an id"),
        title: Some(title.map(str::to_owned)),
        description: None,
        model: None,
        system_prompt: None,
        project_id: None,
        metadata: Some(object(metadata)),
        archived: None,
        pinned: None,
    };
    store.write(move |tx| sessions::update(tx, &params)).await.expect("updates")
}

async fn update_message(store: &Store, content: Option<&str>, metadata: &str) -> Message {
    let params = message::UpdateParams {
        id: MessageId::parse("m").expect("an id"),
        content: content.map(str::to_owned),
        code_excerpt: Some(None),
        metadata: Some(object(metadata)),
        attachments: None,
    };
    store.write(move |tx| messages::update(tx, &params)).await.expect("updates")
}

fn assert_conflict<T: std::fmt::Debug>(result: Result<T>) {
    let error = result.expect_err("is refused");
    assert!(matches!(error, Error::Conflict { .. }), "{error}");
}

#[test]
fn a_start_is_retried_after_the_session_was_patched() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            start(&store, start_params()).await.expect("starts");
            update_session(&store, Some("Bug"), r#"{"a": 2}"#).await;
            let stored = update_session(&store, None, r#"{"b": 3}"#).await;
            store.close().await.expect("closed");
            let store = open_store(&home, engine);
            let again = start(&store, start_params()).await.expect("is retried");
            assert_eq!(again, stored, "{engine:?}");
            assert_eq!(again.title, None);
            // What is stored now is not what was sent.
            let now = StartParams { title: None, metadata: stored.metadata, ..start_params() };
            assert_conflict(start(&store, now).await);
            for other in [
                StartParams { kind: "other".to_owned(), ..start_params() },
                StartParams { description: Some(String::new()), ..start_params() },
                StartParams { metadata: object(r#"{"a":1}"#), ..start_params() },
                StartParams { system_prompt: None, ..start_params() },
                StartParams { created_at: Some(1), ..start_params() },
            ] {
                assert_conflict(start(&store, other).await);
            }
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn an_append_is_retried_after_the_message_was_patched() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            start(&store, start_params()).await.expect("starts");
            let first = append(&store, append_params()).await.expect("appends");
            update_message(&store, Some("Found it."), r#"{"tool_calls": [2]}"#).await;
            let stored = update_message(&store, None, r#"{"done": true}"#).await;
            store.close().await.expect("closed");
            let store = open_store(&home, engine);
            let again = append(&store, append_params()).await.expect("is retried");
            assert_eq!(again, stored, "{engine:?}");
            let at = Some(first.created_at);
            let timed = AppendParams { created_at: at, ..append_params() };
            assert_eq!(append(&store, timed).await.expect("is retried"), stored);
            let sent = append_params();
            let new = |content: &str| NewMessage {
                id: sent.id.clone(),
                role: sent.role,
                content: content.to_owned(),
                code_excerpt: sent.code_excerpt.clone(),
                metadata: sent.metadata.clone(),
                attachments: Vec::new(),
                created_at: None,
            };
            let many = |content: &str| AppendManyParams {
                session_id: sent.session_id.clone(),
                messages: vec![new(content)],
                expected_index: None,
            };
            let params = many("Looking.");
            let appended = store.write(move |tx| messages::append_many(tx, &params)).await;
            assert!(!appended.expect("is retried").messages[0].created);
            let params = many("Found it.");
            assert_conflict(store.write(move |tx| messages::append_many(tx, &params)).await);
            // What is stored now is not what was sent.
            let now = AppendParams {
                content: stored.content,
                code_excerpt: stored.code_excerpt,
                metadata: stored.metadata,
                ..append_params()
            };
            assert_conflict(append(&store, now).await);
            for other in [
                AppendParams { role: Role::User, ..append_params() },
                AppendParams { content: String::new(), ..append_params() },
                AppendParams { code_excerpt: None, ..append_params() },
                AppendParams { metadata: None, ..append_params() },
                AppendParams { created_at: Some(first.created_at + 1), ..append_params() },
            ] {
                assert_conflict(append(&store, other).await);
            }
            store.close().await.expect("closed");
        });
    }
}

async fn say(store: &Store, count: usize) {
    for _ in 0..count {
        let params = AppendParams { id: None, expected_index: None, ..append_params() };
        append(store, params).await.expect("appends");
    }
}

async fn clear(
    store: &Store,
    keep_first: u32,
    expected_next_index: Option<i64>,
) -> Result<Session> {
    let id = SessionId::parse("s").expect("an id");
    let params = ClearParams { id, keep_first, expected_next_index };
    store.write(move |tx| compact::clear(tx, &params)).await
}

async fn shown(store: &Store) -> Vec<i64> {
    let session_id = SessionId::parse("s").expect("an id");
    let params = PageParams {
        session_id,
        order: Order::Oldest,
        limit: 1000,
        cursor: None,
        include_compacted: false,
    };
    let page = store.read(move |tx| history::page(tx, &params)).await.expect("a page");
    page.messages.iter().map(|message| message.index_in_session).collect()
}

fn assert_precondition<T: std::fmt::Debug>(result: Result<T>, is: i64) {
    let error = result.expect_err("is refused");
    assert!(matches!(error, Error::PreconditionFailed { actual, .. } if actual == is), "{error}");
}

#[test]
fn a_clear_is_retried_and_hides_nothing_more() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            start(&store, start_params()).await.expect("starts");
            say(&store, 4).await;
            for wrong in [-1, 0, 3, 5] {
                assert_precondition(clear(&store, 1, Some(wrong)).await, 4);
            }
            assert_eq!(shown(&store).await, [0, 1, 2, 3], "{engine:?}");
            clear(&store, 1, Some(4)).await.expect("clears");
            assert_eq!(shown(&store).await, [0]);
            let stored = clear(&store, 1, Some(4)).await.expect("again");
            assert_eq!(stored.message_count, 1);
            say(&store, 2).await;
            let again = clear(&store, 1, Some(4)).await.expect("is retried");
            assert_eq!((again.message_count, again.next_index), (3, 6));
            assert_eq!(shown(&store).await, [0, 4, 5]);
            // Not the call that was carried out.
            assert_precondition(clear(&store, 0, Some(4)).await, 6);
            assert_precondition(clear(&store, 1, Some(5)).await, 6);
            clear(&store, 1, Some(6)).await.expect("clears");
            assert_eq!(shown(&store).await, [0]);
            // Without it, what was appended in between is hidden too.
            say(&store, 1).await;
            clear(&store, 1, None).await.expect("clears");
            assert_eq!(shown(&store).await, [0]);
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn a_clear_that_keeps_all_is_retried_too() {
    let home = Home::new();
    runtime().block_on(async {
        let store = open_store(&home, ENGINES[0]);
        start(&store, start_params()).await.expect("starts");
        say(&store, 2).await;
        clear(&store, 5, Some(2)).await.expect("hides nothing");
        say(&store, 2).await;
        let again = clear(&store, 5, Some(2)).await.expect("is retried");
        assert_eq!(again.message_count, 4);
        store.close().await.expect("closed");
    });
}

#[test]
fn a_clear_counts_the_messages_that_are_shown() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            start(&store, start_params()).await.expect("starts");
            say(&store, 1).await;
            clear(&store, 0, None).await.expect("clears");
            // The new prompt is the first message now, and stays.
            say(&store, 2).await;
            clear(&store, 1, None).await.expect("clears");
            assert_eq!(shown(&store).await, [1], "{engine:?}");
            say(&store, 4).await;
            let stored = clear(&store, 3, Some(7)).await.expect("clears");
            assert_eq!(shown(&store).await, [1, 3, 4]);
            assert_eq!((stored.message_count, stored.next_index), (3, 7));
            assert!(stored.first_message_at.is_some() && stored.last_message_at.is_some());
            say(&store, 2).await;
            assert_eq!(shown(&store).await, [1, 3, 4, 7, 8]);
            let again = clear(&store, 3, Some(7)).await.expect("is retried");
            assert_eq!(again.message_count, 5);
            store.close().await.expect("closed");
            let store = open_store(&home, engine);
            clear(&store, 9, None).await.expect("clears");
            assert_eq!(shown(&store).await, [1, 3, 4, 7, 8]);
            clear(&store, 2, None).await.expect("clears");
            assert_eq!(shown(&store).await, [1, 3]);
            store.close().await.expect("closed");
        });
    }
}

/// At 0 too, where no message tells of it.
#[test]
fn a_clear_of_nothing_is_retried_but_not_taken_for_one_that_never_was() {
    let home = Home::new();
    runtime().block_on(async {
        let store = open_store(&home, ENGINES[0]);
        start(&store, start_params()).await.expect("starts");
        clear(&store, 0, Some(0)).await.expect("clears");
        say(&store, 2).await;
        let again = clear(&store, 0, Some(0)).await.expect("is retried");
        assert_eq!(again.message_count, 2);
        assert_precondition(clear(&store, 1, Some(1)).await, 2);
        store.close().await.expect("closed");
    });
}
