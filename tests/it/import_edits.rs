//! `transfer::import` and the edits that tool calls tell of: recorded once, with where they come from.

use aetherd::api::edit;
use aetherd::model::{Edit, EditKind};
use aetherd::transfer::Counts;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::ide::{World, metadata, session_id};

const FILE: &str = "agent-sessions/_global/s.json";

fn call(id: &str, name: &str, arguments: Value, result: Value) -> Value {
    json!({"id": id, "name": name, "arguments": arguments, "status": "success", "result": result})
}

fn message(id: &str, role: &str, calls: &[Value]) -> Value {
    json!({"id": id, "role": role, "content": "x", "timestamp": "2025-11-01T14:26:40.214Z", "toolCalls": calls})
}

fn session(id: &str, messages: &[Value]) -> String {
    json!({"id": id, "name": "n", "messages": messages, "createdAt": "2025-11-01T14:26:40.214Z"})
        .to_string()
}

/// A turn of the agent that reads a file, changes it twice, and writes two others.
fn turn() -> Vec<Value> {
    let done = json!({"success": true});
    vec![
        call(
            "r",
            "read_file",
            json!({"path": "src/a.rs"}),
            json!({"success": true, "content": "one\ntwo\nthree\n"}),
        ),
        call(
            "e",
            "edit_file",
            json!({"path": "src/a.rs", "old_string": "two", "new_string": "2"}),
            done.clone(),
        ),
        call(
            "e",
            "edit_file",
            json!({"path": "src/a.rs", "old_string": "three\n", "new_string": ""}),
            done.clone(),
        ),
        call("c", "create_file", json!({"path": "new.md", "content": "# New\n"}), done.clone()),
        call("w", "write_file", json!({"path": "unknown.md", "content": "all of it"}), done),
    ]
}

async fn edits(world: &mut World, session: &str) -> Vec<Edit> {
    let params = edit::ListParams {
        file_path: None,
        session_id: Some(session_id(session)),
        project_id: None,
        order: edit::Order::Oldest,
        limit: 100,
        cursor: None,
    };
    world.client.call::<edit::List>(&params).await.expect("a page").edits
}

#[tokio::test]
async fn edits_are_recorded_once_with_session_message_and_call() {
    let mut world = World::start().await;
    world.write(
        FILE,
        session("s", &[message("u", "user", &[]), message("m", "assistant", &turn())]),
    );
    for round in 0..2 {
        let (outcomes, totals) = world.import().await;
        let counts = if round == 0 {
            Counts { found: 3, imported: 3, ..Counts::default() }
        } else {
            Counts { found: 3, already_there: 3, ..Counts::default() }
        };
        assert_eq!((totals.edits, outcomes[0].edits), (counts, counts), "{outcomes:#?}");
        let note = "tool calls that changed a file of which the session does not tell what it held: 1; \
                    they stay in the metadata, no edits are made of them";
        assert_eq!(outcomes[0].notes, [note]);
        assert_eq!(world.verify().await.1.differences, 0);
    }
    let edits = edits(&mut world, "s").await;
    let told: Vec<_> = edits.iter().map(|edit| (edit.file_path.as_str(), edit.kind)).collect();
    let expected = [
        ("src/a.rs", EditKind::Replace),
        ("src/a.rs", EditKind::Delete),
        ("new.md", EditKind::Insert),
    ];
    assert_eq!(told, expected);
    // As the README says.
    let namespace = Uuid::parse_str("0b4d6a1e-57c9-5d0f-8a3e-91f26c7d4be5").expect("a UUID");
    for (edit, name) in edits.iter().zip(["s\0m\0e\x000", "s\0m\0e\x001", "s\0m\0c\x000"]) {
        assert_eq!(edit.id.as_str(), Uuid::new_v5(&namespace, name.as_bytes()).to_string());
        assert_eq!(edit.message_id.as_ref().map(|id| id.as_str()), Some("m"));
        assert_eq!(edit.session_id.as_str(), "s");
    }
    let replay = edit::ReplayParams {
        file_path: "src/a.rs".to_owned(),
        base: Some("one\ntwo\nthree\n".to_owned()),
        until: None,
        project_id: None,
    };
    let replayed = world.client.call::<edit::Replay>(&replay).await.expect("every hunk fits");
    assert_eq!(replayed.content.as_deref(), Some("one\n2\n"));
    let stored = world.messages("s").await;
    assert!(metadata(&stored[1]).contains("unknown.md"), "the calls stay where they were");
}

#[tokio::test]
async fn edits_of_messages_that_another_session_has_or_that_are_imported_already_find_theirs() {
    let mut world = World::start().await;
    world.write("agent-sessions/_global/a.json", session("a", &[message("m", "user", &[])]));
    // First without calls, as it was while the tools had not run.
    let messages = |calls: &[Value]| {
        [
            message("n", "assistant", calls),
            message("u", "user", &[]),
            message("m", "assistant", calls),
        ]
    };
    world.write(FILE, session("s", &messages(&[])));
    world.import().await;
    world.write(FILE, session("s", &messages(&turn())));
    let (outcomes, totals) = world.import().await;
    assert_eq!((totals.edits.imported, totals.messages.already_there), (6, 4), "{outcomes:#?}");
    let stored = world.messages("s").await;
    let edits = edits(&mut world, "s").await;
    for (at, edit) in edits.iter().enumerate() {
        assert_eq!(edit.message_id.as_ref(), Some(&stored[at / 3 * 2].id), "{edits:#?}");
    }
    assert_ne!(stored[2].id.as_str(), "m");
    let (_, totals) = world.import().await;
    assert_eq!((totals.edits.already_there, totals.already_there), (6, 2));
}

#[tokio::test]
async fn an_edit_whose_message_cannot_be_stored_is_told() {
    let mut world = World::start().await;
    let mut large = message("m", "assistant", &turn());
    large["content"] = json!("y".repeat(aetherd::model::limits::MAX_CONTENT_BYTES + 1));
    world.write(FILE, session("s", &[large]));
    let (outcomes, totals) = world.import().await;
    assert_eq!((totals.edits.failed, totals.messages.failed, totals.partly), (3, 1, 1));
    assert_eq!(outcomes[0].problems.len(), 4, "{outcomes:#?}");
    assert!(outcomes[0].problems[1].ends_with("(messages[0]): its message is not stored"));
}
