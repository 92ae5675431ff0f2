//! The daemon under measurement: the release binary in a process of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aetherd::config::Config;
use aetherd::paths::{Environment, Paths};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::client::{Client, Request};

/// Time after which a daemon that does not answer never will.
const PATIENCE: Duration = Duration::from_secs(60);
/// The file of a home to which its daemon logs.
const LOG: &str = "bench.log";
/// Time between two attempts to connect.
const PAUSE: Duration = Duration::from_micros(200);

/// Serves a home without the feed until the process is told to stop.
pub(crate) fn serve_without_feed(home: &Path) {
    let environment = Environment { home: Some(home.to_owned()), ..Environment::default() };
    let paths = Paths::resolve(&environment).expect("the bench's folder is a home");
    let config = Config { feed: None, ..Config::new(paths) };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(aetherd::daemon::serve(&config))
        .expect("the daemon ends well");
}

/// The line of `/proc/PID/status` that tells the most memory a process has had.
pub(crate) const PEAK: &str = "VmHWM:";

/// Returns a figure of a process's memory in MiB, where the system tells (Linux).
pub(crate) fn memory_mib(child: &Child, name: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// A running daemon; stopped the hard way where it was not stopped.
pub(crate) struct Daemon {
    child: Child,
    home: PathBuf,
    first_answer: Duration,
}

impl Daemon {
    /// Starts a daemon on a home, which may be empty, and waits for its first answer.
    pub(crate) fn start(home: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aetherd"));
        command.arg("serve").arg("--home").arg(home);
        Self::start_command(home, command)
    }

    /// Starts one that neither makes its daily backup nor checks its database meanwhile: what is measured
    /// beside its work is that work alone.
    pub(crate) fn start_undisturbed(home: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aetherd"));
        command.arg("serve").arg("--home").arg(home);
        command.args(["--backups-kept", "0", "--check-after", "1000000"]);
        Self::start_command(home, command)
    }

    /// Starts one that writes no change feed and has no search index, which this very program is then.
    pub(crate) fn start_without_feed(home: &Path) -> Self {
        let own = std::env::current_exe().expect("a program knows its path");
        let mut command = Command::new(own);
        command.arg("--bench").arg("--serve-without-feed").arg(home);
        Self::start_command(home, command)
    }

    fn start_command(home: &Path, mut command: Command) -> Self {
        std::fs::create_dir_all(home).expect("the bench's folder is writable");
        let log = File::create(home.join(LOG)).expect("the bench's folder is writable");
        let ping = Request::new(1, "system.ping", &json!({}));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let started = Instant::now();
        let child = command.spawn().expect("the daemon's binary is built");
        let mut daemon = Self { child, home: home.to_owned(), first_answer: Duration::ZERO };
        daemon.connect_with_patience(started).call(&ping);
        daemon.first_answer = started.elapsed();
        daemon
    }

    fn connect_with_patience(&mut self, started: Instant) -> Client {
        loop {
            if let Ok(client) = Client::try_connect(&self.socket()) {
                return client;
            }
            let ended = self.child.try_wait().expect("the daemon is our child");
            if ended.is_some() || started.elapsed() > PATIENCE {
                panic!("the daemon does not answer ({ended:?}): {}", self.log());
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Time from the start of the process to the answer to a first `system.ping`.
    pub(crate) fn first_answer(&self) -> Duration {
        self.first_answer
    }

    /// The socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.home.join("run").join("aetherd.sock")
    }

    /// Connects.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(&self.socket())
    }

    /// Returns the daemon's resident memory in MiB, where the system tells (Linux).
    pub(crate) fn resident_mib(&self) -> Option<f64> {
        memory_mib(&self.child, "VmRSS:")
    }

    /// Returns the most resident memory it has had so far, likewise.
    pub(crate) fn peak_mib(&self) -> Option<f64> {
        memory_mib(&self.child, PEAK)
    }

    /// Stops the daemon and waits until it has closed its database.
    pub(crate) fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("the daemon runs");
        let status = self.child.wait().expect("the daemon is our child");
        assert!(status.success(), "the daemon ended with {status}");
    }

    /// Ends the daemon as a crash does: it closes nothing.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the daemon runs");
        self.child.wait().expect("the daemon is our child");
    }

    /// Returns what it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.join(LOG)).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // What it holds is thrown away with its home, its log too, which may say why.
            if std::thread::panicking() {
                eprintln!("the daemon's log: {}", self.log());
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
