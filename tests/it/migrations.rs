//! Old files: the IDE's own database is adopted whole, a newer one refused, a failure undone.

use std::path::{Path, PathBuf};

use aetherd::api;
use aetherd::config::EngineKind;
use aetherd::model::{JsonObject, ProjectId, SessionId, Sightings};
use aetherd::store::migrations::CURRENT_VERSION;
use aetherd::store::{
    Store, edits, history, places, projects, replay, session_list, sessions, settings, status,
};
use serde_json::json;

use crate::support::{ENGINES, Home, edit_database, open_store, params, runtime, store_options};

/// A database that the IDE made with turso 0.3.2, its log never checkpointed.
fn copy_seed(home: &Home) {
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/seed-ide-db");
    for name in ["ide.db", "ide.db-wal"] {
        std::fs::copy(seed.join(name), home.path().join(name)).expect("the seed is copied");
    }
}

fn backups(home: &Home) -> Vec<PathBuf> {
    std::fs::read_dir(home.path().join("backups"))
        .map(|entries| entries.map(|entry| entry.expect("an entry").path()).collect())
        .unwrap_or_default()
}

fn files(home: &Home) -> Vec<String> {
    let entries = std::fs::read_dir(home.path()).expect("a folder");
    entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect()
}

fn texts(file: &Path, sql: &str) -> Vec<String> {
    let file = rusqlite::Connection::open(file).expect("SQLite opens it");
    let mut statement = file.prepare(sql).expect("a query");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("rows")
}

const MESSAGES: &str =
    "SELECT id || '|' || session_id || '|' || role || '|' || index_in_session || '|' || content
    FROM agent_messages ORDER BY id";

#[test]
fn the_ides_own_database_is_adopted_with_every_row() {
    for engine in ENGINES {
        let home = Home::new();
        copy_seed(&home);
        let before = {
            let copy = Home::new();
            copy_seed(&copy);
            texts(&copy.path().join("ide.db"), MESSAGES)
        };
        assert_eq!(before.len(), 27);
        runtime().block_on(async { open_store(&home, engine).close().await.expect("closed") });
        let file = home.path().join("ide.db");
        assert_eq!(texts(&file, MESSAGES), before, "{engine:?}");
        for (table, rows) in
            [("settings", "3"), ("projects", "2"), ("agent_sessions", "3"), ("agent_edits", "3")]
        {
            assert_eq!(
                texts(&file, &format!("SELECT CAST(COUNT(*) AS TEXT) FROM {table}")),
                [rows],
                "{table}"
            );
        }
        // Seconds have become milliseconds.
        assert_eq!(
            texts(&file, "SELECT CAST(MIN(created_at) AS TEXT) FROM agent_messages"),
            ["1763001000000"]
        );
        assert_eq!(
            texts(&file, "SELECT CAST(MAX(created_at) AS TEXT) FROM agent_edits"),
            ["1763002000000"]
        );
        // Text that was no JSON is a JSON string now.
        assert_eq!(texts(&file, "SELECT value FROM settings WHERE key = 'theme'"), ["\"dark\""]);
        assert_eq!(
            texts(&file, "SELECT value FROM settings WHERE key = 'editor.fontSize'"),
            ["14"]
        );
        // The indexes are ours: the order of messages is unique now.
        assert_eq!(
            texts(&file, "SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE UNIQUE INDEX%'"),
            ["idx_agent_messages_session_order"]
        );
        // The backup holds the old tables, whole.
        let backups = backups(&home);
        assert_eq!(backups.len(), 1, "{backups:?}");
        assert_eq!(texts(&backups[0], MESSAGES), before);
        assert_eq!(
            texts(&backups[0], "SELECT CAST(MIN(created_at) AS TEXT) FROM agent_messages"),
            ["1763001000"]
        );
        assert_eq!(texts(&backups[0], "PRAGMA integrity_check"), ["ok"]);
        // A second start migrates nothing.
        runtime().block_on(async { open_store(&home, engine).close().await.expect("closed") });
        assert_eq!(texts(&file, MESSAGES), before);
        assert_eq!(self::backups(&home).len(), 1);
    }
}

