//! The fields of a recording, each described once, in the order in which they are stored: what writes them and what
//! reads them passes over the same description.

use std::ops::BitOr;
use std::sync::Arc;

use super::before::{Before, LastSample};
use super::codes::{self, Coded};
use super::wait_detail;
use super::wire::{MAX_TEXT, Malformed, inside, unzigzag, zigzag};
use crate::model::event::{Doing, Event, Gil, Header, Health, KeptFinding, KernelLook, LoopSample, Note};
use crate::model::event::{StopTotals, TaskChanges, TaskLook, TaskWait};
use crate::model::snapshot::{Evidence, Finding, Frame, FrameId, RuleId, Severity, TaskState, WaitKind};
use crate::model::tables::{Definitions, LoopInfo, LoopNo, StackId, StackNode, TaskInfo, TaskNo};

pub(super) type Result<T = ()> = std::result::Result<T, Malformed>;

const TOO_LARGE: Malformed = Malformed("a number is too large for its place");

/// The names that numbers in events refer to.
#[derive(Clone, Copy)]
pub(super) enum Table {
    Stacks,
    Tasks,
    Loops,
}

/// Passes over fields in order: a writer adds each value to the bytes, a reader replaces it by the stored one.
pub(super) trait Pass: Sized {
    /// Whether values are replaced.
    const READS: bool;

    fn byte(&mut self, value: &mut u8) -> Result;

    fn varint(&mut self, value: &mut u64) -> Result;

    /// A text that is stored in place.
    fn text(&mut self, text: &mut String) -> Result;

    /// The number of entries of a list.
    fn count(&mut self, len: usize) -> Result<usize>;

    /// For a writer: the number of a text in the block's list.
    fn text_number(&mut self, _text: &str) -> u64 {
        0
    }

    /// For a reader: replaces a text by the one with this number.
    fn text_at(&mut self, _number: u64, _text: &mut Arc<str>) -> Result {
        Ok(())
    }

    /// As [`Pass::text_number`].
    fn frame_number(&mut self, _frame: &Frame) -> u64 {
        0
    }

    /// As [`Pass::text_at`].
    fn frame_at(&mut self, _number: u64, _frame: &mut Option<Frame>) -> Result {
        Ok(())
    }

    /// For a reader: how many names events can refer to.
    fn len_of(&self, _table: Table) -> usize {
        usize::MAX
    }

    /// For a reader: takes things off the budget.
    fn charge(&mut self, _things: usize) -> Result {
        Ok(())
    }

    /// A task change without its task: [`pose`], or the number of an equal one before it.
    fn pose(&mut self, look: &mut TaskLook) -> Result;

    fn float(&mut self, value: &mut f64) -> Result {
        let mut bytes = value.to_le_bytes();
        bytes.iter_mut().try_for_each(|byte| self.byte(byte))?;
        *value = f64::from_le_bytes(bytes);
        Ok(())
    }

    /// The code of a word. What belongs to the word has to follow.
    fn code<T: Coded>(&mut self, value: &mut T) -> Result {
        let known = value.code();
        let mut code = known;
        self.byte(&mut code)?;
        if code != known {
            *value = T::decode(code)?;
        }
        Ok(())
    }

    fn flag(&mut self, value: &mut bool) -> Result {
        let mut byte = u8::from(*value);
        self.byte(&mut byte)?;
        *value = match byte {
            0 => false,
            1 => true,
            _ => return Err(Malformed("a flag is neither set nor unset")),
        };
        Ok(())
    }

    fn number<T: Copy + Into<u64> + TryFrom<u64>>(&mut self, value: &mut T) -> Result {
        let mut wide = (*value).into();
        self.varint(&mut wide)?;
        *value = T::try_from(wide).map_err(|_| TOO_LARGE)?;
        Ok(())
    }

    /// 0 for none, otherwise one more than the number.
    fn optional_number(&mut self, value: &mut Option<u32>) -> Result {
        let mut above = value.map_or(0, |number| u64::from(number) + 1);
        self.varint(&mut above)?;
        *value = above.checked_sub(1).map(u32::try_from).transpose().map_err(|_| TOO_LARGE)?;
        Ok(())
    }

