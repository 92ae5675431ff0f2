//! Injuries to a database and its log: the daemon starts, and every row is served or named as lost.

mod base;
mod injury;
mod kills;
mod look;
mod rows;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::support::{Daemon, Home, edit_database, reconnect, request};
use base::{Base, base, fill};
use injury::{INJURIES, Injury, PAGE};
use look::{Tally, look_for_every_row, report};

/// Injures a copy of the home, starts a daemon on it, and looks for every row.
fn injure(base: &Base, injury: Injury, seed: u64, with_backup: bool) -> Tally {
    let mut random = Rng::with_seed(seed);
    let home = injured(base, injury, &mut random, with_backup);
    look_for_every_row(
        base,
        &home,
        with_backup,
        &format!("{injury:?}, seed {seed}, backup {with_backup}"),
    )
}

/// Makes an injured copy of the home.
fn injured(base: &Base, injury: Injury, random: &mut Rng, with_backup: bool) -> Home {
    let home = Home::new();
    for name in ["ide.db", "ide.db-wal", "ide.db-mark"] {
        std::fs::copy(base.home.path().join(name), home.path().join(name)).expect("a copy");
    }
    if with_backup {
        let (from, to) = (base.home.path().join("backups"), home.path().join("backups"));
        std::fs::create_dir_all(&to).expect("a folder");
        std::fs::copy(from.join("ide-1-daily.db"), to.join("ide-1-daily.db")).expect("a copy");
    }
    injury.inflict(home.path(), random);
    home
}

/// Starts a daemon and waits until it has checked what it serves: where it finds damage, it begins anew
/// meanwhile.
fn start_checked(home: &Home) -> Daemon {
    const DEADLINE: Duration = Duration::from_secs(60);
    let checked = home.path().join("ide.db-checked");
    let _ = std::fs::remove_file(&checked);
    let started = Instant::now();
    let mut daemon = home.start_with(&["--no-search", "--check-after", "0"]);
    while !checked.exists() {
        assert!(daemon.is_running(), "{}", home.log());
        assert!(started.elapsed() < DEADLINE, "not checked: {}", home.log());
        std::thread::sleep(Duration::from_millis(2));
    }
    daemon.wait_until_it_answers(home);
    daemon
}

fn injure_many(seeds: std::ops::Range<u64>, with_backup: bool) {
    let base = base();
    let mut sum = Tally::default();
    for seed in seeds {
        let injury = INJURIES[seed as usize % INJURIES.len()];
        let tally = injure(&base, injury, seed, with_backup);
        if injury.leaves_names() {
            assert_eq!(tally.told, 0, "{injury:?}, seed {seed}: {tally:?}");
        }
        sum.served += tally.served;
        sum.named += tally.named;
        sum.told += tally.told;
    }
    // Most is served, and what has no name is told of.
    assert!(sum.served > 2 * (sum.named + sum.told), "{sum:?}");
}

