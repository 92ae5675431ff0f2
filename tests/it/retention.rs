//! Pins and retention: what is set, what a run does to whom, and what it leaves alone.

use aetherd::api::retention::{Policy, Reason};
use aetherd::daemon::retaining;
use aetherd::model::limits::{
    MAX_FILE_SIZE, MAX_QUEUED_UPKEEP, MAX_RETENTION_DAYS, MAX_RETENTION_SESSIONS,
    MAX_RETENTION_WRITE, MIN_RETENTION_DATABASE_BYTES,
};
use aetherd::model::{Session, SessionId, time};
use aetherd::store::{
    Store, attachments, changes, edits, fork, messages, retention, session_list, sessions, trash,
};
use serde_json::{Value, json};

use crate::support::{ENGINES, Home, LineClient, error_kind, open_store, params, request, runtime};

const DAY: i64 = 24 * 60 * 60 * 1000;

macro_rules! write {
    ($store:expr, $function:path, $params:tt) => {{
        let params = params(json!($params));
        $store.write(move |tx| $function(tx, &params)).await.expect("is written")
    }};
}

/// Starts a session that was last active so many days ago.
async fn start(store: &Store, id: &str, days_ago: i64) -> Session {
    let at = time::now() - days_ago * DAY;
    write!(store, sessions::start, {"id": id, "kind": "chat", "created_at": at})
}

async fn set(store: &Store, policy: Value) {
    let policy: Policy = params(policy);
    store.write(move |tx| retention::set(tx, &policy)).await.expect("is set");
}

async fn ids(store: &Store, list: Value) -> Vec<String> {
    let params = params(list);
    let page = store.read(move |tx| session_list::list(tx, &params)).await.expect("a page");
    let mut ids: Vec<String> = page.sessions.iter().map(|session| session.id.to_string()).collect();
    ids.sort();
    ids
}

async fn topics(store: &Store, after: i64) -> Vec<String> {
    let changes = store.read(move |tx| changes::after(tx, after, 1000)).await.expect("changes");
    changes.iter().map(|change| format!("{} {}", change.topic.word(), change.entity_id)).collect()
}

async fn erased(store: &Store) {
    while store.read(trash::is_purging).await.expect("a look") {}
}

