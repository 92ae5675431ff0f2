//! Limits of params that their types cannot say, checked before a call is queued.

use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};
use crate::model::json::check_free;
use crate::model::limits::{
    DEFAULT_PAGE_ITEMS, MAX_CONTENT_BYTES, MAX_PAGE_ITEMS, MAX_TIME, MIN_TIME,
};
use crate::model::{JsonObject, Millis, time};

/// Params that can be checked.
pub trait Check {
    /// Returns the first limit that is broken.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// Checks a text's size in bytes.
pub(super) fn size(field: &str, text: &str, limit: usize) -> Result<()> {
    if text.len() > limit {
        return Err(Error::TooLarge {
            field: field.to_owned(),
            limit: limit as u64,
            actual: text.len() as u64,
        });
    }
    Ok(())
}

/// Checks the size of a text that may be absent.
pub(super) fn optional_size(field: &str, text: Option<&String>, limit: usize) -> Result<()> {
    text.map_or(Ok(()), |text| size(field, text, limit))
}

/// Checks the free data of a record, or a patch for it.
pub(super) fn metadata(field: &str, metadata: Option<&JsonObject>) -> Result<()> {
    metadata.map_or(Ok(()), |metadata| json(field, metadata.as_str()))
}

/// Checks a free JSON value: its size, its depth, and that its strings are Unicode.
pub(super) fn json(field: &str, text: &str) -> Result<()> {
    size(field, text, MAX_CONTENT_BYTES)?;
    check_free(text).map_err(|problem| Error::invalid(field, problem))
}

/// Checks a name: not empty, and within its size.
pub(super) fn name(field: &str, text: &str, limit: usize) -> Result<()> {
    if text.is_empty() {
        return Err(Error::invalid(field, "must not be empty"));
    }
    size(field, text, limit)
}

/// Checks a list's length: one to `limit`.
pub(super) fn count(field: &str, items: usize, limit: usize) -> Result<()> {
    if items == 0 || items > limit {
        return Err(Error::invalid(field, format!("expected 1 to {limit} items, found {items}")));
    }
    Ok(())
}

/// Checks a time that may be absent: it lies in the years 1 to 9999.
pub(super) fn optional_time(field: &str, at: Option<Millis>) -> Result<()> {
    match at.filter(|at| !time::is_showable(*at)) {
        None => Ok(()),
        Some(at) => Err(Error::invalid(
            field,
            format!("expected a time from {MIN_TIME} to {MAX_TIME} (years 1 to 9999), found {at}"),
        )),
    }
}

/// Checks a page's length.
pub(super) fn page_limit(limit: u32) -> Result<()> {
    if limit == 0 || limit > MAX_PAGE_ITEMS {
        return Err(Error::invalid(
            "limit",
            format!("expected 1 to {MAX_PAGE_ITEMS}, found {limit}"),
        ));
    }
    Ok(())
}

/// The page length of a client that does not say.
pub(super) fn default_page_items() -> u32 {
    DEFAULT_PAGE_ITEMS
}

/// Reads a field that may be null but not absent.
pub(super) fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer)
}

/// Reads a field that may be absent (leave it) but not null, which would be taken for absent.
pub(super) fn not_null<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Reads a field that may be absent (leave it) or null (clear it).
pub(super) fn nullable<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}
