//! Each limit at its edge and one past it, over the wire.

use std::io::{Read, Write};

use aetherd::model::limits::{
    MAX_APPEND_MANY, MAX_BATCH_CALLS, MAX_CONNECTIONS, MAX_CONTENT_BYTES, MAX_FRAME_BYTES,
    MAX_JSON_DEPTH, MAX_PAGE_BYTES, MAX_PAGE_ITEMS, MAX_TIME, MIN_TIME,
};
use aetherd::server::MAX_REFUSALS;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::support::{Home, LineClient, connect, error_kind, read_message, request};

#[test]
fn a_frame_has_16_mib_on_every_framing() {
    let home = Home::new();
    let daemon = home.start();
    // Padded with spaces behind the value: a frame of just the size, and of one byte more.
    let frame = |bytes: usize| {
        let mut frame = request(1, "system.ping", &json!({}));
        frame.push_str(&" ".repeat(bytes - frame.len()));
        frame
    };
    let mut lines = daemon.client();
    lines.send(&frame(MAX_FRAME_BYTES));
    assert!(lines.receive()["result"].is_object());
    lines.send(&frame(MAX_FRAME_BYTES + 1));
    let error = lines.receive();
    assert_eq!(error_kind(&error["error"]), "too_large");
    assert_eq!(error["error"]["data"]["limit"], MAX_FRAME_BYTES);
    assert_eq!(error["id"], Value::Null);
    assert!(lines.call("system.ping", json!({})).is_object(), "the connection lives on");

    let mut raw = connect(&home.socket());
    for (bytes, expected) in
        [(MAX_FRAME_BYTES, "\"result\""), (MAX_FRAME_BYTES + 1, "too_large"), (100, "\"result\"")]
    {
        write!(raw, "Content-Length: {bytes}\r\n\r\n{}", frame(bytes)).expect("the daemon reads");
        let (_, reply) = read_message(&mut raw);
        assert!(reply.contains(expected), "{bytes}: {reply}");
    }

    // What is far too large is read too, so that the client gets to reading why.
    for (bytes, status) in
        [(MAX_FRAME_BYTES, "200"), (MAX_FRAME_BYTES + 1, "413"), (2 * MAX_FRAME_BYTES, "413")]
    {
        let mut raw = connect(&home.socket());
        write!(raw, "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n\r\n").expect("sent");
        raw.write_all(frame(bytes).as_bytes()).expect("the daemon reads it all");
        let mut head = [0; 12];
        raw.read_exact(&mut head).expect("the daemon replies");
        assert_eq!(&head[9..], status.as_bytes());
    }

    for (bytes, expected) in [(MAX_FRAME_BYTES, "\"result\""), (MAX_FRAME_BYTES + 1, "too_large")] {
        let (mut socket, _) =
            tungstenite::client("ws://localhost/", connect(&home.socket())).expect("an upgrade");
        let _ = socket.send(Message::text(frame(bytes)));
        let reply = loop {
            if let Message::Text(text) = socket.read().expect("the daemon replies") {
                break text;
            }
        };
        assert!(reply.contains(expected), "{bytes}: {reply}");
    }
}

#[test]
fn a_content_has_8_mib() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    let append = |content: String| json!({"session_id": "s", "role": "user", "content": content});
    // Of two bytes a character: the limit is of bytes.
    let at = "é".repeat(MAX_CONTENT_BYTES / 2);
    assert_eq!(client.call("message.append", append(at.clone()))["content"], at);
    let error = client.fail("message.append", append(format!("{at}x")));
    assert_eq!(error_kind(&error), "too_large");
    assert_eq!(error["data"]["limit"], MAX_CONTENT_BYTES);
    assert_eq!(error["data"]["actual"], MAX_CONTENT_BYTES + 1);
    assert_eq!(
        client.call("history.recent", json!({"session_id": "s"}))["messages"][0]["content"],
        at
    );
}

