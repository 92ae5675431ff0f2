//! The Unix domain socket: 0600 in a 0700 folder of the user's, same-user peers only.

use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::geteuid;
use tokio::io::Interest;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};

use crate::error::{Error, Result};
use crate::paths::{Paths, check_socket_length};

/// How long a daemon waits for its turn to bind; a turn takes a moment.
const TURN_PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// One connection.
pub type Stream = UnixStream;
/// The half of a connection that is read.
pub type ReadHalf = OwnedReadHalf;
/// The half of a connection that is written.
pub type WriteHalf = OwnedWriteHalf;

/// Tells when the other side of a connection has hung up.
///
/// One that has closed its own half alone has not: it still reads. A pipe of Windows has no halves:
/// there the end of what is read is all that there is to tell.
pub struct HangUp {
    /// A handle with news of its own, so that waiting here takes none from who reads or writes.
    handle: UnixStream,
}

impl HangUp {
    /// Returns what tells of a connection, which is open as long as this is.
    pub fn of(stream: &Stream) -> io::Result<Self> {
        let handle = stream.as_fd().try_clone_to_owned()?;
        Ok(Self { handle: UnixStream::from_std(handle.into())? })
    }

    /// Returns once the other side has hung up, to everyone who waits.
    pub async fn wait(&self) {
        // There is an error only where the runtime ends.
        while let Ok(ready) = self.handle.ready(Interest::WRITABLE).await {
            if ready.is_write_closed() {
                return;
            }
            // There is room to write, and that is no news from here on.
            let _ = self.handle.try_io(Interest::WRITABLE, || -> io::Result<()> {
                Err(io::ErrorKind::WouldBlock.into())
            });
        }
    }
}

/// A bound socket. `remove` takes its file away.
pub struct Listener {
    inner: UnixListener,
    path: PathBuf,
    file_id: (u64, u64),
}

/// Connects to a daemon.
pub async fn connect(socket: &Path) -> io::Result<Stream> {
    UnixStream::connect(socket).await
}

/// True where a process listens at the socket, whether or not it answers.
async fn probe(socket: &Path) -> bool {
    match UnixStream::connect(socket).await {
        Ok(_) => true,
        // Only a refusal or an absent file proves that nobody listens.
        Err(error) => {
            !matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
        }
    }
}

impl Listener {
    /// Binds the socket. Call it only under the home's lock.
    ///
    /// That lock keeps the daemons of one home apart, not those of two homes with one `--socket`.
    /// So those that bind in one folder take turns, and each in its turn
    ///
    /// 1. makes its socket under a name of its own and closes it to others, so that there is no
    ///    moment at which another user could connect;
    /// 2. links it to its path, which fails where anything lies there, and is then done;
    /// 3. looks at what lies there: it gives up if that is no socket or if somebody listens, and
    ///    else takes it away and goes back to 2.
    ///
    /// Of two that race, the second finds the socket of the first when its turn comes, and
    /// somebody listening. Without turns both could find the same dead socket in 3, and the slower
    /// would take away what the faster has put there since. A program that takes no turns can meet
    /// that still, between the look and the taking away; but what is bound is never replaced by 2.
    pub async fn bind(socket: &Path) -> Result<Self> {
        check_socket_length(socket)?;
        let folder = socket
            .parent()
            .ok_or_else(|| Error::Startup("the socket path has no folder".to_owned()))?;
        let made = folder.join(format!(".s{}", std::process::id()));
        check_socket_length(&made)?;
        secure_folder(folder)?;
        let _turn = take_turn(folder).await?;
        let bound = bind_closed(&made, socket).await;
        // Where it was put in place, this takes its second name away.
        let _ = std::fs::remove_file(&made);
        let inner = bound?;
        let file = std::fs::symlink_metadata(socket)
            .map_err(|error| Error::io("looking at", socket, &error))?;
        Ok(Self { inner, path: socket.to_owned(), file_id: (file.dev(), file.ino()) })
    }

