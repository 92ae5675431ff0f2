//! Random writes of every noun: carried out again on a copy of the same rows, they leave the same rows.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::copy;
use super::journal::Recorded;
use crate::config::{EngineKind, FeedPolicy};
use crate::error::Result;
use crate::model::{ProjectId, Sightings, time};
use crate::store::engine::{self, Connection};
use crate::store::writer::{BEGIN, COMMIT, roll_back};
use crate::store::{
    WriteTx, attachments, changes, compact, edits, files, fork, messages, migrations, places,
    projects, retention, sessions, settings, trash,
};

const ROUNDS: usize = 12;
const WRITES: usize = 60;

fn params<P: DeserializeOwned>(json: Value) -> P {
    serde_json::from_value(json).expect("params")
}

/// One write of the store, by chance; what it answers does not matter, an error neither.
fn write(tx: &mut WriteTx<'_>, random: &mut fastrand::Rng) -> Result<()> {
    let session = format!("s{}", random.u8(0..4));
    let message = format!("m{}", random.u8(0..30));
    let project = format!("p{}", random.u8(0..3));
    let text = "é\0".repeat(random.usize(0..400));
    match random.u8(0..26) {
        0 | 1 => sessions::start(
            tx,
            &params(json!({"id": session, "kind": "chat", "system_prompt": text})),
        )
        .map(drop),
        2..=5 => messages::append(
            tx,
            &params(json!({"id": message, "session_id": session, "role": "user", "content": text,
                "code_excerpt": "x", "metadata": {"a": 1}})),
        )
        .map(drop),
        6 | 7 => {
            let messages: Vec<Value> =
                (0..random.usize(1..20)).map(|_| json!({"role": "tool", "content": text})).collect();
            let append = params(json!({"session_id": session, "messages": messages}));
            messages::append_many(tx, &append).map(drop)
        }
        8 => messages::update(tx, &params(json!({"id": message, "content": text, "metadata": {"b": 2}})))
            .map(drop),
        9 => sessions::update(
            tx,
            &params(json!({"id": session, "title": text, "metadata": {"c": text}, "archived": random.bool(),
                "pinned": random.bool()})),
        )
        .map(drop),
        10 => sessions::update(tx, &params(json!({"id": session, "project_id": project}))).map(drop),
        11 => compact::clear(tx, &params(json!({"id": session, "keep_first": 1}))).map(drop),
        12 => compact::compact(
            tx,
            &params(json!({"session_id": session, "keep_last": 2, "summary": text})),
        )
        .map(drop),
        13 => fork::fork(tx, &params(json!({"session_id": session}))).map(drop),
        14 => trash::delete(tx, &params(json!({"id": session, "purge": random.bool()}))).map(drop),
        15 => trash::restore(tx, &params(json!({"id": session}))).map(drop),
        16 => trash::purge_batch(tx).map(drop),
        17 => edits::record(
            tx,
            &params(json!({"session_id": session, "file_path": "/x", "kind": "replace",
                "diff": "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-0\n+1\n"})),
        )
        .map(drop),
        18 => {
            settings::set(tx, &params(json!({"key": message, "value": text}))).map(drop)?;
            settings::delete(tx, &params(json!({"key": session}))).map(drop)
        }
        19 => {
            let open = params(json!({"id": project, "path": format!("/{project}")}));
            places::open(tx, &open, &Sightings::default()).map(drop)
        }
        20 => {
            let path = format!("/moved/{}", random.u8(0..9));
            places::relocate(tx, &params(json!({"id": project, "path": path}))).map(drop)
        }
        21 => {
            projects::update(tx, &params(json!({"id": project, "name": text + "n"})))?;
            if random.bool() { Ok(()) } else { projects::remove(tx, &project_id(&project)).map(drop) }
        }
        22 => {
            let path = format!("f{}", random.u8(0..5));
            files::touch(tx, &params(json!({"project_id": project, "path": path, "state": text})))?;
            files::remove(tx, &params(json!({"project_id": project, "path": "f1"}))).map(drop)
        }
        23 => {
            let put = params(json!({"mime": "a/b", "data": "QUFB"}));
            let hash = attachments::put(tx, &put)?.hash;
            messages::append(
                tx,
                &params(json!({"session_id": session, "role": "user", "content": "", "attachments": [hash.as_str()]})),
            )
            .map(drop)
        }
        24 => {
            let look = attachments::look(tx, None, time::now() + 1, 0, 100)?;
            attachments::collect(tx, &look.unreferenced, time::now() + 1, 0)?;
            let policy = FeedPolicy { max_changes: 20, ..FeedPolicy::default() };
            changes::prune(tx, policy, None, time::now(), 10).map(drop)
        }
        _ => {
            let policy = params(json!({"max_age_days": random.u32(1..9), "trash_days": 0, "keep_pinned": true}));
            retention::set(tx, &policy)?;
            let now = time::now() + 10 * FeedPolicy::DAY;
            let plan = retention::plan(tx, &policy, now)?;
            let mut some = plan.trash;
            some.truncate(1);
            retention::move_batch(tx, &policy, now, &some)?;
            retention::purge_batch(tx, &policy, now, &plan.purge).map(drop)
        }
    }
}

