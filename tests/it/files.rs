//! Files of projects: what a touch changes, where a file is, lists, and the table against a naive model.

use std::collections::BTreeMap;

use aetherd::api::file::{ListParams, Order, PathParams, TouchParams};
use aetherd::api::project::{OpenParams, RelocateParams};
use aetherd::error::Error;
use aetherd::model::limits::{
    MAX_CONTENT_BYTES, MAX_FILE_SIZE, MAX_JSON_DEPTH, MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_TIME,
    MIN_TIME,
};
use aetherd::model::{File, Json, ProjectId, Sightings, Topic};
use aetherd::store::{Store, changes, files, places, projects};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{ENGINES, Home, LineClient, error_kind, open_store, runtime};

fn project_id(id: &str) -> ProjectId {
    ProjectId::parse(id).expect("an id")
}

async fn open(store: &Store, id: &str, path: &str) {
    let params =
        OpenParams { path: path.to_owned(), id: Some(project_id(id)), ..OpenParams::default() };
    store.write(move |tx| places::open(tx, &params, &Sightings::default())).await.expect("opens");
}

async fn touch(store: &Store, params: TouchParams) -> Result<File, Error> {
    store.write(move |tx| files::touch(tx, &params)).await
}

async fn relocate(store: &Store, id: &str, path: &str) -> Result<(), Error> {
    let params = RelocateParams { id: project_id(id), path: path.to_owned() };
    store.write(move |tx| places::relocate(tx, &params).map(drop)).await
}

async fn get(store: &Store, project: &str, path: &str) -> Result<File, Error> {
    let params = PathParams { project_id: project_id(project), path: path.to_owned() };
    store.read(move |tx| files::get(tx, &params)).await
}

/// Returns the paths below the folder on all pages of a list.
async fn list(store: &Store, mut params: ListParams) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    loop {
        let asked = params.clone();
        let page = store.read(move |tx| files::list(tx, &asked)).await?;
        assert!(page.files.len() <= params.limit as usize);
        let is_full = page.files.len() == params.limit as usize;
        found.extend(page.files.into_iter().map(|file| file.relative_path));
        match page.next_cursor {
            None => return Ok(found),
            cursor => {
                assert!(is_full, "only the last page has room");
                params.cursor = cursor;
            }
        }
    }
}

fn all(project: &str, prefix: Option<&str>, order: Order, limit: u32) -> ListParams {
    ListParams {
        project_id: project_id(project),
        prefix: prefix.map(str::to_owned),
        order,
        limit,
        cursor: None,
    }
}

/// A daemon's client with the project `p` at `/p`.
fn with_project(home: &Home) -> (crate::support::Daemon, LineClient) {
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("project.open", json!({"id": "p", "path": "/p"}));
    (daemon, client)
}

#[test]
fn a_touch_changes_what_it_names_and_null_clears_it() {
    let home = Home::new();
    let (_daemon, mut client) = with_project(&home);
    let touch = |client: &mut LineClient, fields: Value| {
        let mut params = json!({"project_id": "p", "path": "src/a.rs"});
        params
            .as_object_mut()
            .expect("an object")
            .extend(fields.as_object().expect("fields").clone());
        client.call("file.touch", params)
    };
    let made = touch(&mut client, json!({}));
    for field in ["language", "size", "hash", "modified_at", "opened_at", "state"] {
        assert_eq!(made[field], Value::Null, "{field}");
    }
    assert_eq!(made["created_at"], made["updated_at"]);
    for (field, value, other) in [
        ("language", json!("rust"), json!("")),
        ("size", json!(0), json!(7)),
        ("hash", json!("abc"), json!("def")),
        ("modified_at", json!(5), json!(-5)),
        ("opened_at", json!(6), json!(3)),
        ("state", json!({"cursor": [1, 2], "folds": {"3": true}}), json!({"folds": {}})),
        ("state", json!([1.50, "x"]), json!(false)),
    ] {
        let before = client.call("file.get", json!({"project_id": "p", "path": "src/a.rs"}));
        for value in [&value, &other] {
            // What is not named stays, and of the state nothing stays that is not sent again.
            let touched = touch(&mut client, json!({field: value}));
            assert_eq!(&touched[field], value, "{field}");
            assert_eq!(touch(&mut client, json!({field: value})), touched, "a retry is the same");
            assert_eq!(touch(&mut client, json!({})), touched, "{field}");
            let mut expected = before.clone();
            expected[field] = value.clone();
            expected["updated_at"] = touched["updated_at"].clone();
            assert_eq!(touched, expected);
        }
        assert_eq!(touch(&mut client, json!({field: null}))[field], Value::Null);
    }
    let opened = touch(&mut client, json!({"opened": true}));
    assert!(opened["opened_at"].as_i64() >= made["created_at"].as_i64(), "{opened}");
    assert_eq!(touch(&mut client, json!({"opened": false})), opened);
    // Time never runs back.
    touch(&mut client, json!({"opened_at": MAX_TIME}));
    assert_eq!(touch(&mut client, json!({"opened": true}))["opened_at"], MAX_TIME);
    let status = client.call("system.status", json!({}));
    assert_eq!(status["stored"]["files"], 1);
}

