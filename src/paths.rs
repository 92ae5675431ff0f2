//! Where everything lies: a pure function of what the environment says.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The folder in the user's home that the IDE and the daemon share.
const HOME_FOLDER: &str = ".rainy-aether";

/// Bytes a Unix socket's address holds, its closing NUL not counted: `sun_path` is 108 bytes on
/// Linux (unix(7)) and 104 on macOS and the BSDs.
pub const MAX_SOCKET_PATH_BYTES: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// What the caller and the environment say about places.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `--home`, or else `AETHERD_HOME`.
    pub home: Option<PathBuf>,
    /// `--socket`, or else `AETHERD_SOCKET`.
    pub socket: Option<PathBuf>,
    /// The user's home folder.
    pub user_home: Option<PathBuf>,
    /// The working folder, which relative paths start from.
    pub working_folder: PathBuf,
}

/// Where everything lies. All paths are absolute and UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The home.
    pub home: PathBuf,
    /// The socket.
    pub socket: PathBuf,
}

impl Paths {
    /// Returns the paths, or why there are none.
    pub fn resolve(environment: &Environment) -> Result<Self> {
        let home = match (&environment.home, &environment.user_home) {
            (Some(home), _) => environment.working_folder.join(home),
            (None, Some(user_home)) => user_home.join(HOME_FOLDER),
            (None, None) => {
                return Err(Error::Startup(
                    "the user has no home folder; say where to keep the data with --home"
                        .to_owned(),
                ));
            }
        };
        let socket = match &environment.socket {
            Some(socket) => environment.working_folder.join(socket),
            None => default_socket(&home),
        };
        for (path, option) in [(&home, "--home"), (&socket, "--socket")] {
            if path.to_str().is_none() {
                return Err(Error::Startup(format!(
                    "the path {} is not UTF-8; choose another {option}",
                    path.display()
                )));
            }
        }
        check_socket_length(&socket)?;
        Ok(Self { home, socket })
    }

    /// The socket where no other was said.
    pub fn default_socket(&self) -> PathBuf {
        default_socket(&self.home)
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.home.join("ide.db")
    }

    /// The folder of the lock and, by default, the socket.
    pub fn run_folder(&self) -> PathBuf {
        self.home.join("run")
    }

    /// The lock that makes a daemon the only one of its home.
    pub fn lock(&self) -> PathBuf {
        self.run_folder().join("aetherd.lock")
    }

    /// The folder of the search index.
    pub fn search(&self) -> PathBuf {
        self.home.join("search")
    }

    /// The folder of backups.
    pub fn backups(&self) -> PathBuf {
        self.home.join("backups")
    }
}

fn default_socket(home: &Path) -> PathBuf {
    home.join("run").join("aetherd.sock")
}

/// The write-ahead log beside a database.
pub fn log_of(database: &Path) -> PathBuf {
    beside(database, "-wal")
}

/// The file beside a database whose name ends so.
pub fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A database, and all that its engine may put beside it.
pub fn with_companions(database: &Path) -> [PathBuf; 4] {
    ["-wal", "-shm", "-journal", ""].map(|ending| beside(database, ending))
}

/// The bytes that the user may still write to the file system of a folder.
#[cfg(unix)]
pub fn free_bytes(folder: &Path) -> std::io::Result<u64> {
    let file_system = rustix::fs::statvfs(folder)?;
    Ok(file_system.f_bavail.saturating_mul(file_system.f_frsize))
}

/// Checks that a path fits a socket's address.
pub fn check_socket_length(socket: &Path) -> Result<()> {
    let bytes = socket.as_os_str().len();
    if bytes > MAX_SOCKET_PATH_BYTES {
        return Err(Error::Startup(format!(
            "the socket path {} has {bytes} bytes, a socket's address holds {MAX_SOCKET_PATH_BYTES}; \
             choose a shorter one with --socket or AETHERD_SOCKET, in a folder of your own",
            socket.display()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment {
            user_home: Some("/home/me".into()),
            working_folder: "/elsewhere".into(),
            ..Environment::default()
        }
    }

    #[test]
    fn the_default_is_the_folder_of_the_ide() {
        let paths = Paths::resolve(&environment()).expect("a home");
        assert_eq!(paths.database(), Path::new("/home/me/.rainy-aether/ide.db"));
        assert_eq!(paths.socket, Path::new("/home/me/.rainy-aether/run/aetherd.sock"));
    }

    #[test]
    fn what_is_said_wins_and_is_made_absolute() {
        let said = Environment {
            home: Some("data".into()),
            socket: Some("/run/me/a.sock".into()),
            ..environment()
        };
        let paths = Paths::resolve(&said).expect("a home");
        assert_eq!(paths.lock(), Path::new("/elsewhere/data/run/aetherd.lock"));
        assert_eq!(paths.socket, Path::new("/run/me/a.sock"));
    }

    #[test]
    fn no_home_at_all_says_what_to_do() {
        let nowhere = Environment { user_home: None, ..environment() };
        let error = Paths::resolve(&nowhere).expect_err("nowhere to go").to_string();
        assert!(error.contains("--home"), "{error}");
    }

    /// Whoever asks where to connect hears of it as the daemon would.
    #[test]
    fn a_path_that_no_daemon_could_use_is_refused() {
        use std::os::unix::ffi::OsStrExt;
        let bad = PathBuf::from(std::ffi::OsStr::from_bytes(b"/h\xff"));
        let long = PathBuf::from(format!("/{}", "h".repeat(MAX_SOCKET_PATH_BYTES)));
        for (said, says) in [
            (Environment { home: Some(bad.clone()), ..environment() }, "--home"),
            (Environment { socket: Some(bad), ..environment() }, "--socket"),
            (Environment { home: Some(long), ..environment() }, "a socket's address holds"),
        ] {
            let error = Paths::resolve(&said).expect_err("no daemon could use it").to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_socket_path_fits_to_the_byte() {
        let fits = PathBuf::from(format!("/{}", "s".repeat(MAX_SOCKET_PATH_BYTES - 1)));
        assert!(check_socket_length(&fits).is_ok());
        let too_long = PathBuf::from(format!("/{}", "s".repeat(MAX_SOCKET_PATH_BYTES)));
        let error = check_socket_length(&too_long).expect_err("one too long").to_string();
        assert!(error.contains("--socket"), "{error}");
    }
}
