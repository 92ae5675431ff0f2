//! `transfer::import` and the files themselves: each kind of trouble has its outcome, and none is touched.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use aetherd::api::{project, settings};
use aetherd::model::ProjectId;
use aetherd::model::limits::MAX_IMPORT_FILE_BYTES;
use aetherd::transfer::{Disposition, FileKind, FileOutcome};

use crate::support::ide::{World, message_json, metadata, session_json};
use crate::support::say_skipped;

const GLOBAL: &str = "agent-sessions/_global";

/// What a file is: its bytes, when they were written, its mode and number.
type State = (Vec<u8>, i64, i64, u32, u64);

/// The states of all regular files below a folder.
fn states(folder: &Path) -> BTreeMap<PathBuf, State> {
    let mut states = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let metadata = path.symlink_metadata().expect("is there");
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_file() && metadata.len() < MAX_IMPORT_FILE_BYTES {
                let bytes = std::fs::read(&path).unwrap_or_default();
                let (mode, ino) = (metadata.mode(), metadata.ino());
                states.insert(path, (bytes, metadata.mtime(), metadata.mtime_nsec(), mode, ino));
            }
        }
    }
    states
}

fn named<'a>(outcomes: &'a [FileOutcome], name: &str) -> &'a FileOutcome {
    let is_it = |outcome: &&FileOutcome| Path::new(&outcome.path).ends_with(name);
    outcomes.iter().find(is_it).unwrap_or_else(|| panic!("{name}: {outcomes:#?}"))
}

