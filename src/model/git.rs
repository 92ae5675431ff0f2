//! What tells a repository: where it is fetched from, and its first commit.

use super::limits::MAX_PATH_BYTES;
use super::path::FolderPath;

/// Where a repository is fetched from, reduced to what all its addresses share: host and path.
///
/// `git@host:owner/repo.git`, `ssh://host/owner/repo` and `https://user:token@host/owner/repo/` are
/// `host/owner/repo`. Names and passwords, which may be a token, are dropped as soon as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitRemote(String);

/// Schemes of an address, each with the port it has where none is named. The port of SSH is never that
/// of the web, so it does not count.
const SCHEMES: [(&str, Option<&str>); 8] = [
    ("https", Some("443")),
    ("http", Some("80")),
    ("git", Some("9418")),
    ("ssh", None),
    ("git+ssh", None),
    ("ssh+git", None),
    ("ftp", Some("21")),
    ("ftps", Some("990")),
];

/// What is wrong with a text that is no address. It may hold a password, so it is not shown.
const NO_REMOTE: &str =
    "expected the address of a git remote: a URL, host:path, or an absolute path";

impl GitRemote {
    /// Returns the remote of an address as git has it, or what is wrong with it.
    pub fn parse(address: &str) -> Result<Self, String> {
        if address.len() > MAX_PATH_BYTES {
            return Err(format!("is longer than {MAX_PATH_BYTES} bytes"));
        }
        if address.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
            return Err("an address has no spaces and no control characters".to_owned());
        }
        normalised(address).map(Self).ok_or_else(|| NO_REMOTE.to_owned())
    }

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn normalised(address: &str) -> Option<String> {
    if let Some((scheme, rest)) = address.split_once("://") {
        let scheme = scheme.to_ascii_lowercase();
        if scheme == "file" {
            return of_file_url(rest);
        }
        let (_, own_port) = SCHEMES.into_iter().find(|(name, _)| *name == scheme)?;
        // What follows may be a token, and names no repository.
        let rest = rest.split(['?', '#']).next()?;
        let (authority, path) = rest.split_once('/')?;
        let (host, port) = host_and_port(authority)?;
        let port = port.filter(|port| own_port.is_some_and(|own_port| own_port != *port));
        let host = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        return join(&host, path);
    }
    if let Some(path) = local(address) {
        return Some(path);
    }
    // As scp has it: a colon before the first slash.
    let after_user = address.split('/').next()?.rfind('@').map_or(0, |at| at + 1);
    let rest = &address[after_user..];
    let colon = match rest.strip_prefix('[') {
        Some(_) => rest.find("]:")? + 1,
        None => rest.find(':')?,
    };
    let (host, path) = (&rest[..colon], &rest[colon + 1..]);
    if host.is_empty() || host.contains('/') || path.starts_with(':') {
        return None;
    }
    join(&host.trim_matches(['[', ']']).to_lowercase(), path)
}

/// Returns the host of an authority, without the user, and its port.
fn host_and_port(authority: &str) -> Option<(String, Option<&str>)> {
    let host = authority.rsplit('@').next()?;
    let (host, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':'))
        }
        None => host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port))),
    };
    let is_port = |port: &&str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.filter(|port| !port.is_empty());
    if host.is_empty() || !port.iter().all(is_port) {
        return None;
    }
    Some((host.trim_end_matches('.').to_lowercase(), port))
}

/// Returns the key of a repository that is a folder of the machine.
fn local(path: &str) -> Option<String> {
    let key = FolderPath::parse(path).ok()?.key();
    Some(without_suffix(&key).to_owned()).filter(|key| !key.is_empty())
}

/// Returns the key of what follows `file://`: a path, of Windows with a `/` before it or not, or a share
/// of another machine.
fn of_file_url(rest: &str) -> Option<String> {
    let path = rest.strip_prefix("localhost").filter(|path| path.starts_with('/')).unwrap_or(rest);
    let of_drive = path.strip_prefix('/').filter(|path| path.get(1..3) == Some(":/"));
    if let Some(path) = of_drive.or_else(|| FolderPath::parse(path).is_ok().then_some(path)) {
        return local(path);
    }
    local(&format!("\\\\{path}"))
}

fn join(host: &str, path: &str) -> Option<String> {
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    let path = names.join("/");
    let path = without_suffix(&path);
    (!path.is_empty()).then(|| format!("{host}/{path}"))
}