    /// Waits for the next connection of this user or of root; others are closed at once.
    pub async fn accept(&self) -> io::Result<Stream> {
        loop {
            let (stream, _) = self.inner.accept().await?;
            let peer = stream.peer_cred()?.uid();
            if peer == geteuid().as_raw() || peer == 0 {
                return Ok(stream);
            }
            tracing::warn!(uid = peer, "refused a connection of another user");
        }
    }

    /// Takes the socket's file away, where it is still our own.
    pub fn remove(&self) {
        let ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|file| (file.dev(), file.ino()) == self.file_id);
        if ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, "could not remove the socket");
        }
    }
}

/// Waits until no other daemon binds in the folder. The turn ends when what is returned is dropped.
async fn take_turn(folder: &Path) -> Result<File> {
    let turn =
        File::open(folder).map_err(|error| Error::io("opening the folder", folder, &error))?;
    let patience = Instant::now() + TURN_PATIENCE;
    loop {
        match turn.try_lock() {
            Ok(()) => return Ok(turn),
            Err(TryLockError::WouldBlock) if Instant::now() < patience => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Startup(format!(
                    "another process has locked the folder {}; try again, or choose a --socket in \
                     another folder",
                    folder.display()
                )));
            }
            Err(TryLockError::Error(error)) => {
                // Some network file systems lock no folders; a daemon alone needs no turns.
                tracing::warn!(%error, folder = %folder.display(), "cannot lock the folder");
                return Ok(turn);
            }
        }
    }
}

async fn bind_closed(made: &Path, socket: &Path) -> Result<UnixListener> {
    let failed = |error| Error::io("binding the socket", socket, &error);
    let _ = std::fs::remove_file(made);
    let listener = UnixListener::bind(made).map_err(failed)?;
    std::fs::set_permissions(made, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    loop {
        match std::fs::hard_link(made, socket) {
            Ok(()) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                clear_stale(socket).await?;
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Takes away what lies at the path, where it is a socket at which nobody listens.
async fn clear_stale(socket: &Path) -> Result<()> {
    let found = match std::fs::symlink_metadata(socket) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(|error| Error::io("looking at", socket, &error))?,
    };
    if !found.file_type().is_socket() {
        return Err(Error::Startup(format!(
            "{} exists and is not a socket; move it away or choose another --socket",
            socket.display()
        )));
    }
    if probe(socket).await {
        return Err(Error::Startup(format!(
            "another process listens at {}; stop it with `aetherd stop`, or choose another --socket",
            socket.display()
        )));
    }
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("removing the stale socket", socket, &error))
        }
        _ => Ok(()),
    }
}

/// Makes the home and its `run` folder, and closes what the daemon makes from now on to others.
///
/// A home that exists stays as it is, since the IDE keeps more in it; the database in it is closed
/// to others. A home that is made is flushed to the disk: what is stored in it later must not be
/// lost with it.
pub fn prepare_home(paths: &Paths) -> Result<()> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    check_home(&paths.home)?;
    let database = paths.database();
    for file in [crate::paths::log_of(&database), database] {
        close_to_others(&file)?;
    }
    let missing: Vec<&Path> =
        paths.home.ancestors().take_while(|folder| !folder.exists()).collect();
    std::fs::create_dir_all(&paths.home)
        .map_err(|error| not_writable("creating the home", &paths.home, &error))?;
    for parent in missing.into_iter().filter_map(Path::parent) {
        File::open(parent)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| Error::io("flushing the folder", parent, &error))?;
    }
    secure_folder(&paths.run_folder())
}

/// Refuses a home that exists and is no folder, or a link that leads nowhere.
fn check_home(home: &Path) -> Result<()> {
    let leads_nowhere = || home.symlink_metadata().is_ok_and(|found| found.is_symlink());
    let is_wrong = match home.metadata() {
        Ok(found) => !found.is_dir(),
        Err(error) => error.kind() == io::ErrorKind::NotADirectory || leads_nowhere(),
    };
    if !is_wrong {
        return Ok(());
    }
    Err(Error::Startup(format!(
        "the home {} is not a folder, or is a link that leads to none; choose another --home",
        home.display()
    )))
}

