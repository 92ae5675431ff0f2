//! The large corpus, stored once for all that is measured on it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::corpus::Corpus;
use crate::daemon::Daemon;
use crate::options::Options;

/// The home that has the large corpus.
pub(crate) struct LargeHome {
    pub(crate) home: PathBuf,
    pub(crate) corpus: Corpus,
    /// How long its messages took to be appended.
    pub(crate) appended: Duration,
    /// Resident memory of the daemon behind that, in MiB, where the system tells.
    pub(crate) memory: Option<f64>,
}

impl LargeHome {
    /// Stores the corpus, and returns it with the daemon that has it.
    pub(crate) fn create(options: &Options, folder: &Path) -> (Self, Daemon) {
        let effort = options.effort();
        let corpus = Corpus::new(effort.sessions, effort.sessions, effort.messages_each);
        let home = folder.join("large");
        let daemon = Daemon::start(&home);
        corpus.start_sessions(&daemon);
        let started = Instant::now();
        corpus.append_messages(&daemon);
        let appended = started.elapsed();
        let memory = daemon.resident_mib();
        (Self { home, corpus, appended, memory }, daemon)
    }

    /// The size of the database's file, in words.
    pub(crate) fn size(&self) -> String {
        format!("{:.2} GiB", self.bytes() as f64 / f64::from(1 << 30))
    }

    /// Bytes of the database's file, to which its log was folded where no daemon runs.
    pub(crate) fn bytes(&self) -> u64 {
        std::fs::metadata(self.home.join("ide.db")).expect("the database is there").len()
    }
}
