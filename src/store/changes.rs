//! The change feed's rows: one for each change, numbered without a hole, kept as a policy says.
//!
//! They are written by [`WriteTx::changed`], in the transaction of the change itself.

use std::ops::ControlFlow;

use super::engine::{Connection, Row};
use super::sessions::project_id;
use super::{ReadTx, WriteTx};
use crate::config::FeedPolicy;
use crate::error::{Error, Result};
use crate::model::change::{Change, FeedId, Seq, Topic};
use crate::model::{Millis, SessionId};

const INSERT: &str = "INSERT INTO changes (seq, at, topic, entity_id, session_id, project_id)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

const FIRST: &str = "SELECT seq FROM changes ORDER BY seq LIMIT 1";
const LAST: &str = "SELECT seq FROM changes ORDER BY seq DESC LIMIT 1";
const AT: &str = "SELECT at FROM changes WHERE seq = ?1";
const FEED_ID: &str = "SELECT value FROM meta WHERE key = 'feed_id'";

const RENAME: &str = "UPDATE meta SET value = ?1 WHERE key = 'feed_id'";

const AFTER: &str = "SELECT seq, at, topic, entity_id, session_id, project_id
    FROM changes WHERE seq > ?1 ORDER BY seq LIMIT ?2";

const OLDEST: &str = "SELECT seq, at FROM changes ORDER BY seq LIMIT ?1";
const DELETE: &str = "DELETE FROM changes WHERE seq < ?1";

/// What the feed keeps now.
///
/// The row in front of the oldest change is kept too, by which a cursor behind it is known.
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
        let Some((seq, at)) = self.next_change() else { return Ok(()) };
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
    Ok(ReadTx::new(connection).first(LAST, &[], Row::int)?.unwrap_or(0))
}

/// Returns the feed's name.
pub(super) fn feed_id(connection: &mut dyn Connection) -> Result<FeedId> {
    ReadTx::new(connection)
        .first(FEED_ID, &[], Row::text)?
        .and_then(|text| FeedId::parse(&text))
        .ok_or_else(|| Error::Damaged("the change feed has no name".to_owned()))
}

/// Gives the feed another name: who has a cursor of it must not miss what is not written to it.
pub(super) fn rename(connection: &mut dyn Connection) -> Result<()> {
    connection.execute(RENAME, &[FeedId::generate().as_str().into()]).map(|_| ())
}

/// Returns what the feed keeps.
pub fn bounds(tx: &mut ReadTx<'_>) -> Result<Bounds> {
    let last = tx.first(LAST, &[], Row::int)?.unwrap_or(0);
    let first = match tx.first(FIRST, &[], Row::int)? {
        // Nothing was ever deleted.
        None | Some(1) => 1,
        Some(row) => row + 1,
    };
    Ok(Bounds { first, last })
}

/// Returns when the change was made behind which a place is, 0 in front of the first; `None` where
/// the feed no longer has all that follows the place, or does not reach it.
pub fn time_of(tx: &mut ReadTx<'_>, seq: Seq) -> Result<Option<Millis>> {
    match seq {
        0 => Ok((bounds(tx)?.first == 1).then_some(0)),
        _ => tx.first(AT, &[seq.into()], Row::int),
    }
}

/// Returns when the newest change was made; 0 where there was never one.
pub fn newest_at(tx: &mut ReadTx<'_>) -> Result<Millis> {
    let last = bounds(tx)?.last;
    Ok(time_of(tx, last)?.unwrap_or(0))
}

/// Returns the changes behind one, in order, as many as asked for at most.
pub fn after(tx: &mut ReadTx<'_>, seq: Seq, limit: usize) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    each_after(tx, seq, limit, |_, change| {
        changes.push(change?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(changes)
}

/// Hands on the changes behind one, in order, until told to stop: each with its number, also one whose
/// row is not what it should be.
pub(super) fn each_after(
    tx: &mut ReadTx<'_>,
    seq: Seq,
    limit: usize,
    mut each: impl FnMut(Seq, Result<Change>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    tx.each(AFTER, &[seq.into(), limit.into()], |row| {
        let seq = row.int()?;
        each(seq, read_change(seq, row))
    })
}

/// True where something is over the policy that nobody needs.
pub fn is_over(
    tx: &mut ReadTx<'_>,
    policy: FeedPolicy,
    needed: Option<Seq>,
    now: Millis,
) -> Result<bool> {
    Ok(oldest_over(tx, policy, needed, now, 2)?.count > 1)
}

/// Deletes what is over the policy, so many changes at most, and returns whether there may be more.
///
/// The newest that is over it stays, as the row in front of the oldest change. So does all behind the
/// change that is `needed`, as far as the policy lets it.
pub fn prune(
    tx: &mut WriteTx<'_>,
    policy: FeedPolicy,
    needed: Option<Seq>,
    now: Millis,
    batch: usize,
) -> Result<bool> {
    let over = oldest_over(tx, policy, needed, now, batch + 1)?;
    if over.count > 1 {
        tx.execute(DELETE, &[over.last.into()])?;
    }
    Ok(over.count > batch)
}

/// The oldest changes that are over the policy and that nobody needs.
struct Over {
    count: usize,
    last: Seq,
}

fn oldest_over(
    tx: &mut ReadTx<'_>,
    policy: FeedPolicy,
    needed: Option<Seq>,
    now: Millis,
    limit: usize,
) -> Result<Over> {
    let newest = bounds(tx)?.last;
    let kept_from = newest - i64::from(policy.max_changes);
    // Its own row stays too: by it the place is known.
    let needed_from =
        needed.map_or(newest, |seq| seq.max(newest - i64::from(policy.max_for_index)));
    let young_from = now.saturating_sub(policy.max_age);
    let mut over = Over { count: 0, last: 0 };
    tx.each(OLDEST, &[i64::try_from(limit).unwrap_or(i64::MAX).into()], |row| {
        let (seq, at) = (row.int()?, row.int()?);
        if seq >= newest || seq > needed_from || (seq > kept_from && at >= young_from) {
            return Ok(ControlFlow::Break(()));
        }
        over = Over { count: over.count + 1, last: seq };
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(over)
}

fn read_change(seq: Seq, row: &mut Row) -> Result<Change> {
    Ok(Change {
        seq,
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
