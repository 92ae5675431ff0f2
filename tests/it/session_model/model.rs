//! The sessions as one would keep them without a thought for disks: each message tells its own state.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{AT, Operation, SESSIONS};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Shown,
    Compacted,
    Cleared,
}

#[derive(Debug, Clone)]
struct Said {
    /// The id it was appended by.
    name: String,
    role: &'static str,
    content: String,
    number: u8,
    at: i64,
    is_patched: bool,
    is_copy: bool,
    state: State,
}

/// The params that a fork was made by.
type Made = (u8, Option<u8>, Option<Option<u8>>);

#[derive(Debug, Clone, Default)]
struct Kept {
    title: Option<String>,
    parent: Option<u8>,
    made: Option<Made>,
    forked_at: Option<usize>,
    messages: Vec<Said>,
    summary: Option<String>,
    archived: bool,
    deleted: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    sessions: BTreeMap<u8, Kept>,
}

type Outcome = Result<Value, &'static str>;

impl Model {
    /// Returns what the store is to answer.
    pub(crate) fn run(&mut self, at: usize, operation: &Operation) -> Value {
        self.try_run(at, operation).unwrap_or_else(|error| json!({ "error": error }))
    }

    fn live(&mut self, session: u8) -> Result<&mut Kept, &'static str> {
        self.sessions.get_mut(&session).filter(|kept| !kept.deleted).ok_or("not_found")
    }

    fn try_run(&mut self, at: usize, operation: &Operation) -> Outcome {
        match operation {
            Operation::Start { session } => {
                let kept = self.sessions.entry(*session).or_default();
                if kept.deleted || kept.made.is_some() {
                    return Err("conflict");
                }
                Ok(kept.shown())
            }
            Operation::Append { session, count } => {
                let kept = self.live(*session)?;
                let first = kept.messages.len();
                kept.messages.extend((0..*count).map(|number| {
                    let name = format!("m{at}-{number}");
                    Said {
                        content: name.clone(),
                        name,
                        role: ["user", "assistant", "tool", "system"][usize::from(number) % 4],
                        number,
                        at: AT + at as i64,
                        is_patched: false,
                        is_copy: false,
                        state: State::Shown,
                    }
                }));
                Ok(json!(first))
            }
            Operation::Patch { session, index } => {
                let messages = &mut self.live(*session)?.messages;
                let said = messages.get_mut(usize::from(*index)).ok_or("not_found")?;
                said.content = format!("p{at}");
                said.is_patched = true;
                Ok(json!(said.state == State::Compacted))
            }
            Operation::Clear { session, keep_first } => {
                let kept = self.live(*session)?;
                let mut left = *keep_first;
                for said in &mut kept.messages {
                    if said.state == State::Shown && left > 0 {
                        left -= 1;
                    } else {
                        said.state = State::Cleared;
                    }
                }
                kept.summary = None;
                Ok(kept.shown())
            }
            Operation::Compact { session, keep_first, keep_last, summary } => {
                let kept = self.live(*session)?;
                let shown: Vec<usize> = kept.indexes(State::Shown);
                let last = shown.len().saturating_sub(usize::from(*keep_last));
                for index in shown.iter().take(last).skip(usize::from(*keep_first)) {
                    kept.messages[*index].state = State::Compacted;
                }
                if kept.indexes(State::Compacted).is_empty() {
                    return Err("invalid_params");
                }
                kept.summary = Some(format!("sum {summary}"));
                Ok(kept.shown())
            }
            Operation::Fork { session, fork, up_to, title } => {
                self.fork((*session, *up_to, *title), *fork)
            }
            Operation::Update { session, title, archived } => {
                let kept = self.live(*session)?;
                kept.title = Some(format!("t{title}"));
                kept.archived = archived.unwrap_or(kept.archived);
                Ok(kept.shown())
            }
            Operation::Delete { session, purge } => {
                let kept = self.sessions.get_mut(session).ok_or("not_found")?;
                let deleted = !std::mem::replace(&mut kept.deleted, true);
                if *purge {
                    self.sessions.remove(session);
                }
                Ok(json!({ "deleted": deleted, "purged": purge }))
            }
            Operation::Restore { session } => {
                let kept = self.sessions.get_mut(session).ok_or("not_found")?;
                kept.deleted = false;
                Ok(kept.shown())
            }
        }
    }

    fn fork(&mut self, made: Made, fork: u8) -> Outcome {
        if let Some(stored) = self.sessions.get(&fork) {
            let is_retry = !stored.deleted && stored.made == Some(made);
            return if is_retry { Ok(stored.shown()) } else { Err("conflict") };
        }
        let (session, up_to, title) = made;
        let source = self.live(session)?.clone();
        let end = match up_to.map(usize::from) {
            None => source.messages.len(),
            Some(index) if index < source.messages.len() => index + 1,
            Some(_) => return Err("invalid_params"),
        };
        let reaches_all = source.indexes(State::Compacted).iter().all(|index| *index < end);
        let mut messages: Vec<Said> = source.messages[..end].to_vec();
        messages.retain(|said| said.state != State::Cleared);
        for said in &mut messages {
            said.is_copy = true;
            if !reaches_all {
                said.state = State::Shown;
            }
        }
        let kept = Kept {
            title: title.map_or(source.title, |title| title.map(|title| format!("t{title}"))),
            parent: Some(session),
            made: Some(made),
            forked_at: Some(end),
            messages,
            summary: source.summary.filter(|_| reaches_all),
            ..Kept::default()
        };
        let shown = kept.shown();
        self.sessions.insert(fork, kept);
        Ok(shown)
    }

    /// Returns all that the store is to show.
    pub(crate) fn observe(&self) -> Value {
        let sessions: Vec<Value> = (0..SESSIONS)
            .map(|session| match self.sessions.get(&session).filter(|kept| !kept.deleted) {
                None => Value::Null,
                Some(kept) => kept.observe(self.list(
                    |_, child| child.parent == Some(session) && !child.deleted && !child.archived,
                    true,
                )),
            })
            .collect();
        json!({
            "sessions": sessions,
            "usual": self.list(|_, kept| !kept.deleted && !kept.archived, false),
            "archive": self.list(|_, kept| !kept.deleted && kept.archived, false),
            "trash": self.list(|_, kept| kept.deleted, false),
        })
    }

    fn list(&self, wanted: impl Fn(u8, &Kept) -> bool, by_start: bool) -> Value {
        let mut rows: Vec<(i64, u8, &Kept)> = self
            .sessions
            .iter()
            .filter(|(number, kept)| wanted(**number, kept))
            .map(|(number, kept)| {
                let start = AT + i64::from(*number);
                let last = kept.messages.iter().map(|said| said.at).max();
                let activity = last.map_or(start, |last| last.max(start));
                (if by_start { start } else { activity }, *number, kept)
            })
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.0, row.1)));
        rows.into_iter()
            .map(|(_, number, kept)| {
                json!([
                    format!("s{number}"),
                    kept.indexes(State::Shown).len(),
                    kept.indexes(State::Compacted).len(),
                    kept.forked_at,
                    kept.archived,
                    kept.deleted
                ])
            })
            .collect()
    }
}

