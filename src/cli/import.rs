//! `aetherd import`.

use std::path::PathBuf;

use super::{Failure, meanwhile, output};
use crate::client::Client;
use crate::error::Error;
use crate::paths::Paths;
use crate::transfer::{self, FileOutcome, Totals};

#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// A home of the IDE, a folder of it, or a single file
    #[arg(required = true, value_name = "PATH")]
    sources: Vec<PathBuf>,
}

pub(super) async fn run(paths: Paths, args: &ImportArgs, as_json: bool) -> Result<(), Failure> {
    let (totals, _) =
        meanwhile::with_daemon(paths, async |client| import(client, args, as_json).await).await?;
    if as_json {
        output::json(&serde_json::json!({ "totals": totals }))?;
    } else {
        output::line(&totals.to_string())?;
    }
    if totals.is_complete() {
        return Ok(());
    }
    Err(Failure::Incomplete(
        "not all could be imported; the lines above say what, and the files are as they were"
            .to_owned(),
    ))
}

/// Prints one line a file, and below it what is to be known of it.
fn print(outcome: &FileOutcome) -> Result<(), Failure> {
    output::line(&outcome.to_string())?;
    for problem in &outcome.problems {
        output::line(&format!("  problem: {problem}"))?;
    }
    for note in &outcome.notes {
        output::line(&format!("  note: {note}"))?;
    }
    Ok(())
}

async fn import(client: &mut Client, args: &ImportArgs, as_json: bool) -> Result<Totals, Failure> {
    let mut printed = Ok(());
    let totals = transfer::import(client, &args.sources, &mut |outcome| {
        if printed.is_ok() {
            printed = if as_json { output::json(outcome) } else { print(outcome) };
        }
    })
    .await
    .map_err(|error| Error::Startup(error.to_string()))?;
    printed?;
    Ok(totals)
}
