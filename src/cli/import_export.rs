//! `aetherd import` of a file that `aetherd export` wrote.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use super::{Failure, meanwhile, output};
use crate::api::dump::{Header, Import, ImportOutcome, ImportParams, Imported};
use crate::client::Client;

/// Bytes of a first line that may be a header.
const MAX_HEADER_BYTES: u64 = 1024 * 1024;

/// True for a file whose first line says that it is an export.
pub(super) fn is_export(path: &Path) -> bool {
    let mut line = Vec::new();
    let Some(file) = path.is_file().then(|| File::open(path)).and_then(Result::ok) else {
        return false;
    };
    let read = BufReader::new(file).take(MAX_HEADER_BYTES).read_until(b'\n', &mut line);
    read.is_ok() && Header::parse(&line).is_some()
}

/// Imports a file, prints what became of it, and returns whether all of it is there now.
pub(super) async fn import(
    client: &mut Client,
    path: &Path,
    dry_run: bool,
    as_json: bool,
) -> Result<bool, Failure> {
    let params = ImportParams { path: meanwhile::absolute(path)?, dry_run };
    let imported = client.call::<Import>(&params).await?;
    let is_complete = imported.is_whole && imported.problem_count == 0;
    if as_json {
        output::json(&serde_json::json!({ "path": params.path, "export": imported }))?;
    } else {
        print(&params.path, &imported)?;
    }
    Ok(is_complete)
}

fn print(path: &str, imported: &Imported) -> Result<(), Failure> {
    let would = if imported.dry_run { "would be new" } else { "new" };
    let word = if imported.problem_count == 0 { "imported" } else { "partly imported" };
    let mut line = format!("{path}: {word}");
    for (kind, counts) in &imported.counts {
        line += &format!(
            "; {kind}: {} {would}, {} already there",
            counts.imported, counts.already_there
        );
        for (count, word) in [(counts.conflict, "in conflict"), (counts.refused, "refused")] {
            if count > 0 {
                line += &format!(", {count} {word}");
            }
        }
    }
    output::line(&line)?;
    for problem in &imported.problems {
        let what = match (&problem.word, &problem.id) {
            (Some(word), Some(id)) => format!("{word} {id:?}: "),
            (Some(word), None) => format!("{word}: "),
            _ => String::new(),
        };
        let stays = match problem.outcome {
            ImportOutcome::Conflict => " (stays as it is here)",
            _ => "",
        };
        output::line(&format!(
            "  problem: line {}: {what}{}{stays}",
            problem.line, problem.reason
        ))?;
    }
    let others = imported.problem_count - imported.problems.len() as u64;
    if others > 0 {
        output::line(&format!("  and {others} more"))?;
    }
    Ok(())
}
