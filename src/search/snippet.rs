//! The part of a text that shows why it was found, with the matches marked.

use std::collections::VecDeque;
use std::ops::Range;

use tantivy::tokenizer::TokenStream;

use super::query::{Node, Text};
use super::tokenizer::pieces;
use crate::api::search::SnippetPart;

/// Bytes of a text that a snippet shows, about.
const SHOWN_BYTES: usize = 240;
/// Bytes in front of the first match that it shows.
const BYTES_BEFORE: usize = 60;
/// Bytes behind the first match within which a place with more of what is wanted is looked for.
const SEARCHED_BYTES: usize = 4096;

/// Matches from which a snippet may start: a text may have thousands of one letter.
const MAX_STARTS: usize = 64;

/// What stands at an end that is cut.
const CUT: char = '…';

/// A place in a text that has what is wanted.
#[derive(Debug, Clone)]
struct Match {
    bytes: Range<usize>,
    /// Which of the wanted texts.
    wanted: usize,
}

/// Returns the best part of a text; `None` where nothing of what is wanted is in it.
pub(super) fn best(node: &Node, text: &str) -> Option<Vec<SnippetPart>> {
    let matches = matches(&node.wanted(), text);
    let first = matches.first()?;
    // The start from which the most different texts are seen; of equal ones the first.
    let seen_from = |start: usize| {
        let end = start + SHOWN_BYTES - BYTES_BEFORE;
        let mut seen: Vec<usize> = matches
            .iter()
            .filter(|found| found.bytes.start >= start && found.bytes.end <= end)
            .map(|found| found.wanted)
            .collect();
        seen.sort_unstable();
        seen.dedup();
        seen.len()
    };
    let mut start = first.bytes.start;
    let mut most = seen_from(start);
    for found in matches[1..].iter().take(MAX_STARTS) {
        let count = seen_from(found.bytes.start);
        if count > most {
            (start, most) = (found.bytes.start, count);
        }
    }
    Some(marked(text, window(text, start), &matches))
}

/// Returns the start of a text, with nothing marked.
pub(super) fn start(text: &str) -> Vec<SnippetPart> {
    marked(text, window(text, 0), &[])
}

/// Returns what is shown of a text around a match that starts there: whole words where they are short.
fn window(text: &str, start: usize) -> Range<usize> {
    let from = text.floor_char_boundary(start.saturating_sub(BYTES_BEFORE));
    let to = text.ceil_char_boundary((from + SHOWN_BYTES).min(text.len()));
    let from = if from == 0 {
        0
    } else {
        let space = text[from..start].find(char::is_whitespace);
        space.map_or(from, |space| from + space)
    };
    let to = if to == text.len() {
        to
    } else {
        let tail = text.ceil_char_boundary(to - BYTES_BEFORE);
        let space = if tail > start { text[tail..to].rfind(char::is_whitespace) } else { None };
        space.map_or(to, |space| tail + space)
    };
    from..to
}

/// Cuts a part of a text where matches begin and end.
fn marked(text: &str, window: Range<usize>, matches: &[Match]) -> Vec<SnippetPart> {
    let mut parts: Vec<SnippetPart> = Vec::new();
    let mut push = |text: &str, is_match: bool| {
        if text.is_empty() {
            return;
        }
        match parts.last_mut() {
            Some(last) if last.is_match == is_match => last.text.push_str(text),
            _ => parts.push(SnippetPart { text: text.to_owned(), is_match }),
        }
    };
    if window.start > 0 {
        push(&CUT.to_string(), false);
    }
    let mut at = window.start;
    let mut matches: Vec<&Match> = matches.iter().collect();
    matches.sort_by_key(|found| (found.bytes.start, found.bytes.end));
    for found in matches {
        let (start, end) = (found.bytes.start.max(at), found.bytes.end.min(window.end));
        if start < end {
            push(&text[at..start], false);
            push(&text[start..end], true);
            at = end;
        }
    }
    push(&text[at..window.end], false);
    if window.end < text.len() {
        push(&CUT.to_string(), false);
    }
    parts
}

