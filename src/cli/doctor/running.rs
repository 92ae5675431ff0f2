//! The daemon: who holds the lock, who answers at the socket, and what it tells of itself.

use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::Finding;
use crate::api::system::{NoParams, SearchState, SearchStatus, Status, StatusReport, WarningKind};
use crate::cli::Failure;
use crate::client::{Client, ClientError};
use crate::daemon::HomeLock;
use crate::paths::Paths;

/// How long a daemon has for its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was found of the daemon.
pub(super) struct Running {
    pub(super) findings: Vec<Finding>,
    /// What the daemon tells, where one answers.
    pub(super) status: Option<StatusReport>,
}

pub(super) async fn look(paths: &Paths, fix: bool) -> Result<Running, Failure> {
    let mut findings = Vec::new();
    let holder = HomeLock::holder(paths)?;
    findings.push(match &holder {
        None => Finding::ok("lock", "no daemon of this home runs"),
        Some(None) => {
            Finding::ok("lock", "held by a daemon that starts, ends or is not seen from here")
        }
        Some(Some(holder)) => {
            Finding::ok("lock", format!("held by aetherd {}, pid {}", holder.version, holder.pid))
        }
    });
    let (endpoint, status) = endpoint(paths, holder.is_some(), fix).await;
    findings.push(endpoint);
    if let Some(status) = &status {
        findings.push(version(status));
        findings.push(search(&status.search));
        findings.extend(status.warnings.iter().filter_map(|warning| match warning.kind {
            // The home's own look has told of it, and the database's.
            WarningKind::DiskNearlyFull | WarningKind::RecoveredWithLosses => None,
        }));
    }
    Ok(Running { findings, status })
}

async fn endpoint(paths: &Paths, is_held: bool, fix: bool) -> (Finding, Option<StatusReport>) {
    const CHECK: &str = "endpoint";
    let socket = &paths.socket;
    let shown = socket.display();
    match tokio::time::timeout(PATIENCE, ask(paths)).await {
        Ok(Ok(status)) => {
            (Finding::ok(CHECK, format!("a daemon answers at {shown}")), Some(status))
        }
        Ok(Err(error)) if !is_held => {
            let is_socket =
                std::fs::symlink_metadata(socket).is_ok_and(|found| found.file_type().is_socket());
            let is_refused = UnixStream::connect(socket)
                .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
            let finding = match (socket.exists(), is_socket && is_refused) {
                (false, _) => Finding::ok(CHECK, format!("nothing is at {shown}")),
                (true, true) => Finding::warning(
                    CHECK,
                    format!("{shown} is a socket that nobody serves any more"),
                    "the next start takes it away; or delete it",
                )
                .fix(fix, || std::fs::remove_file(socket)),
                (true, false) => Finding::error(
                    CHECK,
                    format!("something else is at {shown}: {error}"),
                    "move it away, or say another --socket",
                ),
            };
            (finding, None)
        }
        Ok(Err(error)) => {
            let text = format!("a daemon runs, and does not answer at {shown}: {error}");
            (Finding::error(CHECK, text, "aetherd stop, then start it again"), None)
        }
        Err(_) => {
            let text = format!("no answer at {shown} within {} seconds", PATIENCE.as_secs());
            (Finding::error(CHECK, text, "aetherd stop, then start it again"), None)
        }
    }
}

async fn ask(paths: &Paths) -> Result<StatusReport, ClientError> {
    Client::connect(&paths.socket).await?.call::<Status>(&NoParams {}).await
}

fn version(status: &StatusReport) -> Finding {
    const CHECK: &str = "version";
    let own = env!("CARGO_PKG_VERSION");
    let text = format!("the daemon is aetherd {}, protocol {}", status.version, status.protocol);
    if status.version == own && status.protocol == crate::api::PROTOCOL {
        return Finding::ok(CHECK, text);
    }
    let protocol = crate::api::PROTOCOL;
    Finding::warning(
        CHECK,
        format!("{text}; this is {own}, protocol {protocol}"),
        "aetherd stop, then start the newer one",
    )
}

fn search(search: &SearchStatus) -> Finding {
    const CHECK: &str = "index";
    match search.state {
        SearchState::Off => Finding::ok(CHECK, "search is turned off"),
        SearchState::Opening | SearchState::Building => {
            Finding::ok(CHECK, format!("is made: {} of {}", search.done, search.total))
        }
        SearchState::Ready => Finding::ok(CHECK, format!("has all but {} changes", search.lag)),
        SearchState::Failed => Finding::error(
            CHECK,
            "the search index cannot be kept; the daemon's log says why",
            "see that its disk has room; it is tried again, and may be deleted while no daemon runs",
        ),
    }
}
