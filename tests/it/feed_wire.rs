//! Subscriptions over the wire: filters, ends, and events that are large or cannot be read.

use serde_json::{Value, json};

use crate::support::{Home, LineClient, edit_database};

/// Takes the next event of a connection, as `subscription topic entity project`.
fn told(client: &mut LineClient) -> String {
    let params = client.receive()["params"].take();
    let event = &params["event"];
    let parts =
        [&params["subscription"], &event["topic"], &event["entity_id"], &event["project_id"]];
    parts.map(|part| part.as_str().unwrap_or("-").to_owned()).join(" ")
}

#[test]
fn a_project_is_followed_alone_and_told_of_a_session_that_leaves_or_comes() {
    let home = Home::new();
    let daemon = home.start();
    let mut writer = daemon.client();
    for project in ["p", "q"] {
        writer.call("project.open", json!({"id": project, "path": format!("/{project}")}));
    }
    let mut follower = daemon.client();
    for project in ["p", "q"] {
        follower.call("events.subscribe", json!({"project_id": project}));
    }
    let start = writer.call("events.since", json!({}))["cursor"].take();
    writer.call("session.start", json!({"id": "s", "kind": "chat", "project_id": "p"}));
    assert_eq!(told(&mut follower), "1 session.started s p");
    writer.call("session.start", json!({"id": "none", "kind": "chat"}));
    writer.call("session.update", json!({"id": "s", "project_id": "q"}));
    let mut both = [told(&mut follower), told(&mut follower)];
    both.sort();
    assert_eq!(both, ["1 session.moved s p", "2 session.updated s q"]);
    let message = json!({"id": "m", "session_id": "s", "role": "user", "content": "said"});
    writer.call("message.append", message);
    assert_eq!(told(&mut follower), "2 message.appended m q");
    for (project, topics) in [
        ("p", vec!["session.started", "session.moved"]),
        ("q", vec!["session.updated", "message.appended"]),
    ] {
        let page = writer.call("events.since", json!({"cursor": start, "project_id": project}));
        let events = page["events"].as_array().expect("events");
        let seen: Vec<_> = events.iter().map(|event| event["topic"].as_str()).collect();
        assert_eq!(seen, topics.into_iter().map(Some).collect::<Vec<_>>());
    }
}

/// What is written later is told to another subscription of the connection, and in its turn would
/// have been to the one that ended.
#[test]
fn nothing_of_a_subscription_follows_the_answer_that_ends_it() {
    let home = Home::new();
    let daemon = home.start();
    let (mut client, mut writer) = (daemon.client(), daemon.client());
    client.call("events.subscribe", json!({}));
    client.call("events.subscribe", json!({"topics": ["settings"]}));
    client.call("events.unsubscribe", json!({"subscription": "1"}));
    for number in 0..3 {
        writer.call("settings.set", json!({"key": format!("k{number}"), "value": number}));
    }
    for number in 0..3 {
        assert_eq!(told(&mut client), format!("2 settings.changed k{number} -"));
    }
    assert_eq!(client.call("system.ping", json!({}))["protocol"], 1);
}

/// More than what is read at once for one who comes late, and more than what is kept in memory.
#[test]
fn events_of_any_size_come_whole_and_in_order() {
    const MIB: usize = 1024 * 1024;
    let home = Home::new();
    let daemon = home.start();
    let mut writer = daemon.client();
    let start = writer.call("events.since", json!({}))["cursor"].take();
    writer.call("session.start", json!({"id": "s", "kind": "chat"}));
    let mut early = daemon.client();
    early.call("events.subscribe", json!({"topics": ["message"]}));
    let sizes = [MIB, 1, 5 * MIB, 256 * 1024, 1, 8 * MIB - 1024];
    for (number, size) in sizes.into_iter().enumerate() {
        let id = format!("m{number}");
        let content = "c".repeat(size);
        writer.call(
            "message.append",
            json!({"id": id, "session_id": "s", "role": "user", "content": content}),
        );
    }
    let mut late = daemon.client();
    late.call("events.subscribe", json!({"since": start, "topics": ["message"]}));
    for client in [&mut early, &mut late] {
        for (number, size) in sizes.into_iter().enumerate() {
            let event = client.receive()["params"]["event"].take();
            assert_eq!(event["entity_id"], format!("m{number}"));
            assert_eq!(event["data"]["content"].as_str().map(str::len), Some(size));
        }
    }
}

#[test]
fn a_damaged_record_is_told_of_and_the_next_ones_too() {
    let home = Home::new();
    let mut daemon = home.start();
    let mut writer = daemon.client();
    let start = writer.call("events.since", json!({}))["cursor"].take();
    writer.call("session.start", json!({"id": "s", "kind": "chat"}));
    for id in ["m1", "m2"] {
        let message =
            json!({"id": id, "session_id": "s", "role": "user", "content": "c", "metadata": {}});
        writer.call("message.append", message);
    }
    writer.call("system.shutdown", json!({}));
    assert!(daemon.wait().success());
    edit_database(&home.path().join("ide.db"), |database| {
        let damage = "UPDATE agent_messages SET metadata = '{' WHERE id = 'm1'";
        assert_eq!(database.execute(damage, []).expect("it is changed"), 1);
    });
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("events.subscribe", json!({"since": start, "topics": ["message"]}));
    let events: [Value; 2] = [(); 2].map(|()| client.receive()["params"]["event"].take());
    assert_eq!((&events[0]["data"], &events[0]["unreadable"]), (&Value::Null, &json!(true)));
    assert_eq!((&events[1]["data"]["id"], events[1].get("unreadable")), (&json!("m2"), None));
    assert!(home.log().contains("cannot be read"), "{}", home.log());
}
