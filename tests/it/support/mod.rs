//! What tests share: a home of their own, the real binary as a child, a plain client.

use std::io::Write as _;

mod daemon;
pub(crate) mod dumps;
pub(crate) mod edits;
pub(crate) mod files;
#[cfg(target_os = "linux")]
mod flush_shim;
pub(crate) mod git_diffs;
pub(crate) mod ide;
pub(crate) mod old_answers;
pub(crate) mod old_schemas;
pub(crate) mod random_store;
pub(crate) mod scan;
mod wire;

#[cfg(target_os = "linux")]
pub(crate) use flush_shim::FlushShim;

pub(crate) use files::edit_database;

pub(crate) use daemon::{Daemon, Home, runtime, wait_for};
pub(crate) use wire::{LineClient, connect, error_kind, post, read_message, reconnect, request};

use aetherd::config::EngineKind;
use aetherd::store::{Store, StoreOptions};

/// A user who owns nothing.
pub(crate) const NOBODY: u32 = 65_534;

/// Says plainly that a test did not run.
pub(crate) fn say_skipped(test: &str, needs: &str) {
    // Not `eprintln!`, which the test runner keeps to itself where a test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test} (needs {needs})");
}

/// Both engines, so that what holds on one is seen to hold on the other.
pub(crate) const ENGINES: [EngineKind; 2] = [EngineKind::Turso, EngineKind::Sqlite];

/// How a test opens a store in a home.
pub(crate) fn store_options(home: &Home, engine: EngineKind) -> StoreOptions {
    StoreOptions {
        database: home.path().join("ide.db"),
        backups: home.path().join("backups"),
        engine,
        readers: 2,
        has_feed: true,
    }
}

/// Reads params from JSON, as a call has them.
pub(crate) fn params<P: serde::de::DeserializeOwned>(json: serde_json::Value) -> P {
    serde_json::from_value(json).expect("params")
}

/// Opens a store in a home.
pub(crate) fn open_store(home: &Home, engine: EngineKind) -> Store {
    Store::open(&store_options(home, engine)).expect("the store opens")
}
