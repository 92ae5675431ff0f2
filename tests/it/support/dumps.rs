//! Exports and imports by the library, and what is in an export.

use std::path::Path;
use std::sync::Arc;

use aetherd::api::dump::{DigestReport, Exported, ImportParams, Imported};
use aetherd::error::Result;
use aetherd::server::importing;
use aetherd::store::{Store, dump};
use serde_json::{Value, json};

use super::params;

/// Exports what the params beside the path say.
pub(crate) async fn export(store: &Store, path: &Path, mut asked: Value) -> Result<Exported> {
    asked["path"] = json!(path);
    let params = params(asked);
    store.queue_long_read(move |tx| dump::export(tx, &params)).await?.await
}

/// Imports a file; nobody stops it.
pub(crate) fn import(store: &Arc<Store>, path: &Path, dry_run: bool) -> Result<Imported> {
    let params: ImportParams = params(json!({"path": path, "dry_run": dry_run}));
    importing::import(store, &params, &|| false)
}

/// Returns the digest of what is stored.
pub(crate) async fn digest(store: &Store) -> DigestReport {
    store.read(dump::digest).await.expect("a digest")
}

/// Returns the lines of an export.
pub(crate) fn lines_of(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("the export is there");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// Checks that what became of the records adds up, and returns how many were imported.
pub(crate) fn sum(imported: &Imported) -> u64 {
    let mut new = 0;
    for (word, counts) in &imported.counts {
        let sum = counts.imported + counts.already_there + counts.conflict + counts.refused;
        assert_eq!(sum, counts.found, "{word}: {imported:?}");
        new += counts.imported;
    }
    new
}
