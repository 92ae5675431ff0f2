//! The `aetherd` command: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    aetherd::cli::run(aetherd::cli::Cli::parse())
}
