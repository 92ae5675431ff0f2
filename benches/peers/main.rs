//! The daemon against its peers: `cargo bench --bench peers [-- --quick --only NAME --rounds N]`.
//!
//! The daemon runs in a process of its own and is called over its socket; the peer is SQLite in this
//! process, as durable, with the same tables. A table goes to stdout, JSON to `target/peers.json`.
//! A missed target is shown, not judged: the exit code is 0.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints what it measures")]

mod appends;
mod backups;
mod client;
mod command;
mod corpus;
mod daemon;
mod echo;
mod edits;
mod exports;
mod feed;
mod ide_files;
mod import;
mod killed;
mod large;
mod load;
mod machine;
mod measure;
mod million;
mod options;
mod peer;
mod prose;
mod reads;
mod report;
mod retention;
mod search;
mod starts;

use std::path::Path;

use clap::Parser as _;

use large::LargeHome;
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
    if options.wants(&killed::NAMES) {
        eprintln!("starting on homes whose daemon was killed");
        killed::run(options, folder, &mut rows);
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
    measure_corpora(options, folder, &mut rows);
    rows
}

/// What is measured on the corpora; what changes the large one comes last.
fn measure_corpora(options: &Options, folder: &Path, rows: &mut Vec<Row>) {
    let [of_reads, of_million, of_exports, of_backups, of_retention] =
        [&reads::NAMES[..], &million::NAMES, &exports::NAMES, &backups::NAMES, &retention::NAMES]
            .map(|names| options.wants(names));
    let small = (of_reads || of_million).then(|| {
        eprintln!("storing the small corpus");
        SmallHome::create(options, folder)
    });
    if let Some(small) = small.as_ref().filter(|_| of_reads) {
        eprintln!("reading");
        reads::run(options, folder, small, rows);
    }
    if !(of_million || of_exports || of_backups || of_retention) {
        small.into_iter().for_each(|small| small.daemon.stop());
        return;
    }
    eprintln!("storing the large corpus");
    let (large, daemon) = LargeHome::create(options, folder);
    match small.as_ref().filter(|_| of_million) {
        Some(small) => {
            eprintln!("reading the large corpus and starting on it");
            million::run(options, &large, daemon, small, rows);
        }
        None => daemon.stop(),
    }
    small.into_iter().for_each(|small| small.daemon.stop());
    if of_exports {
        eprintln!("exporting the large corpus and importing that");
        exports::run(options, folder, &large, rows);
    }
    if of_backups {
        eprintln!("appending while the large corpus is backed up");
        backups::run(options, &large, rows);
    }
    if of_retention {
        eprintln!("appending while half of the large corpus is removed");
        retention::run(options, &large, rows);
    }
}