#[tokio::test]
async fn every_broken_file_has_its_own_outcome_and_stays_untouched() {
    let mut world = World::start().await;
    let whole = session_json("whole", &[message_json("m", "x")]);
    let call = r#"{"id":"t","content":"","role":"user","timestamp":"2025-11-01T14:26:40.214Z","toolCalls":[{"result":"cut \ud83e"}]}"#;
    let messages = [message_json("h", "cut \\ud83e"), call.to_owned()];
    let surrogate = session_json("half", &messages);
    let nul = session_json("nul", &[message_json("n", "a\\u0000b")]);
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    let deep = format!(
        r#"{{"id":"deep","messages":[{{"id":"d","role":"user","content":"x","deep":{deep}}}],"deep":{deep}}}"#
    );
    let dates = r#"{"id":"dates","messages":[{"id":"e","role":"user","content":"x","timestamp":"yesterday"}],"createdAt":"2025-13-41","lastMessageAt":7}"#;
    let padded = format!("{whole}\0\0\0");
    use Disposition::{AlreadyThere, Imported, Partly, Skipped, Unreadable};
    let files: Vec<(&str, Vec<u8>, Disposition)> = vec![
        ("broken.json", b"{\"id\":\"x\",\"messages\":[{]}".to_vec(), Unreadable),
        ("cut.json", whole.as_bytes()[..whole.len() - 9].to_vec(), Partly),
        ("cut_early.json", b"{\"id\":\"early\",\"name\":\"n".to_vec(), Unreadable),
        ("dates.json", dates.as_bytes().to_vec(), Imported),
        ("deep.json", deep.into_bytes(), Imported),
        ("empty.json", vec![], Unreadable),
        ("half.json", surrogate.into_bytes(), Partly),
        ("latin.json", b"{\"id\":\"\xE9\"}".to_vec(), Unreadable),
        ("list.json", b"[]".to_vec(), Unreadable),
        ("mark.json", format!("\u{FEFF}{whole}").into_bytes(), AlreadyThere),
        ("note.txt", b"hello".to_vec(), Skipped),
        ("nul.json", nul.into_bytes(), Imported),
        ("other.json", b"{\"a\":1}".to_vec(), Unreadable),
        ("padded.json", padded.into_bytes(), AlreadyThere),
        ("wide.json", "{\"id\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect(), Unreadable),
        ("zero.json", vec![0; 64], Unreadable),
    ];
    for (name, bytes, _) in &files {
        world.write(&format!("{GLOBAL}/{name}"), bytes);
    }
    let before = states(&world.ide);
    let (outcomes, totals) = world.import().await;
    assert_eq!(totals.files, files.len() as u64);
    for (outcome, (name, _, disposition)) in outcomes.iter().zip(&files) {
        assert!(Path::new(&outcome.path).ends_with(name), "{outcomes:#?}");
        assert_eq!(outcome.disposition, *disposition, "{outcome:#?}");
        let told =
            outcome.reason.is_some() || !outcome.problems.is_empty() || !outcome.notes.is_empty();
        assert!(told || *name == "nul.json", "{outcome:#?}");
    }
    assert_eq!(states(&world.ide), before);
    let stored = world.messages("half").await;
    assert_eq!(stored[0].content, "cut \u{FFFD}");
    assert_eq!(metadata(&stored[1]), r#"{"toolCalls":[{"result":"cut \ufffd"}]}"#);
    assert_eq!(world.messages("nul").await[0].content, "a\0b");
    let deep = world.messages("deep").await;
    assert!(metadata(&deep[0]).starts_with(r#"{"deep":"[[["#), "{}", metadata(&deep[0]));
    let cut = named(&outcomes, "cut.json");
    assert_eq!((cut.messages.imported, cut.left_out), (1, 1));
    let told = format!("is cut off after {} bytes; what is whole of it is taken", whole.len() - 9);
    assert_eq!(cut.problems, [told]);
    assert_eq!(
        named(&outcomes, "padded.json").notes[0],
        "ends with 3 NUL bytes, which were passed over"
    );
}

/// Cut off at every byte, a file gives its first messages, and the whole file the rest, in order.
#[tokio::test]
async fn a_file_that_is_cut_off_gives_its_whole_messages_and_later_the_rest() {
    let mut world = World::start().await;
    let messages: Vec<String> =
        (0..4).map(|at| message_json(&format!("m{at}"), "a]}\\\"é")).collect();
    let whole = session_json("s", &messages);
    let file = format!("{GLOBAL}/s.json");
    let (mut stored, mut cuts) = (0, 0);
    for end in (0..whole.len()).step_by(23) {
        world.write(&file, &whole.as_bytes()[..end]);
        let (outcomes, totals) = world.import().await;
        let counts = outcomes[0].messages;
        // What is whole is what ends before the cut.
        let ends = messages.iter().filter_map(|message| {
            let start = whole.find(message.as_str())?;
            Some(start + message.len())
        });
        let expected = ends.filter(|message_end| *message_end <= end).count();
        match outcomes[0].disposition {
            Disposition::Partly => cuts += 1,
            Disposition::Unreadable => assert_eq!(expected, 0, "{outcomes:#?}"),
            other => panic!("{end}: {other}: {outcomes:#?}"),
        }
        assert_eq!(counts.found, expected as u64, "{end}");
        assert_eq!(
            (totals.messages.imported, totals.messages.already_there),
            (expected as u64 - stored, stored),
            "{end}"
        );
        stored = expected as u64;
    }
    assert!(cuts > 15 && stored == 4, "{cuts} {stored}");
    world.write(&file, &whole);
    let (outcomes, totals) = world.import().await;
    assert_eq!((totals.already_there, totals.messages.already_there), (1, 4), "{outcomes:#?}");
    assert_eq!(world.ids("s").await, ["m0", "m1", "m2", "m3"]);
}

#[tokio::test]
async fn links_pipes_sockets_and_devices_have_their_outcomes_and_nothing_hangs() {
    let mut world = World::start().await;
    let folder = world.ide.join(GLOBAL);
    world.write(&format!("{GLOBAL}/a.json"), session_json("a", &[message_json("m", "x")]));
    let outside = world.home.path().join("outside");
    std::fs::create_dir(&outside).expect("a folder");
    std::fs::write(outside.join("o.json"), session_json("o", &[message_json("o", "x")]))
        .expect("writes");
    std::fs::create_dir(folder.join("folder.json")).expect("a folder");
    for (target, link) in [
        (outside.join("o.json"), folder.join("b.json")),
        (folder.join("a.json"), folder.join("c.json")),
        (PathBuf::from("gone"), folder.join("dangling.json")),
        (PathBuf::from("loop.json"), folder.join("loop.json")),
        (PathBuf::from("/dev/zero"), folder.join("zero.json")),
        (folder.clone(), folder.join("self.json")),
        (outside.clone(), world.ide.join("agent-sessions/linked_1a2b3c")),
        (world.ide.join("agent-sessions"), world.ide.join("agent-sessions/around")),
    ] {
        symlink(target, link).expect("a link");
    }
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.join("pipe.json"),
        rustix::fs::FileType::Fifo,
        mode,
        0,
    )
    .expect("a pipe");
    let _listener =
        std::os::unix::net::UnixListener::bind(folder.join("socket.json")).expect("a socket");
    let before = states(&world.ide);
    let (outcomes, totals) = world.import().await;
    for (name, disposition, told) in [
        ("_global/a.json", Disposition::Imported, None),
        ("_global/b.json", Disposition::Imported, None),
        ("_global/c.json", Disposition::AlreadyThere, None),
        ("_global/dangling.json", Disposition::Unreadable, Some("cannot be read: ")),
        ("_global/folder.json", Disposition::Unreadable, Some("is a folder")),
        ("_global/loop.json", Disposition::Unreadable, Some("cannot be read: ")),
        ("_global/pipe.json", Disposition::Unreadable, Some("is not a regular file")),
        ("_global/self.json", Disposition::Unreadable, Some("is a folder")),
        ("_global/socket.json", Disposition::Unreadable, Some("is not a regular file")),
        ("_global/zero.json", Disposition::Unreadable, Some("is not a regular file")),
        ("linked_1a2b3c/o.json", Disposition::AlreadyThere, None),
        // A folder in a folder of sessions is none of the IDE's.
        ("around/_global", Disposition::Skipped, Some("is not a .json file")),
    ] {
        let outcome = named(&outcomes, name);
        assert_eq!(outcome.disposition, disposition, "{outcome:#?}");
        let reason = outcome.reason.as_deref();
        assert_eq!(reason.is_some(), told.is_some(), "{outcome:#?}");
        assert!(reason.unwrap_or_default().starts_with(told.unwrap_or_default()), "{outcome:#?}");
    }
    let followed = "is a symbolic link, which was followed";
    assert_eq!(named(&outcomes, "_global/b.json").notes, [followed]);
    let twice = &named(&outcomes, "_global/c.json").notes;
    assert!(twice[0] == followed && twice[1].starts_with("the session is also in "), "{twice:?}");
    assert_eq!((totals.imported, totals.messages.imported), (2, 2), "{outcomes:#?}");
    assert_eq!(states(&world.ide), before);
}

/// The limit itself is tested where a file is read: here one byte past it, of a file that takes no room.
#[tokio::test]
async fn what_is_too_large_or_may_not_be_read_is_told_and_the_rest_arrives() {
    let mut world = World::start().await;
    let folder = world.ide.join(GLOBAL);
    world.write(&format!("{GLOBAL}/a.json"), session_json("a", &[message_json("m", "x")]));
    let huge = std::fs::File::create(folder.join("huge.json")).expect("a file");
    huge.set_len(MAX_IMPORT_FILE_BYTES + 1).expect("a size");
    let (outcomes, totals) = world.import().await;
    let told = "is 268435457 bytes; the limit is 268435456";
    assert_eq!(named(&outcomes, "huge.json").reason.as_deref(), Some(told));
    assert_eq!((totals.imported, totals.unreadable), (1, 1));

    let closed = folder.join("closed.json");
    std::fs::write(&closed, session_json("c", &[])).expect("writes");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).expect("a mode");
    if std::fs::read(&closed).is_ok() {
        say_skipped(
            "what_is_too_large_or_may_not_be_read_is_told_and_the_rest_arrives: the mode",
            "no root",
        );
        return;
    }
    let (outcomes, _) = world.import().await;
    let reason = named(&outcomes, "closed.json").reason.as_deref().unwrap_or_default();
    assert!(reason.starts_with("cannot be read: "), "{reason}");
}

#[tokio::test]
async fn a_home_that_cannot_be_written_to_is_imported_and_stays_as_it_is() {
    let mut world = World::start().await;
    for name in ["a", "b"] {
        let file = format!("{GLOBAL}/{name}.json");
        world.write(&file, session_json(name, &[message_json(name, "x")]));
        let path = world.ide.join(file);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).expect("a mode");
    }
    world.write("settings.json", r#"{"a":1}"#);
    let folder = world.ide.join(GLOBAL);
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o555)).expect("a mode");
    let before = (states(&world.ide), folder.metadata().expect("is there").mtime_nsec());
    for round in 0..2 {
        let (outcomes, totals) = world.import().await;
        let done = (totals.imported, totals.already_there);
        assert_eq!(done, if round == 0 { (3, 0) } else { (0, 3) }, "{outcomes:#?}");
        assert_eq!(world.verify().await.1.equal, 3);
    }
    assert_eq!((states(&world.ide), folder.metadata().expect("is there").mtime_nsec()), before);
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).expect("a mode");
}

