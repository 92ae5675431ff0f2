//! What is known of a daemon that runs though it does not answer: its home's lock tells.

use crate::api::ErrorKind;
use crate::client::ClientError;
use crate::daemon::{HomeLock, LockInfo};
use crate::error::{Error, Result};
use crate::paths::Paths;

/// True where the error does not tell whether a daemon runs, or comes from one that is too busy to
/// hear a call.
pub(super) fn leaves_open(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } | ClientError::Broken(_) => true,
        ClientError::Rpc { kind, .. } => {
            [ErrorKind::Overloaded, ErrorKind::ShuttingDown].iter().any(|one| one.word() == kind)
        }
        ClientError::Forbidden { .. } => false,
    }
}

/// Returns who holds the home's lock, after a call that ended with an error which leaves it open:
/// none where no daemon of the home runs, and no name where it has not written one yet.
///
/// A daemon that listens elsewhere than at the `--socket` that was said is not the one that was
/// meant.
pub(super) fn holder(paths: &Paths, error: &ClientError) -> Result<Option<Option<LockInfo>>> {
    let holder = HomeLock::holder(paths)?;
    if let Some(Some(holder)) = &holder
        && paths.socket != paths.default_socket()
        && holder.socket != paths.socket.display().to_string()
    {
        if !matches!(error, ClientError::Unreachable { .. }) {
            return Ok(None);
        }
        return Err(Error::Startup(format!(
            "no daemon answers at {}; that of {} (pid {}) listens at {}: say `--socket` with that",
            paths.socket.display(),
            paths.home.display(),
            holder.pid,
            holder.socket
        )));
    }
    Ok(holder)
}
