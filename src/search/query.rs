//! The language of queries: read into a tree, with the place of what cannot be read.
//!
//! ```text
//! either  = both { "OR" both }
//! both    = one { [ "AND" ] one }
//! one     = "NOT" one | "(" either ")" | word | word "*" | '"' phrase '"'
//! ```

use super::tokenizer::{is_of_a_word, spellings};
use crate::error::{Error, Result};
use crate::model::limits::{MAX_QUERY_DEPTH, MAX_QUERY_WORDS};

/// What a document must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// It has a text.
    Text(Text),
    /// It is like all of these.
    And(Vec<Node>),
    /// It is like one of these.
    Or(Vec<Node>),
    /// It is not like this.
    Not(Box<Node>),
}

/// A word or a phrase, spelled in all the ways in which it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    /// Where it stands in the query, in characters.
    pub(super) offset: usize,
    /// One or two spellings, none empty: terms that follow each other.
    pub(super) spellings: Vec<Vec<String>>,
    /// True where the last term is the beginning of one.
    pub(super) is_prefix: bool,
}

impl Node {
    /// Returns the texts that a match has, or may have.
    pub(super) fn wanted(&self) -> Vec<&Text> {
        match self {
            Self::Text(text) => vec![text],
            Self::And(nodes) | Self::Or(nodes) => nodes.iter().flat_map(Self::wanted).collect(),
            Self::Not(_) => Vec::new(),
        }
    }

    /// True where something may match that has none of the texts that a match may have.
    pub(super) fn may_match_without(&self) -> bool {
        match self {
            Self::Text(_) => false,
            Self::And(nodes) => nodes.iter().all(Self::may_match_without),
            Self::Or(nodes) => nodes.iter().any(Self::may_match_without),
            Self::Not(_) => true,
        }
    }
}

/// Reads a query.
pub(super) fn parse(query: &str) -> Result<Node> {
    let tokens = tokens(query)?;
    let end = query.chars().count();
    if tokens.is_empty() {
        return Err(malformed(0, "a word with a letter or a digit", "none"));
    }
    let mut parser = Parser { tokens: &tokens, at: 0, end };
    let node = parser.either(0)?;
    match parser.peek() {
        None => Ok(node),
        Some(_) => Err(parser.unexpected("a word or the end of the query: no `(` is open")),
    }
}

fn malformed(offset: usize, expected: &str, found: impl Into<String>) -> Error {
    Error::MalformedQuery { offset, expected: expected.to_owned(), found: found.into() }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Open,
    Close,
    And,
    Or,
    Not,
    Text(Text),
}

impl Word {
    fn shown(&self) -> &'static str {
        match self {
            Self::Open => "`(`",
            Self::Close => "`)`",
            Self::And => "AND",
            Self::Or => "OR",
            Self::Not => "NOT",
            Self::Text(_) => "a word",
        }
    }
}

/// Cuts a query into operators and texts, with their places. What has neither letter nor digit
/// separates words here too.
fn tokens(query: &str) -> Result<Vec<(usize, Word)>> {
    let letters: Vec<char> = query.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut terms) = (0, 0);
    while at < letters.len() {
        let start = at;
        let word = match letters[at] {
            letter if letter.is_whitespace() => {
                at += 1;
                continue;
            }
            '(' => {
                at += 1;
                Some(Word::Open)
            }
            ')' => {
                at += 1;
                Some(Word::Close)
            }
            '"' => {
                let length = letters[at + 1..].iter().position(|letter| *letter == '"');
                let Some(length) = length else {
                    return Err(malformed(start, "a `\"` that closes this one", "the end"));
                };
                at += length + 2;
                Some(Word::Text(phrase(start, &letters[start + 1..at - 1])?))
            }
            _ => {
                let is_end = |letter: &char| letter.is_whitespace() || "()\"".contains(*letter);
                let length = letters[at..].iter().position(is_end).unwrap_or(letters.len() - at);
                at += length;
                bare_word(start, &letters[start..at])?
            }
        };
        if let Some(Word::Text(text)) = &word {
            terms += text.spellings[0].len();
            if terms > MAX_QUERY_WORDS {
                let expected =
                    format!("at most {MAX_QUERY_WORDS} words, parts of identifiers counted");
                return Err(malformed(start, &expected, "more"));
            }
        }
        tokens.extend(word.map(|word| (start, word)));
    }
    Ok(tokens)
}

