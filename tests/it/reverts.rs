//! Undoing edits, through the store on both engines.

use aetherd::api::Check;
use aetherd::api::edit::{
    ConflictPart, RecordParams, RevertConflict, RevertOutcome, RevertParams, Reverted,
};
use aetherd::config::EngineKind;
use aetherd::error::{Error, Result};
use aetherd::model::limits::{
    MAX_CONTENT_BYTES, MAX_LISTED_CONFLICTS, MAX_REPLAY_EDITS, MAX_REVERT_IDS, MAX_TIME,
};
use aetherd::model::{EditId, ProjectId};
use aetherd::store::{Store, revert};
use serde_json::json;

use crate::support::edits::{
    asked, blamed, count_up, line, open_project, params, record, rename, replay, run, session_id,
    start, trash,
};
use crate::support::{Home, error_kind, open_store, runtime};

fn edit_id(id: &str) -> EditId {
    EditId::parse(id).expect("an id")
}

/// Asks for nothing to be undone, which a caller then says.
fn nothing(file_path: &str, content: Option<&str>) -> RevertParams {
    RevertParams {
        file_path: file_path.to_owned(),
        content: content.map(str::to_owned),
        edit_ids: None,
        session_id: None,
        since: None,
        base: None,
        project_id: None,
    }
}

fn these(file_path: &str, content: Option<&str>, ids: &[&str]) -> RevertParams {
    let edit_ids = Some(ids.iter().map(|id| edit_id(id)).collect());
    RevertParams { edit_ids, ..nothing(file_path, content) }
}

async fn undo(store: &Store, params: RevertParams) -> Result<Reverted> {
    params.check()?;
    store.read(move |tx| revert::revert(tx, &params)).await
}

/// The path and the content without the edits, and which those are.
async fn undone(store: &Store, params: RevertParams) -> (String, Option<String>, Vec<String>) {
    let reverted = undo(store, params).await.expect("is answered");
    assert_eq!((&reverted.conflicts, reverted.conflict_count), (&Vec::new(), 0));
    let has_content = reverted.outcome == RevertOutcome::File;
    assert_eq!((reverted.content.is_some(), reverted.hash.is_some()), (has_content, has_content));
    let edits = reverted.edits.iter().map(ToString::to_string).collect();
    (reverted.file_path, reverted.content, edits)
}

async fn conflicts(store: &Store, params: RevertParams) -> Vec<RevertConflict> {
    let reverted = undo(store, params).await.expect("is answered");
    assert_eq!(reverted.outcome, RevertOutcome::Conflicts, "{reverted:?}");
    assert_eq!((reverted.content, reverted.hash, reverted.edits), (None, None, Vec::new()));
    assert_eq!(reverted.conflict_count, reverted.conflicts.len() as u64);
    reverted.conflicts
}

fn hunk(hunk: &str) -> String {
    format!("--- a/x\n+++ b/x\n{hunk}")
}

const BASE: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
const NOW: &str = "one\n2\n3\n4\nfive\n6\n7\n8\nnine\n";

/// Three edits that do not touch each other, the first and the last of one session.
async fn three_edits(store: &Store, file_path: &str) -> Vec<aetherd::model::Edit> {
    start(store, "s", None).await;
    start(store, "t", None).await;
    let mut recorded = Vec::new();
    for (id, session, at, word) in
        [("e1", "s", 1, "one"), ("e2", "t", 5, "five"), ("e3", "s", 9, "nine")]
    {
        let diff = hunk(&format!("@@ -{at} +{at} @@\n-{at}\n+{word}\n"));
        recorded.push(record(store, params(id, session, file_path, &diff)).await.expect("ok"));
    }
    recorded
}

