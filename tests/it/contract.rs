//! The contract: the OpenRPC document and its golden copy, and the examples executed.

use aetherd::api::openrpc;
use aetherd::server::methods::Methods;
use serde_json::{Map, Value};

use crate::support::Home;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/proto/openrpc.json");

fn golden_text() -> String {
    let mut text = serde_json::to_string_pretty(&openrpc::document()).expect("JSON");
    text.push('\n');
    text
}

/// `UPDATE_GOLDEN=1 cargo test golden` writes it anew; the diff then shows what changed.
#[test]
fn the_golden_copy_is_what_the_types_say() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, golden_text()).expect("the golden copy is written");
    }
    let golden = std::fs::read_to_string(GOLDEN).expect("proto/openrpc.json exists");
    assert!(
        golden == golden_text(),
        "proto/openrpc.json differs from the methods' types; \
         write it anew with `UPDATE_GOLDEN=1 cargo test golden` and review the diff"
    );
}

#[test]
fn the_document_lists_just_the_methods_that_are_served() {
    let document = openrpc::document();
    let methods = document["methods"].as_array().expect("methods");
    let mut documented: Vec<&str> =
        methods.iter().filter_map(|method| method["name"].as_str()).collect();
    let served = Methods::standard();
    let mut served: Vec<&str> = served.names().collect();
    documented.sort_unstable();
    served.sort_unstable();
    assert_eq!(documented, served);
    for method in methods {
        assert!(method["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{method}");
        assert!(method["errors"].as_array().is_some_and(|errors| !errors.is_empty()), "{method}");
    }
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    let document = openrpc::document();
    let mut pending = vec![&document];
    let mut references = 0;
    while let Some(value) = pending.pop() {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(target)) = members.get("$ref") {
                    references += 1;
                    let pointer =
                        target.strip_prefix('#').expect("a reference within the document");
                    assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
                }
                pending.extend(members.values());
            }
            Value::Array(items) => pending.extend(items),
            _ => {}
        }
    }
    assert!(references > 100, "found only {references}");
}

/// The examples of all methods, in their order, are one story on one fresh home.
#[test]
fn every_example_does_what_it_shows() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    let document = openrpc::document();
    for method in document["methods"].as_array().expect("methods") {
        let name = method["name"].as_str().expect("a name");
        let example = &method["examples"][0];
        let params: Map<String, Value> = example["params"]
            .as_array()
            .expect("params")
            .iter()
            .map(|param| {
                (param["name"].as_str().expect("a name").to_owned(), param["value"].clone())
            })
            .collect();
        let result = client.call(name, Value::Object(params));
        let expected = &example["result"]["value"];
        if name == "rpc.discover" {
            assert_eq!(result, document);
            assert_eq!(result["openrpc"], expected["openrpc"]);
            continue;
        }
        assert_eq!(steady(result, ""), steady(expected.clone(), ""), "{name}");
    }
}

/// Replaces what differs from run to run by its type.
fn steady(value: Value, name: &str) -> Value {
    const VARYING: [&str; 11] = [
        "instance_id",
        "version",
        "pid",
        "home",
        "database",
        "socket",
        "connections",
        "writes",
        "groups",
        "database_bytes",
        "wal_bytes",
    ];
    match value {
        Value::Object(members) => Value::Object(
            members.into_iter().map(|(name, value)| (name.clone(), steady(value, &name))).collect(),
        ),
        Value::Array(items) => {
            Value::Array(items.into_iter().map(|item| steady(item, "")).collect())
        }
        Value::Number(_) if name.ends_with("_at") || VARYING.contains(&name) => "a number".into(),
        Value::String(_) if VARYING.contains(&name) => "a text".into(),
        other => other,
    }
}
