//! Builds the index from the whole database, while the daemon serves.
//!
//! It goes into a folder of its own and takes its place when it is whole. Pages are read one after
//! another, each as the database is then; what changes meanwhile is applied behind, from the place
//! in the feed at which the building began.

use std::path::Path;

use super::index::{IndexedTo, OpenIndex, remove};
use super::indexer::{
    Indexer, MAX_PAGE_MESSAGES, MAX_UNCOMMITTED_BYTES, Trouble, building_folder, put_in_place,
};
use super::shared::Phase;
use crate::error::{Error, Result};
use crate::store::searchable::{self, MAX_PAGE_BYTES, SearchableMessage, SearchableSession};
use crate::store::{ReadTx, changes, feed, status};

/// Sessions read at one time.
const MAX_PAGE_SESSIONS: usize = 256;

/// How far the building is.
#[derive(Debug, Clone, Default)]
struct Place {
    /// The last session that is done.
    done: String,
    /// The session at hand as its title was indexed, and the index to go on from.
    session: Option<(SearchableSession, i64)>,
}

/// A page of what is indexed: sessions, each as it was when its title was read, with some of their
/// messages; and whether the title is new.
type Page = Vec<(SearchableSession, bool, Vec<SearchableMessage>)>;

/// Builds the index and returns it opened in its place.
pub(super) async fn build(
    indexer: &Indexer,
    folder: &Path,
) -> Result<(OpenIndex, IndexedTo), Trouble> {
    let begun = std::time::Instant::now();
    let feed_id = indexer.store.feed_id().clone();
    let (indexed_to, total) = read(indexer, move |tx| {
        let last = changes::bounds(tx)?.last;
        let cursor = feed::cursor(tx, &feed_id, last)?;
        let counts = status::counts(tx)?;
        let total = u64::try_from(counts.sessions + counts.messages).unwrap_or(0);
        Ok((IndexedTo::new(cursor), total))
    })
    .await?;
    indexer.shared.need_after(indexed_to.cursor.seq);
    indexer.shared.enter(Phase::Building(0, total));
    let built = building_folder(indexer);
    let mut open = OpenIndex::create(&built).map_err(Trouble::of_index)?;
    let (mut place, mut done, mut bytes) = (Place::default(), 0, 0);
    loop {
        if indexer.shared.is_stopping() {
            return Err(Trouble::Later(Error::ShuttingDown));
        }
        let from = place.clone();
        let (page, next) = read(indexer, move |tx| next_page(tx, from)).await?;
        for (session, is_new, messages) in &page {
            if *is_new {
                open.add(open.fields.title(session)).map_err(Trouble::of_index)?;
                done += 1;
            }
            for message in messages {
                bytes += message.bytes();
                open.add(open.fields.message(session, message)).map_err(Trouble::of_index)?;
                done += 1;
            }
        }
        if bytes >= MAX_UNCOMMITTED_BYTES {
            open.commit(None).map_err(Trouble::of_index)?;
            bytes = 0;
        }
        indexer.shared.enter(Phase::Building(done, total.max(done)));
        match next {
            Some(next) => place = next,
            None => break,
        }
    }
    open.commit(Some(&indexed_to)).map_err(Trouble::of_index)?;
    open.rest().map_err(Trouble::of_index)?;
    drop(open);
    put_in_place(&built, folder).map_err(Trouble::of_index)?;
    remove(&built).map_err(Trouble::of_index)?;
    tracing::info!(
        documents = done,
        seconds = begun.elapsed().as_secs_f32(),
        "the search index is built"
    );
    OpenIndex::open(folder).map_err(Trouble::of_index)
}

async fn read<T: Send + 'static>(
    indexer: &Indexer,
    work: impl FnOnce(&mut ReadTx<'_>) -> Result<T> + Send + 'static,
) -> Result<T, Trouble> {
    let pending = indexer.store.queue_long_read(work).await.map_err(Trouble::Later)?;
    pending.await.map_err(Trouble::Later)
}

fn bytes_of(messages: &[SearchableMessage]) -> usize {
    messages.iter().map(SearchableMessage::bytes).sum()
}

/// Reads the next messages, and the place to go on from; `None` at the end.
fn next_page(tx: &mut ReadTx<'_>, mut place: Place) -> Result<(Page, Option<Place>)> {
    let mut page = Page::new();
    let (mut room, mut bytes) = (MAX_PAGE_MESSAGES, 0);
    if let Some((session, from)) = place.session.take()
        && let Some(now) = searchable::session(tx, session.id.as_str())?
    {
        let (messages, next) = searchable::messages(tx, &now, from, room)?;
        room -= messages.len().min(room);
        bytes += bytes_of(&messages);
        place.session = next.map(|next| (session.clone(), next));
        // All documents of a session hold one project; where it moved meanwhile, a change tells so.
        page.push((session, false, messages));
        if place.session.is_some() {
            return Ok((page, Some(place)));
        }
    }
    let sessions = searchable::sessions_after(tx, &place.done, MAX_PAGE_SESSIONS)?;
    let is_last = sessions.len() < MAX_PAGE_SESSIONS;
    for session in sessions {
        if room == 0 || bytes > MAX_PAGE_BYTES {
            return Ok((page, Some(place)));
        }
        let (messages, next) = searchable::messages(tx, &session, 0, room)?;
        room -= messages.len().min(room);
        bytes += bytes_of(&messages);
        place.done = session.id.to_string();
        place.session = next.map(|next| (session.clone(), next));
        page.push((session, true, messages));
        // A page that ended by its bytes leaves its session unfinished.
        if place.session.is_some() {
            return Ok((page, Some(place)));
        }
    }
    Ok((page, (!is_last).then_some(place)))
}
