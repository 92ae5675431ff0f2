//! Edits: diffs against the real git, replay, and the table on both engines.

use std::collections::BTreeMap;

use aetherd::api::Check;
use aetherd::api::edit::{RecordParams, ReplayParams};
use aetherd::config::EngineKind;
use aetherd::edit;
use aetherd::error::{Error, Misfit, MisfitPart};
use aetherd::model::limits::{MAX_CONTENT_BYTES, MAX_REPLAY_EDITS};
use aetherd::model::{EditKind, ProjectId};
use proptest::prelude::*;
use serde_json::json;

use crate::support::edits::{
    all, asked, blamed, content, count_up, git, has_git, ids, line, misfit, open_project, params,
    record, rename, replay, run, session_id, start, whole,
};
use crate::support::{ENGINES, Home, error_kind, open_store, runtime};

/// What may stand in a line, marks of diffs among it.
const LINES: [&str; 12] = [
    "",
    "a",
    "b",
    "  indented",
    "é🌧 — ✓",
    "-- x",
    "++ y",
    "\\ No newline at end of file",
    "@@ -1 +1 @@",
    "diff --git a/x b/x",
    "nul \0 inside",
    "lone \r inside",
];

fn contents() -> impl Strategy<Value = String> {
    let line = (0..LINES.len(), proptest::bool::weighted(0.3));
    let lines = (proptest::collection::vec(line, 0..24), any::<bool>());
    prop_oneof![
        6 => lines.prop_map(|(lines, ended)| {
            let ends = |crlf: bool| if crlf { "\r\n" } else { "\n" };
            let mut text: String =
                lines.iter().map(|(line, crlf)| format!("{}{}", LINES[*line], ends(*crlf))).collect();
            if !ended {
                text.pop();
            }
            text
        }),
        1 => any::<String>(),
    ]
}

