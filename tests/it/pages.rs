//! Cursors: each goes on with the list it was made for, and with no other.

use serde_json::{Value, json};

use crate::support::{Home, LineClient, error_kind};

fn with(params: &Value, name: &str, value: &Value) -> Value {
    let mut params = params.clone();
    params[name] = value.clone();
    params
}

/// Lists of more than one item each, of which the filters and the order are all the params.
fn lists() -> [(&'static str, Value); 20] {
    [
        ("history.page", json!({"session_id": "s1"})),
        ("history.page", json!({"session_id": "s2"})),
        ("history.page", json!({"session_id": "s1", "order": "newest"})),
        ("history.page", json!({"session_id": "s1", "include_compacted": true})),
        ("session.list", json!({})),
        ("session.list", json!({"archived": true})),
        ("session.list", json!({"deleted": true})),
        ("session.list", json!({"parent_id": "s1"})),
        ("session.list", json!({"kind": "chat"})),
        ("session.list", json!({"project_id": "p1"})),
        ("session.list", json!({"project_id": null})),
        ("settings.list", json!({})),
        ("settings.list", json!({"prefix": "k"})),
        ("settings.list", json!({"project_id": "p1"})),
        ("edit.list", json!({"file_path": "/x"})),
        ("edit.list", json!({"file_path": "/x", "order": "newest"})),
        ("edit.list", json!({"session_id": "s3"})),
        ("edit.list", json!({"project_id": "p1"})),
        ("project.list", json!({})),
        ("project.list", json!({"include_removed": true})),
    ]
}

fn fill(client: &mut LineClient) {
    for number in 1..=2 {
        client.call(
            "project.open",
            json!({"id": format!("p{number}"), "path": format!("/{number}")}),
        );
        client.call("settings.set", json!({"key": format!("k{number}"), "value": number}));
    }
    for number in 1..=8 {
        // Two each in the archive, in the trash, and of the first one.
        let id = format!("x{number}");
        let parent_id = (number > 4).then_some("s1");
        if number == 5 {
            client.call("session.start", json!({"id": "s1", "kind": "chat"}));
        }
        let params = json!({"id": id, "kind": "other", "parent_id": parent_id});
        client.call("session.start", params);
        match number {
            1 | 2 => client.call("session.update", json!({"id": id, "archived": true})),
            3 | 4 => client.call("session.delete", json!({"id": id})),
            _ => Value::Null,
        };
    }
    for number in 1..=4 {
        let id = format!("s{number}");
        let project_id = (number > 2).then_some("p1");
        client.call("session.start", json!({"id": id, "kind": "chat", "project_id": project_id}));
        for _ in 0..2 {
            client.call("message.append", json!({"session_id": id, "role": "user", "content": ""}));
        }
        if number == 3 {
            let diff = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-0\n+1\n";
            for _ in 0..2 {
                client.call(
                    "edit.record",
                    json!({"session_id": id, "file_path": "/x", "kind": "replace", "diff": diff}),
                );
            }
        }
    }
}

#[test]
fn a_cursor_is_of_one_list() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    fill(&mut client);
    let cursors: Vec<Value> = lists()
        .iter()
        .map(|(method, params)| {
            let page = client.call(method, with(params, "limit", &json!(1)));
            assert!(page["next_cursor"].is_string(), "{method} {params}: {page}");
            page["next_cursor"].clone()
        })
        .collect();
    for (at, (method, params)) in lists().iter().enumerate() {
        for (of, cursor) in cursors.iter().enumerate() {
            let params = with(params, "cursor", cursor);
            if at == of {
                // The length of a page may change on the way.
                assert!(client.call(method, params)["next_cursor"].is_null(), "{method}");
                continue;
            }
            let error = client.fail(method, params.clone());
            assert_eq!(error_kind(&error), "invalid_params", "{method} {params}: {error}");
            assert_eq!(error["data"]["field"], "cursor", "{error}");
            assert_eq!(
                error["message"], "cursor: is of another list; start without a cursor",
                "{method} {params}"
            );
        }
    }
    // A param that says what its absence says is the same list.
    let params = json!({"session_id": "s1", "order": "oldest", "cursor": cursors[0]});
    assert_eq!(client.call("history.page", params)["messages"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_cursor_is_taken_as_it_was_given_alone() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    fill(&mut client);
    let params = json!({"session_id": "s1", "limit": 1});
    let page = client.call("history.page", params.clone());
    let cursor = page["next_cursor"].as_str().expect("a cursor");
    let (list, position) = cursor.split_once('.').expect("a list and a position");
    assert_eq!(position, "0.");
    for other in ["+0.", "00.", "-0.", "0", "0.4A", " 0."] {
        let error =
            client.fail("history.page", with(&params, "cursor", &json!(format!("{list}.{other}"))));
        assert_eq!(error["data"]["field"], "cursor", "{other}: {error}");
    }
}
