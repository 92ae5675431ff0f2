//! Projects that move: what an open takes for which project, and the store against a naive model.

use aetherd::api::project::{FoundBy, OpenParams, Opened, RelocateParams};
use aetherd::error::Error;
use aetherd::model::limits::{MAX_FORMER_PATHS, MAX_RELATED};
use aetherd::model::{Project, ProjectId, Sighting, Sightings, Topic};
use aetherd::store::{Store, changes, places, projects};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{ENGINES, Home, LineClient, error_kind, open_store, runtime};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn params(path: &str, remote: Option<&str>) -> OpenParams {
    OpenParams {
        path: path.to_owned(),
        git_remote: remote.map(str::to_owned),
        ..OpenParams::default()
    }
}

/// What is seen where just these folders are there.
fn there(folders: &[&str], gone: &[&str]) -> Sightings {
    let mut seen = Sightings::default();
    for folder in folders {
        seen.add((*folder).to_owned(), Sighting::There);
    }
    for folder in gone {
        seen.add((*folder).to_owned(), Sighting::Gone);
    }
    seen
}

async fn open(store: &Store, params: OpenParams, seen: Sightings) -> Result<Opened, Error> {
    store.write(move |tx| places::open(tx, &params, &seen)).await
}

async fn relocate(store: &Store, id: &ProjectId, path: &str) -> Result<Project, Error> {
    let params = RelocateParams { id: id.clone(), path: path.to_owned() };
    store.write(move |tx| places::relocate(tx, &params)).await
}

async fn remove(store: &Store, id: &ProjectId) -> Result<bool, Error> {
    let id = id.clone();
    store.write(move |tx| projects::remove(tx, &id)).await
}

fn run<F: Future<Output = ()>>(test: impl Fn(Store) -> F) {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(test(open_store(&home, engine)));
    }
}

const REMOTE: Option<&str> = Some("git@github.com:me/shop.git");

fn related_ids(opened: &Opened) -> Vec<&str> {
    opened.related.iter().map(|related| related.id.as_str()).collect()
}

#[test]
fn a_moved_folder_keeps_its_project_and_the_answer_says_so() {
    run(|store| async move {
        let first = open(&store, params("/old/shop", REMOTE), there(&["/old/shop"], &[]))
            .await
            .expect("opens");
        assert_eq!((first.created, first.found_by, first.moved_from), (true, None, None));
        assert_eq!(first.project.git_remote.as_deref(), Some("github.com/me/shop"));
        // By another address of the same remote.
        let https = Some("https://me:token@github.com/me/shop");
        let seen = there(&["/new/store"], &["/old/shop"]);
        let moved = open(&store, params("/new/store", https), seen.clone()).await.expect("opens");
        assert_eq!(moved.project.id, first.project.id);
        assert_eq!((moved.created, moved.found_by), (false, Some(FoundBy::Repository)));
        assert_eq!(moved.moved_from.as_deref(), Some("/old/shop"));
        assert_eq!(moved.related, []);
        let Project { path, former_paths, name, .. } = &moved.project;
        assert_eq!(
            (path.as_str(), former_paths.as_slice(), name.as_str()),
            ("/new/store", &["/old/shop".to_owned()][..], "store")
        );
        // The same call again finds it there.
        let again = open(&store, params("/new/store", https), seen).await.expect("opens");
        assert_eq!((again.found_by, again.moved_from), (Some(FoundBy::Path), None));
        assert_eq!(
            Project { opened_at: 0, ..again.project.clone() },
            Project { opened_at: 0, ..moved.project }
        );
        // And back: now also without a repository.
        let seen = there(&["/old/shop"], &["/new/store"]);
        let back = open(&store, params("/old/shop/", None), seen.clone()).await.expect("opens");
        assert!(back.created, "another spelling was seen, not this one");
        remove(&store, &back.project.id).await.expect("removes");
        store.close().await.expect("closed");
    });
}

