//! Decodes the bytes of a block into events. Every number is checked against its table, because the input is untrusted.

use std::sync::Arc;

use super::before::{Before, LastSample};
use super::codes::{self, Coded};
use super::wait_detail;
use super::wire::{Cursor, Malformed, inside};
use crate::model::event::{
    Batch, Doing, Event, Gil, Header, Health, KeptFinding, KernelLook, LoopSample, Note, NoteKind, Phase, Source,
    TaskChanges, TaskLook, TaskWait,
};
use crate::model::snapshot::{Evidence, Finding, Frame, FrameId, RuleId, Severity, TaskState, WaitDetail, WaitKind};
use crate::model::tables::{Definitions, LoopInfo, LoopNo, StackId, StackNode, TaskInfo, TaskNo};

/// LIMIT: items in a block (texts, names, events, tasks named in events, 64 bytes of copied text). A block of our own
/// writer holds a tenth of this, and the state of very many tasks half of it.
const MAX_THINGS: usize = 2 << 20;

type Result<T> = std::result::Result<T, Malformed>;

/// The content of the header block. Anything after its last field belongs to a later version and is skipped.
pub(super) fn header(bytes: &[u8]) -> Result<Header> {
    let from = &mut Cursor::new(bytes, MAX_THINGS);
    let owned = |from: &mut Cursor<'_>| from.text().map(str::to_owned);
    Ok(Header {
        pid: from.signed_small()?,
        python: owned(from)?,
        free_threaded: from.flag()?,
        executable: owned(from)?,
        command: (0..from.count()?).map(|_| owned(from)).collect::<Result<_>>()?,
        started_at: owned(from)?,
        started_ns: from.varint()?,
        loop_rate_hz: from.f64()?,
        task_rate_hz: from.f64()?,
        stall_threshold_ns: from.varint()?,
        cpu_budget: from.f64()?,
        blocking: from.flag()?,
        asyncprof: owned(from)?,
        machine: (0..from.count()?).map(|_| Ok((owned(from)?, owned(from)?))).collect::<Result<_>>()?,
    })
}

/// The content of the end mark: how the recording ended.
pub(super) fn end(bytes: &[u8]) -> Result<NoteKind> {
    NoteKind::decode(Cursor::new(bytes, 0).byte()?)
}

/// The batches of a block, in the order in which they were written. The first batch of each source resets its tables
/// and defines all names of the block.
pub(super) fn batches(bytes: &[u8]) -> Result<Vec<Batch>> {
    let mut from = Cursor::new(bytes, MAX_THINGS);
    let texts: Vec<Arc<str>> = (0..from.count()?).map(|_| from.text().map(Arc::from)).collect::<Result<_>>()?;
    let names = definitions(&mut from, &texts)?;
    let mut told = [Told::of(&texts, &names), Told::of(&texts, &names)];
    let mut batches: Vec<Batch> = Vec::new();
    while !from.is_at_end() {
        from.charge(1)?;
        let code = from.byte()?;
        if code == codes::event::BATCH {
            let source = Source::decode(from.byte()?)?;
            let begins_anew = !std::mem::replace(&mut told[usize::from(source.code())].begun, true);
            let definitions = if begins_anew { names.clone() } else { Definitions::default() };
            batches.push(Batch { source, begins_anew, definitions, events: Vec::new() });
            continue;
        }
        let batch = batches.last_mut().ok_or(Malformed("an event is of no source"))?;
        let told = &mut told[usize::from(batch.source.code())];
        let event = told.event(&mut from, code)?;
        told.before.pass(&event);
        batch.events.push(event);
    }
    Ok(batches)
}

fn text<'t>(from: &mut Cursor<'_>, texts: &'t [Arc<str>]) -> Result<&'t Arc<str>> {
    Ok(&texts[from.index(texts.len())?])
}

fn optional_text(from: &mut Cursor<'_>, texts: &[Arc<str>]) -> Result<Option<Arc<str>>> {
    Ok(from.optional_index(texts.len())?.map(|index| Arc::clone(&texts[index])))
}

/// A copy of a text, where the table's own cannot be shared.
fn copied_text<'t>(from: &mut Cursor<'_>, texts: &'t [Arc<str>]) -> Result<&'t str> {
    let text = text(from, texts)?;
    from.charge(text.len() / 64)?;
    Ok(text)
}

