//! The server: accepts connections, tells the framings apart, dispatches calls.

pub mod allowance;
mod backup;
mod connection;
mod conversation;
pub mod dispatch;
mod dump;
mod feed;
mod folders;
pub mod framing;
mod http;
pub mod importing;
pub mod methods;
pub mod request;
mod status;
#[cfg(test)]
mod testing;
pub mod upkeep;
mod websocket;
pub mod wire_error;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::model::limits::MAX_CONNECTIONS;
use crate::model::{Millis, time};
use crate::paths::Paths;
use crate::search::Search;
use crate::store::Store;
use crate::store::restore::Prepared;
use crate::transport::Listener;
use feed::Tail;
use methods::Methods;
use upkeep::Upkeep;

/// How long connections have to finish what is in flight once the daemon stops.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// Connections past the limit that are told so at one time; more are closed without a word.
pub const MAX_REFUSALS: usize = 64;

/// What every connection shares.
pub struct Server {
    /// The database.
    pub store: Arc<Store>,
    /// The search index.
    pub search: Search,
    /// Where everything lies.
    pub paths: Paths,
    /// This run of the daemon.
    pub instance_id: String,
    /// When it was started.
    pub started_at: Millis,
    /// What clients ask for that the daemon carries out one at a time.
    pub upkeep: Upkeep,
    methods: Methods,
    tail: Tail,
    places: Arc<Semaphore>,
    /// Calls in flight of all conversations.
    calls: AtomicUsize,
    stop: watch::Sender<bool>,
    restore: Mutex<Option<Prepared>>,
}

impl Server {
    /// Returns a server of a store and its search index, with these methods.
    pub fn new(store: Arc<Store>, search: Search, paths: Paths, methods: Methods) -> Arc<Self> {
        Arc::new(Self {
            store,
            search,
            paths,
            instance_id: uuid::Uuid::now_v7().to_string(),
            started_at: time::now(),
            upkeep: Upkeep::new(),
            methods,
            tail: Tail::new(),
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            calls: AtomicUsize::new(0),
            stop: watch::Sender::new(false),
            restore: Mutex::new(None),
        })
    }

    /// Asks the server to stop; `run` returns when what is in flight is done.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Asks the server to stop, and whoever runs it to put a backup in the database's place then.
    fn stop_for_restore(&self, prepared: Prepared) {
        self.restore.lock().expect("no holder of the lock panics").replace(prepared);
        self.stop();
    }

    /// Returns the backup that is to be put in the database's place, where one was asked for.
    pub fn take_restore(&self) -> Option<Prepared> {
        self.restore.lock().expect("no holder of the lock panics").take()
    }

    /// Returns once the server was asked to stop.
    pub async fn stopping(&self) {
        let mut stop = self.stop.subscribe();
        // The sender lives as long as the server, so this ends only with a true.
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// True once the server was asked to stop.
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    fn count_calls(&self) -> CallCount<'_> {
        CallCount { of_all: &self.calls, own: 0 }
    }

    /// Connections open now.
    pub fn connections(&self) -> u64 {
        (MAX_CONNECTIONS - self.places.available_permits()) as u64
    }
}

/// The calls in flight of one conversation, counted among those of all.
struct CallCount<'a> {
    of_all: &'a AtomicUsize,
    own: usize,
}

impl CallCount<'_> {
    fn add(&mut self, calls: usize) {
        self.own += calls;
        self.of_all.fetch_add(calls, Ordering::Relaxed);
    }

    fn remove(&mut self, calls: usize) {
        self.own -= calls;
        self.of_all.fetch_sub(calls, Ordering::Relaxed);
    }

    fn own(&self) -> usize {
        self.own
    }

    /// True where there is one call in flight, of this conversation.
    fn is_the_only_one(&self) -> bool {
        self.own == 1 && self.of_all.load(Ordering::Relaxed) == 1
    }
}

impl Drop for CallCount<'_> {
    fn drop(&mut self) {
        self.remove(self.own);
    }
}

/// Serves a listener until the server is asked to stop, then finishes what is in flight.
pub async fn run(server: Arc<Server>, listener: &Listener) {
    let mut connections = JoinSet::new();
    let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
    let mut number: u64 = 0;
    let publishing = Arc::clone(&server);
    connections.spawn(async move { feed::publish(&publishing).await });
    loop {
        let stream = tokio::select! {
            () = server.stopping() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: what is open goes on.
                    tracing::error!(%error, "accepting a connection failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let Ok(place) = Arc::clone(&server.places).try_acquire_owned() else {
            tracing::warn!(limit = MAX_CONNECTIONS, "refused a connection: all places are taken");
            if let Ok(refusal) = Arc::clone(&refusals).try_acquire_owned() {
                let server = Arc::clone(&server);
                connections.spawn(async move {
                    tokio::select! {
                        () = server.stopping() => {}
                        () = connection::refuse(&server, stream) => {}
                    }
                    drop(refusal);
                });
            }
            continue;
        };
        number += 1;
        let server = Arc::clone(&server);
        let span = tracing::debug_span!("connection", number);
        connections.spawn(
            async move {
                connection::serve(&server, stream).await;
                drop(place);
            }
            .instrument(span),
        );
    }
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_DEADLINE, drained).await.is_err() {
        tracing::warn!("some connections did not take their replies in time and were closed");
    }
}
