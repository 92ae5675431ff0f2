//! The real binary as a child process on a home of its own.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::LineClient;

/// How long anything may take before the test fails; far above what it does take.
const DEADLINE: Duration = Duration::from_secs(60);

/// A temporary home.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    /// Makes a home.
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::Builder::new().prefix("ae").tempdir().expect("a temporary folder"),
        }
    }

    /// Its folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts a copy of the binary into it that every user can reach and run.
    pub(crate) fn binary_for_everyone(&self) -> PathBuf {
        let binary = self.path().join("aetherd");
        std::fs::copy(env!("CARGO_BIN_EXE_aetherd"), &binary).expect("a copy");
        for path in [self.path(), &binary] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        binary
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path().join("run").join("aetherd.sock")
    }

    /// The command for the binary on this home, cut off from the caller's environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aetherd"));
        for name in ["AETHERD_HOME", "AETHERD_SOCKET", "AETHERD_LOG"] {
            command.env_remove(name);
        }
        command.arg("--home").arg(self.path()).stdin(Stdio::null());
        command
    }

    /// Starts a daemon and waits until it answers.
    pub(crate) fn start(&self) -> Daemon {
        self.start_with(&[])
    }

    /// Starts a daemon with more arguments of `serve`.
    pub(crate) fn start_with(&self, arguments: &[&str]) -> Daemon {
        let mut command = self.command();
        command.arg("serve").args(arguments);
        self.start_command(command)
    }

    /// Starts a daemon by a command and waits until it answers.
    pub(crate) fn start_command(&self, mut command: Command) -> Daemon {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path().join("test.log"))
            .expect("a log");
        let child = command.stdout(Stdio::null()).stderr(log).spawn().expect("the binary starts");
        let mut daemon = Daemon { child, socket: self.socket() };
        daemon.wait_until_it_answers(self);
        daemon
    }

    /// What the daemons of this home logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("test.log")).unwrap_or_default()
    }
}

/// Waits for what a starting process does and nobody tells of.
pub(crate) fn wait_for(home: &Home, child: &mut Child, mut is_there: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_there() {
        let ended = child.try_wait().expect("the child can be asked");
        assert_eq!(ended, None, "the daemon ended: {}", home.log());
        assert!(started.elapsed() < DEADLINE, "it takes too long: {}", home.log());
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// A running daemon; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    socket: PathBuf,
}

impl Daemon {
    /// Polls, because a socket's birth cannot be awaited; ends with the child's exit or an answer.
    pub(crate) fn wait_until_it_answers(&mut self, home: &Home) {
        let started = Instant::now();
        while UnixStream::connect(&self.socket).is_err() {
            if let Some(status) = self.child.try_wait().expect("the child can be asked") {
                panic!("the daemon ended with {status}: {}", home.log());
            }
            assert!(started.elapsed() < DEADLINE, "no answer: {}", home.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Connects.
    pub(crate) fn client(&self) -> LineClient {
        LineClient::connect(&self.socket)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most resident memory it has had so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("the process lives");
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("there is a figure");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") * 1024
    }

    /// True while the process lives.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the child can be asked").is_none()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("the signal is sent");
    }

    /// Kills it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the child is killed");
        self.child.wait().expect("the child is reaped");
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be asked") {
                return status;
            }
            assert!(started.elapsed() < DEADLINE, "the daemon did not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A runtime for a test that uses the library itself.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