#[test]
fn a_folder_that_is_back_where_it_was_is_known_without_a_repository() {
    run(|store| async move {
        let first = open(&store, params("/a/notes", None), there(&[], &[])).await.expect("opens");
        relocate(&store, &first.project.id, "/b/notes").await.expect("moves");
        // As long as it is where it is, what is at its old place is another one.
        let seen = there(&["/a/notes", "/b/notes"], &[]);
        let other = open(&store, params("/a/notes", None), seen).await.expect("opens");
        assert!(other.created);
        let [related] = other.related.as_slice() else { panic!("{other:?}") };
        assert_eq!((&related.id, related.by), (&first.project.id, FoundBy::FormerPath));
        assert_eq!((related.path.as_str(), related.folder), ("/b/notes", Sighting::There));
        relocate(&store, &other.project.id, "/c/other").await.expect("moves");
        let seen = there(&["/a/notes", "/c/other"], &["/b/notes"]);
        let back = open(&store, params("/a/notes", None), seen).await.expect("opens");
        assert_eq!(
            (&back.project.id, back.found_by),
            (&first.project.id, Some(FoundBy::FormerPath))
        );
        assert_eq!(back.moved_from.as_deref(), Some("/b/notes"));
        assert_eq!(back.project.former_paths, ["/b/notes"]);
        assert_eq!(related_ids(&back), [other.project.id.as_str()]);
        store.close().await.expect("closed");
    });
}

/// Two folders of one repository that are both there: neither takes the other's history, in any order.
#[test]
fn clones_and_worktrees_stay_two_projects() {
    run(|store| async move {
        let both = || there(&["/shop", "/worktrees/fix"], &[]);
        let main = open(&store, params("/shop", REMOTE), both()).await.expect("opens").project;
        let tree = open(&store, params("/worktrees/fix", REMOTE), both()).await.expect("opens");
        assert!(tree.created);
        assert_eq!(related_ids(&tree), [main.id.as_str()]);
        assert_eq!(tree.related[0].by, FoundBy::Repository);
        for _ in 0..2 {
            for (path, id, other) in [
                ("/shop", &main.id, &tree.project.id),
                ("/worktrees/fix", &tree.project.id, &main.id),
            ] {
                let opened = open(&store, params(path, REMOTE), both()).await.expect("opens");
                assert_eq!((&opened.project.id, opened.found_by), (id, Some(FoundBy::Path)));
                assert_eq!(related_ids(&opened), [other.as_str()]);
                assert_eq!(opened.project.path, path);
            }
        }
        // The worktree is gone, and a new one beside the clone is not it.
        let seen = || there(&["/shop", "/worktrees/feature"], &["/worktrees/fix"]);
        let next = open(&store, params("/worktrees/feature", REMOTE), seen()).await.expect("opens");
        assert!(next.created);
        assert_eq!(next.related.len(), 2);
        // All are moved with the folder above: each is known by its name.
        let gone = ["/shop", "/worktrees/fix", "/worktrees/feature"];
        for (path, id) in [
            ("/away/worktrees/fix", &tree.project.id),
            ("/away/shop", &main.id),
            ("/away/worktrees/feature", &next.project.id),
        ] {
            let opened =
                open(&store, params(path, REMOTE), there(&[path], &gone)).await.expect("opens");
            assert_eq!(
                (&opened.project.id, opened.found_by),
                (id, Some(FoundBy::Repository)),
                "{path}"
            );
        }
        store.close().await.expect("closed");
    });
}

#[test]
fn where_more_than_one_may_be_meant_none_is_taken() {
    run(|store| async move {
        let gone = ["/a/shop", "/b/shop"];
        for path in gone {
            assert!(
                open(&store, params(path, REMOTE), there(&gone, &[])).await.expect("opens").created
            );
        }
        for path in ["/c/shop", "/c/store"] {
            let opened =
                open(&store, params(path, REMOTE), there(&[path], &gone)).await.expect("opens");
            assert!(opened.created, "{path}");
            assert!(opened.related.len() >= 2, "a person is told and can relocate");
            remove(&store, &opened.project.id).await.expect("removes");
            relocate(&store, &opened.project.id, "/rest").await.expect("moves");
        }
        store.close().await.expect("closed");
    });
}

