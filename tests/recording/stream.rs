//! Streams of events: any that can be said, and one as a busy server makes it; and their content without numbers, to compare
//! what two tables number otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use asyncprof::model::event::*;
use asyncprof::model::snapshot::{Evidence, Finding, Frame, RuleId, Severity, TaskState, WaitDetail, WaitKind};
use asyncprof::model::tables::*;

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MS;
pub(crate) const START: u64 = 123_456 * SECOND;

/// Numbers by chance, the same for the same seed (xorshift64*).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn any(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.any() % end
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.chance(50) { Some(make(self)) } else { None }
    }

    pub(crate) fn of<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[self.below(choice.len() as u64) as usize]
    }

    /// Small, or anything.
    fn number(&mut self) -> u64 {
        let bits = self.below(65);
        if bits == 0 { 0 } else { self.any() >> (64 - bits) }
    }
}

pub(crate) fn header() -> Header {
    Header {
        pid: 4211,
        python: "3.12.1".into(),
        free_threaded: false,
        executable: "/usr/bin/python3".into(),
        command: vec!["python3".into(), "app.py".into()],
        started_at: "2030-01-02T03:04:05Z".into(),
        started_ns: START,
        loop_rate_hz: 1000.0,
        task_rate_hz: 10.0,
        stall_threshold_ns: 100 * MS,
        cpu_budget: 0.05,
        blocking: false,
        asyncprof: "0.1.0".into(),
        machine: vec![("cores".into(), "2".into())],
    }
}

pub(crate) fn note(at_ns: u64, text: &str) -> Event {
    Event::Note(Note { at_ns, kind: NoteKind::Adjusted, text: text.into() })
}

/// A batch of one event without names.
pub(crate) fn alone(event: Event) -> Batch {
    Batch { source: Source::Tasks, begins_anew: false, definitions: Definitions::default(), events: vec![event] }
}

/// Makes batches of one source as a sampler does: new names are sent once.
pub(crate) struct Tier {
    source: Source,
    pub(crate) names: Tables,
    sent: Mark,
    fresh: bool,
}

impl Tier {
    pub(crate) fn new(source: Source) -> Self {
        Self { source, names: Tables::default(), sent: Mark::default(), fresh: true }
    }

    pub(crate) fn begin_anew(&mut self) {
        *self = Self::new(self.source);
    }

    pub(crate) fn batch(&mut self, events: Vec<Event>) -> Batch {
        let definitions = self.names.since(self.sent);
        self.sent = self.names.mark();
        Batch { source: self.source, begins_anew: std::mem::take(&mut self.fresh), definitions, events }
    }
}

/// Anything that can be said, in `batches` batches, at any time.
pub(crate) fn anything(seed: u64, batches: u64) -> Vec<Batch> {
    stream(seed, batches, 800 * MS, 3)
}

/// Anything that can be said, within a few seconds.
pub(crate) fn anything_soon(seed: u64, batches: u64) -> Vec<Batch> {
    stream(seed, batches, 200 * MS, 0)
}

fn stream(seed: u64, batches: u64, step_ns: u64, wild_percent: u64) -> Vec<Batch> {
    let dice = &mut Dice::new(seed);
    let mut tiers = [Tier::new(Source::Loops), Tier::new(Source::Tasks)];
    let mut at_ns = START;
    let mut made = Vec::new();
    for _ in 0..batches {
        let tier = &mut tiers[dice.below(2) as usize];
        if dice.chance(10) {
            tier.begin_anew();
        }
        let mut events = Vec::new();
        for _ in 0..dice.below(6) {
            at_ns = if dice.chance(wild_percent) { dice.any() } else { at_ns.wrapping_add(dice.below(step_ns)) };
            events.push(any_event(dice, &mut tier.names, at_ns));
        }
        made.push(tier.batch(events));
    }
    made
}

fn any_text(dice: &mut Dice) -> String {
    let words = ["", "serve", "é\u{1f40d}", "30 s", "<locals>", "a\0b", "app.py"];
    let mut text: String = dice.of(&words).into();
    if dice.chance(30) {
        text.push_str(&dice.below(20).to_string());
    }
    text
}