/// Closes the database, or its log, to other users; refuses what is no file of the user's own.
fn close_to_others(file: &Path) -> Result<()> {
    let found = match file.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(|error| Error::io("looking at", file, &error))?,
    };
    if !found.is_file() {
        return Err(Error::Startup(format!(
            "{} is not a file; move it away, or choose another --home",
            file.display()
        )));
    }
    let user = geteuid();
    if found.uid() != user.as_raw() && !user.is_root() {
        return Err(Error::Startup(format!(
            "{} belongs to another user (uid {}); give it to yourself with `chown`, or choose \
             another --home",
            file.display(),
            found.uid()
        )));
    }
    if found.mode() & 0o777 == 0o600 {
        return Ok(());
    }
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))
        .map_err(|error| not_writable("closing to other users", file, &error))
}

/// Says that nothing can be written there, where the error is that; else what failed.
pub(crate) fn not_writable(action: &str, path: &Path, error: &io::Error) -> Error {
    let problem = match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => "its file system is read-only",
        io::ErrorKind::PermissionDenied => "the user may not write there",
        _ => return Error::io(action, path, error),
    };
    Error::Startup(format!(
        "{action} {} failed: {problem}; make it writable, or choose another place with \
         --home or --socket",
        path.display()
    ))
}

/// Makes the socket's folder, or checks that it is a folder of the user's that is closed to others.
fn secure_folder(folder: &Path) -> Result<()> {
    match std::fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| not_writable("creating the folder", folder, &error)),
        Err(error) => Err(Error::io("looking at", folder, &error)),
        Ok(found) if !found.is_dir() => Err(Error::Startup(format!(
            "{} is not a folder (a link does not count); choose another --socket",
            folder.display()
        ))),
        Ok(found) if found.uid() != geteuid().as_raw() => Err(Error::Startup(format!(
            "the folder {} belongs to another user (uid {}); choose a --socket in a folder of your own",
            folder.display(),
            found.uid()
        ))),
        Ok(found) if found.mode() & 0o077 != 0 => Err(Error::Startup(format!(
            "the folder {} is open to other users (mode {:04o}); close it with `chmod 700`, \
             or choose a --socket in another folder",
            folder.display(),
            found.mode() & 0o7777
        ))),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_half_that_is_closed_is_no_hang_up() {
        use futures_util::FutureExt;
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let (mut client, mut stream) = Stream::pair().expect("a pair");
        let hang_up = HangUp::of(&stream).expect("a handle");
        client.write_all(b"x").await.expect("sent");
        client.shutdown().await.expect("half closed");
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.expect("read to the end");
        stream.write_all(b"y").await.expect("it still reads");
        assert_eq!(client.read_u8().await.expect("read"), b'y');
        assert!(hang_up.wait().now_or_never().is_none());
        drop(client);
        // To all who wait, for good, and however early one hangs up.
        let (client, stream) = Stream::pair().expect("a pair");
        drop(client);
        let early = HangUp::of(&stream).expect("a handle");
        let told = async {
            tokio::join!(hang_up.wait(), hang_up.wait(), early.wait());
            hang_up.wait().await;
        };
        tokio::time::timeout(TURN_PATIENCE, told).await.expect("all are told");
    }

    #[test]
    fn a_home_that_cannot_be_written_says_why_and_what_to_do() {
        let said = |errno: rustix::io::Errno| {
            not_writable("opening", Path::new("/a/home"), &errno.into()).to_string()
        };
        for (errno, says) in [
            (rustix::io::Errno::ROFS, "read-only"),
            (rustix::io::Errno::ACCESS, "may not write"),
            (rustix::io::Errno::PERM, "may not write"),
        ] {
            let text = said(errno);
            for part in ["opening /a/home", says, "--home"] {
                assert!(text.contains(part), "{text}");
            }
        }
        assert!(said(rustix::io::Errno::IO).starts_with("storage failed: opening /a/home"));
    }
}
