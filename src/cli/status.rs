//! `aetherd status`.

use super::{Failure, output, running};
use crate::api::dump::Digest;
use crate::api::system::{BackupStatus, NoParams, SearchState, SearchStatus, Status, StatusReport};
use crate::client::{Client, ClientError};
use crate::model::time;
use crate::paths::Paths;

#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// Show a digest of what is stored instead, by which two stores can be compared
    #[arg(long)]
    digest: bool,
}

pub(super) async fn run(paths: &Paths, args: &StatusArgs, as_json: bool) -> Result<(), Failure> {
    if args.digest {
        return digest(paths, as_json).await;
    }
    let status = match ask(paths).await {
        Err(error) if running::leaves_open(&error) => return Err(no_answer(paths, error)?),
        answer => answer?,
    };
    if as_json {
        return output::json(&status);
    }
    let stored = &status.stored;
    for (name, value) in [
        (
            "daemon",
            format!("aetherd {}, protocol {}, pid {}", status.version, status.protocol, status.pid),
        ),
        ("up", duration(time::now() - status.started_at)),
        ("socket", status.paths.socket.clone()),
        (
            "database",
            format!(
                "{} ({}, tables of version {})",
                status.paths.database, status.engine, status.schema_version
            ),
        ),
        ("size", format!("{}, log {}", size(status.database_bytes), size(status.wal_bytes))),
        (
            "stored",
            format!(
                "{}, {}, {}, {}, {}, {}, {} ({})",
                counted(stored.sessions, "session"),
                counted(stored.messages, "message"),
                counted(stored.edits, "edit"),
                counted(stored.projects, "project"),
                counted(stored.files, "file"),
                counted(stored.settings, "setting"),
                counted(stored.attachments, "attachment"),
                size(u64::try_from(stored.attachment_bytes).unwrap_or_default())
            ),
        ),
        ("search", search(&status.search)),
        ("backups", backups(&status.backups)),
        ("connections", status.connections.to_string()),
        (
            "writes",
            format!(
                "{} in {}, {} waiting",
                status.writes,
                counted(status.groups, "transaction"),
                status.queued_writes
            ),
        ),
    ] {
        output::line(&format!("{name:<12}{value}"))?;
    }
    for warning in &status.warnings {
        output::line(&format!("{:<12}{}", "warning", warning.text))?;
    }
    Ok(())
}

async fn digest(paths: &Paths, as_json: bool) -> Result<(), Failure> {
    let mut client = Client::connect(&paths.socket).await?;
    let report = client.call::<Digest>(&NoParams {}).await?;
    if as_json {
        return output::json(&report);
    }
    for table in &report.tables {
        let left_out = if table.in_total { "" } else { "  not in the total" };
        let rows = counted(i128::from(table.rows), "row");
        output::line(&format!("{:<22}{rows:<16}{}{left_out}", table.name, table.digest))?;
    }
    output::line(&format!("{:<38}{}", "total", report.total))
}

async fn ask(paths: &Paths) -> Result<StatusReport, ClientError> {
    Client::connect(&paths.socket).await?.call::<Status>(&NoParams {}).await
}

/// Says whether a daemon runs nevertheless.
fn no_answer(paths: &Paths, error: ClientError) -> Result<Failure, Failure> {
    let Some(holder) = running::holder(paths, &error)? else { return Ok(error.into()) };
    let who = holder.map_or_else(
        || "whose process is not known".to_owned(),
        |holder| format!("(pid {}, version {})", holder.pid, holder.version),
    );
    let why = match error {
        ClientError::Unreachable { socket, source } => {
            format!("does not answer at {}: {source}", socket.display())
        }
        error => format!("gives no status: {error}"),
    };
    Ok(Failure::NoAnswer(format!(
        "an aetherd {who} serves {}, but {why}; `aetherd stop` ends it",
        paths.home.display()
    )))
}

fn backups(backups: &BackupStatus) -> String {
    match &backups.last {
        None => "none yet".to_owned(),
        Some(last) => format!(
            "{} ({}), the last {} ago",
            counted(i128::from(backups.count), "backup"),
            size(backups.bytes),
            duration(time::now() - last.created_at)
        ),
    }
}

fn search(search: &SearchStatus) -> String {
    match search.state {
        SearchState::Off => "turned off".to_owned(),
        SearchState::Opening => "opening the index".to_owned(),
        SearchState::Building => format!("building the index, {} of {}", search.done, search.total),
        SearchState::Ready => {
            let documents = i128::from(search.documents);
            format!("{}, {} behind", counted(documents, "document"), counted(search.lag, "change"))
        }
        SearchState::Failed => "cannot be kept; the daemon's log says why".to_owned(),
    }
}

fn counted(count: impl Into<i128>, noun: &str) -> String {
    let count = count.into();
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

pub(super) fn duration(millis: i64) -> String {
    let seconds = millis.max(0) / 1000;
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min", seconds / 60),
        3600..=86_399 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Bytes in units of 1024, as IEC 80000-13 names them.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_sizes_and_durations_read_well() {
        assert_eq!(counted(0, "session"), "0 sessions");
        assert_eq!(counted(1, "session"), "1 session");
        assert_eq!(counted(2, "message"), "2 messages");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(5 << 40), "5.0 TiB");
        assert_eq!(duration(59_999), "59 s");
        assert_eq!(duration(3_660_000), "1 h 1 min");
        assert_eq!(duration(90_000_000), "1 d 1 h");
    }
}
