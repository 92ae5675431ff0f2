//! Histories of git, this repository's own among them, recorded and replayed to their last commit.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::process::Command;

use aetherd::api::Check;
use aetherd::api::edit::RecordParams;
use aetherd::config::EngineKind;
use aetherd::model::EditKind;
use aetherd::store::{Store, edits};

use crate::support::edits::{asked, content, git, has_git, record, replay, start};
use crate::support::git_diffs::{self, GitDiff, commit, diffs_of, split};
use crate::support::{ENGINES, Home, open_store, runtime, say_skipped};

/// Changes the files of a repository as people do, and records what git says of each commit. After
/// each, what is replayed is what `git apply` makes of the same diff.
#[test]
fn a_history_of_git_is_replayed_commit_by_commit() {
    const TEST: &str = "a_history_of_git_is_replayed_commit_by_commit";
    if !has_git(TEST) {
        return;
    }
    for (seed, engine) in [(1, ENGINES[0]), (2, ENGINES[1]), (3, ENGINES[0])] {
        let (folder, applied) =
            (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let home = Home::new();
        let commits = git_history(folder.path(), seed);
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        let mut paths: BTreeSet<String> = BTreeSet::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            start(&store, "s", None).await;
            for (number, commit) in commits.iter().enumerate() {
                let diffs = diffs_of(commit);
                let mut whole = String::new();
                for diff in &diffs {
                    let params = diff.edit("s", "/p");
                    count_kinds(&mut kinds, diff, params.kind);
                    whole.push_str(&params.diff);
                    record(&store, params)
                        .await
                        .unwrap_or_else(|error| panic!("{error}: {diff:?}"));
                    paths.insert(diff.path.clone());
                }
                apply(applied.path(), &whole);
                for diff in &diffs {
                    for path in BTreeSet::from([&diff.from, &diff.path]) {
                        let of_git = std::fs::read(applied.path().join(path)).ok();
                        let (now, found) = content(&store, &format!("/p/{path}"), None).await;
                        // A file that was renamed has its content under its last name.
                        let found = found.filter(|_| now == format!("/p/{path}"));
                        let place = format!("seed {seed}, commit {number}: {path:?}");
                        assert!(
                            found.as_ref().map(String::as_bytes) == of_git.as_deref(),
                            "{place}: {found:?}"
                        );
                    }
                }
            }
            assert_eq!(kinds.len(), 8, "{kinds:?}");
            assert!(kinds.values().all(|count| *count > 3), "{kinds:?}");
            let there = need_head(&store, folder.path(), "/p", &paths).await;
            let files = git(folder.path(), &["ls-files", "-z"]).stdout;
            assert_eq!(there, files.iter().filter(|byte| **byte == 0).count());
            store.close().await.expect("closed");
        });
    }
}

fn count_kinds(kinds: &mut BTreeMap<&str, usize>, diff: &GitDiff, kind: EditKind) {
    let text = diff.diff.as_deref().expect("a diff of text");
    let what = match kind {
        EditKind::Rename => "renames",
        _ if text.contains("new file mode") => "new files",
        _ if text.contains("deleted file mode") => "deleted files",
        _ => "changes",
    };
    *kinds.entry(what).or_default() += 1;
    for (what, is_so) in [
        ("with CRLF", text.contains("\r\n")),
        ("without an end", text.contains("\n\\ No")),
        ("with a quoted name", text.lines().next().is_some_and(|line| line.contains('"'))),
        ("with a plain name", text.lines().next().is_some_and(|line| !line.contains('"'))),
    ] {
        *kinds.entry(what).or_default() += usize::from(is_so);
    }
}

/// Has git apply a diff to a folder; one of no files is none to it.
fn apply(folder: &Path, diff: &str) {
    if diff.is_empty() {
        return;
    }
    let file = folder.join("a.diff");
    std::fs::write(&file, diff).expect("a file");
    let output = git(folder, &["apply", "--whitespace=nowarn", "a.diff"]);
    assert!(output.status.success(), "{}\n{diff}", String::from_utf8_lossy(&output.stderr));
    std::fs::remove_file(file).expect("a file");
}

