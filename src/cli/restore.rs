//! `aetherd restore`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::meanwhile::ServedBy;
use super::{Failure, meanwhile, output};
use crate::api::backup::{Restore, RestoreParams};
use crate::api::system::{Greet, HelloParams};
use crate::client::{Client, ClientError};
use crate::error::Error;
use crate::paths::Paths;

/// What is said for the newest backup in the folder of backups.
const LATEST: &str = "latest";

/// How long the daemon has to come back.
const DEADLINE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(10);

#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    /// A backup, or `latest` for the newest in the folder of backups
    #[arg(value_name = "FILE")]
    backup: PathBuf,
}

pub(super) async fn run(paths: Paths, args: &RestoreArgs, as_json: bool) -> Result<(), Failure> {
    let path = match args.backup == Path::new(LATEST) {
        true => None,
        false => Some(meanwhile::absolute(&args.backup)?),
    };
    let socket = paths.socket.clone();
    let ((restoring, instance), served_by) = meanwhile::with_daemon(paths, async |client| {
        let instance = client.call::<Greet>(&HelloParams::default()).await?.instance_id;
        Ok((client.call::<Restore>(&RestoreParams { path }).await?, instance))
    })
    .await?;
    if served_by == ServedBy::Daemon {
        wait_for_another(&socket, &instance).await?;
    }
    if as_json {
        return output::json(&restoring);
    }
    output::line(&format!(
        "{} is in place; what was there before is {}",
        restoring.path, restoring.kept
    ))
}

/// Waits until a daemon answers that is not the one which was asked.
async fn wait_for_another(socket: &Path, instance: &str) -> Result<(), Failure> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if instance_at(socket).await.is_ok_and(|found| found != instance) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::Startup(format!(
                "the daemon did not come back within {} seconds; see its log",
                DEADLINE.as_secs()
            ))
            .into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn instance_at(socket: &Path) -> Result<String, ClientError> {
    let mut client = Client::connect(socket).await?;
    Ok(client.call::<Greet>(&HelloParams::default()).await?.instance_id)
}