#[test]
fn a_pin_is_kept_since_when_and_is_not_inherited() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            assert_eq!(start(&store, "s", 0).await.pinned_at, None);
            let pinned = write!(store, sessions::update, {"id": "s", "pinned": true});
            assert!(pinned.pinned_at.is_some(), "{engine:?}");
            assert_eq!(write!(store, sessions::update, {"id": "s", "pinned": true}), pinned);
            let renamed = write!(store, sessions::update, {"id": "s", "title": "t"});
            assert_eq!(renamed.pinned_at, pinned.pinned_at);
            let forked = write!(store, fork::fork, {"id": "f", "session_id": "s"});
            assert_eq!(forked.pinned_at, None);
            let page = store
                .read(|tx| session_list::list(tx, &params(json!({"kind": "chat"}))))
                .await
                .expect("a page");
            let pins: Vec<_> = page.sessions.iter().map(|session| session.pinned_at).collect();
            assert!(pins.contains(&pinned.pinned_at) && pins.contains(&None), "{pins:?}");
            write!(store, trash::delete, {"id": "s"});
            let restored = write!(store, trash::restore, {"id": "s"});
            assert_eq!(restored.pinned_at, pinned.pinned_at);
            let unpinned = write!(store, sessions::update, {"id": "s", "pinned": false});
            assert_eq!(unpinned.pinned_at, None);
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn nothing_goes_while_retention_is_off() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            start(&store, "old", 5000).await;
            start(&store, "gone", 5000).await;
            write!(store, trash::delete, {"id": "gone"});
            let all_null = json!({"max_age_days": null, "trash_days": null, "keep_pinned": true});
            let later = time::now() + 5000 * DAY;
            for policy in [None, Some(all_null)] {
                if let Some(policy) = policy {
                    set(&store, policy).await;
                }
                let before = *store.committed().borrow();
                assert!(!retaining::run_if_due(&store, later).await.expect("looks"));
                let run = retaining::run(&store, later, false).await.expect("runs");
                assert_eq!((run.moved, run.purged, run.skipped), (0, 0, 0), "{engine:?}");
                assert_eq!(*store.committed().borrow(), before);
                assert_eq!(store.read(retention::get).await.expect("a look").last_run, None);
            }
            assert_eq!(ids(&store, json!({})).await, ["old"]);
            assert_eq!(ids(&store, json!({"deleted": true})).await, ["gone"]);
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn a_policy_replaces_the_one_before_and_both_it_and_the_last_run_outlive_the_daemon() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            start(&store, "old", 40).await;
            set(
                &store,
                json!({"max_sessions_per_project": 5, "trash_days": 3, "keep_pinned": false}),
            )
            .await;
            let before = *store.committed().borrow();
            let policy = json!({"max_age_days": 30, "trash_days": 7, "keep_pinned": true});
            set(&store, policy.clone()).await;
            set(&store, policy.clone()).await;
            assert_eq!(topics(&store, before).await, ["retention.changed policy"]);
            let now = time::now();
            assert!(retaining::run_if_due(&store, now).await.expect("runs"));
            assert!(!retaining::run_if_due(&store, now + DAY).await.expect("looks"));
            store.close().await.expect("closed");
            let store = open_store(&home, engine);
            let known = store.read(retention::get).await.expect("a look");
            assert_eq!(known.policy, Some(params(policy)), "{engine:?}");
            let run = known.last_run.expect("a run");
            assert_eq!((run.moved, run.purged, run.started_at), (1, 0, now));
            assert!(!run.dry_run && run.moved_bytes > 0);
            // A day and a moment later the next one is due, and so it is where the clock was wrong.
            assert!(retaining::run_if_due(&store, now + DAY + 1).await.expect("runs"));
            assert!(retaining::run_if_due(&store, now).await.expect("runs"));
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn what_a_run_moves_is_purged_by_a_later_one_and_each_is_told() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            for (id, days_ago) in [("older", 9), ("old", 3), ("pinned", 9), ("recent", 0)] {
                start(&store, id, days_ago).await;
                write!(store, messages::append_many, {"session_id": id, "messages": [
                    {"id": format!("{id}-m"), "role": "user", "content": "c",
                     "created_at": time::now() - days_ago * DAY}
                ]});
            }
            write!(store, sessions::update, {"id": "pinned", "pinned": true});
            set(&store, json!({"max_age_days": 1, "trash_days": 0, "keep_pinned": true})).await;
            let before = *store.committed().borrow();
            let now = time::now();
            let run = retaining::run(&store, now, false).await.expect("runs");
            assert_eq!((run.moved, run.purged), (2, 0), "{engine:?}");
            assert_eq!(
                topics(&store, before).await,
                ["session.deleted older", "session.deleted old"]
            );
            assert_eq!(ids(&store, json!({})).await, ["pinned", "recent"]);
            // A user who takes one back keeps it until the next run looks at it.
            write!(store, trash::restore, {"id": "old"});
            write!(store, sessions::update, {"id": "old", "pinned": true});
            let before = *store.committed().borrow();
            let run = retaining::run(&store, now + 1, false).await.expect("runs");
            assert_eq!((run.moved, run.purged), (0, 1));
            assert!(run.purged_bytes > 0);
            assert_eq!(topics(&store, before).await, ["session.purged older"]);
            erased(&store).await;
            assert!(ids(&store, json!({"deleted": true})).await.is_empty());
            // Its ids are free again, and a session by its id is another one.
            assert_eq!(start(&store, "older", 0).await.message_count, 0);
            // Without `keep_pinned` a pin is no reason to stay.
            set(&store, json!({"max_age_days": 1, "trash_days": null, "keep_pinned": false})).await;
            let run = retaining::run(&store, now, false).await.expect("runs");
            assert_eq!(run.moved, 2);
            let run = retaining::run(&store, now + 400 * DAY, false).await.expect("runs");
            assert_eq!(run.purged, 0, "the trash keeps all");
            store.close().await.expect("closed");
        });
    }
}

