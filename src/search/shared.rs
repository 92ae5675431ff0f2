//! What the indexer and the searches know of each other: how far the index is, and who waits for more.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tantivy::{Index, IndexReader, Searcher};
use tokio::sync::Notify;

use super::index::OpenIndex;
use super::schema::Fields;
use crate::error::{Error, Result};
use crate::model::Seq;

/// States of the index that are kept for the next pages of lists that began in them.
const MAX_KEPT: usize = 8;
/// How long such a state is kept.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// How long the index stays open behind a search.
const OPEN_FOR: Duration = Duration::from_secs(10);

/// What the indexer does.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    /// It reads and checks the index that is there.
    Opening,
    /// It builds the index: documents done, and about how many there will be.
    Building(u64, u64),
    /// It follows the changes.
    Following,
    /// It cannot go on, and tries again later.
    Failed(Error),
    /// It has ended.
    Ended,
}

/// How the index is.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    pub(super) phase: Phase,
    /// The last change that searches see.
    pub(super) indexed: Seq,
    pub(super) documents: u64,
}

/// An index that can be searched.
#[derive(Clone)]
pub(super) struct Searchable {
    pub(super) searcher: Searcher,
    pub(super) fields: Fields,
}

struct Kept {
    number: u64,
    searchable: Searchable,
    until: Instant,
}

struct State {
    progress: Progress,
    /// The change behind which the index needs the feed. All of it, where it is not known yet from where
    /// the index that is there goes on; nothing, where it does not go on.
    needed_after: Option<Seq>,
    index: Option<(Index, Fields)>,
    reader: Option<IndexReader>,
    /// The change that the last search waits for.
    wanted: Seq,
    is_damaged: bool,
    is_stopping: bool,
    searched_at: Instant,
    kept: VecDeque<Kept>,
    next_kept: u64,
}

impl State {
    fn enter(&mut self, phase: Phase) {
        if !matches!(phase, Phase::Following) {
            (self.index, self.reader) = (None, None);
            self.kept.clear();
        }
        match phase {
            Phase::Opening => _ = self.needed_after.get_or_insert(0),
            Phase::Failed(_) | Phase::Ended => self.needed_after = None,
            Phase::Building(..) | Phase::Following => {}
        }
        self.progress.phase = phase;
    }
}

/// The state, and who waits for it to change.
pub(super) struct Shared {
    state: Mutex<State>,
    progressed: Condvar,
    /// Wakes the indexer.
    pub(super) wake: Notify,
}

