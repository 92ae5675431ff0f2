//! Fills a page: up to so many items and so many bytes, but always one.

use std::ops::ControlFlow;

use super::ReadTx;
use super::engine::{Row, Value};
use crate::error::Result;
use crate::model::limits::MAX_PAGE_BYTES;

/// Reads a page and tells whether more follows.
///
/// The statement's last parameter, which this adds, is its LIMIT: one more than wanted.
pub(super) fn read<'a, T>(
    tx: &mut ReadTx<'_>,
    sql: &'static str,
    mut params: Vec<Value<'a>>,
    limit: u32,
    mut item: impl FnMut(&mut Row) -> Result<T>,
    size: impl Fn(&T) -> usize,
) -> Result<(Vec<T>, bool)> {
    params.push((i64::from(limit) + 1).into());
    let (mut items, mut bytes, mut more) = (Vec::new(), 0, false);
    tx.each(sql, &params, |row| {
        let next = item(row)?;
        bytes += size(&next);
        if items.len() == limit as usize || (bytes > MAX_PAGE_BYTES && !items.is_empty()) {
            more = true;
            return Ok(ControlFlow::Break(()));
        }
        items.push(next);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((items, more))
}
