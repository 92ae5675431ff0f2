//! Fills a page: up to so many items and so many bytes, but always one.

use std::ops::ControlFlow;

use super::ReadTx;
use super::engine::{Row, Value};
use crate::error::Result;
use crate::model::limits::MAX_PAGE_BYTES;

/// A page as it is filled, by one statement or several that go on from each other.
pub(super) struct Page<T> {
    /// What it holds so far.
    pub(super) items: Vec<T>,
    /// True once an item was met that no longer fits.
    pub(super) has_more: bool,
    limit: usize,
    budget: usize,
    bytes: usize,
}

impl<T> Page<T> {
    /// Returns an empty page with the protocol's limit of bytes.
    pub(super) fn new(limit: u32) -> Self {
        Self::with_budget(limit, MAX_PAGE_BYTES)
    }

    /// Returns an empty page with another limit of bytes.
    pub(super) fn with_budget(limit: u32, budget: usize) -> Self {
        Self { items: Vec::new(), has_more: false, limit: limit as usize, budget, bytes: 0 }
    }

    /// Reads a statement's rows into the page, as far as they fit.
    ///
    /// The statement's last parameter, which this adds, is its LIMIT: one more than still fit, so
    /// that it shows whether the page is the last.
    pub(super) fn fill(
        &mut self,
        tx: &mut ReadTx<'_>,
        sql: &'static str,
        mut params: Vec<Value<'_>>,
        read: impl Fn(&mut Row) -> Result<T>,
        size: impl Fn(&T) -> usize,
    ) -> Result<()> {
        if self.has_more {
            return Ok(());
        }
        params.push(((self.limit - self.items.len()) as i64 + 1).into());
        tx.each(sql, &params, |row| {
            let item = read(row)?;
            self.bytes += size(&item);
            let over = self.items.len() == self.limit || self.bytes > self.budget;
            if over && !self.items.is_empty() {
                self.has_more = true;
                return Ok(ControlFlow::Break(()));
            }
            self.items.push(item);
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Returns the item behind which the next page starts; `None` on the last page.
    pub(super) fn end(&self) -> Option<&T> {
        self.items.last().filter(|_| self.has_more)
    }
}