/// Two contents of which the second mostly is the first with some lines changed.
fn changes() -> impl Strategy<Value = (Option<String>, Option<String>)> {
    let edited =
        (contents(), proptest::collection::vec((0..30_usize, 0..4_u8, 0..LINES.len()), 0..6))
            .prop_map(|(content, edits)| {
                let mut lines: Vec<String> =
                    content.split_inclusive('\n').map(str::to_owned).collect();
                for (at, what, line) in edits {
                    let at = at % (lines.len() + 1);
                    match what {
                        0 if at < lines.len() => drop(lines.remove(at)),
                        1 if at < lines.len() => lines[at] = format!("{}\n", LINES[line]),
                        2 if at < lines.len() => lines[at] = lines[at].replace('\n', "\r\n"),
                        _ => lines.insert(at, format!("{}\n", LINES[line])),
                    }
                }
                (Some(content), Some(lines.concat()))
            });
    prop_oneof![
        6 => edited,
        2 => (contents(), contents()).prop_map(|(old, new)| (Some(old), Some(new))),
        1 => contents().prop_map(|new| (None, Some(new))),
        1 => contents().prop_map(|old| (Some(old), None)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// What git diffs, this applies as git does: to the new content, byte for byte.
    #[test]
    fn diffs_of_git_are_applied_as_git_applies_them((old, new) in changes(), context in 0_u8..5, blank in any::<bool>()) {
        if !has_git("diffs_of_git_are_applied_as_git_applies_them") || old == new {
            return Ok(());
        }
        let folder = tempfile::tempdir().expect("a folder");
        for (side, content) in [("old", &old), ("new", &new), ("work", &old)] {
            std::fs::create_dir(folder.path().join(side)).expect("a folder");
            if let Some(content) = content {
                std::fs::write(folder.path().join(side).join("x"), content).expect("a file");
            }
        }
        let name = |side: &str, content: &Option<String>| match content {
            Some(_) => format!("{side}/x"),
            None => "/dev/null".to_owned(),
        };
        let output = git(folder.path(), &[
            "-c", &format!("diff.suppressBlankEmpty={blank}"),
            "diff", "--no-index", "--no-color", "--no-ext-diff", "--text", &format!("-U{context}"),
            &name("old", &old), &name("new", &new),
        ]);
        prop_assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        let diff = String::from_utf8(output.stdout).expect("UTF-8");
        let parsed = edit::parse(&diff).map_err(|problem| TestCaseError::fail(format!("{problem}\n{diff}")))?;
        let made = edit::apply(&parsed, old.as_deref());
        prop_assert_eq!(made.as_ref(), Ok(&new), "{}", diff);

        // Without context git itself takes one of two lines that are alike for the other: of
        // `X\nX` to `\nX\n` its apply makes `\nX`.
        if context == 0 {
            return Ok(());
        }
        std::fs::write(folder.path().join("a.diff"), &diff).expect("a file");
        let apply = ["apply", "-p2", "--whitespace=nowarn", "../a.diff"];
        let work = folder.path().join("work");
        let output = git(&work, &apply);
        prop_assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), diff);
        let of_git = std::fs::read(work.join("x")).ok();
        prop_assert_eq!(of_git, made.expect("applied").map(String::into_bytes));
    }

    /// On another content the diff fits to the letter or is refused: the lines it names are there.
    #[test]
    fn no_diff_is_applied_where_it_does_not_fit((old, new) in changes(), other in contents()) {
        let (Some(old), Some(new)) = (old, new) else { return Ok(()) };
        // A diff without context of all lines, written here: it fits the old content alone.
        let lines = |text: &str, sign: char| -> String {
            text.split_inclusive('\n').map(|line| {
                let end = if line.ends_with('\n') { "" } else { "\n\\ No newline at end of file\n" };
                format!("{sign}{line}{end}")
            }).collect()
        };
        let range = |text: &str| {
            let count = text.split_inclusive('\n').count();
            format!("{},{count}", usize::from(count > 0))
        };
        let diff = format!("--- a/x\n+++ b/x\n@@ -{} +{} @@\n{}{}", range(&old), range(&new), lines(&old, '-'), lines(&new, '+'));
        let parsed = edit::parse(&diff).map_err(|problem| TestCaseError::fail(format!("{problem}\n{diff}")))?;
        prop_assert_eq!(edit::apply(&parsed, Some(&old)), Ok(Some(new.clone())));
        match edit::apply(&parsed, Some(&other)) {
            Ok(made) => {
                let rest = other.strip_prefix(old.as_str());
                prop_assert_eq!(made, rest.map(|rest| format!("{new}{rest}")));
            }
            Err(mismatch) => prop_assert_ne!(mismatch.expected, mismatch.actual),
        }
    }
}

#[test]
fn edits_of_one_file_are_replayed_in_the_order_recorded() {
    run(|store| async move {
        start(&store, "s", None).await;
        start(&store, "t", None).await;
        // All within a few milliseconds, from two sessions, by other names of one file.
        for number in 0..40 {
            let session = if number % 2 == 0 { "s" } else { "t" };
            let path = if number % 3 == 0 { "/p/x" } else { "/p/./y/../x" };
            let diff = line(&number.to_string(), &(number + 1).to_string());
            record(&store, params(&format!("e{number}"), session, path, &diff)).await.expect("ok");
        }
        let replayed = replay(&store, asked("/p//x", Some("0\n"))).await.expect("replays");
        assert_eq!(replayed.content.as_deref(), Some("40\n"));
        // `echo 40 | sha256sum`
        let hash = "673650f936cb3b0a2f93ce09d81be10748b1b203c19e8176b4eefc1964a0cf3a";
        assert_eq!(replayed.hash.as_deref(), Some(hash));
        let order: Vec<String> = (0..40).map(|number| format!("e{number}")).collect();
        let applied: Vec<String> = replayed.edits.iter().map(ToString::to_string).collect();
        assert_eq!(applied, order);
        assert_eq!(ids(&store, all(Some("/p/x"), None, None)).await, order);
        // A base that the edits do not start from.
        let misfit = misfit(replay(&store, asked("/p/x", Some("1\n"))).await);
        assert_eq!(
            misfit,
            Misfit {
                edit_id: "e0".to_owned(),
                file_path: "/p/x".to_owned(),
                what: MisfitPart::Diff,
                hunk: Some(1),
                line: Some(1),
                expected: Some("0\n".to_owned()),
                actual: Some("1\n".to_owned()),
            }
        );
        store.close().await.expect("closed");
    });
}

