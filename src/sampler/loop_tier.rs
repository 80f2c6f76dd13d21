//! The loop tier: samples the event loops at its deadlines, and does the maintenance of the watch in between.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::model::event::{Event, LoopSample, Note, NoteKind, Phase};
use crate::remote::ReadError;

use super::clock::SECOND;
use super::governor::MIN_LOOP_HZ;
use super::health::{LoopTotals, combine};
use super::maintenance::Maintenance;
use super::outbox::ReceiverDropped;
use super::parts::LoopParts;
use super::readers::{Effort, LookError, LoopReader};
use super::schedule::Schedule;
use super::shared::End;
use super::target_state::{Change, Stopper, TargetState};

/// A sample of one loop that took longer was interrupted, nanoseconds: new code takes a millisecond to read.
const LONGEST_SAMPLE: u64 = 5_000_000;
/// A sample that took no longer than this, nanoseconds, counts as of one moment.
const USUAL_SAMPLE: u64 = 100_000;
/// A batch is sent when this many samples wait, however little time has passed.
const BATCH: usize = 1_024;
/// LIMIT: for how long every sample may fail before we attach again.
const FAILING: u64 = SECOND / 2;
/// LIMIT: for how long we try to find Python again in a process that has lost it.
const LOST: u64 = 30 * SECOND;
/// LIMIT: for how long the task tier may take its last sample.
pub(super) const LAST_LOOK: Duration = Duration::from_secs(1);
/// Attaching is retried after this many times its own duration, and after at least the minimum below, so that it does
/// not take up all of asyncprof's time.
const PATIENCE: u64 = 20;
const MIN_PATIENCE: u64 = SECOND / 50;

/// The loop tier of one watch.
pub(super) struct LoopTier {
    pub(super) parts: LoopParts,
    reader: Option<Box<dyn LoopReader>>,
    schedule: Schedule,
    maintenance: Maintenance,
    state: TargetState,
    pub(super) totals: LoopTotals,
    samples: Vec<LoopSample>,
    costs: Costs,
    /// There are loops to sample.
    has_loops: bool,
    /// Since when samples have failed.
    failing_since: Option<u64>,
    /// Since when there has been no reader, and when the next attempt to open one is due.
    lost_since: Option<u64>,
    attach_at: u64,
    /// Why the last attempt failed.
    error: Option<String>,
    /// It was reported that the loops cannot be read, and they have not been readable since.
    reported_gap: bool,
}

/// The CPU time of the latest samples of all loops.
#[derive(Debug, Default)]
struct Costs {
    latest: [u64; 25],
    count: usize,
}

impl Costs {
    /// Takes in the cost of one more; returns the median of the latest, whenever there are so many more. A few say little:
    /// while code is new, every sample takes many times as long.
    fn add(&mut self, cost_ns: u64) -> Option<u64> {
        self.latest[self.count % self.latest.len()] = cost_ns;
        self.count += 1;
        let mut sorted = self.latest;
        sorted.sort_unstable();
        self.count.is_multiple_of(sorted.len()).then(|| sorted[sorted.len() / 2])
    }
}

impl LoopTier {
    /// Starts with a target that was attached to.
    pub(super) fn new(parts: LoopParts) -> Self {
        let now = parts.clock.now_ns();
        Self {
            reader: None,
            schedule: Schedule::new(now, parts.governor.rates().loop_hz),
            maintenance: Maintenance::new(now),
            state: TargetState::new(parts.clock.suspended_ns()),
            totals: LoopTotals::default(),
            samples: Vec::new(),
            costs: Costs::default(),
            has_loops: false,
            failing_since: None,
            lost_since: None,
            attach_at: now,
            error: None,
            reported_gap: false,
            parts,
        }
    }

    /// Runs until the watch is over. `tasks_done` closes when the task tier has sent its last event.
    pub(super) fn run(&mut self, tasks_done: &Receiver<()>) {
        self.open();
        while !self.parts.shared.is_over() {
            self.step();
        }
        self.finish(tasks_done);
    }

