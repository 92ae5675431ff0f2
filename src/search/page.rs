//! A page of what is found: places from the index, records from the database.

use std::time::Instant;

use pollster::block_on;

use super::compile::compile;
use super::damage;
use super::hits::{Best, Place};
use super::query::{Node, parse};
use super::schema::TITLE_INDEX;
use super::shared::{Searchable, Shared};
use super::snippet;
use crate::api::Paged;
use crate::api::search::{
    Hit, HitPage, HitSession, SearchParams, Snippet, SnippetPart, SnippetSource,
};
use crate::error::{Error, Result};
use crate::model::limits::{MAX_TIME, MIN_TIME};
use crate::model::{Cursor, Seq};
use crate::store::page::Page;
use crate::store::searchable::{self, SearchableMessage, SearchableSession};
use crate::store::{ReadTx, Store};

/// Records that are read at one time: each may be large.
const MAX_READ: usize = 64;

/// Why there is no page.
pub(super) enum Failure {
    /// The index could not be read.
    Index(Error),
    /// Anything else.
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// Returns a page of what is found in the index once it has a change, which it has until a time or not.
pub(super) fn page(
    store: &Store,
    shared: &Shared,
    params: &SearchParams,
    (seq, until): (Seq, Instant),
) -> Result<HitPage, Failure> {
    let node = parse(&params.query)?;
    if let Some(id) = params.session_id.clone() {
        let found = block_on(store.read(move |tx| {
            searchable::session(tx, id.as_str())?.ok_or_else(|| Error::not_found("session", &id))
        }));
        found?;
    }
    let after = params.cursor.as_ref().map(read_cursor).transpose()?;
    let kept = after.as_ref().and_then(|(number, _)| Some((*number, shared.kept(*number)?)));
    let searchable = match &kept {
        Some((_, searchable)) => searchable.clone(),
        None => shared.searchable_at(seq, until).map_err(|error| match error {
            Error::Damaged(_) => Failure::Index(error),
            error => Failure::Other(error),
        })?,
    };
    let (mut page, last) = fill(store, &searchable, &node, params, after.map(|(_, place)| place))?;
    let next_cursor = last.filter(|_| page.has_more).map(|last| {
        let number = kept.map_or_else(|| shared.keep(&searchable), |(number, _)| number);
        write_cursor(params, number, &last)
    });
    Ok(HitPage { hits: std::mem::take(&mut page.items), next_cursor })
}

/// Fills a page, and returns the place of its last hit.
///
/// What is no longer there is left out, and the next takes its place.
fn fill(
    store: &Store,
    searchable: &Searchable,
    node: &Node,
    params: &SearchParams,
    mut after: Option<Place>,
) -> Result<(Page<Hit>, Option<Place>), Failure> {
    let searcher = &searchable.searcher;
    let compiled =
        compile(node, params, &searchable.fields, searcher).map_err(|error| match error {
            Error::Damaged(_) => Failure::Index(error),
            error => Failure::Other(error),
        })?;
    let times = (params.since.unwrap_or(MIN_TIME), params.until.unwrap_or(MAX_TIME));
    // One more than fits shows whether the page is the last.
    let limit = params.limit as usize + 1;
    let mut page = Page::new(params.limit);
    let mut last = None;
    loop {
        let best = Best { limit, after: after.as_ref(), times, may_prune: compiled.may_prune };
        let places = searcher
            .search(&compiled.query, &best)
            .map_err(|error| Failure::Index(damage(error)))?;
        for places in places.chunks(MAX_READ) {
            let (asked, node, filter) = (places.to_vec(), node.clone(), params.clone());
            let read = block_on(store.read(move |tx| {
                asked.iter().map(|place| hit(tx, &node, &filter, place)).collect::<Result<Vec<_>>>()
            }))?;
            for (place, hit) in places.iter().zip(read) {
                let Some(hit) = hit else { continue };
                if page.push(hit, 0)?.is_break() {
                    return Ok((page, last));
                }
                last = Some(place.clone());
            }
        }
        if places.len() < limit {
            return Ok((page, last));
        }
        after = places.last().cloned();
    }
}

/// Reads what is at a place; `None` where it is gone, or no longer what is looked for.
fn hit(
    tx: &mut ReadTx<'_>,
    node: &Node,
    params: &SearchParams,
    place: &Place,
) -> Result<Option<Hit>> {
    let Some(session) = searchable::session(tx, &place.session)? else { return Ok(None) };
    if params.project_id.as_ref().is_some_and(|project_id| *project_id != session.project_id) {
        return Ok(None);
    }
    if place.index == TITLE_INDEX {
        // Where there is no title, there is nothing to find: its document tells the session's project.
        let Some(title) = session.title.clone() else { return Ok(None) };
        let created_at = session.created_at;
        let snippet = of_texts(node, &[(SnippetSource::Title, &title)]);
        return Ok(snippet.map(|snippet| Hit {
            session: of_session(session),
            message_id: None,
            index_in_session: None,
            role: None,
            created_at,
            snippet,
        }));
    }
    let Some(message) = searchable::message_at(tx, &session, place.index)? else { return Ok(None) };
    let SearchableMessage { id, index_in_session, role, content, code_excerpt, created_at } =
        message;
    let mut texts = vec![(SnippetSource::Content, content.as_str())];
    texts.extend(code_excerpt.as_deref().map(|code| (SnippetSource::CodeExcerpt, code)));
    Ok(of_texts(node, &texts).map(|snippet| Hit {
        session: of_session(session),
        message_id: Some(id),
        index_in_session: Some(index_in_session),
        role: Some(role),
        created_at,
        snippet,
    }))
}

fn of_session(session: SearchableSession) -> HitSession {
    let SearchableSession { id, title, kind, project_id, .. } = session;
    HitSession { id, title, kind, project_id }
}

/// Returns the snippet of the text with the most of what is wanted; the start of the first one where
/// nothing is wanted but only unwanted, and `None` where what is wanted is in none of them.
fn of_texts(node: &Node, texts: &[(SnippetSource, &str)]) -> Option<Snippet> {
    let marked = |parts: &[SnippetPart]| parts.iter().filter(|part| part.is_match).count();
    let best = texts
        .iter()
        .filter_map(|(source, text)| Some((*source, snippet::best(node, text)?)))
        // The first of equal ones.
        .reduce(|best, next| if marked(&next.1) > marked(&best.1) { next } else { best });
    match best {
        Some((source, parts)) => Some(Snippet { source, parts }),
        None if node.may_match_without() => texts
            .first()
            .map(|(source, text)| Snippet { source: *source, parts: snippet::start(text) }),
        None => None,
    }
}

fn write_cursor(params: &SearchParams, number: u64, place: &Place) -> Cursor {
    let key = format!("{number}.{}.{}.{}", place.at, place.index, place.session);
    Cursor::after(params.list(), i64::from(place.score.to_bits()), &key)
}

/// Reads the number of a kept state and a place.
fn read_cursor(cursor: &Cursor) -> Result<(u64, Place)> {
    let (bits, key) = cursor.position();
    let read = || {
        let mut fields = key.splitn(4, '.');
        let number = fields.next()?.parse().ok()?;
        let (at, index) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let score = f32::from_bits(u32::try_from(bits).ok()?);
        let place = Place { score, at, index, session: fields.next()?.to_owned() };
        score.is_finite().then_some((number, place))
    };
    read().ok_or_else(|| {
        Error::invalid("cursor", "not a cursor; use the next_cursor of the page before")
    })
}
