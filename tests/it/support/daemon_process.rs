//! The real daemon as a process of its own, on a temporary home.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a daemon may take to answer, and to end. Long, for a busy machine; no test waits it out.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long between two looks.
const RETRY: Duration = Duration::from_millis(10);

/// A daemon that answers at its socket. Dropped before [`DaemonProcess::stop`], it is killed.
pub(crate) struct DaemonProcess {
    child: Child,
    home: tempfile::TempDir,
}

impl DaemonProcess {
    /// Starts a daemon and waits until it answers.
    pub(crate) fn start() -> Self {
        let home = tempfile::tempdir().expect("a temporary home");
        let log = File::create(home.path().join("stderr")).expect("a file for the log");
        let child = Command::new(env!("CARGO_BIN_EXE_aetherd"))
            .args(["serve", "--home"])
            .arg(home.path())
            .env_remove("AETHERD_HOME")
            .env_remove("AETHERD_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the daemon's binary runs");
        let mut daemon = Self { child, home };
        daemon.wait_until_it_answers();
        daemon
    }

    /// The socket it listens at.
    pub(crate) fn socket(&self) -> PathBuf {
        self.home.path().join("run").join("aetherd.sock")
    }

    /// The home it was given.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home().join("stderr")).unwrap_or_default()
    }

    /// Asks it to stop, as a service manager does, and checks that it ended well.
    pub(crate) fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("the daemon is running");
        let status = self.wait_for_its_end();
        assert!(status.success(), "the daemon ended with {status}; its log:\n{}", self.log());
        assert!(!self.socket().exists(), "the daemon left its socket behind");
    }

    fn wait_until_it_answers(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = UnixStream::connect(self.socket()) {
            if let Some(status) = self.child.try_wait().expect("the daemon is a child") {
                panic!("the daemon ended with {status} at its start:\n{}", self.log());
            }
            assert!(
                Instant::now() < deadline,
                "the daemon does not answer ({error}); its log:\n{}",
                self.log()
            );
            thread::sleep(RETRY);
        }
    }

    fn wait_for_its_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the daemon is a child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the daemon does not stop:\n{}", self.log());
            thread::sleep(RETRY);
        }
    }
}

impl Drop for DaemonProcess {
    fn drop(&mut self) {
        // Fails where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
