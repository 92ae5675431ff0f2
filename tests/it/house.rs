//! What a reviewer would have to remember: forgotten test files, layers, the README's commands.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The modules of `src`, each using only those in lines above it, and its neighbours in the line.
const LAYERS: &[&[&str]] = &[
    // The binary's own, which knows of nothing.
    &["memory"],
    &["error"],
    &["model", "edit"],
    &["config", "paths"],
    &["api"],
    &["store"],
    &["search"],
    &["transport"],
    &["server"],
    &["client"],
    &["transfer"],
    &["daemon"],
    &["cli"],
];

/// What the order alone would allow: a layer, and what it must not use.
const FORBIDDEN: &[(&str, &[&str])] =
    &[("transport", &["api", "store"]), ("client", &["store", "server"])];

/// SQL stays in the store.
const SQL: &[&str] = &["SELECT ", "INSERT ", "UPDATE ", "DELETE FROM ", "CREATE ", "PRAGMA "];

#[test]
fn every_test_file_is_in_the_binary() {
    let folder = root().join("tests/it");
    let main = read(&folder.join("main.rs"));
    let mut forgotten = Vec::new();
    for entry in fs::read_dir(&folder).expect("tests/it is a folder") {
        let path = entry.expect("a file").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if name != "main" && !main.lines().any(|line| line.trim() == format!("mod {name};")) {
            forgotten.push(name);
        }
    }
    assert!(forgotten.is_empty(), "tests/it/main.rs does not name: {forgotten:?}");
}

#[test]
fn there_is_one_binary_of_integration_tests() {
    let strays: Vec<PathBuf> = fs::read_dir(root().join("tests"))
        .expect("tests is a folder")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    assert!(strays.is_empty(), "move into tests/it: {strays:?}");
}

