//! Backups while clients write, restores, and what a kill leaves of either.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aetherd::config::BackupPolicy;
use aetherd::daemon::backing_up;
use aetherd::model::time;
use aetherd::store::backup;
use fastrand::Rng;
use serde_json::{Value, json};

use crate::support::files::{PAGE, stamp};
use crate::support::{
    ENGINES, Home, LineClient, error_kind, open_store, params, reconnect, request, runtime,
};

fn append(client: &mut LineClient, session: &str, id: &str) {
    client.call(
        "message.append",
        json!({"id": id, "session_id": session, "role": "user", "content": format!("{id} {}", "x".repeat(300))}),
    );
}

/// The ids of a file's messages, by SQLite, which also checks the file.
fn messages(file: &Path) -> BTreeSet<String> {
    // Of a copy: SQLite leaves files beside what it opens.
    let copy = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::copy(file, copy.path()).expect("a copy");
    let connection = rusqlite::Connection::open(copy.path()).expect("SQLite opens it");
    let text = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0));
    assert_eq!(text("PRAGMA integrity_check").expect("a check"), "ok", "{}", file.display());
    let holes: i64 = connection
        .query_row(
            "SELECT COUNT(*) FROM agent_sessions s WHERE s.next_index !=
                (SELECT COUNT(*) FROM agent_messages m WHERE m.session_id = s.id)",
            [],
            |row| row.get(0),
        )
        .expect("a count");
    assert_eq!(holes, 0, "a session is cut through in {}", file.display());
    let mut query = connection.prepare("SELECT id FROM agent_messages").expect("a query");
    let ids = query.query_map([], |row| row.get(0)).expect("rows");
    ids.collect::<Result<_, _>>().expect("ids")
}

fn served(client: &mut LineClient, session: &str) -> BTreeSet<String> {
    let page = client
        .call("history.page", json!({"session_id": session, "limit": 1000, "order": "oldest"}));
    let messages = page["messages"].as_array().expect("messages");
    messages.iter().map(|message| message["id"].as_str().expect("an id").to_owned()).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect()
}

/// Tells writers to end once it is dropped.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_backup_has_all_that_was_answered_before_it_while_clients_write() {
    let home = Home::new();
    let daemon = home.start();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|number| {
                let (daemon, ended) = (&daemon, &ended);
                let answered = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
                let list = std::sync::Arc::clone(&answered);
                scope.spawn(move || {
                    let mut client = daemon.client();
                    let session = format!("s{number}");
                    client.call("session.start", json!({"id": session, "kind": "chat"}));
                    for index in 0.. {
                        if ended.load(Ordering::Relaxed) {
                            return;
                        }
                        let id = format!("{session}-{index}");
                        append(&mut client, &session, &id);
                        list.lock().expect("a list").push(id);
                    }
                });
                answered
            })
            .collect();
        // The writers end where this fails too.
        let _end = End(&ended);
        let mut client = daemon.client();
        for _ in 0..6 {
            let before: Vec<String> =
                writers.iter().flat_map(|list| list.lock().expect("a list").clone()).collect();
            let made = client.call("system.backup", json!({}));
            let path = PathBuf::from(made["path"].as_str().expect("a path"));
            assert_eq!(made["bytes"], std::fs::metadata(&path).expect("a file").len());
            let found = messages(&path);
            let lacking: Vec<&String> = before.iter().filter(|id| !found.contains(*id)).collect();
            assert!(lacking.is_empty(), "{lacking:?}");
        }
    });
    let backups = names(&home.path().join("backups"));
    assert_eq!(backups.len(), 6, "{backups:?}");
    let status = daemon.client().call("system.status", json!({}));
    assert_eq!(status["backups"]["count"], 6);
    assert_eq!(status["backups"]["last"]["reason"], "asked");
}

#[test]
fn a_backup_goes_where_nothing_is_and_nowhere_else() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    let there = home.path().join("there.db");
    std::fs::write(&there, "mine").expect("a file");
    for path in [
        json!(there),
        json!(home.path().join("nowhere").join("x.db")),
        json!("x.db"),
        json!(home.path()),
        json!(""),
    ] {
        let error = client.fail("system.backup", json!({"path": path}));
        assert_eq!(error_kind(&error), "invalid_params", "{path}");
        assert_eq!(error["data"]["field"], "path");
    }
    assert_eq!(std::fs::read_to_string(&there).expect("a file"), "mine");
    let new = home.path().join("new.db");
    client.call("system.backup", json!({"path": new}));
    assert!(messages(&new).is_empty());
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(&new).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "a backup is for the user alone");
    assert!(!names(home.path()).iter().any(|name| name.contains("unfinished")));
}

