//! Lists of edits: by file, session and project, page by page, on both engines.

use aetherd::api::edit::{ListParams, Order};
use aetherd::api::session;
use aetherd::config::EngineKind;
use aetherd::error::Error;
use aetherd::model::ProjectId;
use aetherd::store::{sessions, status, trash};

use crate::support::edits::{
    all, content, ids, line, list, open_project, params, record, rename, run, session_id, start,
    trash,
};
use crate::support::{Home, open_store, runtime};

#[test]
fn edits_are_listed_by_file_session_and_project_page_by_page() {
    run(|store| async move {
        open_project(&store, "p").await;
        open_project(&store, "q").await;
        start(&store, "s", Some("p")).await;
        start(&store, "t", Some("q")).await;
        start(&store, "u", None).await;
        let mut recorded: Vec<(String, &str, &str)> = Vec::new();
        for number in 0..30 {
            let (session, file) = (["s", "t", "u"][number % 3], ["/x", "/y"][number % 2]);
            let id = format!("e{:02}", (number * 7) % 30);
            record(&store, params(&id, session, file, &line("0", "1"))).await.expect("ok");
            recorded.push((id, session, file));
        }
        let expect = |of: &dyn Fn(&str, &str) -> bool| -> Vec<String> {
            let found = recorded.iter().filter(|(_, session, file)| of(session, file));
            found.map(|(id, ..)| id.clone()).collect()
        };
        for limit in [1, 3, 50] {
            for (list, mut expected) in [
                (all(Some("/x"), None, None), expect(&|_, file| file == "/x")),
                (all(Some("/x"), Some("s"), None), expect(&|s, file| s == "s" && file == "/x")),
                (all(Some("/y"), None, Some("q")), expect(&|s, file| s == "t" && file == "/y")),
                (all(None, Some("u"), None), expect(&|session, _| session == "u")),
                (all(None, None, Some("p")), expect(&|session, _| session == "s")),
                (all(Some("/none"), None, None), Vec::new()),
            ] {
                let list = ListParams { limit, ..list };
                assert_eq!(ids(&store, list.clone()).await, expected);
                expected.reverse();
                assert_eq!(
                    ids(&store, ListParams { order: Order::Newest, ..list }).await,
                    expected
                );
            }
        }
        // A session's edits go with it to another project.
        let moved = session::UpdateParams {
            id: session_id("u"),
            title: None,
            description: None,
            model: None,
            system_prompt: None,
            project_id: Some(ProjectId::parse("p").ok()),
            metadata: None,
            archived: None,
            pinned: None,
        };
        store.write(move |tx| sessions::update(tx, &moved)).await.expect("updates");
        assert_eq!(ids(&store, all(None, None, Some("p"))).await, expect(&|s, _| s != "t"));
        store.close().await.expect("closed");
    });
}

#[test]
fn no_list_misses_an_edit_behind_a_purge_of_the_newest() {
    run(|store| async move {
        open_project(&store, "p").await;
        start(&store, "kept", Some("p")).await;
        record(&store, params("k", "kept", "/x", &line("0", "1"))).await.expect("ok");
        for round in 0..3 {
            // A purge of few edits behind one of many: the most that was given counts.
            let session = format!("s{round}");
            start(&store, &session, Some("p")).await;
            for number in 0..9 - 3 * round {
                let id = format!("e{round}{number}");
                record(&store, params(&id, &session, "/x", &line("0", "1"))).await.expect("ok");
            }
            let count = 3 + round;
            let first = ListParams { limit: count, ..all(None, None, Some("p")) };
            let page = list(&store, first).await.expect("a page");
            assert!(page.next_cursor.is_some(), "there is more");
            let purge = session::DeleteParams { id: session_id(&session), purge: true };
            store.write(move |tx| trash::delete(tx, &purge)).await.expect("purges");
            let id = format!("k{round}");
            record(&store, params(&id, "kept", "/x", &line("0", "1"))).await.expect("ok");
            let next = ListParams { cursor: page.next_cursor, ..all(None, None, Some("p")) };
            assert_eq!(ids(&store, next).await, [id]);
        }
        store.close().await.expect("closed");
    });
}

#[test]
fn the_trash_hides_the_edits_of_a_session() {
    run(|store| async move {
        open_project(&store, "p").await;
        start(&store, "s", Some("p")).await;
        start(&store, "t", Some("p")).await;
        record(&store, params("e1", "s", "/x", &line("0", "1"))).await.expect("ok");
        record(&store, params("e2", "t", "/x", &line("0", "2"))).await.expect("ok");
        trash(&store, "s").await;
        assert_eq!(ids(&store, all(Some("/x"), None, None)).await, ["e2"]);
        assert_eq!(ids(&store, all(None, None, Some("p"))).await, ["e2"]);
        let error = list(&store, all(None, Some("s"), None)).await.expect_err("is refused");
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
        assert_eq!(content(&store, "/x", Some("0\n")).await.1.as_deref(), Some("2\n"));
        let again = record(&store, params("e3", "s", "/x", &line("0", "1"))).await;
        assert!(matches!(again.expect_err("is refused"), Error::NotFound { .. }));
        store.close().await.expect("closed");
    });
}