    /// Waits for the next piece of work, and does it.
    pub(super) fn step(&mut self) {
        let sample_at = if self.has_loops { self.schedule.next_ns() } else { u64::MAX };
        self.parts.clock.sleep_until(sample_at.min(self.maintenance.next_ns()));
        let now = self.parts.clock.now_ns();
        let done = if self.has_loops && self.schedule.is_due(now) { self.sample(now) } else { Ok(()) };
        let done = done.and_then(|()| if self.maintenance.are_due(now) { self.maintain(now) } else { Ok(()) });
        if done == Err(ReceiverDropped) {
            self.parts.shared.end(End::ReceiverDropped, None);
        }
    }

    fn sample(&mut self, now: u64) -> Result<(), ReceiverDropped> {
        let Some(reader) = &mut self.reader else { return Ok(()) };
        self.totals.late += self.schedule.keep(now);
        let cpu_before = self.parts.clock.thread_cpu_ns();
        let sampled = reader.sample(self.parts.outbox.tables(), now, &mut self.samples);
        let cost_ns = self.parts.clock.thread_cpu_ns().saturating_sub(cpu_before);
        if let Some(cost_ns) = self.costs.add(cost_ns) {
            let loops = self.samples.len();
            self.parts.governor.share_floors(self.parts.account.part(), loops);
            if self.parts.governor.bound_loops(cost_ns) {
                self.schedule.set_rate(self.rate());
            }
        }
        match sampled {
            // It is not known when the process was as these samples show it.
            Ok(_) if self.has_lost_its_processor(now) => {
                self.totals.dropped += self.samples.len() as u64;
                self.samples.clear();
            }
            Ok(effort) => {
                self.note_duration(now);
                self.accept(effort);
            }
            Err(error) => self.fail(&error, now),
        }
        if self.parts.outbox.len() >= BATCH { self.parts.outbox.flush() } else { Ok(()) }
    }

    /// Whether the samples that were begun at this time took so long that this thread cannot have run all the while.
    fn has_lost_its_processor(&self, begun_ns: u64) -> bool {
        let longest = LONGEST_SAMPLE.saturating_mul(self.samples.len().max(1) as u64);
        self.parts.stops.is_none() && self.parts.clock.now_ns().saturating_sub(begun_ns) > longest
    }

    /// Notes in the samples that their reading took unusually long.
    fn note_duration(&mut self, begun_ns: u64) {
        let took = self.parts.clock.now_ns().saturating_sub(begun_ns);
        if took > USUAL_SAMPLE {
            let took = u32::try_from(took).unwrap_or(u32::MAX);
            let without = self.samples.iter_mut().filter(|sample| sample.away_since_ns.is_none());
            without.for_each(|sample| sample.away_precision_ns = took);
        }
    }

    fn accept(&mut self, effort: Effort) {
        self.failing_since = None;
        self.reported_gap = false;
        self.has_loops = !self.samples.is_empty() || effort.dropped > 0;
        self.totals.count(self.samples.len(), effort);
        if effort.dropped == 0 {
            let samples = &self.samples;
            self.parts.outbox.keep_gaps_of(|event_loop| samples.iter().any(|sample| sample.event_loop == event_loop));
        }
        // The loop ended, or another one took its place.
        if effort.dropped > 0 || self.samples.iter().any(|sample| sample.phase == Phase::NotRunning) {
            self.maintenance.rediscover_soon();
        }
        for sample in self.samples.drain(..) {
            self.parts.outbox.push(Event::Loop(sample));
        }
    }

    fn fail(&mut self, error: &LookError, now: u64) {
        self.samples.clear();
        self.totals.dropped += 1;
        let since = *self.failing_since.get_or_insert(now);
        if error.is_fatal() || now.saturating_sub(since) > FAILING {
            // The process may have exited or executed another program; then that is reported instead.
            self.watch_target(now);
            if !self.parts.shared.is_over() && self.lost_since.is_none() {
                // The memory of an exiting process is gone before the process is: not reported yet.
                let is_ending = matches!(error, LookError::Read(ReadError::Gone));
                if !is_ending && !std::mem::replace(&mut self.reported_gap, true) {
                    self.note(now, NoteKind::Gap, format!("the event loops cannot be read: {error}"));
                }
                self.error = Some(error.to_string());
                self.lose(now);
            }
        }
    }

