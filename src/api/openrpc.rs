//! The OpenRPC document (spec.open-rpc.org, 1.4.1), made from the methods' types and their docs.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::{Access, ErrorKind, Method, PROTOCOL, for_each_method};

/// The version of the OpenRPC specification the document follows.
pub const OPENRPC_VERSION: &str = "1.4.1";

/// The errors every method can give.
const COMMON_ERRORS: &[ErrorKind] =
    &[ErrorKind::InvalidParams, ErrorKind::Internal, ErrorKind::ShuttingDown];
const READ_ERRORS: &[ErrorKind] = &[ErrorKind::Overloaded, ErrorKind::Storage];
const WRITE_ERRORS: &[ErrorKind] =
    &[ErrorKind::Overloaded, ErrorKind::Storage, ErrorKind::DiskFull];

/// Returns the document of this build.
pub fn document() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let mut methods = Vec::new();
    macro_rules! describe_each {
        ($($method:ty),* $(,)?) => { $(methods.push(describe::<$method>(&mut schemas));)* };
    }
    for_each_method!(describe_each);
    let errors: Map<String, Value> =
        ErrorKind::ALL.iter().map(|kind| (kind.word().to_owned(), error_object(*kind))).collect();
    json!({
        "openrpc": OPENRPC_VERSION,
        "info": {
            "title": "aetherd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": env!("CARGO_PKG_DESCRIPTION"),
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "x-protocol": PROTOCOL,
        "methods": methods,
        "components": { "schemas": schemas.take_definitions(true), "errors": errors },
    })
}

fn describe<M: Method>(schemas: &mut SchemaGenerator) -> Value {
    let params_schema = schemas.root_schema_for::<M::Params>().to_value();
    let result_schema = schemas.subschema_for::<M::Result>().to_value();
    let required: Vec<&str> = params_schema["required"]
        .as_array()
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let no_properties = Map::new();
    let params: Vec<Value> = params_schema["properties"]
        .as_object()
        .unwrap_or(&no_properties)
        .iter()
        .map(|(name, schema)| {
            let mut descriptor =
                json!({ "name": name, "required": required.contains(&name.as_str()) });
            if let Some(description) = schema.get("description") {
                descriptor["description"] = description.clone();
            }
            descriptor["schema"] = schema.clone();
            descriptor
        })
        .collect();
    let (summary, description) = split_doc(M::DOC);
    let own_errors = match M::ACCESS {
        Access::Direct => &[],
        Access::Read => READ_ERRORS,
        Access::Write => WRITE_ERRORS,
    };
    let errors: Vec<Value> = COMMON_ERRORS
        .iter()
        .chain(M::ERRORS)
        .chain(own_errors)
        .map(|kind| json!({ "$ref": format!("#/components/errors/{}", kind.word()) }))
        .collect();
    let example_params: Map<String, Value> =
        serde_json::from_str(M::EXAMPLE.params).expect("an example's params are an object");
    let example_result: Value =
        serde_json::from_str(M::EXAMPLE.result).expect("an example's result is JSON");
    let example_params: Vec<Value> = example_params
        .into_iter()
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    json!({
        "name": M::NAME,
        "summary": summary,
        "description": description,
        "paramStructure": "by-name",
        "params": params,
        "result": { "name": "result", "schema": result_schema },
        "errors": errors,
        "examples": [{
            "name": M::NAME,
            "params": example_params,
            "result": { "name": "result", "value": example_result },
        }],
    })
}

/// Splits a doc comment in its first sentence and the rest, each on one line a paragraph.
fn split_doc(doc: &str) -> (String, String) {
    let paragraphs: Vec<String> = doc
        .split("\n \n")
        .flat_map(|part| part.split("\n\n"))
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|part| !part.is_empty())
        .collect();
    let summary = paragraphs.first().cloned().unwrap_or_default();
    (summary, paragraphs.get(1..).unwrap_or_default().join("\n\n"))
}

fn error_object(kind: ErrorKind) -> Value {
    json!({
        "code": kind.code(),
        "message": kind.meaning().trim(),
        "data": { "kind": kind.word(), "retryable": kind.is_retryable() },
    })
}