/// What happened to a session between the look and the write lets it stay.
#[test]
fn a_session_that_is_no_candidate_any_more_stays() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            let names = ["active", "pinned", "deleted", "purged", "archived"];
            for id in names {
                start(&store, id, 50).await;
            }
            for id in ["back", "again", "pinned-there"] {
                start(&store, id, 50).await;
                write!(store, trash::delete, {"id": id});
            }
            set(&store, json!({"max_age_days": 30, "trash_days": 0, "keep_pinned": true})).await;
            let policy = store.read(retention::policy).await.expect("a look").expect("is set");
            let now = time::now() + 1;
            let asked = policy.clone();
            let plan =
                store.read(move |tx| retention::plan(tx, &asked, now)).await.expect("a plan");
            assert_eq!((plan.trash.len(), plan.purge.len()), (5, 3), "{engine:?}");
            write!(store, messages::append, {"session_id": "active", "role": "user", "content": ""});
            write!(store, sessions::update, {"id": "pinned", "pinned": true});
            write!(store, trash::delete, {"id": "deleted"});
            write!(store, trash::delete, {"id": "purged", "purge": true});
            write!(store, sessions::update, {"id": "archived", "archived": true});
            write!(store, trash::restore, {"id": "back"});
            write!(store, trash::restore, {"id": "again"});
            // Deleted anew, it has not lain there for long.
            while time::now() <= now {}
            write!(store, trash::delete, {"id": "again"});
            write!(store, trash::restore, {"id": "pinned-there"});
            write!(store, sessions::update, {"id": "pinned-there", "pinned": true});
            write!(store, trash::delete, {"id": "pinned-there"});
            let before = *store.committed().borrow();
            let (with, trash) = (policy.clone(), plan.trash);
            let moved = store
                .write(move |tx| retention::move_batch(tx, &with, now, &trash))
                .await
                .expect("writes");
            assert_eq!((moved.gone, moved.skipped, moved.is_overtaken), (1, 4, false));
            let (with, purge) = (policy.clone(), plan.purge.clone());
            let purged = store
                .write(move |tx| retention::purge_batch(tx, &with, now, &purge))
                .await
                .expect("writes");
            assert_eq!((purged.gone, purged.skipped), (0, 3));
            assert_eq!(topics(&store, before).await, ["session.deleted archived"]);
            // Another policy that is set meanwhile ends a run.
            set(&store, json!({"max_age_days": 31, "trash_days": 0, "keep_pinned": true})).await;
            let before = *store.committed().borrow();
            for write in [retention::move_batch, retention::purge_batch] {
                let (with, purge) = (policy.clone(), plan.purge.clone());
                let done = store
                    .write(move |tx| write(tx, &with, now, &purge))
                    .await
                    .expect("writes nothing");
                assert!(done.is_overtaken && done.gone == 0);
            }
            assert_eq!(*store.committed().borrow(), before);
            store.close().await.expect("closed");
        });
    }
}

/// One of a project with too many sessions stays where others of it go meanwhile.
#[test]
fn a_project_that_is_no_longer_over_its_count_keeps_its_sessions() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            for (id, days_ago) in [("a", 5), ("b", 4), ("c", 3)] {
                start(&store, id, days_ago).await;
            }
            set(
                &store,
                json!({"max_sessions_per_project": 2, "trash_days": null, "keep_pinned": true}),
            )
            .await;
            let policy = store.read(retention::policy).await.expect("a look").expect("is set");
            let (asked, now) = (policy.clone(), time::now());
            let plan =
                store.read(move |tx| retention::plan(tx, &asked, now)).await.expect("a plan");
            let going: Vec<_> =
                plan.trash.iter().map(|going| (going.id.as_str(), going.why)).collect();
            assert_eq!(going, [("a", Reason::MaxSessionsPerProject)], "{engine:?}");
            write!(store, trash::delete, {"id": "c"});
            let trash = plan.trash;
            let moved = store
                .write(move |tx| retention::move_batch(tx, &policy, now, &trash))
                .await
                .expect("writes");
            assert_eq!((moved.gone, moved.skipped), (0, 1));
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn the_bytes_of_a_session_are_about_what_it_holds() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            let image = write!(store, attachments::put, {"mime": "a/b", "data": "QUFBQUFBQUFBQUFB"});
            assert_eq!(image.size, 12);
            write!(store, sessions::start, {"id": "s", "kind": "chat", "system_prompt": "é".repeat(500)});
            let hash = image.hash.as_str();
            write!(store, messages::append_many, {"session_id": "s", "messages": [
                {"role": "user", "content": "é".repeat(10_000), "attachments": [hash, hash]},
                {"role": "user", "content": "", "code_excerpt": "x".repeat(3000), "metadata": {"a": "b"}, "attachments": [hash]},
            ]});
            write!(store, edits::record, {"session_id": "s", "file_path": "/x", "kind": "replace",
                "diff": format!("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-0\n+{}\n", "1".repeat(4000))});
            let id = SessionId::parse("s").expect("an id");
            let bytes = store.read(move |tx| retention::bytes_of(tx, &id)).await.expect("a sum");
            let texts = 1000 + 20_000 + 3000 + 9 + 4000 + 12;
            assert!((texts..texts + 5 * 300 + 100).contains(&bytes), "{engine:?}: {bytes}");
            store.close().await.expect("closed");
        });
    }
}

