//! Retention against a naive model: random sessions, policies and clocks, on both engines.

use std::collections::BTreeMap;

use aetherd::api::retention::{Policy, PreviewParams, Reason, Step};
use aetherd::config::EngineKind;
use aetherd::daemon::retaining;
use aetherd::model::{SessionId, time};
use aetherd::store::{Store, messages, projects, retention, session_list, sessions, trash};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{ENGINES, Home, open_store, params, runtime};

const HOUR: i64 = 60 * 60 * 1000;
const DAY: i64 = 24 * HOUR;

#[derive(Debug, Clone)]
enum Operation {
    Start { session: u8, project: Option<u8>, hours_ago: u16 },
    Append { session: u8, hours_ago: u16, length: u16 },
    Update { session: u8, pinned: Option<bool>, archived: Option<bool> },
    Delete { session: u8 },
    Restore { session: u8 },
    Wait { hours: u16 },
    Set { age: Option<u32>, count: Option<u32>, room: Option<i16>, trash: Option<u32>, keep: bool },
    Run,
}

fn operations() -> impl Strategy<Value = Operation> {
    let session = 0_u8..10;
    let hours = 0_u16..24 * 40;
    let limit = |most: u32| proptest::option::of(0..most);
    prop_oneof![
        6 => (session.clone(), proptest::option::of(0_u8..2), hours.clone())
            .prop_map(|(session, project, hours_ago)| Operation::Start { session, project, hours_ago }),
        4 => (session.clone(), hours, 0_u16..9000)
            .prop_map(|(session, hours_ago, length)| Operation::Append { session, hours_ago, length }),
        3 => (session.clone(), proptest::option::of(any::<bool>()), proptest::option::of(any::<bool>()))
            .prop_map(|(session, pinned, archived)| Operation::Update { session, pinned, archived }),
        2 => session.clone().prop_map(|session| Operation::Delete { session }),
        1 => session.prop_map(|session| Operation::Restore { session }),
        2 => (1_u16..24 * 20).prop_map(|hours| Operation::Wait { hours }),
        3 => (limit(30), limit(4), proptest::option::of(-200_i16..20), limit(20), any::<bool>())
            .prop_map(|(age, count, room, trash, keep)| Operation::Set {
                age: age.map(|days| days + 1), count: count.map(|count| count + 1), room, trash, keep,
            }),
        5 => Just(Operation::Run),
    ]
}

#[derive(Debug, Clone)]
struct Session {
    project: Option<u8>,
    activity: i64,
    pinned: bool,
    archived: bool,
    deleted: Option<i64>,
}

/// What goes, by the session's id: to the trash or for good, and why.
type Going = BTreeMap<String, (Step, Reason)>;

#[derive(Debug, Default)]
struct Model {
    sessions: BTreeMap<String, Session>,
    policy: Option<Policy>,
}

impl Model {
    fn live(&self) -> impl Iterator<Item = (&String, &Session)> {
        self.sessions.iter().filter(|(_, session)| session.deleted.is_none())
    }

    /// What the policy has to go, where so much is used in all and by each session.
    fn going(&self, now: i64, used: i64, bytes: &BTreeMap<String, i64>) -> Going {
        let Some(policy) = &self.policy else { return Going::new() };
        let is_kept = |session: &Session| {
            session.activity > now - DAY || (policy.keep_pinned && session.pinned)
        };
        let mut going = Going::new();
        for (id, session) in &self.sessions {
            if is_kept(session) {
                continue;
            }
            if let Some(deleted) = session.deleted {
                if policy.trash_days.is_some_and(|days| deleted < now - i64::from(days) * DAY) {
                    going.insert(id.clone(), (Step::Purge, Reason::TrashDays));
                }
                continue;
            }
            let later = self
                .live()
                .filter(|(_, other)| other.project == session.project)
                .filter(|(_, other)| !(policy.keep_pinned && other.pinned))
                .filter(|(other_id, other)| (other.activity, *other_id) > (session.activity, id))
                .count();
            if policy
                .max_age_days
                .is_some_and(|days| session.activity < now - i64::from(days) * DAY)
            {
                going.insert(id.clone(), (Step::Trash, Reason::MaxAgeDays));
            } else if policy.max_sessions_per_project.is_some_and(|max| later >= max as usize) {
                going.insert(id.clone(), (Step::Trash, Reason::MaxSessionsPerProject));
            }
        }
        let Some(max) = policy.max_database_bytes else { return going };
        let mut rest: Vec<(i64, &String)> = self
            .live()
            .filter(|(id, session)| !is_kept(session) && !going.contains_key(*id))
            .map(|(id, session)| (session.activity, id))
            .collect();
        rest.sort();
        let of_trash: i64 = self
            .sessions
            .iter()
            .filter(|(_, session)| session.deleted.is_some())
            .map(|(id, _)| bytes[id])
            .sum();
        let is_moved = |(step, _): &(Step, Reason)| *step == Step::Trash;
        let of_going: i64 =
            going.iter().filter(|(_, how)| is_moved(how)).map(|(id, _)| bytes[id]).sum();
        let mut used = used - of_trash - of_going;
        for (_, id) in rest {
            if used > max {
                used -= bytes[id];
                going.insert(id.clone(), (Step::Trash, Reason::MaxDatabaseBytes));
            }
        }
        going
    }
}

