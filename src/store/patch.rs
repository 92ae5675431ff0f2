//! What an update does to a record's fields, and whether it changes any.

use crate::error::{Error, Result};
use crate::model::JsonObject;
use crate::model::limits::MAX_CONTENT_BYTES;

/// Sets a field where a patch has it, and returns whether that changed it.
pub(super) fn set<T: Clone + PartialEq>(field: &mut T, patch: Option<&T>) -> bool {
    let change = patch.filter(|value| *value != field);
    if let Some(value) = change {
        field.clone_from(value);
    }
    change.is_some()
}

/// Merges a patch into the free data of a record, or clears it where the patch is null, and
/// returns whether that changed it.
pub(super) fn metadata(
    field: &mut Option<JsonObject>,
    patch: Option<&Option<JsonObject>>,
) -> Result<bool> {
    let Some(Some(patch)) = patch else { return Ok(set(field, patch)) };
    let merged = JsonObject::merged(field.as_ref(), patch)
        .map_err(|problem| Error::invalid("metadata", problem))?;
    let bytes = merged.as_str().len();
    if bytes > MAX_CONTENT_BYTES {
        return Err(Error::TooLarge {
            field: "metadata".to_owned(),
            limit: MAX_CONTENT_BYTES as u64,
            actual: bytes as u64,
        });
    }
    Ok(set(field, Some(&Some(merged))))
}