/// Checks that each of these paths is replayed, from nothing, to what it is at HEAD, and returns how
/// many files there are.
async fn need_head(store: &Store, folder: &Path, root: &str, paths: &BTreeSet<String>) -> usize {
    let blobs = blobs_at_head(folder);
    let mut there = 0;
    for path in paths {
        let file_path = format!("{root}/{path}");
        let replayed = replay(store, asked(&file_path, None))
            .await
            .unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let blob = blobs.get(path);
        // A file that was renamed has its content under its last name.
        if replayed.file_path != file_path {
            assert!(blob.is_none(), "{path:?} is {}", replayed.file_path);
            continue;
        }
        there += usize::from(blob.is_some());
        let found = replayed.content.map(String::into_bytes);
        assert!(found.as_ref() == blob, "{path:?}: {found:?}, not {blob:?}");
    }
    there
}

/// Returns what each file holds at HEAD, by its path.
fn blobs_at_head(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let tree = git(folder, &["ls-tree", "-r", "-z", "--full-tree", "HEAD"]);
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).expect("names of UTF-8");
    let mut files: Vec<(&str, &str)> = Vec::new();
    for entry in tree.split_terminator('\0') {
        let (head, path) = entry.split_once('\t').expect("a path");
        let mut head = head.split(' ').skip(1);
        if head.next() == Some("blob") {
            files.push((path, head.next().expect("a hash")));
        }
    }
    let asked: String = files.iter().map(|(_, hash)| format!("{hash}\n")).collect();
    let answer = git_with_input(folder, &["cat-file", "--batch"], asked.as_bytes());
    let mut rest = answer.as_slice();
    let mut blobs = BTreeMap::new();
    for (path, _) in files {
        let end = rest.iter().position(|byte| *byte == b'\n').expect("a head");
        let head = std::str::from_utf8(&rest[..end]).expect("ASCII");
        let size: usize =
            head.rsplit(' ').next().and_then(|size| size.parse().ok()).expect("a size");
        let content = &rest[end + 1..][..size];
        blobs.insert(path.to_owned(), content.to_vec());
        rest = &rest[end + 1 + size + 1..];
    }
    blobs
}

fn git_with_input(folder: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(input).expect("a file");
    file.rewind().expect("a file");
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .stdin(file)
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What a repository's history is, or why there is none.
fn history_of(folder: &Path) -> Result<Vec<GitDiff>, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let top = git(folder, &["rev-parse", "--show-toplevel"]);
    if !top.status.success() {
        return Err(text(&top.stderr));
    }
    // A source archive may lie in a folder of another repository.
    let is_top = Path::new(&text(&top.stdout)).canonicalize().ok() == folder.canonicalize().ok();
    if !is_top {
        return Err(format!("{} is the repository's folder", text(&top.stdout)));
    }
    // Of a merge, what it changed of its first parent; where a shallow clone ends, all files are new.
    let mut arguments = vec!["-c", "log.showRoot=true", "log", "--reverse", "--first-parent", "-m"];
    arguments.extend(git_diffs::OPTIONS);
    arguments.extend(["--format=%x01", "HEAD"]);
    let log = git(folder, &arguments);
    if !log.status.success() {
        return Err(text(&log.stderr));
    }
    let commits = split(&log.stdout, b"\x01\0");
    let bare = |mut commit: &[u8]| {
        // A commit that changes nothing has no line to itself.
        while let Some(rest) = commit.strip_prefix(b"\x01\0") {
            commit = rest;
        }
        diffs_of(commit.strip_prefix(b"\n").unwrap_or(commit))
    };
    Ok(commits.into_iter().flat_map(bare).collect())
}