/// Reads what stands between quotes.
fn phrase(start: usize, letters: &[char]) -> Result<Text> {
    let (letters, is_prefix) = match letters {
        [before @ .., last, '*'] if is_of_a_word(*last) => (&letters[..=before.len()], true),
        _ => (letters, false),
    };
    text(start, letters, is_prefix).ok_or_else(|| {
        malformed(start + 1, "a word with a letter or a digit between the quotes", "none")
    })
}

/// Reads a word outside quotes; none where it has neither letter nor digit.
fn bare_word(start: usize, letters: &[char]) -> Result<Option<Word>> {
    let operator = match letters {
        ['A', 'N', 'D'] => Some(Word::And),
        ['O', 'R'] => Some(Word::Or),
        ['N', 'O', 'T'] => Some(Word::Not),
        _ => None,
    };
    if operator.is_some() {
        return Ok(operator);
    }
    let star = letters.iter().position(|letter| *letter == '*');
    let (letters, is_prefix) = match star {
        None => (letters, false),
        Some(star) if star + 1 == letters.len() && star > 0 && is_of_a_word(letters[star - 1]) => {
            (&letters[..star], true)
        }
        Some(star) => {
            let expected = "`*` only as the end of a word that it lengthens, or in quotes";
            return Err(malformed(start + star, expected, "`*`"));
        }
    };
    Ok(text(start, letters, is_prefix).map(Word::Text))
}

fn text(offset: usize, letters: &[char], is_prefix: bool) -> Option<Text> {
    let spelled = spellings(&letters.iter().collect::<String>());
    let mut spellings = vec![spelled.parts];
    if spelled.joined != spellings[0] {
        spellings.push(spelled.joined);
    }
    let is_found = spellings.iter().all(|spelling| !spelling.is_empty());
    is_found.then_some(Text { offset, spellings, is_prefix })
}

struct Parser<'a> {
    tokens: &'a [(usize, Word)],
    at: usize,
    end: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Word> {
        self.tokens.get(self.at).map(|(_, word)| word)
    }

    /// Takes the next word where it is this one.
    fn takes(&mut self, word: &Word) -> bool {
        let is_it = self.peek() == Some(word);
        self.at += usize::from(is_it);
        is_it
    }

    fn unexpected(&self, expected: &str) -> Error {
        match self.tokens.get(self.at) {
            Some((offset, word)) => malformed(*offset, expected, word.shown()),
            None => malformed(self.end, expected, "the end"),
        }
    }

    fn either(&mut self, depth: usize) -> Result<Node> {
        let mut nodes = vec![self.both(depth)?];
        while self.takes(&Word::Or) {
            nodes.push(self.both(depth)?);
        }
        Ok(single_or(nodes, Node::Or))
    }

    fn both(&mut self, depth: usize) -> Result<Node> {
        let mut nodes = vec![self.one(depth)?];
        while self.takes(&Word::And)
            || matches!(self.peek(), Some(Word::Open | Word::Not | Word::Text(_)))
        {
            nodes.push(self.one(depth)?);
        }
        Ok(single_or(nodes, Node::And))
    }

    fn one(&mut self, depth: usize) -> Result<Node> {
        if depth > MAX_QUERY_DEPTH {
            return Err(
                self.unexpected(&format!("at most {MAX_QUERY_DEPTH} levels of `(` and NOT"))
            );
        }
        match self.peek() {
            Some(Word::Text(text)) => {
                let node = Node::Text(text.clone());
                self.at += 1;
                Ok(node)
            }
            Some(Word::Not) => {
                self.at += 1;
                Ok(Node::Not(Box::new(self.one(depth + 1)?)))
            }
            Some(Word::Open) => {
                self.at += 1;
                let node = self.either(depth + 1)?;
                if self.takes(&Word::Close) {
                    Ok(node)
                } else {
                    Err(self.unexpected("a word or `)`"))
                }
            }
            _ => Err(self.unexpected("a word, a phrase in quotes, `(` or NOT")),
        }
    }
}