#[test]
fn edits_are_undone_by_id_by_session_and_by_time() {
    run(|store| async move {
        let recorded = three_edits(&store, "/p/x").await;
        let without = |words: &[(&str, &str)]| {
            words.iter().fold(NOW.to_owned(), |text, (word, digit)| text.replace(word, digit))
        };
        let (one, five, nine) = (("one", "1"), ("five", "5"), ("nine", "9"));
        for (params, content, edits) in [
            (these("/p/x", Some(NOW), &["e1"]), without(&[one]), vec!["e1"]),
            (these("/p/./x", Some(NOW), &["e2"]), without(&[five]), vec!["e2"]),
            // Newest first, however they are named, and each once.
            (
                these("/p/x", Some(NOW), &["e1", "e3", "e1"]),
                without(&[one, nine]),
                vec!["e3", "e1"],
            ),
            (
                RevertParams { session_id: Some(session_id("s")), ..nothing("/p/x", Some(NOW)) },
                without(&[one, nine]),
                vec!["e3", "e1"],
            ),
            (
                RevertParams { session_id: Some(session_id("t")), ..nothing("/p/x", Some(NOW)) },
                without(&[five]),
                vec!["e2"],
            ),
            (
                RevertParams { since: Some(0), ..nothing("/p/x", Some(NOW)) },
                BASE.to_owned(),
                vec!["e3", "e2", "e1"],
            ),
            (
                RevertParams {
                    since: Some(recorded[2].created_at + 1),
                    ..nothing("/p/x", Some(NOW))
                },
                NOW.to_owned(),
                vec![],
            ),
            // A file that nobody edited.
            (
                RevertParams { since: Some(0), ..nothing("/p/other", Some(NOW)) },
                NOW.to_owned(),
                vec![],
            ),
        ] {
            for base in [None, Some(BASE.to_owned())] {
                let params = RevertParams { base, ..params.clone() };
                let shown = format!("{params:?}");
                let (file_path, found, undone) = undone(&store, params.clone()).await;
                assert_eq!(
                    (found.as_deref(), undone),
                    (Some(content.as_str()), edits.iter().map(|id| (*id).to_owned()).collect()),
                    "{shown}"
                );
                assert_eq!(
                    file_path,
                    if content == NOW && edits.is_empty() {
                        params.file_path
                    } else {
                        "/p/x".to_owned()
                    }
                );
            }
        }
        // From a time on: those of its millisecond too.
        let since = recorded[1].created_at;
        let expected: Vec<String> = recorded
            .iter()
            .rev()
            .filter(|edit| edit.created_at >= since)
            .map(|edit| edit.id.to_string())
            .collect();
        let of_then = RevertParams { since: Some(since), ..nothing("/p/x", Some(NOW)) };
        assert_eq!(undone(&store, of_then).await.2, expected);
        // `printf '1\n…9\n' | sha256sum` is what a replay says of that text.
        let all = RevertParams { since: Some(0), ..nothing("/p/x", Some(NOW)) };
        let hash = replay(&store, asked("/none", Some(BASE))).await.expect("replays").hash;
        assert_eq!(undo(&store, all).await.expect("is answered").hash, hash);
        store.close().await.expect("closed");
    });
}

#[test]
fn a_conflict_names_the_edit_the_place_and_who_changed_it() {
    run(|store| async move {
        three_edits(&store, "/x").await;
        let over = hunk("@@ -5 +5 @@\n-five\n+FIVE\n");
        record(&store, params("e4", "t", "/x", &over)).await.expect("ok");
        let now = NOW.replace("five", "FIVE").replace("nine", "ten");
        let found = conflicts(&store, these("/x", Some(&now), &["e3", "e2", "e1"])).await;
        let conflict = |id: &str, line, expected: &str, actual: &str, by| RevertConflict {
            edit_id: edit_id(id),
            what: ConflictPart::Diff,
            hunk: Some(1),
            line: Some(line),
            expected: Some(expected.to_owned()),
            actual: Some(actual.to_owned()),
            changed_by: by,
        };
        assert_eq!(
            found,
            [
                conflict("e3", 9, "nine\n", "ten\n", None),
                conflict("e2", 5, "five\n", "FIVE\n", Some(edit_id("e4"))),
            ]
        );
        // With the later one undone too there is none.
        let both = undone(&store, these("/x", Some(&now), &["e2", "e4"])).await;
        assert_eq!(both.1, Some(now.replace("FIVE", "5")));
        store.close().await.expect("closed");
    });
}

