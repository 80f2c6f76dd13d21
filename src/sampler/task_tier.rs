//! The task tier: reads all tasks at its deadlines, and regularly takes a full snapshot to be judged.

use rustc_hash::FxHashMap;

use crate::capture::session::{AttachError, FailureKind};
use crate::model::Snapshot;
use crate::model::event::{Event, KeptFinding, Note, NoteKind, TaskChanges};
use crate::model::snapshot::{Frame, Task};
use crate::model::tables::{Tables, TaskInfo, TaskNo};
use crate::remote::ReadError;

use super::clock::SECOND;
use super::credit::{Credit, Work};
use super::health::TaskTotals;
use super::options::Judged;
use super::outbox::ReceiverDropped;
use super::parts::TaskParts;
use super::readers::{Effort, LookError, TaskReader};
use super::schedule::Schedule;
use super::shared::End;

/// How often a sleeping tier checks whether the watch is over or its rate has changed.
const HEED_EVERY: u64 = SECOND / 20;
/// After this many failures in a row the reader is replaced.
const FAILURES: u32 = 5;
/// Pause before another reader is tried.
const OPEN_EVERY: u64 = SECOND / 10;
/// The part of the CPU budget that full snapshots may use.
const DEEP_SHARE: f64 = 0.2;
/// The part of the CPU budget that this tier may use over time: the governor divides it, this only bounds it.
const CREDIT_SHARE: f64 = 0.8;
/// For this long a program without tasks may be just starting.
const STARTING: u64 = SECOND;
/// At the end a full snapshot is taken, unless the last one is more recent than this.
const FRESH: u64 = SECOND;

/// The task tier of one watch.
pub(super) struct TaskTier {
    pub(super) parts: TaskParts,
    reader: Option<Box<dyn TaskReader>>,
    /// The generation of the target when the reader was made.
    generation: u64,
    open_at: u64,
    failures: u32,
    /// There has been a reader.
    opened: bool,
    /// The reader's next sample reports every task.
    is_cold: bool,
    /// Number of tasks in the last sample.
    tasks: u32,
    rate_hz: f64,
    schedule: Schedule,
    pub(super) totals: TaskTotals,
    credit: Credit,
    /// It was reported that this work has to wait for CPU time.
    reported_wait: [bool; 2],
    /// When the last full snapshot was taken, and when the next one is due.
    /// When a full snapshot could first have been taken.
    begun_ns: Option<u64>,
    deep_at: Option<u64>,
    next_deep: u64,
    /// When the latest findings were made, and whether it was reported that there are no newer ones.
    judged_at: Option<u64>,
    reported_failure: bool,
    /// It was reported that some tasks are not watched.
    reported_full: bool,
}

impl TaskTier {
    /// Starts with a target that was attached to.
    pub(super) fn new(parts: TaskParts) -> Self {
        let (now, rate_hz) = (parts.clock.now_ns(), parts.shared.task_hz());
        Self {
            reader: None,
            generation: parts.target.generation(),
            open_at: now,
            failures: 0,
            opened: false,
            is_cold: true,
            tasks: 0,
            rate_hz,
            schedule: Schedule::new(now, rate_hz),
            totals: TaskTotals::default(),
            credit: Credit::new(now),
            reported_wait: [false; 2],
            begun_ns: None,
            deep_at: None,
            next_deep: now,
            judged_at: None,
            reported_failure: false,
            reported_full: false,
            parts,
        }
    }

    /// Runs until the watch is over.
    pub(super) fn run(&mut self) {
        self.parts.shared.set_task_thread(nix::unistd::gettid().as_raw());
        while !self.parts.shared.is_over() {
            self.step();
        }
        self.finish();
    }