    fn signed(&mut self, value: &mut i32) -> Result {
        let mut folded = zigzag((*value).into());
        self.varint(&mut folded)?;
        *value = i32::try_from(unzigzag(folded)).map_err(|_| TOO_LARGE)?;
        Ok(())
    }

    /// The difference from `before`, modulo 2^64, in the shorter direction.
    fn difference(&mut self, before: u64, value: &mut u64) -> Result {
        let mut folded = zigzag(value.wrapping_sub(before).cast_signed());
        self.varint(&mut folded)?;
        *value = before.wrapping_add_signed(unzigzag(folded));
        Ok(())
    }

    /// The difference from the previous number of a list: most are close together, and numbers of new names are
    /// consecutive.
    fn follow(&mut self, before: &mut u64, value: &mut u64) -> Result {
        self.difference(*before, value)?;
        *before = *value;
        Ok(())
    }

    /// As [`Pass::follow`], for the number of an entry in a table of this length.
    fn follow_entry(&mut self, before: &mut u64, number: &mut u32, len: usize) -> Result {
        let mut wide = (*number).into();
        self.follow(before, &mut wide)?;
        *number = inside(wide, len)? as u32;
        Ok(())
    }

    /// A flag, then the value if there is one; a reader starts from `blank`.
    fn optional<T>(
        &mut self,
        value: &mut Option<T>,
        blank: T,
        field: impl FnOnce(&mut Self, &mut T) -> Result,
    ) -> Result {
        let mut is_there = value.is_some();
        self.flag(&mut is_there)?;
        if is_there {
            return field(self, value.get_or_insert(blank));
        }
        *value = None;
        Ok(())
    }

    fn list<T: Clone>(
        &mut self,
        list: &mut Vec<T>,
        blank: &T,
        mut entry: impl FnMut(&mut Self, &mut T) -> Result,
    ) -> Result {
        for index in 0..self.count(list.len())? {
            if index >= list.len() {
                list.push(blank.clone());
            }
            entry(self, &mut list[index])?;
        }
        Ok(())
    }

    fn shared_text(&mut self, text: &mut Arc<str>) -> Result {
        let mut number = self.text_number(text);
        self.varint(&mut number)?;
        self.text_at(number, text)
    }

    /// A text of the block's list that is not shared.
    fn copied_text(&mut self, text: &mut String) -> Result {
        let mut number = self.text_number(text);
        self.varint(&mut number)?;
        if Self::READS {
            let mut shared = Arc::default();
            self.text_at(number, &mut shared)?;
            self.charge(shared.len() / 64)?;
            *text = (*shared).to_owned();
        }
        Ok(())
    }

    /// As [`Pass::shared_text`], with its number as the difference from another one.
    fn text_after(&mut self, before: &mut u64, text: &mut Arc<str>) -> Result {
        let mut number = self.text_number(text);
        self.follow(before, &mut number)?;
        self.text_at(number, text)
    }

    fn optional_text(&mut self, text: &mut Option<Arc<str>>) -> Result {
        let mut above = text.as_ref().map_or(0, |text| self.text_number(text) + 1);
        self.varint(&mut above)?;
        self.optional_text_at(above, text)
    }

    fn optional_text_at(&mut self, above: u64, text: &mut Option<Arc<str>>) -> Result {
        match above.checked_sub(1) {
            None => *text = None,
            Some(number) => self.text_at(number, text.get_or_insert_default())?,
        }
        Ok(())
    }

    fn optional_entry(&mut self, number: &mut Option<u32>, table: Table) -> Result {
        self.optional_number(number)?;
        number.map_or(Ok(()), |number| inside(number.into(), self.len_of(table)).map(drop))
    }

    fn task(&mut self, task: &mut Option<TaskNo>) -> Result {
        let mut number = task.map(|task| task.0);
        self.optional_entry(&mut number, Table::Tasks)?;
        *task = number.map(TaskNo);
        Ok(())
    }

    fn stack(&mut self, stack: &mut Option<StackId>) -> Result {
        let mut number = stack.map(|stack| stack.0);
        self.optional_entry(&mut number, Table::Stacks)?;
        *stack = number.map(StackId);
        Ok(())
    }

