//! The change feed's rows: one for each change, numbered without a hole, kept as a policy says.
//!
//! They are written by [`WriteTx::changed`], in the transaction of the change itself.

use std::ops::ControlFlow;

use super::engine::{Connection, Row, Value};
use super::sessions::project_id;
use super::{ReadTx, WriteTx};
use crate::error::{Error, Result};
use crate::model::change::{Change, FeedId, Seq, Topic};
use crate::model::{Millis, SessionId};

const INSERT: &str = "INSERT INTO changes (seq, at, topic, entity_id, session_id, project_id)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

const FIRST: &str = "SELECT seq FROM changes ORDER BY seq LIMIT 1";
const LAST: &str = "SELECT seq FROM changes ORDER BY seq DESC LIMIT 1";
const FEED_ID: &str = "SELECT value FROM meta WHERE key = 'feed_id'";

const AFTER: &str = "SELECT seq, at, topic, entity_id, session_id, project_id
    FROM changes WHERE seq > ?1 ORDER BY seq LIMIT ?2";

const OLDEST: &str = "SELECT seq, at FROM changes ORDER BY seq LIMIT ?1";
const DELETE: &str = "DELETE FROM changes WHERE seq <= ?1";

/// How much the feed keeps. What passes either limit goes, all but the newest change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedPolicy {
    /// Changes at most.
    pub max_changes: i64,
    /// The age at most, in milliseconds.
    pub max_age: Millis,
}

impl Default for FeedPolicy {
    fn default() -> Self {
        Self { max_changes: 200_000, max_age: 7 * 24 * 60 * 60 * 1000 }
    }
}

/// What the feed keeps now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The oldest change that is kept; one more than the last where there is none.
    pub first: Seq,
    /// The newest change; 0 where there was never one.
    pub last: Seq,
}

impl WriteTx<'_> {
    /// Adds a change to the feed.
    pub fn changed(
        &mut self,
        topic: Topic,
        entity_id: &str,
        session_id: Option<&str>,
        project_id: Option<&str>,
    ) -> Result<()> {
        let (seq, at) = self.next_change();
        self.execute_one(
            INSERT,
            &[
                seq.into(),
                at.into(),
                topic.word().into(),
                entity_id.into(),
                session_id.into(),
                project_id.into(),
            ],
        )
    }
}

/// Returns the number of the newest change; 0 where there was never one.
pub(super) fn last_seq(connection: &mut dyn Connection) -> Result<Seq> {
    let mut last = 0;
    connection.query(LAST, &[], &mut |row| {
        last = row.int()?;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(last)
}

/// Returns what the feed keeps.
pub fn bounds(tx: &mut ReadTx<'_>) -> Result<Bounds> {
    let last = tx.first(LAST, &[], Row::int)?.unwrap_or(0);
    Ok(Bounds { first: tx.first(FIRST, &[], Row::int)?.unwrap_or(last + 1), last })
}

/// Returns the feed's name.
pub fn feed_id(tx: &mut ReadTx<'_>) -> Result<FeedId> {
    tx.first(FEED_ID, &[], Row::text)?
        .and_then(|text| FeedId::parse(&text))
        .ok_or_else(|| Error::Damaged("the change feed has no name".to_owned()))
}

/// Returns the changes behind one, in order, as many as asked for at most.
pub fn after(tx: &mut ReadTx<'_>, seq: Seq, limit: usize) -> Result<Vec<Change>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    tx.all(AFTER, &[seq.into(), limit.into()], read_change)
}

/// Deletes what is over the policy, of the oldest so many changes, and returns whether there may be more.
pub fn prune(tx: &mut WriteTx<'_>, policy: FeedPolicy, now: Millis, batch: usize) -> Result<bool> {
    let last = bounds(tx)?.last;
    let batch = i64::try_from(batch).unwrap_or(i64::MAX);
    let kept_from = last.saturating_sub(policy.max_changes).min(last - 1);
    let young_from = now.saturating_sub(policy.max_age);
    let (mut cut, mut seen) = (None, 0);
    tx.each(OLDEST, &[batch.into()], |row| {
        let (seq, at) = (row.int()?, row.int()?);
        if seq >= last || (seq > kept_from && at >= young_from) {
            return Ok(ControlFlow::Break(()));
        }
        (cut, seen) = (Some(seq), seen + 1);
        Ok(ControlFlow::Continue(()))
    })?;
    if let Some(cut) = cut {
        tx.execute(DELETE, &[Value::from(cut)])?;
    }
    Ok(seen == batch)
}

fn read_change(row: &mut Row) -> Result<Change> {
    Ok(Change {
        seq: row.int()?,
        at: row.int()?,
        topic: super::stored(Topic::parse(&row.text()?).ok_or("a topic is unknown"))?,
        entity_id: row.text()?,
        session_id: row
            .optional_text()?
            .map(|text| super::stored(SessionId::parse(text)))
            .transpose()?,
        project_id: project_id(row)?,
    })
}
