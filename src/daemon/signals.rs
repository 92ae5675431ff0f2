//! The signals that end the daemon.

use std::future::Future;
use std::io;

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Error, Result};

/// Returns what is done once the process is asked to end.
///
/// That is by SIGTERM, SIGINT, or SIGHUP, which a terminal sends when it is closed; where SIGHUP was
/// ignored from the start, as under `nohup`, it stays so. It also takes SIGXFSZ, so that a file over
/// the user's limit is an error of the write instead of the end of the process.
pub(super) fn stop_requested() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = match is_ignored(Signal::HUP) {
        true => None,
        false => Some(signal(SignalKind::hangup())?),
    };
    let file_too_large = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
    Ok(async move {
        let hung_up = async {
            match &mut hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = hung_up => "SIGHUP",
        };
        drop(file_too_large);
        tracing::info!(signal = name, "stopping");
    })
}

/// True where the process was started with the signal ignored, as far as the system tells.
fn is_ignored(signal: Signal) -> bool {
    // Linux tells it as a mask in hexadecimal (proc_pid_status(5)); others tell it nowhere.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}

/// Asks the daemon of this process id to end, by SIGTERM.
///
/// Call it only while the home's lock is held by that daemon: its id is nobody else's then.
pub fn ask_to_stop(pid: u32) -> Result<()> {
    let failed =
        |problem: String| Error::Startup(format!("cannot end the daemon {pid}: {problem}"));
    let id = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| failed("the lock holds no process id".to_owned()))?;
    match kill_process(id, Signal::TERM) {
        // It has ended meanwhile.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(failed(error.to_string())),
    }
}
