//! `aetherd stop`.

use std::time::{Duration, Instant};

use super::{Failure, output};
use crate::api::system::{NoParams, Shutdown};
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
            client.call::<Shutdown>(&NoParams {}).await?;
            true
        }
        Err(ClientError::Unreachable { .. }) => false,
        Err(error) => return Err(error.into()),
    };
    if was_running {
        wait_until_unlocked(paths).await?;
    }
    if as_json {
        return output::json(&serde_json::json!({ "stopped": was_running }));
    }
    output::line(if was_running { "stopped" } else { "no daemon was running" })
}

/// The lock is free once the database is closed and the socket is gone.
async fn wait_until_unlocked(paths: &Paths) -> Result<(), Failure> {
    let deadline = Instant::now() + DEADLINE;
    while HomeLock::is_held(paths)? {
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
