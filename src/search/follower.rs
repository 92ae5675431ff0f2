//! Follows the changes with an open index, until it is told to stop or meets trouble.
//!
//! Each change is applied as the database is now, not as it was then, so a change may be applied
//! twice and some may be passed over; what counts is that nothing is missed behind the place that is
//! committed with the index. All documents of a session hold the project that its title's holds.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, IndexReader, TERMINATED};

use super::changes::{self, Batch, Extent, TouchedMessage};
use super::index::{IndexedTo, OpenIndex, damage};
use super::indexer::{Indexer, MAX_PAGE_MESSAGES, MAX_UNCOMMITTED_BYTES, Trouble};
use super::schema::{PROJECT, TITLE_INDEX, project_word};
use crate::error::{Error, Result};
use crate::model::{FeedCursor, Seq};
use crate::store::changes as feed;
use crate::store::searchable::{self, SearchableSession};

/// How long what was indexed waits for more before its commit, where no search wants it.
const COMMIT_AFTER: Duration = Duration::from_millis(500);
/// How long it waits at most. Each commit makes a segment, which is to be merged with others.
const COMMIT_WITHIN: Duration = Duration::from_secs(2);
/// How long changes are gathered, where no search wants them.
const GATHER_FOR: Duration = Duration::from_millis(100);
/// Changes that touch no document, past which their place is committed all the same.
const MAX_UNCOMMITTED_CHANGES: Seq = 10_000;
/// How long the memory of writing is held behind the last change.
const AWAKE_FOR: Duration = Duration::from_secs(3);
/// Sessions whose project is remembered.
const MAX_REMEMBERED: usize = 10_000;

/// Follows the changes with an open index.
pub(super) struct Follower<'a> {
    indexer: &'a Indexer,
    open: OpenIndex,
    reader: Option<IndexReader>,
    /// The last change that was applied.
    seq: Seq,
    /// The last change that the index on the disk has.
    committed: Seq,
    at: IndexedTo,
    /// A message appended behind this change is not in the index yet.
    fresh_after: Seq,
    /// The projects of sessions as last written: `None` for a session that the index does not have.
    projects: HashMap<String, Option<String>>,
    uncommitted: Option<Uncommitted>,
    bytes: usize,
}

/// When what is not committed was indexed: the first of it and the last.
struct Uncommitted {
    first: Instant,
    last: Instant,
}

impl Uncommitted {
    /// When it is to be committed, where no search wants it before.
    fn due(&self) -> Instant {
        (self.first + COMMIT_WITHIN).min(self.last + COMMIT_AFTER)
    }
}

impl<'a> Follower<'a> {
    /// Returns one that goes on from where an index is, and has published it by this reader.
    pub(super) fn new(
        indexer: &'a Indexer,
        open: OpenIndex,
        reader: IndexReader,
        indexed_to: IndexedTo,
    ) -> Self {
        let seq = indexed_to.cursor.seq;
        Self {
            indexer,
            seq,
            committed: seq,
            at: indexed_to,
            open,
            reader: Some(reader),
            // What a whole session brought along may be in the index already.
            fresh_after: *indexer.store.committed().borrow(),
            projects: HashMap::new(),
            uncommitted: None,
            bytes: 0,
        }
    }

