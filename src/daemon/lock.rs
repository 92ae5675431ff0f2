//! The lock that makes a daemon the only one of its home: held, never deleted.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::transport::not_writable;

/// How long a starter tries to get the lock.
const PATIENCE: Duration = Duration::from_millis(200);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The home's lock. The operating system releases it however the process ends.
#[derive(Debug)]
pub struct HomeLock {
    file: File,
    path: std::path::PathBuf,
}

/// Who holds the lock, as written in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockInfo {
    /// The daemon's process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// The protocol it speaks.
    pub protocol: u32,
    /// Where it listens.
    pub socket: String,
    /// This run of it.
    pub instance_id: String,
}

impl HomeLock {
    /// Takes the lock, or says who has it.
    ///
    /// Tries for a moment: a look by `is_held_by` is over at once, and a daemon that is ending soon.
    pub fn take(paths: &Paths) -> Result<Self> {
        let patience = Instant::now() + PATIENCE;
        let mut taken = Self::try_take(paths)?;
        while taken.is_err() && Instant::now() < patience {
            std::thread::sleep(LOOK_EVERY);
            taken = Self::try_take(paths)?;
        }
        match taken {
            Ok(lock) => Ok(lock),
            Err(holder) => Err(Error::Startup(format!(
                "another aetherd{} serves {}; use it, or end it with `aetherd stop`",
                holder.map_or_else(String::new, |holder| format!(
                    " (pid {}, version {})",
                    holder.pid, holder.version
                )),
                paths.home.display()
            ))),
        }
    }

    /// Takes the lock, or returns who has it as far as that is known.
    fn try_take(paths: &Paths) -> Result<std::result::Result<Self, Option<LockInfo>>> {
        let path = paths.lock();
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| not_writable("opening the lock", &path, &error))?;
        match file.try_lock() {
            Ok(()) => {
                // What an earlier holder wrote says nothing of this one.
                file.set_len(0).map_err(|error| Error::io("writing the lock", &path, &error))?;
                Ok(Ok(Self { file, path }))
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let info = file.read_to_string(&mut text).ok();
                Ok(Err(info.and_then(|_| serde_json::from_str(&text).ok())))
            }
            Err(TryLockError::Error(error)) => Err(Error::io("locking", &path, &error)),
        }
    }

    /// Returns who holds the lock: none where nobody does, and no name where the holder has not
    /// written one yet, or is no process that this one can see, as in another container.
    pub fn holder(paths: &Paths) -> Result<Option<Option<LockInfo>>> {
        let path = paths.lock();
        let failed = |action, error| Err(Error::io(action, &path, &error));
        let mut file = match File::open(&path) {
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return failed("opening the lock", error),
            Ok(file) => file,
        };
        match file.try_lock_shared() {
            Ok(()) => return Ok(None),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return failed("locking", error),
        }
        let mut text = String::new();
        if let Err(error) = file.read_to_string(&mut text) {
            return failed("reading the lock", error);
        }
        let holder = serde_json::from_str::<LockInfo>(&text).ok();
        // Until a holder has written its own, the text may be that of an earlier one, whose process
        // id may be anybody's by now.
        Ok(Some(holder.filter(|holder| has_open(holder.pid, &path))))
    }

    /// True while this run of the daemon, and not a successor of it, holds the lock.
    ///
    /// A daemon writes who it is before it serves, and the next holder begins by taking that away.
    /// So what the lock says is looked at first: the lock itself is taken, for a moment, only where
    /// no successor can be in want of it.
    pub fn is_held_by(paths: &Paths, instance_id: &str) -> Result<bool> {
        let path = paths.lock();
        let failed = |action, error| Err(Error::io(action, &path, &error));
        let mut file = match File::open(&path) {
            Err(error) if is_absent(&error) => return Ok(false),
            Err(error) => return failed("opening the lock", error),
            Ok(file) => file,
        };
        let mut text = String::new();
        if let Err(error) = file.read_to_string(&mut text) {
            return failed("reading the lock", error);
        }
        let holder = serde_json::from_str::<LockInfo>(&text).ok();
        if holder.is_none_or(|holder| holder.instance_id != instance_id) {
            return Ok(false);
        }
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => failed("locking", error),
        }
    }

    /// Writes who holds the lock into it.
    pub fn write(&self, info: &LockInfo) -> Result<()> {
        let mut text = serde_json::to_vec(info)
            .map_err(|error| Error::Internal(format!("the lock's text is not JSON: {error}")))?;
        text.push(b'\n');
        let mut file = &self.file;
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(&text))
            .map_err(|error| Error::io("writing the lock", &self.path, &error))
    }
}

/// True where there is no such file, nor a folder for it.
fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// False where the process is seen not to have the file open. Where the system does not tell, as
/// only Linux does (proc_pid_fd(5)), it is taken to have.
fn has_open(pid: u32, path: &Path) -> bool {
    let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return !Path::new("/proc/self/fd").exists();
    };
    let id = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    id(path).is_some_and(|lock| files.flatten().any(|file| id(&file.path()) == Some(lock)))
}
