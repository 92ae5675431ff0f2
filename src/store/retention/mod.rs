//! Retention: what is set, which sessions are over it, and the writes that a run is made of.
//!
//! What goes passes through the trash. A run looks by one long read which sessions are over the policy,
//! and then writes in batches between other writes; each batch looks again, in its own transaction,
//! whether its sessions still are.

mod look;
mod writes;

pub use look::{Candidate, Plan, bytes_of, plan, preview, used_bytes};
pub use writes::{Batch, move_batch, purge_batch};

pub(super) use look::page_counts;

use super::engine::Row;
use super::{ReadTx, WriteTx};
use crate::api::retention::{Policy, Retention, Run};
use crate::error::{Error, Result};
use crate::model::Topic;

const VALUE: &str = "SELECT value FROM meta WHERE key = ?1";
const SET: &str = "INSERT INTO meta (key, value) VALUES (?1, ?2)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";

/// Where `meta` has the policy.
const POLICY: &str = "retention_policy";
/// Where `meta` has what the last run did.
const LAST_RUN: &str = "retention_last_run";

/// What the feed tells happened to: there is one policy.
const ENTITY: &str = "policy";

/// Returns what is set, and what the last run did.
pub fn get(tx: &mut ReadTx<'_>) -> Result<Retention> {
    Ok(Retention { policy: policy(tx)?, last_run: value(tx, LAST_RUN)? })
}

/// Returns the policy that was set last.
pub fn policy(tx: &mut ReadTx<'_>) -> Result<Option<Policy>> {
    value(tx, POLICY)
}

/// Replaces the policy.
pub fn set(tx: &mut WriteTx<'_>, params: &Policy) -> Result<Retention> {
    if policy(tx)?.as_ref() != Some(params) {
        store(tx, POLICY, params)?;
        tx.changed(Topic::RetentionChanged, ENTITY, None, None)?;
    }
    get(tx)
}

/// Keeps what a run did.
pub fn record_run(tx: &mut WriteTx<'_>, run: &Run) -> Result<()> {
    store(tx, LAST_RUN, run)
}

fn value<T: serde::de::DeserializeOwned>(tx: &mut ReadTx<'_>, key: &str) -> Result<Option<T>> {
    let text = tx.first(VALUE, &[key.into()], Row::text)?;
    text.map(|text| super::stored(serde_json::from_str(&text))).transpose()
}

fn store<T: serde::Serialize>(tx: &mut WriteTx<'_>, key: &str, value: &T) -> Result<()> {
    let text = serde_json::to_string(value)
        .map_err(|error| Error::Internal(format!("a value is not JSON: {error}")))?;
    tx.execute_one(SET, &[key.into(), (&text).into()])
}
