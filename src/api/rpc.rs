//! `rpc.discover`: the protocol's own description.

use super::method;
use super::system::NoParams;
use crate::model::Json;

method! {
    /// Gives the OpenRPC document of this build: every method with its params, result, errors and an example.
    Discover = "rpc.discover", Direct, NoParams => Json,
    errors: [],
    example: r#"{}"# => r#"{"openrpc": "1.4.1"}"#,
}
