//! What a record was when it was first sent, as a fingerprint, so that a retry after a patch is known.
//!
//! It is taken at the first patch, while the row still is what was sent: an append pays nothing.
//! SHA-256, since two contents of one fingerprint would be a write lost in silence.

use sha2::{Digest, Sha256};

use crate::model::hex;

/// The fields of a record that a client sends, by name, all but its id and the time it may leave out.
pub(super) type Fields<'a, const N: usize> = [(&'static str, Option<&'a str>); N];

/// Returns what is wrong with sending a record again; `None` where it is what was first sent.
pub(super) fn difference<const N: usize>(
    entity: &str,
    stored: &Fields<'_, N>,
    sent: &Fields<'_, N>,
    first_sent: Option<&str>,
) -> Option<String> {
    match first_sent {
        None => {
            stored.iter().zip(sent).find(|(stored, sent)| stored != sent).map(|((field, _), _)| {
                match field.ends_with('s') {
                    true => format!("exists with other {field}"),
                    false => format!("exists with another {field}"),
                }
            })
        }
        Some(first_sent) => (fingerprint(entity, sent) != first_sent)
            .then(|| "was first sent with another content, and patched since".to_owned()),
    }
}

/// Fields that records got later. Where one is absent, it is no part of the fingerprint, which so is
/// that of the time before.
const LATER: &[&str] = &["attachments"];

/// Returns the fingerprint of a record's fields. Stored: what it is made of never changes.
pub(super) fn fingerprint<const N: usize>(entity: &str, fields: &Fields<'_, N>) -> String {
    let mut hash = Sha256::new();
    // The lengths keep what ends one field from beginning the next.
    let mut add = |text: Option<&str>| match text {
        None => hash.update([0]),
        Some(text) => {
            hash.update([1]);
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
    };
    add(Some(entity));
    for (name, text) in fields {
        if LATER.contains(name) {
            let Some(text) = text else { continue };
            add(Some(name));
            add(Some(text));
        } else {
            add(*text);
        }
    }
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entity: &str, fields: [Option<&str>; 2]) -> String {
        fingerprint(entity, &fields.map(|text| ("name", text)))
    }

    /// Databases hold it: `printf '\1\1\0\0\0\0\0\0\0e\1\1\0\0\0\0\0\0\0a\0' | sha256sum`.
    #[test]
    fn it_never_changes() {
        assert_eq!(
            of("e", [Some("a"), None]),
            "95c1000f200d6bd1a17200fe174a9a8ea53380cfbc3f570f6c91cc9be285d069"
        );
    }

    /// A retry of what was sent before there were attachments is known by its old fingerprint.
    #[test]
    fn a_later_field_counts_only_where_it_is_there() {
        let with = |attachments| {
            fingerprint("e", &[("name", Some("a")), ("name", None), ("attachments", attachments)])
        };
        assert_eq!(with(None), of("e", [Some("a"), None]));
        assert_ne!(with(Some("[]")), with(None));
        assert_ne!(with(Some("[]")), with(Some("[1]")));
    }

    #[test]
    fn each_field_counts_and_so_does_its_end() {
        let all = [
            of("e", [Some("ab"), Some("c")]),
            of("e", [Some("a"), Some("bc")]),
            of("e", [Some("abc"), Some("")]),
            of("e", [Some("abc"), None]),
            of("e", [None, Some("abc")]),
            of("f", [None, Some("abc")]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other != one), "{at}");
        }
    }
}