/// The writes of clients get their turn between the batches of a run.
#[test]
fn a_write_of_a_client_gets_through_a_long_run() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            let batches = 12;
            for number in 0..batches * MAX_RETENTION_WRITE {
                start(&store, &format!("s{number}"), 50).await;
            }
            start(&store, "busy", 0).await;
            set(&store, json!({"max_age_days": 30, "trash_days": null, "keep_pinned": true})).await;
            let is_done = std::cell::Cell::new(false);
            let running = async {
                let run = retaining::run(&store, time::now(), false).await.expect("runs");
                is_done.set(true);
                run.moved
            };
            let writing = async {
                let mut moved_at_write = Vec::new();
                while !is_done.get() {
                    write!(store, messages::append, {"session_id": "busy", "role": "user", "content": ""});
                    let moved = store.read(|tx| {
                        Ok(session_list::list(tx, &params(json!({"deleted": true, "limit": 1000})))?
                            .sessions
                            .len())
                    });
                    moved_at_write.push(moved.await.expect("a look"));
                }
                moved_at_write
            };
            let (moved, moved_at_write) = tokio::join!(running, writing);
            assert_eq!(moved as usize, batches * MAX_RETENTION_WRITE);
            let between: std::collections::BTreeSet<usize> = moved_at_write
                .into_iter()
                .filter(|at| (1..moved as usize).contains(at))
                .collect();
            assert!(between.len() >= 3, "{engine:?}: writes came through at {between:?} of {moved}");
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn the_limits_of_a_policy_are_checked_at_and_past_them() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    let days = i64::from(MAX_RETENTION_DAYS);
    let sessions = i64::from(MAX_RETENTION_SESSIONS);
    let bytes = (MIN_RETENTION_DATABASE_BYTES, MAX_FILE_SIZE);
    for (field, least, most) in [
        ("max_age_days", 1, days),
        ("max_sessions_per_project", 1, sessions),
        ("max_database_bytes", bytes.0, bytes.1),
        ("trash_days", 0, days),
    ] {
        let with = |value: Value| {
            let mut policy = json!({"trash_days": 1, "keep_pinned": true});
            policy[field] = value;
            policy
        };
        for value in [json!(least), json!(most), Value::Null] {
            let set = client.call("retention.set", with(value.clone()));
            assert_eq!(set["policy"][field], value);
            client.call("retention.preview", json!({"policy": with(value)}));
        }
        for value in [least - 1, most + 1] {
            let error = client.fail("retention.set", with(json!(value)));
            assert_eq!(error_kind(&error), "invalid_params", "{error}");
            assert_eq!(error["data"]["field"], field, "{error}");
            let error = client.fail("retention.preview", json!({"policy": with(json!(value))}));
            assert_eq!(error["data"]["field"], format!("policy.{field}"), "{error}");
        }
    }
    for (policy, field) in [
        (json!({"keep_pinned": true}), "trash_days"),
        (json!({"trash_days": 1}), "keep_pinned"),
        (json!({"trash_days": 1, "keep_pinned": true, "max_age": 3}), "max_age"),
    ] {
        let error = client.fail("retention.set", policy);
        assert_eq!(error["data"]["field"], field, "{error}");
    }
}

