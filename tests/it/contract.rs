//! The contract: the OpenRPC document and its golden copy, and the examples executed.

use std::collections::{BTreeMap, BTreeSet};

use aetherd::api::openrpc;
use aetherd::model::limits::{
    MAX_ATTACHMENT_BYTES, MAX_CONTENT_BYTES, MAX_NAME_BYTES, MAX_PAGE_BYTES, MAX_PAGE_ITEMS,
    MAX_PATH_BYTES, MAX_QUERY_BYTES, MAX_SUMMARY_BYTES,
};
use aetherd::server::methods::Methods;
use serde_json::{Map, Value, json};

use crate::support::{Home, error_kind, post, reconnect, request};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/proto/openrpc.json");

fn golden_text() -> String {
    let mut text = serde_json::to_string_pretty(&openrpc::document()).expect("JSON");
    text.push('\n');
    text
}

/// `UPDATE_GOLDEN=1 cargo test golden` writes it anew; the diff then shows what changed.
#[test]
fn the_golden_copy_is_what_the_types_say() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, golden_text()).expect("the golden copy is written");
    }
    let golden = std::fs::read_to_string(GOLDEN).expect("proto/openrpc.json exists");
    assert!(
        golden == golden_text(),
        "proto/openrpc.json differs from the methods' types; \
         write it anew with `UPDATE_GOLDEN=1 cargo test golden` and review the diff"
    );
}

#[test]
fn the_document_lists_just_the_methods_that_are_served() {
    let document = openrpc::document();
    let methods = document["methods"].as_array().expect("methods");
    let mut documented: Vec<&str> =
        methods.iter().filter_map(|method| method["name"].as_str()).collect();
    let served = Methods::standard();
    let mut served: Vec<&str> = served.names().collect();
    documented.sort_unstable();
    served.sort_unstable();
    assert_eq!(documented, served);
    for method in methods {
        assert!(method["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{method}");
        assert!(method["errors"].as_array().is_some_and(|errors| !errors.is_empty()), "{method}");
    }
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    let document = openrpc::document();
    let mut pending = vec![&document];
    let mut references = 0;
    while let Some(value) = pending.pop() {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(target)) = members.get("$ref") {
                    references += 1;
                    let pointer =
                        target.strip_prefix('#').expect("a reference within the document");
                    assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
                }
                pending.extend(members.values());
            }
            Value::Array(items) => pending.extend(items),
            _ => {}
        }
    }
    assert!(references > 100, "found only {references}");
}

/// The examples of all methods, in their order, are one story on one fresh home.
#[test]
fn every_example_does_what_it_shows() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    let document = openrpc::document();
    for method in document["methods"].as_array().expect("methods") {
        let name = method["name"].as_str().expect("a name");
        let example = &method["examples"][0];
        let params: Map<String, Value> = example["params"]
            .as_array()
            .expect("params")
            .iter()
            .map(|param| {
                (param["name"].as_str().expect("a name").to_owned(), param["value"].clone())
            })
            .collect();
        let instance = client.call("system.ping", json!({}))["instance_id"].take();
        let result = client.call(name, in_home(Value::Object(params), &home));
        let expected = &example["result"]["value"];
        if name == "system.restore" {
            client = reconnect(&home.socket(), &instance);
        }
        if ["system.backup", "system.restore"].contains(&name) {
            let members = |value: &Value| -> Vec<String> {
                value.as_object().expect("an object").keys().cloned().collect()
            };
            assert_eq!(members(&result), members(expected), "{name}");
            continue;
        }
        if name == "rpc.discover" {
            assert_eq!(result, document);
            assert_eq!(result["openrpc"], expected["openrpc"]);
            continue;
        }
        let expected = in_home(expected.clone(), &home);
        if name == "system.digest" {
            let tables = result["tables"].as_array().expect("tables");
            let edits = tables.iter().find(|table| table["name"] == "agent_edits");
            let edits = steady(json!([edits]), "");
            assert_eq!(edits, steady(expected["tables"].clone(), ""), "{name}");
            continue;
        }
        assert_eq!(steady(result, ""), steady(expected, ""), "{name}");
    }
}

/// Puts the home of the test in the place of that of the examples.
fn in_home(value: Value, home: &Home) -> Value {
    let shown = "/home/me/.rainy-aether/";
    let real = format!("{}/", home.path().display());
    serde_json::from_str(&value.to_string().replace(shown, &real)).expect("JSON")
}

