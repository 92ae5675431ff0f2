//! `aetherd stop`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Failure, output, running};
use crate::api::system::{Greet, Hello, HelloParams, NoParams, Shutdown};
use crate::client::{Client, ClientError};
use crate::daemon::{self, HomeLock};
use crate::error::Error;
use crate::paths::Paths;

/// How long a daemon has to end: what is in flight has ten seconds, then the database is closed.
const DEADLINE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(10);

pub(super) async fn run(paths: &Paths, as_json: bool) -> Result<(), Failure> {
    let was_running = match ask(paths).await {
        Ok(daemon) => {
            wait_for_the_end(&home_of(&daemon, paths), &daemon.instance_id).await?;
            true
        }
        Err(error) if running::leaves_open(&error) => end_unasked(paths, error).await?,
        Err(error) => return Err(error.into()),
    };
    if as_json {
        return output::json(&serde_json::json!({ "stopped": was_running }));
    }
    output::line(if was_running { "stopped" } else { "no daemon was running" })
}

/// Asks the daemon at the socket to end, and returns who it is.
async fn ask(paths: &Paths) -> Result<Hello, ClientError> {
    let mut client = Client::connect(&paths.socket).await?;
    let daemon = client.call::<Greet>(&HelloParams::default()).await?;
    client.call::<Shutdown>(&NoParams {}).await?;
    Ok(daemon)
}

/// Ends the daemon that holds the home's lock though it cannot be asked; false where there is none.
async fn end_unasked(paths: &Paths, error: ClientError) -> Result<bool, Failure> {
    let Some(holder) = running::holder(paths, &error)? else {
        return match error {
            ClientError::Unreachable { .. } => Ok(false),
            error => Err(error.into()),
        };
    };
    let Some(holder) = holder else {
        return Err(Error::Startup(format!(
            "a daemon of {} starts or ends, or runs where its process is not seen from here, and \
             cannot be asked to stop; try again",
            paths.home.display()
        ))
        .into());
    };
    daemon::ask_to_stop(holder.pid)?;
    wait_for_the_end(paths, &holder.instance_id).await?;
    Ok(true)
}

/// The paths of the daemon that answered: with `--socket` it may be that of another home.
fn home_of(daemon: &Hello, paths: &Paths) -> Paths {
    let mut paths = paths.clone();
    if daemon.paths.home != paths.home.display().to_string() {
        paths.home = PathBuf::from(&daemon.paths.home);
    }
    paths
}

/// Waits until the daemon has given up its home's lock: its database is closed and its socket gone.
///
/// Not until the lock is free: another daemon may have it by then.
async fn wait_for_the_end(paths: &Paths, instance_id: &str) -> Result<(), Failure> {
    let deadline = Instant::now() + DEADLINE;
    while HomeLock::is_held_by(paths, instance_id)? {
        if Instant::now() > deadline {
            return Err(Error::Startup(format!(
                "the daemon did not end within {} seconds; see its log",
                DEADLINE.as_secs()
            ))
            .into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}