/// A client previews, runs and looks at what was done; what the preview says is what the run does.
#[test]
fn a_preview_sums_by_project_and_lists_as_many_as_asked_for() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    for project in ["p", "q"] {
        client.call("project.open", json!({"id": project, "path": format!("/{project}")}));
    }
    for number in 0..9 {
        let project = [json!("p"), json!("q"), Value::Null][number % 3].clone();
        client.call(
            "session.start",
            json!({"id": format!("s{number}"), "kind": "chat", "project_id": project,
                "title": format!("title {number}"), "created_at": 1_600_000_000_000_u64 + number as u64}),
        );
    }
    let policy = json!({"max_sessions_per_project": 1, "trash_days": null, "keep_pinned": true});
    // A policy can be looked at before it is set.
    let looked = client.call("retention.preview", json!({"policy": policy}));
    assert_eq!(client.call("retention.get", json!({})), json!({"policy": null, "last_run": null}));
    client.call("retention.set", policy);
    let preview = client.call("retention.preview", json!({}));
    assert_eq!(preview, looked);
    assert_eq!(preview["total"]["moved"], 6);
    let projects = preview["projects"].as_array().expect("projects");
    assert_eq!(projects.len(), 3);
    for project in projects {
        assert_eq!(
            (&project["total"]["moved"], &project["total"]["purged"]),
            (&json!(2), &json!(0))
        );
    }
    let sessions = preview["sessions"].as_array().expect("sessions");
    let listed: Vec<&str> = sessions.iter().filter_map(|session| session["id"].as_str()).collect();
    assert_eq!(listed, ["s0", "s1", "s2", "s3", "s4", "s5"], "longest without activity first");
    assert_eq!(
        (&sessions[0]["title"], &sessions[0]["project_id"]),
        (&json!("title 0"), &json!("p"))
    );
    assert_eq!(preview["has_more"], false);
    let short = client.call("retention.preview", json!({"limit": 2}));
    assert_eq!(short["sessions"].as_array().map(Vec::len), Some(2));
    assert_eq!((&short["total"], &short["has_more"]), (&preview["total"], &json!(true)));
    let dry = client.call("retention.run", json!({"dry_run": true}));
    let run = client.call("retention.run", json!({}));
    for field in ["moved", "moved_bytes", "purged", "purged_bytes", "skipped"] {
        assert_eq!(run[field], dry[field], "{field}");
    }
    assert_eq!(run["moved_bytes"], preview["total"]["moved_bytes"]);
    assert_eq!(client.call("retention.get", json!({}))["last_run"], run);
    let left = client.call("session.list", json!({}));
    assert_eq!(left["sessions"].as_array().map(Vec::len), Some(3));
}