#[tokio::test]
async fn a_session_in_two_files_becomes_one_and_ids_that_come_twice_give_way() {
    let mut world = World::start().await;
    let both = [message_json("m0", "x"), message_json("m1", "x")];
    world.write(&format!("{GLOBAL}/a.json"), session_json("s", &both));
    let other = [message_json("m1", "changed"), message_json("m2", "x"), message_json("m2", "x")];
    world.write(&format!("{GLOBAL}/b.json"), session_json("s", &other));
    world.write(&format!("{GLOBAL}/c.json"), session_json("t", &[message_json("m2", "y")]));
    let (outcomes, totals) = world.import().await;
    assert_eq!((totals.sessions_created, totals.messages.imported), (2, 5), "{outcomes:#?}");
    assert_eq!(totals.messages.already_there, 1);
    let notes = &outcomes[1].notes;
    assert!(notes[0].ends_with(&format!("{GLOBAL}/a.json")), "{notes:?}");
    assert!(
        notes.contains(&"stored with another content, left as it is: messages[0]".to_owned()),
        "{notes:?}"
    );
    assert_eq!(
        outcomes[2].notes,
        ["the id is another session's message, another was made: messages[0]"]
    );
    let (_, totals) = world.import().await;
    assert_eq!((totals.already_there, totals.messages.already_there), (3, 6));
}