#[test]
fn an_adopted_history_is_served_and_goes_on() {
    let home = Home::new();
    copy_seed(&home);
    let daemon = home.start();
    let mut client = daemon.client();
    let list = client.call("session.list", json!({}));
    let sessions = list["sessions"].as_array().expect("sessions");
    assert_eq!(sessions.len(), 3);
    for session in sessions {
        let count = session["message_count"].as_u64().expect("a count");
        let page = client.call("history.page", json!({"session_id": session["id"], "limit": 1000}));
        let indexes: Vec<u64> = page["messages"]
            .as_array()
            .expect("messages")
            .iter()
            .map(|message| message["index_in_session"].as_u64().expect("an index"))
            .collect();
        assert_eq!(indexes, (0..count).collect::<Vec<_>>());
        let next = client.call(
            "message.append",
            json!({"session_id": session["id"], "role": "user", "content": "on"}),
        );
        assert_eq!(next["index_in_session"], count);
    }
}

/// Holes, doubles, rows of no session: what the old schema allowed and ours does not.
#[test]
fn what_the_old_schema_allowed_is_kept_too() {
    for engine in ENGINES {
        let home = Home::new();
        let path = home.path().join("ide.db");
        let old = rusqlite::Connection::open(&path).expect("SQLite opens it");
        old.execute_batch(
            "CREATE TABLE agent_sessions (id TEXT PRIMARY KEY, project_id TEXT, kind TEXT NOT NULL, created_at INTEGER NOT NULL);
             CREATE TABLE agent_messages (id TEXT PRIMARY KEY, session_id TEXT NOT NULL, role TEXT NOT NULL,
                index_in_session INTEGER NOT NULL, content TEXT NOT NULL, code_excerpt TEXT, metadata TEXT, created_at INTEGER NOT NULL);
             CREATE TABLE notes (text TEXT);
             INSERT INTO notes VALUES ('not of the schema');
             INSERT INTO agent_sessions VALUES ('s', NULL, 'chat', 1763000000);
             INSERT INTO agent_messages VALUES
                ('a', 's', 'user', 5, 'first', NULL, NULL, 1763000001),
                ('b', 's', 'user', 7, 'second', NULL, '{\"k\":1}', 1763000002),
                ('c', 's', 'user', 7, 'third', 'code', NULL, 1763000003000),
                ('d', 'gone', 'tool', 0, 'of no session', NULL, NULL, 1763000004);",
        )
        .expect("the old tables");
        drop(old);
        runtime().block_on(async { open_store(&home, engine).close().await.expect("closed") });
        assert_eq!(
            texts(
                &path,
                "SELECT session_id || index_in_session || content || created_at FROM agent_messages ORDER BY id"
            ),
            [
                "s0first1763000001000",
                "s1second1763000002000",
                "s2third1763000003000",
                "gone0of no session1763000004000"
            ],
            "{engine:?}"
        );
        assert_eq!(
            texts(&path, "SELECT kind FROM agent_sessions WHERE id = 'gone'"),
            ["recovered"]
        );
        assert_eq!(texts(&path, "SELECT text FROM notes"), ["not of the schema"]);
    }
}

/// The old tables took any integer for a time and any text for a key: no list leaves one out.
#[test]
fn what_no_client_may_send_is_listed_where_an_old_file_has_it() {
    for engine in ENGINES {
        let home = Home::new();
        let old = rusqlite::Connection::open(home.path().join("ide.db")).expect("SQLite opens it");
        old.execute_batch(
            "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
             CREATE TABLE projects (id TEXT PRIMARY KEY, name TEXT NOT NULL, path TEXT NOT NULL, created_at INTEGER NOT NULL);
             CREATE TABLE agent_sessions (id TEXT PRIMARY KEY, project_id TEXT, kind TEXT NOT NULL, created_at INTEGER NOT NULL);
             INSERT INTO settings VALUES ('', '1'), ('a', '2');
             INSERT INTO projects VALUES
                ('last', 'l', '/l', 9223372036854775807), ('later', 'l', '/m', 9223372036854775807),
                ('first', 'f', '/f', -9223372036854775808);
             INSERT INTO agent_sessions VALUES
                ('last', NULL, 'chat', 9223372036854775807), ('later', NULL, 'chat', 9223372036854775807),
                ('of', 'last', 'chat', 9223372036854775807), ('first', NULL, 'chat', -9223372036854775808);",
        )
        .expect("the old tables");
        drop(old);
        runtime().block_on(async {
            let store = open_store(&home, engine);
            for limit in [1, 50] {
                assert_eq!(all_settings(&store, limit).await, ["", "a"], "{engine:?}");
                assert_eq!(all_projects(&store, limit).await, ["later", "last", "first"]);
                let all = all_sessions(&store, None, limit).await;
                assert_eq!(all, ["of", "later", "last", "first"], "{engine:?}");
                let project = ProjectId::parse("last").expect("an id");
                assert_eq!(all_sessions(&store, Some(Some(project)), limit).await, ["of"]);
                let none = all_sessions(&store, Some(None), limit).await;
                assert_eq!(none, ["later", "last", "first"]);
            }
            store.close().await.expect("closed");
        });
    }
}