#[test]
fn a_project_on_the_list_is_taken_before_one_off_it() {
    run(|store| async move {
        let gone = ["/a/shop", "/b/shop"];
        let mut ids = Vec::new();
        for path in gone {
            ids.push(
                open(&store, params(path, REMOTE), there(&gone, &[]))
                    .await
                    .expect("opens")
                    .project
                    .id,
            );
        }
        remove(&store, &ids[1]).await.expect("removes");
        let seen = there(&["/c"], &gone);
        let moved = open(&store, params("/c", REMOTE), seen).await.expect("opens");
        assert_eq!((&moved.project.id, related_ids(&moved)), (&ids[0], vec![ids[1].as_str()]));
        assert!(moved.related[0].removed_at.is_some());
        // Alone it is brought back, as by its path.
        remove(&store, &ids[0]).await.expect("removes");
        relocate(&store, &ids[0], "/there").await.expect("moves");
        let none = open(&store, params("/d", REMOTE), there(&["/d", "/there"], &["/b/shop"]))
            .await
            .expect("opens");
        assert!(none.created, "another one is there");
        store.close().await.expect("closed");
    });
}

#[test]
fn what_is_not_seen_for_sure_moves_nothing() {
    run(|store| async move {
        let first =
            open(&store, params("/old", REMOTE), there(&[], &[])).await.expect("opens").project;
        let mut number = 0;
        for seen in [
            Sightings::default(),
            // A folder that only the client sees, such as one in a container.
            there(&[], &["/old"]),
            there(&["/new"], &[]),
            there(&["/new", "/old"], &[]),
        ] {
            number += 1;
            let opened = open(&store, params("/new", REMOTE), seen).await.expect("opens");
            assert!(opened.created || number > 1);
            assert_ne!(opened.project.id, first.id);
            assert_eq!(related_ids(&opened), [first.id.as_str()]);
        }
        let stored = store.read(move |tx| projects::get(tx, &first.id)).await.expect("a project");
        assert_eq!(stored.path, "/old");
        store.close().await.expect("closed");
    });
}

#[test]
fn an_id_says_that_no_other_project_is_meant() {
    run(|store| async move {
        let first =
            open(&store, params("/old", REMOTE), there(&[], &[])).await.expect("opens").project;
        let seen = || there(&["/new"], &["/old"]);
        let with_id =
            |id: &str| OpenParams { id: ProjectId::parse(id).ok(), ..params("/new", REMOTE) };
        let other = open(&store, with_id("mine"), seen()).await.expect("opens");
        assert_eq!((other.created, other.project.id.as_str()), (true, "mine"));
        assert_eq!(related_ids(&other), [first.id.as_str()]);
        let error = open(&store, with_id("third"), seen()).await.expect_err("is refused");
        assert!(matches!(error, Error::Conflict { .. }), "{error}");
        relocate(&store, &other.project.id, "/rest").await.expect("moves");
        let seen = there(&["/new"], &["/old", "/rest"]);
        // Of two that are gone, the one of the id... which is not known for sure, so it is a conflict.
        let error = open(&store, with_id(first.id.as_str()), seen).await.expect_err("is refused");
        assert!(error.to_string().contains("exists with the folder"), "{error}");
        store.close().await.expect("closed");
    });
}

#[test]
fn a_repository_is_told_by_all_that_is_known_of_it() {
    let other_commit = COMMIT.replace('0', "f");
    let longer = "ab".repeat(32);
    let fork = "git@github.com:you/shop.git";
    for (stored, sent, moves, related) in [
        ((REMOTE, None), (REMOTE, None), true, true),
        ((None, Some(COMMIT)), (None, Some(COMMIT)), true, true),
        ((REMOTE, Some(COMMIT)), (REMOTE, Some(COMMIT)), true, true),
        ((REMOTE, None), (REMOTE, Some(COMMIT)), true, true),
        ((REMOTE, Some(COMMIT)), (None, Some(COMMIT)), true, true),
        ((REMOTE, Some(&longer)), (REMOTE, Some(&longer)), true, true),
        // A fork has the same first commit, a new repository may have the address of an old one.
        ((REMOTE, Some(COMMIT)), (Some(fork), Some(COMMIT)), false, true),
        ((REMOTE, Some(COMMIT)), (REMOTE, Some(other_commit.as_str())), false, true),
        ((REMOTE, None), (None, Some(COMMIT)), false, false),
        ((REMOTE, Some(COMMIT)), (Some(fork), Some(other_commit.as_str())), false, false),
        ((None, None), (REMOTE, Some(COMMIT)), false, false),
        ((REMOTE, Some(COMMIT)), (None, None), false, false),
    ] {
        run(|store| async move {
            let with = |path: &str, (remote, commit): (Option<&str>, Option<&str>)| OpenParams {
                git_root_commit: commit.map(str::to_uppercase),
                ..params(path, remote)
            };
            let first = open(&store, with("/old", stored), there(&[], &[])).await.expect("opens");
            assert_eq!(first.project.git_root_commit.as_deref(), stored.1);
            let seen = there(&["/new"], &["/old"]);
            let opened = open(&store, with("/new", sent), seen).await.expect("opens");
            assert_eq!(!opened.created, moves, "{stored:?} {sent:?}");
            assert_eq!(opened.related.len(), usize::from(related && !moves), "{stored:?} {sent:?}");
            // What is known stays where it is not sent again, and the path counts before all else.
            let path = if moves { "/new" } else { "/old" };
            let again = open(&store, params(path, None), there(&[], &[])).await.expect("opens");
            assert_eq!(again.project.id, first.project.id);
            let remote = if moves { sent.0.or(stored.0) } else { stored.0 };
            assert_eq!(again.project.git_remote.is_some(), remote.is_some());
            let fork =
                open(&store, params(path, Some(fork)), there(&[], &[])).await.expect("opens");
            assert_eq!((fork.project.id, fork.found_by), (first.project.id, Some(FoundBy::Path)));
            assert_eq!(fork.project.git_remote.as_deref(), Some("github.com/you/shop"));
            store.close().await.expect("closed");
        });
    }
}

