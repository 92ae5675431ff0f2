//! `aetherd import`.

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{Failure, import_export, meanwhile, output};
use crate::client::Client;
use crate::config::Config;
use crate::error::Error;
use crate::paths::Paths;
use crate::transfer::{self, FileOutcome, FileVerdict, ImportError, ImportOptions, Progress};

#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// A home of the IDE, a folder of it, a project's folder, a single file, or a file that
    /// `aetherd export` wrote
    #[arg(required = true, value_name = "PATH")]
    sources: Vec<PathBuf>,
    /// What the paths hold; found out unless said
    #[arg(long, value_name = "WHAT")]
    from: Option<Format>,
    /// Tell what would become of each file, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Compare each file with the store, field by field, and write nothing; exit code 1 unless all
    /// is equal
    #[arg(long, conflicts_with = "dry_run")]
    verify: bool,
}

/// What can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// What the Rainy Aether IDE keeps in files
    RainyAether,
    /// An export of aetherd
    Jsonl,
}

pub(super) async fn run(paths: Paths, args: &ImportArgs, as_json: bool) -> Result<(), Failure> {
    let (exports, files): (Vec<PathBuf>, Vec<PathBuf>) =
        args.sources.iter().cloned().partition(|path| args.is_export(path));
    if args.verify && !exports.is_empty() {
        return Err(Failure::Usage(format!(
            "--verify compares the IDE's files; say --dry-run for the export {}",
            exports[0].display()
        )));
    }
    // Nobody searches meanwhile: the index follows when a daemon runs the next time.
    let config = Config { search: false, ..Config::new(paths) };
    let importing = async |client: &mut Client| {
        let mut is_complete = true;
        for path in &exports {
            is_complete &= import_export::import(client, path, args.dry_run, as_json).await?;
        }
        if !files.is_empty() {
            is_complete &= import(client, args, files, as_json).await?;
        }
        Ok(is_complete)
    };
    let (is_complete, _) = meanwhile::with_daemon_as(&config, importing).await?;
    if is_complete {
        return Ok(());
    }
    Err(Failure::Incomplete(
        match args.verify {
            true => "the store and the files are not equal; the lines above say where",
            false => "not all could be imported; the lines above say what, and the files are as they were",
        }
        .to_owned(),
    ))
}

impl ImportArgs {
    /// True where a path is what `aetherd export` wrote.
    fn is_export(&self, path: &Path) -> bool {
        match self.from {
            Some(format) => format == Format::Jsonl,
            None => import_export::is_export(path),
        }
    }
}

/// Imports, or verifies, and returns true where all is well.
async fn import(
    client: &mut Client,
    args: &ImportArgs,
    paths: Vec<PathBuf>,
    as_json: bool,
) -> Result<bool, Failure> {
    let options = ImportOptions { paths, dry_run: args.dry_run };
    let mut teller = Teller::new(as_json);
    if args.verify {
        let totals =
            transfer::verify(client, &options, &mut |progress| teller.tell(progress)).await;
        teller.end(totals, |totals| totals.is_equal())
    } else {
        let totals =
            transfer::import(client, &options, &mut |progress| teller.tell(progress)).await;
        teller.end(totals, |totals| totals.is_complete())
    }
}

/// Tells of each file in a line, or on a terminal in a bar above which stand only the files that there
/// is something to know of.
struct Teller {
    as_json: bool,
    bar: Option<ProgressBar>,
    told: Result<(), Failure>,
}

impl Teller {
    fn new(as_json: bool) -> Self {
        // Lines that go elsewhere than the bar are not disturbed by it.
        let is_on_terminal = std::io::stderr().is_terminal() && !as_json;
        let bar = is_on_terminal.then(|| {
            let style = ProgressStyle::with_template("{wide_bar} {pos} of {len} files, {eta} left")
                .expect("the template is one");
            ProgressBar::no_length().with_style(style)
        });
        Self { as_json, bar, told: Ok(()) }
    }

    fn tell<T: Told>(&mut self, progress: Progress<'_, T>) {
        match progress {
            Progress::Found(count) => {
                if let Some(bar) = &self.bar {
                    bar.set_length(count as u64);
                }
            }
            Progress::Done(file) => {
                if self.told.is_ok() {
                    self.told = self.tell_file(file);
                }
                if let Some(bar) = &self.bar {
                    bar.inc(1);
                }
            }
        }
    }

    fn tell_file<T: Told>(&self, file: &T) -> Result<(), Failure> {
        if self.as_json {
            return output::json(file);
        }
        let Some(bar) = self.bar.as_ref().filter(|_| std::io::stdout().is_terminal()) else {
            return print(file);
        };
        if file.details().is_empty() && !file.is_amiss() {
            return Ok(());
        }
        bar.suspend(|| print(file))
    }

    /// Prints the totals, and returns what they say of the whole.
    fn end<T: Serialize + Display>(
        self,
        totals: Result<T, ImportError>,
        is_well: impl FnOnce(&T) -> bool,
    ) -> Result<bool, Failure> {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        let totals = totals.map_err(|error| Error::Startup(error.to_string()))?;
        self.told?;
        if self.as_json {
            output::json(&serde_json::json!({ "totals": totals }))?;
        } else {
            output::line(&totals.to_string())?;
        }
        Ok(is_well(&totals))
    }
}

/// What is told of a file.
trait Told: Serialize + Display {
    /// What is to be known of it, a line each.
    fn details(&self) -> Vec<String>;
    /// True where it was not taken whole.
    fn is_amiss(&self) -> bool;
}

impl Told for FileOutcome {
    fn details(&self) -> Vec<String> {
        details(&self.problems, &self.notes)
    }

    fn is_amiss(&self) -> bool {
        self.reason.is_some()
    }
}

impl Told for FileVerdict {
    fn details(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.differences.iter().map(|difference| format!("different: {difference}")).collect();
        lines.extend(details(&self.problems, &self.notes));
        lines
    }

    fn is_amiss(&self) -> bool {
        self.reason.is_some()
    }
}

fn details(problems: &[String], notes: &[String]) -> Vec<String> {
    let problems = problems.iter().map(|problem| format!("problem: {problem}"));
    problems.chain(notes.iter().map(|note| format!("note: {note}"))).collect()
}

/// Prints one line a file, and below it what is to be known of it.
fn print<T: Told>(file: &T) -> Result<(), Failure> {
    output::line(&file.to_string())?;
    file.details().iter().try_for_each(|line| output::line(&format!("  {line}")))
}
