//! The daemon's life: one a home, clean stops, sockets that are safe, panics that are contained.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Output, Stdio};

use aetherd::api::system::NoParams;
use aetherd::api::{Access, ErrorKind, Example, Method};
use aetherd::config::Config;
use aetherd::daemon;
use aetherd::paths::{Environment, MAX_SOCKET_PATH_BYTES, Paths};
use aetherd::server::methods::Methods;
use aetherd::transport::Listener;
use rustix::process::Signal;
use serde_json::json;

#[cfg(target_os = "linux")]
use crate::support::FlushShim;
use crate::support::{Home, LineClient, NOBODY, error_kind, request, runtime, say_skipped};

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).expect("it exists").mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

/// Runs `serve` where it must fail, and returns what it said.
fn refused(home: &Home, arguments: &[&str]) -> String {
    let output = home.command().args(arguments).arg("serve").output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    said(&output)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn daemons_that_race_for_a_home_leave_one() {
    let home = Home::new();
    let starters: Vec<_> = (0..6)
        .map(|_| {
            let mut command = home.command();
            command.arg("serve").stdout(Stdio::null()).stderr(Stdio::piped());
            command.spawn().expect("the binary starts")
        })
        .collect();
    // All but the one that serves end by themselves.
    let (sender, ended) = std::sync::mpsc::channel();
    let mut pids = Vec::new();
    for starter in starters {
        pids.push(starter.id());
        let sender = sender.clone();
        std::thread::spawn(move || sender.send((starter.id(), starter.wait_with_output())));
    }
    for _ in 0..5 {
        let (pid, output) = ended.recv().expect("a starter ends");
        let output = output.expect("its output");
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains("another aetherd"), "{}", said(&output));
        pids.retain(|other| *other != pid);
    }
    // It may still be opening its database when the others have given up.
    while UnixStream::connect(home.socket()).is_err() {
        assert!(ended.try_recv().is_err(), "the last one ended too");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let mut client = LineClient::connect(&home.socket());
    assert_eq!(client.call("system.ping", json!({}))["pid"], pids[0]);
    client.call("system.shutdown", json!({}));
    let (_, output) = ended.recv().expect("the last one ends");
    assert_eq!(output.expect("its output").status.code(), Some(0));
}

#[test]
fn signals_end_it_with_0_after_a_drain() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let home = Home::new();
        let mut daemon = home.start();
        if signal == Signal::HUP && ignores_hang_ups(daemon.pid()) {
            say_skipped("signals_end_it_with_0_after_a_drain: SIGHUP", "a run without nohup");
            continue;
        }
        let mut client = daemon.client();
        client.call("session.start", json!({"id": "s", "kind": "chat"}));
        let params = json!({"session_id": "s", "role": "user", "content": "c".repeat(800)});
        for id in 0..2_000 {
            client.send(&request(id, "message.append", &params));
        }
        assert!(client.receive()["result"].is_object());
        daemon.signal(signal);
        let (mut written, mut refused) = (1, 0);
        while let Some(reply) = client.try_receive() {
            if reply["result"].is_object() {
                written += 1;
            } else {
                assert_eq!(error_kind(&reply["error"]), "shutting_down");
                refused += 1;
            }
        }
        assert_eq!(written + refused, 2_000, "all that was sent is answered");
        assert_eq!(daemon.wait().code(), Some(0), "{}", home.log());
        assert!(!home.socket().exists(), "the socket is taken away");
        assert!(home.path().join("run/aetherd.lock").exists(), "the lock's file stays");
        assert_eq!(std::fs::metadata(home.path().join("ide.db-wal")).map_or(0, |log| log.len()), 0);
        let daemon = home.start();
        let count = &daemon.client().call("session.get", json!({"id": "s"}))["message_count"];
        assert_eq!(*count, written, "each write that stands was answered");
    }
}

/// True where the process was started with SIGHUP ignored, as by `nohup`. Linux alone tells it.
fn ignores_hang_ups(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).map(str::trim);
    mask.is_some_and(|mask| u64::from_str_radix(mask, 16).expect("a mask") & 1 == 1)
}