/// Objects of just the limit, and of one byte more.
fn objects_at_the_limit() -> (Value, Value) {
    let object = |bytes: usize| json!({"k": "x".repeat(bytes - r#"{"k":""}"#.len())});
    (object(MAX_CONTENT_BYTES), object(MAX_CONTENT_BYTES + 1))
}

#[test]
fn metadata_has_8_mib_as_sent() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    client.call("project.open", json!({"id": "p", "path": "/p"}));
    client.call(
        "message.append",
        json!({"id": "m", "session_id": "s", "role": "user", "content": ""}),
    );
    let (at, over) = objects_at_the_limit();
    let message = |metadata: &Value| json!({"role": "user", "content": "", "metadata": metadata});
    for (method, params, at_path, field) in [
        ("session.start", json!({"kind": "chat"}), "/metadata", "metadata"),
        ("session.update", json!({"id": "s"}), "/metadata", "metadata"),
        ("project.open", json!({"path": "/large"}), "/project/metadata", "metadata"),
        ("project.update", json!({"id": "p"}), "/metadata", "metadata"),
        (
            "message.append",
            json!({"session_id": "s", "role": "user", "content": ""}),
            "/metadata",
            "metadata",
        ),
        (
            "message.append_many",
            json!({"session_id": "s"}),
            "/messages/1/created",
            "messages[1].metadata",
        ),
        ("message.update", json!({"id": "m"}), "/metadata", "metadata"),
    ] {
        let with = |metadata: &Value| {
            let mut params = params.clone();
            if method == "message.append_many" {
                params["messages"] = json!([message(&json!({})), message(metadata)]);
            } else {
                params["metadata"] = metadata.clone();
            }
            params
        };
        let error = client.fail(method, with(&over));
        assert_eq!(error_kind(&error), "too_large", "{method}");
        assert_eq!(error["data"]["field"], field, "{method}");
        assert_eq!(error["data"]["limit"], MAX_CONTENT_BYTES, "{method}");
        assert_eq!(error["data"]["actual"], MAX_CONTENT_BYTES + 1, "{method}");
        let result = client.call(method, with(&at));
        let stored = result.pointer(at_path).expect("a field");
        assert!(*stored == at || *stored == true, "{method}");
    }
}

#[test]
fn metadata_has_8_mib_after_a_patch() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat", "title": "t"}));
    client.call("project.open", json!({"id": "s", "path": "/p", "name": "t"}));
    client.call(
        "message.append",
        json!({"id": "s", "session_id": "s", "role": "user", "content": "t"}),
    );
    let patch = |value: String| json!({"id": "s", "metadata": {"b": value}});
    let room = MAX_CONTENT_BYTES - r#"{"k":"","b":""}"#.len();
    for (noun, other) in [("session", "title"), ("project", "name"), ("message", "content")] {
        let update = format!("{noun}.update");
        let half = json!({"id": "s", "metadata": {"k": "x".repeat(room / 2)}});
        client.call(&update, half);
        let over = "y".repeat(room - room / 2 + 1);
        let mut refused = patch(over.clone());
        refused[other] = json!("changed");
        let error = client.fail(&update, refused);
        assert_eq!(error_kind(&error), "too_large", "{noun}");
        assert_eq!(error["data"]["field"], "metadata", "{noun}");
        assert_eq!(error["data"]["actual"], MAX_CONTENT_BYTES + 1, "{noun}");
        let stored = client.call(&format!("{noun}.get"), json!({"id": "s"}));
        assert_eq!(stored["metadata"]["b"], Value::Null, "{noun}: it changed nothing");
        assert_eq!(stored[other], "t", "{noun}: it changed nothing");
        let stored = client.call(&update, patch(over[1..].to_owned()));
        assert_eq!(stored["metadata"].to_string().len(), MAX_CONTENT_BYTES, "{noun}");
    }
}

/// What is stored at the limit can be read with serde_json, even in a batch of histories.
#[test]
fn a_free_value_is_100_levels_deep() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    // One level of `levels` is the object itself.
    let object = |levels: usize| {
        let inner = levels - 1;
        format!("{{\"k\":{}1{}}}", "[".repeat(inner), "]".repeat(inner))
    };
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    client.call("project.open", json!({"id": "p", "path": "/p"}));
    client.call(
        "message.append",
        json!({"id": "m", "session_id": "s", "role": "user", "content": ""}),
    );
    for (method, params, field) in [
        ("session.start", r#""kind":"chat","metadata":@"#, "metadata"),
        ("session.update", r#""id":"s","metadata":@"#, "metadata"),
        ("project.open", r#""path":"/deep","metadata":@"#, "metadata"),
        ("project.update", r#""id":"p","metadata":@"#, "metadata"),
        (
            "message.append",
            r#""session_id":"s","role":"user","content":"","metadata":@"#,
            "metadata",
        ),
        (
            "message.append_many",
            r#""session_id":"s","messages":[{"role":"user","content":"","metadata":@}]"#,
            "messages[0].metadata",
        ),
        ("message.update", r#""id":"m","metadata":@"#, "metadata"),
        ("settings.set", r#""key":"k","value":@"#, "value"),
        ("settings.set_many", r#""entries":[{"key":"l","value":@}]"#, "entries[0].value"),
    ] {
        for levels in [MAX_JSON_DEPTH, MAX_JSON_DEPTH + 1, 100_000] {
            let params = params.replace('@', &object(levels));
            client.send(&format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}"#
            ));
            let reply = client.receive();
            if levels == MAX_JSON_DEPTH {
                assert!(reply.get("result").is_some(), "{method}: {reply}");
                continue;
            }
            let error = &reply["error"];
            assert_eq!(error_kind(error), "invalid_params", "{method} {levels}");
            assert_eq!(error["data"]["field"], field, "{method} {levels}");
            let text = error["message"].as_str().expect("a message");
            assert!(text.ends_with("nested deeper than 100"), "{text}");
        }
    }
    let calls = [
        request(1, "history.page", &json!({"session_id": "s"})),
        request(2, "settings.list", &json!({})),
    ];
    client.send(&format!("[{}]", calls.join(",")));
    let replies = client.receive();
    assert_eq!(replies[0]["result"]["messages"].as_array().map(Vec::len), Some(3));
    assert_eq!(replies[1]["result"]["settings"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_batch_has_100_calls() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    let batch = |calls: usize| {
        let calls: Vec<Value> = (0..calls)
            .map(|id| json!({"jsonrpc": "2.0", "id": id, "method": "settings.set", "params": {"key": "k", "value": id}}))
            .collect();
        json!(calls).to_string()
    };
    client.send(&batch(MAX_BATCH_CALLS));
    let replies = client.receive();
    let ids: Vec<u64> = replies
        .as_array()
        .expect("replies")
        .iter()
        .filter_map(|reply| reply["id"].as_u64())
        .collect();
    assert_eq!(ids, (0..MAX_BATCH_CALLS as u64).collect::<Vec<_>>(), "in the order of the calls");
    client.send(&batch(MAX_BATCH_CALLS + 1));
    assert_eq!(error_kind(&client.receive()["error"]), "too_large");
    let value = client.call("settings.get", json!({"key": "k"}))["value"].clone();
    assert_eq!(value, MAX_BATCH_CALLS - 1, "none of a refused batch is carried out");
}

/// A frame has room for millions of entries; those past the limit are counted and not kept.
#[test]
fn a_batch_of_millions_is_counted_and_not_kept() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    let count = MAX_FRAME_BYTES / 2 - 1;
    client.send(&format!("[{}1]", "1,".repeat(count - 1)));
    let error = client.receive()["error"].take();
    assert_eq!(error_kind(&error), "too_large");
    assert_eq!((&error["data"]["actual"], &error["data"]["limit"]), (&json!(count), &json!(100)));
    let peak = daemon.peak_memory();
    assert!(peak < 100 * 1024 * 1024, "{peak} bytes for a frame of 16 MiB");
}

#[test]
fn there_are_256_connections() {
    let home = Home::new();
    let daemon = home.start();
    // Each is known to be served once it has an answer.
    let mut clients: Vec<LineClient> = (0..MAX_CONNECTIONS)
        .map(|_| {
            let mut client = daemon.client();
            client.call("system.ping", json!({}));
            client
        })
        .collect();
    let mut refused = daemon.client();
    let reply = refused.receive();
    assert_eq!(error_kind(&reply["error"]), "overloaded");
    assert_eq!(reply["error"]["data"]["limit"], MAX_CONNECTIONS);
    assert!(refused.try_receive().is_none(), "and it is hung up on");
    // Each is told in its own framing.
    let line = request(1, "system.ping", &json!({})) + "\n";
    let mut raw = connect(&home.socket());
    raw.write_all(line.as_bytes()).expect("sent");
    let mut answer = String::new();
    raw.read_to_string(&mut answer).expect("the daemon replies and hangs up");
    assert!(answer.ends_with("}\n") && answer.contains("overloaded"), "{answer}");
    let body = "x".repeat(1_000_000);
    for (opening, head_says) in [
        ("Content-Length: 1000000\r\n\r\n", "Content-Length: "),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n",
            "HTTP/1.1 503 ",
        ),
    ] {
        let mut raw = connect(&home.socket());
        // Sent to its end before the answer is read, as a client that blocks does it.
        raw.write_all(opening.as_bytes())
            .and_then(|()| raw.write_all(body.as_bytes()))
            .expect("sent");
        let (head, reply) = read_message(&mut raw);
        assert!(head.starts_with(head_says), "{head}");
        let reply: Value = serde_json::from_str(&reply).expect("JSON");
        assert_eq!(error_kind(&reply["error"]), "overloaded");
        assert_eq!(raw.read(&mut [0]).expect("it is closed"), 0);
    }
    for client in &mut clients {
        client.call("system.ping", json!({}));
    }
    // A place that is given back is taken again.
    drop(clients.pop());
    let mut again = None;
    while again.is_none() {
        let mut client = daemon.client();
        client.send(&request(1, "system.ping", &json!({})));
        again = client.try_receive().filter(|reply| reply.get("result").is_some());
    }
}

#[test]
fn past_the_connections_64_are_told_at_one_time() {
    let home = Home::new();
    let daemon = home.start();
    let served: Vec<LineClient> = (0..MAX_CONNECTIONS)
        .map(|_| {
            let mut client = daemon.client();
            client.call("system.ping", json!({}));
            client
        })
        .collect();
    let is_told = |client: &mut LineClient| {
        // Where it is closed already, it cannot send either.
        let _ = client.try_send("{}");
        client.try_receive().is_some_and(|reply| error_kind(&reply["error"]) == "overloaded")
    };
    // Each is being hung up on, and has some seconds for its part.
    let mut told: Vec<LineClient> = (0..MAX_REFUSALS)
        .map(|number| {
            let mut client = daemon.client();
            assert!(is_told(&mut client), "{number}");
            client
        })
        .collect();
    assert!(!is_told(&mut daemon.client()), "one past the limit");
    drop(told.pop());
    while !is_told(&mut daemon.client()) {}
    drop(served);
}

#[test]
fn a_page_has_1000_items_and_16_mib() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    let message = |content: &str| json!({"role": "user", "content": content});
    let many = |count: usize| json!({"session_id": "s", "messages": vec![message("c"); count]});
    for wrong in [0, MAX_APPEND_MANY + 1] {
        let error = client.fail("message.append_many", many(wrong));
        assert_eq!(error["data"]["field"], "messages", "{error}");
    }
    client.call("message.append_many", many(MAX_APPEND_MANY));
    for (limit, allowed) in [(0, false), (MAX_PAGE_ITEMS, true), (MAX_PAGE_ITEMS + 1, false)] {
        for method in ["history.page", "history.recent"] {
            let reply = client.reply(method, json!({"session_id": "s", "limit": limit}));
            assert_eq!(reply.get("result").is_some(), allowed, "{method} {limit}");
        }
        for method in ["session.list", "project.list", "settings.list"] {
            let reply = client.reply(method, json!({"limit": limit}));
            assert_eq!(reply.get("result").is_some(), allowed, "{method} {limit}");
        }
    }
    let most = MAX_PAGE_BYTES as u64;
    for (bytes, allowed) in [(0, true), (most, true), (most + 1, false)] {
        let reply = client.reply("history.recent", json!({"session_id": "s", "max_bytes": bytes}));
        assert_eq!(reply.get("result").is_some(), allowed, "{bytes}");
    }
    // Three contents of 7 MiB do not fit in 16 MiB: the page ends early and the cursor goes on.
    client.call("session.start", json!({"id": "big", "kind": "chat"}));
    let content = "y".repeat(7 * 1024 * 1024);
    for _ in 0..3 {
        client.call(
            "message.append",
            json!({"session_id": "big", "role": "user", "content": content}),
        );
    }
    let page = client.call("history.page", json!({"session_id": "big"}));
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(2));
    let rest =
        client.call("history.page", json!({"session_id": "big", "cursor": page["next_cursor"]}));
    assert_eq!(rest["messages"].as_array().map(Vec::len), Some(1));
    assert!(rest["next_cursor"].is_null());
    // Likewise of settings, in the user's scope and with a project's over it, and of sessions.
    client.call("project.open", json!({"path": "/p", "id": "p"}));
    for key in ["k1", "k2", "k3"] {
        client.call("settings.set", json!({"key": key, "value": content}));
    }
    client.call("settings.set", json!({"key": "k0", "value": content, "project_id": "p"}));
    client.call("settings.set", json!({"key": "k2", "value": 2, "project_id": "p"}));
    client.call("settings.set", json!({"key": "k4", "value": 4, "project_id": "p"}));
    let mut keys = Vec::new();
    let mut params = json!({"project_id": "p"});
    loop {
        let page = client.call("settings.list", params.clone());
        let settings = page["settings"].as_array().expect("settings");
        keys.extend(settings.iter().map(|setting| {
            (setting["key"].as_str().expect("a key").to_owned(), setting["resolved"].clone())
        }));
        if page["next_cursor"].is_null() {
            break;
        }
        params["cursor"] = page["next_cursor"].clone();
    }
    let expected =
        [("k0", "project"), ("k1", "user"), ("k2", "project"), ("k3", "user"), ("k4", "project")];
    assert_eq!(keys, expected.map(|(key, scope)| (key.to_owned(), json!(scope))));
    for id in ["d1", "d2", "d3"] {
        client
            .call("session.start", json!({"id": id, "kind": "described", "description": content}));
    }
    let page = client.call("session.list", json!({"kind": "described"}));
    assert_eq!(page["sessions"].as_array().map(Vec::len), Some(2));
    let rest =
        client.call("session.list", json!({"kind": "described", "cursor": page["next_cursor"]}));
    assert_eq!(
        (rest["sessions"].as_array().map(Vec::len), rest["next_cursor"].is_null()),
        (Some(1), true)
    );
    let recent = client.call("history.recent", json!({"session_id": "big"}));
    assert_eq!(
        (recent["messages"].as_array().map(Vec::len), &recent["has_more"]),
        (Some(2), &json!(true))
    );
}

/// A page's bytes are those of its JSON, in which a control character takes six.
#[test]
fn a_page_is_counted_as_it_is_sent() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    let content = "\u{1}".repeat(2 * 1024 * 1024);
    for _ in 0..3 {
        client
            .call("message.append", json!({"session_id": "s", "role": "tool", "content": content}));
    }
    // Small ones behind them, so many that the page must be counted exactly.
    let small = json!({"role": "user", "content": "\"small\"".repeat(100)});
    client.call("message.append_many", json!({"session_id": "s", "messages": vec![small; 900]}));
    let mut params = json!({"session_id": "s", "limit": 1000});
    let mut sizes = Vec::new();
    loop {
        let mut page = client.call("history.page", params.clone());
        let messages = page["messages"].take();
        assert!(messages.to_string().len() <= MAX_PAGE_BYTES);
        sizes.push(messages.as_array().expect("messages").len());
        if page["next_cursor"].is_null() {
            break;
        }
        params["cursor"] = page["next_cursor"].take();
    }
    assert_eq!(sizes, [1, 1, 901]);
    // One alone may be larger than a page.
    let first = client.call("history.page", json!({"session_id": "s", "limit": 1}));
    let (id, half) = (&first["messages"][0]["id"], "\u{1}".repeat(1024 * 1024));
    client.call("message.update", json!({"id": id, "metadata": {"m": half}}));
    let page = client.call("history.page", json!({"session_id": "s"}));
    assert!(page["messages"].to_string().len() > MAX_PAGE_BYTES);
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(1));
}

#[test]
fn ids_and_names_have_their_sizes() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "i".repeat(128), "kind": "k".repeat(1024)}));
    for (params, field) in [
        (json!({"id": "", "kind": "chat"}), "id"),
        (json!({"id": "i".repeat(129), "kind": "chat"}), "id"),
        (json!({"kind": ""}), "kind"),
        (json!({}), "kind"),
        (json!({"kind": "chat", "titel": "t"}), "titel"),
        (json!({"kind": 5}), "kind"),
        (json!({"kind": "chat", "metadata": []}), "metadata"),
        (json!({"kind": "chat", "created_at": 1.5}), "created_at"),
    ] {
        let error = client.fail("session.start", params.clone());
        assert_eq!(error_kind(&error), "invalid_params", "{params}");
        assert_eq!(
            error["data"].get("field").and_then(Value::as_str).unwrap_or_default(),
            field,
            "{error}"
        );
    }
    let error = client.fail("session.start", json!({"kind": "k".repeat(1025)}));
    assert_eq!(error_kind(&error), "too_large");
    let error = client.fail(
        "message.append_many",
        json!({"session_id": "s", "messages": [{"role": "user", "content": ""}, {"role": "robot", "content": ""}]}),
    );
    assert_eq!(error["data"]["field"], "messages[1].role", "{error}");
}

