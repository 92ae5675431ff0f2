//! The `aetherd` command: parse, run, exit code.

mod memory;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    memory::give_back_what_peaks_took();
    aetherd::cli::run(aetherd::cli::Cli::parse())
}
