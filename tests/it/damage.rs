//! Injuries to a database and its log: the daemon starts, and every row is served or named as lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::support::{Daemon, Home, LineClient, reconnect, request};

const PAGE: usize = 4096;
/// Bytes in front of each page of a log, and of the log's own header.
const FRAME: usize = 24 + PAGE;
const LOG_HEADER: usize = 32;

/// The rows of a table: what each has, by its key.
type Rows = BTreeMap<String, BTreeMap<String, String>>;
/// The rows of every table.
type Dump = BTreeMap<String, Rows>;

/// Tables that tell of one file alone.
const OWN: [&str; 2] = ["changes", "meta"];
/// Columns that count or hide what is lost.
const COUNTING: [&str; 5] =
    ["next_index", "hidden_count", "hidden_ranges", "edit_count", "activity_at"];

/// A home whose daemon was killed with changes in its log, and what its tables hold.
struct Base {
    home: Home,
    all: Dump,
    /// What the backup in it holds.
    backed_up: Dump,
}

fn base() -> Base {
    let home = Home::new();
    let mut daemon = home.start_with(&["--no-search"]);
    let mut client = daemon.client();
    fill(&mut client, 0..12);
    client.call("system.shutdown", json!({}));
    assert!(daemon.wait().success(), "{}", home.log());
    let backups = home.path().join("backups");
    std::fs::create_dir_all(&backups).expect("a folder");
    std::fs::copy(home.path().join("ide.db"), backups.join("ide-1-daily.db")).expect("a backup");
    let backed_up = dump(&backups.join("ide-1-daily.db"));
    let mut daemon = home.start_with(&["--no-search"]);
    let mut client = daemon.client();
    fill(&mut client, 12..16);
    client.call("session.update", json!({"id": "s3", "title": "renamed"}));
    client.call("session.delete", json!({"id": "s4"}));
    daemon.kill();
    let all = dump(&home.path().join("ide.db"));
    Base { home, all, backed_up }
}

/// Writes something into every table, in many sizes.
fn fill(client: &mut LineClient, sessions: std::ops::Range<usize>) {
    for number in sessions {
        let path = format!("/home/me/p{number}");
        let project = client.call("project.open", json!({"path": path}))["project"]["id"].take();
        let session = format!("s{number}");
        client.call(
            "session.start",
            json!({"id": session, "kind": "chat", "project_id": project, "system_prompt": "be kind ".repeat(number * 40)}),
        );
        client.call("settings.set", json!({"key": format!("k{number}"), "value": {"n": number}}));
        client.call(
            "file.touch",
            json!({"project_id": project, "path": format!("/home/me/p{number}/src/a.rs")}),
        );
        let data = data_encoding::BASE64
            .encode(&vec![u8::try_from(number).expect("few"); 500 + 900 * number]);
        let hash =
            client.call("attachment.put", json!({"mime": "image/png", "data": data}))["hash"]
                .take();
        for index in 0..30 {
            let size = if index % 10 == 0 { 9_000 } else { 60 + 37 * index };
            let attachments = if index == 3 { json!([hash]) } else { json!([]) };
            client.call(
                "message.append",
                json!({
                    "id": format!("{session}-{index}"), "session_id": session, "role": "user",
                    "content": format!("{session} {index} {}", "word ".repeat(size / 5)),
                    "metadata": {"index": index}, "attachments": attachments,
                }),
            );
        }
        for edit in 0..6 {
            client.call(
                "edit.record",
                json!({
                    "id": format!("{session}-e{edit}"), "session_id": session,
                    "file_path": format!("/home/me/p{number}/src/a.rs"), "kind": "replace",
                    "diff": format!("--- a\n+++ b\n@@ -1 +1 @@\n-{edit}\n+{}\n", edit + 1),
                }),
            );
        }
    }
}