    /// There is nothing left to read with.
    fn lose(&mut self, now: u64) {
        self.reader = None;
        self.has_loops = false;
        self.lost_since.get_or_insert(now);
        self.attach_at = now;
    }

    /// Opens a reader for the current attachment.
    pub(super) fn open(&mut self) {
        let now = self.parts.clock.now_ns();
        match self.parts.target.loops() {
            Ok(mut reader) => {
                let found = reader.rediscover(now);
                self.parts.shared.set_found_no_loop(found == Ok(false));
                // On failure it is retried soon.
                self.has_loops = found.unwrap_or(false);
                self.reader = Some(reader);
                (self.lost_since, self.failing_since) = (None, None);
                self.schedule.restart(now);
            }
            Err(error) => {
                self.error = Some(error.to_string());
                self.lose(now);
            }
        }
    }

    /// Attaches again, when that is due.
    fn attach(&mut self, now: u64) -> Result<(), ReceiverDropped> {
        if now < self.attach_at {
            return Ok(());
        }
        let attached = self.parts.target.attach();
        let took = self.parts.clock.now_ns().saturating_sub(now);
        self.attach_at = now + took + (took * PATIENCE).max(MIN_PATIENCE);
        match attached {
            Ok(_) => {
                self.state.attached();
                self.parts.outbox.reset()?;
                self.open();
                self.parts.governor.restart();
                self.maintenance.restart_accounts();
            }
            Err(error) => self.error = Some(error.to_string()),
        }
        if !self.parts.wait_for_python && self.lost_since.is_some_and(|since| now.saturating_sub(since) > LOST) {
            self.parts.shared.end(End::Unreadable, self.error.clone());
        }
        Ok(())
    }

    /// Work that is done several times a second.
    fn maintain(&mut self, now: u64) -> Result<(), ReceiverDropped> {
        self.maintenance.did(now, self.parts.shared.sharing().watches());
        self.watch_target(now);
        if self.parts.shared.is_over() {
            return Ok(());
        }
        if self.reader.is_none() {
            self.attach(now)?;
        } else {
            self.discover(now)?;
        }
        if let Some((kind, text)) = self.maintenance.govern(&mut self.parts, self.totals.stopped_ns, now) {
            self.note(now, kind, text);
        }
        self.schedule.set_rate(self.rate());
        if self.maintenance.is_health_due(now) {
            self.send_health();
        }
        self.parts.outbox.flush()?;
        if self.parts.outbox.is_overfull() {
            self.parts.outbox.reset()?;
            if let Some(reader) = &mut self.reader {
                reader.forget_numbers();
            }
        }
        Ok(())
    }

    /// Samples per second. A watch without a loop that shares the budget (a supervisor of workers) only checks whether
    /// it has a loop now, and leaves the rest of its share to the others.
    fn rate(&self) -> f64 {
        let rate_hz = self.parts.governor.rates().loop_hz;
        let is_idle = !self.has_loops && self.parts.account.part() < 1.0;
        if is_idle { rate_hz.min(MIN_LOOP_HZ) } else { rate_hz }
    }

    /// Finds the loops. While there is none, asyncio may not be loaded yet and the attachment may have found too little
    /// of it: then we attach again too.
    fn discover(&mut self, now: u64) -> Result<(), ReceiverDropped> {
        if let Some(reader) = self.reader.as_mut().filter(|_| self.maintenance.is_discovery_due(now)) {
            let before = self.parts.clock.thread_cpu_ns();
            match reader.rediscover(now) {
                Ok(has_loops) => {
                    // Deadlines that passed while there was nothing to sample do not count as missed.
                    if has_loops && !self.has_loops {
                        self.schedule.restart(now);
                    }
                    self.has_loops = has_loops;
                    self.parts.shared.set_found_no_loop(!has_loops);
                }
                Err(error) => self.fail(&error, now),
            }
            let cost = self.parts.clock.thread_cpu_ns().saturating_sub(before);
            let share = self.parts.cpu_budget * self.parts.account.part();
            self.maintenance.discovered(now, cost, share, self.has_loops);
        }
        if !self.has_loops && self.reader.is_some() && self.maintenance.is_reattaching_due(now) {
            let before = self.parts.clock.thread_cpu_ns();
            let attached = self.parts.target.attach();
            let cost = self.parts.clock.thread_cpu_ns().saturating_sub(before);
            self.maintenance.reattached(self.parts.clock.now_ns(), cost);
            if let Ok(true) = attached {
                self.parts.outbox.reset()?;
                self.open();
            }
        }
        Ok(())
    }