/// macOS mostly does not tell case apart, which no path of Unix shows; and there are links.
#[test]
fn a_folder_is_the_same_where_the_file_system_says_so() {
    run(|store| async move {
        let first = open(&store, params("/Users/me/Shop", None), there(&[], &[]))
            .await
            .expect("opens")
            .project;
        let asked = params("/users/me/shop", None);
        let look = asked.clone();
        let folders =
            store.read(move |tx| places::folders_to_see(tx, &look)).await.expect("folders");
        assert_eq!(folders, ["/users/me/shop", "/Users/me/Shop"]);
        let mut same = there(&["/users/me/shop"], &[]);
        same.add_same("/Users/me/Shop".to_owned());
        let opened = open(&store, asked.clone(), same).await.expect("opens");
        assert_eq!((&opened.project.id, opened.found_by), (&first.id, Some(FoundBy::Path)));
        assert_eq!(opened.project.path, "/Users/me/Shop");
        // Where case is told apart they are two.
        let two = there(&["/users/me/shop", "/Users/me/Shop"], &[]);
        let opened = open(&store, asked, two).await.expect("opens");
        assert_eq!((opened.created, opened.related.len()), (true, 0));
        store.close().await.expect("closed");
    });
}

#[test]
fn a_folder_of_windows_is_compared_as_windows_does() {
    run(|store| async move {
        let first = open(&store, params(r"C:\Users\Me\Shop", REMOTE), there(&[], &[]))
            .await
            .expect("opens")
            .project;
        for path in ["c:/users/me/shop/", r"\\?\C:\USERS\ME\.\Shop\x\.."] {
            let opened = open(&store, params(path, None), there(&[], &[])).await.expect("opens");
            assert_eq!(
                (&opened.project.id, opened.found_by),
                (&first.id, Some(FoundBy::Path)),
                "{path}"
            );
        }
        // Another spelling is no move.
        let renamed = relocate(&store, &first.id, r"C:\users\me\shop").await.expect("moves");
        assert_eq!((renamed.path.as_str(), renamed.former_paths.len()), (r"C:\users\me\shop", 0));
        assert_eq!(renamed.name, "shop");
        let moved = relocate(&store, &first.id, r"D:\Shop").await.expect("moves");
        assert_eq!(moved.former_paths, [r"C:\users\me\shop"]);
        let opened = open(&store, params("d:/shop", None), there(&[], &[])).await.expect("opens");
        assert_eq!(opened.project.id, first.id);
        store.close().await.expect("closed");
    });
}

