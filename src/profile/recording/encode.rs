//! Encodes events as the bytes of a block. Their numbers already refer to the block's own tables.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::before::{Before, LastSample};
use super::codes::{self, Coded};
use super::names::{Translation, Translator};
use super::wait_detail;
use super::wire::{MAX_TEXT, put_difference, put_f64, put_signed, put_text, put_varint, shortened};
use crate::model::event::{
    Doing, Event, Gil, Header, Health, KeptFinding, KernelLook, LoopSample, Note, Source, TaskChanges, TaskLook,
};
use crate::model::snapshot::Frame;
use crate::model::tables::{Mark, Tables, TaskNo, UndefinedError};

/// Approximate size of a stack, a task or a loop in the tables.
const BYTES_A_NAME: usize = 8;

/// Texts of a block, each stored once.
#[derive(Debug, Default)]
struct Texts {
    numbers: FxHashMap<Arc<str>, u32>,
    bytes: Vec<u8>,
}

impl Texts {
    fn number(&mut self, text: &str) -> u32 {
        let text = shortened(text);
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(text.into(), number);
        put_text(&mut self.bytes, text);
        number
    }
}

/// What the next event of a source is encoded against.
#[derive(Debug, Default)]
struct Told {
    /// Maps the source's numbers to the block's.
    known: Translation,
    before: Before,
    /// Encoded poses of tasks, without the task, and their numbers.
    poses: FxHashMap<Box<[u8]>, u32>,
}

/// A block being collected.
#[derive(Debug, Default)]
pub(super) struct Payload {
    texts: Texts,
    /// Names of all sources: most tasks and frames named by one source are named by the other too.
    names: Tables,
    told: [Told; 2],
    events: Vec<u8>,
    /// The source whose events are being added.
    source: Option<Source>,
    /// Times of the earliest and of the latest event.
    pub(super) span_ns: Option<(u64, u64)>,
}

impl Payload {
    /// Approximate number of bytes collected.
    pub(super) fn size(&self) -> usize {
        let names: usize = self.told.iter().map(|told| told.known.len()).sum();
        self.events.len() + self.texts.bytes.len() + BYTES_A_NAME * names
    }

    /// Forgets a source's numbers: they mean something else from now on.
    pub(super) fn forget_numbers(&mut self, source: Source) {
        self.told[usize::from(source.code())].known = Translation::default();
    }

    /// The next event begins a batch.
    pub(super) fn begin_batch(&mut self) {
        self.source = None;
    }

    /// Adds an event; its numbers refer to `tables`.
    ///
    /// # Errors
    /// When it refers to an entry that `tables` does not have. Nothing is added then.
    pub(super) fn add(&mut self, source: Source, tables: &Tables, event: &Event) -> Result<(), UndefinedError> {
        let told = &mut self.told[usize::from(source.code())];
        let event = Translator { from: tables, to: &mut self.names, known: &mut told.known }.event(event)?;
        if self.source != Some(source) {
            self.source = Some(source);
            self.events.extend([codes::event::BATCH, source.code()]);
        }
        put_event(&mut self.events, &mut self.texts, &mut self.names, told, &event);
        told.before.pass(&event);
        let at_ns = event.at_ns();
        let (first, last) = self.span_ns.unwrap_or((at_ns, at_ns));
        self.span_ns = Some((first.min(at_ns), last.max(at_ns)));
        Ok(())
    }

    /// The whole block.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let mut definitions = Vec::new();
        put_definitions(&mut definitions, &mut self.texts, &mut self.names);
        let mut out = Vec::with_capacity(self.texts.bytes.len() + definitions.len() + self.events.len() + 5);
        put_varint(&mut out, self.texts.numbers.len() as u64);
        out.extend(self.texts.bytes);
        out.extend(definitions);
        out.extend(self.events);
        out
    }
}