    fn tasks(&mut self, tasks: &mut Vec<TaskNo>) -> Result {
        let (len, mut before) = (self.len_of(Table::Tasks), 0);
        self.list(tasks, &TaskNo(0), |pass, task| pass.follow_entry(&mut before, &mut task.0, len))
    }
}

/// The content of the header block. New fields are only ever appended.
pub(super) fn header(pass: &mut impl Pass, header: &mut Header) -> Result {
    pass.signed(&mut header.pid)?;
    pass.text(&mut header.python)?;
    pass.flag(&mut header.free_threaded)?;
    pass.text(&mut header.executable)?;
    pass.list(&mut header.command, &String::new(), Pass::text)?;
    pass.text(&mut header.started_at)?;
    pass.varint(&mut header.started_ns)?;
    pass.float(&mut header.loop_rate_hz)?;
    pass.float(&mut header.task_rate_hz)?;
    pass.varint(&mut header.stall_threshold_ns)?;
    pass.float(&mut header.cpu_budget)?;
    pass.flag(&mut header.blocking)?;
    pass.text(&mut header.asyncprof)?;
    pass.list(&mut header.machine, &Default::default(), |pass, (name, value)| {
        pass.text(name)?;
        pass.text(value)
    })
}

/// The names that the events of a block use. A writer has added the coroutines of tasks to the frames.
pub(super) fn definitions<P: Pass>(pass: &mut P, definitions: &mut Definitions) -> Result {
    let Definitions { frames, stacks, tasks, loops } = definitions;
    let (mut function, mut file) = (0, 0);
    let unnamed = Frame { function: Arc::default(), file: Arc::default(), line: None };
    pass.list(frames, &unnamed, |pass, frame| {
        pass.text_after(&mut function, &mut frame.function)?;
        pass.text_after(&mut file, &mut frame.file)?;
        pass.optional_number(&mut frame.line)
    })?;
    let (mut index, mut frame) = (0, 0);
    pass.list(stacks, &StackNode { caller: None, frame: FrameId(0) }, |pass, node| {
        let mut back = node.caller.map_or(0, |caller| index - caller.0);
        pass.number(&mut back)?;
        let caller = index.checked_sub(back).ok_or(Malformed("a caller is defined after what it calls"))?;
        node.caller = (back > 0).then_some(StackId(caller));
        index += 1;
        pass.follow_entry(&mut frame, &mut node.frame.0, frames.len())
    })?;
    let (mut key, mut name) = (0, 0);
    pass.list(tasks, &TaskInfo { key: 0, name: None, coroutine: None }, |pass, task| {
        pass.follow(&mut key, &mut task.key)?;
        let mut above = task.name.as_ref().map_or(0, |name| pass.text_number(name) + 1);
        pass.follow(&mut name, &mut above)?;
        pass.optional_text_at(above, &mut task.name)?;
        let mut above = task.coroutine.as_ref().map_or(0, |frame| pass.frame_number(frame) + 1);
        pass.varint(&mut above)?;
        if P::READS && above > 0 {
            task.coroutine = Some(frames[inside(above - 1, frames.len())?].clone());
        }
        Ok(())
    })?;
    let unknown = LoopInfo { key: 0, class: Arc::default(), thread: None, thread_name: None };
    pass.list(loops, &unknown, |pass, event_loop| {
        pass.varint(&mut event_loop.key)?;
        pass.shared_text(&mut event_loop.class)?;
        pass.optional(&mut event_loop.thread, 0, P::signed)?;
        pass.optional_text(&mut event_loop.thread_name)
    })
}

/// An event, after the code of its kind.
pub(super) fn event<P: Pass>(pass: &mut P, before: &mut Before, event: &mut Event) -> Result {
    let mut time_ns = event.at_ns();
    pass.difference(before.at_ns, &mut time_ns)?;
    match event {
        Event::Loop(LoopSample { at_ns, .. })
        | Event::Tasks(TaskChanges { at_ns, .. })
        | Event::Findings { at_ns, .. }
        | Event::Health(Health { at_ns, .. })
        | Event::Note(Note { at_ns, .. }) => *at_ns = time_ns,
    }
    match event {
        Event::Loop(sample) => self::sample(pass, before, sample)?,
        Event::Tasks(changes) => self::changes(pass, changes)?,
        Event::Findings { findings, .. } => pass.list(findings, &empty_finding(), finding)?,
        Event::Health(health) => self::health(pass, health)?,
        Event::Note(note) => {
            pass.code(&mut note.kind)?;
            pass.copied_text(&mut note.text)?;
        }
    }
    before.pass(event);
    Ok(())
}

