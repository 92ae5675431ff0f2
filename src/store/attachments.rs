//! Attachments: bytes stored once by their hash, which messages refer to them, and what is collected.
//!
//! An attachment is deleted once no message refers to it and its last put is older than a grace. All
//! of that is looked at in the transaction that deletes it, and an append looks in its own whether
//! the attachment is there: since there is one writer, no message refers to what is gone.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::engine::{Row, Value};
use super::{ReadTx, WriteTx};
use crate::api::attachment::{AttachmentContent, AttachmentRef, PutAttachment, PutParams};
use crate::error::{Error, Result};
use crate::model::limits::{MAX_COLLECT_WRITE, MAX_GROUP_BYTES};
use crate::model::{Attachment, AttachmentData, AttachmentHash, MessageId, Millis, Topic, time};

const INSERT: &str = "INSERT INTO attachments (hash, size, mime, name, created_at, put_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?5)";
const INSERT_DATA: &str = "INSERT INTO attachment_data (hash, data) VALUES (?1, ?2)";

const PUT_AGAIN: &str = "UPDATE attachments SET put_at = ?2 WHERE hash = ?1";

const BY_HASH: &str =
    "SELECT hash, mime, name, size, created_at, put_at FROM attachments WHERE hash = ?1";
const DATA: &str = "SELECT data FROM attachment_data WHERE hash = ?1";

const REFER: &str = "INSERT INTO message_attachments (hash, message_id) VALUES (?1, ?2)";
const LET_GO: &str = "DELETE FROM message_attachments WHERE message_id = ?1";
const REFERRED: &str = "SELECT 1 FROM message_attachments WHERE hash = ?1 LIMIT 1";

const BEHIND: &str = "SELECT hash, put_at FROM attachments WHERE hash > ?1 ORDER BY hash LIMIT ?2";
const DELETE: &str = "DELETE FROM attachments WHERE hash = ?1";

/// Stores bytes, or returns what is stored of them already; then that is kept for a grace anew.
pub fn put(tx: &mut WriteTx<'_>, params: &PutParams) -> Result<PutAttachment> {
    let (hash, now) = (params.data.hash(), time::now());
    let (stored, created) = match find(tx, hash)? {
        Some(stored) => {
            tx.execute_one(PUT_AGAIN, &[hash.as_str().into(), now.into()])?;
            (stored, false)
        }
        None => (insert(tx, params, now)?, true),
    };
    let Stored { attachment: Attachment { hash, mime, name, size }, created_at, .. } = stored;
    Ok(PutAttachment { hash, mime, name, size, created_at, created })
}

fn insert(tx: &mut WriteTx<'_>, params: &PutParams, now: Millis) -> Result<Stored> {
    let bytes = params.data.bytes();
    let attachment = Attachment {
        hash: params.data.hash().clone(),
        mime: params.mime.clone(),
        name: params.name.clone(),
        size: i64::try_from(bytes.len()).expect("memory holds less"),
    };
    let hash = attachment.hash.as_str();
    tx.execute_one(
        INSERT,
        &[
            hash.into(),
            attachment.size.into(),
            (&attachment.mime).into(),
            attachment.name.as_deref().into(),
            now.into(),
        ],
    )?;
    tx.execute_one(INSERT_DATA, &[hash.into(), bytes.into()])?;
    tx.changed(Topic::AttachmentAdded, hash, None, None)?;
    Ok(Stored { attachment, created_at: now, put_at: now })
}

/// Returns an attachment with its bytes.
pub fn get(tx: &mut ReadTx<'_>, hash: &AttachmentHash) -> Result<AttachmentContent> {
    let stored = find(tx, hash)?.ok_or_else(|| Error::not_found("attachment", hash))?;
    let bytes = tx
        .first(DATA, &[hash.as_str().into()], Row::blob)?
        .ok_or_else(|| Error::Damaged(format!("the attachment {hash} has no bytes")))?;
    let data = AttachmentData::new(bytes);
    if data.hash() != hash {
        return Err(Error::Damaged(format!(
            "the bytes of the attachment {hash} have another hash"
        )));
    }
    let Stored { attachment: Attachment { hash, mime, name, size }, created_at, .. } = stored;
    Ok(AttachmentContent { hash, mime, name, size, created_at, data })
}

