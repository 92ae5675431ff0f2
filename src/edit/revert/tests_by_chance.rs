//! Histories made by chance, against lines that each know who they are.

use proptest::prelude::*;

use super::super::{apply, parse};
use super::tests::{SURE, run};
use super::*;

/// A line and who it is: no two are the same one.
type Tagged = (usize, String);

/// A change of a file by what it takes and puts, and by the lines beside it.
#[derive(Debug, Clone)]
struct Change {
    before: Option<Tagged>,
    taken: Vec<Tagged>,
    put: Vec<Tagged>,
    behind: Option<Tagged>,
}

impl Change {
    /// Takes the change back where the very lines are there, side by side.
    fn undo(&self, lines: &mut Vec<Tagged>) -> bool {
        let start = match &self.before {
            None => Some(0),
            Some(before) => lines.iter().position(|line| line == before).map(|at| at + 1),
        };
        let Some(start) = start else { return false };
        let end = start + self.put.len();
        let fits =
            lines.get(start..end) == Some(&self.put) && lines.get(end) == self.behind.as_ref();
        if fits {
            lines.splice(start..end, self.taken.iter().cloned());
        }
        fits
    }
}

/// What one change of a file does, by chance: where, how many lines it takes, what it puts.
type Chance = (usize, usize, Vec<String>, bool);

/// Changes lines, and returns the hunk and the change.
fn change(
    lines: &mut Vec<Tagged>,
    next: &mut usize,
    chance: &Chance,
    context: usize,
) -> (String, Change) {
    let (at, count, put, is_ended) = chance;
    let mut start = at % (lines.len() + 1);
    let end = (start + count).min(lines.len());
    // Nothing can follow a line without an end.
    if start == lines.len() && lines.last().is_some_and(|(_, line)| !line.ends_with('\n')) {
        start -= 1;
    }
    let mut put: Vec<Tagged> = put
        .iter()
        .map(|line| {
            *next += 1;
            (*next, format!("{line}\n"))
        })
        .collect();
    if end == lines.len()
        && !is_ended
        && let Some((_, last)) = put.last_mut()
    {
        last.pop();
    }
    put.retain(|(_, line)| !line.is_empty());
    let (from, to) = (start.saturating_sub(context), (end + context).min(lines.len()));
    let range = |from: usize, count: usize| format!("{},{count}", from + usize::from(count > 0));
    let mut hunk = format!(
        "@@ -{} +{} @@\n",
        range(from, to - from),
        range(from, to - from + put.len() - (end - start))
    );
    let parts = [
        (' ', &lines[from..start]),
        ('-', &lines[start..end]),
        ('+', &put),
        (' ', &lines[end..to]),
    ];
    for (sign, part) in parts {
        for (_, line) in part {
            let end = if line.ends_with('\n') { "" } else { "\n\\ No newline at end of file\n" };
            hunk.push_str(&format!("{sign}{line}{end}"));
        }
    }
    let before = start.checked_sub(1).map(|at| lines[at].clone());
    let behind = lines.get(end).cloned();
    let taken = lines.splice(start..end, put.iter().cloned()).collect();
    (hunk, Change { before, taken, put, behind })
}

fn text(lines: &[Tagged]) -> String {
    lines.iter().map(|(_, line)| line.as_str()).collect()
}

fn tagged(lines: &[String], next: &mut usize) -> Vec<Tagged> {
    let tag = |line: &String| {
        *next += 1;
        (*next, format!("{line}\n"))
    };
    lines.iter().map(tag).collect()
}

fn chances(line: &'static str, most: usize) -> impl Strategy<Value = Vec<(Chance, bool)>> {
    let put = proptest::collection::vec(line, 0..4);
    let change = (0_usize..40, 0_usize..4, put, proptest::bool::weighted(0.9));
    proptest::collection::vec((change, any::<bool>()), 1..most)
}

/// A history, and what became of it.
struct History {
    base: String,
    hunks: Vec<(String, bool)>,
    changes: Vec<Change>,
    lines: Vec<Tagged>,
    next: usize,
}