/// Reads all tables by SQLite, from a copy with its log.
fn dump(database: &Path) -> Dump {
    let copy = tempfile::tempdir().expect("a temporary folder");
    let file = copy.path().join("x.db");
    std::fs::copy(database, &file).expect("a copy");
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let _ = std::fs::copy(PathBuf::from(log), copy.path().join("x.db-wal"));
    let connection = rusqlite::Connection::open(&file).expect("SQLite opens it");
    let check: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
    assert_eq!(check, "ok");
    let orphans =
        connection.prepare("PRAGMA foreign_key_check").and_then(|mut check| check.exists([]));
    assert_eq!(orphans, Ok(false), "what rows refer to is there");
    let mut tables = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
        .expect("a query");
    let tables: Vec<String> = tables
        .query_map([], |row| row.get(0))
        .expect("rows")
        .collect::<Result<_, _>>()
        .expect("names");
    tables
        .into_iter()
        .filter(|table| !OWN.contains(&table.as_str()))
        .map(|table| {
            let rows = rows(&connection, &table);
            (table, rows)
        })
        .collect()
}

fn rows(connection: &rusqlite::Connection, table: &str) -> Rows {
    let mut keys = connection
        .prepare(&format!("SELECT name FROM pragma_table_info('{table}') WHERE pk > 0 ORDER BY pk"))
        .expect("a query");
    let keys: Vec<String> = keys
        .query_map([], |row| row.get(0))
        .expect("rows")
        .collect::<Result<_, _>>()
        .expect("names");
    let mut all = connection.prepare(&format!("SELECT * FROM {table}")).expect("a query");
    let names: Vec<String> = all.column_names().map(str::to_owned).collect();
    let mut rows = all.query([]).expect("rows");
    let mut found = Rows::new();
    while let Some(row) = rows.next().expect("a row") {
        let cells: BTreeMap<String, String> = names
            .iter()
            .enumerate()
            .map(|(at, name)| (name.clone(), format!("{:?}", row.get_ref(at).expect("a cell"))))
            .collect();
        let key = keys.iter().map(|key| cells[key].clone()).collect::<Vec<_>>().join(" ");
        found.insert(key, cells);
    }
    found
}

/// What is done to the files.
///
/// A page in the place of another is not among them: its checksum is right, since it does not hold
/// the page's number, and nothing else tells one page of a long text from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Injury {
    ZeroPage,
    FlipBits,
    GarbagePage,
    ZeroFirstPage,
    GarbageFirstPage,
    CutDatabase,
    EmptyDatabase,
    NoDatabase,
    NotADatabase,
    GarbageLogHeader,
    FlipInLog,
    ZeroInLog,
    CutLog,
    EmptyLog,
    NoLog,
    Several,
}

const INJURIES: [Injury; 16] = [
    Injury::ZeroPage,
    Injury::FlipBits,
    Injury::GarbagePage,
    Injury::ZeroFirstPage,
    Injury::GarbageFirstPage,
    Injury::CutDatabase,
    Injury::EmptyDatabase,
    Injury::NoDatabase,
    Injury::NotADatabase,
    Injury::GarbageLogHeader,
    Injury::FlipInLog,
    Injury::ZeroInLog,
    Injury::CutLog,
    Injury::EmptyLog,
    Injury::NoLog,
    Injury::Several,
];

