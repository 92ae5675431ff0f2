//! What a daemon answers whose database was one of `tests/fixtures/schema`.

use serde_json::{Value, json};

use super::LineClient;

const PNG: &str = "4c4b6a3be1314ab86138bef4314dde022e600960d8689a2c8f8631802d20dab6";
const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// Asks for what the fixture of a version holds. `others` are sessions that are listed behind its own.
pub(crate) fn expect_answers(client: &mut LineClient, version: i64, others: &[&str]) {
    let has_forks = version >= 5;
    let sessions: &[&str] = if has_forks {
        &["compacted", "fork", "live", "cleared", "child"]
    } else {
        &["live", "cleared", "child"]
    };
    assert_eq!(listed(client, json!({})), [sessions, others].concat());
    assert_eq!(listed(client, json!({"deleted": true})), ["trashed"]);
    let archived: &[&str] = if has_forks { &["archived"] } else { &[] };
    assert_eq!(listed(client, json!({"archived": true})), archived);
    let children: &[&str] = if has_forks { &["fork", "child"] } else { &["child"] };
    assert_eq!(listed(client, json!({"parent_id": "live"})), children);
    expect_histories(client, has_forks);
    expect_edits(client, version);
    expect_settings(client);
    if version >= 4 {
        expect_attachments(client);
    }
    let project = &client.call("project.list", json!({}))["projects"];
    assert_eq!(project[0]["name"], "Rainy Æther 🌧");
    assert_eq!(project[1], Value::Null, "the other one is off the list");
    if version >= 7 {
        assert_eq!(project[0]["former_paths"], json!(["/home/me/umbrella"]));
        let file = json!({"project_id": "rainy", "path": "/home/me/Rainy/src/lib.rs"});
        assert_eq!(client.call("file.get", file)["state"], json!({"cursor": [1, 2]}));
    }
    assert_eq!(client.call("system.check", json!({})), json!({"ok": true, "problems": []}));
}

fn listed(client: &mut LineClient, params: Value) -> Vec<String> {
    ids(&client.call("session.list", params)["sessions"])
}

fn ids(records: &Value) -> Vec<String> {
    let records = records.as_array().expect("a list");
    records.iter().map(|record| record["id"].as_str().expect("an id").to_owned()).collect()
}

fn expect_histories(client: &mut LineClient, has_forks: bool) {
    let live = [
        ("m0", "Be brief."),
        ("m1", "What is 2 + 2?"),
        ("m2", "Four — ¡cuatro! 四\n🌧"),
        ("m3", "4"),
    ];
    let page = expect_history(client, "live", &live);
    assert_eq!(page["messages"][1]["code_excerpt"], "let sum = 2 + 2;");
    let metadata = json!({"toolCalls": [{"id": "t1", "status": "success"}]});
    assert_eq!(page["messages"][2]["metadata"], metadata);
    assert_eq!(page["messages"][2]["updated_at"], 1_763_000_003_500_i64);
    expect_history(client, "cleared", &[("c0", "zero"), ("c4", "four"), ("c5", "")]);
    expect_history(client, "child", &[]);
    if !has_forks {
        return;
    }
    let copies = [("f0", "Be brief."), ("f1", "What is 2 + 2?")];
    let fork = expect_history(client, "fork", &copies);
    assert_eq!(fork["messages"][1]["origin_id"], "m1");
    let compacted = [("k0", "Count."), ("k4", "On."), ("k5", "4")];
    let page = expect_history(client, "compacted", &compacted);
    assert_eq!(page["summary"]["content"], "They counted to three.");
    let all = json!({"session_id": "compacted", "include_compacted": true});
    let all = ids(&client.call("history.page", all)["messages"]);
    assert_eq!(all, ["k0", "k1", "k2", "k3", "k4", "k5"]);
    expect_history(client, "archived", &[("a0", "Finished.")]);
    let gone = client.fail("history.page", json!({"session_id": "purging"}));
    assert_eq!(super::error_kind(&gone), "not_found");
}

/// Expects the ids and the contents of what a session's history shows.
fn expect_history(client: &mut LineClient, session: &str, expected: &[(&str, &str)]) -> Value {
    let page = client.call("history.page", json!({"session_id": session, "order": "oldest"}));
    let messages = page["messages"].as_array().expect("messages");
    let found: Vec<(&str, &str)> = messages
        .iter()
        .map(|message| {
            let text = |field: &str| message[field].as_str().expect("a text");
            (text("id"), text("content"))
        })
        .collect();
    assert_eq!(found, expected, "{session}");
    page
}

/// Version 1 had no paths of files that were renamed: there the renamed file is another one.
fn expect_edits(client: &mut LineClient, version: i64) {
    let (file, edits): (_, &[&str]) = if version == 1 {
        ("main", &["edit-d", "edit-b", "edit-c"])
    } else {
        ("lib", &["edit-d", "edit-b", "edit-e", "edit-c"])
    };
    let path = format!("/home/me/Rainy/src/{file}.rs");
    let replayed = client.call("edit.replay", json!({"file_path": path}));
    assert_eq!(replayed["content"], "version 3\n");
    assert_eq!(replayed["edits"], json!(edits));
    let of_session = client.call("edit.list", json!({"session_id": "live", "order": "oldest"}));
    assert_eq!(ids(&of_session["edits"]), ["edit-d", "edit-e", "edit-c"]);
}

fn expect_settings(client: &mut LineClient) {
    for (params, theme, scope) in [
        (json!({}), r#""dark""#, "user"),
        (json!({"project_id": "rainy"}), r#"{"name":"light","contrast":1.50}"#, "project"),
    ] {
        let page = client.call("settings.list", params);
        let settings = page["settings"].as_array().expect("settings");
        let found: Vec<(&str, String, &str)> = settings
            .iter()
            .map(|setting| {
                let text = |field: &str| setting[field].as_str().expect("a text");
                (text("key"), setting["value"].to_string(), text("resolved"))
            })
            .collect();
        let size = ("editor.fontSize", "14".to_owned(), "user");
        assert_eq!(found, [size, ("theme", theme.to_owned(), scope)]);
    }
}

fn expect_attachments(client: &mut LineClient) {
    for (hash, mime, data) in
        [(PNG, "image/png", "iVBORw0KGgo="), (HELLO, "text/plain", "aGVsbG8=")]
    {
        let found = client.call("attachment.get", json!({"hash": hash}));
        assert_eq!((&found["mime"], &found["data"]), (&json!(mime), &json!(data)));
    }
    let png = json!({"hash": PNG, "mime": "image/png", "name": "total.png", "size": 8});
    let hello = json!({"hash": HELLO, "mime": "text/plain", "name": "hi.txt", "size": 5});
    for (message, listed) in [("m1", json!([png, hello])), ("c4", json!([png])), ("m2", json!([]))]
    {
        assert_eq!(client.call("message.get", json!({"id": message}))["attachments"], listed);
    }
}
