//! The engine of the open file, which a compaction changes for that of the file it made.

use std::sync::{Arc, Mutex, MutexGuard};

use super::engine::{Connection, Engine};
use crate::error::{Error, Result};

/// Where all who connect find the engine. No one else keeps it, so that it can be seen to be closed.
#[derive(Clone)]
pub(super) struct EngineSlot(Arc<Mutex<Option<Arc<dyn Engine>>>>);

impl EngineSlot {
    /// Returns a slot with this engine.
    pub(super) fn new(engine: Arc<dyn Engine>) -> Self {
        Self(Arc::new(Mutex::new(Some(engine))))
    }

    /// Opens another connection.
    pub(super) fn connect(&self) -> Result<Box<dyn Connection>> {
        match self.lock().as_ref() {
            Some(engine) => engine.connect(),
            None => Err(Error::Storage("the database's file is being replaced".to_owned())),
        }
    }

    /// Takes the engine out; nobody can connect until another one is put in.
    pub(super) fn take(&self) -> Option<Arc<dyn Engine>> {
        self.lock().take()
    }

    /// Puts an engine in.
    pub(super) fn put(&self, engine: Arc<dyn Engine>) {
        self.lock().replace(engine);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<dyn Engine>>> {
        self.0.lock().expect("no holder of the lock panics")
    }
}
