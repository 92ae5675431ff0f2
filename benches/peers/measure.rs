//! Clocks and medians. Two sides are measured in turns, so that a noisy machine disturbs both.

use std::time::{Duration, Instant};

/// What one side of a comparison came to, over one round or over all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    /// The median, or the rate.
    pub(crate) middle: f64,
    /// The 99th percentile, where single calls were timed.
    pub(crate) tail: Option<f64>,
}

impl Figure {
    /// Returns the figure of a single value.
    pub(crate) fn of(value: f64) -> Self {
        Self { middle: value, tail: None }
    }

    /// Returns the medians of the rounds' figures.
    pub(crate) fn median_of(rounds: &[Self]) -> Self {
        let tails: Option<Vec<f64>> = rounds.iter().map(|round| round.tail).collect();
        Self {
            middle: median(rounds.iter().map(|round| round.middle).collect()),
            tail: tails.map(median),
        }
    }

    /// Returns the figure of these times, in a unit of so many seconds.
    fn of_times(mut times: Vec<Duration>, unit_seconds: f64) -> Self {
        times.sort_unstable();
        let at = |percent: usize| {
            let place = (times.len() * percent / 100).min(times.len() - 1);
            times[place].as_secs_f64() / unit_seconds
        };
        Self { middle: at(50), tail: Some(at(99)) }
    }

    /// Returns the figure of these times in microseconds.
    pub(crate) fn microseconds(times: Vec<Duration>) -> Self {
        Self::of_times(times, 1e-6)
    }

    /// Returns the figure of these times in milliseconds.
    pub(crate) fn milliseconds(times: Vec<Duration>) -> Self {
        Self::of_times(times, 1e-3)
    }
}

/// Returns the median of some values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Times each of a number of calls.
pub(crate) fn time_each(count: usize, mut call: impl FnMut(usize)) -> Vec<Duration> {
    (0..count)
        .map(|at| {
            let started = Instant::now();
            call(at);
            started.elapsed()
        })
        .collect()
}

/// Returns how many a second this work does.
pub(crate) fn rate(count: usize, work: impl FnOnce()) -> Figure {
    let started = Instant::now();
    work();
    Figure::of(count as f64 / started.elapsed().as_secs_f64())
}

/// Measures two sides in turns, after a round of each that does not count, and returns the medians.
///
/// The side that goes first alternates.
pub(crate) fn in_turns(
    rounds: u16,
    mut ours: impl FnMut() -> Figure,
    mut peers: impl FnMut() -> Figure,
) -> (Figure, Figure) {
    ours();
    peers();
    let (mut of_ours, mut of_peers) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        if round % 2 == 0 {
            of_ours.push(ours());
            of_peers.push(peers());
        } else {
            of_peers.push(peers());
            of_ours.push(ours());
        }
    }
    (Figure::median_of(&of_ours), Figure::median_of(&of_peers))
}

/// Measures one side, after a round that does not count, and returns the medians.
pub(crate) fn alone(rounds: u16, mut ours: impl FnMut() -> Figure) -> Figure {
    ours();
    let rounds: Vec<Figure> = (0..rounds).map(|_| ours()).collect();
    Figure::median_of(&rounds)
}