/// Returns what a list says of an attachment that is referred to by its hash alone.
pub(super) fn without_bytes(tx: &mut ReadTx<'_>, hash: &AttachmentHash) -> Result<Attachment> {
    find(tx, hash)?
        .map(|stored| stored.attachment)
        .ok_or_else(|| Error::not_found("attachment", hash))
}

/// What a message lists, as its row keeps it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct References(Vec<Reference>);

/// One entry: what it comes to, and which of that the client said, so that a retry is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Reference {
    #[serde(flatten)]
    attachment: Attachment,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    said_name: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    said_mime: bool,
}

impl References {
    /// Returns what the entries of a client come to; an attachment that is not there is an error.
    pub(super) fn resolve(
        tx: &mut ReadTx<'_>,
        prefix: &str,
        sent: &[AttachmentRef],
    ) -> Result<Self> {
        let mut references = Vec::with_capacity(sent.len());
        for (at, AttachmentRef { hash, name, mime }) in sent.iter().enumerate() {
            let Stored { mut attachment, .. } = find(tx, hash)?.ok_or_else(|| {
                Error::invalid(
                    format!("{prefix}attachments[{at}]"),
                    format!("the attachment {hash} does not exist; put it first"),
                )
            })?;
            if let Some(name) = name {
                attachment.name.clone_from(name);
            }
            if let Some(mime) = mime {
                attachment.mime.clone_from(mime);
            }
            let (said_name, said_mime) = (name.is_some(), mime.is_some());
            references.push(Reference { attachment, said_name, said_mime });
        }
        Ok(Self(references))
    }

    /// Reads what a row has.
    pub(super) fn read(text: Option<String>) -> Result<Self> {
        text.map_or_else(
            || Ok(Self::default()),
            |text| super::stored(serde_json::from_str(&text)).map(Self),
        )
    }

    /// Returns the text for a row; `None` where nothing is attached.
    pub(super) fn to_text(&self) -> Result<Option<String>> {
        json_list(&self.0)
    }

    /// Returns what a message shows.
    pub(super) fn attachments(&self) -> Vec<Attachment> {
        self.0.iter().map(|reference| reference.attachment.clone()).collect()
    }

    /// Returns the entries as the client sent them, as a text to compare.
    pub(super) fn sent_text(&self) -> Result<Option<String>> {
        let sent = self.0.iter().map(|Reference { attachment, said_name, said_mime }| {
            let Attachment { hash, mime, name, .. } = attachment.clone();
            AttachmentRef { hash, name: said_name.then_some(name), mime: said_mime.then_some(mime) }
        });
        sent_text(&sent.collect::<Vec<_>>())
    }

    /// Adds the rows by which the attachments of a new message are kept.
    pub(super) fn insert(&self, tx: &mut WriteTx<'_>, message_id: &MessageId) -> Result<()> {
        let hashes: BTreeSet<&AttachmentHash> =
            self.0.iter().map(|reference| &reference.attachment.hash).collect();
        for hash in hashes {
            tx.execute_one(REFER, &[hash.as_str().into(), message_id.as_str().into()])?;
        }
        Ok(())
    }

    /// Puts these in the place of those that a message had.
    pub(super) fn replace(&self, tx: &mut WriteTx<'_>, message_id: &MessageId) -> Result<()> {
        tx.execute(LET_GO, &[message_id.as_str().into()])?;
        self.insert(tx, message_id)
    }
}

/// Returns the entries of a client as a text to compare; `None` where there are none.
pub(super) fn sent_text(sent: &[AttachmentRef]) -> Result<Option<String>> {
    json_list(sent)
}

fn json_list<T: Serialize>(items: &[T]) -> Result<Option<String>> {
    if items.is_empty() {
        return Ok(None);
    }
    let text = serde_json::to_string(items);
    text.map(Some).map_err(|error| Error::Internal(format!("a list is not JSON: {error}")))
}

/// What a look at some attachments found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Those that may be deleted.
    pub unreferenced: Vec<AttachmentHash>,
    /// Where the next look goes on; `None` at the end.
    pub next: Option<AttachmentHash>,
}