/// 0 for none, otherwise one more than the number.
fn optional_number<T: TryFrom<u64>>(from: &mut Cursor<'_>) -> Result<Option<T>> {
    let Some(number) = from.varint()?.checked_sub(1) else { return Ok(None) };
    T::try_from(number).map(Some).map_err(|_| Malformed("a number is too large for its place"))
}

fn optional_signed(from: &mut Cursor<'_>) -> Result<Option<i32>> {
    if from.flag()? { from.signed_small().map(Some) } else { Ok(None) }
}

fn optional_difference(from: &mut Cursor<'_>, before: u64) -> Result<Option<u64>> {
    if from.flag()? { from.difference(before).map(Some) } else { Ok(None) }
}

fn definitions(from: &mut Cursor<'_>, texts: &[Arc<str>]) -> Result<Definitions> {
    let mut frames = Vec::new();
    let (mut function, mut file) = (0, 0);
    for _ in 0..from.count()? {
        (function, file) = (from.difference(function)?, from.difference(file)?);
        let (function, file) = (&texts[inside(function, texts.len())?], &texts[inside(file, texts.len())?]);
        frames.push(Frame { function: function.clone(), file: file.clone(), line: optional_number(from)? });
    }
    let mut stacks = Vec::new();
    let mut frame = 0;
    for index in 0..from.count()? {
        let caller = match from.small::<usize>()? {
            0 => None,
            back => Some(index.checked_sub(back).ok_or(Malformed("a caller is defined after what it calls"))?),
        };
        frame = from.difference(frame)?;
        let caller = caller.map(|caller| StackId(caller as u32));
        stacks.push(StackNode { caller, frame: FrameId(inside(frame, frames.len())? as u32) });
    }
    let mut tasks = Vec::new();
    let (mut key, mut name) = (0u64, 0u64);
    for _ in 0..from.count()? {
        (key, name) = (from.difference(key)?, from.difference(name)?);
        let name = match name.checked_sub(1) {
            None => None,
            Some(name) => Some(texts[inside(name, texts.len())?].clone()),
        };
        let coroutine = from.optional_index(frames.len())?.map(|index| frames[index].clone());
        tasks.push(TaskInfo { key, name, coroutine });
    }
    let mut loops = Vec::new();
    for _ in 0..from.count()? {
        let (key, class) = (from.varint()?, text(from, texts)?.clone());
        loops.push(LoopInfo { key, class, thread: optional_signed(from)?, thread_name: optional_text(from, texts)? });
    }
    Ok(Definitions { frames, stacks, tasks, loops })
}

/// What the events of one source are decoded against.
struct Told<'b> {
    texts: &'b [Arc<str>],
    names: &'b Definitions,
    /// Whether a batch of this source has already defined the names.
    begun: bool,
    /// Poses of tasks, and what each takes off the budget.
    poses: Vec<(TaskLook, usize)>,
    before: Before,
}

impl<'b> Told<'b> {
    fn of(texts: &'b [Arc<str>], names: &'b Definitions) -> Self {
        Self { texts, names, begun: false, poses: Vec::new(), before: Before::default() }
    }

    fn event(&mut self, from: &mut Cursor<'_>, code: u8) -> Result<Event> {
        let at_ns = from.difference(self.before.at_ns)?;
        Ok(match code {
            codes::event::LOOP => Event::Loop(self.sample(from, at_ns)?),
            codes::event::TASKS => Event::Tasks(self.changes(from, at_ns)?),
            codes::event::FINDINGS => {
                let findings = (0..from.count()?).map(|_| self.finding(from)).collect::<Result<_>>()?;
                Event::Findings { at_ns, findings }
            }
            codes::event::HEALTH => Event::Health(health(from, at_ns)?),
            codes::event::NOTE => {
                let kind = NoteKind::decode(from.byte()?)?;
                Event::Note(Note { at_ns, kind, text: copied_text(from, self.texts)?.to_owned() })
            }
            _ => return Err(Malformed("an event is of no known kind")),
        })
    }

    fn task(&self, from: &mut Cursor<'_>) -> Result<Option<TaskNo>> {
        Ok(from.optional_index(self.names.tasks.len())?.map(|index| TaskNo(index as u32)))
    }