fn put_event(out: &mut Vec<u8>, texts: &mut Texts, names: &mut Tables, told: &mut Told, event: &Event) {
    out.push(match event {
        Event::Loop(_) => codes::event::LOOP,
        Event::Tasks(_) => codes::event::TASKS,
        Event::Findings { .. } => codes::event::FINDINGS,
        Event::Health(_) => codes::event::HEALTH,
        Event::Note(_) => codes::event::NOTE,
    });
    put_difference(out, told.before.at_ns, event.at_ns());
    match event {
        Event::Loop(sample) => put_sample(out, texts, &mut told.before, sample),
        Event::Tasks(changes) => put_changes(out, texts, &mut told.poses, changes),
        Event::Findings { findings, .. } => {
            put_varint(out, findings.len() as u64);
            for kept in findings {
                put_finding(out, texts, names, kept);
            }
        }
        Event::Health(health) => put_health(out, health),
        Event::Note(Note { kind, text, .. }) => {
            out.push(kind.code());
            put_varint(out, texts.number(text));
        }
    }
}

fn put_changes(out: &mut Vec<u8>, texts: &mut Texts, poses: &mut FxHashMap<Box<[u8]>, u32>, changes: &TaskChanges) {
    put_varint(out, changes.took_ns);
    put_varint(out, changes.total);
    out.push(changes.complete.into());
    put_varint(out, changes.changed.len() as u64);
    let mut before = 0;
    for look in &changes.changed {
        follow(out, &mut before, look.task.0.into());
        let pose = pose(texts, look);
        let known = poses.get(&pose[..]).copied();
        put_varint(out, one_more(known) << 1 | u64::from(look.born));
        if known.is_none() {
            out.extend(&pose);
            poses.insert(pose.into(), poses.len() as u32);
        }
    }
    put_tasks(out, &changes.ended);
}

/// A task change without the task. There are few distinct ones: most tasks do what others do, or what they did before.
fn pose(texts: &mut Texts, look: &TaskLook) -> Vec<u8> {
    let mut out = vec![look.state.code(), look.torn.into()];
    put_varint(&mut out, one_more(look.stack.map(|stack| stack.0)));
    out.push(look.wait.is_some().into());
    if let Some(wait) = &look.wait {
        out.push(wait.kind.code());
        // A shortened text could not be decoded.
        let detail = wait.detail.as_ref().map(wait_detail::encode).filter(|detail| shortened(detail) == detail);
        put_varint(&mut out, one_more(detail.map(|detail| texts.number(&detail))));
        put_tasks(&mut out, &wait.tasks);
        put_tasks(&mut out, &wait.held_by);
    }
    out
}

fn put_sample(out: &mut Vec<u8>, texts: &mut Texts, before: &mut Before, sample: &LoopSample) {
    use codes::sample as bit;
    let other_loop = before.event_loop != sample.event_loop.0;
    let LastSample { sample: last, kernel } = before.of_loop(sample.event_loop.0);
    let bits = [
        (other_loop, bit::OTHER_LOOP),
        (sample.phase != last.phase, bit::PHASE_CHANGED),
        (sample.away_since_ns != last.away_since_ns, bit::AWAY_CHANGED),
        (sample.away_precision_ns != last.away_precision_ns, bit::PRECISION_CHANGED),
        (sample.callback != last.callback, bit::CALLBACK_CHANGED),
        (sample.task != last.task, bit::TASK_CHANGED),
        (sample.stack != last.stack, bit::STACK_CHANGED),
        ((sample.outer, sample.coroutines) != (last.outer, last.coroutines), bit::PARTS_CHANGED),
        (sample.torn, bit::TORN),
        (sample.moved, bit::MOVED),
        (sample.ready != last.ready, bit::READY_CHANGED),
        (sample.gil != last.gil, bit::GIL_CHANGED),
        (sample.collecting, bit::COLLECTING),
        (sample.kernel.is_some(), bit::KERNEL),
        (sample.holder_stack != last.holder_stack, bit::HOLDER_CHANGED),
    ];
    let bits = bits.into_iter().filter(|(set, _)| *set).fold(0, |bits, (_, bit)| bits | bit);
    let has = |bit: u16| bits & bit != 0;
    out.extend(bits.to_le_bytes());
    if has(bit::OTHER_LOOP) {
        put_varint(out, sample.event_loop.0);
    }
    if has(bit::PHASE_CHANGED) {
        out.push(sample.phase.code());
    }
    if has(bit::AWAY_CHANGED) {
        put_optional_difference(out, sample.at_ns, sample.away_since_ns);
    }
    if has(bit::PRECISION_CHANGED) {
        put_varint(out, sample.away_precision_ns);
    }
    if has(bit::CALLBACK_CHANGED) {
        put_optional_difference(out, last.callback.unwrap_or(0), sample.callback);
    }
    if has(bit::TASK_CHANGED) {
        put_varint(out, one_more(sample.task.map(|task| task.0)));
    }
    if has(bit::STACK_CHANGED) {
        put_varint(out, one_more(sample.stack.map(|stack| stack.0)));
    }
    if has(bit::PARTS_CHANGED) {
        put_varint(out, sample.outer);
        put_varint(out, sample.coroutines);
    }
    if has(bit::READY_CHANGED) {
        put_varint(out, one_more(sample.ready));
    }
    if has(bit::GIL_CHANGED) {
        put_gil(out, sample.gil);
    }
    if let Some(look) = &sample.kernel {
        put_kernel(out, texts, kernel, look);
    }
    if has(bit::HOLDER_CHANGED) {
        put_varint(out, one_more(sample.holder_stack.map(|stack| stack.0)));
    }
}

