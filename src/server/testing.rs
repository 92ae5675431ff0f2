//! What the server's own tests share: a server on a home of their own, with one reader.

use std::path::Path;
use std::sync::Arc;

use super::Server;
use super::methods::Methods;
use crate::config::EngineKind;
use crate::paths::Paths;
use crate::search::Search;
use crate::store::{Store, StoreOptions};

/// Returns a server with a change feed.
pub(super) fn server_in(home: &Path) -> Arc<Server> {
    server_with(home, true)
}

/// Returns a server with or without a change feed.
pub(super) fn server_with(home: &Path, has_feed: bool) -> Arc<Server> {
    let store = Store::open(&StoreOptions {
        database: home.join("ide.db"),
        backups: home.join("backups"),
        engine: EngineKind::Turso,
        readers: 1,
        has_feed,
    })
    .expect("the store opens");
    let paths = Paths { home: home.to_owned(), socket: home.join("aetherd.sock") };
    Server::new(Arc::new(store), Search::turned_off(), paths, Methods::standard())
}

/// Makes a change whose event has so many bytes or a few more.
pub(super) async fn change(server: &Server, bytes: usize) {
    let value = serde_json::json!({"key": "k", "value": "v".repeat(bytes)});
    let params = serde_json::from_value(value).expect("params");
    server.store.write(move |tx| crate::store::settings::set(tx, &params)).await.expect("set");
}
