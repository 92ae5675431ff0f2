//! The daemon's life: its start order and its stop order, each one readable function.

pub mod backing_up;
mod checking;
pub mod collecting;
mod feed_keeping;
mod lock;
pub mod retaining;
mod signals;
pub mod upkeep;
mod watching_disk;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use lock::{HomeLock, LockInfo};
pub use signals::ask_to_stop;

use crate::api;
use crate::config::{BackupPolicy, Config, FeedPolicy};
use crate::error::{Error, Result};
use crate::search::Search;
use crate::server::methods::Methods;
use crate::server::{self, Server};
use crate::store::recovery::{Suspicion, suspect};
use crate::store::{Store, StoreOptions};
use crate::transport::{self, Listener};

/// A daemon that has started: it holds the home's lock, the open database and the bound socket.
pub struct Daemon {
    server: Arc<Server>,
    feed: Option<FeedPolicy>,
    backups: Option<BackupPolicy>,
    check_after: Duration,
    listener: Listener,
    lock: HomeLock,
}

/// How a daemon's run ended.
pub enum Ended {
    /// It was asked to.
    Stopped,
    /// It closed the database to open it anew: it was damaged, and is recovered then, or another was put in
    /// its place. It still has the lock.
    Reopening(HomeLock),
}

/// Starts: lock, open and migrate, bind, ready. Serves the protocol's methods.
pub async fn start(config: &Config) -> Result<Daemon> {
    start_with(config, Methods::standard()).await
}

/// Starts a daemon that serves these methods.
pub async fn start_with(config: &Config, methods: Methods) -> Result<Daemon> {
    transport::prepare_home(&config.paths)?;
    let lock = HomeLock::take(&config.paths)?;
    start_locked(config, lock, methods).await
}

async fn start_locked(config: &Config, lock: HomeLock, methods: Methods) -> Result<Daemon> {
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
    Ok(Daemon {
        server,
        feed: config.feed,
        backups: config.backups,
        check_after: config.check_after,
        listener,
        lock,
    })
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
    /// Serves until `stop` is done, a client asks for the end, the writer fails for good, or the database
    /// is found damaged.
    ///
    /// Then: accept no more, finish what is in flight, commit the search index, drain the writer,
    /// checkpoint, close, remove our own socket, unlock.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<Ended> {
        let Self { server, feed, backups, check_after, listener, lock } = self;
        let serving = server::run(Arc::clone(&server), &listener);
        let mut serving = std::pin::pin!(serving);
        let mut stop = std::pin::pin!(stop);
        let keeping = feed_keeping::keep(&server.store, &server.search, feed);
        let mut keeping = std::pin::pin!(keeping);
        let collecting = collecting::keep(&server.store);
        let mut collecting = std::pin::pin!(collecting);
        let backing_up = backing_up::keep(&server.store, backups);
        let mut backing_up = std::pin::pin!(backing_up);
        let watching = watching_disk::keep(&server.paths.home);
        let mut watching = std::pin::pin!(watching);
        let checking = checking::keep(&server.store, check_after);
        let mut checking = std::pin::pin!(checking);
        let mut is_damaged = false;
        let upkeep = upkeep::keep(&server);
        let mut upkeep = std::pin::pin!(upkeep);
        tokio::select! {
            () = &mut serving => {}
            never = &mut keeping => match never {},
            never = &mut collecting => match never {},
            never = &mut backing_up => match never {},
            never = &mut watching => match never {},
            () = &mut checking => {
                is_damaged = true;
                server.stop();
                serving.await;
            }
            never = &mut upkeep => match never {},
            () = &mut stop => {
                server.stop();
                serving.await;
            }
            error = server.store.failed() => {
                // Crash rather than corrupt: nothing more is written; the next start recovers.
                let reasons = vec![error.to_string()];
                suspect(server.store.database(), &Suspicion { reasons, is_confirmed: false });
                listener.remove();
                return Err(error);
            }
        }
        server.search.close().await;
        let closed = server.store.close().await;
        listener.remove();
        if let Some(restore) = server.take_restore() {
            closed?;
            restore.swap()?;
            tracing::info!(kept = %restore.kept().display(), "a backup is in the place of the database");
            return Ok(Ended::Reopening(lock));
        }
        if is_damaged {
            // What could not be closed is recovered with the rest.
            return Ok(Ended::Reopening(lock));
        }
        tracing::info!("stopped");
        closed.map(|()| Ended::Stopped)
    }
}

/// Starts a daemon and serves until SIGTERM, SIGINT, SIGHUP or a client's `system.shutdown`.
pub async fn serve(config: &Config) -> Result<()> {
    let stop = signals::stop_requested()
        .map_err(|error| Error::Startup(format!("cannot listen for signals: {error}")))?;
    let mut stop = std::pin::pin!(stop);
    let mut daemon = start(config).await?;
    loop {
        match daemon.run(&mut stop).await? {
            Ended::Stopped => return Ok(()),
            Ended::Reopening(lock) => {
                daemon = start_locked(config, lock, Methods::standard()).await?;
            }
        }
    }
}