#[test]
fn renames_are_followed_and_undone() {
    run(|store| async move {
        start(&store, "s", None).await;
        start(&store, "t", None).await;
        record(&store, params("e1", "s", "/x", &hunk("@@ -1 +1 @@\n-1\n+one\n")))
            .await
            .expect("ok");
        record(&store, rename("e2", "s", "/x", "/y", "")).await.expect("ok");
        record(&store, params("e3", "s", "/y", &hunk("@@ -9 +9 @@\n-9\n+nine\n")))
            .await
            .expect("ok");
        let now = NOW.replace("five", "5");
        for path in ["/x", "/y"] {
            let found = undone(&store, these(path, Some(&now), &["e1"])).await;
            assert_eq!(
                found,
                ("/y".to_owned(), Some(now.replace("one", "1")), vec!["e1".to_owned()])
            );
        }
        let found = undone(&store, these("/y", Some(&now), &["e2"])).await;
        assert_eq!(found, ("/x".to_owned(), Some(now.clone()), vec!["e2".to_owned()]));
        let all = RevertParams { session_id: Some(session_id("s")), ..nothing("/y", Some(&now)) };
        let (file_path, content, edits) = undone(&store, all).await;
        assert_eq!((file_path.as_str(), content.as_deref()), ("/x", Some(BASE)));
        assert_eq!(edits, ["e3", "e2", "e1"]);

        // Renamed once more: the first rename alone cannot be undone.
        record(&store, rename("e4", "t", "/y", "/z", "")).await.expect("ok");
        let path = |id: &str, expected: Option<&str>, actual: &str, by: &str| RevertConflict {
            edit_id: edit_id(id),
            what: ConflictPart::Path,
            hunk: None,
            line: None,
            expected: expected.map(str::to_owned),
            actual: Some(actual.to_owned()),
            changed_by: Some(edit_id(by)),
        };
        let found = conflicts(&store, these("/z", Some(&now), &["e2"])).await;
        assert_eq!(found, [path("e2", Some("/y"), "/z", "e4")]);
        assert_eq!(undone(&store, these("/z", Some(&now), &["e4"])).await.0, "/y");
        assert_eq!(undone(&store, these("/z", Some(&now), &["e2", "e4"])).await.0, "/x");
        // Another file lies where this one was, until it is deleted.
        let new = "--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+new\n";
        record(&store, params("e5", "t", "/x", new)).await.expect("ok");
        let found = conflicts(&store, these("/z", Some(&now), &["e2", "e4"])).await;
        assert_eq!(found, [path("e2", None, "/x", "e5")]);
        assert_eq!(undone(&store, these("/z", Some(&now), &["e4"])).await.0, "/y");
        let of_another = undo(&store, these("/x", Some("new\n"), &["e5", "e1"])).await;
        assert_eq!(blamed(of_another), "edit_ids[1]");
        let gone = "--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-new\n";
        record(&store, params("e6", "t", "/x", gone)).await.expect("ok");
        assert_eq!(undone(&store, these("/z", Some(&now), &["e2", "e4"])).await.0, "/x");
        store.close().await.expect("closed");
    });
}

#[test]
fn files_come_and_go_as_their_edits_are_undone() {
    run(|store| async move {
        start(&store, "s", None).await;
        let new = "--- /dev/null\n+++ b/x\n@@ -0,0 +1,2 @@\n+a\n+b\n";
        record(&store, params("e1", "s", "/x", new)).await.expect("ok");
        let found = undone(&store, these("/x", Some("a\nb\n"), &["e1"])).await;
        assert_eq!((found.1, found.2), (None, vec!["e1".to_owned()]));
        // Something was added that the edit did not make.
        let found = conflicts(&store, these("/x", Some("a\nb\nc\n"), &["e1"])).await;
        assert_eq!((found[0].expected.as_deref(), found[0].actual.as_deref()), (None, Some("c\n")));
        // There is no file, though the edit left one.
        let found = conflicts(&store, these("/x", None, &["e1"])).await;
        assert_eq!((found[0].hunk, found[0].actual.as_deref()), (None, None));
        let gone = "--- a/x\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n";
        record(&store, params("e2", "s", "/x", gone)).await.expect("ok");
        assert_eq!(undone(&store, these("/x", None, &["e2"])).await.1.as_deref(), Some("a\nb\n"));
        assert_eq!(undone(&store, these("/x", None, &["e1", "e2"])).await.1, None);
        let found = conflicts(&store, these("/x", None, &["e1"])).await;
        assert_eq!(found[0].changed_by, Some(edit_id("e2")));
        // An empty file is another thing than none.
        let found = conflicts(&store, these("/x", Some(""), &["e2"])).await;
        assert_eq!(found[0].edit_id, edit_id("e2"));
        store.close().await.expect("closed");
    });
}

