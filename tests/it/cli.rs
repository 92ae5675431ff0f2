//! The command line: what it prints, where, and with which exit code.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use aetherd::api::system::Limits;
use aetherd::daemon::{HomeLock, LockInfo};
use aetherd::model::limits::MAX_CONNECTIONS;
use aetherd::paths::Paths;
use serde_json::{Value, json};

use crate::support::{Daemon, Home, NOBODY, say_skipped};

fn run(home: &Home, arguments: &[&str]) -> Output {
    home.command().args(arguments).output().expect("the binary runs")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

#[test]
fn endpoint_prints_where_to_connect_and_nothing_else() {
    let home = Home::new();
    let output = run(&home, &["endpoint"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(out(&output), format!("{}\n", home.socket().display()));
    assert_eq!(err(&output), "");
    let output = home
        .command()
        .env("AETHERD_SOCKET", "/x/y.sock")
        .arg("endpoint")
        .output()
        .expect("it runs");
    assert_eq!(out(&output), "/x/y.sock\n");
}

#[test]
fn a_variable_that_is_empty_counts_as_unset() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aetherd"));
    for name in ["AETHERD_HOME", "AETHERD_SOCKET", "AETHERD_LOG"] {
        command.env(name, "");
    }
    let output = command.env("HOME", "/home/me").arg("endpoint").output().expect("it runs");
    assert_eq!(out(&output), "/home/me/.rainy-aether/run/aetherd.sock\n", "{}", err(&output));
}

/// Each command says what `serve` would say of places that no daemon can use.
#[test]
fn places_that_no_daemon_can_use_are_told_by_every_command() {
    let long = format!("/{}", "h".repeat(120));
    for (home, says) in [
        (OsStr::new(&long), "a socket's address holds"),
        (OsStr::from_bytes(b"/h\xff"), "is not UTF-8; choose another --home"),
    ] {
        for arguments in [&["endpoint"][..], &["status"], &["stop"], &["call", "system.ping"]] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_aetherd"));
            let command = command.env_remove("AETHERD_SOCKET").arg("--home").arg(home);
            let output = command.args(arguments).output().expect("it runs");
            assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""));
            assert!(err(&output).contains(says), "{arguments:?}: {}", err(&output));
        }
    }
}

#[test]
fn the_help_tells_the_exit_codes_as_the_readme_does() {
    let paragraph = |text: &str| {
        let start = text.find("Exit codes:").expect("the exit codes are told");
        let words = text[start..].split("\n\n").next().unwrap_or_default().split_whitespace();
        words.collect::<Vec<_>>().join(" ")
    };
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).expect("there is a README");
    let help = Command::new(env!("CARGO_BIN_EXE_aetherd")).arg("--help").output().expect("it runs");
    assert_eq!(paragraph(&out(&help)), paragraph(&readme));
}

