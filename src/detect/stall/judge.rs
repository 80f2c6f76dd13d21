//! Why an iteration took so much time: from the totals of its samples to a cause, a site and advice.

use super::advice;
use super::iteration::Open;
use super::record::{Cause, Evidence, Stall};
use super::site::{self, Site, Whose};
use super::tally::{Held, Share, State, Tally};
use crate::detect::blocking_kind::{BlockingKind, IN_GREENLET, is_in_greenlet};
use crate::detect::origin;
use crate::model::snapshot::Frame;
use crate::model::tables::{LoopInfo, Tables};

/// Nanoseconds of an iteration by activity.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    stopped: u64,
    collecting: u64,
    waiting_for_gil: u64,
    in_call: u64,
    moved: u64,
    still: u64,
    unclear: u64,
    /// Taken from `waiting_for_gil`: its holder did not get a CPU.
    held_up: u64,
}

impl Sums {
    fn of(tally: &Tally) -> Self {
        let mut sums = Self::default();
        for Share { state, ns, .. } in tally.shares() {
            let sum = match state {
                State::Stopped => &mut sums.stopped,
                State::Collecting => &mut sums.collecting,
                State::WaitingForGil => &mut sums.waiting_for_gil,
                // A thread that sleeps while holding the GIL is in native code that should have released it.
                State::InCall { has_gil: true, .. } => &mut sums.still,
                State::InCall { .. } | State::Fault => &mut sums.in_call,
                State::Running { moved: true, .. } => &mut sums.moved,
                State::Running { moved: false, .. } => &mut sums.still,
                State::Unclear => &mut sums.unclear,
            };
            *sum = sum.saturating_add(ns);
        }
        sums
    }

    fn total(&self) -> u64 {
        let waiting = self.waiting_for_gil.saturating_add(self.held_up);
        let sums = [self.stopped, self.collecting, waiting, self.in_call, self.moved, self.still, self.unclear];
        sums.into_iter().fold(0, u64::saturating_add)
    }

    /// The cause that accounts for most of the time. A thread that is runnable but not scheduled looks as if it were
    /// running, at a single instruction.
    ///
    /// `counts`: what the thread ran itself is a stall in its own right, however long it was kept from running besides.
    fn cause(mut self, starved: u64, counts: bool) -> Cause {
        let total = self.total();
        // If only a small part is understood, that part says little about the rest.
        if total == 0 || total - self.unclear < total / 4 {
            return Cause::Unknown;
        }
        let before = (self.moved, self.still);
        let mut looked_as_if_it_ran = if counts { 0 } else { starved };
        for ran in [&mut self.still, &mut self.moved, &mut self.collecting] {
            let part = looked_as_if_it_ran.min(*ran);
            *ran -= part;
            looked_as_if_it_ran -= part;
        }
        let (moved, still) = if self.moved == self.still { before } else { (self.moved, self.still) };
        // A short loop of Python code is found at the same instruction every third time.
        let running = if still / 2 > moved { Cause::Native } else { Cause::Cpu };
        let starved = if counts { 0 } else { starved };
        let causes = [
            (running, self.moved.saturating_add(self.still)),
            (Cause::BlockingCall, self.in_call),
            (Cause::GilWait, self.waiting_for_gil),
            (Cause::Gc, self.collecting),
            (Cause::CpuStarved, starved.saturating_add(self.held_up)),
            (Cause::Suspended, self.stopped),
        ];
        // The last of equal elements. What took no time caused nothing.
        let most = causes.into_iter().max_by_key(|(_, ns)| *ns).filter(|(_, ns)| *ns > 0);
        most.map_or(Cause::Unknown, |(cause, _)| cause)
    }
}

