//! Follows each loop from sample to sample: when an iteration begins, when it ends, whether it is a stall, and when to
//! report it.

use super::iteration::{CallbackKey, Open, Start};
use super::judge;
use super::record::{Alert, Iteration, Stall};
use super::tally::{Clocks, State};
use crate::model::event::{Gil, LoopSample, Note, NoteKind, Phase};
use crate::model::tables::{LoopInfo, LoopNo, Tables};

/// LIMIT: loops followed at once. A program that creates a loop per call leaves dead ones behind; the least recently
/// seen is forgotten.
const LOOPS: usize = 1_024;

/// For loops that do not report when they became busy: samples further apart than this many periods are not taken as
/// one continuous busy period.
const PERIODS: u64 = 3;

/// A thread that waits for the GIL wakes up every 5 ms to ask for it, which took 0.4 % to 0.8 % of a CPU when measured
/// (3.8, 3.11, 3.14; a busy machine). The lightest possible loop, which gets the GIL every 5 ms and returns to its
/// selector, took 1.2 %, one with twenty timers 2 % to 3 %.
const WAITING_RUN_SHARE: u64 = 100;

/// Additional run time, before it waits and at some of the wake-ups on a busy machine.
const WAITING_RUN_NS: u64 = 250_000;

/// Too short a time to judge a share by.
const SHORTEST_WINDOW_NS: u64 = 10_000_000;

/// Regardless of how little it ran.
const LONGEST_UNSEEN_WAIT_NS: u64 = 20_000_000;

/// For how long a sampler without a processor may not have seen a callback that has a number.
const LONGEST_UNSEEN_CALLBACK_NS: u64 = 20_000_000;

/// Finds the stalls of all loops of a process from their samples. One for each watch.
///
/// Alerts for one stall: [`Alert::Began`] at the first sample that shows it reaching the threshold,
/// [`Alert::Continues`] at the first that shows twice the threshold, four times, eight times, and so on,
/// [`Alert::Ended`] when it is over; so a stall of any length has few alerts, and each comes while it is still useful.
#[derive(Debug)]
pub struct StallDetector {
    threshold_ns: u64,
    period_ns: Option<u64>,
    loops: Vec<FollowedLoop>,
    /// Notes reported that the process is stopped.
    stopped: bool,
    ended: Vec<(LoopInfo, Iteration)>,
    longest_unknown_ns: u64,
}

#[derive(Debug)]
struct FollowedLoop {
    info: LoopInfo,
    last_ns: Option<u64>,
    /// Since then, no sample has shown what the loop does.
    unknown_since_ns: Option<u64>,
    open: Option<Open>,
    /// The last readings of its thread's clocks.
    clocks: Clocks,
    /// The process was stopped, or the machine suspended, since the last sample.
    suspended: bool,
}

/// How a sample relates to what is known of its loop.
enum Next {
    /// The loop is in its selector, or does not run.
    Idle,
    /// The same iteration, which may now be known more exactly.
    Same(Start),
    /// A different iteration.
    Other(Start),
    /// It carries no information.
    Nothing,
}

impl StallDetector {
    /// `threshold_ns`: the length from which an iteration is a stall.
    pub fn new(threshold_ns: u64) -> Self {
        // At zero, every iteration would be reported forever.
        let threshold_ns = threshold_ns.max(1);
        Self {
            threshold_ns,
            period_ns: None,
            loops: Vec::new(),
            stopped: false,
            ended: Vec::new(),
            longest_unknown_ns: 0,
        }
    }

    /// Sets how often samples of a loop are taken. Needed for loops that do not report when they became busy; without
    /// it, any time between two samples is taken as one continuous busy period.
    pub fn set_rate(&mut self, loop_rate_hz: f64) {
        let period_ns = 1e9 / loop_rate_hz;
        self.period_ns = (period_ns.is_finite() && period_ns >= 1.0).then_some(period_ns as u64);
    }

