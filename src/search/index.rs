//! The index in its folder: opened with every checksum checked, written, committed with its place.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tantivy::directory::error::OpenWriteError;
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, TantivyDocument, TantivyError, Term};

use super::directory::IndexFolder;
use super::schema::{Fields, INDEX_VERSION, schema, tokenizers};
use crate::error::{Error, Result};
use crate::model::FeedCursor;

/// Bytes of memory in which documents are gathered before they are written to a segment.
const WRITER_BYTES: usize = 16 << 20;
/// Share of deleted documents past which a segment is written anew.
const MAX_DELETED_SHARE: f32 = 0.3;
/// Segments past which a commit waits for merges: a search reads each of them.
const MAX_SEGMENTS: usize = 64;

/// Up to where an index has followed the change feed. Each commit holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IndexedTo {
    /// [`INDEX_VERSION`] of the build that wrote it.
    version: u32,
    /// The last change that is in it, and whose feed it is.
    pub(super) cursor: FeedCursor,
}

impl IndexedTo {
    /// Returns a place in the feed.
    pub(super) fn new(cursor: FeedCursor) -> Self {
        Self { version: INDEX_VERSION, cursor }
    }
}

/// An open index.
pub(super) struct OpenIndex {
    pub(super) index: Index,
    pub(super) fields: Fields,
    writer: Option<IndexWriter>,
}

impl OpenIndex {
    /// Makes an empty index in a folder, whose earlier content goes.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        remove(folder)?;
        fs::create_dir_all(folder)
            .map_err(|error| Error::io("making the folder", folder, &error))?;
        let (schema, fields) = schema();
        let directory = IndexFolder::open(folder).map_err(|error| damage(error.into()))?;
        let index = Index::builder()
            .schema(schema)
            .tokenizers(tokenizers())
            .open_or_create(directory)
            .map_err(damage)?;
        Ok(Self { index, fields, writer: None })
    }

    /// Opens the index of a folder and returns up to where it is; an error where it is none of ours or
    /// damaged. Reads all of it.
    pub(super) fn open(folder: &Path) -> Result<(Self, IndexedTo)> {
        let directory = IndexFolder::open(folder).map_err(|error| damage(error.into()))?;
        let mut index = Index::open(directory).map_err(damage)?;
        index.set_tokenizers(tokenizers());
        let (schema, fields) = schema();
        if index.schema() != schema {
            return Err(Error::Damaged("the search index has other fields".to_owned()));
        }
        let metas = index.load_metas().map_err(damage)?;
        let indexed_to = metas
            .payload
            .and_then(|payload| serde_json::from_str::<IndexedTo>(&payload).ok())
            .filter(|indexed_to| indexed_to.version == INDEX_VERSION)
            .ok_or_else(|| Error::Damaged("the search index is of another version".to_owned()))?;
        let damaged = index.validate_checksum().map_err(damage)?;
        if !damaged.is_empty() {
            return Err(Error::Damaged(format!("{} files of the search index", damaged.len())));
        }
        Ok((Self { index, fields, writer: None }, indexed_to))
    }

    /// Returns a reader of what is committed, which shows more once it is told to reload.
    pub(super) fn reader(index: &Index) -> Result<IndexReader> {
        index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(damage)
    }

    /// Adds a document.
    pub(super) fn add(&mut self, document: TantivyDocument) -> Result<()> {
        self.writer()?.add_document(document).map(|_| ()).map_err(damage)
    }

    /// Deletes what has a term, of what was added until now.
    pub(super) fn delete(&mut self, term: Term) -> Result<()> {
        self.writer()?.delete_term(term);
        Ok(())
    }

    /// Commits what was added and deleted, with the place it goes up to, where it is one.
    pub(super) fn commit(&mut self, indexed_to: Option<&IndexedTo>) -> Result<()> {
        let mut prepared = self.writer()?.prepare_commit().map_err(damage)?;
        if let Some(indexed_to) = indexed_to {
            let payload = serde_json::to_string(indexed_to).expect("a place in the feed is JSON");
            prepared.set_payload(&payload);
        }
        prepared.commit().map_err(damage)?;
        let segments = self.index.searchable_segment_ids().map_err(damage)?.len();
        if segments > MAX_SEGMENTS { self.rest() } else { Ok(()) }
    }

    /// Waits for what is being merged and gives the memory of writing back. Drops what is not committed.
    pub(super) fn rest(&mut self) -> Result<()> {
        self.writer.take().map_or(Ok(()), |writer| writer.wait_merging_threads().map_err(damage))
    }

    /// True while it holds the memory of writing.
    pub(super) fn is_awake(&self) -> bool {
        self.writer.is_some()
    }

    fn writer(&mut self) -> Result<&mut IndexWriter> {
        if self.writer.is_none() {
            let options = IndexWriterOptions::builder()
                .num_worker_threads(1)
                .num_merge_threads(1)
                .memory_budget_per_thread(WRITER_BYTES)
                .build();
            let writer = self.index.writer_with_options(options).map_err(damage)?;
            let mut policy = LogMergePolicy::default();
            policy.set_del_docs_ratio_before_merge(MAX_DELETED_SHARE);
            writer.set_merge_policy(Box::new(policy));
            self.writer = Some(writer);
        }
        Ok(self.writer.as_mut().expect("it was made above"))
    }
}

/// Removes a folder with all that is in it, where it is there.
pub(super) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(folder),
        other => other,
    }
    .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
    .map_err(|error| Error::io("removing", folder, &error))
}

/// Turns an error of the index into one of the domain. What the index cannot read is rebuilt.
pub(super) fn damage(error: TantivyError) -> Error {
    let text = format!("the search index: {error}");
    if is_disk_full(&error) { Error::DiskFull(text) } else { Error::Damaged(text) }
}

fn is_disk_full(error: &TantivyError) -> bool {
    let kind = match error {
        TantivyError::IoError(error) => error.kind(),
        TantivyError::OpenWriteError(OpenWriteError::IoError { io_error, .. }) => io_error.kind(),
        _ => return false,
    };
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(kind, StorageFull | QuotaExceeded | FileTooLarge)
}