#[test]
fn a_replay_ends_with_the_time_asked_for() {
    run(|store| async move {
        start(&store, "s", None).await;
        let first = record(&store, params("a", "s", "/x", &line("0", "1"))).await.expect("ok");
        let until = |until| ReplayParams { until: Some(until), ..asked("/x", Some("0\n")) };
        let none = replay(&store, until(first.created_at - 1)).await.expect("replays");
        assert_eq!((none.content.as_deref(), none.edits.len()), (Some("0\n"), 0));
        let one = replay(&store, until(first.created_at)).await.expect("replays");
        assert_eq!((one.content.as_deref(), one.edits.len()), (Some("1\n"), 1));
        store.close().await.expect("closed");
    });
}

#[test]
fn renames_are_followed_from_either_name() {
    run(|store| async move {
        start(&store, "s", None).await;
        let git = "diff --git a/a b/b\nsimilarity index 50%\nrename from a\nrename to b\n--- a/a\n+++ b/b\n@@ -1 +1 @@\n-1\n+2\n";
        let first =
            record(&store, params("e1", "s", "/a", &line("0", "1"))).await.expect("records");
        record(&store, rename("e2", "s", "/a", "/b", git)).await.expect("ok");
        record(&store, params("e3", "s", "/b", &line("2", "3"))).await.expect("ok");
        record(&store, rename("e4", "s", "/b", "/c", "")).await.expect("ok");
        record(&store, params("e5", "s", "/c", &line("3", "4"))).await.expect("ok");
        for name in ["/a", "/b", "/c"] {
            assert_eq!(
                content(&store, name, Some("0\n")).await,
                ("/c".to_owned(), Some("4\n".to_owned())),
                "{name}"
            );
        }
        // At a time when the file had another name.
        let before = ReplayParams { until: Some(first.created_at - 1), ..asked("/c", Some("0\n")) };
        let replayed = replay(&store, before).await.expect("replays");
        assert_eq!(replayed.file_path, "/a");
        assert_eq!((replayed.content.as_deref(), replayed.edits.len()), (Some("0\n"), 0));
        // Another file at the first name: each name leads to the file that has it.
        let new = "--- /dev/null\n+++ b/a\n@@ -0,0 +1 @@\n+new\n";
        record(&store, params("e6", "s", "/a", new)).await.expect("ok");
        assert_eq!(content(&store, "/a", None).await, ("/a".to_owned(), Some("new\n".to_owned())));
        assert_eq!(content(&store, "/c", Some("0\n")).await.1.as_deref(), Some("4\n"));
        // There and back.
        record(&store, rename("e7", "s", "/a", "/z", "")).await.expect("ok");
        record(&store, rename("e8", "s", "/z", "/a", "")).await.expect("ok");
        assert_eq!(content(&store, "/a", None).await, ("/a".to_owned(), Some("new\n".to_owned())));
        assert_eq!(content(&store, "/z", None).await.0, "/a");
        // Over another file, which is gone then.
        record(&store, rename("e9", "s", "/a", "/c", "")).await.expect("ok");
        assert_eq!(content(&store, "/c", None).await, ("/c".to_owned(), Some("new\n".to_owned())));
        let misfit = misfit(replay(&store, asked("/b", Some("0\n"))).await);
        assert_eq!((misfit.edit_id.as_str(), misfit.what), ("e9", MisfitPart::Path));
        store.close().await.expect("closed");
    });
}