#[test]
fn what_a_file_is_told_of_has_its_limits() {
    let home = Home::new();
    let (_daemon, mut client) = with_project(&home);
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let text = |bytes: usize| json!("x".repeat(bytes)).to_string();
    for (field, at, over, kind) in [
        ("language", text(MAX_NAME_BYTES), text(MAX_NAME_BYTES + 1), "too_large"),
        ("hash", text(MAX_NAME_BYTES), text(MAX_NAME_BYTES + 1), "too_large"),
        ("size", MAX_FILE_SIZE.to_string(), (MAX_FILE_SIZE + 1).to_string(), "invalid_params"),
        ("size", "0".to_owned(), "-1".to_owned(), "invalid_params"),
        ("modified_at", MIN_TIME.to_string(), (MIN_TIME - 1).to_string(), "invalid_params"),
        ("opened_at", MAX_TIME.to_string(), (MAX_TIME + 1).to_string(), "invalid_params"),
        ("state", nested(MAX_JSON_DEPTH), nested(MAX_JSON_DEPTH + 1), "invalid_params"),
        ("state", text(MAX_CONTENT_BYTES - 2), text(MAX_CONTENT_BYTES - 1), "too_large"),
        ("state", "1".to_owned(), r#""\ud800""#.to_owned(), "invalid_params"),
    ] {
        let mut ask = |value: &str| {
            client.send(&format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"file.touch","params":{{"project_id":"p","path":"x","{field}":{value}}}}}"#
            ));
            client.receive()
        };
        assert!(ask(&at)["result"].is_object(), "{field}");
        let error = ask(&over)["error"].take();
        assert_eq!(error_kind(&error), kind, "{field}: {error}");
        assert_eq!(error["data"]["field"], field, "{error}");
    }
    for method in ["file.touch", "file.get", "file.remove"] {
        let at = json!({"project_id": "p", "path": "x".repeat(MAX_PATH_BYTES)});
        assert_ne!(client.reply(method, at)["error"]["data"]["kind"], "too_large", "{method}");
        for (path, kind) in [
            ("x".repeat(MAX_PATH_BYTES + 1), "too_large"),
            (String::new(), "invalid_params"),
            ("a\nb".to_owned(), "invalid_params"),
            ("../x".to_owned(), "invalid_params"),
            ("/q/x".to_owned(), "invalid_params"),
            ("/p".to_owned(), "invalid_params"),
        ] {
            let error = client.fail(method, json!({"project_id": "p", "path": path}));
            assert_eq!(error_kind(&error), kind, "{method}: {error}");
            assert_eq!(error["data"]["field"], "path", "{method}: {error}");
        }
    }
    for (params, field) in [
        (json!({"prefix": "src/", "order": "recent"}), "prefix"),
        (json!({"prefix": "../"}), "prefix"),
        (json!({"prefix": "/q/"}), "prefix"),
        (json!({"order": "size"}), "order"),
        (json!({"limit": 0}), "limit"),
        (json!({"limit": 1001}), "limit"),
    ] {
        let mut params = params;
        params["project_id"] = json!("p");
        let error = client.fail("file.list", params);
        assert_eq!(
            (error_kind(&error), &error["data"]["field"]),
            ("invalid_params", &json!(field))
        );
    }
    let both = json!({"project_id": "p", "path": "x", "opened": true, "opened_at": 1});
    assert_eq!(client.fail("file.touch", both)["data"]["field"], "opened");
}

