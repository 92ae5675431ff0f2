//! What the writes come to on the real store, and all that can be seen of it.

use std::collections::BTreeMap;

use aetherd::api::history::{MessagePage, PageParams, RecentParams};
use aetherd::api::message::AppendManyParams;
use aetherd::api::session::{
    ClearParams, CompactParams, DeleteParams, ForkParams, IdParams, ListParams, StartParams,
    UpdateParams,
};
use aetherd::error::Error;
use aetherd::model::{Message, Session};
use aetherd::store::{Store, compact, fork, history, messages, session_list, sessions, trash};
use serde_json::{Value, json};

use super::{AT, Operation, SESSIONS};
use crate::support::params;

/// The ids of the messages of each session, by their index.
pub(crate) type Ids = BTreeMap<u8, Vec<String>>;

fn id(session: u8) -> String {
    format!("s{session}")
}

/// Carries out one operation, and keeps the ids of the messages it makes.
pub(crate) async fn run(store: &Store, ids: &mut Ids, at: usize, operation: &Operation) -> Value {
    let message_id = match operation {
        Operation::Patch { session, index } => {
            ids.get(session).and_then(|ids| ids.get(usize::from(*index))).cloned()
        }
        _ => None,
    };
    let outcome = write(store, message_id, at, operation).await;
    if let (Operation::Append { session: made, .. } | Operation::Fork { fork: made, .. }, None) =
        (operation, outcome.get("error"))
    {
        let of_session = ids.entry(*made).or_default();
        for message in all(store, *made, true).await {
            let index = usize::try_from(message.index_in_session).expect("an index");
            if index >= of_session.len() {
                of_session.resize(index + 1, String::new());
            }
            of_session[index] = message.id.to_string();
        }
    }
    if let (Operation::Delete { session, purge: true }, None) = (operation, outcome.get("error")) {
        ids.remove(session);
    }
    outcome
}

/// Carries out one operation, and reduces its outcome to what does not vary.
pub(crate) async fn write(
    store: &Store,
    message_id: Option<String>,
    at: usize,
    operation: &Operation,
) -> Value {
    let outcome = try_write(store, message_id, at, operation).await;
    outcome.unwrap_or_else(|error| json!({ "error": aetherd::api::ErrorKind::from(&error).word() }))
}

async fn try_write(
    store: &Store,
    message_id: Option<String>,
    at: usize,
    operation: &Operation,
) -> Result<Value, Error> {
    let time = AT + at as i64;
    Ok(match operation {
        Operation::Start { session } => {
            let params: StartParams = params(
                json!({"id": id(*session), "kind": "chat", "system_prompt": "p", "created_at": AT + i64::from(*session)}),
            );
            shown(&store.write(move |tx| sessions::start(tx, &params)).await?)
        }
        Operation::Append { session, count } => {
            let messages: Vec<Value> = (0..*count)
                .map(|number| {
                    let role = ["user", "assistant", "tool", "system"][usize::from(number) % 4];
                    let name = format!("m{at}-{number}");
                    json!({"id": name, "role": role, "content": name, "created_at": time, "metadata": {"n": number}})
                })
                .collect();
            let params: AppendManyParams =
                params(json!({"session_id": id(*session), "messages": messages}));
            let appended = store.write(move |tx| messages::append_many(tx, &params)).await?;
            json!(appended.messages[0].index_in_session)
        }
        Operation::Patch { .. } => {
            let message_id = message_id.unwrap_or_else(|| "none".to_owned());
            let params = params(json!({"id": message_id, "content": format!("p{at}")}));
            let patched = store.write(move |tx| messages::update(tx, &params)).await?;
            json!(patched.compacted)
        }
        Operation::Clear { session, keep_first } => {
            let params: ClearParams = params(json!({"id": id(*session), "keep_first": keep_first}));
            shown(&store.write(move |tx| compact::clear(tx, &params)).await?)
        }
        Operation::Compact { session, keep_first, keep_last, summary } => {
            let params: CompactParams = params(
                json!({"session_id": id(*session), "keep_first": keep_first, "keep_last": keep_last, "summary": format!("sum {summary}")}),
            );
            shown(&store.write(move |tx| compact::compact(tx, &params)).await?)
        }
        Operation::Fork { session, fork: made, up_to, title } => {
            let mut json =
                json!({"session_id": id(*session), "id": id(*made), "up_to_index": up_to});
            if let Some(title) = title {
                json["title"] = json!(title.map(|title| format!("t{title}")));
            }
            json["created_at"] = json!(AT + i64::from(*made));
            let params: ForkParams = params(json);
            shown(&store.write(move |tx| fork::fork(tx, &params)).await?)
        }
        Operation::Update { session, title, archived } => {
            let mut json = json!({"id": id(*session), "title": format!("t{title}")});
            if let Some(archived) = archived {
                json["archived"] = json!(archived);
            }
            let params: UpdateParams = params(json);
            shown(&store.write(move |tx| sessions::update(tx, &params)).await?)
        }
        Operation::Delete { session, purge } => {
            let params: DeleteParams = params(json!({"id": id(*session), "purge": purge}));
            json!(store.write(move |tx| trash::delete(tx, &params)).await?)
        }
        Operation::Restore { session } => {
            let params: IdParams = params(json!({"id": id(*session)}));
            shown(&store.write(move |tx| trash::restore(tx, &params)).await?)
        }
    })
}