/// Opens a project.
async fn open(world: &mut World, path: &Path) -> ProjectId {
    let path = path.to_str().expect("Unicode").to_owned();
    let params = project::OpenParams { path, ..Default::default() };
    world.client.call::<project::Open>(&params).await.expect("opens").project.id
}

async fn setting(world: &mut World, key: &str, project_id: Option<&ProjectId>) -> String {
    let params = settings::KeyParams { key: key.to_owned(), project_id: project_id.cloned() };
    world.client.call::<settings::Get>(&params).await.expect("is read").value.as_str().to_owned()
}

#[tokio::test]
async fn settings_of_projects_go_into_their_own_scope() {
    let mut world = World::start().await;
    let (shop, other) = (world.home.path().join("shop"), world.home.path().join("other"));
    for (folder, text) in [(&shop, r#"{"a":2,"b":{"x":1.0}}"#), (&other, r#"{"a":3}"#)] {
        std::fs::create_dir_all(folder.join(".rainy")).expect("a folder");
        std::fs::write(folder.join(".rainy/settings.json"), text).expect("writes");
    }
    world.write("settings.json", r#"{"a":1}"#);
    let id = open(&mut world, &shop).await;
    open(&mut world, Path::new("/home/dev/src/gone")).await;
    let (outcomes, totals) = world.import().await;
    assert_eq!(
        (totals.files, totals.imported, totals.settings.imported),
        (2, 2, 3),
        "{outcomes:#?}"
    );
    let own = &outcomes[1];
    assert_eq!((own.kind, own.project_id.as_ref()), (FileKind::ProjectSettings, Some(&id)));
    assert_eq!(setting(&mut world, "a", None).await, "1");
    assert_eq!(setting(&mut world, "a", Some(&id)).await, "2");
    assert_eq!(setting(&mut world, "b", Some(&id)).await, r#"{"x":1.0}"#);
    assert_eq!(world.verify().await.1.equal, 2);

    // Given by itself, as the folder, its file, or through a link; and one that nobody opened.
    let link = world.home.path().join("link");
    symlink(&shop, &link).expect("a link");
    for path in [shop.clone(), shop.join(".rainy/settings.json"), link] {
        let (outcomes, totals) = world.import_paths(vec![path]).await;
        assert_eq!((totals.already_there, totals.settings.already_there), (1, 2), "{outcomes:#?}");
    }
    let (outcomes, totals) = world.import_paths(vec![other.clone()]).await;
    assert_eq!((totals.skipped, totals.files), (1, 1));
    let told =
        "holds the settings of a folder that is no known project; tell project.open of it first";
    assert_eq!(outcomes[0].reason.as_deref(), Some(told));
    open(&mut world, &other).await;
    let (outcomes, totals) = world.import().await;
    assert_eq!((totals.imported, totals.already_there), (1, 2), "{outcomes:#?}");
}
