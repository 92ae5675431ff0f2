//! `transfer::import` against a daemon: what is in the IDE's files arrives, once, and nothing is overwritten.

use aetherd::api::{attachment, message, project, session, settings};
use aetherd::client::Client;
use aetherd::model::limits::MAX_CONTENT_BYTES;
use aetherd::model::{AttachmentData, Json, JsonObject, Message, MessageId, ProjectId, Role};
use aetherd::transfer::{Disposition, ImportError, ImportOptions, import};

use crate::support::ide::{
    IMAGE, World, message_json, metadata, pictured, session_id, session_json,
};

#[tokio::test]
async fn a_home_arrives_once_and_whole() {
    let mut world = World::start().await;
    let path = "/home/dev/src/web-shop".to_owned();
    let id = ProjectId::parse("shop").ok();
    let open = project::OpenParams { path, id: id.clone(), ..Default::default() };
    world.client.call::<project::Open>(&open).await.expect("opens");
    let many: Vec<String> = (0..2500).map(|at| message_json(&format!("m{at}"), "x")).collect();
    world.write("agent-sessions/web-shop_14fc94/long.json", session_json("long", &many));
    let large: Vec<String> =
        (0..3).map(|at| message_json(&format!("l{at}"), &"y".repeat(3 << 20))).collect();
    world.write("agent-sessions/_global/large.json", session_json("large", &large));
    world.write("agent-history/old.json", session_json("old", &[message_json("o", "z")]));
    world.write(
        "settings.json",
        "{\n  \"editor.fontSize\": 14.0,\n  \"files.exclude\": {\n    \"**/.git\": true\n  }\n}\n",
    );

    let (outcomes, totals) = world.import().await;
    assert_eq!(
        (totals.files, totals.imported, totals.sessions_created),
        (4, 4, 3),
        "{outcomes:#?}"
    );
    assert_eq!((totals.messages.imported, totals.settings.imported), (2504, 2));
    let expected: Vec<String> = (0..2500).map(|at| format!("m{at}")).collect();
    assert_eq!(world.ids("long").await, expected);
    let params = session::IdParams { id: session_id("long") };
    let session = world.client.call::<session::Get>(&params).await.expect("is there");
    assert_eq!(session.project_id, id);
    assert_eq!((session.title.as_deref(), session.created_at), (Some("Chat"), 1_762_007_200_214));
    let kept = r#"{"ide":{"lastMessageAt":"2025-11-01T14:26:40.214Z"},"import":{"workspace":"web-shop_14fc94"}}"#;
    assert_eq!(session.metadata.as_ref().map(JsonObject::as_str), Some(kept));
    let key = settings::KeyParams { key: "editor.fontSize".to_owned(), project_id: None };
    assert_eq!(
        world.client.call::<settings::Get>(&key).await.expect("is there").value.as_str(),
        "14.0"
    );

    let (outcomes, totals) = world.import().await;
    assert_eq!((totals.already_there, totals.sessions_created), (4, 0), "{outcomes:#?}");
    assert_eq!((totals.messages.already_there, totals.messages.imported), (2504, 0));
    assert!(
        outcomes.iter().all(|outcome| outcome.notes.is_empty() && outcome.problems.is_empty()),
        "{outcomes:#?}"
    );
}