fn history(base: &[String], chances: &[(Chance, bool)], context: usize) -> History {
    let mut next = 0;
    let mut lines = tagged(base, &mut next);
    let base = text(&lines);
    let (mut hunks, mut changes) = (Vec::new(), Vec::new());
    for (chance, undoes) in chances {
        let mut after = lines.clone();
        let (hunk, change) = change(&mut after, &mut next, chance, context);
        // A hunk that takes and puts nothing is none.
        if !(change.taken.is_empty() && change.put.is_empty()) {
            lines = after;
            hunks.push((hunk, *undoes));
            changes.push(change);
        }
    }
    History { base, hunks, changes, lines, next }
}

impl History {
    fn run(&self, now: &str, left: Left<'_>) -> Option<String> {
        let edits: Vec<(&str, bool)> =
            self.hunks.iter().map(|(hunk, undoes)| (hunk.as_str(), *undoes)).collect();
        run(&edits, Some(now), left).ok().map(|content| content.expect("a file"))
    }

    /// What is left of some lines without the changes that are undone; none where one cannot be.
    fn without(&self, mut lines: Vec<Tagged>) -> Option<String> {
        let undone = self.changes.iter().zip(&self.hunks).rev().filter(|(_, (_, undoes))| *undoes);
        for (change, _) in undone {
            if !change.undo(&mut lines) {
                return None;
            }
        }
        Some(text(&lines))
    }
}

fn base(line: &'static str) -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(line, 0..16)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Of few different lines: against lines that each know who they are.
    #[test]
    fn any_edits_are_undone_as_if_lines_had_names(base in base("[ab]|é\r"), chances in chances("[ab]|é\r", 10), context in 0_usize..4) {
        let history = history(&base, &chances, context);
        let mut content = Some(history.base.clone());
        for (hunk, _) in &history.hunks {
            let diff = format!("--- a/x\n+++ b/x\n{hunk}");
            let parsed = parse(&diff).map_err(|problem| TestCaseError::fail(format!("{problem}\n{diff}")))?;
            content = apply(&parsed, content.as_deref()).map_err(|mismatch| TestCaseError::fail(format!("{mismatch:?}\n{diff}")))?;
        }
        let now = text(&history.lines);
        prop_assert_eq!(content.as_deref(), Some(now.as_str()));
        let expected = history.without(history.lines.clone());
        prop_assert_eq!(&history.run(&now, SURE), &expected, "assumed: {:?} on {:?}", history.hunks, now);
        prop_assert_eq!(&history.run(&now, Left::Known(Some(&now))), &expected, "known: {:?}", history.hunks);
    }

    /// The last ones leave what was before them; all of them, the base.
    #[test]
    fn the_last_edits_are_undone_to_what_was_before_them(base in base("[ab]"), chances in chances("[ab]", 10), context in 0_usize..4, kept in 0_usize..10) {
        let mut history = history(&base, &chances, context);
        let mut content = Some(history.base.clone());
        for (number, (hunk, undoes)) in history.hunks.iter_mut().enumerate() {
            *undoes = number >= kept;
            if !*undoes {
                let diff = format!("--- a/x\n+++ b/x\n{hunk}");
                content = apply(&parse(&diff).expect("a diff"), content.as_deref()).expect("fits");
            }
        }
        prop_assert_eq!(history.run(&text(&history.lines), SURE), content);
    }

    /// Lines that nobody recorded came, and others went, of which there are many alike.
    #[test]
    fn nothing_else_is_undone_in_a_content_that_was_changed(base in base("[ab]"), mut chances in chances("[abcd]", 5), unrecorded in chances("", 4), context in 0_usize..4) {
        chances[0].1 = true;
        let history = history(&base, &chances, context);
        let mut lines = history.lines.clone();
        let mut next = history.next;
        for ((at, count, put, _), _) in unrecorded {
            let new: Vec<String> = (0..put.len()).map(|number| format!("new {next} {number}")).collect();
            change(&mut lines, &mut next, &(at, count, new, true), 0);
        }
        let (then, now) = (text(&history.lines), text(&lines));
        if let Some(content) = history.run(&now, Left::Known(Some(&then))) {
            prop_assert_eq!(Some(content), history.without(lines), "{:?} on {:?}, was {:?}", history.hunks, now, then);
        }
    }
}
