//! The index of a daemon that is killed while it writes it, and of one whose files are spoiled as it runs.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::scan::{all, begin, call, change, compare, write};
use crate::support::{Daemon, Home, LineClient, request};

const WRITERS: usize = 3;

/// Calls a method; `None` where the daemon is gone, or says no.
fn try_call(client: &mut LineClient, id: u64, method: &str, params: &Value) -> Option<Value> {
    client.try_send(&request(id, method, params)).ok()?;
    client.try_receive()?.get_mut("result").map(Value::take)
}

/// What was acknowledged of messages: the content of each, by its id.
type Acknowledged = HashMap<String, String>;

/// Appends and patches until the daemon is gone, and returns what it has acknowledged. A message whose
/// patch was not answered may have either content.
fn stream(socket: &Path, name: &str, seed: u64, count: &AtomicUsize) -> Acknowledged {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut client = LineClient::connect(socket);
    let mut acknowledged = Acknowledged::new();
    for number in 0.. {
        let content = format!("{} alpha", write(&mut random, 6));
        let is_patch = number > 0 && random.u8(0..4) == 0;
        let at = if is_patch { random.u64(0..number) } else { number };
        let id = format!("{name}-{at}");
        let (method, params) = if is_patch {
            ("message.update", json!({"id": id, "content": content}))
        } else {
            let session = format!("s{}", random.u8(0..4));
            let params =
                json!({"id": id, "session_id": session, "role": "user", "content": content});
            ("message.append", params)
        };
        if is_patch && !acknowledged.contains_key(&id) {
            continue;
        }
        if try_call(&mut client, number, method, &params).is_none() {
            if is_patch {
                acknowledged.remove(&id);
            }
            return acknowledged;
        }
        acknowledged.insert(id, content);
        count.fetch_add(1, Ordering::Relaxed);
    }
    acknowledged
}

/// Searches until the daemon is gone: each of them has the index committed, and so merged soon.
fn search_on(socket: &Path) {
    let mut client = LineClient::connect(socket);
    let params = json!({"query": "alpha", "limit": 1});
    for number in 0.. {
        if client.try_send(&request(number, "history.search", &params)).is_err()
            || client.try_receive().is_none()
        {
            return;
        }
    }
}

fn names_of(folder: &Path) -> Vec<std::ffi::OsString> {
    let files = std::fs::read_dir(folder).expect("an index");
    let mut names: Vec<_> = files.filter_map(|file| Some(file.ok()?.file_name())).collect();
    names.sort();
    names
}

/// Files of segments that the last commit does not name: of a commit or a merge that was under way.
fn half_done(index: &Path) -> usize {
    let meta = std::fs::read(index.join("meta.json")).expect("a commit");
    let named = String::from_utf8_lossy(&meta).replace('-', "");
    let names = names_of(index);
    let segments = names.iter().filter_map(|name| name.to_str()?.split_once('.'));
    segments.filter(|(name, _)| name.len() == 32 && !named.contains(name)).count()
}

/// Killed at any moment of a stream of writes, commits and merges: half of the times just when a file
/// of the index appears. The next daemon goes on with the index that is there.
#[test]
fn a_kill_amid_commits_and_merges_loses_nothing_of_what_is_found() {
    let home = Home::new();
    let (socket, index) = (home.socket(), home.path().join("search/index"));
    let mut random = fastrand::Rng::with_seed(11);
    let mut daemon = home.start();
    begin(&mut daemon.client());
    call(&mut daemon.client(), "history.search", &json!({"query": "alpha"}));
    let mut half_done_files = 0;
    for round in 0..8 {
        let count = AtomicUsize::new(0);
        let kill_behind = random.usize(20..200);
        let acknowledged: Vec<Acknowledged> = std::thread::scope(|scope| {
            let (socket, count) = (&socket, &count);
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let seed = random.u64(..);
                    scope.spawn(move || stream(socket, &format!("m{round}-{writer}"), seed, count))
                })
                .collect();
            scope.spawn(|| search_on(socket));
            while count.load(Ordering::Relaxed) < kill_behind {
                std::thread::yield_now();
            }
            if round % 2 == 0 {
                let before = names_of(&index);
                while names_of(&index) == before {
                    std::thread::yield_now();
                }
            }
            daemon.kill();
            writers.into_iter().map(|writer| writer.join().expect("a writer ends")).collect()
        });
        half_done_files += half_done(&index);
        daemon = home.start();
        let mut client = daemon.client();
        let found =
            all(&mut client, "history.search", &json!({"query": "alpha", "limit": 1000}), "hits");
        let ids: Vec<&str> = found.iter().filter_map(|hit| hit["message_id"].as_str()).collect();
        for (id, content) in acknowledged.iter().flatten() {
            assert_eq!(client.call("message.get", json!({"id": id}))["content"], *content);
            assert_eq!(ids.iter().filter(|found| *found == id).count(), 1, "{round}: {id}");
        }
        compare(&mut client, &mut random, 10);
    }
    assert!(half_done_files > 0, "no kill met a commit or a merge");
    let log = home.log();
    assert_eq!(log.matches("building the search index").count(), 1, "{log}");
}

