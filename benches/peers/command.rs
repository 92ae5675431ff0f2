//! A command of the release binary, as a user gives it: how long it takes, and its memory.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::{PEAK, memory_mib};

/// Time between two looks at the command's memory.
const PAUSE: Duration = Duration::from_millis(2);

/// What a command came to that did what it was told.
pub(crate) struct Done {
    /// From the start of its process to the end.
    pub(crate) time: Duration,
    /// The most resident memory it had, in MiB; 0 where the system does not tell.
    pub(crate) peak: f64,
}

/// Gives a command to a home, with `--json`.
pub(crate) fn run(home: &Path, arguments: &[&OsStr]) -> Done {
    std::fs::create_dir_all(home).expect("the bench's folder is writable");
    let mut command = Command::new(env!("CARGO_BIN_EXE_aetherd"));
    command.arg("--json").arg("--home").arg(home).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let started = Instant::now();
    let mut child = command.spawn().expect("the binary is built");
    let mut peak: f64 = 0.0;
    loop {
        peak = peak.max(memory_mib(&child, PEAK).unwrap_or_default());
        if let Some(status) = child.try_wait().expect("it is our child") {
            assert!(status.success(), "{arguments:?} ended with {status}");
            return Done { time: started.elapsed(), peak };
        }
        std::thread::sleep(PAUSE);
    }
}
