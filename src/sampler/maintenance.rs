//! When the loop tier's other work is due (batches, health, discovery of loops, CPU budget), and what the governor is told.

use crate::model::event::NoteKind;

use super::clock::SECOND;
use super::governor::{Rates, Spent};
use super::parts::LoopParts;

/// How often batches are sent, and the things done that a watch needs besides samples.
const BATCHES_EVERY: u64 = SECOND / 20;
/// How often the governor is told what was spent.
const GOVERN_EVERY: u64 = SECOND / 2;
/// How often a health event is sent.
const HEALTH_EVERY: u64 = SECOND;
/// How often loops are looked for: when there are some, and when there are none.
const DISCOVER_EVERY: u64 = SECOND / 2;
const SEEK_EVERY: u64 = SECOND / 20;
/// How often a process without a loop is attached to again.
const REATTACH_EVERY: u64 = SECOND / 4;
/// Expensive work is done less often: it may take one part in this many of the time.
const SHARE: u64 = 50;
/// But a loop or program that starts must not be missed.
const SEEK_AT_LATEST: u64 = SECOND / 4;
const REATTACH_AT_LATEST: u64 = SECOND;
/// The governor waits until it is known what a task snapshot costs, since the first one costs more than any other, but not
/// longer than this.
const BEGINNING: u64 = 5 * SECOND;

/// When each kind of work is due, on the clock of the watch.
#[derive(Clone, Debug)]
pub(super) struct Maintenance {
    next: u64,
    health_at: u64,
    discover_at: u64,
    /// The earliest that it may be.
    seek_at: u64,
    reattach_at: u64,
    govern_at: u64,
    begun: u64,
    /// When the governor was told last, and the CPU time of everything but the task tier that we were charged with then.
    accounted: Option<(u64, u64)>,
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

    pub(super) fn did(&mut self, now: u64) {
        self.next = now + BATCHES_EVERY;
    }

    /// Whether a health event is due; asked once, it is not due any more.
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

    /// What was found the last time is no longer right.
    pub(super) fn rediscover_soon(&mut self) {
        self.discover_at = self.discover_at.min(self.seek_at);
    }

    /// It was looked for loops, which took so much CPU time: that it waited for a processor meanwhile says nothing.
    pub(super) fn discovered(&mut self, began: u64, cost_ns: u64, has_loops: bool) {
        let patience = cost_ns.saturating_mul(SHARE);
        self.seek_at = began + patience.clamp(SEEK_EVERY, SEEK_AT_LATEST);
        self.discover_at = if has_loops { began + patience.max(DISCOVER_EVERY) } else { self.seek_at };
    }

    pub(super) fn is_reattaching_due(&self, now: u64) -> bool {
        now >= self.reattach_at
    }

    /// Python was looked for, which took so much CPU time.
    pub(super) fn reattached(&mut self, now: u64, cost_ns: u64) {
        self.reattach_at = now + cost_ns.saturating_mul(SHARE).clamp(REATTACH_EVERY, REATTACH_AT_LATEST);
    }

    /// What was spent until now is nothing the governor should judge.
    pub(super) fn restart_accounts(&mut self) {
        self.accounted = None;
    }

    /// Lets the governor set the rates of the task tier and of `parts`. Answers what there is to say about it.
    pub(super) fn govern(&mut self, parts: &mut LoopParts, now: u64) -> Option<(NoteKind, String)> {
        let tasks = parts.shared.tasks();
        if tasks.look_ns != self.look_ns {
            self.look_ns = tasks.look_ns;
            parts.governor.bound_tasks(tasks.look_ns);
        }
        if now >= self.govern_at {
            self.govern_at = now + GOVERN_EVERY;
            parts.account.update(&*parts.clock, &parts.shared);
            let cpu = parts.account.rest_ns();
            parts.governor.set_budget(parts.cpu_budget * parts.account.part());
            let is_beginning = tasks.look_ns == 0 && now < self.begun + BEGINNING;
            if let Some((then, cpu_then)) = self.accounted.filter(|_| !is_beginning) {
                let spent = Spent { wall_ns: now - then, cpu_ns: cpu.saturating_sub(cpu_then), look_ns: tasks.look_ns };
                parts.governor.account(spent, tasks.deep_share());
            }
            self.accounted = Some((now, cpu));
        }
        parts.shared.set_task_hz(parts.governor.rates().task_hz);
        self.note_of(parts)
    }

    /// A note when rates fall below those asked for, when they are restored, and in between when one has doubled or halved:
    /// not for every step.
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
            format!(
                "sampling slowed to keep to the {} % CPU budget (--cpu-budget): loops {}, tasks {}",
                short(parts.cpu_budget * 100.0),
                rate(rates.loop_hz),
                rate(rates.task_hz)
            )
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
