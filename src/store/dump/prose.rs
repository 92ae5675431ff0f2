//! Puts texts of others into Markdown so that none of them breaks out of its place.
//!
//! What is said stays Markdown, but in a quotation that it cannot end: a line of HTML would, and a fence
//! that a renderer sees and this does not, so HTML is shown as text and fences are kept in their own form.

use std::fmt::Write as _;

/// Returns a text as plain words on one line.
pub(super) fn inline(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in one_line(text).chars() {
        match letter {
            '<' => safe.push_str("&lt;"),
            '&' => safe.push_str("&amp;"),
            letter => {
                if letter.is_ascii_punctuation() {
                    safe.push('\\');
                }
                safe.push(letter);
            }
        }
    }
    safe
}

/// Returns a text as HTML on one line.
pub(super) fn html(text: &str) -> String {
    let text = one_line(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn one_line(text: &str) -> String {
    lines(text).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// Returns a text in a fence that is longer than any run of backticks in it.
pub(super) fn fenced(text: &str, language: &str) -> String {
    let fence = "`".repeat(longest_run(text).max(2) + 1);
    let mut block = format!("{fence}{language}\n");
    for line in lines(text) {
        block.push_str(&line);
        block.push('\n');
    }
    block.push_str(&fence);
    block.push('\n');
    block
}

fn longest_run(text: &str) -> usize {
    text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0)
}

/// Returns a text as a quotation, in which it is the Markdown that it was.
pub(super) fn quoted(text: &str) -> String {
    let mut block = String::with_capacity(text.len() + text.len() / 16 + 2);
    let mut open: Option<Fence> = None;
    for line in lines(text) {
        match &open {
            Some(fence) if fence.is_closed_by(&line) => {
                let _ = writeln!(block, "> {}", fence.text());
                open = None;
            }
            Some(fence) => quote(&mut block, fence.without_indent(&line)),
            None => match Fence::opened_by(&line) {
                Some((fence, language)) => {
                    let _ = writeln!(block, "> {}{language}", fence.text());
                    open = Some(fence);
                }
                None => quote(&mut block, &without_html(&line)),
            },
        }
    }
    if let Some(fence) = open {
        let _ = writeln!(block, "> {}", fence.text());
    }
    block
}

fn quote(block: &mut String, line: &str) {
    block.push('>');
    if !line.is_empty() {
        block.push(' ');
        block.push_str(line);
    }
    block.push('\n');
}

/// A fence that is open. It is written without its indent, so that every renderer sees it where it is
/// seen here: one of a list would end with the list.
struct Fence {
    letter: char,
    length: usize,
    indent: usize,
}

impl Fence {
    /// Returns the fence that a line opens and the language it names.
    fn opened_by(line: &str) -> Option<(Self, String)> {
        let rest = line.trim_start_matches([' ', '\t']);
        let letter = rest.chars().next().filter(|letter| matches!(letter, '`' | '~'))?;
        let language = rest.trim_start_matches(letter);
        let length = rest.len() - language.len();
        // What has a backtick behind it is code within the line.
        if length < 3 || (letter == '`' && language.contains('`')) {
            return None;
        }
        let fence = Self { letter, length, indent: line.len() - rest.len() };
        Some((fence, language.trim().to_owned()))
    }

    fn is_closed_by(&self, line: &str) -> bool {
        let line = line.trim_matches([' ', '\t']);
        line.len() >= self.length && line.chars().all(|letter| letter == self.letter)
    }

    fn without_indent<'a>(&self, line: &'a str) -> &'a str {
        let indent = line.bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        &line[indent.min(self.indent)..]
    }

    fn text(&self) -> String {
        self.letter.to_string().repeat(self.length)
    }
}