fn put_gil(out: &mut Vec<u8>, gil: Gil) {
    match gil {
        Gil::Free => out.push(codes::gil::FREE),
        Gil::Own => out.push(codes::gil::OWN),
        Gil::Other(Some(thread)) => {
            out.push(codes::gil::OTHER_KNOWN);
            put_signed(out, thread.into());
        }
        Gil::Other(None) => out.push(codes::gil::OTHER),
        Gil::None => out.push(codes::gil::NONE),
        Gil::Unknown => out.push(codes::gil::UNKNOWN),
    }
}

fn put_kernel(out: &mut Vec<u8>, texts: &mut Texts, last: &KernelLook, look: &KernelLook) {
    use codes::kernel as bit;
    let bits = [
        (look.doing != last.doing, bit::DOING_CHANGED),
        (look.run_ns.is_some(), bit::RUN),
        (look.starved_ns.is_some(), bit::STARVED),
        (look.throttled_us.is_some(), bit::THROTTLED),
    ];
    out.push(bits.into_iter().filter(|(set, _)| *set).fold(0, |bits, (_, bit)| bits | bit));
    if look.doing != last.doing {
        put_doing(out, texts, &look.doing);
    }
    let numbers =
        [(look.run_ns, last.run_ns), (look.starved_ns, last.starved_ns), (look.throttled_us, last.throttled_us)];
    for (value, last) in numbers {
        if let Some(value) = value {
            put_difference(out, last.unwrap_or(0), value);
        }
    }
}

fn put_doing(out: &mut Vec<u8>, texts: &mut Texts, doing: &Doing) {
    match doing {
        Doing::Running => out.push(codes::doing::RUNNING),
        Doing::Call { name, number, fd } => {
            out.push(codes::doing::CALL);
            put_varint(out, one_more(name.as_ref().map(|name| texts.number(name))));
            put_varint(out, *number);
            put_optional_signed(out, *fd);
        }
        Doing::WaitingForGil => out.push(codes::doing::WAITING_FOR_GIL),
        Doing::Fault => out.push(codes::doing::FAULT),
        Doing::Stopped => out.push(codes::doing::STOPPED),
        Doing::Unknown => out.push(codes::doing::UNKNOWN),
    }
}

fn put_finding(out: &mut Vec<u8>, texts: &mut Texts, tables: &mut Tables, kept: &KeptFinding) {
    let KeptFinding { finding, tasks, site } = kept;
    put_varint(out, texts.number(finding.rule.as_str()));
    out.push(finding.severity.code());
    put_varint(out, texts.number(&finding.message));
    put_varint(out, texts.number(&finding.advice));
    // Text that is too long would be cut and could not be parsed again.
    let evidence: Vec<(&str, String)> = (finding.evidence.iter())
        .map(|(name, value)| (name.as_str(), value.to_string()))
        .filter(|(_, value)| value.len() <= MAX_TEXT)
        .collect();
    put_varint(out, evidence.len() as u64);
    for (name, value) in evidence {
        put_varint(out, texts.number(name));
        put_varint(out, texts.number(&value));
    }
    put_tasks(out, tasks);
    put_varint(out, one_more(site.as_ref().map(|frame| tables.add_frame(frame).0)));
}