#[test]
#[cfg(target_os = "linux")]
fn under_nohup_it_outlives_its_terminal() {
    let home = Home::new();
    let mut command = std::process::Command::new("nohup");
    command.arg(env!("CARGO_BIN_EXE_aetherd")).arg("--home").arg(home.path()).arg("serve");
    let mut daemon = home.start_command(command);
    daemon.signal(Signal::HUP);
    assert!(daemon.client().call("system.ping", json!({})).is_object());
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    let log = home.log();
    assert!(log.contains("SIGTERM") && !log.contains("SIGHUP"), "{log}");
}

/// What arrived before the end is answered too, so that a client knows what was not carried out.
#[test]
fn calls_behind_a_shutdown_are_told() {
    let home = Home::new();
    let mut daemon = home.start();
    let mut client = daemon.client();
    let set = |id, value| request(id, "settings.set", &json!({"key": "k", "value": value}));
    let shutdown = request(2, "system.shutdown", &json!({}));
    // With an empty line behind the last, so that it is whole when it arrives.
    client.send(&[set(1, 1), shutdown, set(3, 3), String::new()].join("\n"));
    let mut replies = std::collections::BTreeMap::new();
    while let Some(reply) = client.try_receive() {
        replies.insert(reply["id"].as_u64().expect("an id"), reply);
    }
    assert!(replies[&1].get("result").is_some() && replies[&2].get("result").is_some());
    assert_eq!(error_kind(&replies[&3]["error"]), "shutting_down");
    assert_eq!(replies[&3]["error"]["data"]["retryable"], true);
    assert!(daemon.wait().success());
    let daemon = home.start();
    assert_eq!(daemon.client().call("settings.get", json!({"key": "k"}))["value"], 1);
}

/// A client may take its replies only once it has sent all its calls. A stop that no longer read it
/// would wait for it, and it for the stop.
#[test]
fn a_stop_is_not_held_up_by_a_client_that_is_sending() {
    const CALLS: u64 = 300;
    let home = Home::new();
    let mut daemon = home.start();
    let mut client = daemon.client();
    client.call("session.start", json!({"id": "s", "kind": "chat"}));
    let calls: String = (0..CALLS)
        .map(|id| {
            let params = json!({"session_id": "s", "role": "user", "content": "x".repeat(20_000)});
            request(id, "message.append", &params) + "\n"
        })
        .collect();
    let mut sending = daemon.client();
    let sender = std::thread::spawn(move || {
        // Where the stop came between two of its calls, the connection may be closed by now.
        let _ = sending.try_send(&calls);
        let mut answered = 0;
        while let Some(reply) = sending.try_receive() {
            let told =
                reply.get("result").is_some() || error_kind(&reply["error"]) == "shutting_down";
            assert!(told, "{reply}");
            answered += 1;
        }
        answered
    });
    while client.call("session.get", json!({"id": "s"}))["next_index"] == 0 {}
    let asked = std::time::Instant::now();
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());
    assert!(asked.elapsed() < std::time::Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(sender.join().expect("it sends") > 0);
}

#[test]
fn a_stale_socket_is_taken_over() {
    let home = Home::new();
    let mut daemon = home.start();
    daemon.kill();
    assert!(home.socket().exists(), "a crash leaves the socket");
    let daemon = home.start();
    assert!(daemon.client().call("system.ping", json!({})).is_object());
}

#[test]
fn what_is_not_a_stale_socket_is_never_touched() {
    let home = Home::new();
    let run = home.path().join("run");
    std::fs::create_dir(&run).expect("a folder");
    set_mode(&run, 0o700);

    let live = UnixListener::bind(home.socket()).expect("a socket");
    let inode = std::fs::metadata(home.socket()).expect("it exists").ino();
    assert!(refused(&home, &[]).contains("another process listens"));
    assert_eq!(std::fs::metadata(home.socket()).expect("it is still there").ino(), inode);
    drop(live);

    std::fs::remove_file(home.socket()).expect("removed");
    std::fs::write(home.socket(), "a file").expect("a file");
    assert!(refused(&home, &[]).contains("is not a socket"));
    assert_eq!(std::fs::read_to_string(home.socket()).expect("it is still there"), "a file");

    let aside = home.path().join("aside");
    std::fs::rename(&run, &aside).expect("moved");
    std::os::unix::fs::symlink(&aside, &run).expect("a link");
    assert!(refused(&home, &[]).contains("is not a folder"));
}

