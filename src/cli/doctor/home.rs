//! The home: its folders, who may reach them, and the room on their disk.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::Finding;
use crate::cli::status::size;
use crate::model::limits::LITTLE_ROOM_BYTES;
use crate::paths::{Paths, free_bytes};

pub(super) fn look(paths: &Paths, fix: bool) -> Vec<Finding> {
    let home = &paths.home;
    match std::fs::metadata(home) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return vec![Finding::ok(
                "home",
                format!("{} is not there; the first start makes it", home.display()),
            )];
        }
        Err(error) => {
            let text = format!("{} cannot be reached: {error}", home.display());
            return vec![Finding::error(
                "home",
                text,
                "give yourself access, or say another --home",
            )];
        }
        Ok(found) if !found.is_dir() => {
            let text = format!("{} is no folder", home.display());
            return vec![Finding::error("home", text, "move it away, or say another --home")];
        }
        Ok(_) => {}
    }
    let mut findings = vec![Finding::ok("home", home.display().to_string())];
    findings.push(access(home, 0o022, 0o755, fix));
    let run = paths.run_folder();
    if run.exists() {
        findings.push(access(&run, 0o077, 0o700, fix));
    }
    findings.push(room(home));
    findings
}

/// Looks whether others may do to a folder what they must not.
fn access(folder: &Path, forbidden: u32, usual: u32, fix: bool) -> Finding {
    const CHECK: &str = "access";
    let shown = folder.display();
    let found = match std::fs::metadata(folder) {
        Ok(found) => found,
        Err(error) => {
            return Finding::error(CHECK, format!("{shown}: {error}"), "give yourself access");
        }
    };
    let (owner, user) = (found.uid(), rustix::process::geteuid().as_raw());
    if owner != user {
        return Finding::error(
            CHECK,
            format!("{shown} belongs to the user {owner}, and you are {user}"),
            format!("have its owner run aetherd, or give it to you: chown {user} {shown}"),
        );
    }
    let mode = found.mode() & 0o7777;
    if mode & forbidden != 0 {
        let mended = mode & !forbidden & usual | 0o700;
        let text = format!("others may reach {shown}: its mode is {mode:o}");
        return Finding::error(CHECK, text, format!("chmod {mended:o} {shown}")).fix(fix, || {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mended))
        });
    }
    Finding::ok(CHECK, format!("{shown} is yours, mode {mode:o}"))
}

fn room(home: &Path) -> Finding {
    const CHECK: &str = "room";
    match free_bytes(home) {
        Ok(free) if free < LITTLE_ROOM_BYTES => Finding::error(
            CHECK,
            format!("{} are free on the disk", size(free)),
            "make room: once the disk is full, writes are refused",
        ),
        Ok(free) => Finding::ok(CHECK, format!("{} are free on the disk", size(free))),
        Err(error) => Finding::warning(
            CHECK,
            format!("the free space cannot be read: {error}"),
            "see that there is room on the disk",
        ),
    }
}
