//! What `system.export`, `system.import` and `system.digest` come to.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Server;
use super::importing;
use super::methods::{Awaited, ReadJob, Work, encode};
use crate::api::dump::{ExportParams, ImportParams};
use crate::error::Error;
use crate::store::dump;

/// Writes an export on the thread of what takes long.
pub(super) fn export(params: ExportParams) -> Work {
    Work::LongRead(Box::new(move |tx| encode(&dump::export(tx, &params)?)))
}

/// Gives the digest of what is stored.
pub(super) fn digest() -> Work {
    Work::LongRead(Box::new(|tx| encode(&dump::digest(tx)?)))
}

/// Imports a file on a thread of its own.
pub(super) fn import(server: &Arc<Server>, params: ImportParams) -> Work {
    let server = Arc::clone(server);
    Work::Awaited(Box::pin(async move {
        let (reply, receiver) = oneshot::channel();
        std::thread::Builder::new()
            .name("aetherd-import".to_owned())
            .spawn(move || {
                let _ =
                    reply.send(importing::import(&server.store, &params, &|| server.is_stopping()));
            })
            .map_err(|error| Error::Storage(format!("cannot start a thread: {error}")))?;
        let imported = receiver
            .await
            .map_err(|_| Error::Internal("the import panicked; the log says where".to_owned()))??;
        let job: ReadJob = Box::new(move |_| encode(&imported));
        Ok(job)
    }) as Awaited)
}
