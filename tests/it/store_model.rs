//! The store against a naive model: random operations, on both engines, results compared.

use std::collections::BTreeMap;

use aetherd::api::history::{Order, PageParams, RecentParams};
use aetherd::api::message::{AppendManyParams, AppendParams, NewMessage, UpdateParams};
use aetherd::api::session::{self, ClearParams, DeleteParams, ListParams, StartParams};
use aetherd::api::settings::{KeyParams, SetParams};
use aetherd::config::EngineKind;
use aetherd::error::Error;
use aetherd::model::{Json, JsonObject, MessageId, Role, SessionId};
use aetherd::store::{Store, compact, history, messages, session_list, sessions, settings, trash};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{ENGINES, Home, open_store, runtime};

#[derive(Debug, Clone)]
enum Operation {
    Start { session: u8, title: Option<String> },
    Append { session: u8, message: u8, content: String, expected: Option<u8> },
    AppendMany { session: u8, messages: Vec<(u8, String)> },
    Patch { message: u8, content: Option<String>, member: Option<u8> },
    Retitle { session: u8, title: Option<String> },
    Clear { session: u8, keep: u8 },
    Delete { session: u8 },
    Recent { session: u8, limit: u8, max_bytes: Option<u16> },
    PageThrough { session: u8, newest: bool, limit: u8 },
    List { limit: u8 },
    Set { key: u8, value: String },
    Get { key: u8 },
    DeleteKey { key: u8 },
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,12}",
        Just("línea — ✓ 🌧\n\t\"quoted\" \\".to_owned()),
        Just("nul \0 inside".to_owned()),
        Just("x".repeat(5000)),
        any::<String>(),
    ]
}

fn operations() -> impl Strategy<Value = Operation> {
    let session = 0_u8..4;
    let message = 0_u8..24;
    prop_oneof![
        2 => (session.clone(), proptest::option::of(texts())).prop_map(|(session, title)| Operation::Start { session, title }),
        8 => (session.clone(), message.clone(), texts(), proptest::option::of(0_u8..6))
            .prop_map(|(session, message, content, expected)| Operation::Append { session, message, content, expected }),
        4 => (session.clone(), proptest::collection::vec((message.clone(), texts()), 1..5))
            .prop_map(|(session, messages)| Operation::AppendMany { session, messages }),
        3 => (message, proptest::option::of(texts()), proptest::option::of(0_u8..4))
            .prop_map(|(message, content, member)| Operation::Patch { message, content, member }),
        1 => (session.clone(), proptest::option::of(texts())).prop_map(|(session, title)| Operation::Retitle { session, title }),
        1 => (session.clone(), 0_u8..4).prop_map(|(session, keep)| Operation::Clear { session, keep }),
        1 => session.clone().prop_map(|session| Operation::Delete { session }),
        3 => (session.clone(), 1_u8..8, proptest::option::of(0_u16..6000))
            .prop_map(|(session, limit, max_bytes)| Operation::Recent { session, limit, max_bytes }),
        2 => (session, any::<bool>(), 1_u8..5).prop_map(|(session, newest, limit)| Operation::PageThrough { session, newest, limit }),
        1 => (1_u8..6).prop_map(|limit| Operation::List { limit }),
        2 => (0_u8..4, texts()).prop_map(|(key, value)| Operation::Set { key, value }),
        1 => (0_u8..4).prop_map(|key| Operation::Get { key }),
        1 => (0_u8..4).prop_map(|key| Operation::DeleteKey { key }),
    ]
}

fn session_id(number: u8) -> SessionId {
    SessionId::parse(format!("session-{number}")).expect("an id")
}

fn message_id(number: u8) -> MessageId {
    MessageId::parse(format!("message-{number}")).expect("an id")
}

/// Every time the tests write: what is not under test must not differ from run to run.
const AT: i64 = 1_700_000_000_000;

fn kind(error: &Error) -> &'static str {
    aetherd::api::ErrorKind::from(error).word()
}

