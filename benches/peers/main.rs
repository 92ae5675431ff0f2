//! The daemon against its peers: `cargo bench --bench peers [-- --quick --only NAME --rounds N]`.
//!
//! The daemon runs in a process of its own and is called over its socket; the peer is SQLite in this
//! process, as durable, with the same tables. A table goes to stdout, JSON to `target/peers.json`.
//! A missed target is shown, not judged: the exit code is 0.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints what it measures")]

mod appends;
mod client;
mod corpus;
mod daemon;
mod echo;
mod edits;
mod feed;
mod ide_files;
mod import;
mod machine;
mod measure;
mod million;
mod options;
mod peer;
mod prose;
mod reads;
mod report;
mod search;
mod starts;

use std::path::Path;

use clap::Parser as _;

use options::Options;
use reads::SmallHome;
use report::Row;

/// A folder of the build's own: on the disk that holds the build, so never in memory.
const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");

fn main() {
    let options = Options::parse();
    if !options.bench {
        println!("nothing measured; use `cargo bench --bench peers`");
        return;
    }
    if let Some(home) = &options.serve_without_feed {
        return daemon::serve_without_feed(home);
    }
    std::fs::create_dir_all(FOLDER).expect("the build's folder is writable");
    let folder = tempfile::Builder::new()
        .prefix("peers-")
        .tempdir_in(FOLDER)
        .expect("the build's folder is writable");
    let rows = measure_all(&options, folder.path());
    print!("\n{}", report::table(&rows));
    println!("ratio: ours to the peer's, or the peer's to ours where the target is \"faster\"");
    let report = report::json(&rows, &machine::describe(&options, folder.path()));
    let path = Path::new(FOLDER).with_file_name("peers.json");
    std::fs::write(&path, format!("{report:#}\n")).expect("the build's folder is writable");
    println!("\n{}", path.display());
}

fn measure_all(options: &Options, folder: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    if options.wants(&starts::NAMES) {
        eprintln!("starting on empty homes");
        starts::run(options, folder, &mut rows);
    }
    if options.wants(&appends::NAMES) {
        eprintln!("appending");
        appends::run(options, folder, &mut rows);
    }
    if options.wants(&feed::NAMES) {
        eprintln!("following the change feed");
        feed::run(options, folder, &mut rows);
    }
    if options.wants(&edits::NAMES) {
        eprintln!("replaying edits");
        edits::run(options, folder, &mut rows);
    }
    if options.wants(&import::NAMES) {
        eprintln!("importing the IDE's files");
        import::run(options, folder, &mut rows);
    }
    if options.wants(&search::NAMES) {
        eprintln!("storing what is searched, then searching");
        search::run(options, folder, &mut rows);
    }
    if options.wants(&reads::NAMES) || options.wants(&million::NAMES) {
        eprintln!("storing the small corpus");
        let small = SmallHome::create(options, folder);
        if options.wants(&reads::NAMES) {
            eprintln!("reading");
            reads::run(options, folder, &small, &mut rows);
        }
        if options.wants(&million::NAMES) {
            eprintln!("storing the large corpus, then reading it and starting on it");
            million::run(options, folder, &small, &mut rows);
        }
        small.daemon.stop();
    }
    rows
}