#[test]
fn files_that_come_and_go_are_replayed() {
    run(|store| async move {
        start(&store, "s", None).await;
        let new = "diff --git a/x b/x\nnew file mode 100644\nindex 0000000..e69de29\n";
        let gone = "--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-1\n\\ No newline at end of file\n";
        record(&store, params("e1", "s", "/x", new)).await.expect("ok");
        let empty = replay(&store, asked("/x", None)).await.expect("replays");
        assert_eq!(empty.content.as_deref(), Some(""));
        // `sha256sum < /dev/null`
        let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(empty.hash.as_deref(), Some(hash));
        let filled = "--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+1\n\\ No newline at end of file\n";
        record(&store, params("e2", "s", "/x", filled)).await.expect("ok");
        record(&store, params("e3", "s", "/x", gone)).await.expect("ok");
        let deleted = replay(&store, asked("/x", None)).await.expect("replays");
        assert_eq!((deleted.content, deleted.hash, deleted.edits.len()), (None, None, 3));
        record(&store, params("e4", "s", "/x", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-1\n+2\n"))
            .await
            .expect("ok");
        let misfit = misfit(replay(&store, asked("/x", None)).await);
        assert_eq!((misfit.edit_id.as_str(), misfit.actual), ("e4", None));
        store.close().await.expect("closed");
    });
}

#[test]
fn hashes_are_compared_where_they_are_recorded() {
    // `printf '0\n' | sha256sum`, and of `1\n`.
    const ZERO: &str = "9a271f2a916b0b6ee6cecb2426f0b3206ef074578be55d9bc94f6f3fe3ab86aa";
    const ONE: &str = "4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865";
    run(|store| async move {
        start(&store, "s", None).await;
        let with = |id: &str, path: &str, before: &str, after: &str| RecordParams {
            before_hash: Some(before.to_owned()),
            after_hash: Some(after.to_owned()),
            ..params(id, "s", path, &line("0", "1"))
        };
        record(&store, with("e1", "/x", &ZERO.to_uppercase(), ONE)).await.expect("ok");
        assert_eq!(content(&store, "/x", Some("0\n")).await.1.as_deref(), Some("1\n"));
        for (id, path, before, after, what, expected, actual) in [
            ("e2", "/y", ONE, ONE, MisfitPart::BeforeHash, ONE, ZERO),
            ("e3", "/z", ZERO, ZERO, MisfitPart::AfterHash, ZERO, ONE),
        ] {
            record(&store, with(id, path, before, after)).await.expect("ok");
            let misfit = misfit(replay(&store, asked(path, Some("0\n"))).await);
            assert_eq!((misfit.edit_id.as_str(), misfit.what, misfit.hunk), (id, what, None));
            assert_eq!(misfit.expected.as_deref(), Some(expected));
            assert_eq!(misfit.actual.as_deref(), Some(actual));
        }
        store.close().await.expect("closed");
    });
}

#[test]
fn a_record_is_retried_and_never_changed() {
    run(|store| async move {
        start(&store, "s", None).await;
        start(&store, "t", None).await;
        let first = rename("e", "s", "/a", "/b", &line("0", "1"));
        let stored = record(&store, first.clone()).await.expect("records");
        assert_eq!(record(&store, first.clone()).await.expect("is retried"), stored);
        let hash = Some("0".repeat(64));
        for (other, field) in [
            (RecordParams { session_id: session_id("t"), ..first.clone() }, "session_id"),
            (RecordParams { file_path: "/a/".to_owned(), ..first.clone() }, "file_path"),
            (RecordParams { diff: line("0", "2"), ..first.clone() }, "diff"),
            (RecordParams { new_path: Some("/c".to_owned()), ..first.clone() }, "new_path"),
            (RecordParams { before_hash: hash.clone(), ..first.clone() }, "before_hash"),
            (RecordParams { after_hash: hash, ..first.clone() }, "after_hash"),
            (params("e", "s", "/a", &line("0", "1")), "kind"),
        ] {
            let error = record(&store, other).await.expect_err("is refused");
            assert!(matches!(error, Error::Conflict { .. }), "{error}");
            assert!(error.to_string().ends_with(&format!("another {field}")), "{field}: {error}");
        }
        assert_eq!(ids(&store, all(None, Some("s"), None)).await, ["e"]);
        store.close().await.expect("closed");
    });
}

#[test]
fn a_projects_replay_takes_its_own_edits_alone() {
    run(|store| async move {
        open_project(&store, "p").await;
        open_project(&store, "q").await;
        start(&store, "s", Some("p")).await;
        start(&store, "t", Some("q")).await;
        record(&store, params("e1", "s", "src/x", &line("0", "1"))).await.expect("ok");
        record(&store, params("e2", "t", "src/x", &line("0", "2"))).await.expect("ok");
        for (project, content) in [("p", "1\n"), ("q", "2\n")] {
            let asked = ReplayParams {
                project_id: ProjectId::parse(project).ok(),
                ..asked("src/x", Some("0\n"))
            };
            let replayed = replay(&store, asked).await.expect("replays");
            assert_eq!(replayed.content.as_deref(), Some(content));
        }
        assert_eq!(misfit(replay(&store, asked("src/x", Some("0\n"))).await).edit_id, "e2");
        store.close().await.expect("closed");
    });
}

#[test]
fn what_is_out_of_form_is_refused_with_the_field() {
    let diff = line("0", "1");
    let plain = || params("e", "s", "/x", &diff);
    let renames = "diff --git a/x b/y\nrename from x\nrename to y\n";
    let new = "--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+1\n";
    for (params, field) in [
        (RecordParams { file_path: String::new(), ..plain() }, "file_path"),
        (RecordParams { file_path: "/x\n".to_owned(), ..plain() }, "file_path"),
        (RecordParams { new_path: Some("/y".to_owned()), ..plain() }, "new_path"),
        (RecordParams { kind: EditKind::Rename, ..plain() }, "new_path"),
        (RecordParams { diff: String::new(), ..plain() }, "diff"),
        (RecordParams { diff: "0 to 1".to_owned(), ..plain() }, "diff"),
        (RecordParams { diff: renames.to_owned(), ..plain() }, "kind"),
        (rename("e", "s", "/x", "/y", new), "diff"),
        (RecordParams { before_hash: Some("0".repeat(63)), ..plain() }, "before_hash"),
        (RecordParams { after_hash: Some("g".repeat(64)), ..plain() }, "after_hash"),
    ] {
        assert_eq!(blamed(params.check()), field);
    }
    // At the limit, and one past it.
    let long = |bytes: usize| {
        let start = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+";
        format!("{start}{}\n", "x".repeat(bytes - start.len() - 1))
    };
    RecordParams { diff: long(MAX_CONTENT_BYTES), ..plain() }.check().expect("at the limit");
    let over = RecordParams { diff: long(MAX_CONTENT_BYTES + 1), ..plain() };
    assert!(matches!(over.check(), Err(Error::TooLarge { .. })));
    let base = |bytes| ReplayParams { base: Some("x".repeat(bytes)), ..asked("/x", None) };
    base(MAX_CONTENT_BYTES).check().expect("at the limit");
    assert!(matches!(base(MAX_CONTENT_BYTES + 1).check(), Err(Error::TooLarge { .. })));
}

#[test]
fn a_replay_has_a_limit_of_bytes_and_of_edits() {
    let home = Home::new();
    // Turso, whose code is not optimised in tests, would take ten seconds for so many writes.
    let store = open_store(&home, EngineKind::Sqlite);
    runtime().block_on(async {
        start(&store, "s", None).await;
        let insert = "--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+x\n";
        record(&store, params("e", "s", "/x", insert)).await.expect("ok");
        let base = |bytes| "y".repeat(bytes);
        let at = base(MAX_CONTENT_BYTES - 2);
        let replayed = replay(&store, asked("/x", Some(&at))).await.expect("at the limit");
        assert_eq!(replayed.content.map(|content| content.len()), Some(MAX_CONTENT_BYTES));
        let over = replay(&store, asked("/x", Some(&base(MAX_CONTENT_BYTES - 1)))).await;
        assert!(matches!(over.expect_err("is refused"), Error::ResultTooLarge { .. }));
        for past in [0, 1] {
            let from = if past == 0 { 0 } else { MAX_REPLAY_EDITS };
            count_up(&store, from..MAX_REPLAY_EDITS + past).await;
            let replayed = replay(&store, asked("/many", Some("0\n"))).await;
            if past == 0 {
                assert_eq!(replayed.expect("at the limit").edits.len(), MAX_REPLAY_EDITS);
            } else {
                let error = replayed.expect_err("is refused");
                assert!(matches!(error, Error::InvalidParams { .. }), "{error}");
            }
        }
        store.close().await.expect("closed");
    });
}

/// What happens to the files of a folder.
#[derive(Debug, Clone)]
enum Operation {
    Write {
        path: u8,
        content: String,
    },
    Delete {
        path: u8,
    },
    /// Also over another file.
    Rename {
        from: u8,
        to: u8,
        diff: bool,
    },
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let path = 0_u8..5;
    let operation = prop_oneof![
        5 => (path.clone(), "[a-c\n]{0,6}").prop_map(|(path, content)| Operation::Write { path, content }),
        1 => path.clone().prop_map(|path| Operation::Delete { path }),
        3 => (path.clone(), path, any::<bool>()).prop_map(|(from, to, diff)| Operation::Rename { from, to, diff }),
    ];
    proptest::collection::vec(operation, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each file there is at the end is what the replay of its path gives, however it came there.
    #[test]
    fn every_file_of_a_folder_is_replayed_by_the_path_it_has(operations in operations()) {
        for engine in ENGINES {
            let home = Home::new();
            runtime().block_on(async {
                let store = open_store(&home, engine);
                start(&store, "s", None).await;
                start(&store, "t", None).await;
                let name = |path: u8| format!("/p/{path}");
                let mut files: BTreeMap<u8, String> = BTreeMap::new();
                for (number, operation) in operations.iter().cloned().enumerate() {
                    let (id, session) = (format!("e{number}"), ["s", "t"][number % 2]);
                    let edit = match operation {
                        Operation::Write { path, content } => {
                            let old = files.insert(path, content.clone());
                            if old.as_ref() == Some(&content) {
                                continue;
                            }
                            params(&id, session, &name(path), &whole(old.as_deref(), Some(&content)))
                        }
                        Operation::Delete { path } => {
                            let Some(old) = files.remove(&path) else { continue };
                            params(&id, session, &name(path), &whole(Some(&old), None))
                        }
                        Operation::Rename { from, to, diff } => {
                            if from == to {
                                continue;
                            }
                            let Some(old) = files.remove(&from) else { continue };
                            let new = if diff { format!("{old}\nx{number}") } else { old.clone() };
                            let diff = if diff { whole(Some(&old), Some(&new)) } else { String::new() };
                            files.insert(to, new);
                            rename(&id, session, &name(from), &name(to), &diff)
                        }
                    };
                    record(&store, edit).await.expect("records");
                }
                for (path, content) in &files {
                    let replayed = replay(&store, asked(&name(*path), None)).await;
                    let replayed = replayed.map_err(|error| TestCaseError::fail(format!("{path}: {error}")))?;
                    prop_assert_eq!(replayed.content.as_ref(), Some(content), "{:?}: {}", engine, path);
                    prop_assert_eq!(replayed.file_path, name(*path));
                }
                store.close().await.expect("closed");
                Ok(())
            })?;
        }
    }
}

/// A misfit over the wire: a client finds the edit and the place in the data.
#[test]
fn the_answer_to_a_hunk_that_does_not_fit_names_it() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    let diff = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+A\n@@ -3,2 +3,2 @@\n c\n-d\n+D\n";
    client.call(
        "edit.record",
        json!({"id": "e", "session_id": "s", "file_path": "/x", "kind": "replace", "diff": diff}),
    );
    let error = client.fail("edit.replay", json!({"file_path": "/x", "base": "a\nb\nc\nd\r\n"}));
    assert_eq!(error_kind(&error), "conflict");
    assert_eq!(
        error["data"],
        json!({"kind": "conflict", "retryable": false, "edit_id": "e", "file_path": "/x",
            "what": "diff", "hunk": 2, "line": 4, "expected": "d\n", "actual": "d\r\n"})
    );
}

/// No param is to blame for what a file grows to, so none is named.
#[test]
fn the_answer_to_a_content_that_grows_too_large_names_the_edit_and_no_field() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    let diff = "--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+x\n";
    client.call(
        "edit.record",
        json!({"id": "e", "session_id": "s", "file_path": "/x", "kind": "insert", "diff": diff}),
    );
    let base = "y".repeat(MAX_CONTENT_BYTES);
    let error = client.fail("edit.replay", json!({"file_path": "/x", "base": base}));
    assert_eq!(
        error["data"],
        json!({"kind": "too_large", "retryable": false, "limit": MAX_CONTENT_BYTES,
            "actual": MAX_CONTENT_BYTES + 2})
    );
    let text = error["message"].as_str().expect("a text");
    assert!(text.starts_with("the content after edit \"e\" is "), "{text}");
}