/// Judges an iteration. `end_ns`: the latest possible end; `None` if it has not ended.
pub(super) fn stall(
    open: &Open,
    event_loop: &LoopInfo,
    end_ns: Option<u64>,
    threshold_ns: u64,
    tables: &Tables,
) -> Stall {
    let evidence = Evidence {
        run_ns: open.clocks.run_ns(),
        starved_ns: open.clocks.starved_ns(),
        throttled_ns: open.clocks.throttled_ns(),
        ..open.evidence
    };
    let cause = cause_of(open, threshold_ns);
    let one_callback = !matches!(cause, Cause::ManyCallbacks);
    let tally = if one_callback { &open.heaviest().tally } else { &open.all };
    let site = find_site(cause, tally, tables).or_else(|| find_site(cause, &open.all, tables));
    let holder = (cause == Cause::GilWait).then(|| find_holder(&open.all, tables)).flatten();
    let interrupts_selector = site.as_ref().is_some_and(|site| tally.interrupts_selector(&site.share.place, tables));
    let diagnosis = Diagnosis {
        interrupts_selector,
        open,
        cause,
        evidence: &evidence,
        site: site.as_ref(),
        holder: holder.as_ref(),
    };
    let frames = site.as_ref().map(|site| site.frames.as_slice()).unwrap_or_default();
    Stall {
        event_loop: event_loop.clone(),
        start_ns: open.start.ns(),
        at_least_ns: open.at_least_ns(),
        at_most_ns: end_ns.and_then(|end| open.at_most_ns(end)),
        ongoing: end_ns.is_none(),
        task: open.heaviest().task().cloned().filter(|_| one_callback),
        cause,
        detail: diagnosis.detail(),
        stack: frames.iter().map(|&frame| frame.clone()).collect(),
        interrupts_selector,
        coroutines: site.as_ref().map_or(0, Site::coroutines),
        torn: site.as_ref().is_some_and(|site| site.share.place.torn),
        site: diagnosis.frame_to_change().cloned(),
        ready_waiting: open.ready,
        evidence,
        advice: diagnosis.advice(),
        callbacks: open.callbacks,
    }
}

fn cause_of(open: &Open, threshold_ns: u64) -> Cause {
    let mut sums = Sums::of(&open.all);
    sums.held_up = held_up_ns(open, sums.waiting_for_gil, threshold_ns);
    sums.waiting_for_gil -= sums.held_up;
    let starved = starved_ns(open, sums.total());
    // The machine may have made it longer, but it did not make it.
    let counts = open.clocks.run_ns().is_some_and(|ran| ran >= threshold_ns);
    let cause = sums.cause(starved.unwrap_or(0), counts);
    // One sample at the end of a time in which more were due: a wait for the GIL, or a collection, may have begun just then.
    if open.evidence.samples == 1 && !open.is_first && matches!(cause, Cause::GilWait | Cause::Gc) {
        return Cause::Unknown;
    }
    if !matches!(cause, Cause::BlockingCall | Cause::Cpu | Cause::Native | Cause::Unknown) {
        return cause;
    }
    let heaviest = &open.heaviest().tally;
    // A callback that is a stall by itself is to blame, regardless of how many others ran.
    if heaviest.ns <= open.all.ns / 2 && heaviest.ns < threshold_ns {
        return Cause::ManyCallbacks;
    }
    // It is not known in which callback the thread was starved: each gets a proportional part.
    let part = heaviest.ns as f64 / open.all.ns.max(1) as f64;
    let cause = Sums::of(heaviest).cause((starved.unwrap_or(0) as f64 * part) as u64, counts);
    let ran = matches!(cause, Cause::Cpu | Cause::Native);
    // A few samples show it runnable, its clocks show that it hardly ran, and nothing says why.
    if ran && starved.is_none() && ran_at_most_ns(open).is_some_and(|ns| ns < open.all.ns / 4) {
        return Cause::Unknown;
    }
    cause
}

/// Whether the samples of an iteration are too few, or too close together, to represent all of it.
fn is_thin(open: &Open) -> bool {
    open.clocks.window_ns() < open.all.ns / 4
}

/// Nanoseconds of the iteration without a CPU; `None` if that cannot be known.
fn starved_ns(open: &Open, total: u64) -> Option<u64> {
    if is_thin(open) {
        let (ran, starved) = open.clocks.since(&open.clocks_before);
        let starved = starved?.min(total - ran?.min(total));
        return (starved >= total / 2).then_some(starved);
    }
    let window = open.clocks.window_ns();
    let starved = match (open.clocks.starved_ns(), open.clocks.throttled_ns(), open.clocks.run_ns()) {
        (Some(starved), ..) => starved,
        (None, Some(throttled), Some(ran)) => throttled.min(window.saturating_sub(ran)),
        _ => return None,
    };
    // The kernel was queried for part of the time: that part represents the whole.
    let in_total = |part: u64| (part as f64 * total as f64 / window as f64) as u64;
    // The kernel adds a wait for a CPU once it is over. A wait in progress shows as time in which the thread was
    // runnable and hardly ran.
    let is_ready = |share: &Share| matches!(share.state, State::Running { .. });
    let ready = open.all.shares().filter(is_ready).fold(0, |sum: u64, share| sum.saturating_add(share.ns));
    let hardly = open.clocks.run_ns().map(in_total).filter(|ran| *ran < ready / 4);
    Some(in_total(starved).max(hardly.map_or(0, |ran| ready - ran)))
}

