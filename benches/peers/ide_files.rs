//! What the IDE does without the daemon: one JSON file a session, all of them parsed for the list.

use std::path::Path;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::corpus;

/// Messages of one session file.
const MESSAGES_EACH: usize = 40;

/// Writes so many session files, in the IDE's shape.
pub(crate) fn write(folder: &Path, count: usize) {
    std::fs::create_dir_all(folder).expect("the bench's folder is writable");
    for number in 0..count {
        let session = session(number);
        let path =
            folder.join(format!("{}.json", session["id"].as_str().expect("an id is a text")));
        let text = serde_json::to_vec_pretty(&session).expect("a value is JSON");
        std::fs::write(path, text).expect("the bench's folder is writable");
    }
}

fn session(number: usize) -> Value {
    let (day, hour) = (number / 24 % 28 + 1, number % 24);
    let at = |second: usize| {
        format!("2025-11-{day:02}T{hour:02}:{:02}:{:02}.000Z", second / 60, second % 60)
    };
    let messages: Vec<Value> = (0..MESSAGES_EACH)
        .map(|index| {
            let mut message = json!({
                "id": Uuid::now_v7().to_string(), "content": corpus::content(number + index),
                "role": corpus::role(index), "timestamp": at(index),
            });
            if index % 4 == 3 {
                message["toolCalls"] = json!([{
                    "id": Uuid::now_v7().to_string(), "name": "read_file",
                    "arguments": {"path": "src/cart.ts"}, "status": "success", "result": {"success": true},
                }]);
            }
            message
        })
        .collect();
    json!({
        "id": Uuid::now_v7().to_string(), "name": format!("Session {number}: why is the total wrong?"),
        "model": corpus::MODEL, "systemPrompt": "You are Rainy, the coding agent of the IDE.",
        "messages": messages, "createdAt": at(0), "lastMessageAt": at(MESSAGES_EACH - 1),
    })
}

/// Reads and parses every session file and sorts them, newest activity first.
pub(crate) fn list(folder: &Path) -> Vec<Value> {
    let entries = std::fs::read_dir(folder).expect("the folder was written");
    let mut sessions: Vec<Value> = entries
        .map(|entry| {
            let path = entry.expect("the folder is readable").path();
            let text = std::fs::read(path).expect("the file was written");
            serde_json::from_slice(&text).expect("the file is JSON")
        })
        .collect();
    sessions
        .sort_by(|one, other| other["lastMessageAt"].as_str().cmp(&one["lastMessageAt"].as_str()));
    sessions
}