#[test]
fn ends_of_lines_are_undone_to_the_byte() {
    run(|store| async move {
        start(&store, "s", None).await;
        let diff = hunk("@@ -1,2 +1,2 @@\n a\r\n-b\r\n+B\n\\ No newline at end of file\n");
        record(&store, params("e1", "s", "/x", &diff)).await.expect("ok");
        let found = undone(&store, these("/x", Some("a\r\nB"), &["e1"])).await;
        assert_eq!(found.1.as_deref(), Some("a\r\nb\r\n"));
        for (content, line, expected, actual) in [
            ("a\nB", 1, "a\r\n", "a\n"),
            ("a\r\nB\n", 2, "B", "B\n"),
            ("a\r\nB\r\n", 2, "B", "B\r\n"),
        ] {
            let [found] = conflicts(&store, these("/x", Some(content), &["e1"]))
                .await
                .try_into()
                .expect("one");
            assert_eq!(found.line, Some(line), "{found:?}");
            assert_eq!(
                (found.expected.as_deref(), found.actual.as_deref()),
                (Some(expected), Some(actual))
            );
        }
        record(&store, params("e2", "s", "/x", &hunk("@@ -0,0 +1 @@\n+x\n"))).await.expect("ok");
        let found = undone(&store, these("/x", Some("x\na\r\nB"), &["e1"])).await;
        assert_eq!(found.1.as_deref(), Some("x\na\r\nb\r\n"));
        // The line behind the last one takes its missing end: both are changed.
        let more = hunk("@@ -3 +3,2 @@\n-B\n\\ No newline at end of file\n+B\n+c\n");
        record(&store, params("e3", "s", "/x", &more)).await.expect("ok");
        let found = conflicts(&store, these("/x", Some("x\na\r\nB\nc\n"), &["e1"])).await;
        assert_eq!((found[0].line, &found[0].changed_by), (Some(3), &Some(edit_id("e3"))));
        store.close().await.expect("closed");
    });
}

#[test]
fn the_edits_of_a_project_and_of_shown_sessions_count_alone() {
    run(|store| async move {
        open_project(&store, "p").await;
        open_project(&store, "q").await;
        start(&store, "s", Some("p")).await;
        start(&store, "t", Some("q")).await;
        start(&store, "u", Some("p")).await;
        record(&store, params("e1", "s", "src/x", &line("0", "1"))).await.expect("ok");
        record(&store, params("e2", "t", "src/x", &line("0", "2"))).await.expect("ok");
        let of = |project: &str, content: &str, id: &str| RevertParams {
            project_id: ProjectId::parse(project).ok(),
            ..these("src/x", Some(content), &[id])
        };
        assert_eq!(undone(&store, of("p", "1\n", "e1")).await.1.as_deref(), Some("0\n"));
        assert_eq!(undone(&store, of("q", "2\n", "e2")).await.1.as_deref(), Some("0\n"));
        let refused = undo(&store, of("q", "2\n", "e1")).await.expect_err("is refused");
        assert!(matches!(refused, Error::InvalidParams { .. }), "{refused}");
        let none = session_id("none");
        for params in [
            of("none", "1\n", "e1"),
            of("p", "1\n", "none"),
            RevertParams { session_id: Some(none), ..nothing("src/x", Some("1\n")) },
        ] {
            let error = undo(&store, params).await.expect_err("is refused");
            assert!(matches!(error, Error::NotFound { .. }), "{error}");
        }
        // An edit of a session in the trash is none, and hinders none.
        record(&store, params("e3", "u", "src/x", &line("1", "3"))).await.expect("ok");
        let found = conflicts(&store, of("p", "3\n", "e1")).await;
        assert_eq!(found[0].changed_by, Some(edit_id("e3")));
        trash(&store, "u").await;
        assert_eq!(undone(&store, of("p", "1\n", "e1")).await.1.as_deref(), Some("0\n"));
        for params in [
            of("p", "3\n", "e3"),
            RevertParams { session_id: Some(session_id("u")), ..nothing("src/x", Some("3\n")) },
        ] {
            let error = undo(&store, params).await.expect_err("is refused");
            assert!(matches!(error, Error::NotFound { .. }), "{error}");
        }
        store.close().await.expect("closed");
    });
}

