//! Cuts a text into what is indexed: words folded, identifiers by their parts and joined.
//!
//! The rule, which `proto/README.md` tells and the tests state once more:
//!
//! - A word is a run of letters, digits and the marks on them; all else separates words. Where a
//!   script writes without spaces, Unicode's word boundaries (UAX 29) cut a run further.
//! - A word is cut into parts where a capital follows what is none (`getUser`, `utf8Decode`), and
//!   before the last of several capitals that a small letter follows (`HTTPServer`). Parts are
//!   numbered one after another; a phrase is parts with numbers in a row.
//! - A word of several parts is also found joined, with the number of its first and of its last part.
//! - A word of more than [`MAX_WORD_CHARS`] characters is one part, of its first characters.
//! - Parts and joined words are folded: decomposed (NFKD), without marks, in small letters.

use std::ops::Range;

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};
use unicode_segmentation::{UnicodeSegmentation, UnicodeWordIndices};

/// Characters of a word that count. What is longer is data, such as base64, and not cut.
pub(super) const MAX_WORD_CHARS: usize = 128;

/// The tokenizer of the index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words;

impl Tokenizer for Words {
    type TokenStream<'a> = Pieces<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Pieces<'a> {
        pieces(text)
    }
}

/// Returns what a text is cut into, in order.
pub(super) fn pieces(text: &str) -> Pieces<'_> {
    Pieces {
        words: WordRanges::of(text),
        text,
        parts: Vec::new(),
        next: 0,
        position: 0,
        token: Token::default(),
    }
}

/// The two spellings of a text: each of its words by its parts, or joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spellings {
    /// Every part.
    pub(super) parts: Vec<String>,
    /// Every word.
    pub(super) joined: Vec<String>,
}

/// Returns the spellings of a text of a query.
pub(super) fn spellings(text: &str) -> Spellings {
    let mut spellings = Spellings { parts: Vec::new(), joined: Vec::new() };
    let mut ranges = Vec::new();
    for word in WordRanges::of(text) {
        cut(text, word.clone(), &mut ranges);
        let folded = ranges.iter().map(|part| folded(&text[part.clone()]));
        spellings.parts.extend(folded.filter(|part| !part.is_empty()));
        let joined = if ranges.len() == 1 { ranges[0].clone() } else { word };
        spellings.joined.extend(Some(folded_range(text, joined)).filter(|word| !word.is_empty()));
    }
    spellings
}

/// True for a character that a word can have.
pub(super) fn is_of_a_word(letter: char) -> bool {
    letter.is_alphanumeric() || is_combining_mark(letter)
}

/// A stream of pieces: of each word its joined form (where it has several parts), its parts, and the
/// joined form once more.
#[derive(Debug)]
pub(super) struct Pieces<'a> {
    words: WordRanges<'a>,
    text: &'a str,
    /// The parts of the word at hand.
    parts: Vec<Range<usize>>,
    /// Which piece of that word comes next; for a single part, or none, there is no joined form.
    next: usize,
    /// The number of the next part.
    position: usize,
    token: Token,
}

impl Pieces<'_> {
    /// Makes a piece the current one; false where nothing of it is left once it is folded.
    fn take(&mut self, range: Range<usize>, position: usize) -> bool {
        self.token.text.clear();
        fold_into(&self.text[range.clone()], &mut self.token.text);
        self.token.offset_from = range.start;
        self.token.offset_to = range.end;
        self.token.position = position;
        !self.token.text.is_empty()
    }
}

impl TokenStream for Pieces<'_> {
    fn advance(&mut self) -> bool {
        loop {
            let count = self.parts.len();
            let pieces = if count > 1 { count + 2 } else { count };
            if self.next == pieces {
                let Some(word) = self.words.next() else { return false };
                cut(self.text, word, &mut self.parts);
                self.next = 0;
                continue;
            }
            let at = self.next;
            self.next += 1;
            if count == 1 || (1..=count).contains(&at) {
                let part = self.parts[if count == 1 { 0 } else { at - 1 }].clone();
                if self.take(part, self.position) {
                    self.position += 1;
                    return true;
                }
            } else {
                let whole = self.parts[0].start..self.parts[count - 1].end;
                let position =
                    if at == 0 { self.position } else { self.position.saturating_sub(1) };
                if self.take(whole, position) {
                    return true;
                }
            }
        }
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

/// Where the words of a text are.
#[derive(Debug)]
struct WordRanges<'a> {
    text: &'a str,
    /// Where the next run is looked for.
    at: usize,
    /// The run at hand where it has more than ASCII: where it starts, and its words.
    run: Option<(usize, UnicodeWordIndices<'a>)>,
}

impl<'a> WordRanges<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, at: 0, run: None }
    }
}

impl Iterator for WordRanges<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            if let Some((start, words)) = &mut self.run {
                if let Some((offset, word)) = words.next() {
                    return Some(*start + offset..*start + offset + word.len());
                }
                self.run = None;
            }
            let rest = &self.text[self.at..];
            let start = self.at + rest.find(is_of_a_word)?;
            let run = &self.text[start..];
            let run = &run[..run.find(|letter| !is_of_a_word(letter)).unwrap_or(run.len())];
            self.at = start + run.len();
            if run.is_ascii() {
                return Some(start..self.at);
            }
            self.run = Some((start, run.unicode_word_indices()));
        }
    }
}

/// What a character is for the boundaries of parts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Capital,
    Small,
    None,
}