/// Kills at random points of runs that purge what the run before moved, and move what is new.
#[test]
fn a_kill_leaves_a_run_that_the_next_one_completes() {
    const KILLS: usize = 24;
    const OF_ROUND: usize = 3 * MAX_RETENTION_WRITE;
    for engine in ["turso", "sqlite"] {
        let home = Home::new();
        let arguments = ["--engine", engine, "--no-search"];
        let mut random = fastrand::Rng::with_seed(0x6e7e);
        let mut acknowledged = 0_u64;
        let mut met = std::collections::BTreeSet::new();
        {
            let daemon = home.start_with(&arguments);
            let mut client = daemon.client();
            client.call("session.start", json!({"id": "busy", "kind": "chat"}));
            let policy = json!({"max_age_days": 1, "trash_days": 0, "keep_pinned": true});
            client.call("retention.set", policy);
        }
        for round in 0..KILLS {
            let mut daemon = home.start_with(&arguments);
            let mut client = daemon.client();
            let calls: Vec<String> = (0..OF_ROUND)
                .flat_map(|at| {
                    let (id, time) = (format!("{round}-{at}"), 1_600_000_000_000_u64 + at as u64);
                    let start = json!({"id": id, "kind": "chat", "created_at": time});
                    let message = json!({"session_id": id, "role": "user", "content": "c", "created_at": time});
                    [request(1, "session.start", &start), request(2, "message.append", &message)]
                })
                .collect();
            client.send(&calls.join("\n"));
            for _ in &calls {
                assert!(client.receive().get("result").is_some());
            }
            let mut running = daemon.client();
            running.send(&request(1, "retention.run", &json!({})));
            // A run that purges makes a backup first, and moves and purges within a moment then.
            for _ in 0..random.u64(1..200) {
                let id = format!("m{acknowledged}");
                let append =
                    json!({"id": id, "session_id": "busy", "role": "user", "content": "c"});
                assert_eq!(client.call("message.append", append)["index_in_session"], acknowledged);
                acknowledged += 1;
            }
            daemon.kill();
            let daemon = home.start_with(&arguments);
            let mut client = daemon.client();
            assert_eq!(client.call("system.check", json!({})), json!({"ok": true, "problems": []}));
            let of_round = |client: &mut LineClient, deleted: bool| {
                let mut count = 0;
                let mut params = json!({"deleted": deleted, "limit": 1000});
                loop {
                    let page = client.call("session.list", params.clone());
                    let sessions = page["sessions"].as_array().expect("sessions");
                    let ids = sessions.iter().filter_map(|session| session["id"].as_str());
                    count += ids.filter(|id| id.starts_with(&format!("{round}-"))).count();
                    if page["next_cursor"].is_null() {
                        return count;
                    }
                    params["cursor"] = page["next_cursor"].clone();
                }
            };
            let (live, deleted) = (of_round(&mut client, false), of_round(&mut client, true));
            assert_eq!(
                live + deleted,
                OF_ROUND,
                "{engine}: {round}: none is purged by the run that moved it"
            );
            met.insert(deleted);
            let busy = client.call("session.get", json!({"id": "busy"}));
            assert_eq!(busy["next_index"], acknowledged, "{engine}: {round}");
        }
        assert!(met.len() >= 2, "{engine}: the kills met runs that had moved {met:?}");
        let mut daemon = home.start_with(&arguments);
        let mut client = daemon.client();
        client.call("retention.run", json!({}));
        client.call("retention.run", json!({}));
        let rest = client.call("retention.run", json!({}));
        assert_eq!((&rest["moved"], &rest["purged"]), (&json!(0), &json!(0)));
        client.call("system.shutdown", json!({}));
        assert_eq!(daemon.wait().code(), Some(0));
        // The rest of what is purged is erased at the next start, if it was not yet.
        runtime().block_on(async {
            let kind = engine.parse().expect("an engine");
            let store = open_store(&home, kind);
            erased(&store).await;
            store.close().await.expect("closed");
        });
        let file = rusqlite::Connection::open(home.path().join("ide.db")).expect("SQLite opens it");
        let count =
            |sql: &str| file.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a count");
        assert_eq!(count("SELECT COUNT(*) FROM agent_sessions"), 1, "{engine}");
        assert_eq!(count("SELECT COUNT(*) FROM agent_messages"), acknowledged as i64);
    }
}

/// So many jobs wait; one more is told to come again.
#[test]
fn the_runs_that_wait_have_a_limit() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    let messages: Vec<Value> =
        (0..200).map(|_| json!({"role": "user", "content": "x".repeat(4000)})).collect();
    client.call("message.append_many", json!({"session_id": "s", "messages": messages}));
    // The first goes on for a while, and the others are read at once behind it.
    let calls: Vec<String> = (0..MAX_QUEUED_UPKEEP as u64 + 8)
        .map(|id| request(id, "system.compact", &json!({})))
        .collect();
    client.send(&calls.join("\n"));
    let mut kinds = std::collections::BTreeMap::new();
    for _ in &calls {
        let reply = client.receive();
        let kind = match reply.get("error") {
            Some(error) => error_kind(error).to_owned(),
            None => "done".to_owned(),
        };
        *kinds.entry(kind).or_insert(0) += 1;
    }
    // The one that is carried out has no place among those that wait.
    assert!(
        kinds["done"] >= MAX_QUEUED_UPKEEP && kinds["done"] <= MAX_QUEUED_UPKEEP + 1,
        "{kinds:?}"
    );
    assert_eq!(kinds["done"] + kinds["overloaded"], calls.len(), "{kinds:?}");
}