/// Runs an operation on the real store and reduces its outcome to what does not vary.
async fn run(store: &Store, operation: Operation) -> Value {
    let outcome = run_raw(store, operation).await;
    outcome.unwrap_or_else(|error| json!({ "error": kind(&error) }))
}

async fn run_raw(store: &Store, operation: Operation) -> Result<Value, Error> {
    Ok(match operation {
        Operation::Start { session, title } => {
            let params = StartParams {
                id: Some(session_id(session)),
                kind: "chat".to_owned(),
                title,
                created_at: Some(AT + i64::from(session)),
                ..StartParams::default()
            };
            let started = store.write(move |tx| sessions::start(tx, &params)).await?;
            json!({ "title": started.title, "next_index": started.next_index, "count": started.message_count })
        }
        Operation::Append { session, message, content, expected } => {
            let params = AppendParams {
                id: Some(message_id(message)),
                session_id: session_id(session),
                role: Role::User,
                content,
                code_excerpt: None,
                metadata: None,
                attachments: Vec::new(),
                expected_index: expected.map(i64::from),
                created_at: Some(AT + i64::from(message)),
            };
            let appended = store.write(move |tx| messages::append(tx, &params)).await?;
            json!({ "index": appended.index_in_session, "content": appended.content })
        }
        Operation::AppendMany { session, messages: new } => {
            let params = AppendManyParams {
                session_id: session_id(session),
                messages: new
                    .into_iter()
                    .map(|(message, content)| NewMessage {
                        id: Some(message_id(message)),
                        role: Role::User,
                        content,
                        code_excerpt: None,
                        metadata: None,
                        attachments: Vec::new(),
                        created_at: Some(AT + i64::from(message)),
                    })
                    .collect(),
                expected_index: None,
            };
            let appended = store.write(move |tx| messages::append_many(tx, &params)).await?;
            appended
                .messages
                .iter()
                .map(|message| json!([message.index_in_session, message.created]))
                .collect()
        }
        Operation::Patch { message, content, member } => {
            let metadata = member.map(|member| {
                let patch = match member {
                    0 => "{\"m1\":null}".to_owned(),
                    3 => return None,
                    member => format!("{{\"m{member}\":{member}}}"),
                };
                Some(JsonObject::parse(patch).expect("an object"))
            });
            let params = UpdateParams {
                id: message_id(message),
                content,
                code_excerpt: None,
                metadata,
                attachments: None,
            };
            let patched = store.write(move |tx| messages::update(tx, &params)).await?;
            json!({ "content": patched.content, "metadata": patched.metadata.map(|object| object.as_str().to_owned()) })
        }
        Operation::Retitle { session, title } => {
            let params = session::UpdateParams {
                id: session_id(session),
                title: Some(title),
                description: None,
                model: None,
                system_prompt: None,
                project_id: None,
                metadata: None,
                archived: None,
                pinned: None,
            };
            json!(store.write(move |tx| sessions::update(tx, &params)).await?.title)
        }
        Operation::Clear { session, keep } => {
            let params = ClearParams {
                id: session_id(session),
                keep_first: u32::from(keep),
                expected_next_index: None,
            };
            let cleared = store.write(move |tx| compact::clear(tx, &params)).await?;
            json!({ "count": cleared.message_count, "next_index": cleared.next_index })
        }
        Operation::Delete { session } => {
            let params = DeleteParams { id: session_id(session), purge: false };
            json!(store.write(move |tx| trash::delete(tx, &params)).await?.deleted)
        }
        Operation::Recent { session, limit, max_bytes } => {
            let params = RecentParams {
                session_id: session_id(session),
                limit: u32::from(limit),
                max_bytes: max_bytes.map(u64::from),
            };
            let recent = store.read(move |tx| history::recent(tx, &params)).await?;
            json!({
                "contents": recent.messages.iter().map(|message| &message.content).collect::<Vec<_>>(),
                "has_more": recent.has_more,
            })
        }
        Operation::PageThrough { session, newest, limit } => {
            let order = if newest { Order::Newest } else { Order::Oldest };
            let mut seen = Vec::new();
            let mut cursor = None;
            loop {
                let params = PageParams {
                    session_id: session_id(session),
                    order,
                    limit: u32::from(limit),
                    cursor,
                    include_compacted: false,
                };
                let page = store.read(move |tx| history::page(tx, &params)).await?;
                seen.extend(page.messages.iter().map(|message| message.index_in_session));
                cursor = page.next_cursor;
                if cursor.is_none() {
                    break json!(seen);
                }
            }
        }
        Operation::List { limit } => {
            let mut seen = Vec::new();
            let mut cursor = None;
            loop {
                let params = ListParams {
                    project_id: None,
                    kind: Some("chat".to_owned()),
                    parent_id: None,
                    archived: false,
                    deleted: false,
                    limit: u32::from(limit),
                    cursor,
                };
                let page = store.read(move |tx| session_list::list(tx, &params)).await?;
                assert!(page.sessions.len() <= usize::from(limit));
                seen.extend(page.sessions.iter().map(|session| {
                    json!([
                        session.id,
                        session.message_count,
                        session.first_message_at,
                        session.last_message_at
                    ])
                }));
                cursor = page.next_cursor;
                if cursor.is_none() {
                    break json!(seen);
                }
            }
        }
        Operation::Set { key, value } => {
            let params = SetParams {
                key: format!("key.{key}"),
                value: Json::of(&value).expect("JSON"),
                project_id: None,
            };
            store.write(move |tx| settings::set(tx, &params)).await?;
            json!(true)
        }
        Operation::Get { key } => {
            let params = KeyParams { key: format!("key.{key}"), project_id: None };
            let setting = store.read(move |tx| settings::get(tx, &params)).await?;
            json!([setting.value.as_str(), setting.resolved.is_some()])
        }
        Operation::DeleteKey { key } => {
            let params = KeyParams { key: format!("key.{key}"), project_id: None };
            json!(store.write(move |tx| settings::delete(tx, &params)).await?)
        }
    })
}