async fn listed(store: &Store, list: Value) -> Vec<String> {
    let params = params(list);
    let page = store.read(move |tx| session_list::list(tx, &params)).await.expect("a page");
    let mut ids: Vec<String> = page.sessions.iter().map(|session| session.id.to_string()).collect();
    ids.sort();
    ids
}

/// Waits until the writer has erased what is being purged.
async fn erased(store: &Store) {
    while store.read(trash::is_purging).await.expect("a look") {}
}

/// Runs retention as of a time, and compares what it said before, did and left with the model.
async fn run(store: &Store, model: &mut Model, now: i64) {
    erased(store).await;
    let ids: Vec<String> = model.sessions.keys().cloned().collect();
    let (used, bytes, preview) = store
        .read(move |tx| {
            let mut bytes = BTreeMap::new();
            for id in ids {
                let session = SessionId::parse(&id).expect("an id");
                bytes.insert(id, retention::bytes_of(tx, &session)?);
            }
            let asked = PreviewParams { policy: None, limit: 1000 };
            let policy = retention::policy(tx)?;
            Ok((retention::used_bytes(tx)?, bytes, retention::preview(tx, &asked, policy, now)?))
        })
        .await
        .expect("a look");
    let going = model.going(now, used, &bytes);
    let said: Going = preview
        .sessions
        .iter()
        .map(|going| (going.id.to_string(), (going.step, going.why)))
        .collect();
    assert_eq!(said, going, "{:?}", model.policy);
    assert_eq!(said.len(), preview.sessions.len(), "one is listed twice");
    for going in &preview.sessions {
        assert_eq!(going.bytes, bytes[going.id.as_str()]);
    }
    let dry = retaining::run(store, now, true).await.expect("looks");
    let total = preview.total;
    let sums = |run: &aetherd::api::retention::Run| {
        [run.moved, run.moved_bytes, run.purged, run.purged_bytes]
    };
    assert_eq!(sums(&dry), [total.moved, total.moved_bytes, total.purged, total.purged_bytes]);
    let done = retaining::run(store, now, false).await.expect("runs");
    assert_eq!((sums(&done), done.skipped), (sums(&dry), 0));
    for (id, (step, _)) in going {
        match step {
            Step::Purge => drop(model.sessions.remove(&id)),
            Step::Trash => model.sessions.get_mut(&id).expect("it is there").deleted = Some(now),
        }
    }
}