/// Returns the only node, or all of them joined.
fn single_or(mut nodes: Vec<Node>, join: impl FnOnce(Vec<Node>) -> Node) -> Node {
    match nodes.len() {
        1 => nodes.remove(0),
        _ => join(nodes),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A tree as one reads it.
    fn shown(node: &Node) -> String {
        let all = |nodes: &[Node]| nodes.iter().map(shown).collect::<Vec<_>>();
        match node {
            Node::Text(text) => {
                let spelled: Vec<String> =
                    text.spellings.iter().map(|terms| terms.join(" ")).collect();
                format!("{}{}", spelled.join("|"), if text.is_prefix { "*" } else { "" })
            }
            Node::And(nodes) => format!("({})", all(nodes).join(" & ")),
            Node::Or(nodes) => format!("({})", all(nodes).join(" | ")),
            Node::Not(node) => format!("!{}", shown(node)),
        }
    }

    #[test]
    fn queries_are_read_as_the_protocol_says() {
        for (query, expected) in [
            ("one", "one"),
            ("one two", "(one & two)"),
            ("one AND two OR three four", "((one & two) | (three & four))"),
            ("one (two OR three)", "(one & (two | three))"),
            ("NOT one", "!one"),
            ("NOT NOT one two", "(!!one & two)"),
            ("one AND NOT (two OR three)", "(one & !(two | three))"),
            ("and or not", "(and & or & not)"),
            ("\"AND\"", "and"),
            ("\"one  two\"", "one two"),
            ("one\"two three\"four", "(one & two three & four)"),
            ("wor*", "wor*"),
            ("\"one wor*\"", "one wor*"),
            ("\"move * to t *\"", "move to t"),
            ("getUserName", "get user name|getusername"),
            ("getUs*", "get us|getus*"),
            ("src/main.rs:42", "src main rs 42"),
            ("a == b", "(a & b)"),
            ("foo(bar)", "(foo & bar)"),
            ("canción", "cancion"),
            ("数据", "数 据"),
            ("-one", "one"),
        ] {
            let node = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
            assert_eq!(shown(&node), expected, "{query}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_pointed_at() {
        for (query, place) in [
            ("", 0),
            ("  ", 0),
            ("-> ==", 0),
            ("one AND", 7),
            ("one OR OR two", 7),
            ("AND one", 0),
            ("OR", 0),
            ("NOT", 3),
            ("one NOT", 7),
            ("(one", 4),
            ("one)", 3),
            ("one ()", 5),
            ("()", 1),
            ("é \"one", 2),
            ("\"\" one", 1),
            ("one \"->\"", 5),
            ("*", 0),
            ("*one", 0),
            ("one*two", 3),
            ("éa**", 2),
            ("-*", 1),
        ] {
            match parse(query) {
                Err(Error::MalformedQuery { offset, .. }) => assert_eq!(offset, place, "{query}"),
                other => panic!("{query}: {other:?}"),
            }
        }
    }

    #[test]
    fn words_and_levels_have_limits() {
        let words = vec!["w"; MAX_QUERY_WORDS].join(" ");
        assert!(parse(&words).is_ok());
        let error = parse(&format!("{words} x")).expect_err("one too many");
        assert!(matches!(error, Error::MalformedQuery { offset, .. } if offset == words.len() + 1));
        let nested = |depth| format!("{}w{}", "(".repeat(depth), ")".repeat(depth));
        assert!(parse(&nested(MAX_QUERY_DEPTH)).is_ok());
        assert!(parse(&nested(MAX_QUERY_DEPTH + 1)).is_err());
        assert!(parse(&format!("{}w", "NOT ".repeat(MAX_QUERY_DEPTH + 1))).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_asked_is_read_or_pointed_at(query in "([a-c*\"() é_]|AND|OR|NOT| |\\PC){0,40}") {
            match parse(&query) {
                Ok(node) => prop_assert!(node.wanted().iter().all(|text| text.offset < query.chars().count())),
                Err(Error::MalformedQuery { offset, expected, found }) => {
                    prop_assert!(offset <= query.chars().count());
                    prop_assert!(!expected.is_empty() && !found.is_empty());
                }
                Err(error) => prop_assert!(false, "{}", error),
            }
        }
    }
}