#[test]
fn layers_use_only_those_above_them() {
    let mut broken = Vec::new();
    for (file, layer) in layered_files() {
        let Some(rank) = rank(&layer) else {
            broken.push(format!("{}: {layer} is in no layer of tests/it/house.rs", file.display()));
            continue;
        };
        for used in used_modules(&read(&file)) {
            let is_allowed = self::rank(&used).is_some_and(|used| used <= rank)
                && !FORBIDDEN
                    .iter()
                    .any(|(from, to)| *from == layer && to.contains(&used.as_str()));
            if !is_allowed {
                broken.push(format!("{}: {layer} must not use crate::{used}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn only_the_store_speaks_sql() {
    let mut broken = Vec::new();
    for (file, layer) in layered_files() {
        if layer == "store" {
            continue;
        }
        let code = without_comments(&read(&file));
        for keyword in SQL.iter().filter(|keyword| code.contains(**keyword)) {
            broken.push(format!("{}: {keyword}", file.display()));
        }
    }
    assert!(broken.is_empty(), "SQL outside src/store:\n{}", broken.join("\n"));
}

/// What a compaction's journal carries out again on a copy must leave the same rows there: so no SQL of
/// the store asks for a time, for chance, or for the number that the engine gave a row.
#[test]
fn no_sql_depends_on_when_or_where_it_is_carried_out() {
    const VARYING: [&str; 12] = [
        "RANDOM",
        "CURRENT_",
        "DATETIME",
        "STRFTIME",
        "JULIANDAY",
        "UNIXEPOCH",
        "DATE(",
        "TIME(",
        "CHANGES()",
        "LAST_INSERT",
        "ROWID",
        "INSERT OR",
    ];
    // What runs before the store is served, or reads the file of any program.
    const APART: [&str; 3] =
        ["src/store/migrations/", "src/store/compaction/", "src/store/recovery/"];
    let mut broken = Vec::new();
    for (file, layer) in layered_files() {
        let name = file.to_string_lossy().into_owned();
        if layer != "store" || APART.iter().any(|apart| name.contains(apart)) {
            continue;
        }
        for text in string_literals(&without_comments(&read(&file))) {
            let text = text.to_uppercase();
            if SQL.iter().any(|keyword| text.contains(keyword)) {
                let varies = VARYING.iter().filter(|word| text.contains(**word));
                broken.extend(varies.map(|word| format!("{name}: {word} in {text}")));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    let found = string_literals("f(\"SELECT \\\"a\\\"\", 'b', \"\", r#\"x\"#)");
    assert_eq!(found, ["SELECT \\\"a\\\"", "", "x"]);
}

/// The texts in double quotes, with their escapes as written.
fn string_literals(code: &str) -> Vec<String> {
    let mut literals = Vec::new();
    let mut rest = code.replace("'\"'", "' '");
    while let Some(at) = rest.find('"') {
        let body = rest.split_off(at + 1);
        let mut is_escaped = false;
        let end = body.find(|letter| {
            let ends = letter == '"' && !is_escaped;
            is_escaped = letter == '\\' && !is_escaped;
            ends
        });
        let Some(end) = end else { break };
        literals.push(body[..end].to_owned());
        rest = body[end + 1..].to_owned();
    }
    literals
}

#[test]
fn the_readme_says_how_to_run_and_test() {
    let readme = read(&root().join("README.md"));
    for command in ["cargo run --release -- serve", "cargo test"] {
        assert!(readme.contains(command), "README.md lacks `{command}`");
    }
}

#[test]
fn the_readmes_commands_exist() {
    let mut commands = BTreeSet::new();
    for line in code_lines(&read(&root().join("README.md"))) {
        let line = line.trim_start_matches("$ ");
        let Some(rest) =
            line.strip_prefix("aetherd ").or_else(|| line.strip_prefix("cargo run --release -- "))
        else {
            continue;
        };
        let word = rest.split_whitespace().next().unwrap_or_default();
        if word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-')
            && !word.starts_with('-')
        {
            commands.insert(word.to_owned());
        }
    }
    assert!(commands.contains("serve"), "README.md has no command in a code block: {commands:?}");
    for command in commands {
        let output = Command::new(env!("CARGO_BIN_EXE_aetherd"))
            .args([&command, "--help"])
            .output()
            .expect("the binary runs");
        assert!(output.status.success(), "README.md tells of `aetherd {command}`, which is not");
    }
}

#[test]
fn the_scan_finds_what_it_looks_for() {
    let code = "use crate::model::{A, B};\n// crate::server is fine here\nfn f() { crate::api::g(); } // crate::cli\n\
                $crate::store::x!();\nlet text = \"https://a/b\"; crate::error::E;\n";
    let used: Vec<String> = used_modules(code).into_iter().collect();
    assert_eq!(used, ["api", "error", "model", "store"]);
    assert_eq!(used_modules("use crate::{api::Method, model};").len(), 2, "a list of modules");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rank(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|line| line.contains(&layer))
}

/// Every file of the library with the name of its layer. `lib.rs` and `main.rs` are above all.
fn layered_files() -> Vec<(PathBuf, String)> {
    let source = root().join("src");
    let mut files = Vec::new();
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("a file").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
        .into_iter()
        .filter_map(|path| {
            let relative = path.strip_prefix(&source).expect("found below it");
            let first = relative.components().next().expect("a name").as_os_str().to_string_lossy();
            let layer = first.trim_end_matches(".rs").to_owned();
            (!["lib", "main"].contains(&layer.as_str())).then_some((path, layer))
        })
        .collect()
}

/// The modules after `crate::` in code, lists in braces included.
fn used_modules(code: &str) -> BTreeSet<String> {
    let code = without_comments(code);
    let mut modules = BTreeSet::new();
    for (at, path_start) in code.match_indices("crate::") {
        let after = &code[at + path_start.len()..];
        match after.strip_prefix('{') {
            None => modules.extend(first_word(after)),
            Some(list) => {
                let mut depth = 0_i32;
                let mut item = String::new();
                for letter in list.chars() {
                    match letter {
                        '}' if depth == 0 => break,
                        ',' if depth == 0 => modules.extend(first_word(&std::mem::take(&mut item))),
                        _ => {
                            depth += i32::from(letter == '{') - i32::from(letter == '}');
                            item.push(letter);
                        }
                    }
                }
                modules.extend(first_word(&item));
            }
        }
    }
    modules
}

/// The word a path starts with; none for a name that is no module, such as a type at the root.
fn first_word(path: &str) -> Option<String> {
    let word: String = path
        .trim_start()
        .chars()
        .take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
        .collect();
    (!word.is_empty()).then_some(word)
}

/// Code without its line comments, which may tell of any layer.
fn without_comments(code: &str) -> String {
    code.lines()
        .map(|line| match line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':')) {
            Some((at, _)) => &line[..at],
            None => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// The lines of a text's fenced code blocks.
fn code_lines(markdown: &str) -> Vec<&str> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if is_code {
            lines.push(line.trim());
        }
    }
    lines
}