/// A field of a loop sample that is stored if its bit is set: the bit, when a writer sets it, and the field.
type SampleField<P> = (u16, fn(&LoopSample, &LastSample) -> bool, fn(&mut P, &mut LoopSample, &LastSample) -> Result);

fn sample<P: Pass>(pass: &mut P, before: &mut Before, sample: &mut LoopSample) -> Result {
    use codes::sample as bit;
    let fields: [SampleField<P>; 12] = [
        (bit::PHASE_CHANGED, |now, last| now.phase != last.sample.phase, |pass, now, _| pass.code(&mut now.phase)),
        (
            bit::AWAY_CHANGED,
            |now, last| now.away_since_ns != last.sample.away_since_ns,
            |pass, now, _| pass.optional(&mut now.away_since_ns, 0, |pass, since| pass.difference(now.at_ns, since)),
        ),
        (
            bit::PRECISION_CHANGED,
            |now, last| now.away_precision_ns != last.sample.away_precision_ns,
            |pass, now, _| pass.number(&mut now.away_precision_ns),
        ),
        (
            bit::CALLBACK_CHANGED,
            |now, last| now.callback != last.sample.callback,
            |pass, now, last| {
                let last = last.sample.callback.unwrap_or(0);
                pass.optional(&mut now.callback, 0, |pass, callback| pass.difference(last, callback))
            },
        ),
        (bit::TASK_CHANGED, |now, last| now.task != last.sample.task, |pass, now, _| pass.task(&mut now.task)),
        (bit::STACK_CHANGED, |now, last| now.stack != last.sample.stack, |pass, now, _| pass.stack(&mut now.stack)),
        (
            bit::PARTS_CHANGED,
            |now, last| (now.outer, now.coroutines) != (last.sample.outer, last.sample.coroutines),
            |pass, now, _| pass.number(&mut now.outer).and_then(|()| pass.number(&mut now.coroutines)),
        ),
        (
            bit::READY_CHANGED,
            |now, last| now.ready != last.sample.ready,
            |pass, now, _| pass.optional_number(&mut now.ready),
        ),
        (bit::GIL_CHANGED, |now, last| now.gil != last.sample.gil, |pass, now, _| gil(pass, &mut now.gil)),
        (bit::RESERVED_NUMBER, |_, _| false, |pass, _, _| pass.varint(&mut 0)),
        (bit::KERNEL, |now, _| now.kernel.is_some(), |pass, now, last| kernel(pass, &last.kernel, &mut now.kernel)),
        (
            bit::HOLDER_CHANGED,
            |now, last| now.holder_stack != last.sample.holder_stack,
            |pass, now, _| pass.stack(&mut now.holder_stack),
        ),
    ];
    let mut bits = 0;
    if !P::READS {
        let other_loop = (before.event_loop != sample.event_loop.0, bit::OTHER_LOOP);
        let last = before.of_loop(sample.event_loop.0);
        let changed = fields.iter().map(|(bit, has_changed, _)| (has_changed(sample, last), *bit));
        let flags = [(sample.torn, bit::TORN), (sample.moved, bit::MOVED), (sample.collecting, bit::COLLECTING)];
        bits = sum(changed.chain(flags).chain([other_loop]));
    }
    let mut bytes = bits.to_le_bytes();
    bytes.iter_mut().try_for_each(|byte| pass.byte(byte))?;
    bits = u16::from_le_bytes(bytes);
    let has = |bit: u16| bits & bit != 0;
    let mut number = if has(bit::OTHER_LOOP) { sample.event_loop.0 } else { before.event_loop };
    if has(bit::OTHER_LOOP) {
        pass.number(&mut number)?;
    }
    inside(number.into(), pass.len_of(Table::Loops))?;
    let last = before.of_loop(number);
    if P::READS {
        *sample = LoopSample { at_ns: sample.at_ns, event_loop: LoopNo(number), ..last.sample.clone() };
    }
    (sample.torn, sample.moved, sample.collecting) = (has(bit::TORN), has(bit::MOVED), has(bit::COLLECTING));
    fields.iter().filter(|field| has(field.0)).try_for_each(|(_, _, field)| field(pass, sample, last))
}