/// Looks at so many attachments behind one for those that no message refers to and whose last put
/// is older than the grace.
pub fn look(
    tx: &mut ReadTx<'_>,
    after: Option<&AttachmentHash>,
    now: Millis,
    grace: Millis,
    limit: usize,
) -> Result<Look> {
    let count = i64::try_from(limit).unwrap_or(i64::MAX);
    let after = after.map_or("", AttachmentHash::as_str);
    let seen = tx.all(BEHIND, &[after.into(), count.into()], |row| Ok((hash(row)?, row.int()?)))?;
    let next = seen.last().filter(|_| seen.len() == limit).map(|(hash, _)| hash.clone());
    let mut unreferenced = Vec::new();
    for (hash, put_at) in seen {
        if is_over(put_at, now, grace) && !is_referred(tx, &hash)? {
            unreferenced.push(hash);
        }
    }
    Ok(Look { unreferenced, next })
}

/// How far a collection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collected {
    /// How many of those given were looked at, from the first.
    pub seen: usize,
    /// How many of them were deleted.
    pub deleted: usize,
}

/// Deletes those of some attachments that still may be, until a write has done its share.
pub fn collect(
    tx: &mut WriteTx<'_>,
    hashes: &[AttachmentHash],
    now: Millis,
    grace: Millis,
) -> Result<Collected> {
    let (mut collected, mut bytes) = (Collected { seen: 0, deleted: 0 }, 0);
    for hash in hashes.iter().take(MAX_COLLECT_WRITE) {
        if bytes >= MAX_GROUP_BYTES {
            break;
        }
        collected.seen += 1;
        let Some(stored) = find(tx, hash)? else { continue };
        if !is_over(stored.put_at, now, grace) || is_referred(tx, hash)? {
            continue;
        }
        tx.execute_one(DELETE, &[hash.as_str().into()])?;
        tx.changed(Topic::AttachmentCollected, hash.as_str(), None, None)?;
        bytes += usize::try_from(stored.attachment.size).unwrap_or(usize::MAX);
        collected.deleted += 1;
    }
    Ok(collected)
}

fn is_over(put_at: Millis, now: Millis, grace: Millis) -> bool {
    now.saturating_sub(put_at) >= grace
}

fn is_referred(tx: &mut ReadTx<'_>, hash: &AttachmentHash) -> Result<bool> {
    Ok(tx.first(REFERRED, &[hash.as_str().into()], Row::int)?.is_some())
}

/// A stored attachment without its bytes.
struct Stored {
    attachment: Attachment,
    created_at: Millis,
    /// When it was last put.
    put_at: Millis,
}

fn find(tx: &mut ReadTx<'_>, hash: &AttachmentHash) -> Result<Option<Stored>> {
    tx.first(BY_HASH, &[Value::from(hash.as_str())], |row| {
        let attachment = Attachment {
            hash: self::hash(row)?,
            mime: row.text()?,
            name: row.optional_text()?,
            size: row.int()?,
        };
        Ok(Stored { attachment, created_at: row.int()?, put_at: row.int()? })
    })
}

fn hash(row: &mut Row) -> Result<AttachmentHash> {
    super::stored(AttachmentHash::parse(row.text()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{engine, migrations};

    /// A collection looks at every attachment, and a purge at every message.
    #[test]
    fn every_statement_searches_its_index_on_both_engines() {
        migrations::on_each_engine(|kind, connection| {
            for sql in [BY_HASH, DATA, PUT_AGAIN, REFERRED, LET_GO, BEHIND, DELETE] {
                let plan = engine::query_plan(connection, sql);
                assert!(plan[0].starts_with("SEARCH "), "{kind:?}: {sql}: {plan:?}");
            }
        });
    }

    #[test]
    fn a_row_keeps_what_was_said() {
        let attachment = Attachment {
            hash: AttachmentHash::of(b"x"),
            mime: "image/png".to_owned(),
            name: None,
            size: 1,
        };
        let said = |said_name, said_mime| Reference {
            attachment: attachment.clone(),
            said_name,
            said_mime,
        };
        let references = References(vec![said(false, false), said(true, false), said(true, true)]);
        let text = references.to_text().expect("JSON");
        assert_eq!(References::read(text).expect("is read"), references);
        let hash = attachment.hash.as_str();
        let sent = format!(
            r#"["{hash}",{{"hash":"{hash}","name":null}},{{"hash":"{hash}","name":null,"mime":"image/png"}}]"#
        );
        assert_eq!(references.sent_text().expect("JSON"), Some(sent));
        let none = References::default();
        assert_eq!((none.to_text().expect("JSON"), none.sent_text().expect("JSON")), (None, None));
    }
}