    fn stack(&self, from: &mut Cursor<'_>) -> Result<Option<StackId>> {
        Ok(from.optional_index(self.names.stacks.len())?.map(|index| StackId(index as u32)))
    }

    /// The task at the stored difference from the previous one.
    fn next_task(&self, from: &mut Cursor<'_>, before: u64) -> Result<TaskNo> {
        let index = inside(from.difference(before)?, self.names.tasks.len())?;
        Ok(TaskNo(index as u32))
    }

    fn tasks(&self, from: &mut Cursor<'_>) -> Result<Vec<TaskNo>> {
        let mut tasks = Vec::new();
        let mut before = 0;
        for _ in 0..from.count()? {
            let task = self.next_task(from, before)?;
            before = task.0.into();
            tasks.push(task);
        }
        Ok(tasks)
    }

    fn sample(&mut self, from: &mut Cursor<'_>, at_ns: u64) -> Result<LoopSample> {
        use codes::sample as bit;
        let bits = from.u16_le()?;
        let has = |bit: u16| bits & bit != 0;
        let number = if has(bit::OTHER_LOOP) { from.varint()? } else { self.before.event_loop.into() };
        let number = inside(number, self.names.loops.len())? as u32;
        let LastSample { sample: mut next, kernel } = self.before.of_loop(number).clone();
        (next.at_ns, next.event_loop) = (at_ns, LoopNo(number));
        if has(bit::PHASE_CHANGED) {
            next.phase = Phase::decode(from.byte()?)?;
        }
        if has(bit::AWAY_CHANGED) {
            next.away_since_ns = optional_difference(from, at_ns)?;
        }
        if has(bit::PRECISION_CHANGED) {
            next.away_precision_ns = from.small()?;
        }
        if has(bit::CALLBACK_CHANGED) {
            next.callback = optional_difference(from, next.callback.unwrap_or(0))?;
        }
        if has(bit::TASK_CHANGED) {
            next.task = self.task(from)?;
        }
        if has(bit::STACK_CHANGED) {
            next.stack = self.stack(from)?;
        }
        if has(bit::PARTS_CHANGED) {
            (next.outer, next.coroutines) = (from.small()?, from.small()?);
        }
        (next.torn, next.moved) = (has(bit::TORN), has(bit::MOVED));
        if has(bit::READY_CHANGED) {
            next.ready = optional_number(from)?;
        }
        if has(bit::GIL_CHANGED) {
            next.gil = gil(from)?;
        }
        next.collecting = has(bit::COLLECTING);
        if has(bit::RESERVED_NUMBER) {
            from.varint()?;
        }
        if has(bit::KERNEL) {
            next.kernel = Some(self.kernel(from, &kernel)?);
        }
        if has(bit::HOLDER_CHANGED) {
            next.holder_stack = self.stack(from)?;
        }
        Ok(next)
    }

    fn kernel(&self, from: &mut Cursor<'_>, last: &KernelLook) -> Result<KernelLook> {
        use codes::kernel as bit;
        let bits = from.byte()?;
        if bits & !bit::ALL != 0 {
            return Err(Malformed("a code has no meaning"));
        }
        let doing = if bits & bit::DOING_CHANGED != 0 { self.doing(from)? } else { last.doing.clone() };
        let mut number =
            |bit: u8, last: Option<u64>| (bits & bit != 0).then(|| from.difference(last.unwrap_or(0))).transpose();
        Ok(KernelLook {
            doing,
            run_ns: number(bit::RUN, last.run_ns)?,
            starved_ns: number(bit::STARVED, last.starved_ns)?,
            throttled_us: number(bit::THROTTLED, last.throttled_us)?,
        })
    }

    fn doing(&self, from: &mut Cursor<'_>) -> Result<Doing> {
        Ok(match from.byte()? {
            codes::doing::RUNNING => Doing::Running,
            codes::doing::CALL => Doing::Call {
                name: optional_text(from, self.texts)?,
                number: from.small()?,
                fd: optional_signed(from)?,
            },
            codes::doing::WAITING_FOR_GIL => Doing::WaitingForGil,
            codes::doing::FAULT => Doing::Fault,
            codes::doing::STOPPED => Doing::Stopped,
            codes::doing::UNKNOWN => Doing::Unknown,
            _ => return Err(Malformed("a code has no meaning")),
        })
    }

