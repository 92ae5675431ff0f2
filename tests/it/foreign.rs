//! Clients in other languages against the real daemon, each in its own framing.
//!
//! Each client tells the same story, checks every answer itself, and exits with 0 or says what was
//! not as expected. What a client needs and the machine lacks makes a test say `SKIPPED`, and with
//! `CI=true` fail: there nothing may be skipped silently.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Home, say_skipped};

#[test]
fn vscode_jsonrpc_speaks_content_length() {
    run_node_client("vscode_jsonrpc.mjs", "vscode-jsonrpc");
}

#[test]
fn ws_speaks_websocket() {
    run_node_client("ws.mjs", "ws");
}

#[test]
fn python_speaks_lines() {
    if has_command("python3", "--version") {
        run_client(Command::new("python3").arg(clients_folder().join("python/client.py")));
    } else {
        skip("python_speaks_lines", "python3");
    }
}

#[test]
fn curl_speaks_http() {
    if has_command("curl", "--version") && has_command("bash", "--version") {
        run_client(Command::new("bash").arg(clients_folder().join("curl.sh")));
    } else {
        skip("curl_speaks_http", "curl and bash");
    }
}

fn run_node_client(script: &str, package: &str) {
    let folder = clients_folder().join("node");
    if has_command("node", "--version") && folder.join("node_modules").join(package).is_dir() {
        run_client(Command::new("node").arg(folder.join(script)));
    } else {
        skip(script, "node and `npm ci` in tests/clients/node");
    }
}

/// Runs a client against a daemon of its own. A client ends by itself, in time: it has its own clock.
fn run_client(client: &mut Command) {
    let home = Home::new();
    let mut daemon = home.start();
    let output = client
        .arg(home.socket())
        .stdin(Stdio::null())
        .output()
        .expect("the client's interpreter runs");
    assert!(
        output.status.success(),
        "the client ended with {}\n{}{}\nthe daemon's log:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        home.log(),
    );
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0), "{}", home.log());
}

fn clients_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

fn has_command(name: &str, argument: &str) -> bool {
    Command::new(name)
        .arg(argument)
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|output| output.status.success())
}

fn skip(test: &str, needs: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{test} needs {needs}: in CI nothing is skipped"
    );
    say_skipped(test, needs);
}
