//! The database: whether it is sound, what became of it where it was not, and its backups.

use super::Finding;
use crate::api::system::StatusReport;
use crate::cli::status::{duration, size};
use crate::model::time;
use crate::paths::{Paths, log_of};
use crate::store::{backup, recovery};

/// The age of the newest backup past which a person is told.
const OLD: i64 = 7 * 24 * 60 * 60 * 1000;

pub(super) fn look(paths: &Paths, status: Option<&StatusReport>, fix: bool) -> Vec<Finding> {
    let mut findings = vec![integrity(paths, status)];
    findings.extend(recovered(paths));
    findings.push(backups(paths));
    findings.extend(debris(paths, status.is_some(), fix));
    findings
}

/// Looks at every page, where no daemon has the database open; one that runs checks it by itself.
fn integrity(paths: &Paths, status: Option<&StatusReport>) -> Finding {
    const CHECK: &str = "database";
    let database = paths.database();
    let shown = database.display();
    if let Some(status) = status {
        let sizes = format!("{}, log {}", size(status.database_bytes), size(status.wal_bytes));
        let checks =
            if status.page_checksums { "pages have checksums" } else { "no checksums yet" };
        return Finding::ok(
            CHECK,
            format!("{shown}: {sizes}, {checks}; `aetherd call system.check` looks at every page"),
        );
    }
    if !database.exists() && !log_of(&database).exists() {
        return Finding::ok(CHECK, format!("{shown} is not there yet"));
    }
    match recovery::look(&database) {
        Ok(problems) if problems.is_empty() => {
            Finding::ok(CHECK, format!("every page of {shown} can be read"))
        }
        Ok(problems) => Finding::error(
            CHECK,
            format!("{shown} is damaged: {} ({} in all)", problems[0], problems.len()),
            "start the daemon: it sets the damaged files aside, and saves all that can be read",
        ),
        Err(error) => Finding::error(CHECK, error.to_string(), "give yourself access to it"),
    }
}

fn recovered(paths: &Paths) -> Option<Finding> {
    const CHECK: &str = "recovery";
    let report = recovery::last_report(&paths.database())?;
    let folder = report.folder.display();
    let ago = duration(time::now() - report.at);
    Some(if report.is_whole() {
        Finding::ok(CHECK, format!("the database was damaged {ago} ago, and all of it was saved"))
    } else {
        Finding::warning(
            CHECK,
            format!(
                "the database was damaged {ago} ago: {} rows are lost, {} may be altered",
                report.lost(),
                report.suspect()
            ),
            format!("read {folder}/report.json; the damaged files are beside it"),
        )
    })
}

fn backups(paths: &Paths) -> Finding {
    const CHECK: &str = "backups";
    let all = backup::list(&paths.backups());
    let Some(newest) = all.first() else {
        return match paths.database().exists() {
            true => Finding::warning(CHECK, "there is none", "aetherd backup"),
            false => Finding::ok(CHECK, "there is none yet"),
        };
    };
    let bytes = all.iter().map(|backup| backup.bytes).sum();
    let age = time::now() - newest.created_at;
    let text = format!("{} ({}), the newest {} ago", all.len(), size(bytes), duration(age));
    if age > OLD {
        return Finding::warning(CHECK, text, "aetherd backup, and see that the daemon runs");
    }
    Finding::ok(CHECK, text)
}

/// What broken-off work has left, which the next start takes away too.
fn debris(paths: &Paths, is_running: bool, fix: bool) -> Option<Finding> {
    if is_running {
        return None;
    }
    let left = recovery::debris(&paths.database(), &paths.backups());
    (!left.is_empty()).then(|| {
        let names: Vec<String> = left.iter().map(|path| path.display().to_string()).collect();
        Finding::warning(
            "debris",
            format!("broken-off work has left {}", names.join(", ")),
            "the next start takes it away",
        )
        .fix(fix, || left.iter().try_for_each(std::fs::remove_file))
    })
}