impl Injury {
    fn inflict(self, home: &Path, random: &mut Rng) {
        let (database, log) = (home.join("ide.db"), home.join("ide.db-wal"));
        let change = |file: &Path, change: &mut dyn FnMut(&mut Vec<u8>)| {
            let mut bytes = std::fs::read(file).expect("the file");
            change(&mut bytes);
            std::fs::write(file, bytes).expect("the file is written");
        };
        let pages = std::fs::metadata(&database).expect("the file").len() as usize / PAGE;
        let frames = std::fs::metadata(&log)
            .map_or(0, |log| (log.len() as usize).saturating_sub(LOG_HEADER) / FRAME);
        let page = random.usize(1..pages) * PAGE;
        let frame = LOG_HEADER + random.usize(0..frames.max(1)) * FRAME;
        match self {
            Self::ZeroPage => change(&database, &mut |bytes| bytes[page..page + PAGE].fill(0)),
            Self::FlipBits => change(&database, &mut |bytes| {
                for _ in 0..random.usize(1..=8) {
                    bytes[page + random.usize(0..PAGE)] ^= 1 << random.u8(0..8);
                }
            }),
            Self::GarbagePage => {
                change(&database, &mut |bytes| random.fill(&mut bytes[page..page + PAGE]));
            }
            Self::ZeroFirstPage => change(&database, &mut |bytes| bytes[..PAGE].fill(0)),
            Self::GarbageFirstPage => {
                change(&database, &mut |bytes| random.fill(&mut bytes[..PAGE]));
            }
            Self::CutDatabase => {
                change(&database, &mut |bytes| bytes.truncate(random.usize(1..pages * PAGE)));
            }
            Self::EmptyDatabase => change(&database, &mut Vec::clear),
            Self::NoDatabase => std::fs::remove_file(&database).expect("it is deleted"),
            Self::NotADatabase => {
                std::fs::write(&database, "[settings]\ntheme = dark\n".repeat(400))
                    .expect("written");
            }
            Self::GarbageLogHeader => {
                change(&log, &mut |bytes| random.fill(&mut bytes[..LOG_HEADER]));
            }
            Self::FlipInLog => change(&log, &mut |bytes| {
                bytes[frame + random.usize(0..FRAME)] ^= 1 << random.u8(0..8);
            }),
            Self::ZeroInLog => change(&log, &mut |bytes| bytes[frame..frame + FRAME].fill(0)),
            Self::CutLog => {
                change(&log, &mut |bytes| bytes.truncate(random.usize(0..bytes.len())));
            }
            Self::EmptyLog => change(&log, &mut Vec::clear),
            Self::NoLog => std::fs::remove_file(&log).expect("it is deleted"),
            Self::Several => {
                for _ in 0..3 {
                    let kinds =
                        [Self::ZeroPage, Self::FlipBits, Self::GarbagePage, Self::FlipInLog];
                    kinds[random.usize(0..kinds.len())].inflict(home, random);
                }
            }
        }
    }

    /// True where the tables and their indexes cannot both be hit, so that all that is lost has a name.
    fn leaves_names(self) -> bool {
        matches!(self, Self::ZeroPage | Self::FlipBits | Self::GarbagePage)
    }
}

/// How the rows of a database that was injured were found again.
#[derive(Debug, Default)]
struct Tally {
    served: usize,
    named: usize,
    /// Without a name: among changes, or in a table, that the report says are lost.
    told: usize,
}

/// Injures a copy of the home, starts a daemon on it, and looks for every row.
fn injure(base: &Base, injury: Injury, seed: u64, with_backup: bool) -> Tally {
    let mut random = Rng::with_seed(seed);
    let home = Home::new();
    for name in ["ide.db", "ide.db-wal", "ide.db-mark"] {
        std::fs::copy(base.home.path().join(name), home.path().join(name)).expect("a copy");
    }
    if with_backup {
        let (from, to) = (base.home.path().join("backups"), home.path().join("backups"));
        std::fs::create_dir_all(&to).expect("a folder");
        std::fs::copy(from.join("ide-1-daily.db"), to.join("ide-1-daily.db")).expect("a copy");
    }
    injury.inflict(home.path(), &mut random);
    let what = format!("{injury:?}, seed {seed}, backup {with_backup}");
    let mut daemon = start_checked(&home);
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "after", "kind": "chat"}));
    for index in 0..3 {
        let message = json!({"session_id": "after", "role": "user", "content": index.to_string()});
        client.call("message.append", message);
    }
    daemon.kill();
    let mut daemon = start_checked(&home);
    let mut client = daemon.client();
    assert_eq!(client.call("session.get", json!({"id": "after"}))["message_count"], 3, "{what}");
    read_all(&mut client, &home, &what);
    client.call("system.shutdown", json!({}));
    assert!(daemon.wait().success(), "{what}: {}", home.log());
    let found = dump(&home.path().join("ide.db"));
    let report = report(&home).unwrap_or_default();
    if with_backup {
        assert_backup_is_served(base, &found, &what);
    }
    compare(base, &found, &report, &what)
}

/// Starts a daemon and waits until it has checked what it serves: where it finds damage, it begins anew
/// meanwhile.
fn start_checked(home: &Home) -> Daemon {
    const DEADLINE: Duration = Duration::from_secs(60);
    let checked = home.path().join("ide.db-checked");
    let _ = std::fs::remove_file(&checked);
    let started = Instant::now();
    let mut daemon = home.start_with(&["--no-search", "--check-after", "0"]);
    while !checked.exists() {
        assert!(daemon.is_running(), "{}", home.log());
        assert!(started.elapsed() < DEADLINE, "not checked: {}", home.log());
        std::thread::sleep(Duration::from_millis(2));
    }
    daemon.wait_until_it_answers(home);
    daemon
}