    /// Processes the next sample of a loop, and returns what is to be reported at once: that a stall ended, began or
    /// continues. Samples of one loop come in order of time; one that does not, or that is of a loop unknown to
    /// `tables`, is skipped.
    pub fn sample(&mut self, sample: &LoopSample, tables: &Tables) -> Vec<Alert> {
        let mut alerts = Vec::new();
        let stopped = self.stopped;
        let Some(index) = self.find_loop(sample.event_loop, tables) else { return alerts };
        let followed = &mut self.loops[index];
        if followed.last_ns.is_some_and(|last| sample.at_ns < last) {
            return alerts;
        }
        let suspended = std::mem::take(&mut followed.suspended) || stopped;
        let next = next(followed, sample, self.period_ns, tables);
        match (&mut followed.open, next) {
            (_, Next::Nothing) => {
                followed.suspended = suspended;
                let since_ns = *followed.unknown_since_ns.get_or_insert(followed.last_ns.unwrap_or(sample.at_ns));
                self.longest_unknown_ns = self.longest_unknown_ns.max(sample.at_ns.saturating_sub(since_ns));
                return alerts;
            }
            (Some(open), Next::Same(start)) => {
                open.start = start;
                let state = State::of(sample, stopped, Some(open.before));
                open.continue_with(sample, state, suspended, tables);
            }
            (_, Next::Idle) => {
                alerts.extend(close(followed, sample.read_by_ns(), self.threshold_ns, tables, &mut self.ended))
            }
            (_, Next::Same(start) | Next::Other(start)) => {
                // It started no earlier than the latest possible end of the previous one.
                let end_ns = start.latest_ns.min(sample.read_by_ns());
                alerts.extend(close(followed, end_ns, self.threshold_ns, tables, &mut self.ended));
                let state = State::of(sample, stopped, None);
                let mut open = Open::new(start, sample, state, suspended, tables);
                open.clocks_before = followed.clocks.clone();
                open.is_first = followed.last_ns.is_none();
                followed.open = Some(open);
            }
        }
        if let Some(since_ns) = followed.unknown_since_ns.take() {
            self.longest_unknown_ns = self.longest_unknown_ns.max(sample.at_ns.saturating_sub(since_ns));
        }
        followed.last_ns = Some(sample.at_ns);
        alerts.extend(alert(followed, self.threshold_ns, tables));
        alerts
    }

    /// Something happened to the target. Returns the stalls it ended.
    pub fn note(&mut self, note: &Note, tables: &Tables) -> Vec<Alert> {
        match note.kind {
            NoteKind::Stopped => self.stopped = true,
            NoteKind::Continued => self.stopped = false,
            NoteKind::Suspended => {}
            NoteKind::Exited | NoteKind::Executed => return self.end_all(note.at_ns, tables),
            NoteKind::Ended | NoteKind::Gap | NoteKind::Adjusted => return Vec::new(),
        }
        // The samples around it do not describe the time between them.
        for followed in &mut self.loops {
            followed.suspended = true;
        }
        Vec::new()
    }

    /// None of the previous loops exist any more.
    fn end_all(&mut self, at_ns: u64, tables: &Tables) -> Vec<Alert> {
        let (threshold_ns, ended) = (self.threshold_ns, &mut self.ended);
        let loops = std::mem::take(&mut self.loops);
        loops.into_iter().filter_map(|mut followed| close(&mut followed, at_ns, threshold_ns, tables, ended)).collect()
    }

    /// The numbers of `tables` become meaningless after this. Iterations in progress continue.
    pub fn on_tables_reset(&mut self, tables: &Tables) {
        for open in self.loops.iter_mut().filter_map(|followed| followed.open.as_mut()) {
            open.keep(tables);
        }
    }