fn any_name(dice: &mut Dice) -> Arc<str> {
    any_text(dice).into()
}

fn any_detail(dice: &mut Dice) -> WaitDetail {
    let count = dice.number() as usize;
    match dice.below(8) {
        0 => WaitDetail::Delay(dice.number()),
        1 => WaitDetail::Items { len: count, max: dice.maybe(|dice| dice.number() as i64) },
        2 => WaitDetail::Function((&*any_text(dice)).into()),
        3 => WaitDetail::Descriptor(dice.number() as i32),
        4 => WaitDetail::Timeout { ns: Some(dice.number()), wait: dice.maybe(|dice| Box::new(any_detail(dice))) },
        5 => WaitDetail::QueueJoin,
        6 => WaitDetail::Done { done: count, total: count },
        _ => WaitDetail::Words((&*any_text(dice)).into()),
    }
}

fn any_frame(dice: &mut Dice) -> Frame {
    Frame { function: any_name(dice), file: any_name(dice), line: dice.maybe(|dice| dice.number() as u32) }
}

fn any_stack(dice: &mut Dice, names: &mut Tables) -> Option<StackId> {
    let frames: Vec<Frame> = (0..dice.below(5)).map(|_| any_frame(dice)).collect();
    names.add_frames(&frames)
}

fn any_task(dice: &mut Dice, names: &mut Tables) -> TaskNo {
    let info = TaskInfo {
        key: if dice.chance(80) { dice.below(9) } else { dice.number() },
        name: dice.maybe(any_name),
        coroutine: dice.maybe(any_frame),
    };
    names.add_task(&info)
}

fn any_tasks(dice: &mut Dice, names: &mut Tables) -> Vec<TaskNo> {
    (0..dice.below(4)).map(|_| any_task(dice, names)).collect()
}

fn any_event(dice: &mut Dice, names: &mut Tables, at_ns: u64) -> Event {
    match dice.below(10) {
        0..=4 => Event::Loop(any_sample(dice, names, at_ns)),
        5..=6 => Event::Tasks(TaskChanges {
            at_ns,
            took_ns: dice.number(),
            changed: (0..dice.below(6)).map(|_| any_look(dice, names)).collect(),
            ended: any_tasks(dice, names),
            total: dice.number() as u32,
            complete: dice.chance(50),
            contexts: dice.chance(50).then(|| dice.number()),
            timers: any_tasks(dice, names).into_iter().map(|task| (task, dice.number())).collect(),
        }),
        7 => Event::Findings { at_ns, findings: (0..dice.below(3)).map(|_| any_finding(dice, names)).collect() },
        8 => Event::Health(Health {
            at_ns,
            loop_samples: dice.number(),
            task_snapshots: dice.number(),
            dropped: dice.number(),
            lost: dice.number(),
            torn: dice.number(),
            partial: dice.number(),
            late: dice.number(),
            cpu_ns: dice.number(),
            loop_rate_hz: dice.number() as f64 / 7.0,
            task_rate_hz: dice.number() as f64 / 7.0,
            lowered_rate: dice.chance(50),
            longest_gap_ns: dice.number(),
            stops: StopTotals {
                stops: dice.number(),
                stopped_ns: dice.number(),
                longest_ns: dice.number(),
                cut_short: dice.number(),
                without: dice.number(),
            },
        }),
        _ => Event::Note(Note {
            at_ns,
            kind: dice.of(&[
                NoteKind::Exited,
                NoteKind::Executed,
                NoteKind::Stopped,
                NoteKind::Continued,
                NoteKind::Suspended,
                NoteKind::Ended,
                NoteKind::Gap,
                NoteKind::Adjusted,
            ]),
            text: any_text(dice),
        }),
    }
}