#[test]
fn a_socket_path_that_is_too_long_says_what_to_do() {
    let home = Home::new();
    let long = format!("{}/{}.sock", home.path().display(), "s".repeat(120));
    let error = refused(&home, &["--socket", &long]);
    assert!(
        error.contains("--socket") && error.contains("107") || error.contains("103"),
        "{error}"
    );
    assert!(!Path::new(&long).exists());
}

#[test]
fn what_is_no_folder_is_refused_as_a_home() {
    let home = Home::new();
    let (file, link) = (home.path().join("file"), home.path().join("link"));
    std::fs::write(&file, "").expect("a file");
    std::os::unix::fs::symlink("/nowhere/at/all", &link).expect("a link");
    for wrong in [&file, &link, &file.join("below")] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_aetherd"));
        let output = command.arg("serve").arg("--home").arg(wrong).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        let said = said(&output);
        assert!(said.contains("is not a folder") && said.contains("--home"), "{said}");
    }
}

#[test]
fn a_folder_in_place_of_the_database_is_refused_and_kept() {
    let home = Home::new();
    let folder = home.path().join("ide.db");
    std::fs::create_dir(&folder).expect("a folder");
    set_mode(&folder, 0o755);
    let error = refused(&home, &[]);
    assert!(error.contains("ide.db is not a file; move it away"), "{error}");
    assert_eq!(mode(&folder), 0o755);
}

/// Runs as root only, since only root can be somebody else.
#[test]
fn a_database_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        say_skipped("a_database_of_another_user_is_refused", "root");
        return;
    }
    let open = Home::new();
    let binary = open.binary_for_everyone();
    let home = Home::new();
    std::fs::write(home.path().join("ide.db"), "").expect("a file");
    std::os::unix::fs::chown(home.path(), Some(NOBODY), Some(NOBODY)).expect("an owner");
    let mut command = std::process::Command::new(&binary);
    command.arg("serve").arg("--home").arg(home.path()).current_dir("/").uid(NOBODY).gid(NOBODY);
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("ide.db belongs to another user (uid 0)"), "{}", said(&output));
}

/// The socket is made under a name of its own, which can be the longer one.
#[test]
fn a_folder_that_is_too_long_to_make_a_socket_in_says_what_to_do() {
    let home = Home::new();
    // With `/a` behind it, it fits to the byte; with `/.s` and a process id it does not.
    let name = "f".repeat(MAX_SOCKET_PATH_BYTES - home.path().as_os_str().len() - "//a".len());
    let socket = home.path().join(name).join("a");
    assert_eq!(socket.as_os_str().len(), MAX_SOCKET_PATH_BYTES);
    let error = refused(&home, &["--socket", &socket.display().to_string()]);
    assert!(error.contains("a socket's address holds") && error.contains("--socket"), "{error}");
}

