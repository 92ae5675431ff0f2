//! Writes an export of one snapshot into a new file.

use std::collections::BTreeMap;
use std::path::Path;

use super::new_file::NewFile;
use super::{jsonl, markdown};
use crate::api::dump::{ExportFormat, ExportParams, Exported};
use crate::error::Result;
use crate::store::ReadTx;

/// Writes what was asked for into a new file.
pub fn export(tx: &mut ReadTx<'_>, params: &ExportParams) -> Result<Exported> {
    let mut file = NewFile::create(Path::new(&params.path))?;
    let (counts, digest) = match params.format {
        ExportFormat::Jsonl => {
            let footer = jsonl::write(tx, params, &mut file)?;
            (footer.counts, footer.digest)
        }
        ExportFormat::Markdown => {
            let written = markdown::write(tx, params, &mut file)?;
            let counts = [("message", written.messages), ("session", written.sessions)];
            (counts.map(|(word, count)| (word.to_owned(), count)).into(), None)
        }
    };
    let counts: BTreeMap<String, u64> = counts;
    Ok(Exported { path: params.path.clone(), bytes: file.finish()?, counts, digest })
}