#[test]
fn a_time_lies_in_the_years_1_to_9999() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    let message = |at: i64| json!({"role": "user", "content": "", "created_at": at});
    for (number, at) in [MIN_TIME, MAX_TIME].into_iter().enumerate() {
        let id = format!("s{number}");
        client.call("session.start", json!({"id": id, "kind": "chat", "created_at": at}));
        let mut append = message(at);
        append["session_id"] = json!(id);
        assert_eq!(client.call("message.append", append)["created_at"], at);
        client.call("message.append_many", json!({"session_id": id, "messages": [message(at)]}));
    }
    for at in [MIN_TIME - 1, MAX_TIME + 1, i64::MIN, i64::MAX] {
        let refused = |error: Value, field: &str| {
            assert_eq!(error_kind(&error), "invalid_params", "{at}: {error}");
            assert_eq!(error["data"]["field"], field, "{error}");
        };
        let start = json!({"id": "out", "kind": "chat", "created_at": at});
        refused(client.fail("session.start", start), "created_at");
        let mut append = message(at);
        append["session_id"] = json!("s0");
        refused(client.fail("message.append", append), "created_at");
        let many = json!({"session_id": "s0", "messages": [message(0), message(0), message(at)]});
        refused(client.fail("message.append_many", many), "messages[2].created_at");
    }
    assert_eq!(client.call("session.get", json!({"id": "s0"}))["next_index"], 2);
    let list = client.call("session.list", json!({}));
    let ids: Vec<_> =
        list["sessions"].as_array().expect("sessions").iter().map(|found| &found["id"]).collect();
    assert_eq!(ids, ["s1", "s0"]);
}