#[test]
fn a_relocation_is_retried_and_takes_no_folder_of_another_project() {
    run(|store| async move {
        let first =
            open(&store, params("/a/shop", None), there(&[], &[])).await.expect("opens").project;
        let second =
            open(&store, params("/b", None), there(&[], &[])).await.expect("opens").project;
        let moved = relocate(&store, &first.id, "/c/store").await.expect("moves");
        assert_eq!(
            (moved.name.as_str(), moved.former_paths.as_slice()),
            ("store", &["/a/shop".to_owned()][..])
        );
        assert_eq!(relocate(&store, &first.id, "/c/store").await.expect("is the same"), moved);
        let error = relocate(&store, &first.id, "/b/.").await.expect_err("is taken");
        assert!(error.to_string().contains(second.id.as_str()), "{error}");
        assert_eq!(relocate(&store, &first.id, "/c/store").await.expect("nothing changed"), moved);
        // A project off the list gives way, and is found again when it is moved itself.
        remove(&store, &second.id).await.expect("removes");
        relocate(&store, &first.id, "/b").await.expect("moves");
        let opened = open(&store, params("/b", None), there(&[], &[])).await.expect("opens");
        assert_eq!(opened.project.id, first.id);
        let second = relocate(&store, &second.id, "/d").await.expect("moves");
        assert!(second.removed_at.is_some(), "it stays off the list");
        let opened = open(&store, params("/d", None), there(&[], &[])).await.expect("opens");
        assert_eq!((opened.project.id, opened.project.removed_at), (second.id, None));
        store.close().await.expect("closed");
    });
}

#[test]
fn former_folders_and_relations_have_their_limits() {
    run(|store| async move {
        let project =
            open(&store, params("/0", None), there(&[], &[])).await.expect("opens").project;
        for number in 1..=MAX_FORMER_PATHS + 1 {
            relocate(&store, &project.id, &format!("/{number}")).await.expect("moves");
        }
        let id = project.id.clone();
        let stored = store.read(move |tx| projects::get(tx, &id)).await.expect("a project");
        let expected: Vec<String> =
            (1..=MAX_FORMER_PATHS).rev().map(|number| format!("/{number}")).collect();
        assert_eq!(stored.former_paths, expected);
        for (path, known) in [("/0", false), ("/1", true)] {
            let opened = open(&store, params(path, None), there(&[], &[])).await.expect("opens");
            assert_eq!(opened.related.len(), usize::from(known), "{path}");
        }
        for number in 0..=MAX_RELATED {
            let opened = open(&store, params(&format!("/of/{number}"), REMOTE), there(&[], &[]))
                .await
                .expect("opens");
            assert_eq!(opened.related.len(), number);
        }
        let opened =
            open(&store, params("/of/last", REMOTE), there(&[], &[])).await.expect("opens");
        assert_eq!(opened.related.len(), MAX_RELATED);
        store.close().await.expect("closed");
    });
}

#[test]
fn the_feed_tells_of_a_move() {
    run(|store| async move {
        let first =
            open(&store, params("/a", REMOTE), there(&[], &[])).await.expect("opens").project;
        relocate(&store, &first.id, "/b").await.expect("moves");
        relocate(&store, &first.id, "/b").await.expect("is the same");
        open(&store, params("/c", REMOTE), there(&["/c"], &["/b"])).await.expect("opens");
        let told = store.read(|tx| changes::after(tx, 0, 10)).await.expect("changes");
        let topics: Vec<Topic> = told.iter().map(|change| change.topic).collect();
        use Topic::{ProjectCreated, ProjectOpened, ProjectRelocated};
        assert_eq!(topics, [ProjectCreated, ProjectRelocated, ProjectRelocated, ProjectOpened]);
        assert!(told.iter().all(|change| change.entity_id == first.id.as_str()));
        store.close().await.expect("closed");
    });
}

