//! Projects: one a folder, however its path is spelled.

use aetherd::api::project::{OpenParams, Opened};
use aetherd::error::Error;
use aetherd::model::{ProjectId, Sightings};
use aetherd::store::{Store, places};
use serde_json::json;

use crate::support::{ENGINES, Home, error_kind, open_store, runtime};

async fn open(store: &Store, path: &str, id: Option<&str>) -> Result<Opened, Error> {
    let id = id.map(|id| ProjectId::parse(id).expect("an id"));
    let params = OpenParams { path: path.to_owned(), id, ..Default::default() };
    store.write(move |tx| places::open(tx, &params, &Sightings::default())).await
}

#[test]
fn a_folder_has_one_project_however_its_path_is_spelled() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            for (id, name, spellings) in [
                ("unix", "Shop", &["/home/me/Shop", "/home/me/Shop/", "/home//me/./x/../Shop"][..]),
                ("other", "shop", &["/home/me/shop", "//home/me/shop"]),
                ("drive", "Shop", &[r"C:\Users\Shop", "c:/users/shop/", r"\\?\C:\USERS\SHOP"]),
                ("share", "shop", &[r"\\host\disk\shop", r"\\HOST\Disk\.\SHOP\"]),
            ] {
                let first = open(&store, spellings[0], Some(id)).await.expect("opens");
                assert!(first.created, "{engine:?}");
                assert_eq!(first.project.name, name);
                for path in spellings {
                    let again = open(&store, path, None).await.expect("opens");
                    assert_eq!((again.project.id.as_str(), again.created), (id, false), "{path}");
                    assert_eq!(again.project.path, spellings[0], "the path stays as first sent");
                }
                let error = open(&store, spellings[1], Some("new")).await.expect_err("is taken");
                assert!(matches!(error, Error::Conflict { .. }), "{error}");
            }
            store.close().await.expect("closed");
        });
    }
}

#[test]
fn a_path_is_absolute_and_has_no_control_characters() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    for path in
        ["", "shop", "./shop", "../shop", "~/shop", "C:shop", "\\shop", "/sh\0op", "/shop\n"]
    {
        let error = client.fail("project.open", json!({"path": path}));
        assert_eq!(error_kind(&error), "invalid_params", "{path:?}");
        assert_eq!(error["data"]["field"], "path", "{path:?}");
    }
    assert_eq!(client.call("project.list", json!({}))["projects"], json!([]));
}

#[test]
fn settings_of_a_project_that_does_not_exist_are_not_found() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = daemon.client();
    client.call("settings.set", json!({"key": "k", "value": 1}));
    for (method, params) in [
        ("settings.get", json!({"key": "k", "project_id": "p"})),
        ("settings.list", json!({"project_id": "p"})),
        ("settings.delete", json!({"key": "k", "project_id": "p"})),
    ] {
        let error = client.fail(method, params.clone());
        assert_eq!(error_kind(&error), "not_found", "{method}: {error}");
        // One that was removed is still there.
        let id = format!("of-{method}");
        client.call("project.open", json!({"id": id, "path": format!("/{method}")}));
        client.call("project.remove", json!({"id": id}));
        let mut params = params.clone();
        params["project_id"] = json!(id);
        assert!(client.call(method, params).is_object(), "{method}");
    }
}