    fn changes(&mut self, from: &mut Cursor<'_>, at_ns: u64) -> Result<TaskChanges> {
        let (took_ns, total, complete) = (from.varint()?, from.small()?, from.flag()?);
        let mut changed = Vec::new();
        let mut before = 0;
        for _ in 0..from.count()? {
            let task = self.next_task(from, before)?;
            before = task.0.into();
            let pose = from.varint()?;
            let born = pose & 1 != 0;
            let mut look = match (pose >> 1).checked_sub(1) {
                None => {
                    let look = self.pose(from)?;
                    let named = look.wait.as_ref().map_or(0, |wait| wait.tasks.len() + wait.held_by.len());
                    self.poses.push((look.clone(), named));
                    look
                }
                Some(number) => {
                    let (look, named) = &self.poses[inside(number, self.poses.len())?];
                    from.charge(*named)?;
                    look.clone()
                }
            };
            (look.task, look.born) = (task, born);
            changed.push(look);
        }
        Ok(TaskChanges { at_ns, took_ns, changed, ended: self.tasks(from)?, total, complete })
    }

    /// A task change whose task is not known yet.
    fn pose(&self, from: &mut Cursor<'_>) -> Result<TaskLook> {
        let (state, torn) = (TaskState::decode(from.byte()?)?, from.flag()?);
        let stack = self.stack(from)?;
        let wait = match from.flag()? {
            false => None,
            true => Some(TaskWait {
                kind: WaitKind::decode(from.byte()?)?,
                detail: self.detail(from)?,
                tasks: self.tasks(from)?,
                held_by: self.tasks(from)?,
            }),
        };
        Ok(TaskLook { task: TaskNo(0), born: false, state, stack, torn, wait })
    }

    fn detail(&self, from: &mut Cursor<'_>) -> Result<Option<WaitDetail>> {
        let Some(text) = optional_text(from, self.texts)? else { return Ok(None) };
        from.charge(text.len() / 64)?;
        Ok(Some(wait_detail::decode(&text)))
    }

    fn finding(&self, from: &mut Cursor<'_>) -> Result<KeptFinding> {
        let rule = RuleId::from_file(copied_text(from, self.texts)?);
        let severity = Severity::decode(from.byte()?)?;
        let message = copied_text(from, self.texts)?.to_owned();
        let advice = copied_text(from, self.texts)?.to_owned();
        let mut evidence = Evidence::new();
        for _ in 0..from.count()? {
            let name = copied_text(from, self.texts)?.to_owned();
            let json = text(from, self.texts)?;
            // Two bytes of input can become a value of 32 bytes.
            from.charge(json.len() / 2)?;
            let value = serde_json::from_str(json).map_err(|_| Malformed("evidence is not JSON"))?;
            evidence.insert(name, value);
        }
        let tasks = self.tasks(from)?;
        let site = from.optional_index(self.names.frames.len())?.map(|index| self.names.frames[index].clone());
        let finding = Finding { rule, severity, message, tasks: Vec::new(), evidence, advice };
        Ok(KeptFinding { finding, tasks, site })
    }
}

fn gil(from: &mut Cursor<'_>) -> Result<Gil> {
    Ok(match from.byte()? {
        codes::gil::FREE => Gil::Free,
        codes::gil::OWN => Gil::Own,
        codes::gil::OTHER_KNOWN => Gil::Other(Some(from.signed_small()?)),
        codes::gil::OTHER => Gil::Other(None),
        codes::gil::NONE => Gil::None,
        codes::gil::UNKNOWN => Gil::Unknown,
        _ => return Err(Malformed("a code has no meaning")),
    })
}

fn health(from: &mut Cursor<'_>, at_ns: u64) -> Result<Health> {
    Ok(Health {
        at_ns,
        loop_samples: from.varint()?,
        task_snapshots: from.varint()?,
        dropped: from.varint()?,
        lost: from.varint()?,
        torn: from.varint()?,
        partial: from.varint()?,
        late: from.varint()?,
        cpu_ns: from.varint()?,
        longest_gap_ns: from.varint()?,
        loop_rate_hz: from.f64()?,
        task_rate_hz: from.f64()?,
        lowered_rate: from.flag()?,
    })
}