/// The daemon itself looks at the folders, and the history is where the folder is.
#[test]
fn the_daemon_sees_which_folders_are_there() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    let folders = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folders.path().join(name).to_str().expect("UTF-8").to_owned();
    let open = |client: &mut LineClient, name: &str| {
        client.call("project.open", json!({"path": path(name), "git_root_commit": COMMIT}))
    };
    std::fs::create_dir(path("shop")).expect("a folder");
    let first = open(&mut client, "shop");
    let id = &first["project"]["id"];
    client.call("session.start", json!({"id": "s", "kind": "chat", "project_id": id}));
    client.call("file.touch", json!({"project_id": id, "path": path("shop/a.rs")}));
    // A second clone is another project, and is told of.
    std::fs::create_dir(path("clone")).expect("a folder");
    let clone = open(&mut client, "clone");
    assert_eq!((&clone["created"], &clone["found_by"]), (&json!(true), &Value::Null));
    assert_eq!(clone["related"][0]["id"], *id);
    assert_eq!(clone["related"][0]["folder"], "there");
    // A link to a folder is that folder.
    std::os::unix::fs::symlink(path("shop"), path("link")).expect("a link");
    let link = open(&mut client, "link");
    assert_eq!((&link["project"]["id"], &link["found_by"]), (id, &json!("path")));
    // Moved, while the clone goes: the one project of the folder that is there now.
    std::fs::remove_file(path("link")).expect("removed");
    std::fs::create_dir(path("new")).expect("a folder");
    std::fs::rename(path("shop"), path("new/shop")).expect("moved");
    let moved = open(&mut client, "new/shop");
    assert_eq!(moved["project"]["id"], *id, "{moved}");
    assert_eq!(
        (&moved["found_by"], &moved["moved_from"]),
        (&json!("repository"), &json!(path("shop")))
    );
    let sessions = client.call("session.list", json!({"project_id": id}));
    assert_eq!(sessions["sessions"][0]["id"], "s");
    let file = client.call("file.get", json!({"project_id": id, "path": path("new/shop/a.rs")}));
    assert_eq!(file["relative_path"], "a.rs");
}

/// Opens look at folders before they are written: those behind them on the connection come after.
#[test]
fn writes_behind_an_open_are_applied_behind_it() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("project.open", json!({"path": "/a", "git_root_commit": COMMIT}));
    let call = |id: u32, method: &str, params: Value| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    let calls = [
        call(1, "project.open", json!({"path": "/b", "id": "b", "git_root_commit": COMMIT})),
        call(2, "session.start", json!({"id": "s", "kind": "chat", "project_id": "b"})),
        call(3, "project.relocate", json!({"id": "b", "path": "/c"})),
        call(4, "project.open", json!({"path": "/c", "git_root_commit": COMMIT})),
    ];
    for call in &calls {
        client.send(&call.to_string());
    }
    for _ in &calls {
        let reply = client.receive();
        assert!(reply.get("result").is_some(), "{reply}");
        if reply["id"] == 4 {
            assert_eq!(reply["result"]["project"]["id"], "b");
        }
    }
}

#[test]
fn what_names_no_repository_is_refused_and_never_shown() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    for (field, value) in [
        ("git_remote", json!("")),
        ("git_remote", json!("../shop")),
        ("git_remote", json!("https://me:s3cret@host")),
        ("git_remote", json!("s3cret://host/shop")),
        ("git_root_commit", json!("HEAD")),
        ("git_root_commit", json!("a".repeat(41))),
        ("git_root_commit", json!("g".repeat(40))),
    ] {
        let error = client.fail("project.open", json!({"path": "/p", field: value}));
        assert_eq!(
            (error_kind(&error), &error["data"]["field"]),
            ("invalid_params", &json!(field))
        );
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
    let opened = client.call(
        "project.open",
        json!({"path": "/p", "git_remote": "https://me:s3cret@Host/shop.git"}),
    );
    assert_eq!(opened["project"]["git_remote"], "host/shop");
    drop(client);
    drop(daemon);
    for entry in std::fs::read_dir(home.path()).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("a file");
            assert!(!bytes.windows(6).any(|part| part == b"s3cret"), "{}", path.display());
        }
    }
}

const PATHS: [&str; 6] = ["/a/x", "/a/y", "/b/x", "/b/y", "/c/z", r"C:\a\x"];
const REMOTES: [&str; 2] = ["git@host:me/r", "https://host/you/r.git"];
const COMMITS: [&str; 2] = [COMMIT, "fedcba9876543210fedcba9876543210fedcba98"];

#[derive(Debug, Clone)]
enum Operation {
    Open { path: usize, remote: Option<usize>, commit: Option<usize>, folders: [Sighting; 6] },
    Relocate { project: usize, path: usize },
    Remove { project: usize },
}

fn operations() -> impl Strategy<Value = Operation> {
    let sighting = || prop_oneof![3 => Just(Sighting::There), 4 => Just(Sighting::Gone), 1 => Just(Sighting::Unknown)];
    let folders = [sighting(), sighting(), sighting(), sighting(), sighting(), sighting()];
    prop_oneof![
        6 => (0..PATHS.len(), proptest::option::of(0..2_usize), proptest::option::of(0..2_usize), folders)
            .prop_map(|(path, remote, commit, folders)| Operation::Open { path, remote, commit, folders }),
        2 => (0..8_usize, 0..PATHS.len()).prop_map(|(project, path)| Operation::Relocate { project, path }),
        1 => (0..8_usize).prop_map(|project| Operation::Remove { project }),
    ]
}

