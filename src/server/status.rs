//! What `system.status` tells.

use std::path::Path;
use std::sync::Arc;

use super::methods::{Work, encode, paths};
use super::{Server, backup};
use crate::api::system::{BackupStatus, RecoveryStatus, StatusReport, Warning, WarningKind};
use crate::model::limits::LITTLE_ROOM_BYTES;
use crate::model::{Millis, time};
use crate::paths::{free_bytes, log_of};
use crate::store;
use crate::store::recovery::Report;

/// How long a recovery that lost something is warned of.
const RECENT: Millis = 30 * 24 * 60 * 60 * 1000;

/// Tells how the daemon and its database are.
pub(super) fn status(server: &Arc<Server>) -> Work {
    let server = Arc::clone(server);
    Work::Read(Box::new(move |tx| {
        let writer = server.store.writer_counts();
        let database = server.store.database();
        let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        let recovery = store::recovery::last_report(database);
        let free = free_bytes(&server.paths.home).ok();
        encode(&StatusReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: crate::api::PROTOCOL,
            pid: std::process::id(),
            instance_id: server.instance_id.clone(),
            started_at: server.started_at,
            engine: server.store.engine_name().to_owned(),
            schema_version: server.store.schema_version(),
            paths: paths(&server),
            connections: server.connections(),
            queued_writes: writer.queued,
            writes: writer.writes,
            groups: writer.groups,
            database_bytes: bytes(database),
            wal_bytes: bytes(&log_of(database)),
            disk_free_bytes: free,
            free_bytes: store::compaction::space(tx)?.free_bytes,
            page_checksums: server.store.has_page_checksums(),
            last_compaction: store::compaction::last(tx)?,
            stored: store::status::counts(tx)?,
            search: server.search.status(),
            backups: backups(&server),
            warnings: warnings(free, recovery.as_ref()),
            recovery: recovery.as_ref().map(recovered),
        })
    }))
}

fn backups(server: &Server) -> BackupStatus {
    let all = store::backup::list(&server.paths.backups());
    BackupStatus {
        count: all.len() as u64,
        bytes: all.iter().map(|backup| backup.bytes).sum(),
        last: all.first().map(backup::shown),
    }
}

fn recovered(report: &Report) -> RecoveryStatus {
    RecoveryStatus {
        at: report.at,
        reasons: report.reasons.clone(),
        folder: report.folder.display().to_string(),
        is_whole: report.is_whole(),
        lost: report.lost(),
        suspect: report.suspect(),
        from_backup: report.from_backup(),
        backup: report.backup.as_ref().map(|path| path.display().to_string()),
    }
}

fn warnings(free: Option<u64>, recovery: Option<&Report>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Some(free) = free.filter(|free| *free < LITTLE_ROOM_BYTES) {
        warnings.push(Warning {
            kind: WarningKind::DiskNearlyFull,
            text: format!(
                "{} MiB are free on the disk of the database; writes are refused once it is full",
                free / 1024 / 1024
            ),
        });
    }
    let is_recent = |report: &&Report| time::now() - report.at < RECENT && !report.is_whole();
    if let Some(report) = recovery.filter(is_recent) {
        warnings.push(Warning {
            kind: WarningKind::RecoveredWithLosses,
            text: format!(
                "the database was damaged; what could not be saved is named in {}",
                report.folder.join("report.json").display()
            ),
        });
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::recovery::TableReport;

    fn kinds(free: Option<u64>, recovery: Option<&Report>) -> Vec<WarningKind> {
        warnings(free, recovery).iter().map(|warning| warning.kind).collect()
    }

    #[test]
    fn a_warning_comes_at_its_limit_and_goes_with_time() {
        use WarningKind::{DiskNearlyFull, RecoveredWithLosses};
        assert_eq!(kinds(None, None), []);
        assert_eq!(kinds(Some(LITTLE_ROOM_BYTES), None), []);
        assert_eq!(kinds(Some(LITTLE_ROOM_BYTES - 1), None), [DiskNearlyFull]);
        let mut report = Report { at: time::now(), ..Report::default() };
        assert_eq!(kinds(None, Some(&report)), [], "nothing was lost");
        let lacking = TableReport { may_lack_more: true, ..TableReport::default() };
        report.tables.insert("settings".to_owned(), lacking);
        assert_eq!(kinds(Some(0), Some(&report)), [DiskNearlyFull, RecoveredWithLosses]);
        report.at -= RECENT;
        assert_eq!(kinds(None, Some(&report)), []);
    }
}