fn any_sample(dice: &mut Dice, names: &mut Tables, at_ns: u64) -> LoopSample {
    let event_loop = LoopInfo {
        key: dice.below(3),
        class: "uvloop.Loop".into(),
        thread: dice.maybe(|dice| dice.number() as i32),
        thread_name: dice.maybe(any_name),
    };
    LoopSample {
        at_ns,
        event_loop: names.add_loop(&event_loop),
        phase: dice.of(&[Phase::Selecting, Phase::Away, Phase::LeavingSelector, Phase::NotRunning, Phase::Unknown]),
        away_since_ns: dice.maybe(|dice| at_ns.wrapping_sub(dice.number())),
        away_precision_ns: dice.number() as u32,
        callback: dice.maybe(Dice::number),
        task: dice.maybe(|dice| any_task(dice, names)),
        stack: any_stack(dice, names),
        outer: dice.number() as u16,
        coroutines: dice.number() as u16,
        torn: dice.chance(50),
        moved: dice.chance(50),
        ready: dice.maybe(|dice| dice.number() as u32),
        gil: match dice.below(6) {
            0 => Gil::Free,
            1 => Gil::Own,
            2 => Gil::Other(Some(dice.number() as i32)),
            3 => Gil::Other(None),
            4 => Gil::None,
            _ => Gil::Unknown,
        },
        collecting: dice.chance(50),
        kernel: dice.maybe(any_kernel_look),
        holder_stack: any_stack(dice, names),
    }
}

fn any_kernel_look(dice: &mut Dice) -> KernelLook {
    let doing = match dice.below(6) {
        0 => Doing::Running,
        1 => Doing::WaitingForGil,
        2 => Doing::Fault,
        3 => Doing::Stopped,
        4 => Doing::Unknown,
        _ => Doing::Call {
            name: dice.maybe(any_name),
            number: dice.number() as u32,
            fd: dice.maybe(|dice| dice.number() as i32),
        },
    };
    KernelLook {
        doing,
        run_ns: dice.maybe(Dice::number),
        starved_ns: dice.maybe(Dice::number),
        throttled_us: dice.maybe(Dice::number),
        holder_run_ns: dice.maybe(Dice::number),
    }
}

fn any_look(dice: &mut Dice, names: &mut Tables) -> TaskLook {
    use TaskState::{Cancelling, Done, Ready, Running, Unknown, Waiting};
    use WaitKind::{
        Condition, Event, Executor, Future, Gather, Lock, Other, QueueGet, QueuePut, Semaphore, Shield, Sleep, Socket,
        Subprocess, Task, TaskGroup, Wait,
    };
    TaskLook {
        task: any_task(dice, names),
        born: dice.chance(50),
        state: dice.of(&[Running, Ready, Waiting, Done, Cancelling, Unknown]),
        stack: any_stack(dice, names),
        torn: dice.chance(50),
        wait: dice.maybe(|dice| TaskWait {
            kind: dice.of(&[
                Sleep, Future, Task, Gather, TaskGroup, Wait, Shield, Lock, Semaphore, Event, Condition, QueueGet,
                QueuePut, Executor, Socket, Subprocess, Other,
            ]),
            detail: dice.maybe(any_detail),
            tasks: any_tasks(dice, names),
            held_by: any_tasks(dice, names),
        }),
    }
}

fn any_finding(dice: &mut Dice, names: &mut Tables) -> KeptFinding {
    let mut evidence = Evidence::new();
    evidence.insert("count".into(), dice.number().into());
    evidence.insert("share".into(), (dice.number() as f64 / 7.0).into());
    evidence.insert("at".into(), serde_json::json!([any_text(dice), null, {"deep": dice.below(9)}]));
    let finding = Finding {
        rule: RuleId::new(dice.of(&["orphaned-task", "await-cycle", "of-another-version"])),
        severity: dice.of(&[Severity::Info, Severity::Warning, Severity::Error]),
        message: any_text(dice),
        tasks: Vec::new(),
        evidence,
        advice: any_text(dice),
    };
    KeptFinding { finding, tasks: any_tasks(dice, names), site: dice.maybe(any_frame) }
}

/// What batches say, event by event, with names in place of numbers. Callbacks are counted.
pub(crate) fn content<'b>(batches: impl IntoIterator<Item = &'b Batch>) -> Vec<String> {
    let mut last = BTreeMap::new();
    said(batches, |names, sample| {
        let now = sample.callback?;
        let (before, count) = last.entry(names.event_loop(sample.event_loop).unwrap().key).or_insert((now, 0));
        if *before != now {
            (*before, *count) = (now, *count + 1);
        }
        Some(*count)
    })
}