#[test]
fn call_prints_the_result_and_errors_go_to_stderr() {
    let home = Home::new();
    let daemon = home.start();
    let output =
        run(&home, &["call", "session.start", r#"{"id": "s", "kind": "chat", "title": "é"}"#]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let session: Value = serde_json::from_str(&out(&output)).expect("JSON");
    assert_eq!(session["title"], "é");

    let mut child = home
        .command()
        .args(["call", "message.append", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let params =
        json!({"session_id": "s", "role": "user", "content": "by standard input"}).to_string();
    child.stdin.take().expect("a pipe").write_all(params.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(out(&output).contains("by standard input"));

    let output = run(&home, &["call", "session.get", r#"{"id": "nope"}"#]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(out(&output), "");
    assert_eq!(err(&output), "error: not_found: session \"nope\" does not exist\n");

    let output = run(&home, &["--json", "call", "session.get", r#"{"id": "nope"}"#]);
    let error: Value = serde_json::from_str(&err(&output)).expect("JSON");
    assert_eq!((&error["code"], &error["kind"]), (&json!(1404), &json!("not_found")));

    for wrong in ["{", "[1", "nothing"] {
        let output = run(&home, &["call", "system.ping", wrong]);
        assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    }
    assert_eq!(run(&home, &["call", "system.ping", "[]"]).status.code(), Some(1));
    assert_eq!(run(&home, &["nonsense"]).status.code(), Some(2));
    drop(daemon);
}

#[test]
fn without_a_daemon_commands_say_so() {
    let home = Home::new();
    for arguments in [&["status"][..], &["call", "system.ping"]] {
        let output = run(&home, arguments);
        assert_eq!(output.status.code(), Some(3));
        assert!(err(&output).contains("aetherd serve"), "{}", err(&output));
    }
    let output = run(&home, &["stop"]);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(0), "no daemon was running\n"));
}

#[test]
fn stop_returns_when_the_daemon_has_ended() {
    let home = Home::new();
    let mut daemon = home.start();
    let output = run(&home, &["stop"]);
    assert_eq!(
        (output.status.code(), out(&output).as_str()),
        (Some(0), "stopped\n"),
        "{}",
        err(&output)
    );
    assert_eq!(daemon.wait().code(), Some(0));
    // The home is free at once.
    let again = home.start();
    drop(again);
}

/// A stand-in for the daemon, whose successor takes the lock before anybody can see it free.
#[test]
fn stop_does_not_wait_for_a_successor() {
    let home = Home::new();
    std::fs::create_dir(home.path().join("run")).expect("a folder");
    let paths = Paths { home: home.path().to_owned(), socket: home.socket() };
    let info = |instance_id: &str| LockInfo {
        pid: std::process::id(),
        version: "0.1.0".to_owned(),
        protocol: 1,
        socket: home.socket().display().to_string(),
        instance_id: instance_id.to_owned(),
    };
    let lock = HomeLock::take(&paths).expect("the lock is free");
    lock.write(&info("the one")).expect("written");
    assert!(HomeLock::is_held_by(&paths, "the one").expect("it can be asked"));
    let listener = UnixListener::bind(home.socket()).expect("a socket");
    let stop = home.command().arg("stop").stdout(Stdio::piped()).spawn().expect("it starts");

    let (mut stream, _) = listener.accept().expect("the command connects");
    let mut lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
    let mut answer = |method: &str, result: Value| {
        let line = lines.next().expect("a call").expect("the command sends");
        let call: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(call["method"], method);
        let reply = json!({"jsonrpc": "2.0", "id": call["id"], "result": result});
        writeln!(stream, "{reply}").expect("the command reads");
    };
    let limits = serde_json::to_value(Limits::current()).expect("JSON");
    answer(
        "system.hello",
        json!({
            "name": "aetherd", "version": "0.1.0", "protocol": 1, "instance_id": "the one", "limits": limits,
            "paths": {"home": home.path(), "database": home.path().join("ide.db"), "socket": home.socket()},
        }),
    );
    drop(lock);
    let successor = HomeLock::take(&paths).expect("the lock is free");
    assert!(!HomeLock::is_held_by(&paths, "the one").expect("it can be asked"));
    successor.write(&info("the next")).expect("written");
    answer("system.shutdown", json!({"stopping": true}));
    let output = stop.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(0), "stopped\n"));
    assert!(HomeLock::is_held_by(&paths, "the next").expect("it can be asked"));
}

/// The lock is held, so a daemon runs, and its process id stands in the lock.
#[test]
fn a_daemon_without_its_socket_is_seen_and_ended() {
    let home = Home::new();
    let mut daemon = home.start();
    std::fs::remove_file(home.socket()).expect("the socket is deleted");

    let output = run(&home, &["status"]);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(3), ""));
    let pid = format!("pid {}", daemon.pid());
    assert!(err(&output).contains(&pid), "{}", err(&output));

    // Somebody else's socket is no reason to end this daemon.
    let other = home.path().join("other.sock").display().to_string();
    let output = run(&home, &["--socket", &other, "stop"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains(&home.socket().display().to_string()), "{}", err(&output));

    stops(&home, &mut daemon);
}

/// What stands in the lock may be of an earlier daemon, whose process id is another's by now.
#[test]
#[cfg(target_os = "linux")]
fn a_process_that_does_not_have_the_lock_is_not_ended() {
    let home = Home::new();
    std::fs::create_dir(home.path().join("run")).expect("a folder");
    let paths = Paths { home: home.path().to_owned(), socket: home.socket() };
    let lock = HomeLock::take(&paths).expect("the lock is free");
    let mut other = Command::new("cat").stdin(Stdio::piped()).spawn().expect("it starts");
    lock.write(&LockInfo {
        pid: other.id(),
        version: "0.1.0".to_owned(),
        protocol: 1,
        socket: home.socket().display().to_string(),
        instance_id: "an earlier one".to_owned(),
    })
    .expect("written");
    for (command, code) in [("stop", 1), ("status", 3)] {
        let output = run(&home, &[command]);
        assert_eq!((output.status.code(), out(&output).as_str()), (Some(code), ""), "{command}");
        assert!(!err(&output).contains(&other.id().to_string()), "{}", err(&output));
    }
    drop(other.stdin.take());
    assert_eq!(other.wait().expect("it ends").code(), Some(0), "it ended by itself");
}

#[test]
fn a_daemon_whose_connections_are_all_taken_is_seen_and_ended() {
    let home = Home::new();
    let mut daemon = home.start();
    let taken: Vec<_> = (0..MAX_CONNECTIONS).map(|_| daemon.client()).collect();

    let output = run(&home, &["status"]);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(3), ""));
    let pid = format!("pid {}", daemon.pid());
    let said = err(&output);
    assert!(said.contains(&pid) && said.contains("too many connections"), "{said}");

    stops(&home, &mut daemon);
    drop(taken);
}

fn stops(home: &Home, daemon: &mut Daemon) {
    let output = run(home, &["stop"]);
    let said = (output.status.code(), out(&output));
    assert_eq!(said, (Some(0), "stopped\n".to_owned()), "{}", err(&output));
    assert_eq!(daemon.wait().code(), Some(0), "{}", home.log());
}

/// Runs as root only, since only root can be somebody else.
#[test]
fn the_daemon_of_another_user_is_not_said_to_be_absent() {
    if !rustix::process::geteuid().is_root() {
        say_skipped("the_daemon_of_another_user_is_not_said_to_be_absent", "root");
        return;
    }
    let open = Home::new();
    let binary = open.binary_for_everyone();
    let home = Home::new();
    let daemon = home.start();
    for command in ["stop", "status"] {
        let output = Command::new(&binary)
            .arg("--home")
            .arg(home.path())
            .arg(command)
            .current_dir("/")
            .uid(NOBODY)
            .gid(NOBODY)
            .output()
            .expect("it runs");
        assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""), "{command}");
        assert!(err(&output).contains("another user"), "{}", err(&output));
    }
    assert!(daemon.client().call("system.ping", json!({})).is_object());
}