    /// The iterations that ended since the last call, each with its loop, including stalls.
    pub fn take_iterations(&mut self) -> impl Iterator<Item = (LoopInfo, Iteration)> + '_ {
        self.ended.drain(..)
    }

    /// The longest time in which samples of a loop did not show what it did: a stall within it can have been missed.
    pub fn longest_unknown_ns(&self) -> u64 {
        self.longest_unknown_ns
    }

    /// No more samples will come: returns the stalls whose end was not seen.
    pub fn finish(&mut self, tables: &Tables) -> Vec<Stall> {
        let threshold_ns = self.threshold_ns;
        (self.loops.drain(..))
            .filter_map(|followed| {
                let open = followed.open.filter(|open| open.at_least_ns() >= threshold_ns)?;
                Some(judge::stall(&open, &followed.info, None, threshold_ns, tables))
            })
            .collect()
    }

    fn find_loop(&mut self, number: LoopNo, tables: &Tables) -> Option<usize> {
        let info = tables.event_loop(number)?;
        if let Some(index) = self.loops.iter().position(|followed| followed.info == *info) {
            return Some(index);
        }
        if self.loops.len() >= LOOPS {
            let oldest = (0..self.loops.len()).min_by_key(|&index| self.loops[index].last_ns)?;
            self.loops.swap_remove(oldest);
        }
        let info = info.clone();
        self.loops.push(FollowedLoop {
            info,
            last_ns: None,
            unknown_since_ns: None,
            open: None,
            clocks: Clocks::default(),
            suspended: false,
        });
        Some(self.loops.len() - 1)
    }
}

fn next(followed: &FollowedLoop, sample: &LoopSample, period_ns: Option<u64>, tables: &Tables) -> Next {
    let seen = Start::seen(followed.last_ns, sample.read_by_ns());
    let waits_for_gil = matches!(sample.gil, Gil::Other(_));
    match (sample.phase, sample.away_since_ns) {
        (Phase::Unknown, _) => Next::Nothing,
        (Phase::Selecting | Phase::NotRunning | Phase::Parked, _) => Next::Idle,
        (Phase::LeavingSelector, _) => match &followed.open {
            Some(open)
                // The number counts GIL switches: no other thread than the current holder had it in between. A thread
                // that has the GIL passes its selector again and again, and always looks the same.
                if open.only_leaving
                    && !sample.moved
                    && open.current.number() == sample.callback
                    && (sample.callback.is_some() || (waits_for_gil && is_same_wait(open, sample, period_ns))) =>
            {
                Next::Same(open.start)
            }
            _ => Next::Other(seen),
        },
        (Phase::Away, Some(since)) => {
            let exact = Start::exact(since, sample.away_precision_ns);
            // Whatever the loop reports: it was not busy since before a sample that shows it elsewhere.
            let is_believed = |elsewhere_ns: Option<u64>| elsewhere_ns.is_none_or(|at| at <= exact.latest_ns);
            match &followed.open {
                Some(open) if open.start.since_ns == Some(since) => Next::Same(open.start),
                // All samples so far were of this iteration.
                Some(open)
                    if open.start.since_ns.is_none()
                        && exact.latest_ns <= open.first_ns
                        && is_believed(open.start.earliest_ns) =>
                {
                    Next::Same(exact)
                }
                // The events had arrived before: the time it took to leave the selector is part of it.
                Some(open) if open.only_leaving && open.waited_for_gil() && is_same_wait(open, sample, period_ns) => {
                    Next::Same(Start { since_ns: Some(since), ..open.start })
                }
                _ if is_believed(followed.last_ns) => Next::Other(exact),
                _ => Next::Other(Start { since_ns: Some(since), ..seen }),
            }
        }
        // A loop that normally reports its start: only the callback number shows that it is still the same iteration.
        (Phase::Away, None) if followed.open.as_ref().is_some_and(|open| open.start.since_ns.is_some()) => {
            match &followed.open {
                Some(open) if sample.callback.is_some() && sample.callback == open.current.number() => {
                    Next::Same(open.start)
                }
                // A callback that no time belongs to: it interrupted the selector of a later iteration.
                _ if sample.callback.is_some() => Next::Other(seen),
                _ => Next::Nothing,
            }
        }
        (Phase::Away, None) => match &followed.open {
            Some(open) if !open.only_leaving && follows(open, sample, period_ns, tables) => Next::Same(open.start),
            _ => Next::Other(seen),
        },
    }
}

