//! A daemon for the time of a command: the one that runs, or else this process itself.

use std::path::Path;

use tokio::sync::oneshot;

use super::Failure;
use crate::client::{Client, ClientError};
use crate::config::Config;
use crate::daemon;
use crate::error::Error;
use crate::paths::Paths;

/// Who served a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServedBy {
    /// A daemon that was there, and still is.
    Daemon,
    /// This process, which is none any more.
    Itself,
}

/// Does what needs a daemon, and tells which one it had.
pub(super) async fn with_daemon<T>(
    paths: Paths,
    work: impl AsyncFnOnce(&mut Client) -> Result<T, Failure>,
) -> Result<(T, ServedBy), Failure> {
    with_daemon_as(&Config::new(paths), work).await
}

/// The same, where it says how this process is a daemon.
pub(super) async fn with_daemon_as<T>(
    config: &Config,
    work: impl AsyncFnOnce(&mut Client) -> Result<T, Failure>,
) -> Result<(T, ServedBy), Failure> {
    match Client::connect(&config.paths.socket).await {
        Ok(mut client) => Ok((work(&mut client).await?, ServedBy::Daemon)),
        Err(ClientError::Unreachable { .. }) => Ok((alone(config, work).await?, ServedBy::Itself)),
        Err(error) => Err(error.into()),
    }
}

/// Is a daemon for as long as it takes.
async fn alone<T>(
    config: &Config,
    work: impl AsyncFnOnce(&mut Client) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let socket = config.paths.socket.clone();
    let daemon = daemon::start(config).await?;
    let (done, stop) = oneshot::channel::<()>();
    let working = async {
        let outcome = match Client::connect(&socket).await {
            Ok(mut client) => work(&mut client).await,
            Err(error) => Err(error.into()),
        };
        drop(done);
        outcome
    };
    let running = daemon.run(async {
        // Nothing is sent: the work is over when its end is dropped.
        let _ = stop.await;
    });
    let (ended, outcome) = tokio::join!(running, working);
    ended?;
    outcome
}

/// Returns a path as the daemon can take it, whose working folder is another.
pub(super) fn absolute(path: &Path) -> Result<String, Failure> {
    let absolute = std::path::absolute(path)
        .map_err(|error| Error::Startup(format!("{}: {error}", path.display())))?;
    absolute
        .into_os_string()
        .into_string()
        .map_err(|_| Failure::Usage(format!("the path {} is not UTF-8", path.display())))
}
