//! What the tests of edits share: git, and calls of the store's functions.

use std::fmt::Debug;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};

use aetherd::api::edit::{EditPage, ListParams, Order, RecordParams, ReplayParams, Replayed};
use aetherd::api::session::{DeleteParams, StartParams};
use aetherd::api::{Check, project};
use aetherd::error::{Error, Misfit, Result};
use aetherd::model::{Edit, EditId, EditKind, ProjectId, SessionId, Sightings};
use aetherd::store::{Store, edits, places, replay, sessions, trash};

use super::{ENGINES, Home, open_store, runtime, say_skipped};

pub(crate) fn git(folder: &Path, arguments: &[&str]) -> std::process::Output {
    Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "core.autocrlf=false"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_CEILING_DIRECTORIES", folder.parent().unwrap_or(folder))
        .stdin(Stdio::null())
        .output()
        .expect("git runs")
}

/// True where git is there; where it is not, says that the test is skipped, or fails in CI.
pub(crate) fn has_git(test: &str) -> bool {
    let found = Command::new("git").arg("--version").stdin(Stdio::null()).output().is_ok();
    if !found {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} needs git: in CI");
        say_skipped(test, "git");
    }
    found
}

pub(crate) fn session_id(id: &str) -> SessionId {
    SessionId::parse(id).expect("an id")
}

pub(crate) async fn start(store: &Store, id: &str, project_id: Option<&str>) {
    let params = StartParams {
        id: Some(session_id(id)),
        kind: "chat".to_owned(),
        project_id: project_id.map(|id| ProjectId::parse(id).expect("an id")),
        ..StartParams::default()
    };
    store.write(move |tx| sessions::start(tx, &params)).await.expect("starts");
}

pub(crate) async fn trash(store: &Store, id: &str) {
    let params = DeleteParams { id: session_id(id), purge: false };
    store.write(move |tx| trash::delete(tx, &params)).await.expect("deletes");
}

pub(crate) async fn open_project(store: &Store, id: &str) {
    let params = project::OpenParams {
        path: format!("/{id}"),
        id: ProjectId::parse(id).ok(),
        ..Default::default()
    };
    store.write(move |tx| places::open(tx, &params, &Sightings::default())).await.expect("opens");
}

pub(crate) fn params(id: &str, session: &str, file_path: &str, diff: &str) -> RecordParams {
    RecordParams {
        id: EditId::parse(id).ok(),
        session_id: session_id(session),
        message_id: None,
        file_path: file_path.to_owned(),
        kind: EditKind::Replace,
        diff: diff.to_owned(),
        new_path: None,
        before_hash: None,
        after_hash: None,
    }
}

pub(crate) fn rename(id: &str, session: &str, from: &str, to: &str, diff: &str) -> RecordParams {
    RecordParams {
        kind: EditKind::Rename,
        new_path: Some(to.to_owned()),
        ..params(id, session, from, diff)
    }
}

pub(crate) async fn record(store: &Store, params: RecordParams) -> Result<Edit> {
    params.check()?;
    store.write(move |tx| edits::record(tx, &params)).await
}

pub(crate) fn all(
    file_path: Option<&str>,
    session: Option<&str>,
    project: Option<&str>,
) -> ListParams {
    ListParams {
        file_path: file_path.map(str::to_owned),
        session_id: session.map(session_id),
        project_id: project.map(|id| ProjectId::parse(id).expect("an id")),
        order: Order::Oldest,
        limit: 50,
        cursor: None,
    }
}

pub(crate) async fn list(store: &Store, params: ListParams) -> Result<EditPage> {
    store.read(move |tx| edits::list(tx, &params)).await
}

pub(crate) async fn ids(store: &Store, mut params: ListParams) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let page = list(store, params.clone()).await.expect("a page");
        assert!(page.edits.len() <= params.limit as usize);
        ids.extend(page.edits.into_iter().map(|edit| edit.id.to_string()));
        match page.next_cursor {
            None => return ids,
            cursor => params.cursor = cursor,
        }
    }
}

pub(crate) fn asked(file_path: &str, base: Option<&str>) -> ReplayParams {
    ReplayParams {
        file_path: file_path.to_owned(),
        base: base.map(str::to_owned),
        until: None,
        project_id: None,
    }
}

pub(crate) async fn replay(store: &Store, params: ReplayParams) -> Result<Replayed> {
    store.read(move |tx| replay::replay(tx, &params)).await
}

pub(crate) async fn content(
    store: &Store,
    file_path: &str,
    base: Option<&str>,
) -> (String, Option<String>) {
    let replayed = replay(store, asked(file_path, base)).await.expect("replays");
    (replayed.file_path, replayed.content)
}

pub(crate) fn misfit(result: Result<Replayed>) -> Misfit {
    match result.expect_err("is refused") {
        Error::Misfit(misfit) => *misfit,
        error => panic!("{error}"),
    }
}

pub(crate) fn line(from: &str, to: &str) -> String {
    format!("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-{from}\n+{to}\n")
}

pub(crate) fn run<F: Future<Output = ()>>(test: impl Fn(Store) -> F) {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(test(open_store(&home, engine)));
    }
}

/// The diff that takes all lines out and puts others in.
pub(crate) fn whole(old: Option<&str>, new: Option<&str>) -> String {
    let name = |side: Option<&str>| if side.is_some() { "x" } else { "/dev/null" };
    let (from, to) = (old.unwrap_or_default(), new.unwrap_or_default());
    if from.is_empty() && to.is_empty() {
        let mode = if old.is_some() { "deleted" } else { "new" };
        return format!("diff --git a/x b/x\n{mode} file mode 100644\n");
    }
    let range = |text: &str| {
        let count = text.split_inclusive('\n').count();
        format!("{},{count}", usize::from(count > 0))
    };
    let mut diff =
        format!("--- {}\n+++ {}\n@@ -{} +{} @@\n", name(old), name(new), range(from), range(to));
    for (sign, text) in [('-', from), ('+', to)] {
        for line in text.split_inclusive('\n') {
            let end = if line.ends_with('\n') { "" } else { "\n\\ No newline at end of file\n" };
            diff.push_str(&format!("{sign}{line}{end}"));
        }
    }
    diff
}

/// Records an edit for each of these numbers, which makes of it the next one, of the file `/many`.
pub(crate) async fn count_up(store: &Store, numbers: Range<usize>) {
    store
        .write(move |tx| {
            for number in numbers.clone() {
                let (old, new) = (number.to_string(), (number + 1).to_string());
                let id = format!("n{number}");
                edits::record(tx, &params(&id, "s", "/many", &line(&old, &new)))?;
            }
            Ok(())
        })
        .await
        .expect("records");
}

/// The field that an error blames.
pub(crate) fn blamed(refused: Result<impl Debug>) -> String {
    match refused.expect_err("is refused") {
        Error::InvalidParams { field, .. } => field,
        error => panic!("{error}"),
    }
}
