//! The command line: one file a command.

mod backup;
mod call;
mod doctor;
mod endpoint;
mod export;
mod import;
mod import_export;
mod logging;
mod meanwhile;
mod output;
mod restore;
mod running;
mod serve;
mod status;
mod stop;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::client::ClientError;
use crate::error::Error;
use crate::paths::{Environment, Paths};

/// The storage daemon of the Rainy Aether IDE.
///
/// Exit codes: 0 done, also `stop` where no daemon runs; 1 it failed, or the daemon answered with an
/// error, or an import is not complete, or not equal, or `doctor` found what must be mended; 2 the
/// command line is wrong; 3 no daemon answers, or it gives no status.
#[derive(Debug, Parser)]
#[command(name = "aetherd", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// The options of every command.
#[derive(Debug, clap::Args)]
struct Globals {
    /// The folder of the data [env: AETHERD_HOME] [default: ~/.rainy-aether]
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    /// The socket [env: AETHERD_SOCKET] [default: run/aetherd.sock in the home]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    json: bool,
    /// What to log: off, error, warn, info, debug, trace, or `target=level,…` [env: AETHERD_LOG]
    /// [default: info for serve, else warn]
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<String>,
    /// How to log
    #[arg(long, global = true, value_name = "FORMAT", default_value = "human")]
    log_format: logging::LogFormat,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon until SIGTERM, SIGINT, SIGHUP or `aetherd stop`
    Serve(serve::ServeArgs),
    /// Ask the daemon to end, and wait until it has
    Stop,
    /// Show how the daemon and its database are
    Status(status::StatusArgs),
    /// Print where to connect, and nothing else
    Endpoint,
    /// Call a method and print its result
    Call(call::CallArgs),
    /// Import the IDE's sessions and settings, or compare them with the store; where no daemon runs, it
    /// is one meanwhile
    Import(import::ImportArgs),
    /// Write what is stored as JSON Lines, for `aetherd import`, or as transcripts for people
    Export(export::ExportArgs),
    /// Write a checked copy of the database into one file, while others are served
    Backup(backup::BackupArgs),
    /// Look at all that can go wrong, and say what to do
    Doctor(doctor::DoctorArgs),
    /// Put a backup in the place of the database, which is kept
    Restore(restore::RestoreArgs),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Own(#[from] Error),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Incomplete(String),
    #[error("{0}")]
    NoAnswer(String),
    #[error("writing the output failed: {0}")]
    Output(#[from] std::io::Error),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Client(ClientError::Unreachable { .. }) | Self::NoAnswer(_) => 3,
            _ => 1,
        }
    }
}

/// Runs the command line and returns the exit code.
pub fn run(cli: Cli) -> ExitCode {
    let json = cli.globals.json;
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            output::print_failure(&failure, json);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Returns a variable of the environment. An empty one counts as unset, as in the XDG Base Directory
/// Specification, which the parser of the command line would not have it.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn execute(cli: Cli) -> Result<(), Failure> {
    let Cli { globals, command } = cli;
    let default_level = if matches!(command, Command::Serve(_)) { "info" } else { "warn" };
    let said =
        globals.log.or_else(|| Some(variable("AETHERD_LOG")?.to_string_lossy().into_owned()));
    let level = said.as_deref().unwrap_or(default_level);
    logging::start(level, globals.log_format).map_err(Failure::Usage)?;
    let paths = Paths::resolve(&Environment {
        home: globals.home.or_else(|| variable("AETHERD_HOME").map(PathBuf::from)),
        socket: globals.socket.or_else(|| variable("AETHERD_SOCKET").map(PathBuf::from)),
        user_home: directories::BaseDirs::new().map(|folders| folders.home_dir().to_owned()),
        working_folder: std::env::current_dir()
            .map_err(|error| Error::Startup(format!("the working folder is gone: {error}")))?,
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Startup(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(async {
        match command {
            Command::Serve(args) => serve::run(paths, &args).await,
            Command::Stop => stop::run(&paths, globals.json).await,
            Command::Status(args) => status::run(&paths, &args, globals.json).await,
            Command::Endpoint => endpoint::run(&paths, globals.json),
            Command::Call(args) => call::run(&paths, &args, globals.json).await,
            Command::Import(args) => import::run(paths, &args, globals.json).await,
            Command::Export(args) => export::run(paths, &args, globals.json).await,
            Command::Backup(args) => backup::run(paths, &args, globals.json).await,
            Command::Doctor(args) => doctor::run(&paths, &args, globals.json).await,
            Command::Restore(args) => restore::run(paths, &args, globals.json).await,
        }
    })
}