/// With `--socket` alone the daemon may be that of another home, whose end is waited for.
#[test]
fn stop_waits_for_the_daemon_at_the_socket_whatever_its_home() {
    let home = Home::new();
    let elsewhere = Home::new();
    let mut daemon = home.start();
    let socket = home.socket().display().to_string();
    let output = run(&elsewhere, &["--socket", &socket, "stop"]);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(0), "stopped\n"));
    // Its socket is taken away before it gives up the lock.
    assert!(!home.socket().exists());
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn status_is_for_people_and_for_programs() {
    let home = Home::new();
    let daemon = home.start();
    let text = out(&run(&home, &["status"]));
    assert!(text.contains("0 sessions, 0 messages"), "{text}");
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    client.call("settings.set", json!({"key": "k", "value": 1}));
    let text = out(&run(&home, &["status"]));
    assert!(
        text.contains(
            "1 session, 0 messages, 0 edits, 0 projects, 0 files, 1 setting, 0 attachments (0 B)\n"
        ),
        "{text}"
    );
    assert!(text.contains(&daemon.pid().to_string()), "{text}");
    let status: Value =
        serde_json::from_str(&out(&run(&home, &["--json", "status"]))).expect("JSON");
    assert_eq!(status["engine"], "turso");
}

/// Runs a command whose standard output is a terminal, which Python has the calls for.
#[test]
fn a_call_is_indented_on_a_terminal() {
    const ON_A_TERMINAL: &str =
        "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    if !Command::new("python3").arg("--version").output().is_ok_and(|ran| ran.status.success()) {
        say_skipped("a_call_is_indented_on_a_terminal", "python3");
        return;
    }
    let home = Home::new();
    let daemon = home.start();
    daemon.client().call("settings.set", json!({"key": "k", "value": {"a": [1.50]}}));
    let output = Command::new("python3")
        .args(["-c", ON_A_TERMINAL, env!("CARGO_BIN_EXE_aetherd"), "--home"])
        .arg(home.path())
        .args(["call", "settings.get", r#"{"key": "k"}"#])
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output).replace('\r', "");
    assert!(text.contains("\n  \"value\": {\n    \"a\": [\n      1.5\n"), "{text}");
    let plain = out(&run(&home, &["call", "settings.get", r#"{"key": "k"}"#]));
    assert_eq!(plain.lines().count(), 1, "{plain}");
}

#[test]
fn the_sqlite_engine_serves_too() {
    let home = Home::new();
    let daemon = home.start_with(&["--engine", "sqlite"]);
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    client.call("message.append", json!({"session_id": "s", "role": "user", "content": "c"}));
    assert_eq!(client.call("system.status", json!({}))["engine"], "sqlite");
    assert_eq!(client.call("system.check", json!({}))["ok"], true);
    drop(daemon);
    let output = run(&home, &["serve", "--engine", "oracle"]);
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
}

#[test]
fn the_log_is_json_when_asked_and_holds_nothing_users_wrote() {
    const SECRET: &str = "s3cret-of-the-user";
    let home = Home::new();
    let daemon = home.start_with(&["--log", "debug", "--log-format", "json"]);
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat", "title": SECRET}));
    client.call("message.append", json!({"session_id": "s", "role": "user", "content": SECRET}));
    client.call("settings.set", json!({"key": "k", "value": SECRET}));
    client.fail("message.append", json!({"session_id": "s", "role": SECRET, "content": SECRET}));
    client.send(&format!("{{{SECRET}"));
    client.receive();
    client.call("system.shutdown", json!({}));
    let mut daemon = daemon;
    assert_eq!(daemon.wait().code(), Some(0));
    let log = home.log();
    assert!(!log.contains(SECRET), "{log}");
    let messages: Vec<Value> = log
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).expect("a JSON line")["fields"]["message"].clone()
        })
        .collect();
    assert!(
        messages.contains(&json!("ready")) && messages.contains(&json!("stopped")),
        "{messages:?}"
    );
    let output = run(&home, &["--log", "loud=", "endpoint"]);
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
}
