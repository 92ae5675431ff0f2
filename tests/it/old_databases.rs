//! A database of every version there was: opened, backed up, migrated with all rows, and served.

use std::path::{Path, PathBuf};

use aetherd::config::EngineKind;
use aetherd::store::migrations::CURRENT_VERSION;
use serde_json::json;

use crate::support::old_answers::expect_answers;
use crate::support::old_schemas::{
    Contents, VERSIONS, differences, fixture, make, texts, with_copy,
};
use crate::support::{ENGINES, Home, open_store, runtime};

/// A fixture that was once made is frozen, as the scripts are: these are their XXH3 hashes.
const FROZEN: [(i64, u64); 7] = [
    (1, 12_866_835_949_892_746_291),
    (2, 735_565_415_610_551_246),
    (3, 13_199_086_187_933_041_453),
    (4, 17_526_114_537_544_879_275),
    (5, 9_354_753_681_107_544_678),
    (6, 16_670_939_896_889_964_615),
    (7, 6_485_284_846_352_440_568),
];

/// Columns that no build of any version leaves without a value, though the tables would let it.
const ALWAYS_FILLED: [(&str, &str); 1] = [("projects", "path_without_case")];

/// Where the header has the write version, the read version and the bytes that each page reserves.
const FORMAT: std::ops::Range<usize> = 18..21;
const PAGE_SIZE: std::ops::Range<usize> = 16..18;
const USER_VERSION: std::ops::Range<usize> = 60..64;

/// Their tables are those of the frozen scripts, in the form that Turso's files have: pages of 4,096
/// bytes without room for checksums, a log that was folded into the file.
///
/// The builds of the time made the same but for this: SQLite made these files, which says so in the
/// header, and keeps the text of a script's statements where Turso writes them anew. Before they were
/// frozen, and before there was any release, builds made tables of versions 1 and 4 with other columns
/// or another key. Such a file is none of those here.
///
/// `UPDATE_SCHEMA_FIXTURES=1` makes the file of a version that has none. One that is there stays.
#[test]
fn the_fixtures_are_frozen_and_are_what_the_scripts_make() {
    let mut hashes = Vec::new();
    for version in VERSIONS {
        let path = fixture(version);
        if std::env::var_os("UPDATE_SCHEMA_FIXTURES").is_some() && !path.exists() {
            make(version, &path);
        }
        let bytes = std::fs::read(&path).expect("the fixture");
        hashes.push((version, twox_hash::XxHash3_64::oneshot(&bytes)));
        assert_eq!(bytes[PAGE_SIZE], 4096_u16.to_be_bytes());
        assert_eq!(bytes[FORMAT], [2, 2, 0], "it has a log, and no page has a checksum");
        let stored = i32::try_from(version).expect("a small number").to_be_bytes();
        assert_eq!(bytes[USER_VERSION], stored);

        let home = Home::new();
        let made = home.path().join("made.db");
        make(version, &made);
        let of = |path: &Path| with_copy(path, |file| texts(file, SCHEMA));
        assert_eq!(of(&path), of(&made), "version {version}");
        let (kept, made) = (Contents::of(&path), Contents::of(&made));
        assert_eq!(kept.tables, made.tables, "version {version}");
    }
    assert_eq!(hashes, FROZEN);
    assert_eq!(*VERSIONS.end() + 1, CURRENT_VERSION, "the version before gets a fixture too");
}

const SCHEMA: &str = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";

/// Else a column could lose its values, or have some where it had none, and no test would tell.
#[test]
fn the_fixtures_have_each_column_filled_and_not() {
    for version in VERSIONS {
        let tables = Contents::of(&fixture(version)).tables;
        with_copy(&fixture(version), |file| {
            for (name, table) in &tables {
                let nullable = texts(
                    file,
                    &format!(
                        "SELECT name FROM pragma_table_info('{name}') WHERE NOT \"notnull\" AND pk = 0"
                    ),
                );
                let row = table.rows.values().next().unwrap_or_else(|| panic!("{name} is empty"));
                for column in row.keys() {
                    let has =
                        |null: bool| table.rows.values().any(|row| (row[column] == "NULL") == null);
                    assert!(has(false), "version {version}: {name}.{column} is filled nowhere");
                    let may_be_null = nullable.contains(column)
                        && !ALWAYS_FILLED.contains(&(name.as_str(), column.as_str()));
                    assert_eq!(has(true), may_be_null, "version {version}: {name}.{column}");
                }
            }
        });
    }
}

