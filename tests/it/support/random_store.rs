//! Random writes of every kind, so that a store has something in each of its tables and columns.

use aetherd::api::project::{IdParams, OpenParams};
use aetherd::error::Error;
use aetherd::model::Sightings;
use aetherd::store::{
    Store, WriteTx, attachments, compact, edits, files, fork, messages, places, projects, sessions,
    settings, trash,
};
use data_encoding::BASE64;
use fastrand::Rng;
use serde_json::{Value, json};

use super::params;

macro_rules! attempt {
    ($store:ident, $function:expr, $params:expr) => {{
        let params = params($params);
        $store.write(move |tx| $function(tx, &params)).await.map(|_| ())
    }};
}

/// Opens a project without a look at any folder.
pub(crate) fn open(tx: &mut WriteTx<'_>, params: &OpenParams) -> Result<(), Error> {
    places::open(tx, params, &Sightings::default()).map(|_| ())
}

/// Takes a project off the list.
pub(crate) fn remove(tx: &mut WriteTx<'_>, params: &IdParams) -> Result<(), Error> {
    projects::remove(tx, &params.id).map(|_| ())
}

const SESSIONS: u8 = 8;
const PROJECTS: u8 = 4;

/// Writes so many things. What contradicts the writes before is refused, and changes nothing.
pub(crate) async fn fill(store: &Store, random: &mut Rng, operations: usize) {
    for at in 0..operations {
        match operate(store, random, at).await {
            Ok(()) => {}
            Err(error) => assert!(!error.is_storage(), "{error}"),
        }
    }
}

fn text(random: &mut Rng) -> String {
    match random.u8(0..7) {
        0 => String::new(),
        1 => "línea — ✓ 🌧\r\n\t\"quoted\" \\ </details> `".to_owned(),
        2 => "nul \0 and \u{1b} inside".to_owned(),
        3 => "x".repeat(random.usize(0..6000)),
        _ => (0..random.usize(1..40)).map(|_| random.alphanumeric()).collect(),
    }
}

fn optional(random: &mut Rng) -> Option<String> {
    random.bool().then(|| text(random))
}

fn object(random: &mut Rng) -> Value {
    json!({"n": random.i64(..), "text": text(random), "list": [1.50, null, {"a": true}]})
}

fn session(random: &mut Rng) -> String {
    format!("s{}", random.u8(0..SESSIONS))
}

fn project(random: &mut Rng) -> String {
    format!("p{}", random.u8(0..PROJECTS))
}

async fn operate(store: &Store, random: &mut Rng, at: usize) -> Result<(), Error> {
    let (session, project) = (session(random), project(random));
    let in_project = random.bool().then(|| project.clone());
    match random.u8(0..32) {
        0 | 1 => {
            let key = format!("key.{}", random.u8(0..6));
            let value = object(random);
            attempt!(
                store,
                settings::set,
                json!({"key": key, "value": value, "project_id": in_project})
            )
        }
        2 => attempt!(store, settings::delete, json!({"key": format!("key.{}", random.u8(0..6))})),
        3 | 4 => {
            let path = format!("/w/{project}");
            let remote = random.bool().then(|| format!("https://example.org/{project}.git"));
            attempt!(store, open, json!({"id": project, "path": path, "git_remote": remote}))
        }
        5 => attempt!(
            store,
            places::relocate,
            json!({"id": project, "path": format!("/moved/{at}/É")})
        ),
        6 => {
            attempt!(store, remove, json!({"id": project}))
        }
        7 => attempt!(
            store,
            projects::update,
            json!({"id": project, "name": "N", "metadata": object(random)})
        ),
        8 | 9 => {
            let state = random.bool().then(|| object(random));
            let opened = random.bool();
            attempt!(
                store,
                files::touch,
                json!({"project_id": project, "path": format!("src/f{}.rs", random.u8(0..9)), "state": state, "opened": opened, "size": at, "language": "rust", "hash": "h"})
            )
        }
        10..=12 => attempt!(
            store,
            sessions::start,
            json!({"id": session, "kind": "chat", "title": optional(random), "description": optional(random),
                "project_id": in_project, "model": optional(random), "system_prompt": optional(random),
                "metadata": random.bool().then(|| object(random)), "created_at": 1_700_000_000_000_i64 + at as i64})
        ),
        13..=17 => append(store, random, session, at).await,
        18 | 19 => {
            let id = format!("m{}-0", random.usize(0..=at));
            attempt!(
                store,
                messages::update,
                json!({"id": id, "content": text(random), "metadata": {"n": at}})
            )
        }
        20 => attempt!(
            store,
            attachments::put,
            json!({"mime": "image/png", "name": optional(random), "data": bytes(random)})
        ),
        21 | 22 => attempt!(
            store,
            fork::fork,
            json!({"id": format!("s{}", random.u8(0..SESSIONS)), "session_id": session})
        ),
        23 => attempt!(
            store,
            compact::compact,
            json!({"session_id": session, "keep_first": 1, "keep_last": 2, "summary": text(random)})
        ),
        24 => {
            attempt!(store, compact::clear, json!({"id": session, "keep_first": random.u8(0..3)}))
        }
        25 => attempt!(
            store,
            sessions::update,
            json!({"id": session, "archived": random.bool(), "title": text(random)})
        ),
        26 => attempt!(store, trash::delete, json!({"id": session, "purge": random.u8(0..3) == 0})),
        27 => attempt!(store, trash::restore, json!({"id": session})),
        28 => attempt!(store, sessions::update, json!({"id": session, "project_id": in_project})),
        29 => attempt!(
            store,
            edits::record,
            json!({"session_id": session, "file_path": "/w/a.rs", "kind": "rename", "new_path": "/w/b.rs", "diff": ""})
        ),
        _ => attempt!(
            store,
            edits::record,
            json!({"id": format!("e{at}"), "session_id": session, "file_path": format!("/w/{}.rs", random.u8(0..5)), "kind": "replace",
                "diff": "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-0\n+1\n", "before_hash": optional(random)})
        ),
    }
}

fn bytes(random: &mut Rng) -> String {
    let count = random.usize(0..5000);
    BASE64.encode(&vec![random.u8(0..4); count])
}

async fn append(store: &Store, random: &mut Rng, session: String, at: usize) -> Result<(), Error> {
    let mut attached = Vec::new();
    for _ in 0..random.usize(0..3) {
        let put = params(json!({"mime": "image/png", "data": bytes(random)}));
        let stored = store.write(move |tx| attachments::put(tx, &put)).await?;
        attached.push(json!({"hash": stored.hash, "name": optional(random)}));
    }
    let messages: Vec<Value> = (0..random.usize(1..5))
        .map(|number| {
            let role = ["user", "assistant", "tool", "system"][random.usize(0..4)];
            json!({"id": format!("m{at}-{number}"), "role": role, "content": text(random),
                "code_excerpt": optional(random), "metadata": random.bool().then(|| object(random)),
                "attachments": attached})
        })
        .collect();
    attempt!(store, messages::append_many, json!({"session_id": session, "messages": messages}))
}
