//! The rows, as a table for a person and as JSON for a program.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::measure::Figure;

/// What the daemon must reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// At most so many times the peer's time.
    TimesThePeer(f64),
    /// The 99th percentile at most so many times the peer's.
    TimesThePeersTail(f64),
    /// At least so many times the peer's rate.
    TimesThePeersRate(f64),
    /// The peer must take at least so many times as long.
    TimesFaster(f64),
    /// At most this, whatever a peer does.
    AtMost(f64),
    /// At least this, whatever a peer does.
    AtLeast(f64),
    /// The 99th percentile at most this, whatever a peer does.
    TailAtMost(f64),
    /// Nothing: shown because it explains another row.
    None,
}

/// One comparison.
#[derive(Debug)]
pub(crate) struct Row {
    /// A word for `--only` and for programs.
    pub(crate) name: &'static str,
    /// What was measured, for a person.
    pub(crate) what: String,
    /// The unit of both figures.
    pub(crate) unit: &'static str,
    /// The daemon's figure.
    pub(crate) ours: Figure,
    /// The peer's.
    pub(crate) peer: Option<Figure>,
    /// What the daemon must reach.
    pub(crate) target: Target,
}

impl Row {
    /// Returns how the sides compare, the way round that the target is put.
    fn ratio(&self) -> Option<f64> {
        let peer = self.peer?;
        Some(match self.target {
            Target::TimesFaster(_) => peer.middle / self.ours.middle,
            Target::TimesThePeersTail(_) => self.ours.tail? / peer.tail?,
            _ => self.ours.middle / peer.middle,
        })
    }

    fn is_reached(&self) -> Option<bool> {
        match self.target {
            Target::TimesThePeer(most) | Target::TimesThePeersTail(most) => {
                self.ratio().map(|ratio| ratio <= most)
            }
            Target::TimesThePeersRate(least) | Target::TimesFaster(least) => {
                self.ratio().map(|ratio| ratio >= least)
            }
            Target::AtMost(most) => Some(self.ours.middle <= most),
            Target::AtLeast(least) => Some(self.ours.middle >= least),
            Target::TailAtMost(most) => self.ours.tail.map(|tail| tail <= most),
            Target::None => None,
        }
    }

    fn target_text(&self) -> String {
        match self.target {
            Target::TimesThePeer(most) => format!("<= {most} x"),
            Target::TimesThePeersTail(most) => format!("p99 <= {most} x"),
            Target::TimesThePeersRate(least) => format!(">= {least} x"),
            Target::TimesFaster(least) => format!(">= {least} x faster"),
            Target::AtMost(most) => format!("<= {most} {}", self.unit),
            Target::AtLeast(least) => format!(">= {least} {}", self.unit),
            Target::TailAtMost(most) => format!("p99 <= {most} {}", self.unit),
            Target::None => "-".to_owned(),
        }
    }

    fn cells(&self) -> [String; 10] {
        let tail = |figure: Option<Figure>| {
            figure.and_then(|figure| figure.tail).map_or_else(dash, number)
        };
        let verdict = self.is_reached().map_or("-", |reached| if reached { "ok" } else { "MISS" });
        [
            self.name.to_owned(),
            self.what.clone(),
            self.unit.to_owned(),
            number(self.ours.middle),
            tail(Some(self.ours)),
            self.peer.map_or_else(dash, |peer| number(peer.middle)),
            tail(self.peer),
            self.ratio().map_or_else(dash, |ratio| format!("{ratio:.2}")),
            self.target_text(),
            verdict.to_owned(),
        ]
    }

    fn json(&self) -> Value {
        let figure = |figure: Figure| json!({"p50": figure.middle, "p99": figure.tail});
        json!({
            "name": self.name, "what": self.what, "unit": self.unit,
            "ours": figure(self.ours), "peer": self.peer.map(figure),
            "ratio": self.ratio(), "target": self.target_text(), "ok": self.is_reached(),
        })
    }
}

const HEADINGS: [&str; 10] =
    ["name", "what", "unit", "ours p50", "p99", "peer p50", "p99", "ratio", "target", ""];

/// Columns from here up to the last but one are numbers, so aligned to the right.
const NUMBERS: std::ops::Range<usize> = 3..8;

/// Returns the rows as an aligned table. Rates stand in the columns of the medians.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    lines.extend(rows.iter().map(Row::cells));
    let width =
        |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let mut shown = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            if NUMBERS.contains(&column) {
                write!(shown, "{cell:>width$}  ").expect("a String takes all");
            } else {
                write!(shown, "{cell:<width$}  ").expect("a String takes all");
            }
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text
}

/// Returns the rows as JSON.
pub(crate) fn json(rows: &[Row], machine: &Value) -> Value {
    json!({"rows": rows.iter().map(Row::json).collect::<Vec<_>>(), "machine": machine})
}

fn number(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn dash() -> String {
    "-".to_owned()
}
