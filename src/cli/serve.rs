//! `aetherd serve`.

use std::time::Duration;

use super::Failure;
use crate::config::{BackupPolicy, CHECK_AFTER_SECONDS, Config, EngineKind, FeedPolicy};
use crate::daemon;
use crate::paths::Paths;

#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    /// The storage engine: turso, or sqlite where the build has it
    #[arg(long, value_name = "NAME", default_value = "turso")]
    engine: EngineKind,
    /// Keep no search index: history.search answers that it is turned off
    #[arg(long)]
    no_search: bool,
    /// Changes that the change feed keeps at most
    #[arg(long, value_name = "N", default_value_t = FeedPolicy::default().max_changes,
        value_parser = clap::value_parser!(u32).range(1..))]
    feed_max_changes: u32,
    /// Days that the change feed keeps a change at most
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    feed_max_days: u32,
    /// Backups that are kept of those made by themselves, for each reason; 0 makes no daily ones
    #[arg(long, value_name = "N", default_value_t = BackupPolicy::default().kept)]
    backups_kept: usize,
    /// Seconds after the start at which a check of the database begins that is due
    #[arg(long, value_name = "SECONDS", default_value_t = CHECK_AFTER_SECONDS)]
    check_after: u32,
}

pub(super) async fn run(paths: Paths, args: &ServeArgs) -> Result<(), Failure> {
    let feed = FeedPolicy {
        max_changes: args.feed_max_changes,
        max_age: i64::from(args.feed_max_days) * FeedPolicy::DAY,
        ..FeedPolicy::default()
    };
    let config = Config {
        engine: args.engine,
        search: !args.no_search,
        feed: Some(feed),
        backups: (args.backups_kept > 0)
            .then(|| BackupPolicy { kept: args.backups_kept, ..BackupPolicy::default() }),
        check_after: Duration::from_secs(args.check_after.into()),
        ..Config::new(paths)
    };
    daemon::serve(&config).await.map_err(Failure::Own)
}