/// Finds what is wanted, up to some way behind the first that is found.
fn matches(wanted: &[&Text], text: &str) -> Vec<Match> {
    let longest = wanted.iter().flat_map(|text| &text.spellings).map(Vec::len).max().unwrap_or(0);
    let mut found: Vec<Match> = Vec::new();
    // The last pieces that may be a term of a spelling: number, folded text, start.
    let mut recent: VecDeque<(usize, String, usize)> = VecDeque::new();
    let mut stream = pieces(text);
    while stream.advance() {
        let token = stream.token();
        if found.first().is_some_and(|first| token.offset_from > first.bytes.end + SEARCHED_BYTES) {
            break;
        }
        while recent.front().is_some_and(|piece| piece.0 + longest < token.position) {
            recent.pop_front();
        }
        recent.push_back((token.position, token.text.clone(), token.offset_from));
        for (number, text) in wanted.iter().enumerate() {
            let starts = text.spellings.iter().filter_map(|terms| ends_here(text, terms, &recent));
            if let Some(start) = starts.min() {
                found.push(Match { bytes: start..token.offset_to, wanted: number });
            }
        }
    }
    found
}

/// Returns where a spelling starts that ends with the last piece.
fn ends_here(
    text: &Text,
    terms: &[String],
    recent: &VecDeque<(usize, String, usize)>,
) -> Option<usize> {
    let (position, last, start) = recent.back()?;
    let (wanted, before) = terms.split_last()?;
    let fits = if text.is_prefix { last.starts_with(wanted) } else { last == wanted };
    if !fits || *position < before.len() {
        return None;
    }
    let first = position - before.len();
    let mut start = *start;
    for (offset, term) in before.iter().enumerate().rev() {
        let piece = recent.iter().find(|piece| piece.0 == first + offset && piece.1 == *term)?;
        start = start.min(piece.2);
    }
    Some(start)
}

#[cfg(test)]
mod tests {
    use super::super::query::parse;
    use super::*;

    /// The snippet of a text, matches in brackets.
    fn shown(query: &str, text: &str) -> Option<String> {
        let parts = best(&parse(query).expect("a query"), text)?;
        Some(shown_parts(&parts))
    }

    fn shown_parts(parts: &[SnippetPart]) -> String {
        parts
            .iter()
            .map(|part| if part.is_match { format!("[{}]", part.text) } else { part.text.clone() })
            .collect()
    }

    #[test]
    fn what_was_found_is_marked() {
        for (query, text, expected) in [
            ("two", "one two three", "one [two] three"),
            ("cancion", "La CANCIÓN.", "La [CANCIÓN]."),
            ("name", "call getUserName()", "call getUser[Name]()"),
            ("getusername", "call getUserName()", "call [getUserName]()"),
            (
                "getUserName",
                "call getUserName() or get_user_name",
                "call [getUserName]() or [get_user_name]",
            ),
            ("\"two three\"", "two, one two-three", "two, one [two-three]"),
            ("\"getusername now\"", "getUserName now", "[getUserName now]"),
            ("thr*", "one three through", "one [three] [through]"),
            ("src/main.rs:42", "at src/main.rs:42:7", "at [src/main.rs:42]:7"),
            ("one OR two", "two one", "[two] [one]"),
            ("one NOT two", "one", "[one]"),
            ("数据", "大数据库", "大[数据]库"),
        ] {
            assert_eq!(shown(query, text).as_deref(), Some(expected), "{query}");
        }
        assert_eq!(shown("four", "one two three"), None);
        assert_eq!(shown("NOT four", "one two three"), None);
        assert_eq!(shown_parts(&start("one")), "one");
    }

    #[test]
    fn a_long_text_is_cut_around_the_best_place() {
        let filler = "filler é ".repeat(100);
        let text = format!("{filler}alpha {filler}alpha beta {filler}");
        let snippet = shown("alpha beta", &text).expect("a snippet");
        assert!(snippet.contains("[alpha] [beta]"), "{snippet}");
        assert!(snippet.starts_with('…') && snippet.ends_with('…'), "{snippet}");
        assert!(snippet.len() < SHOWN_BYTES + 40, "{}", snippet.len());
        // One word without an end is cut too.
        let long = format!("alpha {}", "x".repeat(10_000));
        assert!(shown("alpha", &long).expect("a snippet").len() < SHOWN_BYTES + 40);
    }
}
