//! `aetherd import`.

use std::path::PathBuf;

use super::{Failure, import_export, meanwhile, output};
use crate::client::Client;
use crate::error::Error;
use crate::paths::Paths;
use crate::transfer::{self, FileOutcome, Totals};

#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// A home of the IDE, a folder of it, a single file, or a file that `aetherd export` wrote
    #[arg(required = true, value_name = "PATH")]
    sources: Vec<PathBuf>,
}

pub(super) async fn run(paths: Paths, args: &ImportArgs, as_json: bool) -> Result<(), Failure> {
    let ((totals, is_complete), _) =
        meanwhile::with_daemon(paths, async |client| import(client, args, as_json).await).await?;
    match totals {
        Some(totals) if as_json => output::json(&serde_json::json!({ "totals": totals }))?,
        Some(totals) => output::line(&totals.to_string())?,
        None => {}
    }
    if is_complete {
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

/// Returns the totals of the IDE's files, where there were any, and whether all could be imported.
async fn import(
    client: &mut Client,
    args: &ImportArgs,
    as_json: bool,
) -> Result<(Option<Totals>, bool), Failure> {
    let (exports, sources): (Vec<PathBuf>, Vec<PathBuf>) =
        args.sources.iter().cloned().partition(|path| import_export::is_export(path));
    let mut is_complete = true;
    for path in &exports {
        is_complete &= import_export::import(client, path, false, as_json).await?;
    }
    if sources.is_empty() {
        return Ok((None, is_complete));
    }
    let mut printed = Ok(());
    let totals = transfer::import(client, &sources, &mut |outcome| {
        if printed.is_ok() {
            printed = if as_json { output::json(outcome) } else { print(outcome) };
        }
    })
    .await
    .map_err(|error| Error::Startup(error.to_string()))?;
    printed?;
    is_complete &= totals.is_complete();
    Ok((Some(totals), is_complete))
}
