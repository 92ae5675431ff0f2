//! `aetherd call`.

use std::io::Read;

use serde_json::value::RawValue;

use super::{Failure, output};
use crate::client::Client;
use crate::paths::Paths;

#[derive(Debug, clap::Args)]
pub(super) struct CallArgs {
    /// The method, such as session.list
    method: String,
    /// Its params, a JSON object; `-` reads them from standard input
    #[arg(default_value = "{}")]
    params: String,
}

pub(super) async fn run(paths: &Paths, args: &CallArgs, as_json: bool) -> Result<(), Failure> {
    let text = if args.params == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|error| {
            Failure::Usage(format!("cannot read the params from standard input: {error}"))
        })?;
        text
    } else {
        args.params.clone()
    };
    let params: Box<RawValue> = serde_json::from_str(text.trim())
        .map_err(|error| Failure::Usage(format!("the params are not JSON: {error}")))?;
    let mut client = Client::connect(&paths.socket).await?;
    let result = client.call_text(&args.method, &params).await?;
    if as_json {
        return output::line(result.get());
    }
    output::json(&result)
}