#[test]
fn a_project_off_the_list_has_no_files_until_it_is_back() {
    let home = Home::new();
    let (_daemon, mut client) = with_project(&home);
    client.call("file.touch", json!({"project_id": "p", "path": "x"}));
    client.call("project.remove", json!({"id": "p"}));
    for project in ["p", "none"] {
        for (method, params) in [
            ("file.touch", json!({"project_id": project, "path": "x"})),
            ("file.get", json!({"project_id": project, "path": "x"})),
            ("file.list", json!({"project_id": project})),
            ("file.remove", json!({"project_id": project, "path": "x"})),
        ] {
            let error = client.fail(method, params);
            assert_eq!(error_kind(&error), "not_found", "{method}: {error}");
            assert!(error["message"].as_str().is_some_and(|text| text.starts_with("project ")));
        }
    }
    client.call("project.open", json!({"path": "/p"}));
    let file = json!({"project_id": "p", "path": "x"});
    assert_eq!(client.call("file.get", file.clone())["path"], "x");
    assert_eq!(client.call("file.remove", file.clone()), json!({"removed": true}));
    assert_eq!(client.call("file.remove", file.clone()), json!({"removed": false}));
    assert_eq!(error_kind(&client.fail("file.get", file)), "not_found");
}

#[test]
fn a_page_of_files_has_16_mib_in_either_order() {
    let home = Home::new();
    let (_daemon, mut client) = with_project(&home);
    for number in 0..3 {
        client.call(
            "file.touch",
            json!({"project_id": "p", "path": number.to_string(), "opened_at": number, "state": "s".repeat(7 << 20)}),
        );
    }
    for (order, pages) in [("path", [&["0", "1"][..], &["2"]]), ("recent", [&["2", "1"], &["0"]])] {
        let mut params = json!({"project_id": "p", "order": order});
        for expected in pages {
            let page = client.call("file.list", params.clone());
            let paths: Vec<&Value> =
                page["files"].as_array().expect("files").iter().map(|file| &file["path"]).collect();
            assert_eq!(paths, expected, "{order}");
            params["cursor"] = page["next_cursor"].clone();
        }
        assert_eq!(params["cursor"], Value::Null);
    }
}