fn sum<B: Default + BitOr<Output = B>>(bits: impl IntoIterator<Item = (bool, B)>) -> B {
    bits.into_iter().filter(|(set, _)| *set).fold(B::default(), |bits, (_, bit)| bits | bit)
}

fn gil<P: Pass>(pass: &mut P, gil: &mut Gil) -> Result {
    pass.code(gil)?;
    if let Gil::Other(Some(thread)) = gil { pass.signed(thread) } else { Ok(()) }
}

/// A reader starts from the last values.
fn kernel<P: Pass>(pass: &mut P, last: &KernelLook, look: &mut Option<KernelLook>) -> Result {
    use codes::kernel as bit;
    let look = look.get_or_insert_with(|| last.clone());
    let mut present = sum([
        (look.doing != last.doing, bit::DOING_CHANGED),
        (look.run_ns.is_some(), bit::RUN),
        (look.starved_ns.is_some(), bit::STARVED),
        (look.throttled_us.is_some(), bit::THROTTLED),
        (look.holder_run_ns.is_some(), bit::HOLDER_RUN),
    ]);
    pass.byte(&mut present)?;
    if present & !bit::ALL != 0 {
        return Err(Malformed("a code has no meaning"));
    }
    if present & bit::DOING_CHANGED != 0 {
        pass.code(&mut look.doing)?;
        if let Doing::Call { name, number, fd } = &mut look.doing {
            pass.optional_text(name)?;
            pass.number(number)?;
            pass.optional(fd, 0, P::signed)?;
        }
    }
    let clocks = [
        (bit::RUN, &mut look.run_ns, last.run_ns),
        (bit::STARVED, &mut look.starved_ns, last.starved_ns),
        (bit::THROTTLED, &mut look.throttled_us, last.throttled_us),
        (bit::HOLDER_RUN, &mut look.holder_run_ns, last.holder_run_ns),
    ];
    for (bit, value, last) in clocks {
        if present & bit == 0 {
            *value = None;
        } else {
            pass.difference(last.unwrap_or(0), value.get_or_insert(0))?;
        }
    }
    Ok(())
}

fn changes<P: Pass>(pass: &mut P, changes: &mut TaskChanges) -> Result {
    let unseen =
        TaskLook { task: TaskNo(0), born: false, state: TaskState::Unknown, stack: None, torn: false, wait: None };
    pass.varint(&mut changes.took_ns)?;
    pass.number(&mut changes.total)?;
    let mut bits = sum([
        (changes.complete, codes::changes::COMPLETE),
        (changes.contexts.is_some(), codes::changes::CONTEXTS),
        (!changes.timers.is_empty(), codes::changes::TIMERS),
    ]);
    pass.byte(&mut bits)?;
    if bits & !codes::changes::ALL != 0 {
        return Err(Malformed("a code has no meaning"));
    }
    changes.complete = bits & codes::changes::COMPLETE != 0;
    if bits & codes::changes::CONTEXTS == 0 {
        changes.contexts = None;
    } else {
        pass.varint(changes.contexts.get_or_insert(0))?;
    }
    let (tasks, mut before) = (pass.len_of(Table::Tasks), 0);
    pass.list(&mut changes.changed, &unseen, |pass, look| {
        pass.follow_entry(&mut before, &mut look.task.0, tasks)?;
        pass.pose(look)
    })?;
    pass.tasks(&mut changes.ended)?;
    if bits & codes::changes::TIMERS == 0 {
        changes.timers.clear();
        return Ok(());
    }
    let (mut before, mut timer) = (0, 0);
    pass.list(&mut changes.timers, &(TaskNo(0), 0), |pass, (task, deadline)| {
        pass.follow_entry(&mut before, &mut task.0, tasks)?;
        pass.follow(&mut timer, deadline)
    })
}