#[test]
fn a_restore_puts_back_what_was_and_keeps_what_is() {
    let home = Home::new();
    let mut daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    append(&mut client, "s", "a");
    client.call("system.backup", json!({}));
    append(&mut client, "s", "b");
    let cursor = client.call("events.since", json!({}))["cursor"].take();
    let instance = client.call("system.ping", json!({}))["instance_id"].take();
    let restoring = client.call("system.restore", json!({}));
    let kept = PathBuf::from(restoring["kept"].as_str().expect("a path"));

    let mut client = reconnect(&home.socket(), &instance);
    assert!(daemon.is_running(), "the process goes on");
    assert_eq!(served(&mut client, "s"), BTreeSet::from(["a".to_owned()]));
    assert_eq!(messages(&kept), BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    let error = client.fail("events.since", json!({"cursor": cursor}));
    assert_eq!(error_kind(&error), "expired");
    append(&mut client, "s", "c");
    // A search sees the restored messages, and not those that were replaced.
    let hits = client.call("history.search", json!({"query": "a OR b OR c"}))["hits"].take();
    assert_eq!(hits.as_array().map(Vec::len), Some(2), "{hits}");

    let instance = client.call("system.ping", json!({}))["instance_id"].take();
    client.call("system.restore", json!({"path": kept}));
    let mut client = reconnect(&home.socket(), &instance);
    assert_eq!(served(&mut client, "s"), BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    append(&mut client, "s", "d");
    drop(client);
    daemon.kill();
    let daemon = home.start();
    let found = served(&mut daemon.client(), "s");
    assert_eq!(found.len(), 3);
    assert!(!home.path().join("damaged").exists(), "{}", home.log());
}

#[test]
fn what_is_no_backup_is_not_restored() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    append(&mut client, "s", "a");
    let error = client.fail("system.restore", json!({}));
    assert_eq!(error_kind(&error), "not_found", "{error}");
    let made = client.call("system.backup", json!({}));
    let good = std::fs::read(made["path"].as_str().expect("a path")).expect("a file");
    let bad = home.path().join("bad.db");
    let half = good.len() / 2;
    let mut flipped = good.clone();
    flipped[half + 100] ^= 1;
    for bytes in [&b""[..], b"not a database", &good[..half], &flipped] {
        std::fs::write(&bad, bytes).expect("a file");
        let error = client.fail("system.restore", json!({"path": bad}));
        assert_eq!(error_kind(&error), "invalid_params", "{error}");
    }
    // One of a newer version.
    let mut newer = good.clone();
    newer[60..64].copy_from_slice(&9_999_i32.to_be_bytes());
    stamp(&mut newer[..PAGE]);
    std::fs::write(&bad, newer).expect("a file");
    let error = client.fail("system.restore", json!({"path": bad}));
    assert!(error["message"].as_str().expect("a text").contains("9999"), "{error}");
    append(&mut client, "s", "b");
    assert_eq!(served(&mut client, "s").len(), 2);
    assert!(!names(home.path()).iter().any(|name| name.contains("restoring")));
}

/// A kill in the middle of a backup or a restore leaves the one state or the other, and no debris.
#[test]
fn a_kill_leaves_a_backup_or_a_restore_done_or_undone() {
    let mut random = Rng::with_seed(7);
    let home = Home::new();
    let mut daemon = home.start_with(&["--no-search"]);
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    for index in 0..400 {
        append(&mut client, "s", &format!("a{index}"));
    }
    client.call("system.backup", json!({}));
    let backed_up = served(&mut client, "s");
    append(&mut client, "s", "later");
    let mut expected = served(&mut client, "s");
    let (mut restored, mut kept) = (0, 0);
    for round in 0..24 {
        let is_restore = round % 2 == 0;
        let newest = json!(backup::list(&home.path().join("backups")).last().expect("one").path);
        let (method, params) = match is_restore {
            true => ("system.restore", json!({"path": newest})),
            false => ("system.backup", json!({})),
        };
        client.send(&request(1, method, &params));
        std::thread::sleep(Duration::from_micros(random.u64(0..400_000)));
        daemon.kill();
        daemon = home.start_with(&["--no-search"]);
        client = daemon.client();
        let found = served(&mut client, "s");
        if is_restore && found == backed_up {
            restored += 1;
        } else {
            assert_eq!(found, expected, "round {round}: {}", home.log());
            kept += 1;
        }
        expected = found;
        for name in names(home.path()).into_iter().chain(names(&home.path().join("backups"))) {
            assert!(!name.contains("restoring") && !name.contains("unfinished"), "{name}");
        }
        // Every file among the backups is a whole one.
        for backup in backup::list(&home.path().join("backups")) {
            messages(&backup.path);
        }
        let id = format!("r{round}");
        append(&mut client, "s", &id);
        expected.insert(id);
    }
    assert!(restored > 0 && kept > 0, "{restored} restored, {kept} kept");
    assert!(!home.path().join("damaged").exists(), "{}", home.log());
}

#[test]
fn a_daily_backup_is_made_where_something_changed_and_few_are_kept() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            let policy = BackupPolicy { kept: 2, ..BackupPolicy::default() };
            let now = time::now();
            assert!(
                !backing_up::back_up(&store, policy, now).await.expect("looks"),
                "nothing is there"
            );
            let start = params(json!({"id": "s", "kind": "chat"}));
            store
                .write(move |tx| aetherd::store::sessions::start(tx, &start))
                .await
                .expect("started");
            assert!(backing_up::back_up(&store, policy, now).await.expect("backs up"));
            assert!(!backing_up::back_up(&store, policy, now).await.expect("looks"), "made today");
            let later = now + 2 * policy.every;
            assert!(
                !backing_up::back_up(&store, policy, later).await.expect("looks"),
                "nothing changed since"
            );
            store.close().await.expect("closed");
        });
        let folder = home.path().join("backups");
        let [made] = backup::list(&folder).try_into().expect("one backup");
        assert_eq!(made.reason, "daily");
        // Older ones, of which the policy keeps one more.
        for at in 1..4 {
            std::fs::copy(&made.path, folder.join(format!("ide-{at}-daily.db"))).expect("a copy");
        }
        runtime().block_on(async {
            let store = open_store(&home, engine);
            let policy = BackupPolicy { kept: 2, ..BackupPolicy::default() };
            backing_up::back_up(&store, policy, time::now()).await.expect("looks");
            store.close().await.expect("closed");
        });
        let left: Vec<i64> = backup::list(&folder).iter().map(|backup| backup.created_at).collect();
        assert_eq!(left, [made.created_at, 3], "{engine:?}");
    }
}

