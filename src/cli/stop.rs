//! `aetherd stop`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Failure, output};
use crate::api::system::{Greet, Hello, HelloParams, NoParams, Shutdown};
use crate::client::{Client, ClientError};
use crate::daemon::HomeLock;
use crate::error::Error;
use crate::paths::Paths;

/// How long a daemon has to end: what is in flight has ten seconds, then the database is closed.
const DEADLINE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(10);

pub(super) async fn run(paths: &Paths, as_json: bool) -> Result<(), Failure> {
    let was_running = match Client::connect(&paths.socket).await {
        Ok(mut client) => {
            let daemon = client.call::<Greet>(&HelloParams::default()).await?;
            client.call::<Shutdown>(&NoParams {}).await?;
            wait_for_the_end(paths, &daemon).await?;
            true
        }
        Err(ClientError::Unreachable { .. }) => false,
        Err(error) => return Err(error.into()),
    };
    if as_json {
        return output::json(&serde_json::json!({ "stopped": was_running }));
    }
    output::line(if was_running { "stopped" } else { "no daemon was running" })
}

/// Waits until the daemon has given up its home's lock: its database is closed and its socket gone.
///
/// Not until the lock is free: another daemon may have it by then.
async fn wait_for_the_end(paths: &Paths, daemon: &Hello) -> Result<(), Failure> {
    let mut paths = paths.clone();
    // With `--socket` it may be the daemon of another home. A path that is not UTF-8 is not told
    // exactly, so it is taken only where it differs.
    if daemon.paths.home != paths.home.display().to_string() {
        paths.home = PathBuf::from(&daemon.paths.home);
    }
    let deadline = Instant::now() + DEADLINE;
    while HomeLock::is_held_by(&paths, &daemon.instance_id)? {
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