    /// Waits for a deadline, for a bounded time, and takes a sample if it has come.
    pub(super) fn step(&mut self) {
        let now = self.parts.clock.now_ns();
        let heed = HEED_EVERY * u64::from(self.parts.shared.sharing().watches().clamp(1, 10));
        self.parts.clock.sleep_until(self.schedule.next_ns().min(now + heed));
        let rate_hz = self.parts.shared.task_hz();
        if rate_hz != self.rate_hz {
            self.rate_hz = rate_hz;
            self.schedule.set_rate(rate_hz);
        }
        let now = self.parts.clock.now_ns();
        if !self.schedule.is_due(now) {
            return;
        }
        let late = self.schedule.keep(now);
        let done = match self.open(now) {
            Ok(true) => {
                self.totals.late += late;
                self.look(now).and_then(|()| self.look_deeper(now))
            }
            Ok(false) => Ok(()),
            Err(unheard) => Err(unheard),
        };
        self.totals.lost = self.parts.outbox.lost();
        self.parts.shared.set_tasks(self.totals);
        if done == Err(ReceiverDropped) {
            self.parts.shared.end(End::ReceiverDropped, None);
        }
    }

    /// Whether there is a reader for the current target; opens one if necessary.
    fn open(&mut self, now: u64) -> Result<bool, ReceiverDropped> {
        let generation = self.parts.target.generation();
        if self.generation != generation {
            self.reader = None;
            self.open_at = now;
            self.generation = generation;
        }
        if self.reader.is_some() {
            return Ok(true);
        }
        if now < self.open_at {
            return Ok(false);
        }
        match self.parts.target.tasks() {
            Ok(reader) => {
                // A new reader reports every task again; tasks that it does not name must be forgotten.
                if std::mem::replace(&mut self.opened, true) {
                    self.parts.outbox.reset()?;
                }
                self.reader = Some(reader);
                (self.failures, self.is_cold) = (0, true);
            }
            Err(_) => self.open_at = now + OPEN_EVERY,
        }
        Ok(self.reader.is_some())
    }

    fn look(&mut self, now: u64) -> Result<(), ReceiverDropped> {
        let Some(reader) = &mut self.reader else { return Ok(()) };
        let (clock, outbox) = (&self.parts.clock, &mut self.parts.outbox);
        let share = CREDIT_SHARE * self.parts.cpu_budget * self.parts.shared.sharing().part();
        let Some(available) = self.credit.available(Work::Look, now, share) else { return Ok(()) };
        self.parts.target.allow_ns(available);
        let before = clock.thread_cpu_ns();
        let looked = reader.look(outbox.tables(), now);
        let (took_ns, cpu) = (clock.now_ns() - now, clock.thread_cpu_ns().saturating_sub(before));
        match looked {
            Ok((changes, effort)) => {
                self.credit.spend(Work::Look, cpu);
                if self.is_cold {
                    self.totals.first_ns += cpu;
                    // It reads the same tasks.
                    self.credit.expect(Work::Snapshot, cpu);
                }
                self.accept(TaskChanges { took_ns, ..changes }, effort, cpu);
            }
            Err(LookError::Read(ReadError::GivenUp)) if !self.parts.shared.is_over() => {
                self.credit.waste(Work::Look, cpu);
                self.totals.first_ns += cpu;
                self.say_wait(Work::Look, cpu, share);
                // What it has read is half a look: the next one begins anew.
                self.reader = None;
                let wait = self.credit.wait_ns(Work::Look, now, share);
                self.open_at = now.saturating_add(wait);
            }
            Err(error) => {
                self.credit.spend(Work::Look, cpu);
                self.fail(&error, now);
            }
        }
        self.parts.outbox.flush()?;
        if self.parts.outbox.is_overfull() {
            self.parts.outbox.reset()?;
            if let Some(reader) = &mut self.reader {
                reader.forget_numbers();
                self.is_cold = true;
            }
        }
        Ok(())
    }

    /// Reports once that this work waits for CPU time. `used_ns`: what it used before it was given up.
    fn say_wait(&mut self, work: Work, used_ns: u64, share: f64) {
        if std::mem::replace(&mut self.reported_wait[work as usize], true) {
            return;
        }
        let at_ns = self.parts.clock.now_ns();
        let wait = self.credit.wait_ns(work, at_ns, share).div_ceil(SECOND);
        let (what, name) = match work {
            Work::Look => ("the tasks are looked at", "a look"),
            Work::Snapshot => ("findings are made", "a full snapshot"),
        };
        let cost = if used_ns > 0 {
            format!("more than {:.1} s of CPU time", used_ns as f64 / 1e9)
        } else {
            "about as much CPU time as the first look at the tasks".to_owned()
        };
        let budget = 100.0 * self.parts.cpu_budget;
        let text =
            format!("{what} in about {wait} s: {name} takes {cost}, and the budget is {budget} % (--cpu-budget)");
        self.parts.outbox.push(Event::Note(Note { at_ns, kind: NoteKind::Adjusted, text }));
    }

