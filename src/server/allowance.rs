//! How many bytes one connection holds in the daemon: writes that wait, replies that are not sent yet.
//!
//! What is held is charged where it is made, on the reader's or the writer's thread, so that many
//! calls in flight cannot each make a large reply before the first one is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::error::{Error, Result};
use crate::model::limits::{MAX_BATCH_REPLY_BYTES, MAX_HELD_BYTES, MAX_OUTBOUND_BYTES};

/// One connection's count.
#[derive(Debug, Default)]
pub struct Allowance {
    held: AtomicUsize,
    room: Notify,
    /// Of a batch, whose replies are held until all are there: the connection's.
    connection: Option<Arc<Allowance>>,
}

impl Allowance {
    /// Returns the count of a connection.
    pub fn of_connection() -> Arc<Self> {
        Arc::default()
    }

    /// Returns the count of a batch of this connection.
    pub fn of_batch(self: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self { connection: Some(Arc::clone(self)), ..Self::default() })
    }

    /// True while the connection may be read and single reads may be carried out.
    pub fn has_room(&self) -> bool {
        self.held() < MAX_OUTBOUND_BYTES
    }

    /// Waits until there is room. The client makes it by taking its replies.
    pub async fn room(&self) {
        loop {
            let mut notified = std::pin::pin!(self.room.notified());
            // From here on no change is missed.
            notified.as_mut().enable();
            if self.has_room() {
                return;
            }
            notified.await;
        }
    }

    /// True where a read must wait for room. One of a batch never does: its batch frees nothing
    /// before it is whole.
    pub fn must_wait(&self) -> bool {
        self.connection.is_none() && !self.has_room()
    }

    /// Checks that a call which cannot wait for room may be carried out: a write, which has its
    /// place in the order, or one of a batch.
    pub fn admit(&self) -> Result<()> {
        let (what, held, limit) = match &self.connection {
            Some(_) if self.held() >= MAX_BATCH_REPLY_BYTES => {
                ("bytes of replies of one batch", self.held(), MAX_BATCH_REPLY_BYTES)
            }
            Some(connection) => (HELD, connection.held(), MAX_HELD_BYTES),
            None => (HELD, self.held(), MAX_HELD_BYTES),
        };
        if held < limit {
            return Ok(());
        }
        Err(Error::Overloaded { what, limit: limit as u64 })
    }

    /// Charges bytes until the charge is dropped.
    pub fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        let mut one = Some(self);
        while let Some(allowance) = one {
            allowance.held.fetch_add(bytes, Ordering::Relaxed);
            one = allowance.connection.as_ref();
        }
        Charge { allowance: Arc::clone(self), bytes }
    }

    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

const HELD: &str = "bytes of replies that one connection has not read";

/// Bytes that are held as long as this lives.
#[derive(Debug)]
pub struct Charge {
    allowance: Arc<Allowance>,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut one = Some(&self.allowance);
        while let Some(allowance) = one {
            let before = allowance.held.fetch_sub(self.bytes, Ordering::Relaxed);
            let has_room = before - self.bytes < MAX_OUTBOUND_BYTES;
            if has_room && before >= MAX_OUTBOUND_BYTES {
                allowance.room.notify_waiters();
            }
            one = allowance.connection.as_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_batch_is_charged_to_its_connection_too() {
        let connection = Allowance::of_connection();
        let batch = connection.of_batch();
        let charge = batch.charge(MAX_BATCH_REPLY_BYTES);
        assert!(batch.admit().is_err(), "the batch is full");
        assert!(connection.admit().is_ok(), "a write may go on");
        assert!(!connection.has_room(), "a read must wait");
        drop(charge);
        assert!(batch.admit().is_ok() && connection.has_room());
        let charge = connection.charge(MAX_HELD_BYTES);
        assert!(batch.admit().is_err() && connection.admit().is_err());
        drop(charge);
        assert_eq!((batch.held(), connection.held()), (0, 0));
    }

    #[tokio::test]
    async fn who_waits_for_room_is_woken() {
        let connection = Allowance::of_connection();
        let charges = [connection.charge(1), connection.charge(MAX_OUTBOUND_BYTES)];
        let mut room = std::pin::pin!(connection.room());
        for charge in charges {
            assert!(room.as_mut().now_or_never().is_none());
            drop(charge);
        }
        room.await;
    }
}