/// Records a history and checks each file at HEAD; returns how many files that are, and the paths of
/// those that are left out, as they are none of text.
fn replay_history(
    folder: &Path,
    history: &[GitDiff],
    engine: EngineKind,
) -> (usize, BTreeSet<String>) {
    let mut binary: BTreeSet<String> = BTreeSet::new();
    // A file that is of text at one time only is left out by all its names.
    loop {
        let known = binary.len();
        for diff in history {
            if diff.diff.is_none() || binary.contains(&diff.from) || binary.contains(&diff.path) {
                binary.extend([diff.from.clone(), diff.path.clone()]);
            }
        }
        if binary.len() == known {
            break;
        }
    }
    let of_text: Vec<GitDiff> =
        history.iter().filter(|diff| !binary.contains(&diff.path)).cloned().collect();
    let paths: BTreeSet<String> = of_text.iter().map(|diff| diff.path.clone()).collect();
    let home = Home::new();
    let there = runtime().block_on(async {
        let store = open_store(&home, engine);
        start(&store, "s", None).await;
        for many in of_text.chunks(EDITS_OF_A_TRANSACTION) {
            let many: Vec<RecordParams> = many.iter().map(|diff| diff.edit("s", "/repo")).collect();
            many.iter().for_each(|params| params.check().expect("a diff of git is taken"));
            store
                .write(move |tx| many.iter().try_for_each(|one| edits::record(tx, one).map(|_| ())))
                .await
                .expect("records");
        }
        let there = need_head(&store, folder, "/repo", &paths).await;
        store.close().await.expect("closed");
        there
    });
    (there, binary)
}

const EDITS_OF_A_TRANSACTION: usize = 100;

