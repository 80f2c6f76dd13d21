//! The analysis of a watch over time: takes the batches of a live watch or of a recording, and keeps what will be
//! reported.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::contention::Contention;
use super::rules::{GIL_CONTENTION, LOOP_SPIN};
use super::seen::SeenFindings;
use super::spin::Spins;
use super::stall::{Alert, Cause, Iteration, Stall, StallDetector};
use crate::model::event::{Batch, Event, Header, Health, KeptFinding, Note, Source};
use crate::model::snapshot::RuleId;
use crate::model::tables::{LoopInfo, Tables, TaskNo, UndefinedError};
use crate::profile::{self, Folding, Profile};

/// LIMIT: notes that are kept: the first ones show how it began; the rest are only counted.
const NOTES: usize = 1_000;

/// A watch over time, as analysed so far.
#[derive(Debug)]
pub struct Analysis {
    header: Header,
    /// Each source numbers its names itself.
    tables: [Tables; 2],
    detector: StallDetector,
    /// The iterations whose end the last batch showed.
    iterations: Vec<(LoopInfo, Iteration)>,
    profile: Profile,
    stalls: Stalls,
    findings: Vec<Found>,
    seen: SeenFindings,
    spins: Spins,
    contention: Contention,
    health: Option<Health>,
    longest_gap_ns: u64,
    notes: Vec<Note>,
    notes_left_out: u64,
    last_ns: Option<u64>,
}

/// A finding with the names of its tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The finding as it was kept.
    pub finding: KeptFinding,
    /// The tasks concerned, by name, or as `task 0x…` if unnamed.
    pub tasks: Vec<String>,
}

impl Analysis {
    /// An empty analysis. Counters in task names are folded in the profile.
    pub fn new(header: Header) -> Self {
        Self::with_folding(header, Folding::default())
    }

    /// An empty analysis.
    pub fn with_folding(header: Header, folding: Folding) -> Self {
        let mut detector = StallDetector::new(header.stall_threshold_ns);
        detector.set_rate(header.loop_rate_hz);
        Self {
            profile: Profile::new(&header, folding),
            header,
            tables: Default::default(),
            detector,
            iterations: Vec::new(),
            stalls: Stalls::default(),
            findings: Vec::new(),
            seen: SeenFindings::default(),
            spins: Spins::default(),
            contention: Contention::default(),
            health: None,
            longest_gap_ns: 0,
            notes: Vec::new(),
            notes_left_out: 0,
            last_ns: None,
        }
    }

    /// Processes the next batch. Returns what is to be reported at once.
    ///
    /// # Errors
    /// When its definitions do not fit the earlier ones; nothing of it was taken in that case. An event that uses an
    /// undefined name is taken without the name, or skipped.
    pub fn absorb(&mut self, batch: &Batch) -> Result<Vec<Alert>, UndefinedError> {
        self.define(batch)?;
        let mut alerts = Vec::new();
        for event in &batch.events {
            self.last_ns = self.last_ns.max(Some(event.at_ns()));
            self.profile.absorb(batch.source, event, &self.tables[batch.source as usize]);
            let first = alerts.len();
            match event {
                Event::Loop(sample) => {
                    self.spins.sample(sample, &self.tables[Source::Loops as usize]);
                    self.contention.sample(sample, &self.tables[Source::Loops as usize]);
                    alerts.extend(self.detector.sample(sample, &self.tables[Source::Loops as usize]))
                }
                Event::Note(note) => {
                    alerts.extend(self.detector.note(note, &self.tables[Source::Loops as usize]));
                    self.keep_note(note);
                }
                Event::Health(health) => self.keep_health(health),
                Event::Findings { at_ns, findings } => {
                    let tables = &self.tables[batch.source as usize];
                    self.seen.absorb(*at_ns, findings, tables);
                    self.findings = findings.iter().map(|finding| Found::new(finding, tables)).collect();
                    self.find_over_time();
                }
                Event::Tasks(changes) => self.spins.look(changes, &self.tables[batch.source as usize]),
            }
            for alert in &alerts[first..] {
                if let Alert::Ended(stall) = alert {
                    self.stalls.add(stall.clone());
                }
            }
        }
        self.iterations.clear();
        self.iterations.extend(self.detector.take_iterations());
        for (event_loop, iteration) in &self.iterations {
            let seen = profile::Iteration {
                start_ns: iteration.start_ns,
                at_least_ns: iteration.at_least_ns,
                at_most_ns: iteration.at_most_ns,
            };
            self.profile.iteration(event_loop, seen);
        }
        Ok(alerts)
    }