impl Kept {
    fn indexes(&self, state: State) -> Vec<usize> {
        let indexes = 0..self.messages.len();
        indexes.filter(|index| self.messages[*index].state == state).collect()
    }

    fn shown(&self) -> Value {
        let times = || self.messages.iter().map(|said| said.at);
        json!({
            "title": self.title, "system_prompt": "p",
            "count": self.indexes(State::Shown).len(),
            "compacted": self.indexes(State::Compacted).len(),
            "next": self.messages.len(), "parent": self.parent.map(|parent| format!("s{parent}")),
            "forked_at": self.forked_at, "archived": self.archived,
            "first": times().min(), "last": times().max(),
        })
    }

    fn observe(&self, children: Value) -> Value {
        let told = |(index, said): (usize, &Said)| {
            json!([
                index,
                said.role,
                said.content,
                format!("{{\"n\":{}}}", said.number),
                said.at,
                said.is_patched,
                said.is_copy.then_some(&said.name),
                said.state == State::Compacted
            ])
        };
        let with = |states: &[State]| -> Vec<Value> {
            let messages = self.messages.iter().enumerate();
            messages.filter(|(_, said)| states.contains(&said.state)).map(told).collect()
        };
        let shown = self.indexes(State::Shown);
        let newest: Vec<&str> =
            shown.iter().rev().map(|index| self.messages[*index].content.as_str()).collect();
        let compacted = self.indexes(State::Compacted);
        let summary =
            self.summary.as_ref().map(|text| json!([text, compacted.len(), compacted.last()]));
        json!({
            "session": self.shown(),
            "history": with(&[State::Shown]),
            "all": with(&[State::Shown, State::Compacted]),
            "recent": self.recent(&shown),
            "newest": newest,
            "summary": summary,
            "children": children,
        })
    }

    /// Four messages and forty bytes at most, the summary's among them, but always one message.
    fn recent(&self, shown: &[usize]) -> Value {
        let mut bytes = self.summary.as_ref().map_or(0, String::len);
        let mut contents = Vec::new();
        for index in shown.iter().rev() {
            let said = &self.messages[*index];
            bytes += said.content.len() + "{\"n\":0}".len();
            if contents.len() == 4 || (bytes > 40 && !contents.is_empty()) {
                break;
            }
            contents.push(&said.content);
        }
        contents.reverse();
        json!([contents, contents.len() < shown.len()])
    }
}