fn without_suffix(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    [".git", ".GIT"]
        .into_iter()
        .find_map(|suffix| path.strip_suffix(suffix))
        .map_or(path, |path| path.trim_end_matches('/'))
}

/// A repository's first commit: 40 or 64 hex digits, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootCommit(String);

impl RootCommit {
    /// Returns the commit of a text, or what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_hash =
            matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash {
            return Err("expected the hash of a commit: 40 or 64 hex digits".to_owned());
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(address: &str) -> String {
        GitRemote::parse(address).unwrap_or_else(|problem| panic!("{address}: {problem}")).0
    }

    #[test]
    fn addresses_of_one_repository_are_one_remote() {
        for (same, key) in [
            (
                &[
                    "git@github.com:owner/Repo.git",
                    "github.com:owner/Repo",
                    "me@GitHub.com:/owner/Repo.git/",
                    "ssh://git@github.com/owner/Repo.git",
                    "ssh://git@github.com:2222/owner/Repo",
                    "git+ssh://github.com//owner/Repo/",
                    "https://github.com/owner/Repo",
                    "HTTPS://GITHUB.COM:443/owner/Repo.git",
                    "https://user:pa:ss@github.com/owner/Repo.git",
                    "https://ghp_token@github.com/owner/Repo.git/",
                    "https://github.com/owner/Repo.git?token=x#y",
                    "http://github.com:80/owner/Repo",
                    "git://github.com:/owner/Repo.git",
                ][..],
                "github.com/owner/Repo",
            ),
            (&["https://host:8443/r", "https://u@HOST:8443/r.git"], "host:8443/r"),
            (&["ssh://[::1]:22/r.git", "git@[::1]:r"], "::1/r"),
            (
                &[
                    "/srv/git/r.git",
                    "/srv//git/./r.git/",
                    "file:///srv/git/r",
                    "file://localhost/srv/git/r",
                    "/srv/git/r/",
                ],
                "/srv/git/r",
            ),
            (&[r"C:\git\r.git", "c:/GIT/r", "file://C:/git/r", "file:///C:/git/r"], r"C:\GIT\R"),
            (&[r"\\host\disk\r", r"\\HOST\DISK\R", "file://host/disk/r.git"], r"\\HOST\DISK\R"),
            (&["git@host:~me/r.git", "ssh://host/~me/r"], "host/~me/r"),
        ] {
            for address in same {
                assert_eq!(remote(address), key, "{address}");
            }
        }
        assert_ne!(remote("https://host/a/r"), remote("https://host/b/r"));
        assert_ne!(remote("https://host/A/r"), remote("https://host/a/r"));
        assert_ne!(remote("https://host:1/r"), remote("https://host:2/r"));
        // A name and a password, where git would see a host and a path.
        assert_eq!(remote("me:secret@host:r.git"), "host/r");
    }

    #[test]
    fn what_is_no_address_is_refused_without_showing_it() {
        for address in [
            "",
            "repo",
            "../repo.git",
            "./host:path",
            "host:",
            "https://",
            "https://secret@host",
            "https://secret@host/",
            "https://secret@host/.git",
            "https://secret@:80/r",
            "https://u:secret@host:x/r",
            "javascript://secret/r",
            "ext::secret",
            "codecommit::us-east-1://secret",
            "git@host:secret r",
            "git@host:r\n",
            ":secret/r",
            "me:secret@host/r",
            "/",
            r"\\secret",
            "file://",
            "file:///",
            "file://secret",
        ] {
            let problem = GitRemote::parse(address).expect_err(address);
            assert!(!problem.contains("secret"), "{problem}");
        }
        assert!(GitRemote::parse(&format!("host:{}", "x".repeat(MAX_PATH_BYTES - 5))).is_ok());
        assert!(GitRemote::parse(&format!("host:{}", "x".repeat(MAX_PATH_BYTES - 4))).is_err());
    }

    #[test]
    fn a_root_commit_has_40_or_64_hex_digits() {
        for digits in [40, 64] {
            let commit = RootCommit::parse(&"A".repeat(digits)).expect("a commit");
            assert_eq!(commit.as_str(), "a".repeat(digits));
        }
        for text in [
            "",
            &"a".repeat(39),
            &"a".repeat(41),
            &"a".repeat(63),
            &"a".repeat(65),
            &"g".repeat(40),
            &"é".repeat(20),
        ] {
            assert!(RootCommit::parse(text).is_err(), "{text}");
        }
    }
}
