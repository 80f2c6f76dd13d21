//! When the loop tier's other work is due (batches, health, discovery of loops, CPU budget), and the input of the
//! governor.

use crate::model::event::NoteKind;

use super::clock::SECOND;
use super::governor::{Rates, Spent};
use super::parts::LoopParts;

/// How often batches are sent and the other maintenance of a watch is done.
const BATCHES_EVERY: u64 = SECOND / 20;
/// How often the governor is given the CPU time spent.
const GOVERN_EVERY: u64 = SECOND / 2;
/// How often a health event is sent.
const HEALTH_EVERY: u64 = SECOND;
/// How often to search for loops: when there are some, and when there are none.
const DISCOVER_EVERY: u64 = SECOND / 2;
const SEEK_EVERY: u64 = SECOND / 20;
/// How often a process without a loop is attached to again.
const REATTACH_EVERY: u64 = SECOND / 4;
/// Expensive work is done less often: at most one part in this many of the time.
const SHARE: u64 = 50;
/// The part of the budget that searching for loops may use.
const DISCOVERY_SHARE: f64 = 0.1;
/// LIMIT: however expensive it is, loops are searched for this often.
const DISCOVER_AT_LATEST: u64 = 30 * SECOND;
/// With more watches than this, maintenance does not become rarer: half a second is long for a stall that lasts.
const MANY: u32 = 10;
/// A loop or program that starts must not be missed, though.
const SEEK_AT_LATEST: u64 = SECOND / 4;
const REATTACH_AT_LATEST: u64 = SECOND;
/// The governor waits until the cost of a task snapshot is known, since the first one costs more than any other, but
/// not longer than this.
const BEGINNING: u64 = 5 * SECOND;

/// When each kind of work is due, on the clock of the watch.
#[derive(Clone, Debug)]
pub(super) struct Maintenance {
    next: u64,
    health_at: u64,
    discover_at: u64,
    /// The earliest time it may be done.
    seek_at: u64,
    reattach_at: u64,
    govern_at: u64,
    begun: u64,
    /// When the governor last judged, the CPU time charged to us by then, without the task tier, and for how long the
    /// target was stopped for samples of loops.
    accounted: Option<(u64, u64, u64)>,
    /// Stops use more of their share than CPU time uses of its budget.
    stops_prevail: bool,
    look_ns: u64,
    /// The rates of the last note about them.
    noted: Option<Rates>,
}

impl Maintenance {
    pub(super) fn new(now: u64) -> Self {
        Self {
            next: now + BATCHES_EVERY,
            health_at: now + HEALTH_EVERY,
            discover_at: now,
            seek_at: now,
            reattach_at: now + REATTACH_EVERY,
            govern_at: now + GOVERN_EVERY,
            begun: now,
            accounted: None,
            stops_prevail: false,
            look_ns: 0,
            noted: None,
        }
    }

    pub(super) fn next_ns(&self) -> u64 {
        self.next
    }

    pub(super) fn are_due(&self, now: u64) -> bool {
        now >= self.next
    }

    /// It was done. Many watches that share the budget do it less often.
    pub(super) fn did(&mut self, now: u64, watches: u32) {
        self.next = now + BATCHES_EVERY * u64::from(watches.clamp(1, MANY));
    }

    /// Whether a health event is due; asking resets it.
    pub(super) fn is_health_due(&mut self, now: u64) -> bool {
        let due = now >= self.health_at;
        if due {
            self.health_at = now + HEALTH_EVERY;
        }
        due
    }

    pub(super) fn is_discovery_due(&self, now: u64) -> bool {
        now >= self.discover_at
    }

    /// The last discovery is out of date.
    pub(super) fn rediscover_soon(&mut self) {
        self.discover_at = self.discover_at.min(self.seek_at);
    }

    /// Records a search for loops, with its CPU time: wall time would include waiting for a CPU. `budget` is the share
    /// of a core that the watch may use.
    pub(super) fn discovered(&mut self, began: u64, cost_ns: u64, budget: f64, has_loops: bool) {
        // CAST: a float that is too large becomes the largest integer.
        let affordable = (cost_ns as f64 / (DISCOVERY_SHARE * budget)) as u64;
        let patience = cost_ns.saturating_mul(SHARE).max(affordable).min(DISCOVER_AT_LATEST);
        self.seek_at = began + patience.clamp(SEEK_EVERY, SEEK_AT_LATEST);
        self.discover_at = if has_loops { began + patience.max(DISCOVER_EVERY) } else { self.seek_at };
    }

