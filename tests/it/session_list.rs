//! `session.list` against a naive list: every filter, every page, ties and the trash.

use aetherd::api::project::OpenParams;
use aetherd::api::session::{DeleteParams, IdParams, ListParams, StartParams, UpdateParams};
use aetherd::model::{ProjectId, SessionId, Sightings};
use aetherd::store::{Store, places, session_list, sessions, trash};

use serde_json::json;

use crate::support::{ENGINES, Home, open_store, runtime};

/// A session as far as the list is concerned.
struct Listed {
    id: String,
    project: Option<ProjectId>,
    kind: &'static str,
    at: i64,
    archived: bool,
    deleted: bool,
    parent: Option<SessionId>,
}

/// Starts sessions whose times are often the same, some of which came from the first one, and moves
/// some to the archive, some to the trash, and some from one to the other.
async fn fill(store: &Store, random: &mut fastrand::Rng) -> Vec<Listed> {
    for path in ["/p", "/q", "/empty"] {
        let id = ProjectId::parse(&path[1..]).ok();
        let params = OpenParams { path: path.to_owned(), id, ..Default::default() };
        store
            .write(move |tx| places::open(tx, &params, &Sightings::default()))
            .await
            .expect("opens");
    }
    let mut listed = Vec::new();
    for number in 0..120 {
        let project = random.choice([None, Some("p"), Some("q")]).flatten();
        let mut session = Listed {
            id: format!("s{}", (number * 77) % 120),
            project: project.map(|id| ProjectId::parse(id).expect("an id")),
            kind: random.choice(["chat", "chat", "chat", "chat\0", "agent", "é"]).expect("one"),
            at: random.i64(0..12),
            archived: number > 0 && random.u8(..4) == 0,
            deleted: number > 0 && random.u8(..4) == 0,
            parent: (number > 0 && random.bool()).then(|| SessionId::parse("s0").expect("an id")),
        };
        let id = SessionId::parse(session.id.as_str()).expect("an id");
        let params = StartParams {
            id: Some(id.clone()),
            project_id: session.project.clone(),
            kind: session.kind.to_owned(),
            // Now and then as much as is read of a kind at a time.
            description: (random.u8(..8) == 0).then(|| "d".repeat(50_000)),
            parent_id: session.parent.clone(),
            created_at: Some(session.at),
            ..StartParams::default()
        };
        store.write(move |tx| sessions::start(tx, &params)).await.expect("starts");
        if session.archived {
            archive(store, &id, true).await;
        }
        if session.deleted {
            let params = DeleteParams { id: id.clone(), purge: false };
            store.write(move |tx| trash::delete(tx, &params)).await.expect("deletes");
        }
        if random.u8(..8) == 0 {
            let params = IdParams { id: id.clone() };
            store.write(move |tx| trash::restore(tx, &params)).await.expect("restores");
            session.deleted = false;
            session.archived = !session.archived;
            archive(store, &id, session.archived).await;
        }
        listed.push(session);
    }
    listed
}

async fn archive(store: &Store, id: &SessionId, archived: bool) {
    let params: UpdateParams =
        serde_json::from_value(json!({"id": id, "archived": archived})).expect("params");
    store.write(move |tx| sessions::update(tx, &params)).await.expect("archives");
}

/// The params of a list: its shelf, and what else it is chosen by.
fn list_params(archived: bool, deleted: bool) -> ListParams {
    ListParams {
        project_id: None,
        kind: None,
        parent_id: None,
        archived,
        deleted,
        limit: 50,
        cursor: None,
    }
}

const SHELVES: [(bool, bool); 3] = [(false, false), (true, false), (false, true)];

async fn pages(store: &Store, mut params: ListParams) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let asked = params.clone();
        let page = store.read(move |tx| session_list::list(tx, &asked)).await.expect("a page");
        assert!(page.sessions.len() <= params.limit as usize);
        let is_full = page.sessions.len() == params.limit as usize;
        ids.extend(page.sessions.into_iter().map(|session| session.id.to_string()));
        match page.next_cursor {
            None => return ids,
            cursor => {
                assert!(is_full, "only the last page has room");
                params.cursor = cursor;
            }
        }
    }
}

#[test]
fn every_filter_and_every_page_is_what_a_naive_list_gives() {
    for engine in ENGINES {
        for seed in 0..2 {
            let home = Home::new();
            runtime().block_on(async {
                let store = open_store(&home, engine);
                let mut listed = fill(&store, &mut fastrand::Rng::with_seed(seed)).await;
                listed.sort_by(|one, other| (other.at, &other.id).cmp(&(one.at, &one.id)));
                for (archived, deleted) in SHELVES {
                    let listed = listed.iter().filter(|session| {
                        session.deleted == deleted && (deleted || session.archived == archived)
                    });
                    let children = listed.filter(|session| session.parent.is_some());
                    let expected: Vec<&str> = children.map(|session| session.id.as_str()).collect();
                    assert!(expected.len() > 2, "the random sessions are of all kinds");
                    for limit in [1, 7, 50] {
                        let parent_id = SessionId::parse("s0").ok();
                        let params =
                            ListParams { parent_id, limit, ..list_params(archived, deleted) };
                        let found = pages(&store, params.clone()).await;
                        assert_eq!(found, expected, "{engine:?} {seed}: {params:?}");
                    }
                }
                let of = |id: &str| Some(Some(ProjectId::parse(id).expect("an id")));
                let projects = [None, Some(None), of("p"), of("q"), of("empty"), of("gone")];
                for (project_id, (archived, deleted)) in
                    projects.iter().flat_map(|id| SHELVES.map(|shelf| (id, shelf)))
                {
                    for kind in [None, Some("chat"), Some("chat\0"), Some("agent"), Some("rare")] {
                        let expected: Vec<&str> = listed
                            .iter()
                            .filter(|session| {
                                session.deleted == deleted
                                    && (deleted || session.archived == archived)
                                    && project_id
                                        .as_ref()
                                        .is_none_or(|wanted| session.project == *wanted)
                                    && kind.is_none_or(|kind| session.kind == kind)
                            })
                            .map(|session| session.id.as_str())
                            .collect();
                        for limit in [1, 7, 1000] {
                            let params = ListParams {
                                project_id: project_id.clone(),
                                kind: kind.map(str::to_owned),
                                limit,
                                ..list_params(archived, deleted)
                            };
                            let found = pages(&store, params.clone()).await;
                            assert_eq!(found, expected, "{engine:?} {seed}: {params:?}");
                        }
                    }
                }
                store.close().await.expect("closed");
            });
        }
    }
}

#[test]
fn a_page_of_several_kinds_has_16_mib_too() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = open_store(&home, engine);
            for at in 0..5 {
                let params = StartParams {
                    id: SessionId::parse(format!("s{at}")).ok(),
                    kind: ["chat", "agent"][at % 2].to_owned(),
                    description: Some("d".repeat(6 << 20)),
                    created_at: Some(at as i64),
                    ..StartParams::default()
                };
                store.write(move |tx| sessions::start(tx, &params)).await.expect("starts");
            }
            let mut params = list_params(false, false);
            for expected in [&["s4", "s3"][..], &["s2", "s1"], &["s0"]] {
                let asked = params.clone();
                let page =
                    store.read(move |tx| session_list::list(tx, &asked)).await.expect("a page");
                let ids: Vec<_> = page.sessions.iter().map(|session| session.id.as_str()).collect();
                assert_eq!(ids, expected, "{engine:?}");
                params.cursor = page.next_cursor;
            }
            assert_eq!(params.cursor, None);
            store.close().await.expect("closed");
        });
    }
}
