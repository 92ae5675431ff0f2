//! The images of a message of the IDE become attachments; what cannot be moved stays as it was written.
//!
//! An image is `{base64, mimeType, filename?}`, its base64 with or without `data:image/png;base64,`
//! before it. One that is moved goes from the metadata's `images`; where it has other members, those
//! stay there, and `attachment`, the hash, stands for those that went.

use std::sync::Arc;

use data_encoding::BASE64_NOPAD;
use serde_json::value::RawValue;

use super::fields::{Fields, Kind, Members, free_name, list, object, quoted};
use crate::api::attachment::{AttachmentRef, PutParams};
use crate::model::AttachmentData;
use crate::model::attachment::check_mime;
use crate::model::limits::{MAX_ATTACHMENT_BYTES, MAX_MESSAGE_ATTACHMENTS, MAX_NAME_BYTES};

/// The member of a message that holds its images.
pub(super) const IMAGES: &str = "images";

/// What was taken out of a message's members.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The images, in order.
    pub(super) images: Vec<Arc<PutParams>>,
    /// The member as it was written, where any image was taken.
    pub(super) as_written: Option<String>,
    /// Why others stay, each reason once.
    pub(super) reasons: Vec<&'static str>,
}

/// Takes the images that can be attachments out of a message's members.
pub(super) fn take(members: &mut Members) -> Taken {
    let mut taken = Taken::default();
    let Some(at) = members.iter().position(|(name, _)| name == IMAGES) else { return taken };
    let written = members[at].1.clone();
    let images = serde_json::from_str::<&RawValue>(&written).ok().and_then(list);
    let mut left = Vec::new();
    for image in images.unwrap_or_default() {
        let read = if taken.images.len() < MAX_MESSAGE_ATTACHMENTS {
            attachment(image)
        } else {
            Err(
                "there are more images than a message may have attachments, the others stay in the metadata",
            )
        };
        match read {
            Ok((put, rest)) => {
                taken.images.push(Arc::new(put));
                left.extend(rest);
            }
            Err(reason) => {
                if !taken.reasons.contains(&reason) {
                    taken.reasons.push(reason);
                }
                left.push(image.get().to_owned());
            }
        }
    }
    if taken.images.is_empty() {
        return taken;
    }
    if left.is_empty() {
        members.remove(at);
    } else {
        members[at].1 = format!("[{}]", left.join(","));
    }
    taken.as_written = Some(written);
    taken
}

/// Returns how a message refers to an image: the name and the type are its own, whoever put the same
/// bytes before.
pub(super) fn reference(image: &PutParams) -> AttachmentRef {
    AttachmentRef {
        hash: image.data.hash().clone(),
        name: Some(image.name.clone()),
        mime: Some(image.mime.clone()),
    }
}

/// Returns what is to be put, and the JSON of what is left of the image; or why it stays whole.
fn attachment(image: &RawValue) -> Result<(PutParams, Option<String>), &'static str> {
    let mut fields = Fields::of(image).ok_or("an image is no object, it stays in the metadata")?;
    let text = fields
        .take_text("base64", |_| true)
        .ok_or("an image has no base64, it stays in the metadata")?;
    let (said, body) = of_data_url(&text);
    let mime = match (fields.take_text("mimeType", |text| check_mime(text).is_ok()), said) {
        (Some(mime), Some(said)) if mime != said => {
            return Err("an image has two media types, it stays in the metadata");
        }
        (Some(mime), _) => mime,
        (None, Some(said)) if check_mime(said).is_ok() => said.to_owned(),
        _ => return Err("an image has no media type, it stays in the metadata"),
    };
    let data = decode(body).ok_or("an image is not base64, it stays in the metadata")?;
    if data.bytes().len() > MAX_ATTACHMENT_BYTES {
        return Err("an image is over the limit of an attachment");
    }
    let name = fields.take_text("filename", |text| (1..=MAX_NAME_BYTES).contains(&text.len()));
    if fields.get("filename").is_some_and(|value| Kind::of(value) == Kind::Null) {
        fields.take("filename");
    }
    let (rest, shadowed) = fields.into_rest();
    if !shadowed.is_empty() {
        return Err("an image has a field twice, it stays in the metadata");
    }
    let put = PutParams { mime, data, name };
    if rest.is_empty() {
        return Ok((put, None));
    }
    let mut left = vec![(free_name("attachment", &rest), quoted(put.data.hash().as_str()))];
    left.extend(rest);
    Ok((put, Some(object(&left).as_str().to_owned())))
}

/// Returns the media type that a `data:` URL says, and its base64; of another text that text.
fn of_data_url(text: &str) -> (Option<&str>, &str) {
    let parts = text.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    parts.map_or((None, text), |(mime, body)| (Some(mime).filter(|mime| !mime.is_empty()), body))
}