#[test]
fn files_move_with_their_project() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            open(&store, "p", "/old/shop").await;
            for path in ["src/Main.rs", "/old/shop/src/lib.rs"] {
                let params =
                    TouchParams { opened: true, ..TouchParams::new(project_id("p"), path) };
                touch(&store, params).await.expect("touched");
            }
            relocate(&store, "p", "/new/web-shop").await.expect("moves");
            let file = get(&store, "p", "/new/web-shop/src/lib.rs").await.expect("is there");
            // The path is as it was sent, the place is right.
            assert_eq!(
                (file.path.as_str(), file.relative_path.as_str()),
                ("/old/shop/src/lib.rs", "src/lib.rs")
            );
            assert!(get(&store, "p", "/old/shop/src/lib.rs").await.is_err(), "is outside now");
            // To a folder of Windows: case no longer counts, and back.
            relocate(&store, "p", r"\\wsl\Shop").await.expect("moves");
            let file = get(&store, "p", r"SRC\main.rs").await.expect("is there");
            assert_eq!(file.path, "src/Main.rs");
            assert_eq!(
                list(&store, all("p", Some(r"\\WSL\shop\Src\"), Order::Path, 50))
                    .await
                    .expect("a list"),
                ["src/lib.rs", "src/Main.rs"]
            );
            relocate(&store, "p", "/new/web-shop").await.expect("moves");
            assert!(get(&store, "p", "SRC/main.rs").await.is_err());
            get(&store, "p", "src/Main.rs").await.expect("is there");
            // Two files that would be one: nothing changes.
            touch(&store, TouchParams::new(project_id("p"), "src/main.rs")).await.expect("touched");
            let error = relocate(&store, "p", r"C:\shop").await.expect_err("is refused");
            assert!(matches!(error, Error::Conflict { .. }), "{error}");
            assert!(error.to_string().contains("src/Main.rs"), "{error}");
            let paths = list(&store, all("p", None, Order::Path, 50)).await.expect("a list");
            assert_eq!(paths, ["src/Main.rs", "src/lib.rs", "src/main.rs"], "{engine:?}");
            let project =
                store.read(|tx| projects::get(tx, &project_id("p"))).await.expect("a project");
            assert_eq!(project.path, "/new/web-shop");
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn the_feed_tells_of_files() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            open(&store, "p", "/p").await;
            let params = TouchParams {
                size: Some(Some(1)),
                ..TouchParams::new(project_id("p"), "/p/a/./b")
            };
            for _ in 0..2 {
                touch(&store, params.clone()).await.expect("touched");
            }
            for expected in [true, false] {
                let params = PathParams { project_id: project_id("p"), path: "a//b".to_owned() };
                let removed = store.write(move |tx| files::remove(tx, &params)).await;
                assert_eq!(removed.expect("removes"), expected);
            }
            let told = store.read(|tx| changes::after(tx, 0, 10)).await.expect("changes");
            let told: Vec<_> = told
                .iter()
                .map(|change| {
                    let project = change.project_id.as_ref().map(ProjectId::as_str);
                    (change.topic, change.entity_id.as_str(), project)
                })
                .collect();
            // What changes nothing is not told of.
            assert_eq!(
                told,
                [
                    (Topic::ProjectCreated, "p", Some("p")),
                    (Topic::FileTouched, "a/b", Some("p")),
                    (Topic::FileRemoved, "a/b", Some("p")),
                ],
                "{engine:?}"
            );
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn the_feed_gives_the_record_of_a_file_wherever_its_project_is() {
    let home = Home::new();
    let (_daemon, mut client) = with_project(&home);
    client.call("project.open", json!({"id": "w", "path": r"C:\w"}));
    let start = client.call("events.since", json!({}))["cursor"].take();
    let data_of = |client: &mut LineClient| {
        let params = json!({"cursor": start, "topics": ["file."]});
        let events = client.call("events.since", params)["events"].take();
        let events = events.as_array().expect("events").clone();
        events.into_iter().map(|mut event| event["data"].take()).collect::<Vec<Value>>()
    };
    let file = client.call("file.touch", json!({"project_id": "p", "path": "a/./b", "state": [1]}));
    // A name that alone would be a drive's.
    let odd = client.call("file.touch", json!({"project_id": "w", "path": r".\C:x"}));
    assert_eq!(odd["relative_path"], "C:x");
    assert_eq!(data_of(&mut client), [file.clone(), odd.clone()]);
    client.call("project.relocate", json!({"id": "p", "path": "/elsewhere"}));
    assert_eq!(data_of(&mut client), [file.clone(), odd.clone()]);
    // What no method shows is not shown here either.
    client.call("project.remove", json!({"id": "p"}));
    assert_eq!(data_of(&mut client), [Value::Null, odd.clone()]);
    client.call("project.open", json!({"path": "/elsewhere"}));
    client.call("file.remove", json!({"project_id": "w", "path": r"C:\w\C:x"}));
    assert_eq!(data_of(&mut client), [file, Value::Null, Value::Null]);
    let params = json!({"topics": ["project.relocated"], "cursor": start});
    let events = client.call("events.since", params);
    let [moved] = events["events"].as_array().expect("events").as_slice() else {
        panic!("{events}")
    };
    assert_eq!(moved["data"], client.call("project.get", json!({"id": "p"})));
}

/// The projects of the model: their folders now and later. The last two do not tell case apart; that
/// with no folder does not exist.
const FOLDERS: [&[&str]; 4] =
    [&["/p", "/x/Q"], &[r"C:\p", r"\\host\share\P"], &["/Users/me/p/"], &[]];
const NAMES: [&str; 6] = ["a", "A", "ab", "b", "é z", "É z"];

#[derive(Debug, Clone)]
enum Operation {
    Touch { file: AnyFile, opened_at: Option<Option<i64>>, state: Option<Option<u8>> },
    Get { file: AnyFile },
    Remove { file: AnyFile },
    List { project: usize, prefix: Vec<usize>, is_folder: bool, limit: u32 },
    Recent { project: usize, limit: u32 },
    Relocate { project: usize },
    TakeOff { project: usize },
    BringBack { project: usize },
}

/// A file by the numbers of its names, and which of its spellings is sent.
#[derive(Debug, Clone)]
struct AnyFile {
    project: usize,
    names: Vec<usize>,
    spelling: u8,
}

fn operations() -> impl Strategy<Value = Operation> {
    let file = || {
        (0..FOLDERS.len(), proptest::collection::vec(0..NAMES.len(), 1..3), 0_u8..5)
            .prop_map(|(project, names, spelling)| AnyFile { project, names, spelling })
    };
    let opened_at = proptest::option::of(proptest::option::of(0_i64..4));
    let state = proptest::option::of(proptest::option::of(0_u8..3));
    prop_oneof![
        8 => (file(), opened_at, state)
            .prop_map(|(file, opened_at, state)| Operation::Touch { file, opened_at, state }),
        2 => file().prop_map(|file| Operation::Get { file }),
        2 => file().prop_map(|file| Operation::Remove { file }),
        3 => (0..FOLDERS.len(), proptest::collection::vec(0..NAMES.len(), 0..3), any::<bool>(), 1_u32..5)
            .prop_map(|(project, prefix, is_folder, limit)| Operation::List { project, prefix, is_folder, limit }),
        2 => (0..FOLDERS.len(), 1_u32..5).prop_map(|(project, limit)| Operation::Recent { project, limit }),
        1 => (0..FOLDERS.len()).prop_map(|project| Operation::Relocate { project }),
        1 => (0..FOLDERS.len()).prop_map(|project| Operation::TakeOff { project }),
        2 => (0..FOLDERS.len()).prop_map(|project| Operation::BringBack { project }),
    ]
}

#[derive(Clone, Default)]
struct ModelProject {
    is_off: bool,
    folder: usize,
    /// By the names as they are compared.
    files: BTreeMap<String, ModelFile>,
}

#[derive(Clone, Default)]
struct ModelFile {
    names: String,
    opened_at: Option<i64>,
    state: Option<u8>,
}

#[derive(Default)]
struct Model(BTreeMap<usize, ModelProject>);

fn joined(names: &[usize]) -> String {
    names.iter().map(|name| NAMES[*name]).collect::<Vec<_>>().join("/")
}

fn compared(project: usize, text: &str) -> String {
    if project == 1 { text.to_uppercase() } else { text.to_owned() }
}

impl Model {
    fn new() -> Self {
        Self((0..3).map(|project| (project, ModelProject::default())).collect())
    }

    fn live(&mut self, project: usize) -> Result<&mut ModelProject, &'static str> {
        self.0.get_mut(&project).filter(|found| !found.is_off).ok_or("not_found")
    }

    fn spelled(&self, file: &AnyFile) -> String {
        let folder = self.0.get(&file.project).map_or(0, |project| project.folder);
        let folder = FOLDERS[file.project].get(folder).copied().unwrap_or("/none");
        let names: Vec<&str> = file.names.iter().map(|name| NAMES[*name]).collect();
        let separator = if file.project == 1 { "\\" } else { "/" };
        match file.spelling {
            0 => names.join("/"),
            1 => format!(".//{}/", names.join("/")),
            2 => format!("y/../{}", names.join("/./")),
            3 => format!("{folder}{separator}{}", names.join(separator)),
            _ => format!("{}/x/../{}", compared(file.project, folder), names.join("/")),
        }
    }

    fn run(&mut self, operation: &Operation) -> Result<Value, &'static str> {
        Ok(match operation {
            Operation::Touch { file, opened_at, state } => {
                let key = compared(file.project, &joined(&file.names));
                let stored = self.live(file.project)?.files.entry(key).or_default();
                stored.names = joined(&file.names);
                stored.opened_at = opened_at.unwrap_or(stored.opened_at);
                stored.state = state.unwrap_or(stored.state);
                json!([stored.names, stored.opened_at, stored.state])
            }
            Operation::Get { file } => {
                let key = compared(file.project, &joined(&file.names));
                let stored = self.live(file.project)?.files.get(&key).ok_or("not_found")?;
                json!([stored.names, stored.opened_at, stored.state])
            }
            Operation::Remove { file } => {
                let key = compared(file.project, &joined(&file.names));
                json!(self.live(file.project)?.files.remove(&key).is_some())
            }
            Operation::List { project, prefix, is_folder, .. } => {
                let slash = if *is_folder && !prefix.is_empty() { "/" } else { "" };
                let prefix = compared(*project, &(joined(prefix) + slash));
                let files = &self.live(*project)?.files;
                let found = files.iter().filter(|(key, _)| key.starts_with(&prefix));
                found.map(|(_, file)| json!(file.names)).collect()
            }
            Operation::Recent { project, .. } => {
                let files = &self.live(*project)?.files;
                let mut opened: Vec<_> = files
                    .iter()
                    .filter_map(|(key, file)| Some((file.opened_at?, key, file)))
                    .collect();
                opened.sort_by(|one, other| (other.0, other.1).cmp(&(one.0, one.1)));
                opened.into_iter().map(|(.., file)| json!(file.names)).collect()
            }
            Operation::Relocate { project } => {
                let found = self.0.get_mut(project).ok_or("not_found")?;
                found.folder = (found.folder + 1) % FOLDERS[*project].len();
                json!(true)
            }
            Operation::TakeOff { project } => {
                let found = self.0.get_mut(project).ok_or("not_found")?;
                json!(!std::mem::replace(&mut found.is_off, true))
            }
            Operation::BringBack { project } => {
                if let Some(found) = self.0.get_mut(project) {
                    found.is_off = false;
                }
                json!(true)
            }
        })
    }
}

fn shown(file: &File) -> Value {
    let state = file.state.as_ref().map(|state| state.as_str().to_owned());
    let state: Option<u8> = state.map(|text| text.parse().expect("a number"));
    json!([file.relative_path, file.opened_at, state])
}

/// Runs an operation on the store; `model` is as it was before, and tells where the projects are.
async fn run(store: &Store, model: &Model, operation: &Operation) -> Result<Value, Error> {
    let id = |project: usize| project_id(&format!("p{project}"));
    let path =
        |file: &AnyFile| PathParams { project_id: id(file.project), path: model.spelled(file) };
    Ok(match operation {
        Operation::Touch { file, opened_at, state } => {
            let state = state.map(|state| state.map(|state| Json::of(&state).expect("JSON")));
            let params = TouchParams {
                opened_at: *opened_at,
                state,
                ..TouchParams::new(id(file.project), model.spelled(file))
            };
            let path = params.path.clone();
            let file = touch(store, params).await?;
            assert_eq!(file.path, path, "as it was sent");
            shown(&file)
        }
        Operation::Get { file } => {
            let params = path(file);
            shown(&store.read(move |tx| files::get(tx, &params)).await?)
        }
        Operation::Remove { file } => {
            let params = path(file);
            json!(store.write(move |tx| files::remove(tx, &params)).await?)
        }
        Operation::List { project, prefix, is_folder, limit } => {
            let slash = if *is_folder && !prefix.is_empty() { "/" } else { "" };
            let prefix = joined(prefix) + slash;
            json!(
                list(store, all(id(*project).as_str(), Some(&prefix), Order::Path, *limit)).await?
            )
        }
        Operation::Recent { project, limit } => {
            json!(list(store, all(id(*project).as_str(), None, Order::Recent, *limit)).await?)
        }
        Operation::Relocate { project } => {
            let folder = model.0.get(project).map_or(0, |found| found.folder);
            let folders = FOLDERS[*project];
            let to = folders.get((folder + 1) % folders.len().max(1)).copied().unwrap_or("/none");
            relocate(store, id(*project).as_str(), to).await?;
            json!(true)
        }
        Operation::TakeOff { project } => {
            let id = id(*project);
            json!(store.write(move |tx| projects::remove(tx, &id)).await?)
        }
        Operation::BringBack { project } => {
            if let Some(found) = model.0.get(project) {
                open(store, id(*project).as_str(), FOLDERS[*project][found.folder]).await;
            }
            json!(true)
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_operations_do_what_the_model_does(operations in proptest::collection::vec(operations(), 1..60)) {
        for engine in ENGINES {
            let home = Home::new();
            runtime().block_on(async {
                let store = open_store(&home, engine);
                for (project, folders) in FOLDERS.iter().enumerate().filter(|(_, folders)| !folders.is_empty()) {
                    open(&store, &format!("p{project}"), folders[0]).await;
                }
                let mut model = Model::new();
                for operation in &operations {
                    let outcome = run(&store, &model, operation).await;
                    let outcome = outcome.map_err(|error| aetherd::api::ErrorKind::from(&error).word());
                    prop_assert_eq!(outcome, model.run(operation), "{:?}: {:?}", engine, operation);
                }
                let stored = store.read(aetherd::store::status::counts).await.expect("counts").files;
                let expected: usize = model.0.values().map(|project| project.files.len()).sum();
                prop_assert_eq!(stored, expected as i64);
                store.close().await.expect("the store closes");
                Ok(())
            })?;
        }
    }
}
