//! Looks for every row of a database that was injured.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::base::Base;
use super::rows::{Dump, dump, without_counts};
use super::start_checked;
use crate::support::{Home, LineClient};

/// How the rows of a database that was injured were found again.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) served: usize,
    pub(super) named: usize,
    /// Without a name: among changes, or in a table, that the report says are lost.
    pub(super) told: usize,
}

/// Starts a daemon, kills it, starts another, and compares all that there is then.
pub(super) fn look_for_every_row(base: &Base, home: &Home, with_backup: bool, what: &str) -> Tally {
    let mut daemon = start_checked(home);
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "after", "kind": "chat"}));
    for index in 0..3 {
        let message = json!({"session_id": "after", "role": "user", "content": index.to_string()});
        client.call("message.append", message);
    }
    daemon.kill();
    let mut daemon = start_checked(home);
    let mut client = daemon.client();
    assert_eq!(client.call("session.get", json!({"id": "after"}))["message_count"], 3, "{what}");
    read_all(&mut client, home, what);
    client.call("system.shutdown", json!({}));
    assert!(daemon.wait().success(), "{what}: {}", home.log());
    let found = dump(&home.path().join("ide.db"));
    let report = report(home).unwrap_or_default();
    if with_backup {
        assert_backup_is_served(base, &found, what);
    }
    compare(base, &found, &report, what)
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
pub(super) fn report(home: &Home) -> Option<Value> {
    let folders: Vec<_> = std::fs::read_dir(home.path().join("damaged"))
        .ok()?
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert_eq!(folders.len(), 1, "one recovery, and no other behind it: {}", home.log());
    let text = std::fs::read_to_string(folders[0].join("report.json")).expect("a report");
    Some(serde_json::from_str(&text).expect("JSON"))
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