    /// No more batches will come: stalls still in progress are kept as ongoing. Returns them.
    pub fn finish(&mut self) -> Vec<Stall> {
        self.find_over_time();
        let ongoing = self.detector.finish(&self.tables[Source::Loops as usize]);
        for stall in &ongoing {
            self.stalls.add(stall.clone());
            let lasts =
                profile::Iteration { start_ns: stall.start_ns, at_least_ns: stall.at_least_ns, at_most_ns: None };
            self.profile.iteration(&stall.event_loop, lasts);
        }
        if let Some(last_ns) = self.last_ns {
            self.profile.settle(last_ns);
        }
        ongoing
    }

    /// What no snapshot can show.
    fn find_over_time(&mut self) {
        let contention = self.contention.findings();
        // What the last instant showed of the GIL is part of it.
        let is_part = |rule: &RuleId| *rule == LOOP_SPIN.id || (*rule == GIL_CONTENTION.id && !contention.is_empty());
        self.findings.retain(|found| !is_part(&found.finding.finding.rule));
        let spin = self.spins.finding();
        let found = spin.iter().chain(&contention).map(|one| Found::new(one, &self.tables[Source::Tasks as usize]));
        let found: Vec<Found> = found.collect();
        self.findings.extend(found);
    }

    fn define(&mut self, batch: &Batch) -> Result<(), UndefinedError> {
        if !batch.begins_anew {
            return self.tables[batch.source as usize].define(&batch.definitions);
        }
        let mut tables = Tables::default();
        tables.define(&batch.definitions)?;
        let old = std::mem::replace(&mut self.tables[batch.source as usize], tables);
        self.profile.on_tables_reset(batch.source);
        if batch.source == Source::Loops {
            self.detector.on_tables_reset(&old);
        } else {
            self.spins.on_tables_reset();
        }
        Ok(())
    }

    fn keep_note(&mut self, note: &Note) {
        if self.notes.len() < NOTES {
            self.notes.push(note.clone());
        } else {
            self.notes_left_out += 1;
        }
    }

    fn keep_health(&mut self, health: &Health) {
        self.longest_gap_ns = self.longest_gap_ns.max(health.longest_gap_ns);
        self.detector.set_rate(health.loop_rate_hz);
        self.health = Some(*health);
    }

    /// The names used by the events of the last batch of a source.
    pub fn tables(&self, source: Source) -> &Tables {
        &self.tables[source as usize]
    }

    /// Iterations of loops whose end the last batch showed, in the order in which they ended.
    pub fn iterations(&self) -> &[(LoopInfo, Iteration)] {
        &self.iterations
    }

    /// What was known at the beginning.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The aggregated profile. What is still going on is counted up to the last [`finish`](Self::finish).
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// All stalls.
    pub fn stalls(&self) -> &Stalls {
        &self.stalls
    }

    /// The findings of the last full snapshot, with the names of the tasks.
    pub fn findings(&self) -> &[Found] {
        &self.findings
    }

    /// The findings of all full snapshots.
    pub fn seen(&self) -> &SeenFindings {
        &self.seen
    }

    /// Totals since the beginning, and the current rates; `None` before the first health event.
    pub fn health(&self) -> Option<&Health> {
        self.health.as_ref()
    }

    /// Whether many samples had to be read again: stacks that last for a microsecond have a smaller share than they should.
    pub fn is_biased(&self) -> bool {
        self.health.as_ref().is_some_and(|health| health.torn > health.loop_samples / 2)
    }