#[test]
fn every_old_database_is_migrated_with_all_rows() {
    for engine in ENGINES {
        for version in VERSIONS {
            let home = home_of(version);
            runtime().block_on(async { open_store(&home, engine).close().await.expect("closed") });
            expect_migrated(&home, version, engine);
            // A second start migrates nothing.
            runtime().block_on(async { open_store(&home, engine).close().await.expect("closed") });
            expect_migrated(&home, version, engine);
        }
    }
}

#[test]
fn every_old_database_is_served() {
    for engine in ENGINES {
        for version in VERSIONS {
            let home = home_of(version);
            let name = if engine == EngineKind::Turso { "turso" } else { "sqlite" };
            // The changes are older than the feed keeps any unless told otherwise.
            let mut daemon = home.start_with(&["--engine", name, "--feed-max-days", "36500"]);
            let mut client = daemon.client();
            expect_answers(&mut client, version, &[]);
            client.call("system.shutdown", json!({}));
            assert!(daemon.wait().success(), "{}", home.log());
            assert!(!home.log().contains("checkpoint failed"), "{}", home.log());
            expect_migrated(&home, version, engine);
        }
    }
}

fn home_of(version: i64) -> Home {
    let home = Home::new();
    std::fs::copy(fixture(version), home.path().join("ide.db")).expect("a copy");
    home
}

/// What the steps compute of what was there, as queries for rows where it is not that.
const COMPUTED: [&str; 5] = [
    "SELECT id FROM agent_sessions WHERE shelf <> 3 AND shelf <>
        CASE WHEN deleted_at IS NOT NULL THEN 2 WHEN archived_at IS NOT NULL THEN 1 ELSE 0 END",
    "SELECT id FROM agent_sessions s WHERE edit_count <>
        (SELECT COUNT(*) FROM agent_edits e WHERE e.session_id = s.id)",
    "SELECT id FROM projects WHERE path_without_case IS NOT LOWER(path_key)",
    "SELECT e.id FROM agent_edits e JOIN agent_sessions s ON s.id = e.session_id
        WHERE e.project_id IS NOT s.project_id OR e.path_key <> e.file_path",
    "SELECT id FROM agent_sessions WHERE pinned_at IS NOT NULL",
];

/// Expects a home's database to be of the current version with all that the fixture has, and one backup
/// that is the fixture itself.
fn expect_migrated(home: &Home, version: i64, engine: EngineKind) {
    let (database, old) = (home.path().join("ide.db"), Contents::of(&fixture(version)));
    let new = Contents::of(&database);
    assert_eq!(new.version, CURRENT_VERSION);
    let differences = differences(&old, &new);
    assert!(differences.is_empty(), "{engine:?}, version {version}: {differences:#?}");
    with_copy(&database, |file| {
        for query in COMPUTED {
            assert!(texts(file, query).is_empty(), "{engine:?}, version {version}: {query}");
        }
    });
    let before = format!("-before-v{CURRENT_VERSION}.db");
    let backups = backups(home);
    let [backup] =
        backups.iter().filter(|path| path.to_string_lossy().ends_with(&before)).collect::<Vec<_>>()
            [..]
    else {
        panic!("{engine:?}, version {version}: {backups:?}")
    };
    let kept = Contents::of(backup);
    assert_eq!((kept.version, kept.tables, kept.edits), (old.version, old.tables, old.edits));
}

fn backups(home: &Home) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(home.path().join("backups")).expect("a folder");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}
