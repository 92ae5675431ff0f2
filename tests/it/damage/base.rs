//! The database that is injured.

use serde_json::json;

use super::rows::{Dump, dump};
use crate::support::{Home, LineClient};

/// A home whose daemon was killed with changes in its log, and what its tables hold.
pub(super) struct Base {
    pub(super) home: Home,
    pub(super) all: Dump,
    /// What the backup in it holds.
    pub(super) backed_up: Dump,
}

pub(super) fn base() -> Base {
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
pub(super) fn fill(client: &mut LineClient, sessions: std::ops::Range<usize>) {
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
