//! Turns a query's tree and the filters into a query of the index.

use std::ops::Bound;

use tantivy::query::{
    AllQuery, BooleanQuery, ConstScoreQuery, DisjunctionMaxQuery, InvertedIndexRangeQuery, Occur,
    PhrasePrefixQuery, PhraseQuery, Query, TermQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{Searcher, Term};

use super::query::{Node, Text};
use super::schema::{Fields, project_word};
use crate::api::search::SearchParams;
use crate::error::{Error, Result};
use crate::model::limits::MAX_PREFIX_WORDS;

/// A query of the index.
pub(super) struct Compiled {
    pub(super) query: Box<dyn Query>,
    /// True where what cannot be among the best may be passed over: where a document's score is the
    /// same however it is come by.
    pub(super) may_prune: bool,
}

/// Returns what a search looks for.
pub(super) fn compile(
    node: &Node,
    params: &SearchParams,
    fields: &Fields,
    searcher: &Searcher,
) -> Result<Compiled> {
    let query = Compiler { fields, searcher }.node(node)?;
    let filters = filters(params, fields);
    if filters.is_empty() {
        return Ok(Compiled { query, may_prune: is_of_words_alone(node) });
    }
    let mut clauses = vec![(Occur::Must, query)];
    clauses.extend(filters.into_iter().map(|term| {
        let term: Box<dyn Query> = Box::new(TermQuery::new(term, IndexRecordOption::Basic));
        (Occur::Must, unscored(term))
    }));
    Ok(Compiled { query: Box::new(BooleanQuery::new(clauses)), may_prune: false })
}

/// True for words that must all be there, each with one spelling.
fn is_of_words_alone(node: &Node) -> bool {
    match node {
        Node::Text(text) => {
            text.spellings.len() == 1 && text.spellings[0].len() == 1 && !text.is_prefix
        }
        Node::And(nodes) => {
            nodes.iter().all(|node| matches!(node, Node::Text(_)) && is_of_words_alone(node))
        }
        Node::Or(_) | Node::Not(_) => false,
    }
}

fn filters(params: &SearchParams, fields: &Fields) -> Vec<Term> {
    let project = params.project_id.as_ref().map(|project_id| project_word(project_id.as_ref()));
    [
        (fields.session, params.session_id.as_ref().map(|id| id.as_str())),
        (fields.project, project),
        (fields.kind, params.kind.as_deref()),
        (fields.role, params.role.map(|role| role.as_str())),
    ]
    .into_iter()
    .filter_map(|(field, word)| Some(Term::from_field_text(field, word?)))
    .collect()
}

/// Returns a query that matches the same and adds nothing to the score.
fn unscored(query: Box<dyn Query>) -> Box<dyn Query> {
    Box::new(ConstScoreQuery::new(query, 0.0))
}

struct Compiler<'a> {
    fields: &'a Fields,
    searcher: &'a Searcher,
}

impl Compiler<'_> {
    fn node(&self, node: &Node) -> Result<Box<dyn Query>> {
        match node {
            Node::Text(text) => self.text(text),
            Node::Or(nodes) => {
                let queries: Result<Vec<_>> = nodes.iter().map(|node| self.node(node)).collect();
                Ok(Box::new(BooleanQuery::union(queries?)))
            }
            Node::And(nodes) => self.all(nodes.iter()),
            Node::Not(_) => self.all(std::iter::once(node)),
        }
    }

    /// Returns what is like all of these. Where all are negations, it is taken from all there is.
    fn all<'n>(&self, nodes: impl Iterator<Item = &'n Node>) -> Result<Box<dyn Query>> {
        let mut clauses = Vec::new();
        for node in nodes {
            clauses.push(match node {
                Node::Not(inner) => (Occur::MustNot, self.node(inner)?),
                node => (Occur::Must, self.node(node)?),
            });
        }
        if clauses.iter().all(|(occur, _)| *occur == Occur::MustNot) {
            clauses.push((Occur::Must, unscored(Box::new(AllQuery))));
        }
        Ok(Box::new(BooleanQuery::new(clauses)))
    }

    fn text(&self, text: &Text) -> Result<Box<dyn Query>> {
        let mut queries = Vec::new();
        for terms in &text.spellings {
            queries.push(self.spelling(text, terms)?);
        }
        match queries.len() {
            1 => Ok(queries.remove(0)),
            // The better spelling counts, not both.
            _ => Ok(Box::new(DisjunctionMaxQuery::new(queries))),
        }
    }

    fn spelling(&self, text: &Text, words: &[String]) -> Result<Box<dyn Query>> {
        let field = self.fields.text;
        let terms: Vec<Term> =
            words.iter().map(|word| Term::from_field_text(field, word)).collect();
        Ok(match (terms.as_slice(), text.is_prefix) {
            ([term], false) => Box::new(TermQuery::new(term.clone(), IndexRecordOption::WithFreqs)),
            (_, false) => Box::new(PhraseQuery::new(terms)),
            ([_], true) => {
                let (from, to) = prefix_range(field, &words[0]);
                Box::new(InvertedIndexRangeQuery::new(from, to))
            }
            (_, true) => {
                let prefix = words.last().expect("a spelling has a term");
                self.check_prefix(text, prefix)?;
                let mut query = PhrasePrefixQuery::new(terms);
                query.set_max_expansions(MAX_PREFIX_WORDS as u32);
                Box::new(query)
            }
        })
    }

    /// Refuses the prefix at the end of a phrase where too many words begin with it: each has its
    /// places read, and none may be left out.
    fn check_prefix(&self, text: &Text, prefix: &str) -> Result<()> {
        let (_, to) = prefix_range(self.fields.text, prefix);
        for segment in self.searcher.segment_readers() {
            let index = segment.inverted_index(self.fields.text).map_err(super::damage)?;
            let mut range = index.terms().range().ge(prefix);
            if let Bound::Excluded(end) = &to {
                range = range.lt(end.serialized_value_bytes());
            }
            let mut words = range.into_stream().map_err(|error| super::damage(error.into()))?;
            let mut count = 0;
            while words.advance() {
                count += 1;
                if count > MAX_PREFIX_WORDS {
                    return Err(Error::MalformedQuery {
                        offset: text.offset,
                        expected: format!(
                            "a longer beginning at the end of this phrase: at most {MAX_PREFIX_WORDS} words may begin with it"
                        ),
                        found: "one with which more words begin".to_owned(),
                    });
                }
            }
        }
        Ok(())
    }
}

/// Returns the range of the terms that begin with a prefix.
fn prefix_range(field: Field, prefix: &str) -> (Bound<Term>, Bound<Term>) {
    // The character behind the last one; where there is none, the range ends with the field.
    let mut end: Vec<char> = prefix.chars().collect();
    let mut to = Bound::Unbounded;
    while let Some(last) = end.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            end.push(next);
            to = Bound::Excluded(Term::from_field_text(field, &end.iter().collect::<String>()));
            break;
        }
    }
    (Bound::Included(Term::from_field_text(field, prefix)), to)
}
