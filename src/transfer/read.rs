//! Reads a file whole: a regular one within the limit, and not while somebody writes it.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use crate::model::limits::MAX_IMPORT_FILE_BYTES;
use crate::model::{Millis, time};

/// How often a file is read that changes meanwhile.
const ATTEMPTS: usize = 5;

/// What a file held at one time.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    /// When it was last written, as far as that can be shown.
    pub(super) modified_at: Millis,
}

/// Reads a file, or returns why that cannot be done.
pub(super) fn whole(path: &Path) -> Result<Content, String> {
    watched(path, MAX_IMPORT_FILE_BYTES, &mut || {})
}

/// Reads a file, and calls `meanwhile` before it looks whether the file has changed.
///
/// The IDE rewrites a session's file in place at every message: what is read then may begin with the
/// old text and end with the new one, and be JSON all the same.
fn watched(path: &Path, limit: u64, meanwhile: &mut dyn FnMut()) -> Result<Content, String> {
    let cannot = |error: io::Error| format!("cannot be read: {error}");
    for _ in 0..ATTEMPTS {
        let file = open(path).map_err(cannot)?;
        let before = file.metadata().map_err(cannot)?;
        check(&before, limit)?;
        let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or_default());
        (&file).take(limit + 1).read_to_end(&mut bytes).map_err(cannot)?;
        meanwhile();
        let is_same = std::fs::metadata(path).is_ok_and(|after| stamp(&after) == stamp(&before));
        if is_same && bytes.len() as u64 == before.len() {
            return Ok(Content { bytes, modified_at: modified_at(&before) });
        }
    }
    Err(format!("changed each of the {ATTEMPTS} times it was read; import it again later"))
}

/// Opens a file for reading. A pipe that was put in its place is not waited for.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn check(metadata: &Metadata, limit: u64) -> Result<(), String> {
    if metadata.is_dir() {
        return Err("is a folder".to_owned());
    }
    if !metadata.is_file() {
        return Err("is not a regular file".to_owned());
    }
    if metadata.len() > limit {
        return Err(format!("is {} bytes; the limit is {limit}", metadata.len()));
    }
    Ok(())
}

/// What is another after a write or where another file took the place.
fn stamp(metadata: &Metadata) -> [i128; 5] {
    let nanoseconds =
        |seconds: i64, part: i64| i128::from(seconds) * 1_000_000_000 + i128::from(part);
    [
        metadata.dev().into(),
        metadata.ino().into(),
        metadata.len().into(),
        nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
    ]
}

fn modified_at(metadata: &Metadata) -> Millis {
    let seconds = metadata.mtime().checked_mul(1000);
    let millis = seconds.and_then(|millis| millis.checked_add(metadata.mtime_nsec() / 1_000_000));
    millis.filter(|millis| time::is_showable(*millis)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_is_read_anew_until_it_rests() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("s.json");
        for replaces in [false, true] {
            std::fs::write(&path, "old").expect("writes");
            let mut left = ATTEMPTS - 1;
            let content = watched(&path, 10, &mut || {
                if left > 0 {
                    left -= 1;
                    // As many bytes as before, so that only the times or the file itself tell.
                    let to = if replaces { folder.path().join("new") } else { path.clone() };
                    std::fs::write(&to, format!("ne{left}")).expect("writes");
                    if replaces {
                        std::fs::rename(&to, &path).expect("is moved");
                    }
                }
            });
            assert_eq!(content.expect("rests at last").bytes, b"ne0");
        }
    }

    #[test]
    fn a_file_that_never_rests_is_told() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("s.json");
        std::fs::write(&path, "").expect("writes");
        let mut text = String::new();
        let told = watched(&path, 10, &mut || {
            text.push('x');
            std::fs::write(&path, &text).expect("writes");
        })
        .expect_err("never rests");
        assert_eq!(told, "changed each of the 5 times it was read; import it again later");
        assert_eq!(text.len(), ATTEMPTS);
        let gone = watched(&path, 10, &mut || {
            let _ = std::fs::remove_file(&path);
        });
        assert!(gone.expect_err("is gone").starts_with("cannot be read: "));
    }

    #[test]
    fn a_file_over_the_limit_is_told_and_one_at_it_is_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("s.json");
        std::fs::write(&path, "0123456789").expect("writes");
        assert_eq!(watched(&path, 10, &mut || {}).expect("fits").bytes.len(), 10);
        let told = watched(&path, 9, &mut || {}).expect_err("is over");
        assert_eq!(told, "is 10 bytes; the limit is 9");
    }

    #[test]
    fn what_is_no_regular_file_is_told_and_not_waited_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let told = |path: &Path| whole(path).expect_err("is no file");
        assert_eq!(told(folder.path()), "is a folder");
        let pipe = folder.path().join("pipe.json");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0)
            .expect("a pipe");
        assert_eq!(told(&pipe), "is not a regular file");
        assert_eq!(told(Path::new("/dev/zero")), "is not a regular file");
        let socket = folder.path().join("socket.json");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        assert!(told(&socket).starts_with("cannot be read: "));
    }
}