/// Every file of this repository, through all commits it has: one at a time, as they were made.
#[test]
fn this_repositorys_own_history_is_replayed_to_its_head() {
    const TEST: &str = "this_repositorys_own_history_is_replayed_to_its_head";
    if !has_git(TEST) {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let history = match history_of(folder) {
        Ok(history) => history,
        Err(problem) => {
            let is_ci = std::env::var("CI").as_deref() == Ok("true");
            assert!(!is_ci, "{TEST} needs the git history, in CI: {problem}");
            return say_skipped(TEST, "the git history");
        }
    };
    for engine in ENGINES {
        let (there, binary) = replay_history(folder, &history, engine);
        let at_head = blobs_at_head(folder);
        let left_out = at_head.keys().filter(|path| binary.contains(*path)).count();
        assert_eq!(there + left_out, at_head.len(), "each file is compared or named: {binary:?}");
        // What is left out is what cannot be text: the databases that the IDE wrote.
        let is_database = |path: &String| path.contains(".db");
        assert!(binary.iter().all(is_database), "{binary:?}");
        assert!(there > 100, "{there}");
    }
}

#[test]
fn a_shallow_clone_is_a_history_and_an_archive_is_none() {
    const TEST: &str = "a_shallow_clone_is_a_history_and_an_archive_is_none";
    if !has_git(TEST) {
        return;
    }
    let (folder, clones) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    git_history(folder.path(), 4);
    let from = format!("file://{}", folder.path().display());
    let output = git(clones.path(), &["clone", "-q", "--depth", "20", &from, "shallow"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shallow = clones.path().join("shallow");
    let short = history_of(&shallow).expect("a history");
    let long = history_of(folder.path()).expect("a history");
    assert!(short.len() < long.len(), "{} of {}", short.len(), long.len());
    for (folder, history) in [(folder.path(), long), (&shallow, short)] {
        let (there, binary) = replay_history(folder, &history, EngineKind::Sqlite);
        assert!(binary.is_empty(), "{binary:?}");
        assert_eq!(there, blobs_at_head(folder).len());
    }
    // No repository, a folder of one, and one without a commit.
    let archive = clones.path().join("archive");
    let within = shallow.join("archive");
    for folder in [&archive, &within] {
        std::fs::create_dir(folder).expect("a folder");
        assert!(history_of(folder).is_err());
    }
    assert!(git(&archive, &["init", "-q"]).status.success());
    assert!(history_of(&archive).is_err());
}

/// Binary files are left out by all their names, and the others of the commit are not.
#[test]
fn a_binary_file_is_left_out_by_name() {
    const TEST: &str = "a_binary_file_is_left_out_by_name";
    if !has_git(TEST) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    assert!(git(folder.path(), &["init", "-q"]).status.success());
    let bytes: Vec<u8> = (0..=255).cycle().take(4096).collect();
    for (name, content) in [("data", bytes.as_slice()), ("latin", b"caf\xe9\n"), ("text", b"a\n")] {
        std::fs::write(folder.path().join(name), content).expect("a file");
    }
    commit(folder.path());
    std::fs::rename(folder.path().join("data"), folder.path().join("moved")).expect("a file");
    std::fs::write(folder.path().join("text"), "a\nb\n").expect("a file");
    commit(folder.path());
    let history = history_of(folder.path()).expect("a history");
    let (there, binary) = replay_history(folder.path(), &history, EngineKind::Sqlite);
    let names: Vec<&str> = binary.iter().map(String::as_str).collect();
    assert_eq!((there, names), (1, vec!["data", "latin", "moved"]));
}

/// Makes some sixty commits, and returns the diff of each.
fn git_history(folder: &Path, seed: u64) -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(seed);
    assert!(git(folder, &["init", "-q"]).status.success());
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let mut gone: Vec<String> = Vec::new();
    let mut next = 0;
    let mut commits = Vec::new();
    for _ in 0..64 {
        let names: Vec<String> = files.keys().cloned().collect();
        // One kind of change a commit: what git takes for a rename is one then.
        match random.u8(0..10) {
            _ if names.len() < 4 => {
                files.insert(fresh(&mut next), text(&mut random));
            }
            0 => {
                files.insert(fresh(&mut next), text(&mut random));
            }
            1 if !gone.is_empty() => {
                let name = gone.swap_remove(random.usize(0..gone.len()));
                files.insert(name, text(&mut random));
            }
            2 => {
                let name = random.choice(&names).expect("a name").clone();
                files.remove(&name);
                gone.push(name);
            }
            3 | 4 => {
                let name = random.choice(&names).expect("a name").clone();
                let content = files.remove(&name).expect("a file");
                let renamed = fresh(&mut next);
                let content = if random.bool() { content } else { changed(&mut random, &content) };
                files.insert(renamed, content);
                gone.push(name);
            }
            _ => {
                for name in random.choose_multiple(names.iter(), 3) {
                    let content = changed(&mut random, &files[name]);
                    files.insert(name.clone(), content);
                }
            }
        }
        for name in names.iter().filter(|name| !files.contains_key(*name)) {
            std::fs::remove_file(folder.join(name)).expect("a file");
        }
        for (name, content) in &files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, content).expect("a file");
        }
        commits.push(commit(folder));
    }
    commits
}

/// Names that git quotes and names that it does not, and such as only git tells apart.
fn fresh(next: &mut usize) -> String {
    const NAMES: [&str; 6] = ["f", "é", "文件 ", "a b", "\"q\" ", "e\u{301}"];
    *next += 1;
    format!("d{}/{}{next}.txt", *next % 3, NAMES[*next % NAMES.len()])
}

fn text(random: &mut fastrand::Rng) -> String {
    let end = if random.bool() { "\n" } else { "\r\n" };
    let count = random.usize(0..40);
    let mut text: String = (0..count).map(|_| format!("line {} é{end}", random.u16(..))).collect();
    if random.bool() {
        text.truncate(text.trim_end().len());
    }
    text
}

fn changed(random: &mut fastrand::Rng, content: &str) -> String {
    let mut lines: Vec<String> = content.split_inclusive('\n').map(str::to_owned).collect();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(0..=lines.len());
        match random.u8(0..4) {
            0 if at < lines.len() => drop(lines.remove(at)),
            1 if at < lines.len() => lines[at] = format!("other {}\r\n", random.u8(..)),
            2 if at < lines.len() => lines[at] = lines[at].replace('\n', "\r\n"),
            3 => lines.truncate(lines.len().saturating_sub(1)),
            _ => lines.insert(at, format!("new {}\n", random.u8(..))),
        }
    }
    lines.concat()
}