    fn accept(&mut self, changes: TaskChanges, effort: Effort, cpu_ns: u64) {
        self.failures = 0;
        self.totals.snapshots += 1;
        self.tasks = changes.total;
        self.totals.torn += effort.torn;
        self.totals.partial += effort.partial;
        let budget = self.parts.cpu_budget * self.parts.shared.sharing().part();
        let stop_ns = self.parts.stops.map_or(0, |limits| limits.cost_ns(effort.stopped_ns, budget));
        self.totals.add_look(cpu_ns.max(stop_ns), std::mem::take(&mut self.is_cold));
        let (at_ns, watched) = (changes.at_ns, changes.total);
        self.parts.outbox.push(Event::Tasks(changes));
        if effort.is_full && !std::mem::replace(&mut self.reported_full, true) {
            let limit = self.parts.memory.bytes() >> 20;
            let text =
                format!("only {watched} of the tasks are watched: {limit} MiB of memory are used up (--max-memory)");
            self.parts.outbox.push(Event::Note(Note { at_ns, kind: NoteKind::Gap, text }));
        }
    }

    fn fail(&mut self, error: &LookError, now: u64) {
        self.failures += 1;
        self.totals.dropped += 1;
        if error.is_fatal() || self.failures >= FAILURES {
            self.reader = None;
            self.open_at = now + OPEN_EVERY;
        }
    }

    /// Takes a full snapshot when it is due, and has it judged.
    fn look_deeper(&mut self, now: u64) -> Result<(), ReceiverDropped> {
        // A program that is just starting has nothing to judge yet. One that never has a task may run another runtime.
        let since_begun = now.saturating_sub(*self.begun_ns.get_or_insert(now));
        let is_starting = self.deep_at.is_none() && self.tasks == 0 && since_begun < STARTING;
        if now < self.next_deep || is_starting {
            return Ok(());
        }
        let Some(judge) = self.parts.judge.clone() else { return Ok(()) };
        let (before, at_ns) = (self.parts.clock.thread_cpu_ns(), self.parts.clock.now_ns());
        let share = CREDIT_SHARE * self.parts.cpu_budget * self.parts.shared.sharing().part();
        let Some(available) = self.credit.available(Work::Snapshot, at_ns, share) else {
            self.say_wait(Work::Snapshot, 0, share);
            self.next_deep = at_ns.saturating_add(self.credit.wait_ns(Work::Snapshot, at_ns, share).max(SECOND));
            return Ok(());
        };
        self.parts.target.allow_ns(available);
        let taken = self.parts.target.snapshot();
        let was_given_up = matches!(taken, Err(AttachError::Read { error: ReadError::GivenUp, .. }));
        match taken {
            Ok(snapshot) => {
                let judged = judge(&snapshot);
                let findings = keep(&snapshot, judged, self.parts.outbox.tables());
                self.parts.outbox.push(Event::Findings { at_ns, findings });
                (self.judged_at, self.reported_failure) = (Some(at_ns), false);
            }
            Err(_) if was_given_up => {}
            // The loop tier reports the end of the process.
            Err(error) if error.kind() == FailureKind::Gone => {}
            Err(error) => self.fail_deep(at_ns, &error),
        }
        let cost = self.parts.clock.thread_cpu_ns().saturating_sub(before);
        if self.deep_at.is_none() {
            self.totals.first_ns += cost;
        }
        if was_given_up {
            self.credit.waste(Work::Snapshot, cost);
            if !self.parts.shared.is_over() {
                self.say_wait(Work::Snapshot, cost, share);
            }
            self.next_deep = at_ns.saturating_add(self.credit.wait_ns(Work::Snapshot, at_ns, share).max(SECOND));
            return Ok(());
        }
        self.credit.spend(Work::Snapshot, cost);
        // The first snapshot costs many times what later ones do: it determines neither when the next one is due nor
        // the measured share of the budget.
        let cost = if self.deep_at.is_some() { cost } else { 0 };
        // With a budget of zero this is infinite; the cast then yields the largest integer.
        let affordable =
            (cost as f64 / (DEEP_SHARE * self.parts.cpu_budget * self.parts.shared.sharing().part())) as u64;
        let every = self.parts.findings_every_ns.max(affordable);
        let now = self.parts.clock.now_ns();
        (self.totals.deep_ns, self.totals.deep_every_ns) = (cost, every);
        (self.deep_at, self.next_deep) = (Some(now), now.saturating_add(every));
        // Deadlines that passed in the meantime were given up for this and do not count as missed.
        if self.schedule.is_due(now) {
            self.schedule.restart(now);
        }
        self.parts.outbox.flush()
    }

