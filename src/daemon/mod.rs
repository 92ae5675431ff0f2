//! The daemon's life: its start order and its stop order, each one readable function.

pub mod collecting;
mod feed_keeping;
mod lock;
pub mod retaining;
mod signals;
pub mod upkeep;

use std::future::Future;
use std::sync::Arc;

pub use lock::{HomeLock, LockInfo};
pub use signals::ask_to_stop;

use crate::api;
use crate::config::{Config, FeedPolicy};
use crate::error::{Error, Result};
use crate::search::Search;
use crate::server::methods::Methods;
use crate::server::{self, Server};
use crate::store::{Store, StoreOptions};
use crate::transport::{self, Listener};

/// A daemon that has started: it holds the home's lock, the open database and the bound socket.
pub struct Daemon {
    server: Arc<Server>,
    feed: Option<FeedPolicy>,
    listener: Listener,
    _lock: HomeLock,
}

/// Starts: lock, open and migrate, bind, ready. Serves the protocol's methods.
pub async fn start(config: &Config) -> Result<Daemon> {
    start_with(config, Methods::standard()).await
}

/// Starts a daemon that serves these methods.
pub async fn start_with(config: &Config, methods: Methods) -> Result<Daemon> {
    transport::prepare_home(&config.paths)?;
    let lock = HomeLock::take(&config.paths)?;
    let store = Arc::new(Store::open(&StoreOptions {
        database: config.paths.database(),
        backups: config.paths.backups(),
        engine: config.engine,
        readers: config.readers,
        has_feed: config.feed.is_some(),
    })?);
    // The index follows the feed.
    let search = if config.search && config.feed.is_some() {
        Search::start(config.paths.search(), Arc::clone(&store))?
    } else {
        Search::turned_off()
    };
    let server = Server::new(store, search, config.paths.clone(), methods);
    let listener = match listen(config, &lock, &server).await {
        Ok(listener) => listener,
        Err(error) => {
            server.search.close().await;
            if let Err(error) = server.store.close().await {
                tracing::error!(%error, "closing the database failed");
            }
            return Err(error);
        }
    };
    tracing::info!(
        socket = %config.paths.socket.display(),
        database = %config.paths.database().display(),
        engine = server.store.engine_name(),
        version = env!("CARGO_PKG_VERSION"),
        "ready"
    );
    Ok(Daemon { server, feed: config.feed, listener, _lock: lock })
}

/// Binds the socket and writes who listens there into the lock: both, or neither.
async fn listen(config: &Config, lock: &HomeLock, server: &Server) -> Result<Listener> {
    let listener = Listener::bind(&config.paths.socket).await?;
    let written = lock.write(&LockInfo {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: api::PROTOCOL,
        socket: config.paths.socket.display().to_string(),
        instance_id: server.instance_id.clone(),
    });
    if let Err(error) = written {
        listener.remove();
        return Err(error);
    }
    Ok(listener)
}

impl Daemon {
    /// Serves until `stop` is done, a client asks for the end, or the writer fails for good.
    ///
    /// Then: accept no more, finish what is in flight, commit the search index, drain the writer,
    /// checkpoint, close, remove our own socket, unlock.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<()> {
        let Self { server, feed, listener, _lock } = self;
        let serving = server::run(Arc::clone(&server), &listener);
        let mut serving = std::pin::pin!(serving);
        let mut stop = std::pin::pin!(stop);
        let keeping = feed_keeping::keep(&server.store, &server.search, feed);
        let mut keeping = std::pin::pin!(keeping);
        let collecting = collecting::keep(&server.store);
        let mut collecting = std::pin::pin!(collecting);
        let upkeep = upkeep::keep(&server);
        let mut upkeep = std::pin::pin!(upkeep);
        tokio::select! {
            () = &mut serving => {}
            never = &mut keeping => match never {},
            never = &mut collecting => match never {},
            never = &mut upkeep => match never {},
            () = &mut stop => {
                server.stop();
                serving.await;
            }
            error = server.store.failed() => {
                // Crash rather than corrupt: nothing more is written; the next start recovers.
                listener.remove();
                return Err(error);
            }
        }
        server.search.close().await;
        let closed = server.store.close().await;
        listener.remove();
        tracing::info!("stopped");
        closed
    }
}

/// Starts a daemon and serves until SIGTERM, SIGINT, SIGHUP or a client's `system.shutdown`.
pub async fn serve(config: &Config) -> Result<()> {
    let stop = signals::stop_requested()
        .map_err(|error| Error::Startup(format!("cannot listen for signals: {error}")))?;
    start(config).await?.run(stop).await
}