/// What of a session does not vary.
fn shown(session: &Session) -> Value {
    json!({
        "title": session.title, "system_prompt": session.system_prompt,
        "count": session.message_count, "compacted": session.compacted_count,
        "next": session.next_index, "parent": session.parent_id,
        "forked_at": session.forked_at_index, "archived": session.archived_at.is_some(),
        "first": session.first_message_at, "last": session.last_message_at,
    })
}

async fn page(store: &Store, json: Value) -> Result<MessagePage, Error> {
    let params: PageParams = params(json);
    store.read(move |tx| history::page(tx, &params)).await
}

/// Every message of a session, by small pages; none where it is in the trash.
async fn all(store: &Store, session: u8, include_compacted: bool) -> Vec<Message> {
    let mut found = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let asked = json!({"session_id": id(session), "limit": 3, "include_compacted": include_compacted, "cursor": cursor});
        let Ok(page) = page(store, asked).await else { return found };
        found.extend(page.messages);
        match page.next_cursor {
            None => return found,
            Some(next) => cursor = json!(next),
        }
    }
}

fn told(message: &Message) -> Value {
    json!([
        message.index_in_session,
        message.role.as_str(),
        message.content,
        message.metadata.as_ref().map(|object| object.as_str()),
        message.created_at,
        message.updated_at.is_some(),
        message.origin_id,
        message.compacted
    ])
}

/// Returns all that the methods show: each session, its messages in every way, and every list.
pub(crate) async fn observe(store: &Store) -> Value {
    let mut sessions_seen = Vec::new();
    for session in 0..SESSIONS {
        let params: IdParams = params(json!({"id": id(session)}));
        let Ok(found) = store.read(move |tx| sessions::get(tx, &params.id)).await else {
            sessions_seen.push(Value::Null);
            continue;
        };
        let newest = page(store, json!({"session_id": id(session), "order": "newest"})).await;
        let newest = newest.expect("a page");
        let asked: RecentParams =
            crate::support::params(json!({"session_id": id(session), "limit": 4, "max_bytes": 40}));
        let recent = store.read(move |tx| history::recent(tx, &asked)).await.expect("recent");
        let contents = |messages: &[Message]| -> Vec<String> {
            messages.iter().map(|message| message.content.clone()).collect()
        };
        assert_eq!(recent.summary, newest.summary);
        sessions_seen.push(json!({
            "session": shown(&found),
            "history": all(store, session, false).await.iter().map(told).collect::<Vec<_>>(),
            "all": all(store, session, true).await.iter().map(told).collect::<Vec<_>>(),
            "newest": contents(&newest.messages),
            "recent": [json!(contents(&recent.messages)), json!(recent.has_more)],
            "summary": newest.summary.map(|summary| json!([summary.content, summary.compacted_count, summary.through_index])),
            "children": list(store, json!({"parent_id": id(session)})).await,
        }));
    }
    json!({
        "sessions": sessions_seen,
        "usual": list(store, json!({})).await,
        "archive": list(store, json!({"archived": true})).await,
        "trash": list(store, json!({"deleted": true})).await,
    })
}

async fn list(store: &Store, json: Value) -> Value {
    let params: ListParams = params(json);
    let page = store.read(move |tx| session_list::list(tx, &params)).await.expect("a page");
    page.sessions
        .iter()
        .map(|session| {
            json!([
                session.id,
                session.message_count,
                session.compacted_count,
                session.forked_at_index,
                session.archived_at.is_some(),
                session.deleted_at.is_some()
            ])
        })
        .collect()
}
