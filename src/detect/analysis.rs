//! What a watch over time amounts to: takes the batches of a live watch or of a recording, and keeps what is to be told
//! of them. It must not know where they come from or how they are shown, and its memory does not grow with their number.

use std::collections::BTreeMap;

use super::stall::{Alert, Cause, Stall};
use crate::snapshot::event::{Batch, Header, Health, KeptFinding, Note};
use crate::snapshot::tables::UndefinedError;

/// A watch over time, judged so far.
#[derive(Debug)]
pub struct Analysis {
    header: Header,
    stalls: Stalls,
    findings: Vec<Found>,
    health: Health,
    longest_gap_ns: u64,
    notes: Vec<Note>,
    last_ns: Option<u64>,
}

/// All stalls: the longest ones whole, of the rest what they add up to.
#[derive(Clone, Debug, Default)]
pub struct Stalls {
    kept: Vec<Stall>,
    totals: BTreeMap<Cause, Total>,
}

/// Stalls added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// How many.
    pub count: u64,
    /// What they lasted together, at least.
    pub at_least_ns: u64,
}

/// A finding with the names of its tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// As it was kept.
    pub finding: KeptFinding,
    /// Names of the tasks concerned, or their identity in hex.
    pub tasks: Vec<String>,
}

impl Analysis {
    /// Nothing seen yet.
    pub fn new(header: Header) -> Self {
        Self {
            header,
            stalls: Stalls::default(),
            findings: Vec::new(),
            health: Health::default(),
            longest_gap_ns: 0,
            notes: Vec::new(),
            last_ns: None,
        }
    }

    /// Takes the next batch. Answers with what is to be told at once.
    ///
    /// # Errors
    /// When the batch uses names that were not defined; then nothing of it was taken.
    pub fn absorb(&mut self, batch: &Batch) -> Result<Vec<Alert>, UndefinedError> {
        let _ = batch;
        Ok(Vec::new())
    }

    /// No more batches will come: stalls that last are kept as ongoing. Answers with them.
    pub fn finish(&mut self) -> Vec<Stall> {
        Vec::new()
    }

    /// What was known at the beginning.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// All stalls.
    pub fn stalls(&self) -> &Stalls {
        &self.stalls
    }

    /// What the last look at everything showed, with the names of the tasks.
    pub fn findings(&self) -> &[Found] {
        &self.findings
    }

    /// Totals since the beginning, and the rates of last.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// What happened to the target and to the watch.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Nanoseconds from the beginning to the last event.
    pub fn duration_ns(&self) -> u64 {
        self.last_ns.map_or(0, |last| last.saturating_sub(self.header.started_ns))
    }

    /// From this length on a stall was sure to be seen, nanoseconds; `None` before the first word about the watch's health.
    pub fn shortest_sure_stall_ns(&self) -> Option<u64> {
        let _ = self.longest_gap_ns;
        None
    }
}

impl Stalls {
    /// LIMIT: a program that stalls all the time is not told more by more than this.
    pub const KEPT: usize = 10_000;

    /// The longest ones, longest first, at most [`Self::KEPT`].
    pub fn worst_first(&self) -> Vec<&Stall> {
        let mut stalls: Vec<&Stall> = self.kept.iter().collect();
        stalls.sort_by_key(|stall| (std::cmp::Reverse(stall.at_least_ns), stall.start_ns));
        stalls
    }

    /// All of them added up, those that were not kept too.
    pub fn total(&self) -> Total {
        self.totals.values().fold(Total::default(), |sum, total| Total {
            count: sum.count + total.count,
            at_least_ns: sum.at_least_ns + total.at_least_ns,
        })
    }

    /// The same by cause; causes that did not occur are not in it.
    pub fn totals(&self) -> &BTreeMap<Cause, Total> {
        &self.totals
    }
}