#[test]
fn the_commands_work_with_a_daemon_and_without() {
    let home = Home::new();
    let run = |arguments: &[&str]| -> (Option<i32>, Value) {
        let mut command: Command = home.command();
        let output = command.arg("--json").args(arguments).output().expect("the binary runs");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let json = serde_json::from_str(&text)
            .unwrap_or_else(|_| serde_json::from_slice(&output.stderr).unwrap_or(Value::Null));
        (output.status.code(), json)
    };
    let mut daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    append(&mut client, "s", "a");
    let file = home.path().join("mine.db");
    let file = file.to_str().expect("UTF-8");
    let (code, made) = run(&["backup", "-o", file]);
    assert_eq!((code, made["path"].as_str()), (Some(0), Some(file)), "{made}");
    let (code, again) = run(&["backup", "-o", file]);
    assert_eq!(code, Some(1), "{again}");
    append(&mut client, "s", "b");
    let (code, restoring) = run(&["restore", file]);
    assert_eq!(code, Some(0), "{restoring}");
    // The daemon is back by then.
    let mut client = LineClient::connect(&home.socket());
    assert_eq!(served(&mut client, "s").len(), 1);
    client.call("system.shutdown", json!({}));
    assert!(daemon.wait().success());

    let (code, made) = run(&["backup"]);
    assert_eq!(code, Some(0), "{made}");
    let (code, restoring) = run(&["restore", "latest"]);
    assert_eq!(code, Some(0), "{restoring}");
    assert_eq!(restoring["path"], made["path"]);
    let (code, _) = run(&["restore", "nowhere.db"]);
    assert_eq!(code, Some(1));
    let daemon = home.start();
    assert_eq!(served(&mut daemon.client(), "s").len(), 1);
}