    /// Follows until the indexer is to stop, or cannot go on.
    pub(super) async fn run(mut self) -> Result<(), Trouble> {
        let shared = &self.indexer.shared;
        let mut news = self.indexer.store.committed();
        let mut published = self.seq;
        let mut gathered_at = Instant::now();
        let mut idle_at = Instant::now() + AWAKE_FOR;
        loop {
            if shared.take_damage() {
                return Err(Trouble::Suspected);
            }
            if shared.is_stopping() {
                return if self.seq > self.committed { self.commit() } else { Ok(()) };
            }
            let last = *news.borrow_and_update();
            let is_wanted = shared.wanted() > published;
            if self.seq < last && (is_wanted || Instant::now() >= gathered_at) {
                if self.reader.is_none() {
                    // So that no search opens what is half applied.
                    let reader = self.reader()?;
                    shared.publish(&self.open, &reader, published);
                }
                self.apply_next().await?;
                if self.seq >= last {
                    gathered_at = Instant::now() + GATHER_FOR;
                }
                idle_at = Instant::now() + AWAKE_FOR;
            }
            let is_due = self.uncommitted.as_ref().is_some_and(|it| Instant::now() >= it.due())
                || self.bytes >= MAX_UNCOMMITTED_BYTES
                || self.seq - self.committed >= MAX_UNCOMMITTED_CHANGES;
            let is_wanted_now = is_wanted && self.seq >= shared.wanted().min(last);
            if is_due || (is_wanted_now && self.uncommitted.is_some()) {
                self.commit()?;
            }
            if self.uncommitted.is_none() && self.seq > published {
                let reader = self.reader()?;
                shared.publish(&self.open, &reader, self.seq);
                published = self.seq;
            }
            let until = if self.seq < last {
                if shared.wanted() > published { continue } else { Some(gathered_at) }
            } else if let Some(uncommitted) = &self.uncommitted {
                Some(uncommitted.due())
            } else if Instant::now() < idle_at {
                Some(idle_at)
            } else {
                self.rest()?.then(|| Instant::now() + AWAKE_FOR)
            };
            let sleep = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = news.changed(), if self.seq >= last => {
                    if changed.is_err() {
                        return Err(Trouble::Later(Error::ShuttingDown));
                    }
                }
                () = shared.wake.notified() => {}
                () = sleep => {}
            }
        }
    }

    /// Gives back what is only needed while there is work; returns whether some is still held.
    fn rest(&mut self) -> Result<bool, Trouble> {
        if self.seq > self.committed {
            // Of changes that touch no document: the feed keeps them for as long as their place is not.
            self.commit()?;
        }
        if self.open.is_awake() {
            self.open.rest().map_err(Trouble::of_index)?;
            // What was merged away is held until it is no longer read.
            let reader = self.reader()?;
            reader.reload().map_err(damage).map_err(Trouble::of_index)?;
        }
        let let_go = self.indexer.shared.let_go();
        if let_go {
            self.reader = None;
        }
        Ok(!let_go)
    }

    fn reader(&mut self) -> Result<IndexReader, Trouble> {
        if self.reader.is_none() {
            let reader = OpenIndex::reader(&self.open.index).map_err(Trouble::of_index)?;
            self.reader = Some(reader);
        }
        Ok(self.reader.clone().expect("it was made above"))
    }

    fn commit(&mut self) -> Result<(), Trouble> {
        self.open.commit(Some(&self.at)).map_err(Trouble::of_index)?;
        let reader = self.reader()?;
        reader.reload().map_err(damage).map_err(Trouble::of_index)?;
        self.committed = self.seq;
        self.indexer.shared.need_after(self.committed);
        (self.uncommitted, self.bytes) = (None, 0);
        if self.projects.len() > MAX_REMEMBERED {
            self.projects.clear();
        }
        Ok(())
    }

    /// Applies the next changes.
    async fn apply_next(&mut self) -> Result<(), Trouble> {
        let after = self.seq;
        let store = &self.indexer.store;
        let read = store.read(move |tx| {
            let bounds = feed::bounds(tx)?;
            Ok((bounds.first <= after + 1).then_some(changes::read(tx, after)?))
        });
        let Some(batch) = read.await.map_err(Trouble::Later)? else {
            let error = Error::Damaged("the feed no longer has what the index lacks".to_owned());
            return Err(Trouble::Index(error));
        };
        let Some((seq, at)) = batch.upto else { return Ok(()) };
        self.apply(batch).await?;
        self.seq = seq;
        let feed = self.at.cursor.feed.clone();
        self.at = IndexedTo::new(FeedCursor { feed, seq, at });
        Ok(())
    }

    async fn apply(&mut self, batch: Batch) -> Result<(), Trouble> {
        let mut whole = HashSet::new();
        for (id, touched) in batch.sessions {
            let Some(session) = touched.session else {
                self.write(|open| open.delete(open.fields.of_session(&id)))?;
                self.projects.insert(id, None);
                continue;
            };
            let project = project_word(session.project_id.as_ref());
            let is_new = matches!(touched.extent, Extent::New(seq) if seq > self.fresh_after);
            if is_new {
                self.write(|open| open.add(open.fields.title(&session)))?;
                self.projects.insert(id, Some(project.to_owned()));
            } else if touched.extent == Extent::Whole
                || self.project_of(&id)?.as_deref() != Some(project)
            {
                self.index_whole(&session).await?;
                whole.insert(id);
            } else {
                self.write(|open| {
                    open.delete(open.fields.of_document(&id, TITLE_INDEX))?;
                    open.add(open.fields.title(&session))
                })?;
            }
        }
        for TouchedMessage { session, message, appended } in batch.messages {
            let id = session.id.as_str();
            if whole.contains(id) {
                continue;
            }
            let project = project_word(session.project_id.as_ref());
            if self.project_of(id)?.as_deref() != Some(project) {
                self.index_whole(&session).await?;
                whole.insert(id.to_owned());
                continue;
            }
            let is_new = appended.is_some_and(|seq| seq > self.fresh_after);
            self.bytes += message.bytes();
            self.write(|open| {
                if !is_new {
                    open.delete(open.fields.of_document(id, message.index_in_session))?;
                }
                open.add(open.fields.message(&session, &message))
            })?;
        }
        Ok(())
    }

    fn write(&mut self, work: impl FnOnce(&mut OpenIndex) -> Result<()>) -> Result<(), Trouble> {
        let now = Instant::now();
        self.uncommitted.get_or_insert(Uncommitted { first: now, last: now }).last = now;
        work(&mut self.open).map_err(Trouble::of_index)
    }

    /// Indexes all of a session anew, in pages.
    async fn index_whole(&mut self, session: &SearchableSession) -> Result<(), Trouble> {
        let id = session.id.as_str();
        let project = project_word(session.project_id.as_ref()).to_owned();
        self.write(|open| open.delete(open.fields.of_session(id)))?;
        let mut from = Some(0);
        while let Some(start) = from {
            let asked = id.to_owned();
            let read = self.indexer.store.read(move |tx| {
                let last = feed::bounds(tx)?.last;
                let page = match searchable::session(tx, &asked)? {
                    Some(now) => searchable::messages(tx, &now, start, MAX_PAGE_MESSAGES)?,
                    // A change behind this one takes it out again.
                    None => (Vec::new(), None),
                };
                Ok((last, page))
            });
            let (last, (messages, next)) = read.await.map_err(Trouble::Later)?;
            self.fresh_after = self.fresh_after.max(last);
            for message in messages {
                self.bytes += message.bytes();
                self.write(|open| open.add(open.fields.message(session, &message)))?;
            }
            if self.bytes >= MAX_UNCOMMITTED_BYTES {
                // The place that this commit holds is the one before, and no search sees it yet.
                self.open.commit(Some(&self.at)).map_err(Trouble::of_index)?;
                self.bytes = 0;
            }
            from = next;
        }
        // The title last: what was committed half way has none, and so is indexed whole again.
        self.write(|open| open.add(open.fields.title(session)))?;
        self.projects.insert(id.to_owned(), Some(project));
        Ok(())
    }

    /// Returns the project that the documents of a session hold; `None` where it has none.
    fn project_of(&mut self, session_id: &str) -> Result<Option<String>, Trouble> {
        if let Some(project) = self.projects.get(session_id) {
            return Ok(project.clone());
        }
        let reader = self.reader()?;
        let found = self.find_project(&reader, session_id).map_err(damage);
        let found = found.map_err(Trouble::of_index)?;
        self.projects.insert(session_id.to_owned(), found.clone());
        Ok(found)
    }

    fn find_project(
        &self,
        reader: &IndexReader,
        session_id: &str,
    ) -> tantivy::Result<Option<String>> {
        let term = self.open.fields.of_document(session_id, TITLE_INDEX);
        for segment in reader.searcher().segment_readers() {
            let index = segment.inverted_index(self.open.fields.key)?;
            let Some(mut postings) = index.read_postings(&term, IndexRecordOption::Basic)? else {
                continue;
            };
            while postings.doc() != TERMINATED && segment.is_deleted(postings.doc()) {
                postings.advance();
            }
            if postings.doc() != TERMINATED
                && let Some(column) = segment.fast_fields().str(PROJECT)?
                && let Some(number) = column.term_ords(postings.doc()).next()
            {
                let mut project = String::new();
                column.ord_to_str(number, &mut project)?;
                return Ok(Some(project));
            }
        }
        Ok(None)
    }
}