/// Cuts a word into its parts.
fn cut(text: &str, word: Range<usize>, parts: &mut Vec<Range<usize>>) {
    parts.clear();
    let letters = &text[word.clone()];
    if letters.len() > MAX_WORD_CHARS
        && let Some((end, _)) = letters.char_indices().nth(MAX_WORD_CHARS)
    {
        parts.push(word.start..word.start + end);
        return;
    }
    let mut start = word.start;
    let (mut before, mut last) = (Case::None, Case::None);
    let mut last_at = word.start;
    for (offset, letter) in letters.char_indices() {
        if !letter.is_ascii() && is_combining_mark(letter) {
            continue;
        }
        let at = word.start + offset;
        let case = if letter.is_uppercase() {
            Case::Capital
        } else if letter.is_lowercase() {
            Case::Small
        } else {
            Case::None
        };
        let boundary = match (before, last, case) {
            (_, Case::Small | Case::None, Case::Capital) => at,
            (Case::Capital, Case::Capital, Case::Small) => last_at,
            _ => start,
        };
        if boundary > start {
            parts.push(start..boundary);
            start = boundary;
        }
        (before, last, last_at) = (last, case, at);
    }
    parts.push(start..word.end);
}

fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    fold_into(text, &mut folded);
    folded
}

fn folded_range(text: &str, range: Range<usize>) -> String {
    folded(&text[range])
}

/// Folds a text: decomposed, without marks, in small letters.
fn fold_into(text: &str, folded: &mut String) {
    if text.is_ascii() {
        folded.push_str(text);
        folded.make_ascii_lowercase();
        return;
    }
    let letters = text.nfkd().filter(|letter| canonical_combining_class(*letter) == 0);
    // The small sigma at a word's end is the same letter.
    let small =
        letters.flat_map(char::to_lowercase).map(|letter| if letter == 'ς' { 'σ' } else { letter });
    folded.extend(small);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of a text with their numbers.
    fn shown(text: &str) -> String {
        let mut stream = pieces(text);
        let mut shown = Vec::new();
        while stream.advance() {
            let token = stream.token();
            shown.push(format!("{}@{}", token.text, token.position));
        }
        shown.join(" ")
    }

    #[test]
    fn texts_are_cut_as_the_rule_says() {
        for (text, expected) in [
            ("", ""),
            ("-> == \u{301}", ""),
            ("Why is it?", "why@0 is@1 it@2"),
            ("getUserName", "getusername@0 get@0 user@1 name@2 getusername@2"),
            ("snake_case", "snake@0 case@1"),
            ("kebab-case", "kebab@0 case@1"),
            ("SCREAMING_CASE", "screaming@0 case@1"),
            ("src/main.rs:42", "src@0 main@1 rs@2 42@3"),
            ("HTTPServer", "httpserver@0 http@0 server@1 httpserver@1"),
            ("utf8Decode x2", "utf8decode@0 utf8@0 decode@1 utf8decode@1 x2@2"),
            ("ABC", "abc@0"),
            ("a.B", "a@0 b@1"),
            ("aB cD", "ab@0 a@0 b@1 ab@1 cd@2 c@2 d@3 cd@3"),
            ("3f2a9b", "3f2a9b@0"),
            ("canción año ÁRBOL", "cancion@0 ano@1 arbol@2"),
            ("cancio\u{301}n", "cancion@0"),
            ("leído/Leído", "leido@0 leido@1"),
            ("getÁrbol", "getarbol@0 get@0 arbol@1 getarbol@1"),
            ("ﬁnal ½", "final@0 1⁄2@1"),
            ("İstanbul", "istanbul@0"),
            ("ΟΔΟΣ οδος", "οδοσ@0 οδοσ@1"),
            ("数据库", "数@0 据@1 库@2"),
            ("naïve数", "naive@0 数@1"),
            ("데이터", "\u{1103}\u{1166}\u{110b}\u{1175}\u{1110}\u{1165}@0"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn a_word_counts_by_its_first_128_characters() {
        let whole = "aB".repeat(64);
        assert_eq!(whole.len(), MAX_WORD_CHARS);
        assert_eq!(spellings(&whole).parts.len(), 65);
        let longer = format!("{whole}c");
        assert_eq!(spellings(&longer).parts, ["ab".repeat(64)]);
        assert_eq!(spellings(&longer), spellings(&format!("{longer}d")));
        // Characters, not bytes.
        assert_eq!(spellings(&"éB".repeat(64)).parts.len(), 65);
    }

    #[test]
    fn a_query_is_spelled_in_two_ways() {
        let spelled = spellings("getUser of src/HTTPServer.rs");
        assert_eq!(spelled.parts, ["get", "user", "of", "src", "http", "server", "rs"]);
        assert_eq!(spelled.joined, ["getuser", "of", "src", "httpserver", "rs"]);
    }

    proptest::proptest! {
        /// Pieces lie in the text, in order, and a text's spellings are its pieces.
        #[test]
        fn pieces_lie_in_the_text(text in "\\PC*") {
            let mut stream = pieces(&text);
            let (mut parts, mut last) = (Vec::new(), 0);
            while stream.advance() {
                let token = stream.token();
                proptest::prop_assert!(text.get(token.offset_from..token.offset_to).is_some());
                proptest::prop_assert!(token.position >= last);
                last = token.position;
                if token.position == parts.len() {
                    parts.push(token.text.clone());
                } else {
                    // A part, or the joined form before its first or behind its last part.
                    parts[token.position] = token.text.clone();
                }
            }
            proptest::prop_assert_eq!(parts.len(), spellings(&text).parts.len());
        }
    }
}