/// Replaces what differs from run to run by its type.
fn steady(value: Value, name: &str) -> Value {
    const VARYING: [&str; 28] = [
        "bytes",
        "digest",
        "state",
        "indexed_seq",
        "lag",
        "documents",
        "done",
        "total",
        "cursor",
        "instance_id",
        "version",
        "pid",
        "home",
        "database",
        "socket",
        "connections",
        "writes",
        "groups",
        "database_bytes",
        "disk_free_bytes",
        "wal_bytes",
        "schema_version",
        "used_bytes",
        "free_bytes",
        "bytes_before",
        "bytes_after",
        "duration_ms",
        "waited_ms",
    ];
    match value {
        Value::Object(members) => Value::Object(
            members.into_iter().map(|(name, value)| (name.clone(), steady(value, &name))).collect(),
        ),
        Value::Array(items) => {
            Value::Array(items.into_iter().map(|item| steady(item, "")).collect())
        }
        Value::Number(_) if name.ends_with("_at") || VARYING.contains(&name) => "a number".into(),
        Value::Bool(_) if name == "page_checksums" => "a truth".into(),
        Value::String(_) if VARYING.contains(&name) => "a text".into(),
        other => other,
    }
}

/// What the document says of a call's errors, and of the range of its numbers, is what happens.
#[test]
fn the_document_lists_just_the_errors_that_calls_give() {
    const OF_MANY: [&str; 6] =
        ["invalid_params", "internal", "shutting_down", "overloaded", "storage", "disk_full"];
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("project.open", json!({"id": "p", "path": "/p"}));
    client.call("project.open", json!({"id": "other", "path": "/other"}));
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    let message = json!({"id": "m", "session_id": "s", "role": "user", "content": ""});
    client.call("message.append", message);
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    let diff = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-0\n+1\n";
    let edit = |id: &str, session_id: &str, diff: &str| json!({"id": id, "session_id": session_id, "file_path": "/x", "kind": "replace", "diff": diff});
    client.call("edit.record", edit("e", "s", diff));
    for from in ["/moved", "/other"] {
        let rename = json!({"session_id": "s", "file_path": from, "kind": "rename", "diff": "", "new_path": "/onto"});
        client.call("edit.record", rename);
    }
    let revert = |file_path: &str, content: &str| json!({"file_path": file_path, "content": content, "since": 0});
    let elsewhere = format!("{}.1.1", "0".repeat(32));
    let long_path = "x".repeat(MAX_PATH_BYTES + 1);
    let mut given: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (method, params) in [
        ("project.open", json!({"path": format!("/{long}"), "name": long})),
        ("project.open", json!({"path": "/p", "id": "new"})),
        ("project.get", json!({"id": "none"})),
        ("project.update", json!({"id": "none"})),
        ("project.update", json!({"id": "p", "name": long})),
        ("project.relocate", json!({"id": "none", "path": "/q"})),
        ("project.relocate", json!({"id": "p", "path": "/other"})),
        ("project.relocate", json!({"id": "p", "path": format!("/{long_path}")})),
        ("project.remove", json!({"id": "none"})),
        ("file.touch", json!({"project_id": "none", "path": "x"})),
        ("file.touch", json!({"project_id": "p", "path": long_path})),
        ("file.get", json!({"project_id": "p", "path": "none"})),
        ("file.get", json!({"project_id": "p", "path": long_path})),
        ("file.list", json!({"project_id": "none"})),
        ("file.list", json!({"project_id": "p", "prefix": long_path})),
        ("file.remove", json!({"project_id": "none", "path": "x"})),
        ("file.remove", json!({"project_id": "p", "path": long_path})),
        ("settings.set", json!({"key": "k", "value": 1, "project_id": "none"})),
        ("settings.set", json!({"key": long, "value": 1})),
        ("settings.set_many", json!({"entries": [{"key": "k", "value": 1}], "project_id": "none"})),
        ("settings.set_many", json!({"entries": [{"key": long, "value": 1}]})),
        ("settings.get", json!({"key": "k", "project_id": "none"})),
        ("settings.get", json!({"key": long})),
        ("settings.list", json!({"project_id": "none"})),
        ("settings.list", json!({"prefix": long})),
        ("settings.delete", json!({"key": "k", "project_id": "none"})),
        ("settings.delete", json!({"key": long})),
        ("session.start", json!({"kind": "chat", "project_id": "none"})),
        ("session.start", json!({"id": "s", "kind": "other"})),
        ("session.start", json!({"kind": long})),
        ("session.update", json!({"id": "none"})),
        ("session.update", json!({"id": "s", "model": long})),
        ("session.get", json!({"id": "none"})),
        ("session.list", json!({"kind": long})),
        ("session.clear", json!({"id": "none"})),
        ("session.clear", json!({"id": "s", "expected_next_index": 7})),
        ("session.fork", json!({"session_id": "none"})),
        ("session.fork", json!({"session_id": "s", "id": "s"})),
        ("session.fork", json!({"session_id": "s", "model": long})),
        ("session.ancestors", json!({"id": "none"})),
        ("session.compact", json!({"session_id": "none", "keep_last": 0, "summary": "s"})),
        (
            "session.compact",
            json!({"session_id": "s", "keep_last": 0, "summary": "s", "expected_next_index": 7}),
        ),
        (
            "session.compact",
            json!({"session_id": "s", "keep_last": 0, "summary": "x".repeat(MAX_SUMMARY_BYTES + 1)}),
        ),
        ("session.delete", json!({"id": "none"})),
        (
            "attachment.put",
            json!({"mime": "a/b", "data": "A".repeat(4 * (MAX_ATTACHMENT_BYTES / 3 + 1))}),
        ),
        ("attachment.get", json!({"hash": "0".repeat(64)})),
        ("session.restore", json!({"id": "none"})),
        ("message.append", json!({"session_id": "none", "role": "user", "content": ""})),
        ("message.append", json!({"id": "m", "session_id": "s", "role": "user", "content": "x"})),
        (
            "message.append",
            json!({"session_id": "s", "role": "user", "content": "", "expected_index": 7}),
        ),
        (
            "message.append",
            json!({"session_id": "s", "role": "user", "content": "x".repeat(MAX_CONTENT_BYTES + 1)}),
        ),
        (
            "message.append_many",
            json!({"session_id": "none", "messages": [{"role": "user", "content": ""}]}),
        ),
        (
            "message.append_many",
            json!({"session_id": "s", "messages": [{"id": "m", "role": "user", "content": "x"}]}),
        ),
        (
            "message.append_many",
            json!({"session_id": "s", "messages": [{"role": "user", "content": ""}], "expected_index": 7}),
        ),
        (
            "message.append_many",
            json!({"session_id": "s", "messages": [{"role": "user", "content": "x".repeat(MAX_CONTENT_BYTES + 1)}]}),
        ),
        ("message.update", json!({"id": "none"})),
        ("message.update", json!({"id": "m", "content": "x".repeat(MAX_CONTENT_BYTES + 1)})),
        ("message.get", json!({"id": "none"})),
        ("history.recent", json!({"session_id": "none"})),
        ("history.page", json!({"session_id": "none"})),
        ("history.search", json!({"query": "q", "session_id": "none"})),
        ("history.search", json!({"query": "q".repeat(MAX_QUERY_BYTES + 1)})),
        ("edit.record", edit("new", "none", diff)),
        ("edit.record", edit("e", "s", &diff.replace('1', "2").replace("-2 +2", "-1 +1"))),
        ("edit.record", edit("new", "s", &"x".repeat(MAX_CONTENT_BYTES + 1))),
        ("edit.list", json!({"session_id": "none"})),
        ("edit.list", json!({"file_path": long_path})),
        ("edit.replay", json!({"file_path": "/x", "project_id": "none"})),
        ("edit.replay", json!({"file_path": "/x", "base": "7\n"})),
        ("edit.replay", json!({"file_path": "/x", "base": "x".repeat(MAX_CONTENT_BYTES + 1)})),
        ("edit.revert", json!({"file_path": "/x", "content": null, "edit_ids": ["none"]})),
        ("edit.revert", revert("/moved", "another file was renamed over it")),
        ("edit.revert", revert("/x", &"x".repeat(MAX_CONTENT_BYTES + 1))),
        ("system.backup", json!({"path": format!("/{long_path}")})),
        ("system.restore", json!({"path": format!("/{long_path}")})),
        ("system.restore", json!({"path": "/nowhere/ide.db"})),
        ("system.export", json!({"path": home.path().join("x"), "session_ids": ["none"]})),
        ("system.import", json!({"path": "/none/x.jsonl"})),
        ("events.since", json!({"cursor": elsewhere})),
        ("events.subscribe", json!({"since": elsewhere})),
    ] {
        let error = client.fail(method, params);
        let kind = error_kind(&error);
        assert!(!OF_MANY.contains(&kind), "{method}: {error}");
        given.entry(method.to_owned()).or_default().insert(kind.to_owned());
    }
    for (method, params) in
        [("events.subscribe", json!({})), ("events.unsubscribe", json!({"subscription": "1"}))]
    {
        let answer = post(&home.socket(), &request(1, method, &params));
        let kind = error_kind(&answer["error"]).to_owned();
        given.entry(method.to_owned()).or_default().insert(kind);
    }
    let other = Home::new();
    let without_search = other.start_with(&["--no-search"]);
    let error = without_search.client().fail("history.search", json!({"query": "q"}));
    given.entry("history.search".to_owned()).or_default().insert(error_kind(&error).to_owned());
    let document = openrpc::document();
    for method in document["methods"].as_array().expect("methods") {
        let name = method["name"].as_str().expect("a name");
        let listed: BTreeSet<String> = method["errors"]
            .as_array()
            .expect("errors")
            .iter()
            .filter_map(|error| error["$ref"].as_str()?.rsplit('/').next())
            .filter(|kind| !OF_MANY.contains(kind))
            .map(str::to_owned)
            .collect();
        assert_eq!(listed, given.remove(name).unwrap_or_default(), "{name}");
        for param in method["params"].as_array().expect("params") {
            let (minimum, maximum) = match param["name"].as_str() {
                Some("limit") => (json!(1), json!(MAX_PAGE_ITEMS)),
                Some("max_bytes") => (json!(0), json!(MAX_PAGE_BYTES)),
                _ => continue,
            };
            let schema = &param["schema"];
            assert_eq!((&schema["minimum"], &schema["maximum"]), (&minimum, &maximum), "{name}");
        }
    }
}