    /// What happened to the target and to the watch: the first thousand notes.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The number of further notes.
    pub fn notes_left_out(&self) -> u64 {
        self.notes_left_out
    }

    /// Nanoseconds from the beginning to the last event.
    pub fn duration_ns(&self) -> u64 {
        self.last_ns.map_or(0, |last| last.saturating_sub(self.header.started_ns))
    }

    /// Stalls of at least this length were sure to be reported, nanoseconds: [`shortest_sure_stall_ns`] of the longest
    /// time between two samples so far that show what the loop does. `None` before the first health event.
    pub fn shortest_sure_stall_ns(&self) -> Option<u64> {
        let health = self.health?;
        let unseen_ns = self.longest_gap_ns.max(self.detector.longest_unknown_ns());
        Some(shortest_sure_stall_ns(self.header.stall_threshold_ns, unseen_ns, health.loop_rate_hz))
    }
}

/// The shortest stall that is sure to be reported, nanoseconds. A stall is reported when a sample falls into it after
/// the threshold, so a stall that exceeds the threshold by the longest time between two samples cannot be missed. That
/// time is at least the sampling period.
pub fn shortest_sure_stall_ns(threshold_ns: u64, longest_gap_ns: u64, loop_rate_hz: f64) -> u64 {
    // A rate of zero gives infinity, which becomes the largest number: nothing is sure.
    let period_ns = (1e9 / loop_rate_hz.max(0.0)).ceil() as u64;
    threshold_ns.saturating_add(longest_gap_ns.max(period_ns))
}

impl Found {
    /// A finding of a snapshot, with the names of its source.
    pub fn new(finding: &KeptFinding, tables: &Tables) -> Self {
        let name = |number: &TaskNo| {
            let task = tables.task(*number)?;
            Some(task.name.as_deref().map_or_else(|| format!("task {:#x}", task.key), str::to_owned))
        };
        Self { tasks: finding.tasks.iter().filter_map(name).collect(), finding: finding.clone() }
    }
}

/// All stalls: the longest ones in full, the rest as totals.
#[derive(Clone, Debug, Default)]
pub struct Stalls {
    kept: Vec<Stall>,
    totals: BTreeMap<Cause, Total>,
}

/// Totals of several stalls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Number of stalls.
    pub count: u64,
    /// Lower bound of their total length, nanoseconds.
    pub at_least_ns: u64,
}

impl Stalls {
    /// LIMIT: stalls kept in full; a longer list of a program that stalls all the time would go unread.
    pub const KEPT: usize = 10_000;

    fn add(&mut self, stall: Stall) {
        let total = self.totals.entry(stall.cause).or_default();
        total.count += 1;
        total.at_least_ns = total.at_least_ns.saturating_add(stall.at_least_ns);
        self.kept.push(stall);
        // Twice the limit, so that the shorter half is selected only once per `KEPT` stalls.
        if self.kept.len() >= 2 * Self::KEPT {
            self.kept.select_nth_unstable_by_key(Self::KEPT, rank);
            self.kept.truncate(Self::KEPT);
        }
    }

    /// The longest ones, longest first, at most [`Self::KEPT`].
    pub fn worst_first(&self) -> Vec<&Stall> {
        let mut stalls: Vec<&Stall> = self.kept.iter().collect();
        stalls.sort_by_key(|stall| rank(stall));
        stalls.truncate(Self::KEPT);
        stalls
    }

    /// Totals of all stalls, including those that were not kept.
    pub fn total(&self) -> Total {
        self.totals.values().fold(Total::default(), |sum, total| Total {
            count: sum.count + total.count,
            at_least_ns: sum.at_least_ns.saturating_add(total.at_least_ns),
        })
    }

    /// The same by cause; causes that did not occur are left out.
    pub fn totals(&self) -> &BTreeMap<Cause, Total> {
        &self.totals
    }
}

fn rank(stall: &Stall) -> (Reverse<u64>, u64) {
    (Reverse(stall.at_least_ns), stall.start_ns)
}