#[derive(Clone, Default)]
struct ModelSession {
    number: u8,
    title: Option<String>,
    first_title: Option<String>,
    /// Message number and whether the history shows it.
    messages: Vec<(u8, bool)>,
    deleted: bool,
}

#[derive(Clone)]
struct ModelMessage {
    session: u8,
    index: usize,
    content: String,
    first_content: String,
    metadata: Option<BTreeMap<u8, u8>>,
}

/// The store as one would write it without a thought for disks.
#[derive(Clone, Default)]
struct Model {
    sessions: BTreeMap<u8, ModelSession>,
    messages: BTreeMap<u8, ModelMessage>,
    settings: BTreeMap<u8, String>,
}

impl Model {
    fn run(&mut self, operation: &Operation) -> Value {
        // A failed operation changes nothing.
        let before = self.clone();
        self.try_run(operation).unwrap_or_else(|error| {
            *self = before;
            json!({ "error": error })
        })
    }

    fn live(&mut self, session: u8) -> Result<&mut ModelSession, &'static str> {
        self.sessions.get_mut(&session).filter(|found| !found.deleted).ok_or("not_found")
    }

    fn append(
        &mut self,
        session: u8,
        message: u8,
        content: &str,
        expected: Option<u8>,
    ) -> Result<(usize, bool), &'static str> {
        let next = self.live(session)?.messages.len();
        if let Some(stored) = self.messages.get(&message) {
            let same = stored.session == session && stored.first_content == content;
            return if same { Ok((stored.index, false)) } else { Err("conflict") };
        }
        if expected.is_some_and(|expected| usize::from(expected) != next) {
            return Err("precondition_failed");
        }
        self.live(session)?.messages.push((message, true));
        self.messages.insert(
            message,
            ModelMessage {
                session,
                index: next,
                content: content.to_owned(),
                first_content: content.to_owned(),
                metadata: None,
            },
        );
        Ok((next, true))
    }

    fn shown(&mut self, session: u8) -> Result<Vec<(usize, u8)>, &'static str> {
        let messages = &self.live(session)?.messages;
        Ok(messages
            .iter()
            .enumerate()
            .filter(|(_, (_, shown))| *shown)
            .map(|(index, (message, _))| (index, *message))
            .collect())
    }

    fn try_run(&mut self, operation: &Operation) -> Result<Value, &'static str> {
        Ok(match operation {
            Operation::Start { session, title } => {
                let stored = self.sessions.entry(*session).or_insert_with(|| ModelSession {
                    number: *session,
                    title: title.clone(),
                    first_title: title.clone(),
                    ..ModelSession::default()
                });
                if stored.deleted || stored.first_title != *title {
                    return Err("conflict");
                }
                let count = stored.messages.iter().filter(|(_, shown)| *shown).count();
                json!({ "title": stored.title, "next_index": stored.messages.len(), "count": count })
            }
            Operation::Append { session, message, content, expected } => {
                self.live(*session)?;
                let (index, _) = self.append(*session, *message, content, *expected)?;
                json!({ "index": index, "content": self.messages[message].content })
            }
            Operation::Retitle { session, title } => {
                self.live(*session)?.title.clone_from(title);
                json!(title)
            }
            Operation::AppendMany { session, messages } => {
                self.live(*session)?;
                let mut results = Vec::new();
                for (message, content) in messages {
                    let (index, created) = self.append(*session, *message, content, None)?;
                    results.push(json!([index, created]));
                }
                json!(results)
            }
            Operation::Patch { message, content, member } => {
                let session = self.messages.get(message).ok_or("not_found")?.session;
                self.live(session)?;
                let stored = self.messages.get_mut(message).ok_or("not_found")?;
                if let Some(content) = content {
                    stored.content.clone_from(content);
                }
                if let Some(member) = member {
                    let members = stored.metadata.get_or_insert_default();
                    match *member {
                        0 => {
                            members.remove(&1);
                        }
                        3 => stored.metadata = None,
                        member => {
                            members.insert(member, member);
                        }
                    }
                }
                json!({ "content": stored.content, "metadata": stored.metadata })
            }
            Operation::Clear { session, keep } => {
                let stored = self.live(*session)?;
                let mut kept = 0;
                for (_, shown) in stored.messages.iter_mut().filter(|(_, shown)| *shown) {
                    *shown = kept < *keep;
                    kept += u8::from(*shown);
                }
                json!({ "count": kept, "next_index": stored.messages.len() })
            }
            Operation::Delete { session } => {
                let stored = self.sessions.get_mut(session).ok_or("not_found")?;
                json!(!std::mem::replace(&mut stored.deleted, true))
            }
            Operation::Recent { session, limit, max_bytes } => {
                let shown = self.shown(*session)?;
                let mut contents = Vec::new();
                let mut bytes = 0;
                for (_, message) in shown.iter().rev() {
                    let stored = &self.messages[message];
                    let metadata =
                        stored.metadata.as_ref().map_or(0, |members| metadata_text(members).len());
                    bytes += stored.content.len() + metadata;
                    let over = max_bytes.is_some_and(|most| bytes > usize::from(most))
                        && !contents.is_empty();
                    if contents.len() == usize::from(*limit) || over {
                        break;
                    }
                    contents.push(stored.content.clone());
                }
                contents.reverse();
                json!({ "has_more": contents.len() < shown.len(), "contents": contents })
            }
            Operation::PageThrough { session, newest, .. } => {
                let mut indexes: Vec<usize> =
                    self.shown(*session)?.into_iter().map(|(index, _)| index).collect();
                if *newest {
                    indexes.reverse();
                }
                json!(indexes)
            }
            Operation::List { .. } => {
                let mut rows: Vec<(i64, String, Value)> = Vec::new();
                for session in self.sessions.values().filter(|session| !session.deleted) {
                    let times =
                        || session.messages.iter().map(|(message, _)| AT + i64::from(*message));
                    let created_at = AT + i64::from(session.number);
                    let activity = times().max().map_or(created_at, |last| last.max(created_at));
                    let count = session.messages.iter().filter(|(_, shown)| *shown).count();
                    let id = session_id(session.number).as_str().to_owned();
                    let row = json!([id, count, times().min(), times().max()]);
                    rows.push((activity, id, row));
                }
                rows.sort_by(|one, other| (other.0, &other.1).cmp(&(one.0, &one.1)));
                rows.into_iter().map(|(_, _, row)| row).collect()
            }
            Operation::Set { key, value } => {
                self.settings.insert(*key, serde_json::to_string(value).expect("JSON"));
                json!(true)
            }
            Operation::Get { key } => match self.settings.get(key) {
                Some(value) => json!([value, true]),
                None => json!(["null", false]),
            },
            Operation::DeleteKey { key } => json!(self.settings.remove(key).is_some()),
        })
    }
}