/// The edits of a path are those that have it before the edit or after it, each once, in order.
#[test]
fn a_rename_is_listed_by_its_new_path_too() {
    run(|store| async move {
        open_project(&store, "p").await;
        start(&store, "s", Some("p")).await;
        start(&store, "t", None).await;
        let mut recorded: Vec<(String, &str)> = Vec::new();
        for number in 0..40 {
            let (id, session) = (format!("e{number:02}"), ["s", "t"][number / 2 % 2]);
            // Runs of arrivals, and of others, longer than some pages and shorter than others.
            let (edit, is_of_x) = match number {
                0..8 | 20..24 | 36 => (rename(&id, session, "/y", "/p/./x", ""), true),
                8..12 | 30..36 => (params(&id, session, "/p/x", &line("0", "1")), true),
                // To its own path, under another name of it: once, though both paths are it.
                12 | 37 => (rename(&id, session, "/p/x", "/p//x", ""), true),
                13 | 38 => (rename(&id, session, "/p/x", "/z", ""), true),
                _ if number % 2 == 0 => (rename(&id, session, "/z", "/p/x", ""), true),
                _ => (params(&id, session, "/y", &line("0", "1")), false),
            };
            record(&store, edit).await.expect("records");
            if is_of_x {
                recorded.push((id, session));
            }
        }
        let expect = |session: Option<&str>| -> Vec<String> {
            let of = |(_, of): &&(String, &str)| session.is_none_or(|session| session == *of);
            recorded.iter().filter(of).map(|(id, _)| id.clone()).collect()
        };
        assert!(expect(Some("s")).len() > 8 && expect(None).len() > 25);
        for limit in [1, 2, 3, 7, 8, 50] {
            for (list, mut expected) in [
                (all(Some("/p/x"), None, None), expect(None)),
                (all(Some("/p/x"), Some("t"), None), expect(Some("t"))),
                (all(Some("/p/x"), None, Some("p")), expect(Some("s"))),
            ] {
                let list = ListParams { limit, ..list };
                assert_eq!(ids(&store, list.clone()).await, expected, "{limit}");
                expected.reverse();
                let newest = ListParams { order: Order::Newest, ..list };
                assert_eq!(ids(&store, newest).await, expected, "{limit}");
            }
        }
        store.close().await.expect("closed");
    });
}

/// A page that ends early for its bytes goes on with the very next edit of both lists.
#[test]
fn long_edits_by_both_paths_are_listed_without_a_gap() {
    let home = Home::new();
    // Turso, whose code is not optimised in tests, would take ten seconds for so many bytes.
    let store = open_store(&home, EngineKind::Sqlite);
    runtime().block_on(async {
        start(&store, "s", None).await;
        let long = line("0", &"x".repeat(5 * 1024 * 1024));
        let mut expected = Vec::new();
        for number in 0..5 {
            let id = format!("e{number}");
            let edit = match number % 3 {
                0 => rename(&id, "s", "/y", "/x", &long),
                1 => params(&id, "s", "/x", &long),
                _ => rename(&id, "s", "/z", "/x", ""),
            };
            record(&store, edit).await.expect("records");
            expected.push(id);
        }
        let first = list(&store, all(Some("/x"), None, None)).await.expect("a page");
        assert!(first.edits.len() < expected.len() && first.next_cursor.is_some());
        assert_eq!(ids(&store, all(Some("/x"), None, None)).await, expected);
        expected.reverse();
        let newest = ListParams { order: Order::Newest, ..all(Some("/x"), None, None) };
        assert_eq!(ids(&store, newest).await, expected);
        store.close().await.expect("closed");
    });
}

#[test]
fn the_status_counts_the_edits_that_are_shown() {
    run(|store| async move {
        start(&store, "s", None).await;
        start(&store, "t", None).await;
        let count = async || store.read(status::counts).await.expect("counts").edits;
        assert_eq!(count().await, 0);
        for number in 0..5 {
            let session = if number < 3 { "s" } else { "t" };
            let edit = params(&format!("e{number}"), session, "/x", &line("0", "1"));
            record(&store, edit.clone()).await.expect("records");
            // A retry, and a call that is refused, count nothing.
            record(&store, edit.clone()).await.expect("is retried");
            let other =
                record(&store, params(&format!("e{number}"), session, "/y", &line("0", "1")));
            assert!(matches!(other.await, Err(Error::Conflict { .. })));
            assert_eq!(count().await, number + 1);
        }
        trash(&store, "s").await;
        assert_eq!(count().await, 2);
        let restored = session::IdParams { id: session_id("s") };
        store.write(move |tx| trash::restore(tx, &restored)).await.expect("restores");
        assert_eq!(count().await, 5);
        let purged = session::DeleteParams { id: session_id("t"), purge: true };
        store.write(move |tx| trash::delete(tx, &purged)).await.expect("purges");
        assert_eq!(count().await, 3);
        store.close().await.expect("closed");
    });
}
