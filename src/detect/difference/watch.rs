//! One of the two watches that are compared.

use crate::detect::analysis::Analysis;

/// One of two watches.
#[derive(Clone, Copy, Debug)]
pub struct Watch<'a> {
    /// Its analysis, with `finish` already called.
    pub analysis: &'a Analysis,
    /// Whether it is complete: false if a recording breaks off.
    pub complete: bool,
}

impl Watch<'_> {
    /// Time for which something is known, nanoseconds: without the gaps between samples.
    pub fn watched_ns(&self) -> u64 {
        let loops = self.analysis.profile().loops();
        let whole: u64 = loops.iter().map(|event_loop| event_loop.watched_ns()).sum();
        let gaps: u64 = loops.iter().map(|event_loop| event_loop.gap_ns).sum();
        let known = if whole > 0 { 1.0 - gaps as f64 / whole as f64 } else { 1.0 };
        (self.analysis.duration_ns() as f64 * known) as u64
    }

    pub(super) fn seconds(&self) -> f64 {
        self.watched_ns() as f64 / 1e9
    }

    /// How often all tasks were sampled.
    pub(super) fn looks(&self) -> f64 {
        match self.analysis.health().map_or(0, |health| health.task_snapshots) {
            // The watch has not reported it; this is the requested rate.
            0 => self.analysis.header().task_rate_hz * self.analysis.duration_ns() as f64 / 1e9,
            looks => looks as f64,
        }
    }

    /// Nanoseconds between two task samples.
    pub(super) fn look_period_ns(&self) -> f64 {
        self.analysis.duration_ns() as f64 / self.looks().max(1e-9)
    }
}