impl Shared {
    pub(super) fn new() -> Self {
        let progress = Progress { phase: Phase::Opening, indexed: 0, documents: 0 };
        Self {
            state: Mutex::new(State {
                progress,
                needed_after: Some(0),
                index: None,
                reader: None,
                wanted: 0,
                is_damaged: false,
                is_stopping: false,
                searched_at: Instant::now(),
                kept: VecDeque::new(),
                next_kept: 0,
            }),
            progressed: Condvar::new(),
            wake: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the lock panics")
    }

    /// Returns how the index is.
    pub(super) fn progress(&self) -> Progress {
        self.state().progress.clone()
    }

    /// Tells what the indexer does. Where it does not follow, nothing can be searched.
    pub(super) fn enter(&self, phase: Phase) {
        self.state().enter(phase);
        self.progressed.notify_all();
    }

    /// Tells that searches see an index up to a change.
    pub(super) fn publish(&self, open: &OpenIndex, reader: &IndexReader, indexed: Seq) {
        let mut state = self.state();
        state.index = Some((open.index.clone(), open.fields));
        state.reader = Some(reader.clone());
        state.progress =
            Progress { phase: Phase::Following, indexed, documents: reader.searcher().num_docs() };
        self.progressed.notify_all();
    }

    /// Tells that the index on the disk, or the one being built, goes on behind a change.
    pub(super) fn need_after(&self, seq: Seq) {
        self.state().needed_after = Some(seq);
    }

    /// The change behind which the index needs the feed.
    pub(super) fn needed_after(&self) -> Option<Seq> {
        self.state().needed_after
    }

    /// The change up to which some search waits for the index.
    pub(super) fn wanted(&self) -> Seq {
        self.state().wanted
    }

    /// Tells that the index that is searched is damaged.
    pub(super) fn report_damage(&self) {
        let mut state = self.state();
        state.is_damaged = matches!(state.progress.phase, Phase::Following);
        self.wake.notify_one();
    }

    /// Returns whether damage was reported, once; nothing can be searched then.
    pub(super) fn take_damage(&self) -> bool {
        let mut state = self.state();
        let is_damaged = std::mem::take(&mut state.is_damaged);
        if is_damaged {
            state.enter(Phase::Opening);
        }
        is_damaged
    }

    /// Asks the indexer to end.
    pub(super) fn stop(&self) {
        self.state().is_stopping = true;
        self.progressed.notify_all();
        self.wake.notify_one();
    }

    /// True once the indexer was asked to end.
    pub(super) fn is_stopping(&self) -> bool {
        self.state().is_stopping
    }

    /// Lets go of what only searches need, where there were none for a while; returns whether it did.
    pub(super) fn let_go(&self) -> bool {
        let mut state = self.state();
        let now = Instant::now();
        state.kept.retain(|kept| kept.until > now);
        if state.searched_at + OPEN_FOR > now || !state.kept.is_empty() {
            return false;
        }
        state.reader.take();
        true
    }

    /// Waits until the index has a change, and returns it.
    pub(super) fn searchable_at(&self, seq: Seq, until: Instant) -> Result<Searchable> {
        let mut state = self.state();
        state.searched_at = Instant::now();
        state.wanted = state.wanted.max(seq);
        // Also where there is nothing to wait for: it is who lets go of the index later.
        self.wake.notify_one();
        loop {
            if state.is_stopping {
                return Err(Error::ShuttingDown);
            }
            match &state.progress.phase {
                Phase::Following if state.progress.indexed >= seq && !state.is_damaged => {
                    return searchable(&mut state);
                }
                Phase::Failed(error) => return Err(Error::Storage(error.to_string())),
                Phase::Ended => return Err(Error::ShuttingDown),
                Phase::Following | Phase::Opening | Phase::Building(..) => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(behind(&state.progress, seq));
            }
            state =
                self.progressed.wait_timeout(state, left).expect("no holder of the lock panics").0;
        }
    }

    /// Keeps a state of the index for the next page, and returns its number.
    pub(super) fn keep(&self, searchable: &Searchable) -> u64 {
        let mut state = self.state();
        let number = state.next_kept;
        state.next_kept += 1;
        if state.kept.len() == MAX_KEPT {
            state.kept.pop_front();
        }
        let until = Instant::now() + KEPT_FOR;
        state.kept.push_back(Kept { number, searchable: searchable.clone(), until });
        number
    }

    /// Returns a state that was kept, where it still is.
    pub(super) fn kept(&self, number: u64) -> Option<Searchable> {
        let mut state = self.state();
        if state.is_damaged {
            return None;
        }
        state.searched_at = Instant::now();
        self.wake.notify_one();
        let until = Instant::now() + KEPT_FOR;
        let kept = state.kept.iter_mut().find(|kept| kept.number == number)?;
        kept.until = until;
        Some(kept.searchable.clone())
    }
}

fn searchable(state: &mut State) -> Result<Searchable> {
    let (index, fields) = state
        .index
        .as_ref()
        .ok_or_else(|| Error::Internal("there is no index to search".to_owned()))?;
    let reader = match &state.reader {
        Some(reader) => reader.clone(),
        None => OpenIndex::reader(index)?,
    };
    let searchable = Searchable { searcher: reader.searcher(), fields: *fields };
    state.reader = Some(reader);
    Ok(searchable)
}

fn behind(progress: &Progress, seq: Seq) -> Error {
    let count = |number: Seq| u64::try_from(number).unwrap_or(0);
    match progress.phase {
        Phase::Building(done, total) => Error::Indexing { done, total },
        _ => Error::Indexing { done: count(progress.indexed), total: count(seq) },
    }
}