    /// Counts a full snapshot that failed. The first failure in a row is reported, with the age of the findings by
    /// then.
    fn fail_deep(&mut self, at_ns: u64, error: &AttachError) {
        self.totals.dropped += 1;
        if std::mem::replace(&mut self.reported_failure, true) {
            return;
        }
        let findings = match self.judged_at {
            Some(judged_at) => format!("the findings are {:.0} s old", at_ns.saturating_sub(judged_at) as f64 / 1e9),
            None => "there are no findings yet".to_owned(),
        };
        let text = format!("a full snapshot failed, {findings}: {error}");
        self.parts.outbox.push(Event::Note(Note { at_ns, kind: NoteKind::Gap, text }));
    }

    /// Takes a last sample, if there is still something to read.
    fn finish(&mut self) {
        let now = self.parts.clock.now_ns();
        if matches!(self.parts.shared.ended(), Some((End::Asked, _))) && self.reader.is_some() {
            let mut done = self.look(now);
            if self.judged_at.is_none_or(|at| now.saturating_sub(at) > FRESH) {
                self.next_deep = now;
                done = done.and_then(|()| self.look_deeper(now));
            }
            if done == Err(ReceiverDropped) {
                self.parts.shared.end(End::ReceiverDropped, None);
            }
        }
        let _ = self.parts.outbox.flush_at_end();
        self.totals.lost = self.parts.outbox.lost();
        self.parts.shared.set_tasks(self.totals);
    }
}

/// Findings with numbers of `tables` in place of ids that are valid only in the snapshot.
fn keep(snapshot: &Snapshot, judged: Vec<Judged>, tables: &mut Tables) -> Vec<KeptFinding> {
    if judged.is_empty() {
        return Vec::new();
    }
    // The latest number of a key: an earlier task may have had the same key.
    let mut numbers: FxHashMap<u64, TaskNo> =
        (0..).map(TaskNo).zip(tables.tasks()).map(|(no, t)| (t.key, no)).collect();
    let mut kept = Vec::with_capacity(judged.len());
    for Judged { mut finding, site } in judged {
        let mut tasks = Vec::with_capacity(finding.tasks.len());
        for id in std::mem::take(&mut finding.tasks) {
            let task = snapshot.task(id);
            let known = numbers.get(&task.key).copied();
            let is_it = |no: &TaskNo| tables.task(*no).is_some_and(|info| is_same(info, snapshot, task));
            tasks.push(match known.filter(is_it) {
                Some(number) => number,
                None => {
                    let number = tables.add_task(&info(snapshot, task));
                    numbers.insert(task.key, number);
                    number
                }
            });
        }
        kept.push(KeptFinding { finding, tasks, site });
    }
    kept
}

fn outermost<'s>(snapshot: &'s Snapshot, task: &Task) -> Option<&'s Frame> {
    task.stack.first().map(|&frame| snapshot.frame(frame))
}

/// Whether both are the same task, as far as both know it.
fn is_same(info: &TaskInfo, snapshot: &Snapshot, task: &Task) -> bool {
    let same_name = info.name.as_deref() == task.name.as_deref();
    let same_coroutine = match (&info.coroutine, outermost(snapshot, task)) {
        (Some(one), Some(other)) => one.function == other.function && one.file == other.file,
        _ => true,
    };
    same_name && same_coroutine
}

/// A task that was born after the last sample. The first line of its coroutine's function is not known here.
fn info(snapshot: &Snapshot, task: &Task) -> TaskInfo {
    let coroutine = outermost(snapshot, task).map(|frame| Frame { line: None, ..frame.clone() });
    TaskInfo { key: task.key, name: task.name.as_deref().map(Into::into), coroutine }
}
