//! `aetherd import`.

use std::path::PathBuf;

use tokio::sync::oneshot;

use super::{Failure, output};
use crate::client::{Client, ClientError};
use crate::config::Config;
use crate::daemon;
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
    let totals = match Client::connect(&paths.socket).await {
        Ok(mut client) => import(&mut client, args, as_json).await?,
        Err(ClientError::Unreachable { .. }) => import_alone(paths, args, as_json).await?,
        Err(error) => return Err(error.into()),
    };
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

/// Imports without a daemon: is one for as long as it takes.
async fn import_alone(paths: Paths, args: &ImportArgs, as_json: bool) -> Result<Totals, Failure> {
    let socket = paths.socket.clone();
    let daemon = daemon::start(&Config::new(paths)).await?;
    let (done, stop) = oneshot::channel::<()>();
    let importing = async {
        let outcome = match Client::connect(&socket).await {
            Ok(mut client) => import(&mut client, args, as_json).await,
            Err(error) => Err(error.into()),
        };
        drop(done);
        outcome
    };
    let running = daemon.run(async {
        // Nothing is sent: the import is over when its end is dropped.
        let _ = stop.await;
    });
    let (ended, outcome) = tokio::join!(running, importing);
    ended?;
    outcome
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