/// Returns a line outside fences, whose HTML is shown as text, whose code stays, and which opens no fence
/// within a list or a quotation.
fn without_html(line: &str) -> String {
    let mut safe = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(letter) = rest.chars().next() {
        match letter {
            '`' => {
                let run = run_of(rest, '`');
                let behind = &rest[run..];
                match closing(behind, run).filter(|_| run < 3) {
                    Some(end) => {
                        safe.push_str(&rest[..run + end + run]);
                        rest = &behind[end + run..];
                    }
                    // One that is not closed here could be by another line.
                    None => {
                        safe.push_str(&"\\`".repeat(run));
                        rest = behind;
                    }
                }
            }
            '~' => {
                let run = run_of(rest, '~');
                safe.push_str(&if run < 3 { "~".repeat(run) } else { "\\~".repeat(run) });
                rest = &rest[run..];
            }
            '\\' => {
                safe.push('\\');
                rest = &rest[1..];
                if let Some(escaped) =
                    rest.chars().next().filter(|next| matches!(next, '`' | '~' | '\\'))
                {
                    safe.push(escaped);
                    rest = &rest[1..];
                }
            }
            '<' => {
                safe.push_str("&lt;");
                rest = &rest[1..];
            }
            letter => {
                safe.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
    }
    safe
}

fn run_of(text: &str, letter: char) -> usize {
    text.len() - text.trim_start_matches(letter).len()
}

/// Returns where in a text the next run of just so many backticks begins.
fn closing(text: &str, length: usize) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = text[at..].find('`') {
        at += found;
        let run = run_of(&text[at..], '`');
        if run == length {
            return Some(at);
        }
        at += run;
    }
    None
}

/// Returns the lines of a text as every renderer sees them, with what is no letter shown as a sign.
fn lines(text: &str) -> impl Iterator<Item = String> {
    let joined = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<String> = joined.split('\n').map(visible).collect();
    lines.into_iter()
}

fn visible(line: &str) -> String {
    line.chars()
        .map(|letter| match letter {
            '\t' => '\t',
            '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(letter)).unwrap_or('\u{fffd}'),
            '\u{7f}' => '\u{2421}',
            // What turns the direction of a text, and the controls behind ASCII.
            '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            letter => letter,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_stay_on_one_line() {
        assert_eq!(inline(" # a\r\nb\rc "), "\\# a b c");
        assert_eq!(inline("<b>*x*</b> [y](z) `w`"), r"&lt;b\>\*x\*&lt;\/b\> \[y\]\(z\) \`w\`");
        assert_eq!(inline("a\u{1b}[31m\u{202e}"), "a␛\\[31m\u{fffd}");
        assert_eq!(html("</summary>\n\"&\""), "&lt;/summary&gt; &quot;&amp;&quot;");
    }

    #[test]
    fn a_fence_is_longer_than_what_is_in_it() {
        assert_eq!(fenced("a", "json"), "```json\na\n```\n");
        assert_eq!(fenced("```\n</details>\r````", ""), "`````\n```\n</details>\n````\n`````\n");
        assert_eq!(fenced("\u{0}", ""), "```\n␀\n```\n");
    }

    #[test]
    fn what_is_said_stays_in_its_quotation() {
        for (said, shown) in [
            ("a\n\nb", "> a\n>\n> b\n"),
            ("# h\n---\n> q", "> # h\n> ---\n> > q\n"),
            ("</details>\n<script>", "> &lt;/details>\n> &lt;script>\n"),
            ("`Vec<T>` and <b>", "> `Vec<T>` and &lt;b>\n"),
            ("``a`<b>`` <c>", "> ``a`<b>`` &lt;c>\n"),
            // Half of a pair must not take the half of the next line.
            ("a ` b\n` <script> `", "> a \\` b\n> ` <script> `\n"),
            ("a \\` <b> `", "> a \\` &lt;b> \\`\n"),
            ("a \\\\`<b>`", "> a \\\\`<b>`\n"),
            ("```rust\nVec<T>\n```\n<b>", "> ```rust\n> Vec<T>\n> ```\n> &lt;b>\n"),
            ("```\nopen <b>", "> ```\n> open <b>\n> ```\n"),
            ("~~~\n```\n<b>\n~~~~ \n<b>", "> ~~~\n> ```\n> <b>\n> ~~~\n> &lt;b>\n"),
            // In a list a line without indent would end it, and the list.
            ("- a\n  ```\n<b>\n  ```\n<b>", "> - a\n> ```\n> <b>\n> ```\n> &lt;b>\n"),
            ("- ```\n<b>", "> - \\`\\`\\`\n> &lt;b>\n"),
            ("> ~~~\n<b>", "> > \\~\\~\\~\n> &lt;b>\n"),
            ("``` a`b\n<b>", "> \\`\\`\\` a\\`b\n> &lt;b>\n"),
            ("a\r<b>", "> a\n> &lt;b>\n"),
        ] {
            assert_eq!(quoted(said), shown, "{said:?}");
        }
    }
}
