//! The `aetherd` command: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;

/// Of a write's time in the engine a sixth went into the system's allocator, and a peak of large
/// replies stayed with the process for good.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    aetherd::cli::run(aetherd::cli::Cli::parse())
}
