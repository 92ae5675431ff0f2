//! Collects the best documents, in an order that two pages of one list agree on.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::{ColumnValues, StrColumn};
use tantivy::query::Weight;
use tantivy::{DocId, Score, SegmentOrdinal, SegmentReader, TantivyError};

use super::schema::{AT, INDEX, SESSION};
use crate::model::Millis;

/// Where a document stands in the list of what is found: its score, then the newest first; what is of
/// one time by session and index.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    pub(super) score: Score,
    pub(super) at: Millis,
    pub(super) session: String,
    pub(super) index: i64,
}

/// The order of a place but for its session, which within a segment is a number of the same order.
type Rank<S> = (OrderedScore, Millis, Reverse<S>, i64);

/// A score that is a number, and so has an order.
#[derive(Debug, Clone, Copy, PartialEq)]
struct OrderedScore(Score);

impl Eq for OrderedScore {}

impl PartialOrd for OrderedScore {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OrderedScore {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Place {
    fn rank(&self) -> Rank<&str> {
        (OrderedScore(self.score), self.at, Reverse(&self.session), self.index)
    }
}

/// Collects the best places behind one.
#[derive(Debug)]
pub(super) struct Best<'a> {
    pub(super) limit: usize,
    pub(super) after: Option<&'a Place>,
    /// Times that count, both included.
    pub(super) times: (Millis, Millis),
    pub(super) may_prune: bool,
}

/// How far below the worst of the best a score must be to be passed over: those who pass it over add
/// up in another order.
const SCORE_MARGIN: Score = 1e-5;

impl Collector for Best<'_> {
    type Fruit = Vec<Place>;
    type Child = Unused;

    fn for_segment(&self, _: SegmentOrdinal, _: &SegmentReader) -> tantivy::Result<Unused> {
        Ok(Unused)
    }

    fn requires_scoring(&self) -> bool {
        true
    }

    fn collect_segment(
        &self,
        weight: &dyn Weight,
        _: u32,
        reader: &SegmentReader,
    ) -> tantivy::Result<Vec<Place>> {
        let columns = Columns::open(reader)?;
        let after = self.after.map(|place| columns.behind(place)).transpose()?;
        let mut best = BinaryHeap::with_capacity(self.limit + 1);
        let mut take = |document: DocId, score: Score| {
            let is_alive = reader.alive_bitset().is_none_or(|alive| alive.is_alive(document));
            let at = columns.at.get_val(document);
            if is_alive && (self.times.0..=self.times.1).contains(&at) {
                let session = columns.sessions.get_val(document);
                let rank =
                    (OrderedScore(score), at, Reverse(session), columns.index.get_val(document));
                if after.as_ref().is_none_or(|after| after.is_in_front_of(&rank)) {
                    best.push(Reverse(rank));
                    if best.len() > self.limit {
                        best.pop();
                    }
                }
            }
            if best.len() < self.limit {
                return Score::MIN;
            }
            best.peek().map_or(Score::MIN, |Reverse((OrderedScore(worst), ..))| {
                worst - worst.abs() * SCORE_MARGIN
            })
        };
        if self.may_prune {
            weight.for_each_pruning(Score::MIN, reader, &mut take)?;
        } else {
            weight.for_each(reader, &mut |document, score| {
                take(document, score);
            })?;
        }
        best.into_iter().map(|Reverse(rank)| columns.place(rank)).collect()
    }

    fn merge_fruits(&self, segments: Vec<Vec<Place>>) -> tantivy::Result<Vec<Place>> {
        let mut places: Vec<Place> = segments.into_iter().flatten().collect();
        places.sort_by(|one, other| other.rank().cmp(&one.rank()));
        places.truncate(self.limit);
        Ok(places)
    }
}

/// A segment is collected as a whole, not document by document.
#[derive(Debug)]
pub(super) struct Unused;

impl SegmentCollector for Unused {
    type Fruit = Vec<Place>;

    fn collect(&mut self, _: DocId, _: Score) {}

    fn harvest(self) -> Vec<Place> {
        Vec::new()
    }
}

/// The columns of a segment that a place is made of.
struct Columns {
    session_names: StrColumn,
    /// Numbers of sessions, in the order of their names.
    sessions: Arc<dyn ColumnValues<u64>>,
    index: Arc<dyn ColumnValues<i64>>,
    at: Arc<dyn ColumnValues<i64>>,
}

/// The place behind which a page starts, as a segment has it.
struct Behind {
    score: OrderedScore,
    at: Millis,
    /// How many sessions of the segment have a smaller name, and whether the next one is the place's.
    sessions_before: u64,
    is_here: bool,
    index: i64,
}

impl Behind {
    fn is_in_front_of(&self, (score, at, Reverse(session), index): &Rank<u64>) -> bool {
        let of_session = if *session < self.sessions_before {
            Ordering::Less
        } else if self.is_here && *session == self.sessions_before {
            Ordering::Equal
        } else {
            Ordering::Greater
        };
        // Best first: what is behind has a lower score, is older, of a later session, or further up.
        let order = score.cmp(&self.score).reverse();
        order
            .then(at.cmp(&self.at).reverse())
            .then(of_session)
            .then(index.cmp(&self.index).reverse())
            == Ordering::Greater
    }
}

impl Columns {
    fn open(reader: &SegmentReader) -> tantivy::Result<Self> {
        let columns = reader.fast_fields();
        let session_names = columns
            .str(SESSION)?
            .ok_or_else(|| TantivyError::InternalError("a segment has no sessions".to_owned()))?;
        let sessions = session_names.ords().clone().first_or_default_col(0);
        Ok(Self {
            sessions,
            session_names,
            index: columns.i64(INDEX)?.first_or_default_col(0),
            at: columns.i64(AT)?.first_or_default_col(0),
        })
    }

    fn behind(&self, place: &Place) -> tantivy::Result<Behind> {
        let names = self.session_names.dictionary();
        let is_here = names.term_ord(place.session.as_bytes())?;
        let sessions_before = match is_here {
            Some(number) => number,
            None => self.count_before(&place.session)?,
        };
        Ok(Behind {
            score: OrderedScore(place.score),
            at: place.at,
            sessions_before,
            is_here: is_here.is_some(),
            index: place.index,
        })
    }

    /// Returns how many sessions have a smaller name.
    fn count_before(&self, session: &str) -> tantivy::Result<u64> {
        let (mut from, mut to) = (0, self.session_names.num_terms() as u64);
        let mut name = String::new();
        while from < to {
            let middle = from + (to - from) / 2;
            name.clear();
            self.session_names.ord_to_str(middle, &mut name)?;
            if name.as_str() < session {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        Ok(from)
    }

    fn place(&self, rank: Rank<u64>) -> tantivy::Result<Place> {
        let (OrderedScore(score), at, Reverse(number), index) = rank;
        let mut session = String::new();
        if !self.session_names.ord_to_str(number, &mut session)? {
            return Err(TantivyError::InternalError("a session has no name".to_owned()));
        }
        Ok(Place { score, at, session, index })
    }
}
