//! The Unix domain socket: 0600 in a 0700 folder of the user's, same-user peers only.

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};

use crate::error::{Error, Result};
use crate::paths::{Paths, check_socket_length};

/// One connection.
pub type Stream = UnixStream;

/// The half of a connection that is read.
pub type ReadHalf = OwnedReadHalf;
/// The half of a connection that is written.
pub type WriteHalf = OwnedWriteHalf;

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
    /// What lies at the path is taken away only where it is a socket at which nobody listens.
    /// The socket is made under another name, closed to others, and then put in place: there is
    /// no moment at which another user could connect.
    pub async fn bind(socket: &Path) -> Result<Self> {
        check_socket_length(socket)?;
        let folder = socket
            .parent()
            .ok_or_else(|| Error::Startup("the socket path has no folder".to_owned()))?;
        secure_folder(folder)?;
        match std::fs::symlink_metadata(socket) {
            Ok(found) if std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()) => {
                if probe(socket).await {
                    return Err(Error::Startup(format!(
                        "another process listens at {}; stop it with `aetherd stop`, or choose another --socket",
                        socket.display()
                    )));
                }
            }
            Ok(_) => {
                return Err(Error::Startup(format!(
                    "{} exists and is not a socket; move it away or choose another --socket",
                    socket.display()
                )));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("looking at", socket, &error)),
        }
        let made = folder.join(format!(".s{}", std::process::id()));
        let bound = bind_closed(&made, socket);
        if bound.is_err() {
            let _ = std::fs::remove_file(&made);
        }
        let inner = bound.map_err(|error| Error::io("binding the socket", socket, &error))?;
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

fn bind_closed(made: &Path, socket: &Path) -> io::Result<UnixListener> {
    let _ = std::fs::remove_file(made);
    let listener = UnixListener::bind(made)?;
    std::fs::set_permissions(made, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(made, socket)?;
    Ok(listener)
}

/// Makes the home and its `run` folder, and closes what the daemon makes from now on to others.
///
/// A home that exists stays as it is, since the IDE keeps more in it; the database in it is closed
/// to others. A home that is made is flushed to the disk: what is stored in it later must not be
/// lost with it.
pub fn prepare_home(paths: &Paths) -> Result<()> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let missing: Vec<&Path> =
        paths.home.ancestors().take_while(|folder| !folder.exists()).collect();
    std::fs::create_dir_all(&paths.home)
        .map_err(|error| Error::io("creating the home", &paths.home, &error))?;
    for parent in missing.into_iter().filter_map(Path::parent) {
        File::open(parent)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| Error::io("flushing the folder", parent, &error))?;
    }
    secure_folder(&paths.run_folder())?;
    let database = paths.database();
    for file in [crate::paths::log_of(&database), database] {
        match std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("closing to other users", &file, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Makes the socket's folder, or checks that it is a folder of the user's that is closed to others.
fn secure_folder(folder: &Path) -> Result<()> {
    match std::fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| Error::io("creating the folder", folder, &error)),
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
