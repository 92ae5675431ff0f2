//! `transfer::verify`: what was imported is equal, and each field that is changed in the store is named.

use aetherd::client::Client;
use aetherd::transfer::{FileVerdict, Verdict};
use serde_json::json;

use crate::support::edit_database;
use crate::support::ide::{IMAGE, World, message_json, session_json};

const FILE: &str = "agent-sessions/web-shop_14fc94/s.json";

/// A session with all that is compared, its project, and settings.
async fn imported() -> World {
    let mut world = World::start().await;
    let open = json!({"path": "/home/dev/src/web-shop", "id": "shop"});
    call(&mut world.client, "project.open", &open).await;
    call(&mut world.client, "project.open", &json!({"path": "/home/dev/src/other", "id": "other"}))
        .await;
    let file = json!({
        "id": "s", "name": "Chat", "description": "d", "model": "m", "systemPrompt": "p", "createdAt": "2025-11-01T14:26:40.214Z",
        "messages": [
            {"id": "m0", "role": "user", "content": "zero", "timestamp": "2025-11-01T14:26:40.214Z",
             "images": [serde_json::from_str::<serde_json::Value>(IMAGE).expect("JSON")]},
            {"id": "m1", "role": "assistant", "content": "one", "timestamp": "2025-11-01T14:26:41.214Z", "thoughts": "t",
             "toolCalls": [{"id": "c", "name": "create_file", "status": "success", "result": {"success": true},
                            "arguments": {"path": "a", "content": "a\n"}}]},
        ],
    });
    world.write(FILE, file.to_string());
    world.write("settings.json", r#"{"a":1.0,"b":[1,2]}"#);
    world.import().await;
    world
}

async fn call(client: &mut Client, method: &str, params: &serde_json::Value) {
    let params = serde_json::value::to_raw_value(params).expect("JSON");
    client.call_text(method, &params).await.expect("is carried out");
}

/// What differs, as `of: field`.
fn differing(verdicts: &[FileVerdict]) -> Vec<String> {
    let differences = verdicts.iter().flat_map(|verdict| &verdict.differences);
    differences.map(|found| format!("{}: {}", found.of, found.field.unwrap_or("-"))).collect()
}

#[tokio::test]
async fn each_field_that_a_client_changes_is_named() {
    let mut world = imported().await;
    let (verdicts, totals) = world.verify().await;
    assert_eq!((totals.equal, totals.files, totals.differences), (2, 2, 0), "{verdicts:#?}");
    assert!(totals.compared > 20, "{totals}");
    for (method, params, named) in [
        ("session.update", json!({"id": "s", "title": "Mine"}), "session: title"),
        ("session.update", json!({"id": "s", "description": null}), "session: description"),
        ("session.update", json!({"id": "s", "model": "n"}), "session: model"),
        ("session.update", json!({"id": "s", "system_prompt": "q"}), "session: system_prompt"),
        ("session.update", json!({"id": "s", "project_id": "other"}), "session: project_id"),
        ("session.update", json!({"id": "s", "metadata": {"x": 1}}), "session: metadata"),
        (
            "message.update",
            json!({"id": "m1", "content": "two"}),
            "message m1 (messages[1]): content",
        ),
        (
            "message.update",
            json!({"id": "m1", "code_excerpt": "c"}),
            "message m1 (messages[1]): code_excerpt",
        ),
        (
            "message.update",
            json!({"id": "m1", "metadata": {"thoughts": null}}),
            "message m1 (messages[1]): metadata",
        ),
        (
            "message.update",
            json!({"id": "m0", "attachments": []}),
            "message m0 (messages[0]): attachments",
        ),
        ("settings.set", json!({"key": "a", "value": 1}), "setting a: value"),
        ("settings.delete", json!({"key": "b"}), "setting b: value"),
    ] {
        let mut world = imported().await;
        call(&mut world.client, method, &params).await;
        let (verdicts, totals) = world.verify().await;
        assert_eq!(differing(&verdicts), [named], "{verdicts:#?}");
        assert_eq!((totals.differs, totals.equal), (1, 1));
        assert!(!totals.is_equal());
        let difference =
            verdicts.iter().find_map(|verdict| verdict.differences.first()).expect("one");
        assert_ne!(difference.expected, difference.actual);
    }
}

/// What no call can change is changed in the file of the database.
#[tokio::test]
async fn each_field_that_is_changed_behind_the_daemon_is_named() {
    for (sql, named) in [
        ("UPDATE agent_sessions SET kind = 'x'", "session: kind"),
        ("UPDATE agent_sessions SET created_at = 7", "session: created_at"),
        (
            "UPDATE agent_messages SET role = 'tool' WHERE id = 'm0'",
            "message m0 (messages[0]): role",
        ),
        (
            "UPDATE agent_messages SET created_at = 7 WHERE id = 'm1'",
            "message m1 (messages[1]): created_at",
        ),
        (
            "UPDATE agent_messages SET index_in_session = 9 WHERE id = 'm0';
             UPDATE agent_messages SET index_in_session = 0 WHERE id = 'm1';
             UPDATE agent_messages SET index_in_session = 1 WHERE id = 'm0'",
            "message m1 (messages[1]): index_in_session",
        ),
        ("UPDATE agent_edits SET kind = 'replace'", "kind"),
        ("UPDATE agent_edits SET message_id = 'm0'", "message_id"),
        ("UPDATE agent_edits SET file_path = 'b'", "file_path"),
        ("UPDATE agent_edits SET diff = diff || ' '", "diff"),
        ("UPDATE agent_edits SET before_hash = 'x'", "before_hash"),
        ("UPDATE agent_edits SET after_hash = 'x'", "after_hash"),
        ("UPDATE attachment_data SET data = x'666f70'", "message m0 (messages[0]): attachments"),
        ("DELETE FROM agent_edits", "-"),
        (
            "DELETE FROM agent_messages WHERE id = 'm0' AND 0 = (SELECT COUNT(*) FROM message_attachments WHERE message_id <> 'm0')",
            "message m0 (messages[0]): -",
        ),
    ] {
        let mut world = imported().await;
        world.daemon.signal(rustix::process::Signal::TERM);
        world.daemon.wait();
        edit_database(&world.home.path().join("ide.db"), |file| {
            file.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        });
        world.daemon = world.home.start();
        world.client = Client::connect(&world.home.socket()).await.expect("connects");
        let (verdicts, _) = world.verify().await;
        let found = differing(&verdicts);
        assert_eq!(found.len(), 1, "{sql}: {verdicts:#?}");
        assert!(found[0].ends_with(named), "{sql}: {found:?}");
    }
}

#[tokio::test]
async fn what_is_missing_in_the_trash_torn_or_too_large_is_told() {
    let mut world = World::start().await;
    let whole = session_json("s", &[message_json("m", "x"), message_json("n", "x")]);
    world.write("agent-sessions/_global/s.json", &whole);
    world.write("settings.json", r#"{"a":1}"#);
    world.write("agent-sessions/_global/note.txt", "x");
    world.write("agent-sessions/_global/z.json", "[");
    let (verdicts, totals) = world.verify().await;
    let found: Vec<Verdict> = verdicts.iter().map(|verdict| verdict.verdict).collect();
    assert_eq!(found, [Verdict::Missing, Verdict::Skipped, Verdict::Missing, Verdict::Unreadable]);
    assert_eq!((totals.missing, totals.skipped, totals.unreadable), (2, 1, 1));
    assert_eq!(verdicts[2].reason.as_deref(), Some("the session s is not in the store"));

    world.import().await;
    let (verdicts, totals) = world.verify().await;
    assert_eq!((totals.equal, totals.missing), (2, 0), "{verdicts:#?}");
    // A message that came later, in the file and in the store.
    let more = [message_json("m", "x"), message_json("n", "x"), message_json("o", "x")];
    world.write("agent-sessions/_global/s.json", session_json("s", &more));
    let own = json!({"id": "own", "session_id": "s", "role": "user", "content": "x"});
    call(&mut world.client, "message.append", &own).await;
    let (verdicts, _) = world.verify().await;
    assert_eq!(differing(&verdicts), ["message o (messages[2]): -"]);
    assert_eq!(verdicts[2].notes, ["the session has 1 messages that the file has not"]);

    world.write("agent-sessions/_global/s.json", &whole[..whole.len() - 3]);
    let (verdicts, _) = world.verify().await;
    assert_eq!(verdicts[2].verdict, Verdict::Differs);
    assert!(verdicts[2].problems[0].starts_with("is cut off after "), "{verdicts:#?}");

    let large =
        format!(r#"{{"id":"l","role":"user","content":"x","big":"{}"}}"#, "y".repeat(9 << 20));
    world.write("agent-sessions/_global/s.json", session_json("l", &[large]));
    world.import().await;
    let (verdicts, _) = world.verify().await;
    assert_eq!((verdicts[2].verdict, verdicts[2].differences.len()), (Verdict::Differs, 0));
    assert!(verdicts[2].problems[0].contains("too large, left out: big"), "{verdicts:#?}");
    call(&mut world.client, "session.delete", &json!({"id": "l"})).await;
    let (verdicts, _) = world.verify().await;
    assert_eq!(verdicts[2].reason.as_deref(), Some("the session l is in the trash"));
}
