//! Tells before the engine opens a database whether it is damaged, as far as a quick look can: at the
//! first page, the log, and the mark. An engine takes a damaged log for one that was never written.

use std::path::Path;

use super::{catalog, suspicion};
use crate::error::{Error, Result};
use crate::store::format::pages::Pages;
use crate::store::{StoreOptions, mark, migrations};

/// Returns why a database must be recovered; none where nothing speaks for it.
///
/// Fails on a database that is not ours to touch.
pub(super) fn reasons(options: &StoreOptions) -> Result<Vec<String>> {
    let database = &options.database;
    let failed = |error| Error::io("reading", database, &error);
    let mut pages = Pages::open(database).map_err(failed)?;
    let first = pages.page(1).map_err(failed)?;
    let mut reasons = Vec::new();
    if pages.log().header_is_damaged {
        reasons.push("the log's header is damaged".to_owned());
    }
    let frames = pages.log().damaged_frames.len();
    if frames > 0 {
        reasons.push(format!("{frames} frames of the log are damaged"));
    }
    match (&first, pages.header) {
        (None, _) => {
            if let Some((_, seq)) = mark::read(database).filter(|(_, seq)| *seq > 0) {
                reasons.push(format!(
                    "the database has no pages, and {seq} changes were acknowledged"
                ));
            }
        }
        (Some(_), None) => reasons.push("the database has no header of one".to_owned()),
        (Some(page), Some(_)) if !page.is_sound => {
            reasons.push("the first page is not what was last written".to_owned());
        }
        (Some(_), Some(header)) => {
            migrations::recognise::refuse_version(options, header.user_version)?;
            reasons.extend(too_short(&pages));
        }
    }
    if let Some(found) = suspicion::read(database) {
        if found.is_confirmed {
            reasons.extend(found.reasons);
        } else if reasons.is_empty() {
            reasons.extend(catalog::survey(&mut pages).map_err(failed)?);
            if reasons.is_empty() {
                tracing::info!("the database was suspected of damage, and all of it is sound");
                suspicion::clear(database);
            }
        }
    }
    Ok(reasons)
}

/// Tells where the file has fewer pages than it should, and its log does not have the rest.
fn too_short(pages: &Pages) -> Option<String> {
    let (has, should) = (pages.on_file(), pages.expected_count);
    (has + 1..=should)
        .any(|number| !pages.log().pages.contains_key(&number))
        .then(|| format!("the database has {has} pages and should have {should}"))
}

/// Returns what is wrong with the pages of a database.
pub(super) fn survey(database: &Path) -> Result<Vec<String>> {
    let failed = |error| Error::io("reading", database, &error);
    let mut pages = Pages::open(database).map_err(failed)?;
    catalog::survey(&mut pages).map_err(failed)
}