/// The daemons of two homes can be told to use one socket: it is never taken from a live one.
#[test]
fn binders_that_race_for_a_stale_socket_leave_one() {
    const RACERS: usize = 4;
    let home = Home::new();
    set_mode(home.path(), 0o700);
    let socket = home.path().join("a.sock");
    for round in 0..25 {
        drop(UnixListener::bind(&socket).expect("a socket that is stale from now on"));
        let start = std::sync::Barrier::new(RACERS);
        let race = || {
            let runtime = runtime();
            start.wait();
            let bound = runtime.block_on(Listener::bind(&socket));
            (bound, runtime)
        };
        let racers = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..RACERS).map(|_| scope.spawn(race)).collect();
            racers.into_iter().map(|racer| racer.join().expect("no panic")).collect::<Vec<_>>()
        });
        let mut winners = racers.iter().filter_map(|(bound, runtime)| match bound {
            Ok(listener) => Some((listener, runtime)),
            Err(error) => {
                assert!(error.to_string().contains("another process listens"), "{error}");
                None
            }
        });
        let (listener, runtime) = winners.next().expect("one wins");
        assert!(winners.next().is_none(), "round {round}: a live socket was replaced");
        let connected = UnixStream::connect(&socket).expect("the winner's socket is in place");
        runtime.block_on(listener.accept()).expect("and it is the winner who accepts");
        drop(connected);
        listener.remove();
        let left: Vec<_> = std::fs::read_dir(home.path()).expect("a folder").collect();
        assert!(left.is_empty(), "round {round}: {left:?}");
    }
}

#[test]
fn files_are_closed_to_others() {
    let home = Home::new();
    std::fs::write(home.path().join("ide.db"), "").expect("a file");
    set_mode(&home.path().join("ide.db"), 0o644);
    let daemon = home.start();
    daemon.client().call("settings.set", json!({"key": "k", "value": 1}));
    assert_eq!(mode(&home.socket()), 0o600);
    assert_eq!(mode(&home.path().join("run")), 0o700);
    assert_eq!(mode(&home.path().join("ide.db")), 0o600);
    assert_eq!(mode(&home.path().join("ide.db-wal")), 0o600);
    drop(daemon);

    set_mode(&home.path().join("run"), 0o755);
    let error = refused(&home, &[]);
    assert!(error.contains("chmod 700"), "{error}");
}

/// A power loss must not take the entry of a file whose bytes were flushed.
#[test]
#[cfg(target_os = "linux")]
fn new_files_are_flushed_with_their_folders() {
    let home = Home::new();
    let top = home.path().canonicalize().expect("it exists");
    let (middle, made) = (top.join("new"), top.join("new/home"));
    let shim = FlushShim::build(&home);
    // An import is a daemon for as long as it takes.
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_aetherd"));
    command.arg("--home").arg(&made).arg("import").arg(&top);
    shim.stand_before(&mut command);
    said(&command.output().expect("it runs"));
    let flushed = shim.flushed();
    let position = |path: &Path| flushed.iter().position(|one| one == path);
    let log = position(&made.join("ide.db-wal")).expect("the log is flushed");
    assert!(flushed[log..].contains(&made), "{flushed:?}");
    assert!(position(&middle).is_some() && position(&top).is_some(), "{flushed:?}");
}

/// Runs as root only, since only root can be somebody else.
#[test]
fn another_user_is_refused_and_root_is_not() {
    if !rustix::process::geteuid().is_root() {
        say_skipped("another_user_is_refused_and_root_is_not", "root");
        return;
    }
    let open = Home::new();
    let binary = open.binary_for_everyone();

    let home = Home::new();
    let daemon = home.start();
    // With every mode opened the peer's uid alone decides.
    set_mode(home.path(), 0o755);
    set_mode(&home.path().join("run"), 0o755);
    set_mode(&home.socket(), 0o666);
    let mut ping = std::process::Command::new(&binary);
    ping.arg("--home").arg(home.path()).args(["call", "system.ping"]);
    assert_eq!(ping.output().expect("it runs").status.code(), Some(0), "root may");
    let output = ping.uid(NOBODY).gid(NOBODY).output().expect("it runs");
    assert_ne!(output.status.code(), Some(0), "another user may not");
    assert!(output.stdout.is_empty());
    drop(daemon);

    let theirs = Home::new();
    std::os::unix::fs::chown(theirs.path(), Some(NOBODY), Some(NOBODY)).expect("an owner");
    let mut command = std::process::Command::new(&binary);
    command.arg("--home").arg(theirs.path()).arg("serve").uid(NOBODY).gid(NOBODY);
    let daemon = theirs.start_command(command);
    assert!(
        daemon.client().call("system.ping", json!({})).is_object(),
        "root may connect to theirs"
    );
}

