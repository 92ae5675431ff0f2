//! The subscriptions of one connection by name, and a place for each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::model::limits::MAX_SUBSCRIPTIONS;

/// The subscriptions of a connection.
#[derive(Debug, Default)]
pub(in super::super) struct Subscriptions {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    named: HashMap<String, oneshot::Sender<()>>,
    last_name: u64,
}

/// A subscription's name, and its place as long as this lives.
#[derive(Debug)]
pub(in super::super) struct Place {
    pub(in super::super) name: String,
    subscriptions: Arc<Subscriptions>,
    /// Comes to its end when the subscription does.
    pub(super) ended: oneshot::Receiver<()>,
}

impl Subscriptions {
    /// Takes a place.
    pub(in super::super) fn open(self: &Arc<Self>) -> Result<Place> {
        let mut open = self.open.lock().expect("no holder of the lock panics");
        if open.named.len() >= MAX_SUBSCRIPTIONS {
            return Err(Error::Overloaded {
                what: "subscriptions of one connection",
                limit: MAX_SUBSCRIPTIONS as u64,
            });
        }
        open.last_name += 1;
        let name = open.last_name.to_string();
        let (end, ended) = oneshot::channel();
        open.named.insert(name.clone(), end);
        Ok(Place { name, subscriptions: Arc::clone(self), ended })
    }

    /// Ends a subscription, and returns whether it was there.
    pub(in super::super) fn close(&self, name: &str) -> bool {
        self.open.lock().expect("no holder of the lock panics").named.remove(name).is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.subscriptions.close(&self.name);
    }
}
