//! Finds which lines of an older text a newer one still has, where that is beyond doubt.
//!
//! A diff wants the most lines in common and picks one of several ways to have them. Here the lines
//! that either text has just once are taken for each other, and what follows them, or goes before
//! them, line by line, as long as neither text has more of such a line up to the next of those: if
//! one of several equal lines is gone, or new, nobody can tell which.

use std::collections::HashMap;
use std::ops::Range;

use super::lines::Lines;

/// How the lines of two texts go on from each other. Of every part, one number at least is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// So many lines are in both, from this one of the newer text on.
    Both(usize, usize),
    /// So many lines are in the older text alone.
    Then(usize),
    /// So many lines are in the newer text alone, from this one on.
    Now(usize, usize),
}

/// Returns the parts of two texts in their order.
pub(super) fn align(then: &Lines<'_>, now: &Lines<'_>) -> Vec<Part> {
    let mut anchors = rising(&once_in_both(then, now));
    anchors.push((then.count(), now.count()));
    let mut parts = Vec::new();
    // Behind the anchor before: at first, the beginning of both.
    let (mut then_at, mut now_at) = (0, 0);
    for (then_anchor, now_anchor) in anchors {
        let (then_gap, now_gap) = (then_anchor - then_at, now_anchor - now_at);
        let most = then_gap.min(now_gap);
        let same = |then_line, now_line| then.get(then_line) == now.get(now_line);
        if then_gap == now_gap && (0..most).all(|at| same(then_at + at, now_at + at)) {
            push(&mut parts, Part::Both(now_at, most));
        } else {
            let more = surplus(then, then_at..then_anchor, now, now_at..now_anchor);
            let same = |then_line, now_line| {
                same(then_line, now_line) && more[then.range(then_line, 1)] == 0
            };
            let down = (0..most).take_while(|at| same(then_at + at, now_at + at)).count();
            let up =
                (1..=most - down).take_while(|at| same(then_anchor - at, now_anchor - at)).count();
            push(&mut parts, Part::Both(now_at, down));
            push(&mut parts, Part::Then(then_gap - down - up));
            push(&mut parts, Part::Now(now_at + down, now_gap - down - up));
            push(&mut parts, Part::Both(now_anchor - up, up));
        }
        if then_anchor < then.count() && now_anchor < now.count() {
            push(&mut parts, Part::Both(now_anchor, 1));
        }
        (then_at, now_at) = (then_anchor + 1, now_anchor + 1);
    }
    parts
}

/// Adds a part that is not empty, to the one before where it goes on from that.
fn push(parts: &mut Vec<Part>, part: Part) {
    match (parts.last_mut(), part) {
        (_, Part::Both(_, 0) | Part::Then(0) | Part::Now(_, 0)) => {}
        (Some(Part::Both(from, count)), Part::Both(next, more)) if *from + *count == next => {
            *count += more;
        }
        _ => parts.push(part),
    }
}

/// Returns how many more of each line the newer text has between two places than the older one.
fn surplus<'t>(
    then: &Lines<'t>,
    then_range: Range<usize>,
    now: &Lines<'t>,
    now_range: Range<usize>,
) -> HashMap<&'t str, i64> {
    let mut more = HashMap::new();
    then_range.for_each(|at| *more.entry(then.range(at, 1)).or_default() -= 1);
    now_range.for_each(|at| *more.entry(now.range(at, 1)).or_default() += 1);
    more
}

/// Returns the lines that either text has just once, in the order of the older one.
fn once_in_both(then: &Lines<'_>, now: &Lines<'_>) -> Vec<(usize, usize)> {
    let mut now_places: HashMap<&str, (usize, usize)> = HashMap::new();
    let mut then_counts: HashMap<&str, usize> = HashMap::new();
    for at in 0..now.count() {
        now_places.entry(now.range(at, 1)).and_modify(|(count, _)| *count += 1).or_insert((1, at));
    }
    for at in 0..then.count() {
        *then_counts.entry(then.range(at, 1)).or_default() += 1;
    }
    (0..then.count())
        .filter_map(|at| {
            let line = then.range(at, 1);
            let (count, place) = now_places.get(line)?;
            (*count == 1 && then_counts[line] == 1).then_some((at, *place))
        })
        .collect()
}

/// Returns the most pairs whose second numbers rise as the first ones do.
fn rising(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // For each length, the pair that ends a row of that length lowest; for each pair, the one before.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (at, pair) in pairs.iter().enumerate() {
        let length = ends.partition_point(|end| pairs[*end].1 < pair.1);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(at);
        } else {
            ends[length] = at;
        }
    }
    let mut row = Vec::with_capacity(ends.len());
    let mut next = ends.last().copied();
    while let Some(at) = next {
        row.push(pairs[at]);
        next = before[at];
    }
    row.reverse();
    row
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(then: &str, now: &str) -> Vec<Part> {
        let lines = |text: &str| text.chars().map(|line| format!("{line}\n")).collect::<String>();
        let (then, now) = (lines(then), lines(now));
        align(&Lines::of(&then), &Lines::of(&now))
    }

    #[test]
    fn what_is_in_doubt_is_in_neither() {
        use Part::{Both, Now, Then};
        for (then, now, expected) in [
            ("", "", vec![]),
            ("xxx", "xxx", vec![Both(0, 3)]),
            ("abc", "abc", vec![Both(0, 3)]),
            ("abc", "zabc", vec![Now(0, 1), Both(1, 3)]),
            ("abc", "ac", vec![Both(0, 1), Then(1), Both(1, 1)]),
            ("abc", "azc", vec![Both(0, 1), Then(1), Now(1, 1), Both(2, 1)]),
            // Which one of the two is gone, or is new, cannot be told.
            ("axxb", "axb", vec![Both(0, 1), Then(2), Now(1, 1), Both(2, 1)]),
            ("axb", "axxb", vec![Both(0, 1), Then(1), Now(1, 2), Both(3, 1)]),
            ("apxxqb", "apxqb", vec![Both(0, 2), Then(2), Now(2, 1), Both(3, 2)]),
            ("x", "", vec![Then(1)]),
            ("", "x", vec![Now(0, 1)]),
            ("axzz", "axyxyz", vec![Both(0, 1), Then(3), Now(1, 5)]),
            // The `pxs` that is left is the first one or the second.
            ("apxsqpxsz", "apxsw", vec![Both(0, 1), Then(8), Now(1, 4)]),
            ("axqxb", "axwxb", vec![Both(0, 2), Then(1), Now(2, 1), Both(3, 2)]),
            ("abcd", "bcda", vec![Then(1), Both(0, 3), Now(3, 1)]),
        ] {
            assert_eq!(parts(then, now), expected, "{then} and {now}");
        }
    }

    proptest! {
        /// The parts are the whole of both texts, in order, and what is in both is equal.
        #[test]
        fn the_parts_make_up_both_texts(then in "[a-e]{0,12}", now in "[a-e]{0,12}") {
            let (mut then_at, mut now_at) = (0, 0);
            for part in parts(&then, &now) {
                match part {
                    Part::Both(from, count) => {
                        prop_assert_eq!(from, now_at);
                        prop_assert_eq!(&then[then_at..then_at + count], &now[from..from + count]);
                        (then_at, now_at) = (then_at + count, now_at + count);
                    }
                    Part::Then(count) => then_at += count,
                    Part::Now(from, count) => {
                        prop_assert_eq!(from, now_at);
                        now_at += count;
                    }
                }
            }
            prop_assert_eq!((then_at, now_at), (then.len(), now.len()));
        }
    }
}