/// The same, with the names of callbacks as they are.
pub(crate) fn exact_content<'b>(batches: impl IntoIterator<Item = &'b Batch>) -> Vec<String> {
    said(batches, |_, sample| sample.callback)
}

fn said<'b>(
    batches: impl IntoIterator<Item = &'b Batch>,
    mut callback: impl FnMut(&Tables, &LoopSample) -> Option<u64>,
) -> Vec<String> {
    let mut tables = [Tables::default(), Tables::default()];
    let mut said = Vec::new();
    for batch in batches {
        let names = &mut tables[usize::from(batch.source == Source::Tasks)];
        if batch.begins_anew {
            *names = Tables::default();
        }
        names.define(&batch.definitions).unwrap();
        for event in &batch.events {
            let mut event = event.clone();
            if let Event::Loop(sample) = &mut event {
                sample.callback = callback(names, sample);
            }
            said.push(format!("{:?} {}", batch.source, plain(names, &event)));
        }
    }
    said
}

fn plain(names: &Tables, event: &Event) -> String {
    let stack = |id: Option<StackId>| id.map(|id| names.frames_outermost_first(id));
    let task = |number: TaskNo| names.task(number).unwrap();
    let tasks = |numbers: &[TaskNo]| -> Vec<&TaskInfo> { numbers.iter().map(|number| task(*number)).collect() };
    match event {
        Event::Loop(sample) => {
            let named = (
                names.event_loop(sample.event_loop).unwrap(),
                sample.task.map(task),
                stack(sample.stack),
                stack(sample.holder_stack),
            );
            let rest =
                LoopSample { event_loop: LoopNo(0), task: None, stack: None, holder_stack: None, ..sample.clone() };
            format!("{rest:?} {named:?}")
        }
        Event::Tasks(changes) => {
            let mut said = format!(
                "tasks {} {} {} {} ended {:?}",
                changes.at_ns,
                changes.took_ns,
                changes.total,
                changes.complete,
                tasks(&changes.ended)
            );
            for look in &changes.changed {
                let wait = look.wait.as_ref();
                let wait = wait.map(|wait| (wait.kind, &wait.detail, tasks(&wait.tasks), tasks(&wait.held_by)));
                let rest = (look.born, look.state, look.torn);
                said += &format!("\n  {:?} {rest:?} {:?} {wait:?}", task(look.task), stack(look.stack));
            }
            said
        }
        Event::Findings { at_ns, findings } => {
            let named: Vec<_> = findings.iter().map(|kept| (&kept.finding, tasks(&kept.tasks), &kept.site)).collect();
            format!("findings {at_ns} {named:?}")
        }
        Event::Health(_) | Event::Note(_) => format!("{event:?}"),
    }
}

/// The tasks that live after these batches and what each last was, as somebody keeps it who follows them.
pub(crate) fn living<'b>(batches: impl IntoIterator<Item = &'b Batch>) -> BTreeMap<String, String> {
    let mut names = Tables::default();
    let mut living = BTreeMap::new();
    for batch in batches.into_iter().filter(|batch| batch.source == Source::Tasks) {
        if batch.begins_anew {
            names = Tables::default();
        }
        names.define(&batch.definitions).unwrap();
        for event in &batch.events {
            let Event::Tasks(changes) = event else { continue };
            let said = |task: TaskNo| format!("{:?}", names.task(task).unwrap());
            for ended in &changes.ended {
                living.remove(&said(*ended));
            }
            for look in &changes.changed {
                let only = TaskChanges {
                    at_ns: 0,
                    took_ns: 0,
                    changed: vec![TaskLook { born: false, ..look.clone() }],
                    ended: Vec::new(),
                    total: 0,
                    complete: true,
                    contexts: None,
                    timers: Vec::new(),
                };
                living.insert(said(look.task), plain(&names, &Event::Tasks(only)));
            }
        }
    }
    living
}
