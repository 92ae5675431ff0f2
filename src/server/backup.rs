//! What `system.backup` and `system.restore` come to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::Server;
use super::methods::{Awaited, ReadJob, Work, encode};
use crate::api;
use crate::api::backup::{BackupParams, RestoreParams, Restoring};
use crate::error::{Error, Result};
use crate::store::backup::{self, Backup, Reason, Target};
use crate::store::new_name::refuse_taken;
use crate::store::restore::{self, Prepared};

/// Writes a backup on the thread of what takes long.
pub(super) fn back_up(server: &Arc<Server>, params: BackupParams) -> Result<Work> {
    let target = match params.path {
        None => Target::Folder(server.paths.backups()),
        Some(path) => {
            refuse_taken(Path::new(&path), "a backup")?;
            Target::File(PathBuf::from(path))
        }
    };
    let job = server.store.backup_job(target, Reason::Asked);
    Ok(Work::LongRead(Box::new(move |tx| encode(&shown(&job(tx)?)))))
}

/// Returns a backup as a client sees it.
pub(super) fn shown(backup: &Backup) -> api::backup::Backup {
    api::backup::Backup {
        path: backup.path.display().to_string(),
        bytes: backup.bytes,
        created_at: backup.created_at,
        reason: backup.reason.clone(),
    }
}

/// Prepares a backup for the database's place, and has the daemon begin anew with it.
pub(super) fn restore(server: &Arc<Server>, params: RestoreParams) -> Work {
    let server = Arc::clone(server);
    Work::Awaited(Box::pin(async move {
        let source = match params.path {
            Some(path) => PathBuf::from(path),
            None => {
                backup::newest(&server.paths.backups())
                    .ok_or_else(|| Error::not_found("backup", "latest"))?
                    .path
            }
        };
        if !source.is_file() {
            return Err(Error::not_found("backup", source.display()));
        }
        let prepared = prepare(&server, source.clone()).await?;
        let job: ReadJob = Box::new(move |_| {
            let kept = prepared.kept().display().to_string();
            tracing::info!(backup = %source.display(), "a client asked to restore a backup");
            server.stop_for_restore(prepared);
            encode(&Restoring { path: source.display().to_string(), kept })
        });
        Ok(job)
    }) as Awaited)
}

/// On a thread of its own: it copies and checks the whole file.
async fn prepare(server: &Server, source: PathBuf) -> Result<Prepared> {
    let options = server.store.options().clone();
    let (reply, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("aetherd-restore".to_owned())
        .spawn(move || {
            let _ = reply.send(restore::prepare(&options, &source));
        })
        .map_err(|error| Error::Storage(format!("cannot start a thread: {error}")))?;
    receiver.await.map_err(|_| Error::Internal("the backup could not be prepared".to_owned()))?
}
