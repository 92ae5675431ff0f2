//! `aetherd import` from the command line: its options, exit codes, lines, JSON and the bar on a terminal.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::ide::{message_json, session_json};
use crate::support::{Home, say_skipped};

/// A home of the IDE with a session and a file that is none.
fn ide(home: &Home) -> PathBuf {
    let folder = home.path().join("ide/agent-history");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("a.json"), session_json("a", &[message_json("m", "x")]))
        .expect("writes");
    std::fs::write(folder.join("b.txt"), "x").expect("writes");
    home.path().join("ide")
}

fn import(home: &Home, path: &Path, options: &[&str]) -> Output {
    home.command().arg("import").arg(path).args(options).output().expect("it runs")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// Every line as JSON; the last has the totals.
fn lines(output: &Output) -> Vec<Value> {
    out(output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_dry_run_says_what_the_run_says_and_verify_judges_both() {
    let home = Home::new();
    let ide = ide(&home);
    // Without a daemon and with one.
    for round in 0..2 {
        let daemon = (round == 1).then(|| home.start());
        let foreseen = import(&home, &ide, &["--json", "--dry-run"]);
        assert_eq!(foreseen.status.code(), Some(0));
        let before = import(&home, &ide, &["--verify", "--json"]);
        let expected = if round == 0 { (Some(1), "missing") } else { (Some(0), "equal") };
        assert_eq!(
            (before.status.code(), lines(&before)[0]["verdict"].as_str()),
            (expected.0, Some(expected.1))
        );
        let done = import(&home, &ide, &["--json"]);
        assert_eq!(out(&foreseen), out(&done));
        let totals = &lines(&done)[2]["totals"];
        assert_eq!(totals["messages"][if round == 0 { "imported" } else { "already_there" }], 1);
        let after = import(&home, &ide, &["--verify"]);
        assert_eq!(after.status.code(), Some(0));
        let text = out(&after);
        assert!(
            text.contains("a.json: equal; ") && text.contains("2 files: 1 equal, 1 skipped; 0 of "),
            "{text}"
        );
        assert!(after.stderr.is_empty(), "no bar where there is no terminal");
        drop(daemon);
    }
}

#[test]
fn what_a_path_holds_is_said_or_found_out() {
    let home = Home::new();
    let ide = ide(&home);
    assert_eq!(import(&home, &ide, &["--from", "rainy-aether"]).status.code(), Some(0));
    assert_eq!(import(&home, &ide, &["--from", "elsewhere"]).status.code(), Some(2));
    assert_eq!(import(&home, &ide, &["--verify", "--dry-run"]).status.code(), Some(2));
}

/// Runs a command whose outputs are a terminal, which Python has the calls for.
#[test]
fn a_bar_is_shown_on_a_terminal_and_the_totals_below_it() {
    const ON_A_TERMINAL: &str =
        "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    if !Command::new("python3").arg("--version").output().is_ok_and(|ran| ran.status.success()) {
        say_skipped("a_bar_is_shown_on_a_terminal_and_the_totals_below_it", "python3");
        return;
    }
    let home = Home::new();
    let ide = ide(&home);
    let run = |json: &str| {
        let mut command = Command::new("python3");
        command.args(["-c", ON_A_TERMINAL, env!("CARGO_BIN_EXE_aetherd"), "--home"]);
        command.arg(home.path()).arg("import").arg(&ide);
        if !json.is_empty() {
            command.arg(json);
        }
        command.env("TERM", "xterm").stdin(Stdio::null()).output().expect("it runs")
    };
    let output = run("");
    assert_eq!(output.status.code(), Some(0));
    let text = out(&output);
    assert!(text.contains("of 2 files"), "{text:?}");
    assert!(text.contains("2 files: 1 imported"), "{text:?}");
    // What is as it should be has no line of its own there, what is passed over has.
    assert!(!text.contains("a.json: imported") && text.contains("b.txt: skipped"), "{text:?}");
    let output = run("--json");
    let text = out(&output);
    assert!(!text.contains("of 2 files") && text.contains("\"already_there\""), "{text:?}");
}