/// Does an operation on both.
async fn apply(store: &Store, model: &mut Model, operation: &Operation, now: &mut i64) {
    let name = |session: u8| format!("s{session}");
    match *operation {
        Operation::Start { session, project, hours_ago } => {
            let id = name(session);
            let at = *now - i64::from(hours_ago) * HOUR;
            let start = params(json!({
                "id": id, "kind": "chat", "created_at": at,
                "project_id": project.map(|project| format!("p{project}")),
            }));
            erased(store).await;
            let started = store.write(move |tx| sessions::start(tx, &start)).await;
            assert!(started.is_ok() || model.sessions.contains_key(&id), "{started:?}");
            model.sessions.entry(id).or_insert(Session {
                project,
                activity: at,
                pinned: false,
                archived: false,
                deleted: None,
            });
        }
        Operation::Append { session, hours_ago, length } => {
            let at = *now - i64::from(hours_ago) * HOUR;
            let content = "é".repeat(usize::from(length) / 2);
            let append = params(json!({
                "session_id": name(session), "role": "user", "content": content, "created_at": at,
            }));
            let appended = store.write(move |tx| messages::append(tx, &append)).await;
            let known = model.sessions.get_mut(&name(session));
            let known = known.filter(|session| session.deleted.is_none());
            assert_eq!(appended.is_ok(), known.is_some());
            if let Some(session) = known {
                session.activity = session.activity.max(at);
            }
        }
        Operation::Update { session, pinned, archived } => {
            let mut json = json!({"id": name(session)});
            if let Some(pinned) = pinned {
                json["pinned"] = json!(pinned);
            }
            if let Some(archived) = archived {
                json["archived"] = json!(archived);
            }
            let update = params(json);
            let updated = store.write(move |tx| sessions::update(tx, &update)).await;
            let known = model.sessions.get_mut(&name(session));
            let known = known.filter(|session| session.deleted.is_none());
            assert_eq!(updated.is_ok(), known.is_some());
            if let Some(session) = known {
                session.pinned = pinned.unwrap_or(session.pinned);
                session.archived = archived.unwrap_or(session.archived);
            }
        }
        Operation::Delete { session } => {
            let delete = params(json!({"id": name(session)}));
            let _ = store.write(move |tx| trash::delete(tx, &delete)).await;
            if let Some(session) = model.sessions.get_mut(&name(session)) {
                session.deleted.get_or_insert_with(time::now);
            }
        }
        Operation::Restore { session } => {
            let restore = params(json!({"id": name(session)}));
            let _ = store.write(move |tx| trash::restore(tx, &restore)).await;
            if let Some(session) = model.sessions.get_mut(&name(session)) {
                session.deleted = None;
            }
        }
        Operation::Wait { hours } => *now += i64::from(hours) * HOUR,
        Operation::Set { age, count, room, trash, keep } => {
            let used = store.read(retention::used_bytes).await.expect("a count");
            let policy = Policy {
                max_age_days: age,
                max_sessions_per_project: count,
                max_database_bytes: room.map(|room| used + i64::from(room) * 300),
                trash_days: trash,
                keep_pinned: keep,
            };
            let set = policy.clone();
            let answer = store.write(move |tx| retention::set(tx, &set)).await.expect("sets");
            assert_eq!(answer.policy.as_ref(), Some(&policy));
            model.policy = Some(policy);
        }
        Operation::Run => run(store, model, *now).await,
    }
    let of_shelf = |is_on: &dyn Fn(&Session) -> bool| -> Vec<String> {
        let on = model.sessions.iter().filter(|(_, session)| is_on(session));
        on.map(|(id, _)| id.clone()).collect()
    };
    let is_live = |session: &Session| session.deleted.is_none();
    for (list, expected) in [
        (json!({}), of_shelf(&|session| is_live(session) && !session.archived)),
        (json!({"archived": true}), of_shelf(&|session| is_live(session) && session.archived)),
        (json!({"deleted": true}), of_shelf(&|session| !is_live(session))),
    ] {
        assert_eq!(listed(store, list).await, expected, "{operation:?}");
    }
}

async fn store_with_projects(home: &Home, engine: EngineKind) -> Store {
    let store = open_store(home, engine);
    for project in 0..2 {
        let open = params(json!({"id": format!("p{project}"), "path": format!("/p{project}")}));
        store
            .write(move |tx| {
                aetherd::store::places::open(tx, &open, &aetherd::model::Sightings::default())
            })
            .await
            .expect("opens");
    }
    assert!(store.read(|tx| projects::get(tx, &params(json!("p0")))).await.is_ok());
    store
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_is_what_the_model_has_to_go(operations in proptest::collection::vec(operations(), 1..60)) {
        for engine in ENGINES {
            let home = Home::new();
            runtime().block_on(async {
                let store = store_with_projects(&home, engine).await;
                let mut model = Model::default();
                // Half an hour from any border of whole hours, which the run of the test never takes.
                let mut now = time::now() + HOUR / 2;
                for operation in operations.iter().chain([&Operation::Run]) {
                    apply(&store, &mut model, operation, &mut now).await;
                }
                store.close().await.expect("closed");
            });
        }
    }
}