#[tokio::test]
async fn what_was_changed_since_stays_and_what_is_missing_is_added_in_order() {
    let mut world = World::start().await;
    let file = "agent-sessions/_global/s.json";
    let some: Vec<String> = (0..4).map(|at| message_json(&format!("m{at}"), "x")).collect();
    world.write(file, session_json("s", &some));
    world.write("settings.json", r#"{"a":1}"#);
    world.import().await;

    let update = session::UpdateParams {
        id: session_id("s"),
        title: Some(Some("Mine".to_owned())),
        description: None,
        model: None,
        system_prompt: None,
        project_id: None,
        metadata: None,
        archived: None,
        pinned: None,
    };
    world.client.call::<session::Update>(&update).await.expect("renames");
    let patch = message::UpdateParams {
        id: MessageId::parse("m2").expect("an id"),
        content: Some("patched".to_owned()),
        code_excerpt: None,
        metadata: None,
        attachments: None,
    };
    world.client.call::<message::Update>(&patch).await.expect("patches");
    let own = message::AppendParams {
        id: MessageId::parse("own").ok(),
        session_id: session_id("s"),
        role: Role::User,
        content: "own".to_owned(),
        code_excerpt: None,
        metadata: None,
        attachments: Vec::new(),
        expected_index: None,
        created_at: None,
    };
    world.client.call::<message::Append>(&own).await.expect("appends");
    let set = settings::SetParams {
        key: "a".to_owned(),
        value: Json::parse("2".to_owned()).expect("JSON"),
        project_id: None,
    };
    world.client.call::<settings::Set>(&set).await.expect("sets");

    let more: Vec<String> = (0..7).map(|at| message_json(&format!("m{at}"), "x")).collect();
    world.write(file, session_json("s", &more));
    world.write("settings.json", r#"{"a":1,"b":3}"#);
    let (outcomes, totals) = world.import().await;
    assert_eq!((totals.messages.imported, totals.messages.already_there), (3, 4), "{outcomes:#?}");
    assert_eq!((totals.settings.imported, totals.settings.already_there), (1, 1));
    assert_eq!(outcomes[0].notes, ["a is set to another value; it was left as it is"]);
    let told = [
        "the session was there with another title; it was left as it is",
        "stored with another content, left as it is: messages[2]",
    ];
    assert_eq!(outcomes[1].notes, told);
    assert_eq!(world.ids("s").await, ["m0", "m1", "m2", "m3", "own", "m4", "m5", "m6"]);
    assert_eq!(world.messages("s").await[2].content, "patched");
    let (_, totals) = world.import().await;
    assert_eq!((totals.already_there, totals.files), (2, 2));
}

#[tokio::test]
async fn ids_of_other_sessions_and_repeated_ones_give_way_and_nothing_is_lost() {
    let mut world = World::start().await;
    world.write(
        "agent-sessions/_global/a.json",
        session_json("a", &[message_json("m", "x"), message_json("m", "x")]),
    );
    let others = [message_json("n0", "x"), message_json("m", "x"), message_json("n1", "x")];
    world.write("agent-sessions/_global/b.json", session_json("b", &others));
    for round in 0..2 {
        let (outcomes, totals) = world.import().await;
        let counts = (totals.messages.imported, totals.messages.already_there);
        assert_eq!(counts, if round == 0 { (5, 0) } else { (0, 5) }, "{outcomes:#?}");
        let a = world.messages("a").await;
        assert_eq!((a.len(), metadata(&a[1])), (2, r#"{"id":"m","import":{"id":"repeated"}}"#));
        let b = world.messages("b").await;
        assert_eq!((b.len(), metadata(&b[1])), (3, r#"{"id":"m","import":{"id":"taken"}}"#));
        assert_eq!((b[0].id.as_str(), b[2].id.as_str()), ("n0", "n1"));
    }
}

#[tokio::test]
async fn a_project_that_is_opened_later_gets_its_sessions_with_the_next_import() {
    let mut world = World::start().await;
    let of_shop = "agent-sessions/web-shop_14fc94";
    for id in ["a", "b"] {
        world.write(&format!("{of_shop}/{id}.json"), session_json(id, &[message_json(id, "x")]));
    }
    world.write("agent-sessions/_global/c.json", session_json("c", &[]));
    world.import().await;
    let open = async |client: &mut Client, path: &str| {
        let params = project::OpenParams { path: path.to_owned(), ..Default::default() };
        client.call::<project::Open>(&params).await.expect("opens").project.id
    };
    let shop = open(&mut world.client, "/home/dev/src/web-shop/").await;
    let other = open(&mut world.client, "/home/dev/src/other").await;
    // Where the user put a session meanwhile, it stays.
    let moved = session::UpdateParams {
        id: session_id("b"),
        title: None,
        description: None,
        model: None,
        system_prompt: None,
        project_id: Some(Some(other.clone())),
        metadata: None,
        archived: None,
        pinned: None,
    };
    world.client.call::<session::Update>(&moved).await.expect("moves");
    let (outcomes, totals) = world.import().await;
    assert_eq!(totals.already_there, 3, "{outcomes:#?}");
    let told: Vec<&[String]> = outcomes.iter().map(|outcome| outcome.notes.as_slice()).collect();
    assert_eq!(told[0], [""; 0]);
    assert_eq!(told[1], ["the session was in no project; it is in its own now"]);
    assert_eq!(told[2], ["the session was there with another project; it was left as it is"]);
    for (id, project_id) in [("a", Some(shop)), ("b", Some(other)), ("c", None)] {
        let params = session::IdParams { id: session_id(id) };
        let session = world.client.call::<session::Get>(&params).await.expect("is there");
        assert_eq!(session.project_id, project_id, "{id}");
    }
    let (outcomes, _) = world.import().await;
    assert!(outcomes[1].notes.is_empty(), "{outcomes:#?}");
}

#[tokio::test]
async fn a_session_in_the_trash_is_told_and_not_revived() {
    let mut world = World::start().await;
    world.write("agent-sessions/_global/s.json", session_json("s", &[message_json("m", "x")]));
    world.import().await;
    let params = session::DeleteParams { id: session_id("s"), purge: false };
    world.client.call::<session::Delete>(&params).await.expect("deletes");
    let (outcomes, totals) = world.import().await;
    assert_eq!((totals.skipped, totals.messages.skipped), (1, 1), "{outcomes:#?}");
    assert_eq!(outcomes[0].disposition, Disposition::Skipped);
    let params = session::IdParams { id: session_id("s") };
    assert!(world.client.call::<session::Get>(&params).await.is_err());
}

#[tokio::test]
async fn a_message_over_the_limit_fails_alone() {
    let mut world = World::start().await;
    let messages = [
        message_json("a", "x"),
        message_json("big", &"y".repeat(MAX_CONTENT_BYTES + 1)),
        message_json("just", &"\\n".repeat(MAX_CONTENT_BYTES / 2)),
        message_json("full", &"z".repeat(MAX_CONTENT_BYTES)),
        message_json("b", "x"),
    ];
    world.write("agent-sessions/_global/s.json", session_json("s", &messages));
    for _ in 0..2 {
        let (outcomes, totals) = world.import().await;
        assert_eq!((totals.partly, totals.messages.failed), (1, 1), "{:?}", outcomes[0].problems);
        assert!(
            outcomes[0].problems[0]
                .starts_with("message big (messages[1]): its content is 8388609 bytes")
        );
        assert_eq!(world.ids("s").await, ["a", "just", "full", "b"]);
    }
}

#[tokio::test]
async fn what_is_too_large_beside_a_content_is_named_and_the_content_arrives() {
    let mut world = World::start().await;
    let image = "i".repeat(MAX_CONTENT_BYTES);
    let large = format!(r#"{{"id":"large","content":"said","role":"user","images":["{image}"]}}"#);
    let messages = [message_json("a", "x"), large, message_json("b", "x")];
    world.write("agent-sessions/_global/s.json", session_json("s", &messages));
    for round in 0..2 {
        let (outcomes, totals) = world.import().await;
        let counts = (totals.messages.imported, totals.messages.already_there);
        assert_eq!(counts, if round == 0 { (3, 0) } else { (0, 3) });
        assert_eq!((totals.partly, outcomes[0].left_out), (1, 1), "not whole, however often");
        let told = "message large (messages[1]): too large, left out: images (8388612 bytes)";
        assert_eq!(outcomes[0].problems, [told]);
        let stored = world.messages("s").await;
        assert_eq!(stored[1].content, "said");
        let kept = r#"{"import":{"created_at":"guessed","left_out":{"images":8388612}}}"#;
        assert_eq!(metadata(&stored[1]), kept);
    }
}

fn listed(message: &Message) -> Vec<(&str, Option<&str>, i64)> {
    let attachments = message.attachments.iter();
    attachments.map(|found| (found.mime.as_str(), found.name.as_deref(), found.size)).collect()
}

async fn bytes(client: &mut Client, message: &Message, at: usize) -> Vec<u8> {
    let params = attachment::HashParams { hash: message.attachments[at].hash.clone() };
    client.call::<attachment::Get>(&params).await.expect("is there").data.bytes().to_vec()
}

#[tokio::test]
async fn images_become_attachments_and_what_is_none_stays() {
    let mut world = World::start().await;
    // The same bytes under another name were there before.
    let data = AttachmentData::of_base64("Zm9v").expect("base64");
    let put = attachment::PutParams { mime: "a/b".to_owned(), data, name: Some("x".to_owned()) };
    world.client.call::<attachment::Put>(&put).await.expect("is put");
    let many: Vec<String> = (0..40)
        .map(|at| pictured(&format!("p{at}"), &format!("[{IMAGE},{{\"base64\":\"data:image/gif;base64,AAAA\",\"mimeType\":\"image/gif\"}}]")))
        .chain([
            pictured("plain", "[]"),
            pictured("wrong", &format!(r#"[{{"base64":"%","mimeType":"image/png"}},{IMAGE}]"#)),
            pictured("more", r#"[{"base64":"Zm9v","mimeType":"image/png","width":1.0}]"#),
        ])
        .collect();
    world.write("agent-sessions/_global/s.json", session_json("s", &many));
    for round in 0..2 {
        let (outcomes, totals) = world.import().await;
        let counts = (totals.messages.imported, totals.messages.already_there);
        assert_eq!(counts, if round == 0 { (43, 0) } else { (0, 43) }, "{outcomes:#?}");
        assert_eq!(outcomes[0].problems, [""; 0]);
        let note = "an image is not base64, it stays in the metadata: messages[41]";
        assert_eq!(outcomes[0].notes, [note]);
        let stored = world.messages("s").await;
        for message in &stored[..40] {
            assert_eq!(metadata(message), r#"{"thoughts":"t"}"#);
            let expected = [("image/png", Some("a.png"), 3), ("image/gif", None, 3)];
            assert_eq!(listed(message), expected);
        }
        assert_eq!(metadata(&stored[40]), r#"{"thoughts":"t","images":[]}"#);
        let wrong = r#"{"thoughts":"t","images":[{"base64":"%","mimeType":"image/png"}]}"#;
        assert_eq!((metadata(&stored[41]), listed(&stored[41]).len()), (wrong, 1));
        let hash = stored[0].attachments[0].hash.as_str();
        let more =
            format!(r#"{{"thoughts":"t","images":[{{"attachment":"{hash}","width":1.0}}]}}"#);
        assert_eq!((metadata(&stored[42]), listed(&stored[42]).len()), (more.as_str(), 1));
        assert_eq!(bytes(&mut world.client, &stored[0], 0).await, b"foo");
        assert_eq!(bytes(&mut world.client, &stored[0], 1).await, [0, 0, 0]);
    }
}

/// The store of an importer that left the images in the metadata.
#[tokio::test]
async fn images_that_were_left_in_the_metadata_become_attachments_once() {
    let mut world = World::start().await;
    let images = format!("[{IMAGE}]");
    let four_mib = "A".repeat(6 << 20);
    let large: Vec<String> = (0..2)
        .map(|at| format!(r#"{{"base64":"{at}{}","mimeType":"image/png"}}"#, &four_mib[1..]))
        .collect();
    let large = format!("[{}]", large.join(","));
    let files = [
        pictured("whole", &images),
        pictured("patched", &images),
        pictured("other", &images),
        pictured("large", &large),
        message_json("plain", "x"),
    ];
    world.write("agent-sessions/_global/s.json", session_json("s", &files));
    let start: session::StartParams = serde_json::from_value(serde_json::json!({
        "id": "s", "kind": "chat", "title": "Chat", "model": "m", "system_prompt": "p", "created_at": 1_762_007_200_214_i64,
        "metadata": {"ide": {"lastMessageAt": "2025-11-01T14:26:40.214Z"}, "import": {"workspace": "_global"}}
    }))
    .expect("params");
    world.client.call::<session::Start>(&start).await.expect("starts");
    let kept = |images: &str| format!(r#"{{"thoughts":"t","images":{images}}}"#);
    let left_out =
        format!(r#"{{"thoughts":"t","import":{{"left_out":{{"images":{}}}}}}}"#, large.len());
    for (id, content, metadata) in [
        ("whole", "see", Some(kept(&images))),
        ("patched", "see", Some(kept(&images))),
        ("other", "see", Some(kept("[]"))),
        ("large", "see", Some(left_out)),
        ("plain", "x", None),
    ] {
        let append = message::AppendParams {
            id: MessageId::parse(id).ok(),
            session_id: session_id("s"),
            role: Role::User,
            content: content.to_owned(),
            code_excerpt: None,
            metadata: metadata.map(|text| JsonObject::parse(text).expect("an object")),
            attachments: Vec::new(),
            expected_index: None,
            created_at: Some(1_762_007_200_214),
        };
        world.client.call::<message::Append>(&append).await.expect("appends");
    }
    let patch = message::UpdateParams {
        id: MessageId::parse("patched").expect("an id"),
        content: Some("mine".to_owned()),
        code_excerpt: None,
        metadata: Some(JsonObject::parse(r#"{"n":1}"#.to_owned()).ok()),
        attachments: None,
    };
    world.client.call::<message::Update>(&patch).await.expect("patches");
    let moved = "its images were in its metadata, they are attachments now: 3 messages, the first is messages[0]";
    let left = "stored with another content, left as it is: messages[2]";
    let both = "stored with another content, left as it is: 2 messages, the first is messages[1]";
    for notes in [&[moved, left][..], &[both], &[both]] {
        let (outcomes, totals) = world.import().await;
        assert_eq!((totals.messages.already_there, totals.already_there), (5, 1), "{outcomes:#?}");
        assert_eq!(
            (&outcomes[0].notes[..], &outcomes[0].problems),
            (&notes.iter().map(|note| (*note).to_owned()).collect::<Vec<_>>()[..], &vec![])
        );
        let stored = world.messages("s").await;
        let picture = [("image/png", Some("a.png"), 3)];
        assert_eq!(
            (metadata(&stored[0]), listed(&stored[0])),
            (r#"{"thoughts":"t"}"#, picture.to_vec())
        );
        assert_eq!(stored[1].content, "mine");
        assert_eq!(
            (metadata(&stored[1]), listed(&stored[1])),
            (r#"{"thoughts":"t","n":1}"#, picture.to_vec())
        );
        assert_eq!((metadata(&stored[2]), listed(&stored[2])), (kept("[]").as_str(), vec![]));
        let size = four_mib.len() as i64 / 4 * 3;
        assert_eq!(listed(&stored[3]), [("image/png", None, size); 2]);
        assert_eq!(metadata(&stored[3]), r#"{"thoughts":"t"}"#);
        assert_eq!(listed(&stored[4]), []);
    }
}

#[tokio::test]
async fn an_image_over_the_limit_is_left_out_and_told_as_ever() {
    let mut world = World::start().await;
    let image = format!(r#"{{"base64":"{}","mimeType":"image/png"}}"#, "A".repeat(12 << 20));
    let files = [pictured("m", &format!("[{IMAGE},{image}]"))];
    world.write("agent-sessions/_global/s.json", session_json("s", &files));
    for _ in 0..2 {
        let (outcomes, totals) = world.import().await;
        assert_eq!((totals.partly, outcomes[0].left_out), (1, 1));
        let told = format!(
            "message m (messages[0]): too large, left out: images ({} bytes)",
            image.len() + 2
        );
        assert_eq!(outcomes[0].problems, [told]);
        let note = "an image is over the limit of an attachment: messages[0]";
        assert_eq!(outcomes[0].notes, [note]);
        let stored = world.messages("s").await;
        assert_eq!(listed(&stored[0]), [("image/png", Some("a.png"), 3)]);
    }
}

/// They are stored together where they are ready at the same time, and it must not show.
#[tokio::test]
async fn many_new_sessions_at_once_have_the_outcomes_they_have_alone() {
    let mut world = World::start().await;
    let file = |name: &str| format!("agent-sessions/_global/{name}.json");
    world.write(&file("a"), session_json("a", &[message_json("taken", "x")]));
    world.write(&file("z"), session_json("z", &[message_json("gone", "x")]));
    world.import().await;
    let trashed = session::DeleteParams { id: session_id("z"), purge: false };
    world.client.call::<session::Delete>(&trashed).await.expect("deletes");
    for at in 0..20 {
        let id = |of: &str| format!("{of}{at}");
        let mut messages =
            vec![message_json(&id("m"), "x"), pictured(&id("p"), &format!("[{IMAGE}]"))];
        match at {
            3 => messages.insert(1, message_json("taken", "another")),
            7 => messages.extend((0..2500).map(|n| message_json(&format!("long{n}"), "x"))),
            9 => messages.push(message_json("m8", "of the one before")),
            11 => messages.push(message_json("big", &"y".repeat(MAX_CONTENT_BYTES + 1))),
            _ => {}
        }
        world.write(&file(&format!("n{at:02}")), session_json(&id("n"), &messages));
    }
    let (outcomes, totals) = world.import().await;
    assert_eq!(
        (totals.sessions_created, totals.skipped, totals.partly),
        (20, 1, 1),
        "{outcomes:#?}"
    );
    assert_eq!((totals.messages.imported, totals.messages.failed), (40 + 1 + 2500 + 1, 1));
    for (at, taken) in [(3, 1), (9, 2)] {
        let stored = world.messages(&format!("n{at}")).await;
        assert!(metadata(&stored[taken]).contains(r#""import":{"id":"taken""#), "{stored:?}");
        assert_eq!((stored.len(), stored[0].id.as_str()), (3, format!("m{at}").as_str()));
    }
    let long = world.ids("n7").await;
    assert_eq!((long.len(), long[2501].as_str()), (2502, "long2499"));
    let (verdicts, totals) = world.verify().await;
    assert_eq!((totals.equal, totals.differs, totals.missing), (20, 1, 1), "{verdicts:#?}");
    let (_, totals) = world.import().await;
    assert_eq!((totals.already_there, totals.partly, totals.skipped), (20, 1, 1));
}

#[tokio::test]
async fn a_daemon_that_is_gone_ends_the_import_with_an_error() {
    let mut world = World::start().await;
    world.write("agent-sessions/_global/s.json", session_json("s", &[message_json("m", "x")]));
    world.daemon.kill();
    let options = ImportOptions { paths: vec![world.ide.clone()], ..Default::default() };
    let error = import(&mut world.client, &options, &mut |_| ()).await.expect_err("fails");
    assert!(matches!(error, ImportError::NotBegun(_)), "{error}");
}
