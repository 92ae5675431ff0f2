//! What the command line asks for, and how much work that is.

use std::path::PathBuf;

use clap::Parser;

/// Compares the daemon with the storage an application would otherwise embed.
#[derive(Debug, Parser)]
#[command(name = "peers")]
pub(crate) struct Options {
    /// Small sizes: shows that the bench runs, not how fast the daemon is.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only the rows whose name contains this.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Option<String>,
    /// Rounds of each comparison; the figures are medians over them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(3..))]
    pub(crate) rounds: u16,
    /// Be the daemon of this home, without change feed and search.
    #[arg(long, hide = true, value_name = "DIR")]
    pub(crate) serve_without_feed: Option<PathBuf>,
    /// Passed by `cargo bench`; without it nothing is measured.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

impl Options {
    /// Returns true where one of these rows is asked for.
    pub(crate) fn wants(&self, rows: &[&str]) -> bool {
        self.only.as_ref().is_none_or(|only| rows.iter().any(|row| row.contains(only.as_str())))
    }

    /// Returns how much is done in one round.
    pub(crate) fn effort(&self) -> Effort {
        if self.quick { QUICK } else { FULL }
    }
}

/// How much is stored, and how much is done in one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Sessions of both corpora.
    pub(crate) sessions: usize,
    /// Sessions of the small corpus that hold messages; those of the large one all do.
    pub(crate) filled_sessions: usize,
    /// Messages of a session that holds any.
    pub(crate) messages_each: usize,
    /// Appends of one client, one after another.
    pub(crate) appends: usize,
    /// Appends of one client that pipelines.
    pub(crate) pipelined_appends: usize,
    /// Appends of each of the clients that append at one time.
    pub(crate) appends_of_each_client: usize,
    /// Calls of a read.
    pub(crate) reads: usize,
    /// Calls that list a thousand sessions.
    pub(crate) long_lists: usize,
    /// Messages that are searched.
    pub(crate) search_messages: usize,
    /// Searches.
    pub(crate) searches: usize,
    /// Session files of the IDE.
    pub(crate) session_files: usize,
    /// Session files of the IDE that are imported.
    pub(crate) imported_files: usize,
    /// Edits of a file that is replayed.
    pub(crate) replayed_edits: usize,
    /// Replays of it.
    pub(crate) replays: usize,
    /// Starts of the daemon.
    pub(crate) starts: usize,
}

const FULL: Effort = Effort {
    sessions: 10_000,
    filled_sessions: 100,
    messages_each: 100,
    appends: 1_500,
    pipelined_appends: 12_800,
    appends_of_each_client: 300,
    reads: 3_000,
    long_lists: 100,
    search_messages: 1_000_000,
    searches: 400,
    session_files: 1_000,
    imported_files: 1_000,
    replayed_edits: 1_000,
    replays: 50,
    starts: 5,
};

const QUICK: Effort = Effort {
    sessions: 1_000,
    filled_sessions: 20,
    messages_each: 100,
    appends: 100,
    pipelined_appends: 640,
    appends_of_each_client: 20,
    reads: 200,
    long_lists: 10,
    search_messages: 10_000,
    searches: 50,
    session_files: 50,
    imported_files: 20,
    replayed_edits: 50,
    replays: 5,
    starts: 2,
};
