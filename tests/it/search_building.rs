//! Searches, writes and the feed while the index is built: none waits for long, nothing is missed.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use aetherd::api::search::{HitPage, SearchParams};
use aetherd::api::system::{SearchState, SearchStatus};
use aetherd::error::{Error, Result};
use aetherd::search::{PendingSearch, Search};
use aetherd::server::wire_error;
use aetherd::store::{Store, messages, sessions};
use serde_json::{Value, json};

use crate::support::scan::{all, call};
use crate::support::{ENGINES, Home, LineClient, open_store, params, request, runtime};

/// More than the building reads at one time, many times over.
const MESSAGES: u64 = 3_000;

/// Takes the one reader that the building reads by, and gives it back when dropped.
async fn hold(store: &Store) -> mpsc::Sender<()> {
    let (give_back, given_back) = mpsc::channel::<()>();
    let (taken, is_taken) = tokio::sync::oneshot::channel();
    let reading = store
        .queue_long_read(move |_| {
            taken.send(()).expect("the test waits");
            // Nothing is ever sent.
            let _ = given_back.recv();
            Ok(())
        })
        .await
        .expect("is queued");
    is_taken.await.expect("is read");
    drop(reading);
    give_back
}

async fn append(store: &Store, ids: impl Iterator<Item = String>, content: &'static str) {
    let new = |id| json!({"id": id, "session_id": "s", "role": "user", "content": content});
    let all: Vec<_> = ids.map(|id| params(new(id))).collect();
    store
        .write(move |tx| all.iter().try_for_each(|one| messages::append(tx, one).map(|_| ())))
        .await
        .expect("is appended");
}

fn queue(search: &Search, query: &str) -> PendingSearch<HitPage> {
    let params: SearchParams = params(json!({"query": query, "limit": 1000}));
    search.queue(move |searcher| searcher.search(&params)).expect("is queued")
}

fn ids_of(page: Result<HitPage>) -> Vec<String> {
    let hits = page.expect("is found").hits;
    let mut ids: Vec<_> = hits.into_iter().filter_map(|hit| hit.message_id).collect();
    ids.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    ids.iter().map(ToString::to_string).collect()
}

/// The building stands still where the test says: a search tells how far it is once it has waited
/// long enough, and one whose wait is not over when the building goes on finds all, what was appended
/// and patched meanwhile too.
#[test]
fn a_search_waits_for_the_building_or_tells_how_far_it_is() {
    for engine in ENGINES {
        let home = Home::new();
        runtime().block_on(async {
            let store = Arc::new(open_store(&home, engine));
            let session = params(json!({"id": "s", "kind": "chat"}));
            store.write(move |tx| sessions::start(tx, &session)).await.expect("starts");
            append(&store, (0..MESSAGES).map(|number| format!("m{number}")), "common").await;
            let search = Search::start(home.path().join("search"), Arc::clone(&store))
                .expect("search starts");
            // A page at most is read between two holds, so the building is met before its end.
            let (held, met) = loop {
                let held = hold(&store).await;
                let status = search.status();
                match status.state {
                    SearchState::Building => break (held, status),
                    state => assert_eq!(state, SearchState::Opening, "{engine:?}"),
                }
            };
            append(&store, (0..3).map(|number| format!("n{number}")), "late").await;
            let patch = params(json!({"id": "m0", "content": "late"}));
            store.write(move |tx| messages::update(tx, &patch)).await.expect("is patched");
            let error = queue(&search, "late").result().await.expect_err("it is being built");
            let SearchStatus { done, total, lag, .. } = search.status();
            assert_eq!(total, MESSAGES + 1, "the title counts too");
            assert!(met.done <= done && done < total, "{done} of {total}");
            assert!(lag >= 4, "{lag}");
            let told = wire_error::from_error(&error);
            let data: Value =
                serde_json::from_str(told.data().expect("data").get()).expect("it is JSON");
            let expected =
                json!({"kind": "overloaded", "retryable": true, "done": done, "total": total});
            assert_eq!(data, expected);
            assert!(matches!(error, Error::Indexing { .. }), "{error}");
            let waiting = queue(&search, "late");
            drop(held);
            assert_eq!(ids_of(waiting.result().await), ["m0", "n0", "n1", "n2"], "{engine:?}");
            let status = search.status();
            assert_eq!((status.state, status.lag), (SearchState::Ready, 0));
            assert_eq!(status.documents, MESSAGES + 4);
            search.close().await;
            store.close().await.expect("closed");
        });
    }
}

/// Ends the busy reader when dropped, also by a failed assertion.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Keeps the reader busy that the building reads by, until it is told to stop.
fn keep_busy(socket: &Path, is_over: &AtomicBool) {
    const AT_ONE_TIME: u64 = 2;
    let mut client = LineClient::connect(socket);
    let mut sent = 0;
    for _ in 0..AT_ONE_TIME {
        client.send(&request(sent, "system.check", &json!({})));
        sent += 1;
    }
    while !is_over.load(Ordering::Relaxed) {
        let reply = client.receive();
        assert!(reply.get("error").is_none(), "{reply}");
        client.send(&request(sent, "system.check", &json!({})));
        sent += 1;
    }
}

fn append_many(client: &mut LineClient, name: &str, count: usize, content: &str) {
    let new =
        |number| json!({"id": format!("{name}-{number}"), "role": "user", "content": content});
    let messages: Vec<Value> = (0..count).map(new).collect();
    client.call("message.append_many", json!({"session_id": "s", "messages": messages}));
}

/// Clients write more than the feed keeps, again and again, while the index is built: it is built once.
#[test]
fn an_index_is_built_once_however_little_the_feed_keeps() {
    const CALLS: usize = 20;
    let home = Home::new();
    let mut daemon = home.start_with(&["--no-search"]);
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    for number in 0..10 {
        append_many(&mut client, &format!("before{number}"), 1000, "early");
    }
    client.call("system.shutdown", json!({}));
    daemon.wait();
    let log = home.log().len();
    let daemon = home.start_with(&["--feed-max-changes", "1"]);
    let mut client = daemon.client();
    let socket = home.socket();
    let is_over = AtomicBool::new(false);
    let status = |client: &mut LineClient| client.call("system.status", json!({}))["search"].take();
    std::thread::scope(|scope| {
        let ends = Ends(&is_over);
        scope.spawn(|| keep_busy(&socket, &is_over));
        while status(&mut client)["state"] == "opening" {
            std::thread::yield_now();
        }
        for number in 0..CALLS {
            append_many(&mut client, &format!("meanwhile{number}"), 100, "late");
            let search = status(&mut client);
            assert_eq!(search["state"], "building", "behind {number} calls: {search}");
            let (done, total) = (search["done"].as_u64(), search["total"].as_u64());
            assert!(done < total && total >= Some(10_001), "{search}");
        }
        drop(ends);
    });
    let late = json!({"query": "late", "limit": 1000});
    assert_eq!(all(&mut client, "history.search", &late, "hits").len(), CALLS * 100);
    assert_eq!(status(&mut client)["state"], "ready");
    let said = &home.log()[log..];
    assert_eq!(said.matches("building the search index").count(), 1, "{said}");
    assert!(!said.contains("is built anew"), "{said}");
    // What the index has now goes as the policy says.
    let start = client.call("events.since", json!({}))["cursor"].take();
    let mut number = 0;
    while client.reply("events.since", json!({"cursor": start})).get("error").is_none() {
        append_many(&mut client, &format!("behind{number}"), 100, "last");
        call(&mut client, "history.search", &late);
        number += 1;
    }
}