/// Nanoseconds of a wait for the GIL for which the thread that held it was runnable without a CPU. One that ran for longer
/// than the threshold kept it too long all the same.
fn held_up_ns(open: &Open, waiting_ns: u64, threshold_ns: u64) -> u64 {
    let Some(Held { looked_ns, ran_ns }) = open.clocks.held() else { return 0 };
    // The kernel was queried for part of the time: that part represents the whole.
    let ran_ns = (ran_ns as f64 / looked_ns as f64 * waiting_ns as f64) as u64;
    if ran_ns < threshold_ns && ran_ns <= waiting_ns / 2 { waiting_ns.saturating_sub(ran_ns) } else { 0 }
}

/// Nanoseconds on a CPU since the last reading before the iteration, which may have been long before it.
fn ran_at_most_ns(open: &Open) -> Option<u64> {
    open.clocks.since(&open.clocks_before).0
}

fn find_site<'f>(cause: Cause, tally: &'f Tally, tables: &'f Tables) -> Option<Site<'f>> {
    let speaks_for_it = |share: &Share| match cause {
        Cause::BlockingCall => matches!(share.state, State::InCall { has_gil: false, .. } | State::Fault),
        Cause::Cpu => matches!(share.state, State::Running { .. }),
        Cause::Native => {
            matches!(share.state, State::Running { moved: false, .. } | State::InCall { has_gil: true, .. })
        }
        Cause::Gc => matches!(share.state, State::Collecting),
        Cause::GilWait => share.state == State::WaitingForGil,
        Cause::CpuStarved | Cause::Suspended | Cause::ManyCallbacks | Cause::Unknown => true,
    };
    site::heaviest(tally, tables, Whose::Own, tally.shares().filter(speaks_for_it))
}

fn find_holder<'f>(tally: &'f Tally, tables: &'f Tables) -> Option<Site<'f>> {
    let waits = tally.shares().filter(|share| share.state == State::WaitingForGil);
    site::heaviest(tally, tables, Whose::Holder, waits)
}

/// A cause and its details, to be put into words.
struct Diagnosis<'v> {
    interrupts_selector: bool,
    open: &'v Open,
    cause: Cause,
    evidence: &'v Evidence,
    site: Option<&'v Site<'v>>,
    holder: Option<&'v Site<'v>>,
}