    pub(super) fn is_reattaching_due(&self, now: u64) -> bool {
        now >= self.reattach_at
    }

    /// Records a search for Python, with its CPU time.
    pub(super) fn reattached(&mut self, now: u64, cost_ns: u64) {
        self.reattach_at = now + cost_ns.saturating_mul(SHARE).clamp(REATTACH_EVERY, REATTACH_AT_LATEST);
    }

    /// Discards the CPU time spent until now, which the governor should not judge.
    pub(super) fn restart_accounts(&mut self) {
        self.accounted = None;
    }

    /// Lets the governor set the rates of the task tier and of `parts`. `stopped_ns`: for how long the target was stopped
    /// for samples of loops. Returns the note to send, if any.
    pub(super) fn govern(&mut self, parts: &mut LoopParts, stopped_ns: u64, now: u64) -> Option<(NoteKind, String)> {
        let tasks = parts.shared.tasks();
        if tasks.look_ns != self.look_ns {
            self.look_ns = tasks.look_ns;
            parts.governor.bound_tasks(tasks.look_ns);
        }
        if now >= self.govern_at {
            self.govern_at = now + GOVERN_EVERY;
            parts.account.update(&*parts.clock, &parts.shared);
            let cpu = parts.account.rest_ns();
            let budget = parts.cpu_budget * parts.account.part();
            parts.governor.set_budget(budget);
            let is_beginning = tasks.look_ns == 0 && now < self.begun + BEGINNING;
            if let Some((then, cpu_then, stopped_then)) = self.accounted.filter(|_| !is_beginning) {
                let cpu_ns = cpu.saturating_sub(cpu_then);
                let stopped_ns = stopped_ns.saturating_sub(stopped_then);
                let stops_ns = parts.stops.map_or(0, |limits| limits.cost_ns(stopped_ns, budget));
                self.stops_prevail = stops_ns > cpu_ns;
                let spent = Spent { wall_ns: now - then, cpu_ns: cpu_ns.max(stops_ns), look_ns: tasks.look_ns };
                parts.governor.account(spent, tasks.deep_share() + tasks.first_share(now - self.begun));
            }
            self.accounted = Some((now, cpu, stopped_ns));
        }
        parts.shared.set_task_hz(parts.governor.rates().task_hz);
        self.note_of(parts)
    }

    /// A note when rates fall below those requested, when they are restored, and in between whenever one has doubled or
    /// halved, but not for every change.
    fn note_of(&mut self, parts: &LoopParts) -> Option<(NoteKind, String)> {
        let (rates, is_lowered) = (parts.governor.rates(), parts.governor.is_lowered());
        let differs = match self.noted {
            None => is_lowered,
            Some(noted) => {
                !is_lowered || doubled(noted.loop_hz, rates.loop_hz) || doubled(noted.task_hz, rates.task_hz)
            }
        };
        if !differs {
            return None;
        }
        self.noted = is_lowered.then_some(rates);
        let text = if is_lowered {
            let limit = match parts.stops.filter(|_| self.stops_prevail) {
                Some(limits) => format!(
                    "stop the process for at most {} % of the time (--max-stop-share)",
                    short(limits.share * 100.0)
                ),
                None => format!("keep to the {} % CPU budget (--cpu-budget)", short(parts.cpu_budget * 100.0)),
            };
            let (loops, tasks) = (rate(rates.loop_hz), rate(rates.task_hz));
            format!("sampling slowed to {limit}: loops {loops}, tasks {tasks}")
        } else {
            format!(
                "sampling back at the requested rates: loops {}, tasks {}",
                rate(rates.loop_hz),
                rate(rates.task_hz)
            )
        };
        Some((NoteKind::Adjusted, text))
    }
}

fn doubled(one: f64, other: f64) -> bool {
    one.max(other) >= 2.0 * one.min(other)
}

/// `679/s`, or `every 10 s` below one a second.
fn rate(hz: f64) -> String {
    if hz >= 1.0 { format!("{}/s", short(hz)) } else { format!("every {} s", short(1.0 / hz)) }
}

/// Two significant digits, or all before the point.
fn short(number: f64) -> String {
    if number >= 10.0 { format!("{number:.0}") } else { format!("{number:.1}") }
}