fn project_id(text: &str) -> ProjectId {
    ProjectId::parse(text).expect("an id")
}

/// Every row of every table, without an order.
fn rows(connection: &mut dyn Connection) -> BTreeMap<String, Vec<String>> {
    let names = crate::store::backup::table_names(connection).expect("names");
    let mut tables = BTreeMap::new();
    for name in names {
        let mut rows = Vec::new();
        connection
            .run(&format!("SELECT * FROM {name}"), &mut |row| {
                rows.push(format!("{row:?}"));
                Ok(ControlFlow::Continue(()))
            })
            .expect("rows");
        rows.sort();
        tables.insert(name, rows);
    }
    tables
}

#[test]
fn a_journal_of_random_writes_makes_a_copy_the_same_again() {
    for kind in [EngineKind::Turso, EngineKind::Sqlite] {
        let mut random = fastrand::Rng::with_seed(0x10ca1);
        let (_folder, connection) = migrations::new_database(kind);
        let mut written = Recorded::new(connection);
        let copies = tempfile::tempdir().expect("a folder");
        let mut last_seq = Some(0);
        let (mut stood, mut failed) = (0, 0);
        for round in 0..ROUNDS {
            let engine = engine::open(kind, &copies.path().join(format!("{round}.db")));
            let mut target = engine.expect("an engine").connect().expect("a connection");
            let tables = copy::copy(&mut written, target.as_mut(), &|| Ok(())).expect("copies");
            copy::verify(target.as_mut(), &tables, &|| Ok(())).expect("is the same");
            written.start();
            for _ in 0..WRITES {
                written.execute(BEGIN, &[]).expect("begins");
                let mut tx = WriteTx::new(&mut written, last_seq);
                let outcome = write(&mut tx, &mut random);
                let seq = tx.last_seq();
                // As the writer does: nothing stands of a write that failed.
                if outcome.is_ok() && random.u8(0..10) > 0 {
                    written.execute(COMMIT, &[]).expect("commits");
                    (last_seq, stood) = (seq, stood + 1);
                } else {
                    roll_back(&mut written).expect("rolls back");
                    failed += 1;
                }
            }
            written.take().expect("a part").apply(target.as_mut()).expect("applies");
            written.stop();
            let problems = engine::integrity_problems(target.as_mut()).expect("checks");
            assert_eq!(problems, Vec::<String>::new());
            assert_eq!(rows(target.as_mut()), rows(&mut written), "{kind:?}: round {round}");
        }
        assert!(stood > 200 && failed > 50, "{stood} stood, {failed} did not");
    }
}
