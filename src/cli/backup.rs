//! `aetherd backup`.

use std::path::PathBuf;

use super::status::size;
use super::{Failure, meanwhile, output};
use crate::api::backup::{BackupParams, MakeBackup};
use crate::paths::Paths;

#[derive(Debug, clap::Args)]
pub(super) struct BackupArgs {
    /// The file to write, at which nothing is yet [default: one in the folder of backups]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn run(paths: Paths, args: &BackupArgs, as_json: bool) -> Result<(), Failure> {
    let path = args.output.as_deref().map(meanwhile::absolute).transpose()?;
    let (backup, _) = meanwhile::with_daemon(paths, async |client| {
        Ok(client.call::<MakeBackup>(&BackupParams { path }).await?)
    })
    .await?;
    if as_json {
        return output::json(&backup);
    }
    output::line(&format!("{}: {}, checked", backup.path, size(backup.bytes)))
}