macro_rules! panicking {
    ($name:ident, $wire:literal, $access:ident) => {
        enum $name {}
        impl Method for $name {
            const NAME: &'static str = $wire;
            const DOC: &'static str = "Panics.";
            const ACCESS: Access = Access::$access;
            const ERRORS: &'static [ErrorKind] = &[];
            const EXAMPLE: Example = Example { params: "{}", result: "null" };
            type Params = NoParams;
            type Result = ();
        }
    };
}
panicking!(PanicsInRead, "test.panic_read", Read);
panicking!(PanicsInWrite, "test.panic_write", Write);
panicking!(PanicsInServer, "test.panic_direct", Direct);

/// Runs a daemon with methods that panic, in this process, while `talk` talks to it.
fn with_panicking_daemon(talk: impl FnOnce(&Home) + Send) -> aetherd::error::Result<()> {
    let home = Home::new();
    let paths = Paths::resolve(&Environment {
        home: Some(home.path().to_owned()),
        ..Environment::default()
    })
    .expect("paths");
    let mut methods = Methods::standard();
    methods.read::<PanicsInRead>(|_, _| panic!("a read panics"));
    methods.write::<PanicsInWrite>(|_, _| panic!("a write panics"));
    methods.direct::<PanicsInServer>(|_, _| panic!("a handler panics"));
    let (ready, started) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let running = scope.spawn(move || {
            runtime().block_on(async {
                let daemon = daemon::start_with(&Config::new(paths), methods).await?;
                ready.send(()).expect("the test waits");
                daemon.run(std::future::pending()).await.map(|_| ())
            })
        });
        started.recv().expect("the daemon starts");
        talk(&home);
        running.join().expect("the daemon itself does not panic")
    })
}

#[test]
fn a_panic_in_a_read_answers_internal_and_the_daemon_lives_on() {
    let outcome = with_panicking_daemon(|home| {
        let mut client = LineClient::connect(&home.socket());
        // More often than there are readers.
        for _ in 0..5 {
            for method in ["test.panic_read", "test.panic_direct"] {
                let error = client.fail(method, json!({}));
                assert_eq!(error_kind(&error), "internal");
                assert!(!error["message"].as_str().expect("a text").contains("panics"), "{error}");
            }
        }
        client.call("settings.set", json!({"key": "k", "value": 1}));
        assert_eq!(client.call("settings.get", json!({"key": "k"}))["value"], 1);
        client.call("system.shutdown", json!({}));
    });
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[test]
fn a_panic_in_the_writer_ends_the_daemon() {
    let outcome = with_panicking_daemon(|home| {
        let mut client = LineClient::connect(&home.socket());
        client.call("settings.set", json!({"key": "k", "value": 1}));
        client.send(&request(1, "test.panic_write", &json!({})));
        // An answer may or may not get out; no result may.
        while let Some(reply) = client.try_receive() {
            assert_eq!(error_kind(&reply["error"]), "internal");
        }
    });
    let error = outcome.expect_err("the daemon ends with an error").to_string();
    assert!(error.contains("the writer panicked"), "{error}");
}

#[test]
fn the_socket_can_lie_elsewhere() {
    let home = Home::new();
    let elsewhere = Home::new();
    set_mode(elsewhere.path(), 0o700);
    let socket = elsewhere.path().join("a.sock");
    let mut command = home.command();
    command.env("AETHERD_SOCKET", &socket).arg("serve");
    let mut daemon = command.spawn().expect("the binary starts");
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(daemon.try_wait().expect("asked").is_none(), "the daemon ended");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let mut client = LineClient::connect(&socket);
    assert_eq!(
        client.call("system.hello", json!({"new_field": 1}))["paths"]["socket"],
        socket.display().to_string()
    );
    client.call("system.shutdown", json!({}));
    assert_eq!(daemon.wait().expect("it ends").code(), Some(0));
    assert!(!socket.exists());
}
