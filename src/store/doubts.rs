//! News that the database may be damaged: something that was read or written failed as it does then.

use std::sync::Arc;

use tokio::sync::watch;

use crate::error::Error;

/// Counts what raised a doubt.
#[derive(Debug, Clone)]
pub(super) struct Doubts(Arc<watch::Sender<u64>>);

impl Doubts {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// Takes an error into account.
    pub(super) fn about(&self, error: &Error) {
        if matches!(error, Error::Damaged(_) | Error::Storage(_)) {
            self.raise();
        }
    }

    pub(super) fn raise(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// Returns how many there were, and news of the next ones.
    pub(super) fn follow(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
