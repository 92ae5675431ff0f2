//! Edits of files, recovered from the tool calls of a session where the session itself tells them whole.
//!
//! A tool call says what was put into a file, not where: a unified diff needs all that the file held.
//! So an edit is made of a call only where the calls before it tell that, and of no other:
//!
//! - `read_file` whose result has the `content`; a failed one that says there is no such file
//! - `write_file` and `create_file`, whose `content` is all that the file holds afterwards
//! - `edit_file` and `smart_edit`, where what they replace is in the known content just once
//!
//! `create_file` makes a file of which nothing is known, as its result says, and so does a `write_file`
//! whose result has `created: true`. What is known is forgotten when the user has spoken, since people
//! change files too; when a tool was called that is not known to read alone; when a call on the file
//! failed or is pending; and when a call does not fit it. Where a later `read_file` of the same turn
//! shows something else than the edits left, they are not made. A line number is never guessed.
//!
//! The paths are those of the calls, as written. An edit's id is a UUIDv5, of the namespace
//! `0b4d6a1e-57c9-5d0f-8a3e-91f26c7d4be5` and the name `SESSION\0MESSAGE\0CALL\0N`: their ids in the
//! file, and which call with that id of the message it is, from 0.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::diff;
use crate::api::Check as _;
use crate::api::edit::RecordParams;
use crate::model::{EditId, MessageId, Role, SessionId, hex};

/// The namespace of the ids of edits.
const EDIT_IDS: Uuid = Uuid::from_u128(0x0b4d_6a1e_57c9_5d0f_8a3e_91f2_6c7d_4be5);

/// Tools of the IDE that change no file.
const READING: &[&str] = &[
    "get_diagnostics",
    "git_diff",
    "git_log",
    "git_status",
    "list_dir",
    "list_files",
    "read_directory_tree",
    "search_code",
];

/// What the IDE's `read_file` puts behind the beginning of a large file.
const PREVIEW_MARK: &str = "CONTENT TRUNCATED - FILE SIZE:";

/// An edit as it will be recorded.
#[derive(Debug, Clone)]
pub(super) struct PlannedEdit {
    /// The place of its message in the file.
    pub(super) place: usize,
    /// What is recorded, but for its message.
    pub(super) record: RecordParams,
}

/// Goes through the tool calls of a session's messages, in order.
pub(super) struct Recovery<'a> {
    session_id: &'a SessionId,
    /// What files hold, by the path of the calls; `None` where there is no file.
    known: HashMap<String, Option<String>>,
    /// Edits made since the content of their file was last seen.
    unseen: HashMap<String, Vec<usize>>,
    edits: Vec<Option<PlannedEdit>>,
    /// Calls that changed a file of which not all is known.
    untold: usize,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Arguments {
    path: String,
    content: Option<String>,
    old_string: Option<String>,
    new_string: Option<String>,
    edits: Vec<Replacement>,
}

#[derive(Deserialize)]
struct Replacement {
    find: String,
    replace: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Outcome {
    success: Option<bool>,
    content: Option<String>,
    created: bool,
    error: Option<String>,
    status: Option<String>,
}

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Success,
    NoSuchFile,
    Other,
}

/// True where the text of a session may have a tool call that an edit is made of.
pub(super) fn may_have_edits(json: &str) -> bool {
    ["write_file", "create_file", "edit_file", "smart_edit"]
        .iter()
        .any(|tool| memchr::memmem::find(json.as_bytes(), tool.as_bytes()).is_some())
}

impl<'a> Recovery<'a> {
    pub(super) fn new(session_id: &'a SessionId) -> Self {
        Self {
            session_id,
            known: HashMap::new(),
            unseen: HashMap::new(),
            edits: Vec::new(),
            untold: 0,
        }
    }

