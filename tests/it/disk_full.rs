//! A disk that runs full: reads go on, writes say so, nothing acknowledged is lost, and all works
//! again when there is room. The limit of a file's size (RLIMIT_FSIZE) stands in for the disk.

use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::support::{Home, LineClient, edit_database, error_kind, request};

/// Bytes a file may have, set once the daemon serves.
const LIMIT_BYTES: u64 = 3 * 1024 * 1024;

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).expect("a pid")).expect("a pid");
    let unlimited =
        prlimit(Some(pid), Resource::Fsize, Rlimit { current: Some(LIMIT_BYTES), maximum: None })
            .expect("the limit is set");

    let mut stored = Vec::new();
    let mut append = |client: &mut LineClient| {
        let id = format!("m{}", stored.len());
        let params =
            json!({"id": id, "session_id": "s", "role": "user", "content": "x".repeat(20_000)});
        let reply = client.reply("message.append", params);
        if reply.get("result").is_some() {
            stored.push(id);
        }
        reply
    };
    let error = (0..2_000)
        .map(|_| append(&mut client))
        .find_map(|mut reply| reply.get("error").is_some().then(|| reply["error"].take()))
        .expect("the limit is met");
    assert_eq!(error_kind(&error), "disk_full", "{error}");
    assert_eq!(error["code"], 1507);
    assert_eq!(error["data"]["retryable"], true);

    // Reads go on; writes go on being refused; nothing half written shows.
    for _ in 0..5 {
        assert_eq!(error_kind(&append(&mut client)["error"]), "disk_full");
        let count = client.call("session.get", json!({"id": "s"}))["message_count"].clone();
        assert_eq!(count, stored_count(&mut client));
    }

    // With room again, it works again by itself.
    prlimit(Some(pid), Resource::Fsize, unlimited).expect("the limit is lifted");
    let reply = append(&mut client);
    assert!(reply.get("result").is_some(), "{reply}");
    for _ in 0..50 {
        assert!(append(&mut client).get("result").is_some());
    }
    check_all(&mut client, &stored);
    assert_eq!(client.call("system.check", json!({})), json!({"ok": true, "problems": []}));

    // And after a crash and a restart.
    drop(daemon);
    let daemon = home.start();
    let mut client = daemon.client();
    check_all(&mut client, &stored);
    assert_eq!(client.call("system.check", json!({})), json!({"ok": true, "problems": []}));
}

/// A large write that finds no room fails alone, though it is committed together with small ones.
#[test]
fn a_large_write_takes_no_small_ones_along() {
    const SMALL: usize = 40;
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).expect("a pid")).expect("a pid");
    prlimit(Some(pid), Resource::Fsize, Rlimit { current: Some(LIMIT_BYTES), maximum: None })
        .expect("the limit is set");
    let append = |id: usize, content: &str| {
        let params =
            json!({"id": format!("m{id}"), "session_id": "s", "role": "user", "content": content});
        request(id as u64, "message.append", &params)
    };
    let large = "x".repeat(6 * 1024 * 1024);
    let calls: Vec<String> =
        (0..=SMALL).map(|id| append(id, if id == SMALL / 2 { &large } else { "small" })).collect();
    client.send(&calls.join("\n"));
    let mut order = Vec::new();
    for _ in 0..=SMALL {
        let reply = client.receive();
        let id = reply["id"].as_u64().expect("an id");
        if id == SMALL as u64 / 2 {
            assert_eq!(error_kind(&reply["error"]), "disk_full", "{reply}");
        } else {
            assert!(reply.get("result").is_some(), "{reply}");
            order.push((id, reply["result"]["index_in_session"].as_u64().expect("an index")));
        }
    }
    order.sort_unstable();
    let indexes: Vec<u64> = order.iter().map(|(_, index)| *index).collect();
    assert_eq!(indexes, (0..SMALL as u64).collect::<Vec<_>>(), "in the order sent, without a hole");
    assert_eq!(stored_count(&mut client), SMALL as u64);
    assert_eq!(client.call("system.check", json!({})), json!({"ok": true, "problems": []}));
}

fn stored_count(client: &mut LineClient) -> u64 {
    let mut count = 0;
    let mut cursor = serde_json::Value::Null;
    loop {
        let mut params = json!({"session_id": "s", "limit": 1000});
        if !cursor.is_null() {
            params["cursor"] = cursor;
        }
        let page = client.call("history.page", params);
        count += page["messages"].as_array().expect("messages").len() as u64;
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            return count;
        }
    }
}

fn check_all(client: &mut LineClient, stored: &[String]) {
    for (index, id) in stored.iter().enumerate() {
        assert_eq!(
            client.call("message.get", json!({"id": id}))["index_in_session"],
            index,
            "{id}"
        );
    }
    assert_eq!(stored_count(client), stored.len() as u64);
}

/// A purge that met the full disk goes on once there is room: no other purge or start is needed.
#[test]
fn a_purge_that_found_no_room_goes_on_when_there_is() {
    let home = Home::new();
    let mut daemon = home.start();
    let mut client = daemon.client();
    for id in ["s", "other"] {
        client.call("session.start", json!({"id": id, "kind": "chat"}));
    }
    let messages: Vec<_> = (0..700).map(|_| json!({"role": "user", "content": "c"})).collect();
    client.call("message.append_many", json!({"session_id": "s", "messages": messages}));
    client.call("system.shutdown", json!({}));
    assert_eq!(daemon.wait().code(), Some(0));
    edit_database(&home.path().join("ide.db"), |file| {
        file.execute_batch("UPDATE agent_sessions SET shelf = 3, deleted_at = 1 WHERE id = 's'")
            .expect("a purge that has begun");
    });
    // Room for the lock, and none for the log of the database: 8 KiB a file.
    let binary = home.command();
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg("ulimit -S -f 16; exec \"$0\" \"$@\"")
        .arg(binary.get_program())
        .args(binary.get_args())
        .args(["serve", "--no-search"]);
    let daemon = home.start_command(command);
    let mut client = daemon.client();
    let other = || json!({"session_id": "other", "role": "user", "content": "on"});
    let error = client.fail("message.append", other());
    assert_eq!(error_kind(&error), "disk_full", "{error}");

    let pid = Pid::from_raw(i32::try_from(daemon.pid()).expect("a pid")).expect("a pid");
    let limit = Rlimit { current: None, maximum: None };
    prlimit(Some(pid), Resource::Fsize, limit).expect("the limit is lifted");
    // Before each group a batch is deleted, so these are enough.
    for _ in 0..3 {
        client.call("message.append", other());
    }
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
}

#[test]
fn a_disk_that_is_full_at_the_start_is_said_and_loses_nothing() {
    let home = Home::new();
    let mut daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    client.call("system.shutdown", json!({}));
    assert_eq!(daemon.wait().code(), Some(0));
    // No file may grow at all.
    let binary = home.command();
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg("ulimit -S -f 0; exec \"$0\" \"$@\"")
        .arg(binary.get_program())
        .args(binary.get_args())
        .arg("serve");
    let output = command.output().expect("the shell runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    // The database opens, and the lock, which comes last, is what cannot be written.
    assert!(error.contains("writing the lock"), "{error}");
    assert!(!home.socket().exists(), "a socket at which nobody listens was left");
    let daemon = home.start();
    assert_eq!(daemon.client().call("session.get", json!({"id": "s"}))["id"], "s");
}
