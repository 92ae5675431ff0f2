//! `aetherd serve`.

use super::Failure;
use crate::config::{Config, EngineKind};
use crate::daemon;
use crate::paths::Paths;

#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    /// The storage engine: turso, or sqlite where the build has it
    #[arg(long, value_name = "NAME", default_value = "turso")]
    engine: EngineKind,
}

pub(super) async fn run(paths: Paths, args: &ServeArgs) -> Result<(), Failure> {
    let config = Config { engine: args.engine, ..Config::new(paths) };
    daemon::serve(&config).await.map_err(Failure::Own)
}