/// Among lines that are alike, an edit is undone only where nothing shows that more was changed than
/// was recorded, or where `base` tells what.
#[test]
fn recorded_hashes_show_that_lines_may_be_others() {
    const BEFORE: &str = "p\nq\nr\ns\nx\nx\nt\nx\nx\nx\n";
    const AFTER: &str = "p\nq\nr\ns\nx\nx\nx\nt\nx\nx\nx\n";
    run(|store| async move {
        start(&store, "s", None).await;
        let hash =
            async |text| replay(&store, asked("/none", Some(text))).await.expect("replays").hash;
        let (before, after) = (hash(BEFORE).await, hash(AFTER).await);
        let edit =
            |id: &str, path: &str| params(id, "s", path, &hunk("@@ -5,2 +5,3 @@\n x\n+x\n x\n"));
        let right = RecordParams { after_hash: after.clone(), ..edit("e1", "/right") };
        let wrong = RecordParams { after_hash: before.clone(), ..edit("e2", "/wrong") };
        for params in [right, wrong, edit("e3", "/none"), edit("e4", "/gap")] {
            record(&store, params).await.expect("ok");
        }
        // A gap between two edits: the second met another content than the first left.
        let first = RecordParams { after_hash: after, ..edit("e5", "/gap") };
        record(&store, first).await.expect("ok");
        let second = RecordParams {
            before_hash: before,
            ..params("e6", "s", "/gap", &hunk("@@ -1 +1 @@\n-p\n+P\n"))
        };
        record(&store, second).await.expect("ok");
        for (path, id) in [("/right", "e1"), ("/none", "e3")] {
            let found = undone(&store, these(path, Some(AFTER), &[id])).await;
            assert_eq!(found.1.as_deref(), Some(BEFORE), "{path}");
        }
        let now = AFTER.replace('p', "P");
        for (path, id, content) in [("/wrong", "e2", AFTER), ("/gap", "e5", now.as_str())] {
            let found = conflicts(&store, these(path, Some(content), &[id])).await;
            assert_eq!(
                (found[0].what, found[0].line),
                (ConflictPart::Ambiguous, Some(7)),
                "{path}"
            );
        }
        // Changed since by nobody who recorded it: where the lines are now is told by `base` alone.
        let moved = format!("new\n{AFTER}");
        conflicts(&store, these("/none", Some(&moved), &["e3"])).await;
        let known =
            RevertParams { base: Some(BEFORE.to_owned()), ..these("/none", Some(&moved), &["e3"]) };
        let found = undone(&store, known).await;
        assert_eq!(found.1, Some(format!("new\n{BEFORE}")));
        store.close().await.expect("closed");
    });
}

#[test]
fn what_is_out_of_form_is_refused_with_the_field() {
    let plain = || these("/x", Some("a\n"), &["e"]);
    let ids = |count: usize| {
        let ids = (0..count).map(|number| edit_id(&format!("e{number}"))).collect();
        RevertParams { edit_ids: Some(ids), ..plain() }
    };
    let text = |bytes: usize| Some("x".repeat(bytes));
    for (params, field) in [
        (RevertParams { file_path: String::new(), ..plain() }, "file_path"),
        (nothing("/x", None), ""),
        (RevertParams { since: Some(0), ..plain() }, ""),
        (RevertParams { session_id: Some(session_id("s")), ..plain() }, ""),
        (RevertParams { since: Some(MAX_TIME + 1), ..nothing("/x", None) }, "since"),
        (ids(0), "edit_ids"),
        (ids(MAX_REVERT_IDS + 1), "edit_ids"),
    ] {
        assert_eq!(blamed(params.check()), field);
    }
    for params in [
        ids(MAX_REVERT_IDS),
        RevertParams { since: Some(MAX_TIME), ..nothing("/x", None) },
        RevertParams { content: text(MAX_CONTENT_BYTES), base: text(MAX_CONTENT_BYTES), ..plain() },
    ] {
        params.check().expect("at the limit");
    }
    for (params, field) in [
        (RevertParams { content: text(MAX_CONTENT_BYTES + 1), ..plain() }, "content"),
        (RevertParams { base: text(MAX_CONTENT_BYTES + 1), ..plain() }, "base"),
    ] {
        match params.check().expect_err("is refused") {
            Error::TooLarge { field: found, .. } => assert_eq!(found, field),
            error => panic!("{field}: {error}"),
        }
    }
}

