//! Kills at random moments amid a migration: the next start has everything, and takes nothing for damage.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use aetherd::store::migrations::CURRENT_VERSION;
use serde_json::json;

use crate::support::old_answers::expect_answers;
use crate::support::old_schemas::{
    Contents, copy_with_log, differences, fixture, texts, with_copy,
};
use crate::support::{Home, LineClient, wait_for};

/// Kills of each database, of which there are four.
const KILLS: u32 = 6;
/// Rows of each table that is made larger: a migration takes tens of milliseconds, more in a debug build.
const MORE_ROWS: u64 = 500;

/// The changes are older than the feed keeps any unless told otherwise.
const ARGUMENTS: [&str; 3] = ["--no-search", "--feed-max-days", "36500"];

/// A database of an earlier version, and what it holds.
struct Old {
    home: Home,
    contents: Contents,
}

/// How far a kill let a migration come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// No backup has its name yet.
    Nothing,
    /// There is the backup, and not the current version.
    Backup,
    /// All of it.
    End,
}

#[test]
fn twenty_four_kills_amid_migrations_lose_nothing() {
    let reached: Vec<Reached> = std::thread::scope(|scope| {
        let versions = [0, 1, 3, 7].map(|version| scope.spawn(move || kill_amid(version)));
        versions.into_iter().flat_map(|kills| kills.join().expect("nothing is lost")).collect()
    });
    assert_eq!(reached.len(), 24);
    assert!(reached.contains(&Reached::Backup), "no kill came amid a migration: {reached:?}");
}

/// Kills migrations of one version, each in a home of its own, and returns how far they came.
fn kill_amid(version: i64) -> Vec<Reached> {
    let mut random = fastrand::Rng::with_seed(0x01d5 + version.unsigned_abs());
    let old = make(version);
    let (backup, whole) = measure(&old);
    let mut reached = Vec::new();
    for kill in 0..KILLS {
        let home = home_of(&old);
        let mut child = spawn(&home);
        // Half of the kills come anywhere, half behind the backup, each in a third of its own.
        let part = (f64::from(kill / 2) + random.f64()) / f64::from(KILLS / 2);
        let span = if kill % 2 == 0 {
            whole
        } else {
            wait_for_backup(&home, &mut child);
            whole.saturating_sub(backup)
        };
        std::thread::sleep(span.mul_f64(part));
        child.kill().expect("the child is killed");
        child.wait().expect("the child is reaped");
        reached.push(how_far(&home));
        expect_whole(&home, &old, &format!("version {version}, kill {kill}: {reached:?}"));
    }
    reached
}

/// Makes a database of a version so large that its migration takes a while. That of version 0, the IDE's
/// own, has much of it in its log alone.
fn make(version: i64) -> Old {
    let (home, making) = (Home::new(), Home::new());
    let (path, database) = (making.path().join("ide.db"), home.path().join("ide.db"));
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/seed-ide-db/ide.db");
    copy_with_log(&if version == 0 { seed } else { fixture(version) }, &path);
    let connection = rusqlite::Connection::open(&path).expect("SQLite opens it");
    let times = match version {
        0 => ("", ""),
        _ => (", updated_at, activity_at", ", 1, 1"),
    };
    let edits = match version {
        0 | 1 => ("", ""),
        _ => (", seq, path_key", ", 10 + number, '/many'"),
    };
    let numbers = format!(
        "WITH RECURSIVE numbers (number) AS
            (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {MORE_ROWS})"
    );
    connection
        .execute_batch(&format!(
            "PRAGMA wal_autocheckpoint = 0;
             BEGIN;
             INSERT INTO agent_sessions (id, kind, created_at{}) VALUES ('many', 'chat', 1{});
             {numbers} INSERT INTO agent_messages (id, session_id, role, index_in_session, content, created_at)
                SELECT 'many-' || number, 'many', 'user', number - 1, 'message ' || number || HEX(ZEROBLOB(300)), 1
                FROM numbers;
             {numbers} INSERT INTO agent_edits (id, session_id, file_path, kind, diff, created_at{})
                SELECT 'many-' || number, 'many', '/many', 'replace',
                    '--- a' || CHAR(10) || '+++ b' || CHAR(10) || '@@ -1 +1 @@' || CHAR(10) || '-' || number
                    || CHAR(10) || '+' || (number + 1) || CHAR(10), 1{} FROM numbers;
             COMMIT;",
            times.0, times.1, edits.0, edits.1
        ))
        .expect("many rows");
    if version > 0 {
        // What a build of that version counts: the messages, and from version 6 on the edits.
        let counted =
            if version >= 6 { format!(", edit_count = {MORE_ROWS}") } else { String::new() };
        connection
            .execute_batch(&format!(
                "UPDATE agent_sessions SET next_index = {MORE_ROWS}{counted} WHERE id = 'many';
                 PRAGMA wal_checkpoint(TRUNCATE);"
            ))
            .expect("the session counts them");
    }
    // Copied while it is open, since the last to close it folds the log into the file.
    copy_with_log(&path, &database);
    drop(connection);
    let contents = Contents::of(&database);
    assert_eq!(contents.version, version);
    Old { home, contents }
}