/// A project of the model; its number is when it was made.
#[derive(Debug, Clone, PartialEq)]
struct ModelProject {
    path: usize,
    former: Vec<usize>,
    remote: Option<usize>,
    commit: Option<usize>,
    is_listed: bool,
    /// What it is sorted by: when it was last opened, and its id.
    order: (i64, String),
}

impl ModelProject {
    fn move_to(&mut self, path: usize) {
        if self.path != path {
            let old = std::mem::replace(&mut self.path, path);
            self.former.retain(|former| *former != path && *former != old);
            self.former.insert(0, old);
        }
    }
}

#[derive(Default)]
struct Model(Vec<ModelProject>);

/// What an open comes to: the project's number, how it was found, and which others are told of.
type Outcome = (usize, Option<FoundBy>, Vec<usize>);

impl Model {
    fn open(
        &mut self,
        path: usize,
        remote: Option<usize>,
        commit: Option<usize>,
        folders: &[Sighting; 6],
    ) -> Outcome {
        let differ = |one: Option<usize>, other: Option<usize>| {
            one.is_some() && other.is_some() && one != other
        };
        let equal = |one: Option<usize>, other: Option<usize>| one.is_some() && one == other;
        let others: Vec<usize> = (0..self.0.len()).filter(|at| self.0[*at].path != path).collect();
        let is_akin =
            |at: &usize| equal(self.0[*at].remote, remote) || equal(self.0[*at].commit, commit);
        let agrees =
            |at: &usize| !differ(self.0[*at].remote, remote) && !differ(self.0[*at].commit, commit);
        let was_here = |at: &usize| self.0[*at].former.contains(&path);
        let is_gone = |at: &usize| folders[self.0[*at].path] == Sighting::Gone;
        // That of a folder of Windows is no name of one of Unix: they are compared otherwise.
        let name = |path: usize| {
            let is_of_windows = PATHS[path].contains('\\');
            (is_of_windows, PATHS[path].rsplit(['/', '\\']).next())
        };

        let here: Vec<usize> = (0..self.0.len()).filter(|at| self.0[*at].path == path).collect();
        let best =
            here.iter().copied().max_by_key(|at| (self.0[*at].is_listed, &self.0[*at].order));
        let mut found = best.map(|at| (at, FoundBy::Path));
        if found.is_none() && folders[path] == Sighting::There {
            let back: Vec<usize> = others
                .iter()
                .copied()
                .filter(|at| was_here(at) && agrees(at) && is_gone(at))
                .collect();
            let clones: Vec<usize> =
                others.iter().copied().filter(|at| is_akin(at) && agrees(at)).collect();
            let listed: Vec<usize> =
                clones.iter().copied().filter(|at| self.0[*at].is_listed).collect();
            let named: Vec<usize> =
                clones.iter().copied().filter(|at| name(self.0[*at].path) == name(path)).collect();
            if let [at] = back[..] {
                found = Some((at, FoundBy::FormerPath));
            } else if clones.iter().all(is_gone)
                && (listed.len() == 1 || (listed.is_empty() && clones.len() == 1))
            {
                found = Some((listed.first().copied().unwrap_or(clones[0]), FoundBy::Repository));
            } else if let [at] = named[..]
                && is_gone(&at)
            {
                found = Some((at, FoundBy::Repository));
            }
        }
        let mut related: Vec<usize> =
            others.iter().copied().filter(|at| is_akin(at) || was_here(at)).collect();
        related.sort_by(|one, other| self.0[*other].order.cmp(&self.0[*one].order));
        let at = match found {
            Some((at, _)) => at,
            None => {
                self.0.push(ModelProject {
                    path,
                    former: Vec::new(),
                    remote,
                    commit,
                    is_listed: true,
                    order: (0, String::new()),
                });
                self.0.len() - 1
            }
        };
        related.retain(|other| *other != at);
        let project = &mut self.0[at];
        project.move_to(path);
        project.is_listed = true;
        project.remote = remote.or(project.remote);
        project.commit = commit.or(project.commit);
        (at, found.map(|(_, by)| by), related)
    }