/// Reads every session's messages as a client does.
fn read_all(client: &mut LineClient, home: &Home, what: &str) {
    let sessions = client.call("session.list", json!({"limit": 1000}))["sessions"].take();
    for session in sessions.as_array().expect("sessions") {
        let page = client.reply(
            "history.page",
            json!({"session_id": session["id"], "limit": 1000, "order": "oldest"}),
        )["result"]
            .take();
        assert!(!page.is_null(), "{what}: {session} cannot be read: {}", home.log());
        assert_eq!(
            page["messages"].as_array().map(Vec::len),
            session["message_count"].as_u64().map(|count| count as usize),
            "{session}"
        );
    }
}

/// The one report, where there was a recovery.
fn report(home: &Home) -> Option<Value> {
    let folders: Vec<_> = std::fs::read_dir(home.path().join("damaged"))
        .ok()?
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert_eq!(folders.len(), 1, "one recovery, and no other behind it: {}", home.log());
    let text = std::fs::read_to_string(folders[0].join("report.json")).expect("a report");
    Some(serde_json::from_str(&text).expect("JSON"))
}

fn without_counts(row: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    row.iter()
        .filter(|(column, _)| !COUNTING.contains(&column.as_str()))
        .map(|(column, cell)| (column.as_str(), cell.as_str()))
        .collect()
}

fn assert_backup_is_served(base: &Base, found: &Dump, what: &str) {
    for (table, rows) in &base.backed_up {
        for (key, row) in rows {
            let served = found[table].get(key).unwrap_or_else(|| panic!("{what}: {table} {key}"));
            let now = base.all[table].get(key);
            let is_one = without_counts(served) == without_counts(row)
                || now.is_some_and(|now| without_counts(served) == without_counts(now));
            // The report names it.
            if !is_one && table != "agent_sessions" {
                assert_eq!(served, row, "{what}: {table} {key}");
            }
        }
    }
}

fn compare(base: &Base, found: &Dump, report: &Value, what: &str) -> Tally {
    let mut tally = Tally::default();
    for (table, rows) in &base.all {
        let told = &report["tables"][table];
        let names: Vec<&Value> = ["lost", "suspect"]
            .iter()
            .filter_map(|list| told[*list].as_array())
            .flatten()
            .collect();
        for (key, row) in rows {
            let served = found.get(table).and_then(|rows| rows.get(key));
            if served.is_some_and(|served| without_counts(served) == without_counts(row)) {
                tally.served += 1;
            } else if names.iter().any(|name| is_name_of(name, row)) {
                tally.named += 1;
            } else if !report["lost_changes"].is_null() || told["may_lack_more"] == true {
                tally.told += 1;
            } else {
                panic!(
                    "{what}: silently lost or altered: {table} {key}: {served:?}\nof {row:?}\n{report:#}"
                );
            }
        }
        // Nothing is there that never was.
        let known: BTreeSet<&String> = rows.keys().collect();
        for key in found[table].keys().filter(|key| !known.contains(*key)) {
            let is_new = key.contains("after")
                || found[table][key].values().any(|cell| cell.contains(&text_of("after")));
            assert!(is_new, "{what}: {table} {key} was never there");
        }
    }
    tally
}

/// What a text cell of a dump looks like.
fn text_of(text: &str) -> String {
    format!("{:?}", rusqlite::types::ValueRef::Text(text.as_bytes()))
}

fn is_name_of(name: &Value, row: &BTreeMap<String, String>) -> bool {
    let columns = name.as_object().expect("a name");
    !columns.is_empty()
        && columns.iter().all(|(column, value)| {
            let shown = match value {
                Value::String(text) => text_of(text),
                Value::Number(number) => {
                    let number = number.as_i64().expect("an integer");
                    format!("{:?}", rusqlite::types::ValueRef::Integer(number))
                }
                _ => "Null".to_owned(),
            };
            row.get(column) == Some(&shown)
        })
}

