//! The signals that end the daemon.

use std::future::Future;
use std::io;

/// Returns what is done once the process is asked to end.
///
/// It also takes SIGXFSZ, so that a file over the user's limit is an error of the write instead
/// of the end of the process.
#[cfg(unix)]
pub(super) fn stop_requested() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let file_too_large = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        drop(file_too_large);
        tracing::info!(signal = name, "stopping");
    })
}