fn home_of(old: &Old) -> Home {
    let home = Home::new();
    copy_with_log(&old.home.path().join("ide.db"), &home.path().join("ide.db"));
    home
}

fn spawn(home: &Home) -> Child {
    let log = std::fs::File::create(home.path().join("test.log")).expect("a log");
    let mut command = home.command();
    command.arg("serve").args(ARGUMENTS).stdout(Stdio::null()).stderr(log);
    command.spawn().expect("the binary starts")
}

/// Migrates a copy, and returns when from the start on it had its backup, and when it was served.
fn measure(old: &Old) -> (Duration, Duration) {
    let home = home_of(old);
    let started = Instant::now();
    let mut child = spawn(&home);
    wait_for_backup(&home, &mut child);
    let backup = started.elapsed();
    wait_for(&home, &mut child, || std::os::unix::net::UnixStream::connect(home.socket()).is_ok());
    let whole = started.elapsed();
    child.kill().expect("the child is killed");
    child.wait().expect("the child is reaped");
    (backup, whole)
}

fn wait_for_backup(home: &Home, child: &mut Child) {
    wait_for(home, child, || !backups(home).is_empty());
}

/// Returns the backups that have their name, the oldest first.
fn backups(home: &Home) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(home.path().join("backups")) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "db")).collect();
    paths.sort();
    paths
}

fn how_far(home: &Home) -> Reached {
    if backups(home).is_empty() {
        return Reached::Nothing;
    }
    let version = with_copy(&home.path().join("ide.db"), |file| {
        texts(file, "SELECT CAST(user_version AS TEXT) FROM pragma_user_version")
    });
    if version == [CURRENT_VERSION.to_string()] { Reached::End } else { Reached::Backup }
}

/// Starts again where a kill left off, and expects all that was there, and no trace of the kill.
fn expect_whole(home: &Home, old: &Old, case: &str) {
    let mut daemon = home.start_with(&ARGUMENTS);
    let mut client = daemon.client();
    match old.contents.version {
        0 => expect_answers_of_seed(&mut client),
        version => expect_answers(&mut client, version, &["many"]),
    }
    let many =
        client.call("history.page", json!({"session_id": "many", "order": "newest", "limit": 1}));
    assert_eq!(many["messages"][0]["id"], format!("many-{MORE_ROWS}"), "{case}");
    daemon.kill();
    let new = Contents::of(&home.path().join("ide.db"));
    assert_eq!(new.version, CURRENT_VERSION, "{case}");
    let differences = differences(&old.contents, &new);
    assert!(differences.is_empty(), "{case}: {differences:#?}\n{}", home.log());
    assert!(!home.path().join("damaged").exists(), "{case}: {}", home.log());
    for folder in [home.path().to_owned(), home.path().join("backups")] {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
            let is_left = ["unfinished", "compacting", "recovering", "suspect"];
            assert!(!is_left.iter().any(|part| name.contains(part)), "{case}: {name} is left");
        }
    }
    // A kill behind the first backup, and the next start makes another one of what it finds.
    let backups: Vec<Contents> = backups(home).iter().map(|path| Contents::of(path)).collect();
    assert!((1..=2).contains(&backups.len()), "{case}: {} backups", backups.len());
    assert_eq!(backups[0].version, old.contents.version, "{case}");
    assert_eq!(backups[0].tables, old.contents.tables, "{case}");
    assert!(backups.iter().all(|backup| backup.version < CURRENT_VERSION), "{case}");
}

/// What the IDE's own database holds: three sessions, three edits of one file, settings.
fn expect_answers_of_seed(client: &mut LineClient) {
    let page = client.call("session.list", json!({"limit": 10}));
    let mut counts = Vec::new();
    for session in page["sessions"].as_array().expect("sessions") {
        counts.push(session["message_count"].as_u64().expect("a count"));
        if session["id"] == "many" {
            continue;
        }
        let asked = json!({"session_id": session["id"], "order": "oldest", "limit": 50});
        let page = client.call("history.page", asked);
        let messages = page["messages"].as_array().expect("messages");
        assert_eq!(Some(&(messages.len() as u64)), counts.last());
        for (index, message) in messages.iter().enumerate() {
            let text = message["content"].as_str().expect("a text");
            assert!(text.starts_with(&format!("message {index} of session ")), "{text}");
        }
    }
    counts.sort_unstable();
    assert_eq!(counts, [5, 9, 13, MORE_ROWS]);
    let asked = json!({"file_path": "src/lib.rs", "base": "version 0\n"});
    assert_eq!(client.call("edit.replay", asked)["content"], "version 3\n");
    assert_eq!(client.call("settings.get", json!({"key": "theme"}))["value"], "dark");
    assert_eq!(client.call("system.check", json!({})), json!({"ok": true, "problems": []}));
}
