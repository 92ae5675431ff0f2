//! Fills a page: up to so many items and so many bytes, but always one.

use std::io;
use std::ops::ControlFlow;

use serde::Serialize;

use super::ReadTx;
use super::engine::{Row, Value};
use crate::error::{Error, Result};
use crate::model::Summary;
use crate::model::limits::MAX_PAGE_BYTES;

/// A page as it is filled, by one statement or several that go on from each other.
pub(super) struct Page<T> {
    /// What it holds so far.
    pub(super) items: Vec<T>,
    /// True once an item was met that no longer fits.
    pub(super) has_more: bool,
    limit: usize,
    /// Bytes of texts, for a caller who pays for them.
    text_budget: usize,
    texts: usize,
    json_budget: usize,
    json: JsonBytes,
}

impl<T: Serialize> Page<T> {
    /// Returns an empty page with the protocol's limit of bytes, which are counted as JSON.
    pub(super) fn new(limit: u32) -> Self {
        Self {
            items: Vec::new(),
            has_more: false,
            limit: limit as usize,
            text_budget: usize::MAX,
            texts: 0,
            json_budget: MAX_PAGE_BYTES,
            json: JsonBytes::AtMost(0),
        }
    }

    /// Returns an empty page with a limit also for the bytes of its items' texts.
    pub(super) fn with_text_budget(limit: u32, text_budget: usize) -> Self {
        Self { text_budget, ..Self::new(limit) }
    }

    /// Returns an empty page of messages beside a summary, which counts for both limits of bytes.
    pub(super) fn beside(
        summary: &Option<Summary>,
        limit: u32,
        text_budget: usize,
    ) -> Result<Self> {
        let Some(summary) = summary else { return Ok(Self::with_text_budget(limit, text_budget)) };
        Ok(Self {
            json_budget: MAX_PAGE_BYTES.saturating_sub(json_bytes(summary)?),
            ..Self::with_text_budget(limit, text_budget.saturating_sub(summary.content.len()))
        })
    }

    /// Returns an empty page with a limit of its own for the bytes of its JSON.
    pub(super) fn within(limit: u32, json_budget: usize) -> Self {
        Self { json_budget, ..Self::new(limit) }
    }

    /// Returns one of two empty pages that are put together.
    pub(super) fn half(limit: u32) -> Self {
        Self::within(limit, MAX_PAGE_BYTES / 2)
    }

    /// Reads a statement's rows into the page, as far as they fit.
    ///
    /// The statement's last parameter, which this adds, is its LIMIT: one more than still fit, so
    /// that it shows whether the page is the last. `texts` gives the bytes of an item's texts; its
    /// ids need not be counted.
    pub(super) fn fill(
        &mut self,
        tx: &mut ReadTx<'_>,
        sql: &'static str,
        mut params: Vec<Value<'_>>,
        read: impl Fn(&mut Row) -> Result<T>,
        texts: impl Fn(&T) -> usize,
    ) -> Result<()> {
        if self.has_more {
            return Ok(());
        }
        params.push(((self.limit - self.items.len()) as i64 + 1).into());
        tx.each(sql, &params, |row| {
            let item = read(row)?;
            let bytes = texts(&item);
            self.push(item, bytes)
        })
    }

    /// Adds an item whose texts have so many bytes; breaks where it no longer fits.
    pub(super) fn push(&mut self, item: T, texts: usize) -> Result<ControlFlow<()>> {
        self.texts += texts;
        if self.items.len() == self.limit || !self.fits(&item, texts)? {
            self.has_more = true;
            return Ok(ControlFlow::Break(()));
        }
        self.items.push(item);
        Ok(ControlFlow::Continue(()))
    }

    /// Counts an item, and returns whether it still fits. The first one always does.
    fn fits(&mut self, item: &T, texts: usize) -> Result<bool> {
        self.json.add(&self.items, item, texts, self.json_budget)?;
        let fits = self.texts <= self.text_budget && self.json.bytes() <= self.json_budget;
        Ok(fits || self.items.is_empty())
    }

    /// Returns the item behind which the next page starts; `None` on the last page.
    pub(super) fn end(&self) -> Option<&T> {
        self.items.last().filter(|_| self.has_more)
    }
}

/// How many bytes the items are as JSON. That is counted only once a page may be too large.
#[derive(Debug, Clone, Copy)]
enum JsonBytes {
    AtMost(usize),
    Exactly(usize),
}

/// What JSON makes of a byte at most: `\u0001`.
const MAX_ESCAPED: usize = 6;
/// What an item has beside those texts, at most: three ids, names of fields, numbers.
const MAX_BESIDE: usize = 4096;

impl JsonBytes {
    fn bytes(self) -> usize {
        match self {
            Self::AtMost(bytes) | Self::Exactly(bytes) => bytes,
        }
    }

    fn add<T: Serialize>(
        &mut self,
        before: &[T],
        item: &T,
        texts: usize,
        budget: usize,
    ) -> Result<()> {
        *self = match *self {
            Self::AtMost(bytes) => {
                let bytes = bytes + texts * MAX_ESCAPED + MAX_BESIDE;
                if bytes <= budget {
                    Self::AtMost(bytes)
                } else {
                    let before: Result<usize> = before.iter().map(json_bytes).sum();
                    Self::Exactly(before? + json_bytes(item)?)
                }
            }
            Self::Exactly(bytes) => Self::Exactly(bytes + json_bytes(item)?),
        };
        Ok(())
    }
}

/// Returns the bytes of an item's JSON and of the comma behind it.
fn json_bytes<T: Serialize>(item: &T) -> Result<usize> {
    let mut counter = Counter(1);
    serde_json::to_writer(&mut counter, item)
        .map_err(|error| Error::Internal(format!("an item is not JSON: {error}")))?;
    Ok(counter.0)
}

/// Counts what is written to it.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
