//! Looks whether folders are there, on threads of its own: a mount that hangs holds up no other call.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::model::{Sighting, Sightings};

/// How long a look may take. What is not seen by then is unknown.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// Threads that look at one time. One that hangs keeps its place.
static LOOKS: Semaphore = Semaphore::const_new(8);

/// Folders in which other volumes are mounted, and how many names below them the volumes lie at most.
const MOUNTS: [(&str, usize); 4] = [("/run/media", 2), ("/media", 2), ("/mnt", 1), ("/Volumes", 1)];

/// Looks at folders, of which the first is the one that is opened.
pub(super) async fn look(paths: Vec<String>) -> Sightings {
    if paths.is_empty() {
        return Sightings::default();
    }
    let looked = timeout(LOOK_TIMEOUT, async {
        let place = LOOKS.acquire().await.ok()?;
        let (reply, receiver) = oneshot::channel();
        let look = move || {
            let _ = reply.send(see(&paths));
            drop(place);
        };
        std::thread::Builder::new().name("aetherd-look".to_owned()).spawn(look).ok()?;
        receiver.await.ok()
    });
    looked.await.ok().flatten().unwrap_or_default()
}

fn see(paths: &[String]) -> Sightings {
    let mut seen = Sightings::default();
    let opened = paths.first().map_or("", String::as_str);
    let opened_is_there = sighting(Path::new(opened)) == Sighting::There;
    for path in paths {
        match sighting(Path::new(path)) {
            // A file system may tell case apart or not, and have links: it alone knows.
            Sighting::There
                if path != opened && same_file::is_same_file(opened, path).unwrap_or(false) =>
            {
                seen.add_same(path.clone());
            }
            // A client may name a folder that only it can see, such as one of another machine. That
            // the others cannot be seen either tells nothing then.
            Sighting::Gone if !opened_is_there => seen.add(path.clone(), Sighting::Unknown),
            sighting => seen.add(path.clone(), sighting),
        }
    }
    seen
}

fn sighting(path: &Path) -> Sighting {
    // One of another platform, which would be taken for one below the working directory.
    if !path.is_absolute() {
        return Sighting::Unknown;
    }
    match std::fs::metadata(path) {
        Ok(_) => Sighting::There,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            if volumes(path).iter().all(|volume| has_entries(volume)) {
                Sighting::Gone
            } else {
                Sighting::Unknown
            }
        }
        Err(_) => Sighting::Unknown,
    }
}

/// Returns the folders that hold something where the volume of a path is there: its root, and what is
/// mounted where removable and other volumes are. The folder of one that is not mounted is missing or
/// empty, and what was on it is not gone.
fn volumes(path: &Path) -> Vec<PathBuf> {
    let mut volumes: Vec<PathBuf> =
        path.ancestors().last().map(Path::to_owned).into_iter().collect();
    if let Some((mount, depth)) = MOUNTS.into_iter().find(|(mount, _)| path.starts_with(mount)) {
        let below = path.components().skip(Path::new(mount).components().count());
        let mut volume = PathBuf::from(mount);
        for name in below.filter(|name| matches!(name, Component::Normal(_))).take(depth) {
            volume.push(name);
        }
        volumes.push(volume);
    }
    volumes
}

fn has_entries(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_there_gone_or_unknown() {
        let home = tempfile::tempdir().expect("a folder");
        let path = |name: &str| home.path().join(name).to_str().expect("UTF-8").to_owned();
        std::fs::create_dir(path("new")).expect("a folder");
        std::fs::create_dir(path("other")).expect("a folder");
        std::fs::write(path("file"), "").expect("a file");
        std::os::unix::fs::symlink(path("new"), path("link")).expect("a link");
        let paths = ["new", "other", "link", "gone", "gone/below", "file/below"].map(path);
        let mut all = paths.to_vec();
        all.push(r"C:\gone".to_owned());
        let seen = see(&all);
        let expected = [
            Sighting::There,
            Sighting::There,
            Sighting::There,
            Sighting::Gone,
            Sighting::Gone,
            Sighting::Gone,
            Sighting::Unknown,
        ];
        for (path, expected) in all.iter().zip(expected) {
            assert_eq!(seen.of(path), expected, "{path}");
            assert_eq!(seen.is_same(path), *path == paths[2], "{path}");
        }
        assert_eq!(seen.of("/never/asked"), Sighting::Unknown);
        // Who does not see the one that is opened does not see which are gone.
        let seen = see(&[paths[3].clone(), paths[4].clone(), paths[1].clone()]);
        let found = [3, 4, 1].map(|at| seen.of(&paths[at]));
        assert_eq!(found, [Sighting::Unknown, Sighting::Unknown, Sighting::There]);
    }

    #[test]
    fn what_was_on_a_volume_that_is_not_mounted_is_not_gone() {
        for (path, volume) in [
            ("/media/me/stick/a/shop", Some("/media/me/stick")),
            ("/media/stick", Some("/media/stick")),
            ("/run/media/me/stick/shop", Some("/run/media/me/stick")),
            ("/mnt/c/Users/me/shop", Some("/mnt/c")),
            ("/Volumes/Stick/shop", Some("/Volumes/Stick")),
            ("/home/me/media/shop", None),
            ("/median/shop", None),
        ] {
            let expected: Vec<&Path> = ["/"].into_iter().chain(volume).map(Path::new).collect();
            assert_eq!(volumes(Path::new(path)), expected, "{path}");
        }
        let gone = sighting(Path::new("/Volumes/no such volume of aetherd/shop"));
        assert_eq!(gone, Sighting::Unknown);
    }

    #[tokio::test]
    async fn a_look_sees_nothing_where_nothing_is_asked() {
        assert_eq!(look(Vec::new()).await, Sightings::default());
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_str().expect("UTF-8").to_owned();
        assert_eq!(look(vec![path.clone()]).await.of(&path), Sighting::There);
    }
}