/// True while the process has a file of the index mapped.
#[cfg(target_os = "linux")]
fn is_mapped(daemon: &Daemon, index: &Path) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", daemon.pid())).expect("it lives");
    maps.contains(index.to_str().expect("a path"))
}

/// Puts something in a file's place. What is mapped stays as it was: a file that is cut short under
/// its map would end the process.
#[cfg(target_os = "linux")]
fn replace(path: &Path, content: &[u8]) {
    let part = path.with_extension("part");
    std::fs::write(&part, content).expect("is written");
    std::fs::rename(&part, path).expect("is replaced");
}

/// What happens to a file, in a word and as it is done.
#[cfg(target_os = "linux")]
type Damage = (&'static str, fn(&Path));

#[cfg(target_os = "linux")]
const DAMAGES: [Damage; 4] = [
    ("idx", |path| std::fs::remove_file(path).expect("a file")),
    ("term", |path| {
        let bytes = std::fs::read(path).expect("a file");
        replace(path, &bytes[..bytes.len() / 2]);
    }),
    ("fast", |path| replace(path, &vec![0; std::fs::read(path).expect("a file").len()])),
    ("json", |path| replace(path, b"nothing of an index")),
];

/// Files of the index are gone, cut, zeroed and no JSON, of a daemon that has let go of them as no one
/// searched for a while: the next search waits for the new index, and the daemon lives on.
#[cfg(target_os = "linux")]
#[test]
fn a_search_that_meets_damage_under_a_running_daemon_has_the_index_built_anew() {
    std::thread::scope(|scope| {
        for damage in DAMAGES {
            scope.spawn(move || meet(damage));
        }
    });
}

#[cfg(target_os = "linux")]
fn meet((kind, spoil): Damage) {
    let home = Home::new();
    let index = home.path().join("search/index");
    let mut random = fastrand::Rng::with_seed(13);
    let mut daemon = home.start();
    let mut client = daemon.client();
    begin(&mut client);
    for number in 0..80 {
        change(&mut client, &mut random, number);
    }
    let params = json!({"query": "alpha OR NOT alpha", "limit": 1000});
    let before = call(&mut client, "history.search", &params);
    // Polled, for nobody is told when the index is let go of.
    while is_mapped(&daemon, &index) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let suffix = format!(".{kind}");
    let names = names_of(&index);
    let name = names.iter().find(|name| {
        name.to_str().is_some_and(|name| name.ends_with(&suffix) && !name.starts_with('.'))
    });
    spoil(&index.join(name.unwrap_or_else(|| panic!("no {kind}: {names:?}"))));
    let log = home.log().len();
    let page = client.call("history.search", params);
    let of = |page: &Value| {
        let hits = page["hits"].as_array().expect("hits").iter();
        let places =
            hits.map(|hit| (hit["session"]["id"].clone(), hit["index_in_session"].clone()));
        let mut places: Vec<String> = places.map(|place| format!("{place:?}")).collect();
        places.sort();
        places
    };
    assert_eq!(of(&page), of(&before), "{kind}");
    let said = home.log()[log..].to_owned();
    for told in ["a search met damage", "the search index is checked", "building the search index"]
    {
        assert_eq!(said.matches(told).count(), 1, "{kind}: {told}: {said}");
    }
    for number in 80..120 {
        change(&mut client, &mut random, number);
    }
    compare(&mut client, &mut random, 10);
    assert_eq!(client.call("system.status", json!({}))["search"]["state"], "ready");
    client.call("system.shutdown", json!({}));
    assert!(daemon.wait().success());
}