/// What a file holds is said, null too: left out by mistake, it would make a file seem to be none.
#[test]
fn a_revert_that_does_not_say_what_the_file_holds_is_refused() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    let error = client.fail("edit.revert", json!({"file_path": "/x", "since": 0}));
    assert_eq!(error_kind(&error), "invalid_params", "{error}");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("content")), "{error}");
    let answer =
        client.call("edit.revert", json!({"file_path": "/x", "since": 0, "content": null}));
    assert_eq!(answer["outcome"], "no_file", "{answer}");
}

#[test]
fn a_revert_has_a_limit_of_bytes_of_edits_and_of_conflicts() {
    let home = Home::new();
    // Turso, whose code is not optimised in tests, would take ten seconds for so many writes.
    let store = open_store(&home, EngineKind::Sqlite);
    runtime().block_on(async {
        start(&store, "s", None).await;
        record(&store, params("e", "s", "/x", &hunk("@@ -1 +0,0 @@\n-x\n"))).await.expect("ok");
        let content = |bytes| "y".repeat(bytes);
        let at = these("/x", Some(&content(MAX_CONTENT_BYTES - 2)), &["e"]);
        let found = undone(&store, at).await.1.expect("a file");
        assert_eq!(found.len(), MAX_CONTENT_BYTES);
        let over = these("/x", Some(&content(MAX_CONTENT_BYTES - 1)), &["e"]);
        let error = undo(&store, over).await.expect_err("is refused");
        assert!(matches!(error, Error::ResultTooLarge { .. }), "{error}");

        for count in [MAX_LISTED_CONFLICTS, MAX_LISTED_CONFLICTS + 1] {
            let hunks: String =
                (0..count).map(|at| format!("@@ -{0} +{0} @@\n-a\n+b\n", 2 * at + 1)).collect();
            let (id, path) = (format!("c{count}"), format!("/{count}"));
            record(&store, params(&id, "s", &path, &hunk(&hunks))).await.expect("ok");
            let now = "c\n".repeat(2 * count);
            let reverted =
                undo(&store, these(&path, Some(&now), &[&id])).await.expect("is answered");
            assert_eq!(reverted.conflict_count, count as u64);
            assert_eq!(reverted.conflicts.len(), MAX_LISTED_CONFLICTS);
            let hunks = reverted.conflicts.iter().map(|conflict| conflict.hunk);
            assert!(hunks.eq((1..=MAX_LISTED_CONFLICTS as u64).map(Some)));
        }

        for past in [0, 1] {
            let from = if past == 0 { 0 } else { MAX_REPLAY_EDITS };
            let to = MAX_REPLAY_EDITS + past;
            count_up(&store, from..to).await;
            let now = format!("{to}\n");
            let all = RevertParams { since: Some(0), ..nothing("/many", Some(&now)) };
            if past == 0 {
                let (_, content, edits) = undone(&store, all).await;
                assert_eq!((content.as_deref(), edits.len()), (Some("0\n"), MAX_REPLAY_EDITS));
            } else {
                assert_eq!(blamed(undo(&store, all).await), "since");
                // Those before the first that is meant do not count.
                let found = conflicts(&store, these("/many", Some(&now), &["n1"])).await;
                assert_eq!(found[0].changed_by, Some(edit_id(&format!("n{}", to - 1))));
            }
        }
        store.close().await.expect("closed");
    });
}