/// Decodes base64 as JavaScript writes it, padded or not.
fn decode(text: &str) -> Option<AttachmentData> {
    let unpadded = || BASE64_NOPAD.decode(text.as_bytes()).map(AttachmentData::new);
    AttachmentData::of_base64(text).or_else(|_| unpadded()).ok()
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use super::*;

    fn taken(images: &str) -> (Taken, Option<String>) {
        let mut members = vec![
            ("a".to_owned(), "1".to_owned()),
            (IMAGES.to_owned(), images.to_owned()),
            ("b".to_owned(), "2".to_owned()),
        ];
        let taken = take(&mut members);
        let left = members.iter().find(|(name, _)| name == IMAGES).map(|(_, left)| left.clone());
        assert_eq!(members.len(), if left.is_some() { 3 } else { 2 }, "the others stay");
        (taken, left)
    }

    fn described(taken: &Taken) -> Vec<(&str, Option<&str>, &[u8])> {
        let images = taken.images.iter();
        images.map(|put| (put.mime.as_str(), put.name.as_deref(), put.data.bytes())).collect()
    }

    #[test]
    fn images_are_taken_in_order() {
        let images = r#"[{"base64":"Zm8=","mimeType":"image/png","filename":"a.png"},{"base64":"Zm8","mimeType":"image/x"},{"base64":"data:image/png;base64,Zm9v","mimeType":"image/png","filename":null},{"base64":"data:image/gif;base64,"},{"base64":"data:;base64,Zm9v","mimeType":"a\/b"}]"#;
        let (taken, left) = taken(images);
        assert_eq!(
            described(&taken),
            [
                ("image/png", Some("a.png"), &b"fo"[..]),
                ("image/x", None, b"fo"),
                ("image/png", None, b"foo"),
                ("image/gif", None, b""),
                ("a/b", None, b"foo"),
            ]
        );
        assert_eq!((left, taken.as_written.as_deref()), (None, Some(images)));
        assert_eq!(taken.reasons, [""; 0]);
    }

    #[test]
    fn what_cannot_be_taken_stays_as_written() {
        let long = "n".repeat(MAX_NAME_BYTES + 1);
        for (image, reason) in [
            ("\"x\"", "no object"),
            ("{}", "no base64"),
            (r#"{"base64":7,"mimeType":"image/png"}"#, "no base64"),
            (r#"{"base64":"Zg=="}"#, "no media type"),
            (r#"{"base64":"Zg==","mimeType":"image"}"#, "no media type"),
            (
                r#"{"base64":"data:image/png;base64,Zg==","mimeType":"image/gif"}"#,
                "two media types",
            ),
            (r#"{"base64":"Zg=","mimeType":"image/png"}"#, "not base64"),
            (r#"{"base64":"Zh==","mimeType":"image/png"}"#, "not base64"),
            (r#"{"base64":"Zg==Zg==","mimeType":"image/png"}"#, "not base64"),
            (r#"{"base64":"Z g=","mimeType":"image/png"}"#, "not base64"),
            (r#"{"base64":"data:image/png,Zg==","mimeType":"image/png"}"#, "not base64"),
            (
                r#"{"base64":"data:image/png;x=y;base64,Zg==","mimeType":"image/png"}"#,
                "two media types",
            ),
            (r#"{"base64":"Zg==","mimeType":"image/png","w":1,"w":2}"#, "a field twice"),
        ] {
            let (none, left) = taken(&format!("[{image}]"));
            assert_eq!((left, none.images.len()), (Some(format!("[{image}]")), 0));
            assert_eq!((none.reasons.len(), none.as_written), (1, None));
            assert!(none.reasons[0].contains(reason), "{image}: {:?}", none.reasons);
            let good = r#"{"base64":"Zg==","mimeType":"image/png"}"#;
            let (one, left) = taken(&format!("[{image},{good},{image}]"));
            assert_eq!((left, one.images.len()), (Some(format!("[{image},{image}]")), 1));
            assert_eq!(one.reasons, none.reasons);
        }
        for other in ["null", "[]", "{}", "\"\""] {
            let (none, left) = taken(other);
            assert_eq!(
                (left.as_deref(), none.images.len(), none.reasons.len()),
                (Some(other), 0, 0)
            );
        }
        let hash = AttachmentData::new(b"f".to_vec()).hash().to_string();
        for (more, rest) in [
            (r#""width":1.0"#.to_owned(), r#""width":1.0"#.to_owned()),
            (format!(r#""filename":"{long}""#), format!(r#""filename":"{long}""#)),
            (r#""filename":"""#.to_owned(), r#""filename":"""#.to_owned()),
        ] {
            let (one, left) =
                taken(&format!(r#"[{{"base64":"Zg==","mimeType":"image/png",{more}}}]"#));
            assert_eq!(described(&one), [("image/png", None, &b"f"[..])]);
            assert_eq!(left, Some(format!(r#"[{{"attachment":"{hash}",{rest}}}]"#)));
        }
    }

    #[test]
    fn limits_are_those_of_the_daemon() {
        let image = |bytes: usize| {
            format!(r#"{{"base64":"{}","mimeType":"image/png"}}"#, BASE64.encode(&vec![7; bytes]))
        };
        let (at, left) = taken(&format!("[{}]", image(MAX_ATTACHMENT_BYTES)));
        assert_eq!((at.images.len(), left), (1, None));
        let over = format!("[{}]", image(MAX_ATTACHMENT_BYTES + 1));
        let (none, left) = taken(&over);
        assert_eq!((none.images.len(), left), (0, Some(over)));
        assert_eq!(none.reasons, ["an image is over the limit of an attachment"]);
        let many: Vec<String> = (0..=MAX_MESSAGE_ATTACHMENTS).map(image).collect();
        let (most, left) = taken(&format!("[{}]", many.join(",")));
        assert_eq!(most.images.len(), MAX_MESSAGE_ATTACHMENTS);
        assert_eq!(left, Some(format!("[{}]", many[MAX_MESSAGE_ATTACHMENTS])));
        assert!(most.reasons[0].contains("more images than a message may have attachments"));
    }
}
