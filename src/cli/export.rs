//! `aetherd export`.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::status::size;
use super::{Failure, meanwhile, output};
use crate::api::dump::{Export, ExportFormat, ExportParams, Exported};
use crate::client::Client;
use crate::error::Error;
use crate::model::{ProjectId, SessionId};
use crate::paths::Paths;

#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// A session; may be said again [default: all that is stored]
    #[arg(long = "session", value_name = "ID", value_parser = session_id)]
    sessions: Vec<SessionId>,
    /// The sessions of a project
    #[arg(long, value_name = "ID", value_parser = project_id)]
    project: Option<ProjectId>,
    /// What to write: all that is stored, for `aetherd import`, or transcripts for people
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "jsonl")]
    format: Format,
    /// The file to write, at which nothing is yet [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    Jsonl,
    Markdown,
}

fn session_id(text: &str) -> Result<SessionId, String> {
    SessionId::parse(text)
}

fn project_id(text: &str) -> Result<ProjectId, String> {
    ProjectId::parse(text)
}

pub(super) async fn run(paths: Paths, args: &ExportArgs, as_json: bool) -> Result<(), Failure> {
    let Some(file) = &args.output else { return to_output(paths, args).await };
    let path = meanwhile::absolute(file)?;
    let (exported, _) =
        meanwhile::with_daemon(paths, async |client| export(client, args, path).await).await?;
    if as_json {
        return output::json(&exported);
    }
    let counts: Vec<String> =
        exported.counts.iter().map(|(word, count)| format!("{word} {count}")).collect();
    let bytes = size(exported.bytes);
    output::line(&format!("{}: {bytes}; records: {}", exported.path, counts.join(", ")))
}

/// Has the daemon write into the folder of the home that only its owner sees, and copies that.
async fn to_output(paths: Paths, args: &ExportArgs) -> Result<(), Failure> {
    let name = format!("export-{}", uuid::Uuid::now_v7().simple());
    let passing = Passing(paths.run_folder().join(name));
    let path = meanwhile::absolute(&passing.0)?;
    let (mut file, _) = meanwhile::with_daemon(paths, async |client| {
        export(client, args, path).await?;
        let failed = |error| Error::io("reading", &passing.0, &error);
        Ok(File::open(&passing.0).map_err(failed)?)
    })
    .await?;
    // It is read to its end without its name, which so is gone whatever happens.
    drop(passing);
    let mut stdout = std::io::stdout().lock();
    std::io::copy(&mut file, &mut stdout).and_then(|_| stdout.flush()).map_err(Failure::Output)
}

async fn export(client: &mut Client, args: &ExportArgs, path: String) -> Result<Exported, Failure> {
    let format = match args.format {
        Format::Jsonl => ExportFormat::Jsonl,
        Format::Markdown => ExportFormat::Markdown,
    };
    let params = ExportParams {
        path,
        format,
        session_ids: (!args.sessions.is_empty()).then(|| args.sessions.clone()),
        project_id: args.project.clone(),
    };
    Ok(client.call::<Export>(&params).await?)
}

/// A file that is there for the time of a command.
struct Passing(PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(path: &Path) {
    // Where the daemon wrote none, there is none.
    let _ = std::fs::remove_file(path);
}
