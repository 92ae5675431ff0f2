//! Sends the settings of the user or a project to the daemon: keys that are set stay, the others get the file's values.

use serde_json::value::RawValue;

use super::calls::divide;
use super::fields::{Fields, Kind, Members, pairs};
use super::outcome::FileOutcome;
use super::send::is_about_content;
use super::target::Target;
use crate::api::settings::{Entry, KeyParams, SetManyParams};
use crate::client::ClientError;
use crate::model::json::check_free;
use crate::model::limits::{MAX_CONTENT_BYTES, MAX_NAME_BYTES, MAX_SET_MANY};
use crate::model::{Json, ProjectId};

/// Stores those settings of a file whose keys are not set in the scope: the user's, or a project's.
pub(super) async fn send(
    target: &mut Target<'_>,
    entries: Vec<Entry>,
    project_id: Option<&ProjectId>,
    outcome: &mut FileOutcome,
) -> Result<(), ClientError> {
    let stored = target.settings(&keys(&entries, project_id)).await?;
    let mut missing = Vec::new();
    for (entry, stored) in entries.into_iter().zip(stored) {
        let Some(stored) = stored else {
            missing.push(entry);
            continue;
        };
        outcome.settings.already_there += 1;
        if stored != entry.value {
            outcome
                .notes
                .push(format!("{} is set to another value; it was left as it is", entry.key));
        }
    }
    for length in calls(&missing) {
        let entries: Vec<Entry> = missing.drain(..length).collect();
        let count = length as u64;
        let params = SetManyParams { entries, project_id: project_id.cloned() };
        match target.set(&params).await {
            Ok(()) => outcome.settings.imported += count,
            Err(error) if is_about_content(&error) => {
                outcome.settings.failed += count;
                outcome.problems.push(format!("{count} settings were refused: {error}"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns what asks for the values of entries.
pub(super) fn keys(entries: &[Entry], project_id: Option<&ProjectId>) -> Vec<KeyParams> {
    let of = |entry: &Entry| KeyParams { key: entry.key.clone(), project_id: project_id.cloned() };
    entries.iter().map(of).collect()
}

/// Reads the settings of a file; those that are over a limit are told of and left out.
pub(super) fn entries(json: &str, outcome: &mut FileOutcome) -> Result<Vec<Entry>, String> {
    let value: &RawValue =
        serde_json::from_str(json).map_err(|error| format!("is not JSON: {error}"))?;
    let fields = Fields::of(value).ok_or_else(|| {
        format!("is JSON but no settings: it is {}, not an object", Kind::of(value))
    })?;
    let (members, shadowed): (Members, Members) = fields.into_rest();
    if !shadowed.is_empty() {
        outcome
            .notes
            .push(format!("keys come twice, the last stands; the others: {}", pairs(&shadowed)));
    }
    outcome.settings.found = members.len() as u64;
    let mut entries = Vec::with_capacity(members.len());
    for (key, text) in members {
        let problem = if key.is_empty() {
            Some("an empty key".to_owned())
        } else if key.len() > MAX_NAME_BYTES {
            Some(format!("the key is {} bytes; the limit is {MAX_NAME_BYTES}", key.len()))
        } else if text.len() > MAX_CONTENT_BYTES {
            Some(format!("the value is {} bytes; the limit is {MAX_CONTENT_BYTES}", text.len()))
        } else {
            check_free(&text).err()
        };
        match problem {
            None => entries
                .push(Entry { key, value: Json::parse(text).expect("a member of JSON is JSON") }),
            Some(problem) => {
                outcome.settings.failed += 1;
                outcome.problems.push(format!("setting {key:?}: {problem}"));
            }
        }
    }
    Ok(entries)
}

/// Returns how many of the settings go in each call.
fn calls(entries: &[Entry]) -> Vec<usize> {
    let sizes = entries.iter().map(|entry| entry.key.len() + entry.value.as_str().len());
    divide(sizes, MAX_SET_MANY).into_iter().map(|call| call.len()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::outcome::FileKind;
    use super::*;

    fn read(json: &str) -> (Result<Vec<Entry>, String>, FileOutcome) {
        let mut outcome = FileOutcome::new("settings.json".as_ref(), FileKind::Settings);
        (entries(json, &mut outcome), outcome)
    }

    #[test]
    fn values_are_taken_as_written_and_what_is_over_a_limit_is_told() {
        let long = "k".repeat(MAX_NAME_BYTES + 1);
        let deep = "[".repeat(101) + &"]".repeat(101);
        let json = format!(
            r#"{{"a":1.10,"":1,"b":{{"x":[null]}},"{long}":2,"a":1E400,"n":null,"d":{deep}}}"#
        );
        let (entries, outcome) = read(&json);
        let entries = entries.expect("settings");
        let texts: Vec<_> =
            entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
        assert_eq!(texts, [("a", "1E400"), ("b", r#"{"x":[null]}"#), ("n", "null")]);
        assert_eq!((outcome.settings.found, outcome.settings.failed), (6, 3));
        assert_eq!(outcome.problems.len(), 3);
        assert_eq!(outcome.problems[2], r#"setting "d": nested deeper than 100"#);
        assert_eq!(
            outcome.notes,
            [r#"keys come twice, the last stands; the others: [["a",1.10]]"#]
        );
    }

    #[test]
    fn what_is_no_map_is_refused() {
        assert_eq!(
            read("[1]").0.err().as_deref(),
            Some("is JSON but no settings: it is a list, not an object")
        );
    }

    #[test]
    fn calls_stay_within_their_limits() {
        let entry = |size: usize| Entry {
            key: "k".to_owned(),
            value: Json::parse(format!("\"{}\"", "x".repeat(size))).expect("JSON"),
        };
        let lengths = |entries: Vec<Entry>| calls(&entries);
        assert_eq!(lengths(vec![entry(1); MAX_SET_MANY + 1]), [MAX_SET_MANY, 1]);
        assert_eq!(
            lengths(vec![entry(3 << 20), entry(3 << 20), entry(1), entry(8 << 20)]),
            [1, 2, 1]
        );
        assert_eq!(lengths(vec![]), [0; 0]);
    }
}
