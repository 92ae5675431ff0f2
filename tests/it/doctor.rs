//! The doctor: each thing that can go wrong is found, with what to do, and the safe ones are mended.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use crate::support::Home;

/// Runs the doctor, and returns its exit code and its findings.
fn doctor(home: &Home, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = home
        .command()
        .args(["--json", "doctor"])
        .args(arguments)
        .output()
        .expect("the binary runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    (output.status.code(), serde_json::from_str(&text).expect("findings"))
}

/// The findings of one check that are not well.
fn bad<'a>(findings: &'a [Value], check: &str) -> Vec<&'a Value> {
    findings.iter().filter(|one| one["check"] == check && one["level"] != "ok").collect()
}

#[test]
fn a_sound_home_is_well_with_a_daemon_and_without() {
    let home = Home::new();
    let (code, findings) = doctor(&home, &[]);
    assert_eq!(code, Some(0), "{findings:?}");
    let mut daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    client.call("system.backup", json!({}));
    let (code, findings) = doctor(&home, &[]);
    assert_eq!(code, Some(0), "{findings:?}");
    assert!(findings.iter().all(|one| one["level"] == "ok"), "{findings:?}");
    for check in
        ["home", "access", "room", "lock", "endpoint", "version", "index", "database", "backups"]
    {
        assert!(findings.iter().any(|one| one["check"] == check), "{check}: {findings:?}");
    }
    client.call("system.shutdown", json!({}));
    assert!(daemon.wait().success());
    let (code, findings) = doctor(&home, &[]);
    assert_eq!(code, Some(0), "{findings:?}");
    assert!(findings.iter().all(|one| one["level"] == "ok"), "{findings:?}");
}

#[test]
fn what_is_wrong_is_found_and_what_is_safe_is_mended() {
    let home = Home::new();
    let mut daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    daemon.kill();
    let run = home.path().join("run");
    std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let backups = home.path().join("backups");
    std::fs::create_dir_all(&backups).expect("a folder");
    let left = backups.join("ide-1-daily.db.unfinished");
    std::fs::write(&left, "half").expect("a file");
    // The killed daemon's socket is still there.
    assert!(home.socket().exists());
    let (code, findings) = doctor(&home, &[]);
    assert_eq!(code, Some(1), "{findings:?}");
    for check in ["access", "endpoint", "debris", "backups"] {
        let [finding] = bad(&findings, check)[..] else { panic!("{check}: {findings:?}") };
        assert!(finding["advice"].is_string() && finding["fixed"] == false, "{finding}");
    }
    assert!(left.exists() && home.socket().exists(), "it only looks");

    let (code, findings) = doctor(&home, &["--fix"]);
    assert_eq!(code, Some(0), "{findings:?}");
    for check in ["access", "endpoint", "debris"] {
        assert_eq!(bad(&findings, check)[0]["fixed"], true, "{findings:?}");
    }
    assert!(!left.exists() && !home.socket().exists());
    let mode = std::fs::metadata(&run).expect("a folder").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let (code, findings) = doctor(&home, &[]);
    assert_eq!(code, Some(0));
    assert!(bad(&findings, "access").is_empty() && bad(&findings, "endpoint").is_empty());
}

#[test]
fn a_damaged_database_is_found_and_the_next_start_recovers_it() {
    let home = Home::new();
    let mut daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    client.call("system.shutdown", json!({}));
    assert!(daemon.wait().success());
    let database = home.path().join("ide.db");
    let mut bytes = std::fs::read(&database).expect("the file");
    let middle = bytes.len() / 8192 * 4096;
    bytes[middle..middle + 4096].fill(0);
    std::fs::write(&database, &bytes).expect("it is damaged");
    let (code, findings) = doctor(&home, &["--fix"]);
    assert_eq!(code, Some(1), "{findings:?}");
    let [finding] = bad(&findings, "database")[..] else { panic!("{findings:?}") };
    assert_eq!((&finding["level"], &finding["fixed"]), (&json!("error"), &json!(false)));
    assert_eq!(std::fs::read(&database).expect("the file"), bytes, "it only looks");
}

#[test]
fn who_answers_and_who_does_not_is_told_apart() {
    let home = Home::new();
    let run = home.path().join("run");
    std::fs::create_dir(&run).expect("a folder");
    std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o700)).expect("a mode");
    // Something that is no socket.
    std::fs::write(home.socket(), "not a socket").expect("a file");
    let (code, findings) = doctor(&home, &["--fix"]);
    assert_eq!(code, Some(1), "{findings:?}");
    assert_eq!(bad(&findings, "endpoint")[0]["level"], "error");
    assert!(home.socket().exists(), "what is not ours is left alone");
    std::fs::remove_file(home.socket()).expect("deleted");
    // One who listens and hangs up.
    let listener = UnixListener::bind(home.socket()).expect("a socket");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for stream in listener.incoming().take(2) {
                drop(stream);
            }
        });
        let (code, findings) = doctor(&home, &["--fix"]);
        assert_eq!(code, Some(1), "{findings:?}");
        assert_eq!(bad(&findings, "endpoint")[0]["level"], "error");
    });
    assert!(home.socket().exists());
}