/// A sample of the same callback, close enough to the last one that nothing happened in between, or of a thread that has
/// slept in the same call since. The number of a callback is seldom that of another; a task runs again and again.
fn follows(open: &Open, sample: &LoopSample, period_ns: Option<u64>, tables: &Tables) -> bool {
    let key = CallbackKey::of(sample, tables);
    let same = key == open.current.key && key.is_known() && open.taken_from_queue(sample) == 0;
    let is_late = sample.at_ns.saturating_sub(open.last_ns) <= LONGEST_UNSEEN_CALLBACK_NS && key.is_numbered();
    same && (is_near(open, sample, period_ns) || is_late || (!sample.moved && is_same_wait(open, sample, period_ns)))
}

/// Whether the thread has waited for the GIL from the last sample to this one. A thread that gets it, and waits for it
/// again before the next sample, looks the same, but has run in between.
fn is_same_wait(open: &Open, sample: &LoopSample, period_ns: Option<u64>) -> bool {
    let between = sample.at_ns.saturating_sub(open.last_ns);
    let mut clocks = open.clocks.clone();
    clocks.look(sample, State::Unclear);
    match clocks.run_ns().filter(|_| clocks.window_ns() >= SHORTEST_WINDOW_NS) {
        Some(ran) => {
            let most = clocks.window_ns() / WAITING_RUN_SHARE + WAITING_RUN_NS;
            between <= LONGEST_UNSEEN_WAIT_NS.max(period_ns.unwrap_or(0)) && ran <= most
        }
        None => is_near(open, sample, period_ns),
    }
}

fn is_near(open: &Open, sample: &LoopSample, period_ns: Option<u64>) -> bool {
    let between = sample.at_ns.saturating_sub(open.last_ns);
    period_ns.is_none_or(|period| between <= period.saturating_mul(PERIODS))
}

/// The iteration in progress is over. Reports it if it was a stall.
fn close(
    followed: &mut FollowedLoop,
    end_ns: u64,
    threshold_ns: u64,
    tables: &Tables,
    ended: &mut Vec<(LoopInfo, Iteration)>,
) -> Option<Alert> {
    let open = followed.open.take()?;
    if !open.clocks.is_empty() {
        followed.clocks = open.clocks.afterwards();
    }
    let iteration = Iteration {
        start_ns: open.start.ns(),
        at_least_ns: open.at_least_ns(),
        at_most_ns: open.at_most_ns(end_ns),
        exact_start: open.start.is_exact,
    };
    ended.push((followed.info.clone(), iteration));
    (open.at_least_ns() >= threshold_ns)
        .then(|| Alert::Ended(judge::stall(&open, &followed.info, Some(end_ns), threshold_ns, tables)))
}

fn alert(followed: &mut FollowedLoop, threshold_ns: u64, tables: &Tables) -> Option<Alert> {
    let open = followed.open.as_mut()?;
    let at_least_ns = open.at_least_ns();
    if at_least_ns < open.next_alert_ns.max(threshold_ns) {
        return None;
    }
    let first = open.next_alert_ns == 0;
    open.next_alert_ns = next_alert_ns(at_least_ns, threshold_ns);
    let stall = judge::stall(open, &followed.info, None, threshold_ns, tables);
    Some(if first { Alert::Began(stall) } else { Alert::Continues(stall) })
}

/// The next step still ahead of twice the threshold, four times, and so on.
fn next_alert_ns(at_least_ns: u64, threshold_ns: u64) -> u64 {
    let doublings = (at_least_ns / threshold_ns).ilog2() + 1;
    1u64.checked_shl(doublings).and_then(|times| threshold_ns.checked_mul(times)).unwrap_or(u64::MAX)
}