/// A task change without the task. There are few distinct ones: most tasks do what others do, or what they did before.
pub(super) fn pose<P: Pass>(pass: &mut P, look: &mut TaskLook) -> Result {
    pass.code(&mut look.state)?;
    pass.flag(&mut look.torn)?;
    pass.stack(&mut look.stack)?;
    let unknown = TaskWait { kind: WaitKind::Other, detail: None, tasks: Vec::new(), held_by: Vec::new() };
    pass.optional(&mut look.wait, unknown, |pass, wait| {
        pass.code(&mut wait.kind)?;
        // A shortened text could not be decoded.
        let detail = wait.detail.as_ref().map(wait_detail::encode).filter(|detail| detail.len() <= MAX_TEXT);
        let mut detail = detail.map(Arc::from);
        pass.optional_text(&mut detail)?;
        if P::READS {
            pass.charge(detail.as_ref().map_or(0, |detail| detail.len() / 64))?;
            wait.detail = detail.as_deref().map(wait_detail::decode);
        }
        pass.tasks(&mut wait.tasks)?;
        pass.tasks(&mut wait.held_by)
    })
}

fn empty_finding() -> KeptFinding {
    let (rule, severity) = (RuleId::new(""), Severity::Info);
    let (message, advice) = (String::new(), String::new());
    let finding = Finding { rule, severity, message, tasks: Vec::new(), evidence: Evidence::new(), advice };
    KeptFinding { finding, tasks: Vec::new(), site: None }
}

fn finding<P: Pass>(pass: &mut P, kept: &mut KeptFinding) -> Result {
    let finding = &mut kept.finding;
    let mut rule = finding.rule.as_str().to_owned();
    pass.copied_text(&mut rule)?;
    pass.code(&mut finding.severity)?;
    pass.copied_text(&mut finding.message)?;
    pass.copied_text(&mut finding.advice)?;
    // Text that is too long would be cut and could not be parsed again.
    let evidence = finding.evidence.iter().map(|(name, value)| (name.clone(), value.to_string().into()));
    let mut evidence: Vec<(String, Arc<str>)> =
        evidence.filter(|(_, json): &(_, Arc<str>)| json.len() <= MAX_TEXT).collect();
    pass.list(&mut evidence, &Default::default(), |pass, (name, json)| {
        pass.copied_text(name)?;
        pass.shared_text(json)
    })?;
    if P::READS {
        finding.rule = RuleId::from_file(&rule);
        for (name, json) in evidence {
            // Two bytes of input can become a value of 32 bytes.
            pass.charge(json.len() / 2)?;
            let value = serde_json::from_str(&json).map_err(|_| Malformed("evidence is not JSON"))?;
            finding.evidence.insert(name, value);
        }
    }
    pass.tasks(&mut kept.tasks)?;
    let mut above = kept.site.as_ref().map_or(0, |frame| pass.frame_number(frame) + 1);
    pass.varint(&mut above)?;
    match above.checked_sub(1) {
        None => kept.site = None,
        Some(number) => pass.frame_at(number, &mut kept.site)?,
    }
    Ok(())
}

fn health(pass: &mut impl Pass, health: &mut Health) -> Result {
    let Health { loop_samples, task_snapshots, dropped, lost, torn, partial, late, cpu_ns, longest_gap_ns, .. } =
        health;
    for count in [loop_samples, task_snapshots, dropped, lost, torn, partial, late, cpu_ns, longest_gap_ns] {
        pass.varint(count)?;
    }
    pass.float(&mut health.loop_rate_hz)?;
    pass.float(&mut health.task_rate_hz)?;
    use codes::health as bit;
    let was_stopped = health.stops != StopTotals::default();
    let mut bits = sum([(health.lowered_rate, bit::LOWERED), (was_stopped, bit::STOPS)]);
    pass.byte(&mut bits)?;
    if bits & !bit::ALL != 0 {
        return Err(Malformed("a code has no meaning"));
    }
    health.lowered_rate = bits & bit::LOWERED != 0;
    if bits & bit::STOPS != 0 {
        let StopTotals { stops, stopped_ns, longest_ns, cut_short, without } = &mut health.stops;
        for count in [stops, stopped_ns, longest_ns, cut_short, without] {
            pass.varint(count)?;
        }
    }
    Ok(())
}