    fn relocate(&mut self, project: usize, path: usize) -> Result<(), &'static str> {
        if project >= self.0.len() {
            return Err("not_found");
        }
        let is_taken = self
            .0
            .iter()
            .enumerate()
            .any(|(at, other)| at != project && other.is_listed && other.path == path);
        if is_taken && self.0[project].path != path {
            return Err("conflict");
        }
        self.0[project].move_to(path);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_opens_and_moves_do_what_the_model_does(operations in proptest::collection::vec(operations(), 1..40)) {
        for engine in ENGINES {
            let home = Home::new();
            runtime().block_on(async {
                let store = open_store(&home, engine);
                let mut model = Model::default();
                let mut ids: Vec<ProjectId> = Vec::new();
                let word = |error: &Error| aetherd::api::ErrorKind::from(error).word();
                for operation in &operations {
                    let before = model.0.clone();
                    let id = |at: usize| ids.get(at).cloned().unwrap_or_else(|| ProjectId::parse("nobody").expect("an id"));
                    match operation {
                        Operation::Open { path, remote, commit, folders } => {
                            let (at, found_by, related) = model.open(*path, *remote, *commit, folders);
                            let asked = OpenParams {
                                git_root_commit: commit.map(|commit| COMMITS[commit].to_owned()),
                                ..params(PATHS[*path], remote.map(|remote| REMOTES[remote]))
                            };
                            let mut seen = Sightings::default();
                            for (path, sighting) in PATHS.iter().zip(folders) {
                                seen.add((*path).to_owned(), *sighting);
                            }
                            let opened = open(&store, asked, seen).await.expect("opens");
                            if opened.created {
                                ids.push(opened.project.id.clone());
                            }
                            prop_assert_eq!(ids.iter().position(|id| *id == opened.project.id), Some(at));
                            prop_assert_eq!((opened.created, opened.found_by), (found_by.is_none(), found_by), "{:?} {:?}", operation, before);
                            let others: Vec<usize> = opened.related.iter().map(|other| ids.iter().position(|id| *id == other.id).expect("is known")).collect();
                            prop_assert_eq!(others, related, "{:?} {:?}", operation, before);
                            for other in &opened.related {
                                let path = PATHS.iter().position(|path| *path == other.path).expect("one of them");
                                prop_assert_eq!(other.folder, folders[path]);
                            }
                            let moved = before.get(at).filter(|before| before.path != *path).map(|before| PATHS[before.path]);
                            prop_assert_eq!(opened.moved_from.as_deref(), moved);
                            // A folder that may be there loses no project.
                            prop_assert!(moved.is_none() || folders[before[at].path] == Sighting::Gone);
                            model.0[at].order = (opened.project.opened_at, opened.project.id.to_string());
                        }
                        Operation::Relocate { project, path } => {
                            let expected = model.relocate(*project, *path);
                            let moved = relocate(&store, &id(*project), PATHS[*path]).await;
                            prop_assert_eq!(moved.map(drop).map_err(|error| word(&error)), expected);
                        }
                        Operation::Remove { project } => {
                            let found = model.0.get_mut(*project);
                            let expected = found.map(|found| std::mem::replace(&mut found.is_listed, false)).ok_or("not_found");
                            let removed = remove(&store, &id(*project)).await;
                            prop_assert_eq!(removed.map_err(|error| word(&error)), expected);
                        }
                    }
                    for path in 0..PATHS.len() {
                        let owners = model.0.iter().filter(|project| project.is_listed && project.path == path);
                        prop_assert!(owners.count() <= 1, "two projects on the list have one folder");
                    }
                }
                for (project, id) in model.0.iter().zip(&ids) {
                    let id = id.clone();
                    let stored = store.read(move |tx| projects::get(tx, &id)).await.expect("a project");
                    let former: Vec<&str> = project.former.iter().map(|path| PATHS[*path]).collect();
                    prop_assert_eq!(&stored.former_paths, &former);
                    prop_assert_eq!(stored.path.as_str(), PATHS[project.path]);
                    prop_assert_eq!(stored.removed_at.is_none(), project.is_listed);
                    prop_assert_eq!(stored.git_root_commit.as_deref(), project.commit.map(|commit| COMMITS[commit]));
                }
                store.close().await.expect("the store closes");
                Ok(())
            })?;
        }
    }
}
