//! What to do with a message whose id is stored already, with another content than the file's.

use serde_json::{Map, Value};

use super::message::PlannedMessage;
use super::outcome::FileOutcome;
use super::send::{append_call, fail, is_about_content, tell_left_out};
use super::tally::Tally;
use super::target::{Target, is};
use crate::api::ErrorKind;
use crate::api::message::{NewMessage, UpdateParams};
use crate::client::ClientError;
use crate::model::{JsonObject, Message, MessageId, SessionId};

pub(super) const LEFT: &str = "stored with another content, left as it is";
pub(super) const TAKEN: &str = "the id is another session's message, another was made";

/// Settles what to do with a message whose id is stored with another content, and returns the id it is
/// stored under then.
///
/// In the same session it is the message itself, patched since: it stays as it is, but that images
/// which an importer left in its metadata become attachments. In another session, or one in the
/// trash, it is another message: this one is stored under an id made for it.
pub(super) async fn settle(
    target: &mut Target<'_>,
    session_id: &SessionId,
    message: &PlannedMessage,
    outcome: &mut FileOutcome,
    tally: &mut Tally,
) -> Result<Option<MessageId>, ClientError> {
    if let Some(stored) = stored(target, session_id, &message.id).await? {
        outcome.messages.already_there += 1;
        settle_own(target, &stored, message, tally).await?;
        return Ok(Some(stored.id));
    }
    let derived = message.with_derived_id(session_id, "taken");
    if derived.left_out.len() > message.left_out.len() {
        tell_left_out(outcome, &derived);
    }
    let error = match append_call(target, session_id, std::slice::from_ref(&derived)).await {
        Ok(imported) => {
            outcome.messages.imported += imported;
            outcome.messages.already_there += 1 - imported;
            tally.add(TAKEN, message.place);
            return Ok(Some(derived.id));
        }
        Err(error) => error,
    };
    if is(&error, ErrorKind::Conflict)
        && let Some(stored) = stored(target, session_id, &derived.id).await?
    {
        outcome.messages.already_there += 1;
        settle_own(target, &stored, &derived, tally).await?;
        return Ok(Some(stored.id));
    }
    if !is_about_content(&error) {
        return Err(error);
    }
    fail(outcome, message, &error.to_string());
    Ok(None)
}

/// Returns the message that the session has under an id.
async fn stored(
    target: &mut Target<'_>,
    session_id: &SessionId,
    id: &MessageId,
) -> Result<Option<Message>, ClientError> {
    let stored = target.message(id).await?;
    Ok(stored.filter(|stored| stored.session_id == *session_id))
}

/// Leaves a message of the session as it is, but for images in its metadata.
pub(super) async fn settle_own(
    target: &mut Target<'_>,
    stored: &Message,
    message: &PlannedMessage,
    tally: &mut Tally,
) -> Result<(), ClientError> {
    let planned = message.to_new();
    if is_same(stored, &planned) {
        return Ok(());
    }
    let Some(metadata) = patch(stored, message, &planned) else {
        tally.add(LEFT, message.place);
        return Ok(());
    };
    let update = UpdateParams {
        id: message.id.clone(),
        content: None,
        code_excerpt: None,
        metadata: Some(metadata),
        attachments: Some(planned.attachments),
    };
    target.put(message.puts()).await?;
    match target.update_message(&update).await {
        Ok(()) => {
            tally.add("its images were in its metadata, they are attachments now", message.place);
        }
        Err(error) if is_about_content(&error) => tally.add(LEFT, message.place),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Returns the patch of the metadata by which the images of a stored message become attachments;
/// `None` where they are not those of the file, or it has attachments.
///
/// They are where the message is as an importer without attachments stored it, or has in its
/// metadata just the images of the file, whatever else of it was changed since.
fn patch(
    stored: &Message,
    message: &PlannedMessage,
    planned: &NewMessage,
) -> Option<Option<JsonObject>> {
    let former = message.with_images_in_metadata().filter(|_| stored.attachments.is_empty())?;
    let before = value(stored.metadata.as_ref());
    if is_same(stored, &former.to_new()) {
        let Some(after) = &planned.metadata else { return Some(None) };
        return object_of(&merge_patch(&before, &value(Some(after)))).map(Some);
    }
    let (written, left) = message.images_in_metadata()?;
    let written: Value = serde_json::from_str(written).ok()?;
    let left: Value = left.map_or(Some(Value::Null), |left| serde_json::from_str(left).ok())?;
    if before.get(super::images::IMAGES) != Some(&written) {
        return None;
    }
    let patch = Map::from_iter([(super::images::IMAGES.to_owned(), left)]);
    object_of(&Value::Object(patch)).map(Some)
}

/// True where a stored message says what the planned one would.
pub(super) fn is_same(stored: &Message, planned: &NewMessage) -> bool {
    let listed = stored.attachments.iter().zip(&planned.attachments).all(|(stored, planned)| {
        stored.hash == planned.hash
            && planned.name.as_ref() == Some(&stored.name)
            && planned.mime.as_ref() == Some(&stored.mime)
    });
    listed
        && stored.attachments.len() == planned.attachments.len()
        && stored.role == planned.role
        && stored.content == planned.content
        && stored.code_excerpt == planned.code_excerpt
        && Some(stored.created_at) == planned.created_at
        && value(stored.metadata.as_ref()) == value(planned.metadata.as_ref())
}

/// The order of members does not count: that of a patched object is not the one of the file.
pub(super) fn value(metadata: Option<&JsonObject>) -> Value {
    metadata.map_or(Value::Null, |metadata| {
        serde_json::from_str(metadata.as_str()).expect("an object is JSON")
    })
}

fn object_of(value: &Value) -> Option<JsonObject> {
    JsonObject::parse(value.to_string()).ok()
}

/// Returns the merge patch (RFC 7396) from one value to another, in which no null is new.
fn merge_patch(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return to.clone() };
    let gone = from.keys().filter(|name| !to.contains_key(*name));
    let mut patch: Map<String, Value> = gone.map(|name| (name.clone(), Value::Null)).collect();
    for (name, value) in to {
        match from.get(name) {
            Some(before) if before == value => {}
            before => {
                let change = merge_patch(before.unwrap_or(&Value::Null), value);
                patch.insert(name.clone(), change);
            }
        }
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_makes_one_object_the_other() {
        for (from, to, patch) in [
            (json!({"a": 1, "b": [1]}), json!({"a": 1}), json!({"b": null})),
            (json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": 1}}), json!({"a": {"c": null}})),
            (json!({"a": {"b": 1}}), json!({"a": [null]}), json!({"a": [null]})),
            (json!(null), json!({"a": {"b": 1}}), json!({"a": {"b": 1}})),
            (json!({"a": 1}), json!({"a": 1}), json!({})),
        ] {
            assert_eq!(merge_patch(&from, &to), patch);
            let text = |value: &Value| object_of(value).expect("an object");
            let before = from.is_object().then(|| text(&from));
            let merged = JsonObject::merged(before.as_ref(), &text(&patch)).expect("merges");
            assert_eq!(value(Some(&merged)), to);
        }
    }
}