fn put_health(out: &mut Vec<u8>, health: &Health) {
    let counts = [
        health.loop_samples,
        health.task_snapshots,
        health.dropped,
        health.lost,
        health.torn,
        health.partial,
        health.late,
        health.cpu_ns,
        health.longest_gap_ns,
    ];
    for count in counts {
        put_varint(out, count);
    }
    put_f64(out, health.loop_rate_hz);
    put_f64(out, health.task_rate_hz);
    out.push(health.lowered_rate.into());
}

/// The content of the header block.
pub(super) fn header(header: &Header) -> Vec<u8> {
    let mut out = Vec::new();
    put_signed(&mut out, header.pid.into());
    put_text(&mut out, &header.python);
    out.push(header.free_threaded.into());
    put_text(&mut out, &header.executable);
    put_varint(&mut out, header.command.len() as u64);
    for argument in &header.command {
        put_text(&mut out, argument);
    }
    put_text(&mut out, &header.started_at);
    put_varint(&mut out, header.started_ns);
    put_f64(&mut out, header.loop_rate_hz);
    put_f64(&mut out, header.task_rate_hz);
    put_varint(&mut out, header.stall_threshold_ns);
    put_f64(&mut out, header.cpu_budget);
    out.push(header.blocking.into());
    put_text(&mut out, &header.asyncprof);
    put_varint(&mut out, header.machine.len() as u64);
    for (name, value) in &header.machine {
        put_text(&mut out, name);
        put_text(&mut out, value);
    }
    out
}

fn put_definitions(out: &mut Vec<u8>, texts: &mut Texts, tables: &mut Tables) {
    // Tasks refer to frames, which have to be defined before the frames are written.
    let coroutines: Vec<Option<Frame>> = tables.tasks().iter().map(|task| task.coroutine.clone()).collect();
    let coroutines: Vec<Option<u32>> =
        coroutines.iter().map(|frame| frame.as_ref().map(|frame| tables.add_frame(frame).0)).collect();
    let all = tables.since(Mark::default());
    put_varint(out, all.frames.len() as u64);
    let (mut function, mut file) = (0, 0);
    for frame in &all.frames {
        follow(out, &mut function, texts.number(&frame.function).into());
        follow(out, &mut file, texts.number(&frame.file).into());
        put_varint(out, one_more(frame.line));
    }
    put_varint(out, all.stacks.len() as u64);
    let mut frame = 0;
    for (index, node) in all.stacks.iter().enumerate() {
        put_varint(out, node.caller.map_or(0, |caller| index as u64 - u64::from(caller.0)));
        follow(out, &mut frame, node.frame.0.into());
    }
    put_varint(out, all.tasks.len() as u64);
    let (mut key, mut name) = (0, 0);
    for (task, coroutine) in all.tasks.iter().zip(coroutines) {
        follow(out, &mut key, task.key);
        follow(out, &mut name, one_more(task.name.as_ref().map(|name| texts.number(name))));
        put_varint(out, one_more(coroutine));
    }
    put_varint(out, all.loops.len() as u64);
    for event_loop in &all.loops {
        put_varint(out, event_loop.key);
        put_varint(out, texts.number(&event_loop.class));
        put_optional_signed(out, event_loop.thread);
        put_varint(out, one_more(event_loop.thread_name.as_ref().map(|name| texts.number(name))));
    }
}

fn put_tasks(out: &mut Vec<u8>, tasks: &[TaskNo]) {
    put_varint(out, tasks.len() as u64);
    let mut before = 0;
    for task in tasks {
        follow(out, &mut before, task.0.into());
    }
}

/// Writes a number as the difference from the previous one in its list: most are close together, and numbers of new
/// names are consecutive.
fn follow(out: &mut Vec<u8>, before: &mut u64, number: u64) {
    put_difference(out, *before, number);
    *before = number;
}

/// 0 for none.
fn one_more(number: Option<u32>) -> u64 {
    number.map_or(0, |number| u64::from(number) + 1)
}

fn put_optional_difference(out: &mut Vec<u8>, before: u64, value: Option<u64>) {
    out.push(value.is_some().into());
    if let Some(value) = value {
        put_difference(out, before, value);
    }
}

fn put_optional_signed(out: &mut Vec<u8>, value: Option<i32>) {
    out.push(value.is_some().into());
    if let Some(value) = value {
        put_signed(out, value.into());
    }
}
