//! What the index holds of a message and of a session's title, and how both are told apart.
//!
//! No text is stored: a hit is read from the database. Of a session only what never changes, or
//! changes seldom, is in its messages' documents: its id, its kind and its project.

use tantivy::schema::{
    FAST, Field, IndexRecordOption, NumericOptions, STRING, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{TextAnalyzer, TokenizerManager};
use tantivy::{TantivyDocument, Term};

use super::tokenizer::Words;
use crate::model::ProjectId;
use crate::store::searchable::{SearchableMessage, SearchableSession};

/// The version of the index: of its fields and of how texts are cut. Another one is rebuilt.
pub(super) const INDEX_VERSION: u32 = 1;

/// The name under which the index knows the tokenizer.
const TOKENIZER: &str = "words";
/// The names of the columns that are read for a hit.
pub(super) const SESSION: &str = "session";
pub(super) const INDEX: &str = "index";
pub(super) const AT: &str = "at";
pub(super) const PROJECT: &str = "project";
/// The index in its session of what is its title.
pub(super) const TITLE_INDEX: i64 = -1;
/// The role of a title: none that a message has.
const TITLE_ROLE: &str = "title";

/// The fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    /// The words.
    pub(super) text: Field,
    /// The session and the index in it, by which a document is replaced.
    pub(super) key: Field,
    /// The session's id.
    pub(super) session: Field,
    /// The session's project; empty for none.
    pub(super) project: Field,
    /// The session's kind.
    pub(super) kind: Field,
    /// The message's role.
    pub(super) role: Field,
    index: Field,
    at: Field,
}

/// Returns the schema and its fields.
pub(super) fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let words = TextFieldIndexing::default()
        .set_tokenizer(TOKENIZER)
        .set_index_option(IndexRecordOption::WithFreqsAndPositions);
    let number = NumericOptions::default().set_fast();
    let fields = Fields {
        text: builder.add_text_field("text", TextOptions::default().set_indexing_options(words)),
        key: builder.add_text_field("key", STRING),
        session: builder.add_text_field(SESSION, STRING | FAST),
        project: builder.add_text_field(PROJECT, STRING | FAST),
        kind: builder.add_text_field("kind", STRING),
        role: builder.add_text_field("role", STRING),
        index: builder.add_i64_field(INDEX, number.clone()),
        at: builder.add_i64_field(AT, number),
    };
    (builder.build(), fields)
}

/// Returns the tokenizers of the index. What is no text is one word as it is.
pub(super) fn tokenizers() -> TokenizerManager {
    let tokenizers = TokenizerManager::default();
    tokenizers.register(TOKENIZER, TextAnalyzer::from(Words));
    tokenizers
}

impl Fields {
    /// Returns the document of a message.
    pub(super) fn message(
        &self,
        session: &SearchableSession,
        message: &SearchableMessage,
    ) -> TantivyDocument {
        let texts = [Some(message.content.as_str()), message.code_excerpt.as_deref()];
        let place = (message.index_in_session, message.created_at);
        self.document(session, message.role.as_str(), place, texts)
    }

    /// Returns the document of a session itself: of its title, which it may lack.
    pub(super) fn title(&self, session: &SearchableSession) -> TantivyDocument {
        let place = (TITLE_INDEX, session.created_at);
        let texts = [session.title.as_deref(), None];
        self.document(session, TITLE_ROLE, place, texts)
    }

    fn document(
        &self,
        session: &SearchableSession,
        role: &str,
        (index, at): (i64, i64),
        texts: [Option<&str>; 2],
    ) -> TantivyDocument {
        let mut document = TantivyDocument::new();
        for text in texts.into_iter().flatten() {
            document.add_text(self.text, text);
        }
        document.add_text(self.key, key(session.id.as_str(), index));
        document.add_text(self.session, session.id.as_str());
        document.add_text(self.project, project_word(session.project_id.as_ref()));
        document.add_text(self.kind, &session.kind);
        document.add_text(self.role, role);
        document.add_i64(self.index, index);
        document.add_i64(self.at, at);
        document
    }

    /// Returns the term that one document alone has.
    pub(super) fn of_document(&self, session_id: &str, index: i64) -> Term {
        Term::from_field_text(self.key, &key(session_id, index))
    }

    /// Returns the term that all documents of a session have.
    pub(super) fn of_session(&self, session_id: &str) -> Term {
        Term::from_field_text(self.session, session_id)
    }
}

/// Returns what stands for a project: its id, or nothing.
pub(super) fn project_word(project_id: Option<&ProjectId>) -> &str {
    project_id.map_or("", ProjectId::as_str)
}

/// Returns a document's key. Ids have no control characters; keys of one session start alike, which
/// keeps the dictionary small.
fn key(session_id: &str, index: i64) -> String {
    format!("{session_id}\0{index}")
}