fn metadata_text(members: &BTreeMap<u8, u8>) -> String {
    let members: Vec<String> =
        members.iter().map(|(name, value)| format!("\"m{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

/// Metadata is compared by its members: a merge keeps the order in which they came.
fn comparable(mut outcome: Value) -> Value {
    if let Some(text) = outcome.get("metadata").and_then(Value::as_str) {
        let members: BTreeMap<String, u8> = serde_json::from_str(text).expect("an object");
        outcome["metadata"] =
            members.iter().map(|(name, value)| (name[1..].to_owned(), json!(value))).collect();
    }
    outcome
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_operations_do_what_the_model_does(operations in proptest::collection::vec(operations(), 1..60)) {
        for engine in ENGINES {
            let home = Home::new();
            runtime().block_on(async {
                let store = open_store(&home, engine);
                let mut model = Model::default();
                for operation in &operations {
                    let expected = model.run(operation);
                    let outcome = comparable(run(&store, operation.clone()).await);
                    prop_assert_eq!(outcome, expected, "{:?}: {:?}", engine, operation);
                }
                store.close().await.expect("the store closes");
                Ok(())
            })?;
        }
    }

    /// Many writes in one group, some of which fail: each outcome is as if it had come alone.
    #[test]
    fn a_group_does_what_its_writes_do_singly(operations in proptest::collection::vec(operations(), 2..40)) {
        let writes: Vec<Operation> = operations
            .into_iter()
            .filter(|operation| !matches!(
                operation,
                Operation::Recent { .. } | Operation::PageThrough { .. } | Operation::List { .. } | Operation::Get { .. }
            ))
            .collect();
        for engine in ENGINES {
            let home = Home::new();
            runtime().block_on(async {
                let store = open_store(&home, engine);
                let mut model = Model::default();
                let expected: Vec<Value> = writes.iter().map(|operation| model.run(operation)).collect();
                // Polled in order on one thread, so queued in order; the writer takes them as groups.
                let outcomes = futures_util::future::join_all(writes.iter().map(|operation| run(&store, operation.clone()))).await;
                let outcomes: Vec<Value> = outcomes.into_iter().map(comparable).collect();
                prop_assert_eq!(outcomes, expected, "{:?}", engine);
                store.close().await.expect("the store closes");
                Ok(())
            })?;
        }
    }
}

#[test]
fn both_engines_hold_the_same_after_the_same_writes() {
    let mut digests = Vec::new();
    for engine in [EngineKind::Turso, EngineKind::Sqlite] {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            for number in 0..40_u8 {
                let session = number % 4;
                run(&store, Operation::Start { session, title: None }).await;
                run(
                    &store,
                    Operation::Append {
                        session,
                        message: number,
                        content: format!("content {number}"),
                        expected: None,
                    },
                )
                .await;
            }
            store.close().await.expect("the store closes");
        });
        // SQLite reads the closed file of either engine.
        let file = rusqlite::Connection::open(home.path().join("ide.db")).expect("SQLite opens it");
        let rows: Vec<String> = file
            .prepare("SELECT id || '|' || session_id || '|' || index_in_session || '|' || content || '|' || created_at FROM agent_messages ORDER BY id")
            .expect("a query")
            .query_map([], |row| row.get(0))
            .expect("rows")
            .collect::<Result<_, _>>()
            .expect("rows");
        assert_eq!(rows.len(), 40);
        digests.push(rows);
    }
    assert_eq!(digests[0], digests[1]);
}
