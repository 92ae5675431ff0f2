//! Undoing edits against the real `git revert`, on histories that were made by chance.

use std::collections::BTreeMap;
use std::path::Path;

use aetherd::api::edit::{RecordParams, RevertOutcome, RevertParams, Reverted};
use aetherd::config::EngineKind;
use aetherd::model::EditId;
use aetherd::store::{Store, revert};

use crate::support::edits::{asked, git, has_git, record, replay, start};
use crate::support::git_diffs::{commit, diffs_of};
use crate::support::{ENGINES, Home, open_store, runtime};

/// Commits of a history, and how many of them, the last ones, nobody records.
const COMMITS: usize = 40;
const UNRECORDED: usize = 4;

/// How the two compare, commit by commit.
#[derive(Debug, Default)]
struct Tally {
    both: usize,
    /// Ours is a conflict where git sees none.
    git_alone: usize,
    neither: usize,
    /// Git takes a file that was renamed, and much changed, for a deleted one.
    ours_alone: usize,
}

/// Where git reverts a commit among later ones, the edits of that commit are undone to the same
/// files, or there is a conflict; where git finds that lines were changed since, so does this.
#[test]
fn what_git_reverts_is_undone_the_same_or_is_a_conflict() {
    const TEST: &str = "what_git_reverts_is_undone_the_same_or_is_a_conflict";
    if !has_git(TEST) {
        return;
    }
    let mut tally = Tally::default();
    for (seed, unrecorded) in [(1, 0), (2, UNRECORDED), (3, 0)] {
        let engine = ENGINES[seed as usize % ENGINES.len()];
        compare(&mut tally, seed, unrecorded, engine);
    }
    let Tally { both, git_alone, neither, ours_alone } = tally;
    // Of what git can revert, nearly all; and there were conflicts to find.
    assert!(both > 30 && neither > 20, "{tally:?}");
    assert!(git_alone * 10 <= both && ours_alone * 10 <= both, "{tally:?}");
}

fn compare(tally: &mut Tally, seed: u64, unrecorded: usize, engine: EngineKind) {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let home = Home::new();
    let commits = history(folder, seed, unrecorded);
    runtime().block_on(async {
        let store = open_store(&home, engine);
        start(&store, "s", None).await;
        let mut recorded: Vec<Vec<(EditId, String)>> = Vec::new();
        for (number, diffs) in commits.iter().take(COMMITS - unrecorded).enumerate() {
            let mut edits = Vec::new();
            for (file, diff) in diffs_of(diffs).into_iter().enumerate() {
                let id = EditId::parse(format!("e{number}-{file}")).expect("an id");
                let params = RecordParams { id: Some(id.clone()), ..diff.edit("s", "/p") };
                record(&store, params).await.expect("records");
                edits.push((id, format!("/p/{}", diff.path)));
            }
            recorded.push(edits);
        }
        for (number, edits) in recorded.into_iter().enumerate() {
            let mut ours: Vec<Reverted> = Vec::new();
            for (id, path) in edits {
                ours.push(undo(&store, folder, id, &path).await);
            }
            let back = COMMITS - 1 - number;
            let of_git = git(folder, &["revert", "--no-commit", &format!("HEAD~{back}")]);
            let is_conflict =
                ours.iter().any(|reverted| reverted.outcome == RevertOutcome::Conflicts);
            let place = format!("seed {seed}, commit {number}");
            match (of_git.status.success(), is_conflict) {
                (true, false) => tally.both += 1,
                (true, true) => tally.git_alone += 1,
                (false, true) => tally.neither += 1,
                (false, false) => {
                    let said = String::from_utf8_lossy(&of_git.stdout);
                    assert!(said.contains("CONFLICT (modify/delete)"), "{place}: {said}");
                    tally.ours_alone += 1;
                }
            }
            // Each file for itself: another file of the commit may be the conflict.
            let done = ours.iter().filter(|reverted| reverted.outcome != RevertOutcome::Conflicts);
            for reverted in done.filter(|_| of_git.status.success()) {
                let name = reverted.file_path.strip_prefix("/p/").expect("a path");
                let content = std::fs::read_to_string(folder.join(name)).ok();
                assert_eq!(reverted.content, content, "{place}: {name}");
            }
            assert!(git(folder, &["reset", "-q", "--hard", "HEAD"]).status.success());
        }
        store.close().await.expect("closed");
    });
}

/// Undoes one edit of a file on what the file holds at HEAD.
async fn undo(store: &Store, folder: &Path, id: EditId, path: &str) -> Reverted {
    let now = replay(store, asked(path, None)).await.expect("replays").file_path;
    let name = now.strip_prefix("/p/").expect("a path");
    let params = RevertParams {
        file_path: now.clone(),
        content: std::fs::read_to_string(folder.join(name)).ok(),
        edit_ids: Some(vec![id]),
        session_id: None,
        since: None,
        base: None,
        project_id: None,
    };
    store.read(move |tx| revert::revert(tx, &params)).await.expect("is answered")
}

/// Makes a repository of two files that are changed a place or two at a time and renamed at times,
/// and returns what git says of each commit. Nothing is renamed in the last ones, which nobody records.
fn history(folder: &Path, seed: u64, unrecorded: usize) -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut next = 0;
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    assert!(git(folder, &["init", "-q"]).status.success());
    for name in ["a", "b"] {
        files.insert(name.to_owned(), (0..80).map(|_| fresh(&mut next)).collect());
    }
    let mut commits = Vec::new();
    for number in 0..COMMITS {
        if number > 0 {
            let names: Vec<String> = files.keys().cloned().collect();
            if random.u8(0..10) == 0 && number < COMMITS - unrecorded {
                let name = random.choice(&names).expect("a name");
                let lines = files.remove(name).expect("a file");
                std::fs::remove_file(folder.join(name)).expect("a file");
                files.insert(format!("{}{number}", &name[..1]), lines);
            } else {
                let count = random.usize(1..=names.len());
                for name in random.choose_multiple(names.iter(), count) {
                    let lines = files.get_mut(name).expect("a file");
                    for _ in 0..random.usize(1..3) {
                        change(&mut random, lines, &mut next);
                    }
                }
            }
        }
        for (name, lines) in &files {
            std::fs::write(folder.join(name), lines.concat()).expect("a file");
        }
        commits.push(commit(folder));
    }
    commits
}

/// A line that is like no other, so that git cannot take one for another.
fn fresh(next: &mut usize) -> String {
    *next += 1;
    format!("line {next} é\r\n")
}

/// Takes some lines at a place and puts others there.
fn change(random: &mut fastrand::Rng, lines: &mut Vec<String>, next: &mut usize) {
    let at = random.usize(0..=lines.len());
    let end = (at + random.usize(0..3)).min(lines.len());
    let put: Vec<String> = (0..random.usize(0..3)).map(|_| fresh(next)).collect();
    lines.splice(at..end, put);
}