    /// Goes through the calls of the next message, given as JSON.
    pub(super) fn look(&mut self, place: usize, id: &MessageId, role: Role, calls: Option<&str>) {
        if role == Role::User {
            self.forget_all();
        }
        let calls = calls.map(serde_json::from_str::<Vec<&RawValue>>);
        let mut numbers = HashMap::new();
        for call in calls.and_then(Result::ok).unwrap_or_default() {
            let Ok(call) = serde_json::from_str::<Call<'_>>(call.get()) else {
                self.forget_all();
                continue;
            };
            let call_id = call.id.as_deref().unwrap_or_default().to_owned();
            let number = numbers.entry(call_id.clone()).or_insert(0_usize);
            let name = format!("{}\0{id}\0{call_id}\0{number}", self.session_id);
            *number += 1;
            self.look_at(place, &call, &name);
        }
    }

    /// Returns the edits in order, and how many calls changed files of which not all is known.
    pub(super) fn finish(self) -> (Vec<PlannedEdit>, usize) {
        (self.edits.into_iter().flatten().collect(), self.untold)
    }

    fn look_at(&mut self, place: usize, call: &Call<'_>, name: &str) {
        let (end, outcome) = ending(call);
        if READING.contains(&call.name.as_ref()) {
            return;
        }
        let arguments: Option<Arguments> =
            call.arguments.and_then(|arguments| serde_json::from_str(arguments.get()).ok());
        let Some(arguments) = arguments.filter(|arguments| !arguments.path.is_empty()) else {
            if call.name != "read_file" {
                self.forget_all();
            }
            return;
        };
        let path = arguments.path.as_str();
        match (call.name.as_ref(), end) {
            ("read_file" | "edit_file", End::NoSuchFile) => self.see(path, None),
            ("read_file", End::Success) => match outcome.content {
                Some(content) if !content.contains(PREVIEW_MARK) => self.see(path, Some(content)),
                _ => {}
            },
            ("read_file", _) => {}
            ("write_file" | "create_file" | "edit_file" | "smart_edit", End::Success) => {
                let before = self.known.get(path).cloned();
                let (before, after) = match call.name.as_ref() {
                    "create_file" => {
                        (before.or(Some(None)), Some(arguments.content.unwrap_or_default()))
                    }
                    "write_file" if outcome.created => (before.or(Some(None)), arguments.content),
                    "write_file" => (before, arguments.content),
                    _ => {
                        let after = before.as_ref().and_then(|before| {
                            replaced(before.as_deref()?, &replacements(&call.name, &arguments)?)
                        });
                        (before, after)
                    }
                };
                self.forget_others(path);
                self.change(place, name, path, before, after);
            }
            // Its changes wait for the user, who may take them or not.
            ("write_file" | "create_file" | "edit_file" | "smart_edit" | "apply_file_diff", _) => {
                self.forget(path);
                self.forget_others(path);
            }
            _ => self.forget_all(),
        }
    }

    /// Notes what a file holds, seen by a call that read it.
    fn see(&mut self, path: &str, content: Option<String>) {
        if self.known.get(path).is_some_and(|known| *known != content) {
            // Somebody else has changed it since, before those edits or behind them.
            for edit in self.unseen.remove(path).unwrap_or_default() {
                self.edits[edit] = None;
                self.untold += 1;
            }
        }
        self.unseen.remove(path);
        self.known.insert(path.to_owned(), content);
    }

    /// Makes an edit of a change where both sides of it are known.
    fn change(
        &mut self,
        place: usize,
        name: &str,
        path: &str,
        before: Option<Option<String>>,
        after: Option<String>,
    ) {
        let Some(after) = after else {
            self.untold += 1;
            return self.forget(path);
        };
        match before {
            None => self.untold += 1,
            Some(before) if before.as_ref() == Some(&after) => {}
            Some(before) => match self.edit(name, path, before.as_deref(), &after) {
                None => self.untold += 1,
                Some(record) => {
                    self.unseen.entry(path.to_owned()).or_default().push(self.edits.len());
                    self.edits.push(Some(PlannedEdit { place, record }));
                }
            },
        }
        self.known.insert(path.to_owned(), Some(after));
    }

    /// Returns what is recorded of a change; `None` where the daemon would refuse it.
    fn edit(
        &self,
        name: &str,
        path: &str,
        before: Option<&str>,
        after: &str,
    ) -> Option<RecordParams> {
        let (diff, kind) = diff::between(path, before, after)?;
        let id = Uuid::new_v5(&EDIT_IDS, name.as_bytes()).to_string();
        let hash = |content: &str| hex(&Sha256::digest(content));
        let record = RecordParams {
            id: Some(EditId::parse(id).expect("a UUID is an id")),
            session_id: self.session_id.clone(),
            message_id: None,
            file_path: path.to_owned(),
            kind,
            diff,
            new_path: None,
            before_hash: before.map(hash),
            after_hash: Some(hash(after)),
        };
        record.check().is_ok().then_some(record)
    }

    fn forget(&mut self, path: &str) {
        self.known.remove(path);
        self.unseen.remove(path);
    }

    /// Forgets files that may be the one of a path under another name.
    fn forget_others(&mut self, path: &str) {
        let plain = |path: &str| {
            path.replace('\\', "/").trim_start_matches("./").trim_start_matches('/').to_lowercase()
        };
        let this = plain(path);
        let may_be_it = |other: &String| {
            let other_plain = plain(other);
            other != path && (other_plain.ends_with(&this) || this.ends_with(&other_plain))
        };
        self.known.retain(|other, _| !may_be_it(other));
        self.unseen.retain(|other, _| !may_be_it(other));
    }

    fn forget_all(&mut self) {
        self.known.clear();
        self.unseen.clear();
    }
}