/// One message that cannot be read would fail the page, and so hide the others.
#[test]
fn adopted_messages_of_any_role_and_free_data_can_be_read() {
    for engine in ENGINES {
        let home = Home::new();
        let old = rusqlite::Connection::open(home.path().join("ide.db")).expect("SQLite opens it");
        old.execute_batch(
            "CREATE TABLE agent_sessions (id TEXT PRIMARY KEY, project_id TEXT, kind TEXT NOT NULL, created_at INTEGER NOT NULL);
             CREATE TABLE agent_messages (id TEXT PRIMARY KEY, session_id TEXT NOT NULL, role TEXT NOT NULL,
                index_in_session INTEGER NOT NULL, content TEXT NOT NULL, code_excerpt TEXT, metadata TEXT, created_at INTEGER NOT NULL);
             INSERT INTO agent_sessions VALUES ('s', NULL, 'chat', 1763000000);
             INSERT INTO agent_messages VALUES
                ('a', 's', 'user', 0, 'first', NULL, ' {\"k\": 1E400} ', 1763000001),
                ('b', 's', 'function', 1, 'second', NULL, '{\"k\":1.50}', 1763000002),
                ('c', 's', 'tool', 2, 'third', NULL, 'no \"JSON\"', 1763000003),
                ('d', 's', 'system', 3, 'fourth', NULL, '[1]', 1763000004),
                ('e', 's', '', 4, 'fifth', NULL, NULL, 1763000005);",
        )
        .expect("the old tables");
        drop(old);
        runtime().block_on(async {
            let store = open_store(&home, engine);
            let params = api::history::PageParams {
                session_id: SessionId::parse("s").expect("an id"),
                order: api::history::Order::Oldest,
                limit: 50,
                cursor: None,
                include_compacted: false,
            };
            let page = store.read(move |tx| history::page(tx, &params)).await.expect("a page");
            let found: Vec<(&str, &str)> = page
                .messages
                .iter()
                .map(|message| {
                    let metadata = message.metadata.as_ref().map_or("", JsonObject::as_str);
                    (message.role.as_str(), metadata)
                })
                .collect();
            assert_eq!(
                found,
                [
                    ("user", r#"{"k": 1E400}"#),
                    ("assistant", r#"{"adopted":{"role":"function","metadata":{"k":1.50}}}"#),
                    ("tool", r#"{"adopted":{"metadata":"no \"JSON\""}}"#),
                    ("system", r#"{"adopted":{"metadata":[1]}}"#),
                    ("assistant", r#"{"adopted":{"role":""}}"#),
                ],
                "{engine:?}"
            );
            store.close().await.expect("closed");
        });
    }
}

/// The old table took a folder twice: the project last opened is the one that `project.open` finds.
#[test]
fn adopted_projects_are_found_by_their_folder() {
    for engine in ENGINES {
        let home = Home::new();
        let old = rusqlite::Connection::open(home.path().join("ide.db")).expect("SQLite opens it");
        old.execute_batch(
            "CREATE TABLE projects (id TEXT PRIMARY KEY, name TEXT NOT NULL, path TEXT NOT NULL, created_at INTEGER NOT NULL);
             INSERT INTO projects VALUES
                ('older', 'p', '/p/q/', 1763000000), ('newer', 'p', '/p/q', 1763000001),
                ('drive', 'w', 'C:/Users/me', 1763000002), ('relative', 'r', 'p/q', 1763000003);",
        )
        .expect("the old table");
        drop(old);
        runtime().block_on(async {
            let store = open_store(&home, engine);
            for (path, id) in [("/p/q/.", "newer"), (r"c:\users\ME\", "drive")] {
                let path = path.to_owned();
                let params = api::project::OpenParams { path, ..Default::default() };
                let opened =
                    store.write(move |tx| places::open(tx, &params, &Sightings::default())).await;
                assert_eq!(opened.expect("opens").project.id.as_str(), id, "{engine:?}");
            }
            assert_eq!(all_projects(&store, 50).await.len(), 4, "every row is kept");
            store.close().await.expect("closed");
        });
    }
}

/// Three edits of one second, in the order of their rows.
#[test]
fn adopted_edits_keep_their_place() {
    for engine in ENGINES {
        let home = Home::new();
        copy_seed(&home);
        runtime().block_on(async {
            let store = open_store(&home, engine);
            assert_eq!(replayed(&store, "src/lib.rs", "version 0\n").await, "version 3\n");
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn version_1_becomes_the_current_one_after_a_backup() {
    for engine in ENGINES {
        let home = Home::new();
        let path = home.path().join("ide.db");
        let old = rusqlite::Connection::open(&path).expect("SQLite opens it");
        old.execute_batch(include_str!("../../src/store/migrations/0001_foundation.sql"))
            .expect("the tables of version 1");
        // One rowid before another whose id sorts first, all of one time; a word that is no kind.
        old.execute_batch(
            "PRAGMA user_version = 1;
             INSERT INTO projects VALUES ('p', 'p', '/p', '/p', NULL, 1, 1, NULL);
             INSERT INTO agent_sessions (id, project_id, kind, created_at, updated_at, activity_at)
                VALUES ('s', 'p', 'chat', 1, 1, 1), ('t', NULL, 'chat', 1, 1, 1);
             INSERT INTO agent_edits (rowid, id, session_id, file_path, kind, diff, created_at) VALUES
                (7, 'b', 's', '/p/x', 'replace', '--- a/x
+++ b/x
@@ -1 +1 @@
-0
+1
', 5),
                (9, 'a', 't', '/p//x', 'patch', '--- a/x
+++ b/x
@@ -1 +1 @@
-1
+2
', 5);",
        )
        .expect("rows");
        drop(old);
        runtime().block_on(async {
            let store = open_store(&home, engine);
            assert_eq!(store.schema_version(), CURRENT_VERSION);
            assert_eq!(replayed(&store, "/p/x", "0\n").await, "2\n");
            let params: api::edit::ListParams =
                serde_json::from_value(json!({"project_id": "p"})).expect("params");
            let page = store.read(move |tx| edits::list(tx, &params)).await.expect("a page");
            let ids: Vec<&str> = page.edits.iter().map(|edit| edit.id.as_str()).collect();
            assert_eq!(ids, ["b"], "{engine:?}");
            assert_eq!(store.read(status::counts).await.expect("counts").edits, 2);
            store.close().await.expect("closed");
        });
        let rows = "SELECT id || '|' || session_id || '|' || file_path || '|' || kind || '|' || diff || '|' || created_at
            FROM agent_edits ORDER BY rowid";
        let [backup] = backups(&home).try_into().expect("one backup");
        assert_eq!(
            texts(&backup, "SELECT CAST(user_version AS TEXT) FROM pragma_user_version"),
            ["1"]
        );
        assert_eq!(
            texts(&path, "SELECT CAST(user_version AS TEXT) FROM pragma_user_version"),
            [CURRENT_VERSION.to_string()]
        );
        assert_eq!(texts(&path, rows), texts(&backup, rows), "{engine:?}");
        assert_eq!(texts(&path, "PRAGMA integrity_check"), ["ok"]);
    }
}

/// Sessions of version 3 stay on their lists, and no message is written anew.
#[test]
fn version_3_gets_its_shelves_and_keeps_its_messages_where_they_are() {
    for engine in ENGINES {
        let home = Home::new();
        let path = home.path().join("ide.db");
        let mut old = rusqlite::Connection::open(&path).expect("SQLite opens it");
        for script in [
            include_str!("../../src/store/migrations/0001_foundation.sql"),
            "DROP TABLE agent_edits;",
            include_str!("../../src/store/migrations/0002_edits.sql"),
            include_str!("../../src/store/migrations/0003_changes.sql"),
            "PRAGMA user_version = 3;
             INSERT INTO meta VALUES ('feed_id', '0123456789abcdef0123456789abcdef');
             INSERT INTO agent_sessions (id, kind, created_at, updated_at, activity_at, parent_id, deleted_at,
                next_index, hidden_count, hidden_ranges)
                VALUES ('s', 'chat', 1, 1, 1, NULL, NULL, 5000, 2, '1-3'),
                    ('t', 'chat', 1, 1, 1, 's', 7, 0, 0, NULL);
             INSERT INTO agent_session_texts VALUES ('s', 'p', NULL, NULL);",
        ] {
            old.execute_batch(script).expect("a database of version 3");
        }
        let filling = old.transaction().expect("a transaction");
        for index in 0..5000 {
            filling
                .execute(
                    "INSERT INTO agent_messages (id, session_id, role, index_in_session, content, created_at)
                     VALUES ('m' || ?1, 's', 'user', ?1, ?2, 1)",
                    rusqlite::params![index, "x".repeat(800)],
                )
                .expect("a message");
        }
        filling.commit().expect("messages");
        drop(old);
        runtime().block_on(async {
            let store = open_store(&home, engine);
            let log = std::fs::metadata(home.path().join("ide.db-wal")).expect("a log").len();
            assert!(log < 1 << 20, "{engine:?}: the migration wrote {log} bytes");
            for (list, ids) in [
                (json!({}), vec!["s"]),
                (json!({"deleted": true}), vec!["t"]),
                (json!({"parent_id": "s", "deleted": true}), vec!["t"]),
                (json!({"archived": true}), vec![]),
            ] {
                let params = params(list);
                let page = store.read(move |tx| session_list::list(tx, &params)).await;
                let page = page.expect("a page");
                let found: Vec<&str> =
                    page.sessions.iter().map(|session| session.id.as_str()).collect();
                assert_eq!(found, ids, "{engine:?}");
            }
            let session =
                store.read(|tx| sessions::get(tx, &params(json!("s")))).await.expect("one");
            assert_eq!((session.message_count, session.compacted_count), (4998, 0));
            assert_eq!((session.system_prompt.as_deref(), session.archived_at), (Some("p"), None));
            let asked = params(json!({"session_id": "s", "limit": 3}));
            let page = store.read(move |tx| history::page(tx, &asked)).await.expect("a page");
            let indexes: Vec<i64> =
                page.messages.iter().map(|message| message.index_in_session).collect();
            assert_eq!(indexes, [0, 3, 4]);
            assert_eq!(page.messages[0].origin_id, None);
            store.close().await.expect("closed");
        });
        assert_eq!(texts(&path, "PRAGMA integrity_check"), ["ok"]);
    }
}

/// Sessions of version 7 are pinned by nobody, and what they were else they stay.
#[test]
fn version_7_gets_its_pins_after_a_backup() {
    for engine in ENGINES {
        let home = Home::new();
        let path = home.path().join("ide.db");
        let old = rusqlite::Connection::open(&path).expect("SQLite opens it");
        for script in [
            include_str!("../../src/store/migrations/0001_foundation.sql"),
            "DROP TABLE agent_edits;",
            include_str!("../../src/store/migrations/0002_edits.sql"),
            include_str!("../../src/store/migrations/0003_changes.sql"),
            include_str!("../../src/store/migrations/0004_attachments.sql"),
            include_str!("../../src/store/migrations/0005_sessions.sql"),
            include_str!("../../src/store/migrations/0006_edit_counts.sql"),
            include_str!("../../src/store/migrations/0007_places.sql"),
            "PRAGMA user_version = 7;
             INSERT INTO meta VALUES ('feed_id', '0123456789abcdef0123456789abcdef');
             INSERT INTO agent_sessions (id, kind, created_at, updated_at, activity_at, archived_at, shelf)
                VALUES ('s', 'chat', 1, 2, 3, NULL, 0), ('a', 'chat', 1, 2, 4, 5, 1);",
        ] {
            old.execute_batch(script).expect("a database of version 7");
        }
        drop(old);
        runtime().block_on(async {
            let store = open_store(&home, engine);
            let session =
                store.read(|tx| sessions::get(tx, &params(json!("a")))).await.expect("one");
            assert_eq!((session.pinned_at, session.archived_at), (None, Some(5)), "{engine:?}");
            let pin = params(json!({"id": "s", "pinned": true}));
            let pinned = store.write(move |tx| sessions::update(tx, &pin)).await.expect("pins");
            assert!(pinned.pinned_at.is_some());
            store.close().await.expect("closed");
        });
        let [backup] = backups(&home).try_into().expect("one backup");
        for (file, version) in [(&backup, 7), (&path, CURRENT_VERSION)] {
            let found = texts(file, "SELECT CAST(user_version AS TEXT) FROM pragma_user_version");
            assert_eq!(found, [version.to_string()]);
            assert_eq!(texts(file, "SELECT id FROM agent_sessions ORDER BY id"), ["a", "s"]);
        }
    }
}

async fn replayed(store: &Store, file_path: &str, base: &str) -> String {
    let params = api::edit::ReplayParams {
        file_path: file_path.to_owned(),
        base: Some(base.to_owned()),
        until: None,
        project_id: None,
    };
    let replayed = store.read(move |tx| replay::replay(tx, &params)).await.expect("replays");
    replayed.content.expect("a file")
}

async fn all_settings(store: &Store, limit: u32) -> Vec<String> {
    let mut params =
        api::settings::ListParams { project_id: None, prefix: None, limit, cursor: None };
    let mut keys = Vec::new();
    loop {
        let asked = params.clone();
        let page = store.read(move |tx| settings::list(tx, &asked)).await.expect("a page");
        keys.extend(page.settings.into_iter().map(|setting| setting.key));
        match page.next_cursor {
            None => return keys,
            cursor => params.cursor = cursor,
        }
    }
}

async fn all_projects(store: &Store, limit: u32) -> Vec<String> {
    let mut params = api::project::ListParams { limit, cursor: None, include_removed: false };
    let mut ids = Vec::new();
    loop {
        let asked = params.clone();
        let page = store.read(move |tx| projects::list(tx, &asked)).await.expect("a page");
        ids.extend(page.projects.into_iter().map(|project| project.id.to_string()));
        match page.next_cursor {
            None => return ids,
            cursor => params.cursor = cursor,
        }
    }
}

async fn all_sessions(
    store: &Store,
    project_id: Option<Option<ProjectId>>,
    limit: u32,
) -> Vec<String> {
    let mut params = api::session::ListParams {
        project_id,
        kind: None,
        parent_id: None,
        archived: false,
        deleted: false,
        limit,
        cursor: None,
    };
    let mut ids = Vec::new();
    loop {
        let asked = params.clone();
        let page = store.read(move |tx| session_list::list(tx, &asked)).await.expect("a page");
        ids.extend(page.sessions.into_iter().map(|session| session.id.to_string()));
        match page.next_cursor {
            None => return ids,
            cursor => params.cursor = cursor,
        }
    }
}

#[test]
fn a_newer_database_is_refused_with_both_versions() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async { open_store(&home, engine).close().await.expect("closed") });
        let path = home.path().join("ide.db");
        edit_database(&path, |file| {
            file.pragma_update(None, "user_version", CURRENT_VERSION + 1).expect("a version");
        });
        let error = Store::open(&store_options(&home, engine)).err().expect("refused").to_string();
        assert!(error.contains(&format!("version {}", CURRENT_VERSION + 1)), "{error}");
        assert!(error.contains(&format!("up to {CURRENT_VERSION}")), "{error}");
        assert_eq!(
            texts(&path, "SELECT CAST(user_version AS TEXT) FROM pragma_user_version"),
            [(CURRENT_VERSION + 1).to_string()]
        );
    }
}

/// The engine would switch the journal's mode, and make a log, before it is asked for the version.
#[test]
fn a_newer_database_is_refused_before_a_byte_of_it_changes() {
    for engine in ENGINES {
        let home = Home::new();
        let path = home.path().join("ide.db");
        let file = rusqlite::Connection::open(&path).expect("SQLite opens it");
        let newer = CURRENT_VERSION + 1;
        file.execute_batch(&format!(
            "CREATE TABLE settings (scope TEXT); PRAGMA user_version = {newer};"
        ))
        .expect("a newer database");
        drop(file);
        let before = std::fs::read(&path).expect("a file");
        let error = Store::open(&store_options(&home, engine)).err().expect("refused").to_string();
        assert!(error.contains(&format!("version {newer}")), "{error}");
        assert!(std::fs::read(&path).expect("a file") == before, "{engine:?}");
        assert_eq!(files(&home), ["ide.db"], "{engine:?}");
    }
}

/// With a log the file's own header may be of an earlier version than the database.
#[test]
fn a_version_that_stands_in_the_log_alone_counts() {
    for engine in ENGINES {
        let (home, writing) = (Home::new(), Home::new());
        let file =
            rusqlite::Connection::open(writing.path().join("ide.db")).expect("SQLite opens it");
        file.execute_batch(&format!(
            "PRAGMA user_version = {}; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE settings (key TEXT, value TEXT); PRAGMA user_version = 0;",
            CURRENT_VERSION + 1
        ))
        .expect("an older version in the log");
        // Copied while it is open, since the last to close it empties the log.
        for name in ["ide.db", "ide.db-wal"] {
            std::fs::copy(writing.path().join(name), home.path().join(name)).expect("a copy");
        }
        drop(file);
        runtime().block_on(async { open_store(&home, engine).close().await.expect("closed") });
    }
}

#[test]
fn a_database_of_another_program_is_refused_and_kept() {
    for engine in ENGINES {
        for (made, says) in [
            ("CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES ('a');", "bookmarks"),
            ("CREATE TABLE foo (a); PRAGMA user_version = 1;", "foo"),
            // Names that anybody may use, with other columns or among other tables.
            ("CREATE TABLE settings (name TEXT, value TEXT);", "name, value"),
            ("CREATE TABLE settings (key TEXT, value TEXT); CREATE TABLE urls (a);", "urls"),
            ("CREATE TABLE bookmarks (url TEXT); PRAGMA user_version = -3;", "version is -3"),
        ] {
            let home = Home::new();
            let path = home.path().join("ide.db");
            let file = rusqlite::Connection::open(&path).expect("SQLite opens it");
            file.execute_batch(made).expect("a foreign database");
            drop(file);
            let tables = "SELECT name || sql FROM sqlite_schema ORDER BY name";
            let before = texts(&path, tables);
            let error =
                Store::open(&store_options(&home, engine)).err().expect("refused").to_string();
            for part in [says, "move it away", &path.display().to_string()] {
                assert!(error.contains(part), "{engine:?}, {made}: {error}");
            }
            assert_eq!(texts(&path, tables), before, "{engine:?}, {made}");
            assert!(backups(&home).is_empty(), "{engine:?}, {made}");
        }
    }
}

#[test]
fn a_file_that_is_no_database_is_set_aside_as_it_is() {
    for engine in ENGINES {
        for bytes in [&b"x"[..], &[b'x'; 8192], b"SQLite format 3\0"] {
            let home = Home::new();
            let path = home.path().join("ide.db");
            std::fs::write(&path, bytes).expect("a file");
            runtime().block_on(async {
                let store = open_store(&home, engine);
                assert_eq!(store.read(status::counts).await.expect("counts").sessions, 0);
                store.close().await.expect("closed");
            });
            let [folder] = std::fs::read_dir(home.path().join("damaged"))
                .expect("a folder")
                .map(|entry| entry.expect("an entry").path())
                .collect::<Vec<_>>()
                .try_into()
                .expect("one recovery");
            assert_eq!(std::fs::read(folder.join("ide.db")).expect("a file"), bytes, "{engine:?}");
            assert!(folder.join("report.json").exists());
        }
    }
}

#[test]
fn a_migration_that_fails_is_undone() {
    for engine in ENGINES {
        let home = Home::new();
        let path = home.path().join("ide.db");
        let old = rusqlite::Connection::open(&path).expect("SQLite opens it");
        old.execute_batch(
            "CREATE TABLE settings (key TEXT, value TEXT);
             INSERT INTO settings VALUES ('theme', 'dark'), (NULL, 'no key');",
        )
        .expect("the old table");
        drop(old);
        let error = Store::open(&store_options(&home, engine)).err().expect("fails").to_string();
        assert!(error.contains("was undone"), "{error}");
        assert_eq!(
            texts(&path, "SELECT value FROM settings ORDER BY value"),
            ["dark", "no key"],
            "{engine:?}"
        );
        assert_eq!(
            texts(&path, "SELECT CAST(user_version AS TEXT) FROM pragma_user_version"),
            ["0"]
        );
        assert_eq!(
            texts(&path, "SELECT name FROM sqlite_schema WHERE type = 'table'"),
            ["settings"]
        );
    }
}

#[test]
fn a_fresh_file_needs_no_backup() {
    let home = Home::new();
    runtime()
        .block_on(async { open_store(&home, EngineKind::Turso).close().await.expect("closed") });
    assert!(backups(&home).is_empty());
}