/// Returns the seeds, or the one of `AETHERD_TEST_SEED`, to look at an injury alone.
fn seeds(all: std::ops::Range<u64>) -> std::ops::Range<u64> {
    let one = std::env::var("AETHERD_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    one.map_or(all, |seed: u64| seed..seed + 1)
}

#[test]
fn every_row_is_served_or_named_as_lost() {
    injure_many(seeds(0..102), false);
}

#[test]
fn every_row_of_the_backup_is_served() {
    injure_many(seeds(1_000..1_102), true);
}

/// What it filled before it failed is rolled back, and is not taken for saved.
#[test]
fn a_backup_that_fails_midway_leaves_no_trace() {
    let base = base();
    let home = injured(&base, Injury::NoDatabase, &mut Rng::with_seed(1), true);
    let backups = home.path().join("backups");
    let newest = backups.join("ide-2-daily.db");
    std::fs::copy(backups.join("ide-1-daily.db"), &newest).expect("a copy");
    edit_database(&newest, |connection| {
        connection
            .execute_batch(
                "INSERT INTO settings (scope, key, value, updated_at) VALUES ('user', 'newest', '1', 1);
                 ALTER TABLE files RENAME COLUMN language TO tongue;",
            )
            .expect("it is edited");
    });
    let what = "a backup without a column";
    look_for_every_row(&base, &home, true, what);
    assert!(home.log().contains("a backup cannot be read"), "{}", home.log());
    let report = report(&home).expect("a report");
    for (table, rows) in &base.backed_up {
        let from_backup = report["tables"][table]["from_backup"].as_u64().expect("a count");
        assert!(from_backup <= rows.len() as u64, "{table}: {from_backup} of {}", rows.len());
    }
}

/// Where damage is met under a running daemon, it recovers in the same process, and tells of it.
#[test]
fn damage_that_a_read_meets_is_recovered_and_told_of() {
    let home = Home::new();
    let mut daemon = home.start_with(&["--no-search"]);
    let mut client = daemon.client();
    fill(&mut client, 0..4);
    client.call("system.shutdown", json!({}));
    assert!(daemon.wait().success(), "{}", home.log());
    let mut daemon = start_checked(&home);
    let mut client = daemon.client();
    assert_eq!(client.call("system.status", json!({}))["recovery"], Value::Null);
    let instance = client.call("system.ping", json!({}))["instance_id"].take();
    let cursor = client.call("events.since", json!({}))["cursor"].take();
    // All but the first pages, of which the daemon has read most: no read can do without them.
    let database = home.path().join("ide.db");
    let mut bytes = std::fs::read(&database).expect("the file");
    let from = bytes.len() / PAGE / 2 * PAGE;
    bytes[from..].fill(0);
    {
        use std::os::unix::fs::FileExt as _;
        let file = std::fs::File::options().write(true).open(&database).expect("the file");
        file.write_all_at(&bytes[from..], from as u64).expect("it is damaged");
    }
    // The next doubt is followed at once.
    std::fs::remove_file(home.path().join("ide.db-checked")).expect("the note of the last check");
    let page_of = |session: &str| {
        let page = json!({"session_id": session, "limit": 1000, "order": "oldest"});
        request(1, "history.page", &page)
    };
    const SESSIONS: [&str; 4] = ["s0", "s1", "s2", "s3"];
    // The daemon may begin anew before all of them are answered.
    let is_met = SESSIONS.iter().any(|session| {
        client.try_send(&page_of(session)).is_err()
            || client.try_receive().is_none_or(|reply| reply.get("error").is_some())
    });
    assert!(is_met, "the damage is not met");
    let mut client = reconnect(&home.socket(), &instance);
    assert!(daemon.is_running(), "the process goes on");
    for session in SESSIONS {
        client.send(&page_of(session));
        let reply = client.receive();
        assert!(reply.get("result").is_some(), "what is left of {session} can be read: {reply}");
    }

    let status = client.call("system.status", json!({}));
    let recovery = &status["recovery"];
    assert!(recovery["lost"].as_u64().expect("a count") > 0, "{recovery}");
    assert_eq!(recovery["is_whole"], false);
    assert_eq!(status["warnings"][0]["kind"], "recovered_with_losses");
    let folder = PathBuf::from(recovery["folder"].as_str().expect("a folder"));
    assert!(folder.join("ide.db").exists() && folder.join("report.json").exists());
    // Who followed is told that it is another feed, whose first event tells why.
    let error = client.fail("events.since", json!({"cursor": cursor}));
    let oldest = &error["data"]["oldest"];
    let events = client.call("events.since", json!({"cursor": oldest}))["events"].take();
    assert_eq!(events[0]["topic"], "database.recovered", "{events}");
    assert_eq!(events[0]["entity_id"].as_str(), folder.file_name().and_then(|name| name.to_str()));
    assert!(home.log().contains("damaged"), "{}", home.log());
}