impl Diagnosis<'_> {
    fn frame_to_change(&self) -> Option<&Frame> {
        let own = self.site.and_then(|site| site.frame);
        self.holder.and_then(|holder| holder.frame).or(own)
    }

    fn synchronous(&self) -> &[&Frame] {
        self.site.map(Site::synchronous).unwrap_or_default()
    }

    /// The system call of the site's heaviest stack; `None` for a page fault.
    fn call(&self) -> Option<(String, Option<i32>)> {
        let State::InCall { number, fd, .. } = self.site?.share.state else { return None };
        let name = self.open.call_names.get(number).map_or_else(|| format!("system call {number}"), str::to_owned);
        Some((name, fd))
    }

    fn detail(&self) -> Option<String> {
        let detail = self.detail_of_cause();
        let remark = self.starvation();
        match (detail, remark) {
            (Some(detail), Some(remark)) => Some(format!("{detail}; {remark}")),
            (detail, remark) => detail.or(remark),
        }
    }

    /// What the machine added to a stall that is the program's own.
    fn starvation(&self) -> Option<String> {
        if !matches!(self.cause, Cause::Cpu | Cause::Native | Cause::Gc | Cause::ManyCallbacks | Cause::BlockingCall) {
            return None;
        }
        let (starved, ran, window) = (self.evidence.starved_ns?, self.evidence.run_ns?, self.open.clocks.window_ns());
        (starved >= window / 4 && starved > 0).then(|| {
            format!("on CPU for {}, runnable but not scheduled for {} of {}", in_ms(ran), in_ms(starved), in_ms(window))
        })
    }

    fn detail_of_cause(&self) -> Option<String> {
        let total = self.open.all.ns;
        match self.cause {
            Cause::BlockingCall => Some(match self.call() {
                None => "page fault: waiting for memory to be read in".to_owned(),
                Some((call, fd)) => {
                    let on = fd.map(|fd| format!(" on fd {fd}")).unwrap_or_default();
                    format!("{}: {call}{on}", BlockingKind::from_call(&call, self.synchronous()).noun())
                }
            }),
            Cause::Cpu | Cause::Gc => None,
            Cause::Native => match self.site?.share.state {
                State::Running { has_gil: Some(true), .. } => Some("holding the GIL".to_owned()),
                State::InCall { has_gil: true, .. } => {
                    Some(format!("holding the GIL while sleeping in {}", self.call()?.0))
                }
                State::Running { has_gil: Some(false), .. } => Some("without the GIL".to_owned()),
                _ => None,
            },
            Cause::GilWait => {
                let holder = self.holder?;
                let who = holder.share.place.holder;
                let who = who.map_or_else(|| "another thread".to_owned(), |thread| format!("thread {thread}"));
                let place = holder.frame.map(|frame| format!(", in {}", origin::describe(frame))).unwrap_or_default();
                Some(format!("{who} holds the GIL{place}"))
            }
            Cause::ManyCallbacks => {
                let often = self.site.and_then(|site| site.frame).map(origin::describe);
                let often = often.map(|frame| format!("mostly {frame}"));
                let count = self.open.callbacks.map(|count| format!("{count} seen running"));
                let parts: Vec<String> = count.into_iter().chain(often).collect();
                (!parts.is_empty()).then(|| parts.join(", "))
            }
            Cause::CpuStarved => {
                let held = self.open.clocks.held().filter(|held| held.looked_ns >= total / 2);
                if let Some(Held { looked_ns, ran_ns }) = held {
                    return Some(format!(
                        "waited for the GIL, whose holder was runnable but not scheduled for {} of {}",
                        in_ms(looked_ns.saturating_sub(ran_ns)),
                        in_ms(looked_ns)
                    ));
                }
                // With few readings in it, it is judged by the last one before it.
                if is_thin(self.open) {
                    let starved = self.open.clocks.since(&self.open.clocks_before).1?.min(total);
                    return Some(format!("runnable but not scheduled for {} of {}", in_ms(starved), in_ms(total)));
                }
                let (starved, window) = (self.evidence.starved_ns?, self.open.clocks.window_ns());
                let by = if self.is_throttled() { ", throttled by the CPU quota of its cgroup" } else { "" };
                Some(match self.evidence.run_ns {
                    // The kernel has not yet counted the wait in progress.
                    Some(ran) if starved < window / 2 => {
                        format!("on CPU for {} of {}{by}", in_ms(ran), in_ms(window))
                    }
                    _ => format!("runnable but not scheduled for {} of {}{by}", in_ms(starved), in_ms(window)),
                })
            }
            Cause::Suspended => Some("stopped by job control or a debugger, or the machine was suspended".to_owned()),
            Cause::Unknown => Some(match self.evidence.samples {
                1 => format!("only one sample in {}", in_ms(total)),
                samples if self.evidence.unclear > 0 => {
                    format!("{} of {samples} samples do not show what the thread was doing", self.evidence.unclear)
                }
                samples => format!("{samples} samples in {}, and it used little CPU", in_ms(total)),
            }),
        }
    }

    fn is_in_greenlet(&self) -> bool {
        self.site.is_some_and(|site| is_in_greenlet(&site.frames) || site.share.place.is_of_greenlet())
    }

    fn is_throttled(&self) -> bool {
        self.evidence.throttled_ns.is_some_and(|ns| ns > 0 && ns >= self.evidence.starved_ns.unwrap_or(0) / 2)
    }

    fn advice(&self) -> String {
        let call = self.call();
        match (self.cause, &call) {
            (Cause::BlockingCall | Cause::Cpu | Cause::Native, _) if self.is_in_greenlet() => IN_GREENLET,
            (Cause::BlockingCall | Cause::Cpu | Cause::Native, _) if self.interrupts_selector => advice::IN_HANDLER,
            (Cause::BlockingCall, Some((call, _))) => {
                BlockingKind::from_call(call, self.synchronous()).advice(self.synchronous())
            }
            (Cause::BlockingCall, None) => advice::PAGE_FAULT,
            (Cause::Cpu, _) => advice::for_cpu(self.synchronous()),
            (Cause::Native, _) => {
                let has_gil = self.site.and_then(|site| match site.share.state {
                    State::Running { has_gil, .. } => has_gil,
                    _ => None,
                });
                advice::for_native(has_gil, self.synchronous())
            }
            (Cause::GilWait, _) => advice::GIL_WAIT,
            (Cause::Gc, _) => advice::GC,
            (Cause::ManyCallbacks, _) => advice::MANY_CALLBACKS,
            (Cause::CpuStarved, _) if self.is_throttled() => advice::THROTTLED,
            (Cause::CpuStarved, _) => advice::STARVED,
            (Cause::Suspended, _) => advice::SUSPENDED,
            (Cause::Unknown, _) => advice::UNKNOWN,
        }
        .to_owned()
    }
}

fn in_ms(ns: u64) -> String {
    format!("{} ms", ns / 1_000_000)
}
