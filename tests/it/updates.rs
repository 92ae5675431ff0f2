//! What an update changes: what it names, null too, and nothing else.

use serde_json::{Value, json};

use crate::support::{Home, LineClient, error_kind};

/// A project, a session and a message, each with free data.
fn records(client: &mut LineClient) {
    let metadata = json!({"a": {"b": 1}});
    client.call("project.open", json!({"id": "p", "path": "/p", "metadata": metadata}));
    client.call("session.start", json!({"id": "s", "kind": "chat", "metadata": metadata}));
    client.call(
        "message.append",
        json!({"id": "m", "session_id": "s", "role": "user", "content": "c", "metadata": metadata}),
    );
}

const NOUNS: [(&str, &str); 3] = [("project", "p"), ("session", "s"), ("message", "m")];

#[test]
fn a_null_clears_the_free_data() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    records(&mut client);
    for (noun, id) in NOUNS {
        let (update, get) = (format!("{noun}.update"), format!("{noun}.get"));
        let updated = client.call(&update, json!({"id": id, "metadata": null}));
        assert_eq!(updated["metadata"], Value::Null, "{noun}");
        assert_eq!(client.call(&get, json!({"id": id}))["metadata"], Value::Null, "{noun}");
        // A patch then starts from nothing.
        let updated = client.call(&update, json!({"id": id, "metadata": {"c": 2, "a": null}}));
        assert_eq!(updated["metadata"], json!({"c": 2}), "{noun}");
    }
}

#[test]
fn a_null_for_what_cannot_be_null_is_refused() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    records(&mut client);
    for (method, id, field) in [("message.update", "m", "content"), ("project.update", "p", "name")]
    {
        let error = client.fail(method, json!({"id": id, field: null, "metadata": null}));
        assert_eq!(error_kind(&error), "invalid_params", "{error}");
        assert_eq!(error["data"]["field"], field, "{error}");
    }
    assert_ne!(client.call("message.get", json!({"id": "m"}))["metadata"], Value::Null);
}

#[test]
fn an_update_that_changes_nothing_is_no_update() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    records(&mut client);
    let unchanged = |client: &mut LineClient, noun: &str, params: Value| {
        let id = &params["id"];
        let before = client.call(&format!("{noun}.get"), json!({"id": id}));
        let after = client.call(&format!("{noun}.update"), params.clone());
        assert_eq!(after, before, "{noun}.update {params}");
        assert_eq!(client.call(&format!("{noun}.get"), json!({"id": id})), before);
    };
    for (noun, id) in NOUNS {
        unchanged(&mut client, noun, json!({"id": id}));
        unchanged(&mut client, noun, json!({"id": id, "metadata": {"a": {"b": 1}, "none": null}}));
    }
    unchanged(&mut client, "message", json!({"id": "m", "content": "c", "code_excerpt": null}));
    unchanged(&mut client, "session", json!({"id": "s", "title": null, "project_id": null}));
    let message = client.call("message.get", json!({"id": "m"}));
    assert_eq!(message["updated_at"], Value::Null);
    let message = client.call("message.update", json!({"id": "m", "content": "d"}));
    assert!(message["updated_at"].is_i64(), "{message}");
}