fn ending(call: &Call<'_>) -> (End, Outcome) {
    let result = call.result.and_then(|result| serde_json::from_str::<Outcome>(result.get()).ok());
    let outcome = result.unwrap_or_default();
    let error = call.error.as_deref().or(outcome.error.as_deref());
    let is_pending = outcome.status.as_deref() == Some("pending_approval");
    let end = match (call.status.as_deref(), outcome.success, error) {
        (Some("success"), None | Some(true), None) if !is_pending => End::Success,
        (_, _, Some(error))
            if ["ENOENT", "No such file", "os error 2)"]
                .iter()
                .any(|told| error.contains(told)) =>
        {
            End::NoSuchFile
        }
        _ => End::Other,
    };
    (end, outcome)
}

fn replacements<'a>(tool: &str, arguments: &'a Arguments) -> Option<Vec<(&'a str, &'a str)>> {
    if tool == "edit_file" {
        return Some(vec![(arguments.old_string.as_deref()?, arguments.new_string.as_deref()?)]);
    }
    let edits = arguments.edits.iter();
    Some(edits.map(|edit| (edit.find.as_str(), edit.replace.as_str())).collect())
}

/// Returns a content after replacements; `None` where it is not certain what the IDE made of it.
///
/// It turns CRLF into LF, in some versions; and `String.replace` of JavaScript, which it uses, has a
/// meaning of its own for `$$`, `$&`, `` $` `` and `$'`.
fn replaced(content: &str, replacements: &[(&str, &str)]) -> Option<String> {
    const PATTERNS: &[&str] = &["$$", "$&", "$`", "$'"];
    let mut content = content.to_owned();
    for (find, replace) in replacements {
        let is_certain = !find.is_empty()
            && !PATTERNS.iter().any(|pattern| replace.contains(pattern))
            && ![content.as_str(), find, replace].iter().any(|text| text.contains('\r'));
        let at = content.find(find).filter(|_| is_certain)?;
        // Also one that overlaps it counts.
        let next = at + content[at..].chars().next().map_or(1, char::len_utf8);
        if content[next..].contains(find) {
            return None;
        }
        content.replace_range(at..at + find.len(), replace);
    }
    (!replacements.is_empty()).then_some(content)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::edit;
    use crate::model::EditKind;

    fn call(name: &str, arguments: Value, result: Value) -> Value {
        json!({"id": "t", "name": name, "arguments": arguments, "status": "success", "result": result})
    }

    fn read(content: &str) -> Value {
        call("read_file", json!({"path": "a"}), json!({"success": true, "content": content}))
    }

    fn replace(old: &str, new: &str) -> Value {
        let arguments = json!({"path": "a", "old_string": old, "new_string": new});
        call("edit_file", arguments, json!({"success": true}))
    }

    fn write(content: &str) -> Value {
        call("write_file", json!({"path": "a", "content": content}), json!({"success": true}))
    }

    /// The edits of messages, each with its role and calls, and the calls that give none.
    fn recovered(messages: &[(Role, Vec<Value>)]) -> (Vec<PlannedEdit>, usize) {
        let session_id = SessionId::parse("s").expect("an id");
        let mut recovery = Recovery::new(&session_id);
        for (place, (role, calls)) in messages.iter().enumerate() {
            let id = MessageId::parse(format!("m{place}")).expect("an id");
            recovery.look(place, &id, *role, Some(&Value::from(calls.clone()).to_string()));
        }
        recovery.finish()
    }

    fn of_calls(calls: Vec<Value>) -> (Vec<PlannedEdit>, usize) {
        recovered(&[(Role::Assistant, calls)])
    }

    #[test]
    fn a_file_that_was_read_is_edited_at_its_lines() {
        let (edits, untold) =
            of_calls(vec![read("1\n2\n3\nmid old end\n5\n"), replace("old", "new")]);
        assert_eq!((edits.len(), untold), (1, 0));
        let record = &edits[0].record;
        let diff =
            "--- a/a\n+++ b/a\n@@ -1,5 +1,5 @@\n 1\n 2\n 3\n-mid old end\n+mid new end\n 5\n";
        assert_eq!((record.diff.as_str(), record.kind), (diff, EditKind::Replace));
        assert_eq!(record.before_hash, Some(hex(&Sha256::digest("1\n2\n3\nmid old end\n5\n"))));
        let parsed = edit::parse(&record.diff).expect("a diff");
        let after = edit::apply(&parsed, Some("1\n2\n3\nmid old end\n5\n")).expect("fits");
        assert_eq!(after.as_deref(), Some("1\n2\n3\nmid new end\n5\n"));
        // Documented, so that anybody can find the edit of a call.
        let id = Uuid::new_v5(&EDIT_IDS, b"s\0m0\0t\x000").to_string();
        assert_ne!(record.id.as_ref().map(EditId::as_str), Some(id.as_str()), "the second call");
        let id = Uuid::new_v5(&EDIT_IDS, b"s\0m0\0t\x001").to_string();
        assert_eq!(record.id.as_ref().map(EditId::as_str), Some(id.as_str()));
    }

    #[test]
    fn each_call_goes_on_from_the_one_before() {
        let missing = json!({"id": "t", "name": "read_file", "arguments": {"path": "a"}, "status": "error",
            "error": "ENOENT: a"});
        let smart = call(
            "smart_edit",
            json!({"path": "a", "edits": [{"find": "x", "replace": "y"}, {"find": "y", "replace": "z"}]}),
            json!({"success": true}),
        );
        let (edits, untold) = of_calls(vec![missing, write("x\n"), smart, write("z\n"), write("")]);
        let told: Vec<_> =
            edits.iter().map(|edit| (edit.record.kind, edit.record.diff.as_str())).collect();
        let expected = [
            (EditKind::Insert, "--- /dev/null\n+++ b/a\n@@ -0,0 +1 @@\n+x\n"),
            (EditKind::Replace, "--- a/a\n+++ b/a\n@@ -1 +1 @@\n-x\n+z\n"),
            (EditKind::Delete, "--- a/a\n+++ b/a\n@@ -1 +0,0 @@\n-z\n"),
        ];
        assert_eq!((told.as_slice(), untold), (&expected[..], 0));
    }

    #[test]
    fn a_file_is_made_where_a_result_says_so() {
        let arguments = json!({"path": "a", "content": "x"});
        let created = call("create_file", arguments.clone(), json!({"success": true}));
        let written = call("write_file", arguments, json!({"success": true, "created": true}));
        for call in [created, written] {
            let (edits, untold) = of_calls(vec![call]);
            let diff = "--- /dev/null\n+++ b/a\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n";
            assert_eq!((edits[0].record.diff.as_str(), untold), (diff, 0));
            assert_eq!(edits[0].record.before_hash, None);
        }
    }

    #[test]
    fn what_is_not_certain_gives_no_edit() {
        let failed = json!({"id": "t", "name": "edit_file", "status": "error", "error": "x",
            "arguments": {"path": "a", "old_string": "x", "new_string": "y"}});
        let refused =
            call("write_file", json!({"path": "a", "content": "y"}), json!({"success": false}));
        let pending = call(
            "apply_file_diff",
            json!({"path": "a", "new_content": "y"}),
            json!({"success": true, "status": "pending_approval"}),
        );
        let other = call("run_command", json!({"command": "fmt"}), json!({"success": true}));
        let alias =
            call("write_file", json!({"path": "./A", "content": "y"}), json!({"success": true}));
        let preview = format!("x\n/* {PREVIEW_MARK} 6 MB */");
        for (calls, untold) in [
            (vec![write("x")], 1),
            (vec![replace("x", "y")], 1),
            (vec![read("no"), replace("x", "y")], 1),
            (vec![read("x x"), replace("x", "y")], 1),
            (vec![read("xxx"), replace("xx", "y")], 1),
            (vec![read("x\r\n"), replace("x", "y")], 1),
            (vec![read("x"), replace("x", "$&")], 1),
            (vec![read("x"), replace("x", "x")], 0),
            (vec![read(&preview), replace("x", "y")], 1),
            (vec![read("x"), failed, replace("x", "y")], 1),
            (vec![read("x"), refused, replace("x", "y")], 1),
            (vec![read("x"), pending, replace("x", "y")], 1),
            (vec![read("x"), other, replace("x", "y")], 1),
            (vec![read("x"), alias, replace("x", "y")], 2),
            // Somebody else was at the file before the second look.
            (vec![read("x\n"), replace("x", "y"), read("0\ny\n")], 1),
            (vec![json!(1), json!({"name": "edit_file"})], 0),
        ] {
            let (edits, found) = of_calls(calls.clone());
            assert_eq!((edits.len(), found), (0, untold), "{calls:?}");
        }
        let turns = [
            (Role::Assistant, vec![read("x")]),
            (Role::User, vec![]),
            (Role::Assistant, vec![replace("x", "y")]),
        ];
        assert_eq!(recovered(&turns).1, 1, "the user may have changed it");
        let kept = [(Role::Assistant, vec![read("x")]), (Role::Assistant, vec![replace("x", "y")])];
        assert_eq!(recovered(&kept).0[0].place, 1);
    }
}