fn injure_many(seeds: std::ops::Range<u64>, with_backup: bool) {
    let base = base();
    let mut sum = Tally::default();
    for seed in seeds {
        let injury = INJURIES[seed as usize % INJURIES.len()];
        let tally = injure(&base, injury, seed, with_backup);
        if injury.leaves_names() {
            assert_eq!(tally.told, 0, "{injury:?}, seed {seed}: {tally:?}");
        }
        sum.served += tally.served;
        sum.named += tally.named;
        sum.told += tally.told;
    }
    // Most is served, and what has no name is told of.
    assert!(sum.served > 2 * (sum.named + sum.told), "{sum:?}");
}

/// Returns the seeds, or the one of `AETHERD_TEST_SEED`, to look at an injury alone.
fn seeds(all: std::ops::Range<u64>) -> std::ops::Range<u64> {
    let one = std::env::var("AETHERD_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    one.map_or(all, |seed: u64| seed..seed + 1)
}

#[test]
fn every_row_is_served_or_named_as_lost() {
    injure_many(seeds(0..102), false);
}

#[test]
fn every_row_of_the_backup_is_served() {
    injure_many(seeds(1_000..1_102), true);
}

/// Where damage is met under a running daemon, it recovers in the same process, and tells of it.
#[test]
fn damage_that_a_read_meets_is_recovered_and_told_of() {
    let home = Home::new();
    let mut daemon = home.start_with(&["--no-search"]);
    let mut client = daemon.client();
    fill(&mut client, 0..4);
    client.call("system.shutdown", json!({}));
    assert!(daemon.wait().success(), "{}", home.log());
    let mut daemon = start_checked(&home);
    let mut client = daemon.client();
    assert_eq!(client.call("system.status", json!({}))["recovery"], Value::Null);
    let instance = client.call("system.ping", json!({}))["instance_id"].take();
    let cursor = client.call("events.since", json!({}))["cursor"].take();
    // All but the first pages, of which the daemon has read most: no read can do without them.
    let database = home.path().join("ide.db");
    let mut bytes = std::fs::read(&database).expect("the file");
    let from = bytes.len() / PAGE / 2 * PAGE;
    bytes[from..].fill(0);
    {
        use std::os::unix::fs::FileExt as _;
        let file = std::fs::File::options().write(true).open(&database).expect("the file");
        file.write_all_at(&bytes[from..], from as u64).expect("it is damaged");
    }
    // The next doubt is followed at once.
    std::fs::remove_file(home.path().join("ide.db-checked")).expect("the note of the last check");
    let page_of = |session: &str| {
        let page = json!({"session_id": session, "limit": 1000, "order": "oldest"});
        request(1, "history.page", &page)
    };
    const SESSIONS: [&str; 4] = ["s0", "s1", "s2", "s3"];
    // The daemon may begin anew before all of them are answered.
    let is_met = SESSIONS.iter().any(|session| {
        client.try_send(&page_of(session)).is_err()
            || client.try_receive().is_none_or(|reply| reply.get("error").is_some())
    });
    assert!(is_met, "the damage is not met");
    let mut client = reconnect(&home.socket(), &instance);
    assert!(daemon.is_running(), "the process goes on");
    for session in SESSIONS {
        client.send(&page_of(session));
        let reply = client.receive();
        assert!(reply.get("result").is_some(), "what is left of {session} can be read: {reply}");
    }

    let status = client.call("system.status", json!({}));
    let recovery = &status["recovery"];
    assert!(recovery["lost"].as_u64().expect("a count") > 0, "{recovery}");
    assert_eq!(recovery["is_whole"], false);
    assert_eq!(status["warnings"][0]["kind"], "recovered_with_losses");
    let folder = PathBuf::from(recovery["folder"].as_str().expect("a folder"));
    assert!(folder.join("ide.db").exists() && folder.join("report.json").exists());
    // Who followed is told that it is another feed, whose first event tells why.
    let error = client.fail("events.since", json!({"cursor": cursor}));
    let oldest = &error["data"]["oldest"];
    let events = client.call("events.since", json!({"cursor": oldest}))["events"].take();
    assert_eq!(events[0]["topic"], "database.recovered", "{events}");
    assert_eq!(events[0]["entity_id"].as_str(), folder.file_name().and_then(|name| name.to_str()));
    assert!(home.log().contains("damaged"), "{}", home.log());
}