    /// Checks what happened to the process.
    fn watch_target(&mut self, now: u64) {
        let sight = self.parts.target.see();
        for change in self.state.update(&sight, self.parts.clock.suspended_ns()) {
            let (kind, text) = match change {
                Change::Exited => (NoteKind::Exited, "the process has exited".to_owned()),
                Change::Executed => (NoteKind::Executed, "the process executes another program".to_owned()),
                Change::Stopped(Stopper::JobControl) => {
                    (NoteKind::Stopped, "the process was stopped by a signal".to_owned())
                }
                Change::Stopped(Stopper::Tracer) => {
                    (NoteKind::Stopped, "the process was stopped by a debugger".to_owned())
                }
                Change::Continued => (NoteKind::Continued, "the process goes on".to_owned()),
                Change::Suspended(ns) => (
                    NoteKind::Suspended,
                    format!("the machine was suspended for {:.1} s; that time is not counted", ns as f64 / 1e9),
                ),
            };
            self.note(now, kind, text);
            match change {
                Change::Exited => self.parts.shared.end(End::Exited, None),
                Change::Executed => self.lose(now),
                _ => {}
            }
        }
    }

    fn note(&mut self, at_ns: u64, kind: NoteKind, text: String) {
        self.parts.outbox.push(Event::Note(Note { at_ns, kind, text }));
    }

    fn send_health(&mut self) {
        self.parts.account.update(&*self.parts.clock, &self.parts.shared);
        let (clock, governor) = (&self.parts.clock, &self.parts.governor);
        self.totals.lost = self.parts.outbox.lost();
        let mut health = combine(&self.totals, &self.parts.shared.tasks(), governor.rates());
        health.at_ns = clock.now_ns();
        health.cpu_ns = self.parts.account.total_ns();
        health.lowered_rate = governor.is_lowered();
        health.longest_gap_ns = self.parts.outbox.take_longest_gap();
        health.stops = self.parts.target.stops();
        self.parts.shared.set_health(health);
        self.parts.outbox.push(Event::Health(health));
    }

    /// Sends the last events, after those of the task tier. There are no deadlines any more.
    fn finish(&mut self, tasks_done: &Receiver<()>) {
        let now = self.parts.clock.now_ns();
        match self.parts.shared.ended() {
            Some((End::Asked, _)) => self.note(now, NoteKind::Ended, "the watch was ended".to_owned()),
            Some((End::Unreadable | End::Failed, Some(error))) => {
                self.note(now, NoteKind::Ended, format!("the watch cannot go on: {error}"));
            }
            _ => {}
        }
        // Nothing is ever sent on it: it closes when the task tier ends, in any way.
        if tasks_done.recv_timeout(LAST_LOOK) == Err(RecvTimeoutError::Timeout) {
            self.parts.shared.leave_task_tier();
            self.parts.tasks_gate.close();
            let text = "the last look at the tasks was given up: it took too long".to_owned();
            self.note(self.parts.clock.now_ns(), NoteKind::Gap, text);
        }
        // What is sent first is included in the gaps of the last health event.
        let _ = self.parts.outbox.flush_at_end();
        self.send_health();
        let _ = self.parts.outbox.flush_at_end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_code_does_not_count_as_what_samples_cost() {
        let (mut costs, mut said) = (Costs::default(), Vec::new());
        for number in 0..100 {
            // Twelve samples in a row that read new code, twice.
            said.extend(costs.add(if number % 50 < 12 { 2_000_000 } else { 20_000 }));
        }
        assert_eq!(said, [20_000; 4]);
        let mut costs = Costs::default();
        assert_eq!((0..25).find_map(|_| costs.add(2_000_000)), Some(2_000_000));
    }
}
