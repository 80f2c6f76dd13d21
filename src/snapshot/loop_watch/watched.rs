//! One event loop under watch: its thread's stack and all that is read along with it, and what they say together. It must
//! not know when it is looked at.

use std::hash::{Hash as _, Hasher as _};

use rustc_hash::{FxHashMap, FxHasher};

use super::naming::Naming;
use super::running::{RunningTask, Traces, find_running_task};
use super::{Around, Place};
use crate::python::frame::{RawFrame, untag};
use crate::python::interpreter::Interpreter;
use crate::python::layout::{Gil as GilLayout, Layout, RunningLoop};
use crate::python::reader::{Reader, optional};
use crate::python::stack::read_thread_stack;
use crate::python::stack_watch::{Sampled, StackWatch};
use crate::runtime::event_loop::{find_ready_length, read_loop_class};
use crate::runtime::iteration::{RunOnce, UvLoop};
use crate::runtime::registry::AsyncioModules;
use crate::snapshot::event::{Doing, Gil, KernelLook, LoopSample, Phase};
use crate::snapshot::tables::{LoopInfo, StackId, Tables};
use crate::target::kernel_thread::{SystemCall, ThreadState};
use crate::target::thread_watch::ThreadWatch;
use crate::target::{Addr, Memory, ReadError, Span};

/// Bytes around the GIL's note of its last holder in which a thread that waits for the GIL sleeps: the lock's mutexes and
/// conditions are in the same structure. CPython: Include/internal/pycore_gil.h, `struct _gil_runtime_state`.
const GIL_BEFORE: u64 = 16;
const GIL_BEHIND: u64 = 240;

/// How long a loop is away from its selector before the kernel is asked what its thread does, nanoseconds: what takes
/// less is no trouble. It is not asked more often than that either.
const PATIENCE_NS: u64 = 1_000_000;

/// How often the slower questions are asked (account with the scheduler, state, throttling, the stack of who holds the GIL).
const SLOW_LOOK_NS: u64 = 5_000_000;

/// Float objects in which the time of an iteration was found lately; the next iteration mostly uses one of them again.
const FLOATS: usize = 3;

/// How far a loop's own clock may be from ours before it is another clock, nanoseconds.
const CLOCK_AHEAD_NS: u64 = 1_000_000;

/// LIMIT: tasks that are remembered until everything is forgotten.
const MAX_TASKS: usize = 4_096;

/// LIMIT: stacks whose names are kept.
const MAX_NAMED: usize = 16_384;

/// How a loop says where it is in its iteration.
enum Kind {
    /// asyncio's own: by the frame of `_run_once`.
    RunOnce,
    /// libuv's.
    Uv(UvLoop),
}

/// A stack that was named.
#[derive(Clone, Copy)]
struct Named {
    /// The stack without its innermost frame.
    caller: Option<StackId>,
    outer: u16,
    coroutines: u16,
    /// Position of the iteration's frame, innermost first.
    run_once: Option<usize>,
}

/// One loop and its thread.
pub(super) struct WatchedLoop {
    pub(super) stack: StackWatch,
    pub(super) info: LoopInfo,
    event_loop: Addr,
    modules: AsyncioModules,
    kind: Kind,
    kernel: Option<ThreadWatch>,
    gil: Option<Span>,
    locked_within: usize,
    holder_within: usize,
    collecting: Option<Span>,
    ready: Option<Span>,
    run_once: Option<RunOnce>,
    run_once_is_new: bool,
    floats: Vec<Addr>,
    task: Option<RunningTask>,
    /// The task was the same in two samples: from then on its identity is read along with the stack.
    task_again: bool,
    /// Tasks that were seen running, by their coroutine.
    tasks: FxHashMap<Addr, RunningTask>,
    naming: Naming,
    named: FxHashMap<u64, Named>,
    /// Frames on the stack of an idle loop whose iteration is written in C.
    idle_frames: Option<usize>,
    last_innermost: Option<(Addr, RawFrame)>,
    /// libuv: the iteration and when it began.
    iteration: Option<(u64, u64)>,
    looked_ns: u64,
    looked_slowly_ns: u64,
    beside: Vec<Span>,
    amid: Vec<Span>,
}

/// What one call showed of the iteration.
struct Where {
    phase: Phase,
    away_since_ns: Option<u64>,
    precision_ns: u32,
    callback: Option<u64>,
}

impl WatchedLoop {
    /// Finds out what there is to know of a loop before it is looked at.
    pub(super) fn find(
        reader: &mut Reader<'_, '_>,
        memory: &dyn Memory,
        around: &Around,
        place: Place<'_>,
        now_ns: u64,
    ) -> Result<Self, ReadError> {
        let layout = &around.layout;
        let class = read_loop_class(reader, place.event_loop)?;
        let ready = optional(find_ready_length(reader, place.event_loop))?.flatten();
        let uv = optional(UvLoop::find(reader.view, place.event_loop, now_ns))?.flatten();
        let interpreter = place.interpreter;
        let (gil, locked_within, holder_within) = gil_span(reader, around, interpreter)?;
        let gc_base = if layout.gc.in_runtime { around.runtime } else { interpreter.addr };
        let info = place.info(around, &class);
        let thread = place.thread.addr;
        let mut fields = Vec::new();
        fields.extend(layout.thread.running_task);
        fields.extend(layout.thread.state);
        fields.extend(layout.thread.gil_requested);
        if let RunningLoop::Field(at) = layout.thread.running_loop {
            fields.push(at);
        }
        Ok(Self {
            stack: StackWatch::new(memory, layout, thread, &fields)?,
            kernel: info.thread.map(|tid| ThreadWatch::open(&around.process, tid)),
            info,
            event_loop: place.event_loop,
            modules: place.modules,
            kind: uv.map_or(Kind::RunOnce, Kind::Uv),
            gil,
            locked_within,
            holder_within,
            collecting: gc_base.add(layout.gc.collecting).map(|addr| Span::new(addr, 4)),
            ready: ready.map(|addr| Span::new(addr, 8)),
            run_once: None,
            run_once_is_new: false,
            floats: Vec::new(),
            task: None,
            task_again: false,
            tasks: FxHashMap::default(),
            naming: Naming::default(),
            named: FxHashMap::default(),
            idle_frames: None,
            last_innermost: None,
            iteration: None,
            looked_ns: 0,
            looked_slowly_ns: 0,
            beside: Vec::new(),
            amid: Vec::new(),
        })
    }

    /// Whether another finding is of the same loop in the same thread.
    pub(super) fn is_the_same_as(&self, other: &Self) -> bool {
        self.info.key == other.info.key
            && self.stack.tstate() == other.stack.tstate()
            && self.info.thread == other.info.thread
    }

    /// Takes over what was found out anew, and forgets what is known by address.
    pub(super) fn renew(&mut self, found: Self) {
        (self.kind, self.gil, self.ready, self.modules) = (found.kind, found.gil, found.ready, found.modules);
        (self.locked_within, self.holder_within) = (found.locked_within, found.holder_within);
        self.naming.forget();
        self.named.clear();
        self.run_once = None;
        self.task = None;
        self.task_again = false;
        self.tasks.clear();
        self.stack.forget();
    }

    pub(super) fn forget_numbers(&mut self) {
        self.naming.forget_numbers();
        self.named.clear();
    }

    /// Takes a sample; `None` when nothing held together.
    pub(super) fn sample(
        &mut self,
        memory: &dyn Memory,
        around: &Around,
        tables: &mut Tables,
        at_ns: u64,
    ) -> Result<Option<LoopSample>, ReadError> {
        let layout = &around.layout;
        let Some((sampled, named, stack)) = self.read(memory, around, tables)? else { return Ok(None) };
        let torn = sampled == Sampled::Partial;
        let innermost = self.stack.frames().first().and_then(|frame| Some((frame.addr, frame.frame?)));
        let moved = innermost != self.last_innermost;
        self.last_innermost = innermost;
        let gil = self.gil_state(around);
        let running = self.running_task(memory, around, &named)?;
        let place = self.whereabouts(layout, &named, at_ns, gil, running.is_some());
        let task = running.map(|task| tables.add_task(&task.info));
        let mut sample = LoopSample {
            at_ns,
            event_loop: tables.add_loop(&self.info),
            phase: place.phase,
            away_since_ns: place.away_since_ns,
            away_precision_ns: place.precision_ns,
            callback: place.callback,
            task,
            stack,
            outer: named.outer,
            coroutines: named.coroutines,
            torn,
            moved,
            ready: self.ready_length(),
            gil,
            collecting: self.is_collecting(),
            generation: None,
            kernel: None,
            holder_stack: None,
        };
        self.ask_kernel(memory, around, tables, &mut sample)?;
        Ok(Some(sample))
    }

    /// Reads the stack and what belongs to it, until the time of the iteration is among it.
    fn read(
        &mut self,
        memory: &dyn Memory,
        around: &Around,
        tables: &mut Tables,
    ) -> Result<Option<(Sampled, Named, Option<StackId>)>, ReadError> {
        /// LIMIT: how often a float object is chased that is a new one each time.
        const CHASES: usize = 4;
        let layout = &around.layout;
        for chase in 0.. {
            self.gather_spans(layout);
            let sampled = self.stack.sample(memory, layout, &self.beside, &self.amid)?;
            if sampled == Sampled::Lost {
                return Ok(None);
            }
            let Some((named, stack)) = self.name(memory, layout, tables, sampled)? else { return Ok(None) };
            if self.run_once_is_new {
                // Its locals were not among what was read.
                self.run_once_is_new = false;
                continue;
            }
            match self.end_time(layout, &named) {
                Some(addr) if !self.floats.contains(&addr) && chase < CHASES => {
                    self.floats.insert(0, addr);
                    self.floats.truncate(FLOATS);
                }
                _ => return Ok(Some((sampled, named, stack))),
            }
        }
        Ok(None)
    }

    fn gather_spans(&mut self, layout: &Layout) {
        self.beside.clear();
        self.beside.extend(self.gil);
        self.beside.extend(self.collecting);
        self.beside.extend(self.ready);
        if self.task_again {
            self.beside.extend(self.task.iter().flat_map(RunningTask::spans));
        }
        self.amid.clear();
        match self.kind {
            Kind::RunOnce => {
                let at = layout.builtin.float_value;
                self.amid.extend(self.floats.iter().filter_map(|addr| Some(Span::new(addr.add(at)?, 8))));
            }
            Kind::Uv(uv) => {
                self.amid.push(Span::new(uv.time, 8));
                self.amid.extend(uv.count.map(|addr| Span::new(addr, 8)));
            }
        }
    }

    /// Numbers of what the stack shows.
    fn name(
        &mut self,
        memory: &dyn Memory,
        layout: &Layout,
        tables: &mut Tables,
        sampled: Sampled,
    ) -> Result<Option<(Named, Option<StackId>)>, ReadError> {
        let complete = sampled != Sampled::Partial;
        let known = self.named.get(&self.stack.fingerprint()).copied().filter(|_| complete);
        let named = match known {
            Some(named) => named,
            None => {
                self.naming.verify(memory, layout, self.stack.frames())?;
                let Some(named) = optional(self.name_callers(memory, layout, tables, complete))? else {
                    return Ok(None);
                };
                if complete {
                    if self.named.len() >= MAX_NAMED {
                        self.named.clear();
                    }
                    self.named.insert(self.stack.fingerprint(), named);
                }
                named
            }
        };
        let innermost = self.stack.frames().iter().find_map(|frame| frame.frame);
        let Some(innermost) = innermost else { return Ok(Some((named, None))) };
        let stack = self.naming.stack(memory, layout, tables, named.caller, &innermost);
        Ok(optional(stack)?.map(|stack| (named, Some(stack))))
    }

    fn name_callers(
        &mut self,
        memory: &dyn Memory,
        layout: &Layout,
        tables: &mut Tables,
        complete: bool,
    ) -> Result<Named, ReadError> {
        let frames: Vec<RawFrame> = self.stack.frames().iter().rev().filter_map(|frame| frame.frame).collect();
        let mut named = Named { caller: None, outer: 0, coroutines: 0, run_once: None };
        let mut outer = None;
        let mut run_once = None;
        for (position, frame) in frames.iter().enumerate() {
            let stack = self.naming.stack(memory, layout, tables, named.caller, frame)?;
            if position + 1 < frames.len() {
                named.caller = Some(stack);
            }
            let mut view = crate::target::View::new(memory);
            let mut reader = Reader::new(&mut view, layout, &mut self.naming.caches);
            if let Some(found) = RunOnce::find(&mut reader, frame)? {
                (run_once, outer) = (Some((found, frame.locals)), Some(position + 1));
            } else if outer == Some(position) && is_machinery(tables, stack) {
                outer = Some(position + 1);
            }
        }
        if let Some((found, locals)) = run_once {
            named.run_once = self.stack.frames().iter().position(|f| f.frame.is_some_and(|f| f.locals == locals));
            if self.run_once != Some(found) {
                self.run_once = Some(found);
                self.run_once_is_new = true;
                self.stack.want_locals(found.code, found.slots);
            }
        }
        let first_coroutine = frames.iter().position(|frame| frame.generator.is_some());
        let outer = outer.or(first_coroutine).or(self.idle_frames).unwrap_or(if complete { frames.len() } else { 0 });
        let outer = outer.min(frames.len());
        named.outer = u16::try_from(outer).unwrap_or(u16::MAX);
        let coroutines = frames[outer..].iter().take_while(|frame| frame.generator.is_some()).count();
        named.coroutines = u16::try_from(coroutines).unwrap_or(u16::MAX);
        Ok(named)
    }

    /// The float object that says when the iteration began.
    fn end_time(&self, layout: &Layout, named: &Named) -> Option<Addr> {
        let frame = self.stack.frames().get(named.run_once?)?;
        untag(layout, self.stack.slot(frame, self.run_once?.end_time)?)
    }

    fn whereabouts(&mut self, layout: &Layout, named: &Named, at_ns: u64, gil: Gil, in_task: bool) -> Where {
        match self.kind {
            Kind::Uv(uv) => self.uv_whereabouts(uv, at_ns, gil, in_task),
            Kind::RunOnce => self.asyncio_whereabouts(layout, named, at_ns, gil),
        }
    }

    fn asyncio_whereabouts(&mut self, layout: &Layout, named: &Named, at_ns: u64, gil: Gil) -> Where {
        let unknown = |phase| Where { phase, away_since_ns: None, precision_ns: 0, callback: None };
        let (Some(position), Some(run_once)) = (named.run_once, self.run_once) else {
            return unknown(if named.coroutines > 0 { Phase::Away } else { Phase::Unknown });
        };
        let Some(frame) = self.stack.frames().get(position) else { return unknown(Phase::Unknown) };
        let Some(end_time) = self.stack.slot(frame, run_once.end_time) else { return unknown(Phase::Unknown) };
        let Some(object) = untag(layout, end_time) else { return unknown(self.in_selector(gil)) };
        let since = self.float(object).and_then(|seconds| as_ns(seconds, at_ns));
        let mut callback = FxHasher::default();
        since.hash(&mut callback);
        self.stack.slot(frame, run_once.handle).hash(&mut callback);
        run_once.position.map(|slot| self.stack.slot(frame, slot)).hash(&mut callback);
        Where { phase: Phase::Away, away_since_ns: since, precision_ns: 1, callback: since.map(|_| callback.finish()) }
    }

    /// Before an iteration has noted its time it is in its selector, on the way there or on the way back.
    fn in_selector(&self, gil: Gil) -> Phase {
        match gil {
            Gil::Free => Phase::Selecting,
            Gil::Own => Phase::LeavingSelector,
            Gil::Other(_) | Gil::None | Gil::Unknown => match self.system_call() {
                Some(call) if call.is_selector() => Phase::Selecting,
                Some(_) => Phase::LeavingSelector,
                None => Phase::Selecting,
            },
        }
    }

    fn uv_whereabouts(&mut self, uv: UvLoop, at_ns: u64, gil: Gil, in_task: bool) -> Where {
        let word = |number: usize| self.stack.amid(number)?.try_into().ok().map(u64::from_le_bytes);
        let count = uv.count.and_then(|_| word(1));
        let since = word(0).and_then(|ms| ms.checked_mul(1_000_000)).filter(|ns| *ns <= at_ns + CLOCK_AHEAD_NS);
        // libuv's time is also taken within an iteration, whenever a timer is started: the first one counts.
        let since = match (count, self.iteration, since) {
            (Some(count), Some((known, since)), Some(_)) if known == count => Some(since),
            (Some(count), _, Some(since)) => {
                self.iteration = Some((count, since));
                Some(since)
            }
            (_, _, since) => since,
        };
        let frames = self.stack.frames().iter().filter(|frame| frame.frame.is_some()).count();
        let at_rest = !in_task && self.idle_frames.is_none_or(|idle| frames <= idle);
        let call = if at_rest { self.system_call() } else { None };
        let phase = match call {
            _ if !at_rest => Phase::Away,
            Some(call) if call.is_selector() => Phase::Selecting,
            Some(call) if self.waits_for_gil(call) => Phase::LeavingSelector,
            // Callbacks without a Python frame, or libuv's own work.
            Some(_) if gil == Gil::Own => Phase::Away,
            Some(_) => Phase::Selecting,
            None => Phase::Unknown,
        };
        if phase == Phase::Selecting {
            self.idle_frames = Some(self.idle_frames.map_or(frames, |idle| idle.min(frames)));
            return Where { phase, away_since_ns: None, precision_ns: 0, callback: None };
        }
        let mut callback = FxHasher::default();
        count.hash(&mut callback);
        self.stack.thread_word(0).hash(&mut callback);
        self.task.as_ref().map(|task| task.info.key).hash(&mut callback);
        Where {
            phase,
            away_since_ns: since.filter(|_| phase == Phase::Away),
            precision_ns: 1_000_000,
            callback: count.map(|_| callback.finish()),
        }
    }

    /// The value of a float object that was read in the middle of the call.
    fn float(&self, object: Addr) -> Option<f64> {
        let number = self.floats.iter().position(|addr| *addr == object)?;
        self.stack.amid(number)?.try_into().ok().map(f64::from_le_bytes)
    }

    fn gil_state(&self, around: &Around) -> Gil {
        let Some(_) = self.gil else { return Gil::None };
        let Some(bytes) = self.stack.beside(0) else { return Gil::Unknown };
        let (locked, holder) = (word32(bytes, self.locked_within), word64(bytes, self.holder_within));
        match (locked, holder) {
            (Some(1), Some(holder)) if holder == self.stack.tstate().raw() => Gil::Own,
            (Some(1), Some(holder)) => {
                Gil::Other(Addr::new(holder).and_then(|addr| around.threads.get(&addr)).copied())
            }
            (Some(_), Some(_)) => Gil::Free,
            _ => Gil::Unknown,
        }
    }

    /// Number of the first piece behind those of the GIL.
    fn first_piece(&self) -> usize {
        usize::from(self.gil.is_some())
    }

    fn is_collecting(&self) -> bool {
        self.collecting.is_some()
            && self.stack.beside(self.first_piece()).and_then(|bytes| word32(bytes, 0)).is_some_and(|flag| flag != 0)
    }

    fn ready_length(&self) -> Option<u32> {
        self.ready?;
        let number = self.first_piece() + usize::from(self.collecting.is_some());
        let length = word64(self.stack.beside(number)?, 0)?;
        // LIMIT: a longer queue is none.
        u32::try_from(length).ok().filter(|length| *length < 1 << 28)
    }

    fn running_task(
        &mut self,
        memory: &dyn Memory,
        around: &Around,
        named: &Named,
    ) -> Result<Option<RunningTask>, ReadError> {
        let noted_at = around.layout.thread.running_task;
        let noted = noted_at.and_then(|at| self.stack.thread_word(at)).and_then(Addr::aligned);
        let root = self.stack.frames().iter().rev().find_map(|frame| frame.frame?.generator);
        if (noted_at.is_some() && noted.is_none()) || (noted_at.is_none() && root.is_none()) {
            return Ok(None);
        }
        let is_it = |task: &RunningTask| task.is(noted, root);
        if self.task.as_ref().is_some_and(is_it) && self.task_is_unchanged(memory)? {
            self.task_again = true;
            return Ok(self.task.clone());
        }
        self.task_again = false;
        self.task = None;
        if let Some(known) = root.and_then(|root| self.tasks.get(&root)).filter(|task| is_it(task))
            && known.is_still_there(memory)?
        {
            self.task = Some(known.clone());
            return Ok(self.task.clone());
        }
        let frames: Vec<RawFrame> = self.stack.frames().iter().rev().filter_map(|frame| frame.frame).collect();
        let handle = named.run_once.zip(self.run_once).and_then(|(position, run_once)| {
            untag(&around.layout, self.stack.slot(self.stack.frames().get(position)?, run_once.handle)?)
        });
        let traces = Traces { event_loop: self.event_loop, modules: self.modules, noted, handle, frames: &frames };
        self.task = find_running_task(memory, around, &traces)?;
        if let Some(task) = &self.task {
            if self.tasks.len() >= MAX_TASKS {
                self.tasks.clear();
            }
            self.tasks.insert(task.coroutine(), task.clone());
        }
        Ok(self.task.clone())
    }

    fn task_is_unchanged(&self, memory: &dyn Memory) -> Result<bool, ReadError> {
        let Some(task) = &self.task else { return Ok(false) };
        let first = self.first_piece() + usize::from(self.collecting.is_some()) + usize::from(self.ready.is_some());
        if self.task_again { Ok(task.is_unchanged(&self.stack, first)) } else { task.is_still_there(memory) }
    }

    fn system_call(&self) -> Option<SystemCall> {
        self.kernel.as_ref()?.system_call()
    }

    fn waits_for_gil(&self, call: SystemCall) -> bool {
        let Some(gil) = self.gil else { return false };
        let start = gil.addr.raw() + self.holder_within as u64;
        call.futex().is_some_and(|word| (start.saturating_sub(GIL_BEFORE)..start + GIL_BEHIND).contains(&word))
    }

    /// Asks what the thread does in the kernel while the loop is away for some time.
    fn ask_kernel(
        &mut self,
        memory: &dyn Memory,
        around: &Around,
        tables: &mut Tables,
        sample: &mut LoopSample,
    ) -> Result<(), ReadError> {
        let waits = match sample.phase {
            Phase::LeavingSelector => true,
            Phase::Away => sample.away_since_ns.is_none_or(|since| since + PATIENCE_NS <= sample.at_ns),
            Phase::Selecting | Phase::NotRunning | Phase::Unknown => false,
        };
        let lately = self.looked_ns + PATIENCE_NS * 9 / 10 > sample.at_ns;
        let Some(kernel) = self.kernel.as_ref().filter(|_| waits && !lately) else { return Ok(()) };
        self.looked_ns = sample.at_ns;
        let call = kernel.system_call();
        let mut look = KernelLook { doing: Doing::Unknown, run_ns: None, starved_ns: None, throttled_us: None };
        look.doing = match call {
            Some(SystemCall::Running) => Doing::Running,
            Some(call) if self.waits_for_gil(call) => Doing::WaitingForGil,
            Some(SystemCall::None) => Doing::Fault,
            Some(call @ SystemCall::In { number, .. }) => {
                Doing::Call { name: call.name().map(Into::into), number, fd: call.descriptor() }
            }
            None => Doing::Unknown,
        };
        let slow = sample.at_ns.saturating_sub(self.looked_slowly_ns) >= SLOW_LOOK_NS;
        if slow {
            self.looked_slowly_ns = sample.at_ns;
            let schedule = kernel.schedule();
            look.run_ns = schedule.map(|schedule| schedule.run_ns);
            look.starved_ns = schedule.map(|schedule| schedule.wait_ns);
            look.throttled_us = kernel.throttled_us();
            if matches!(kernel.state(), Some(ThreadState::Stopped | ThreadState::Traced)) {
                look.doing = Doing::Stopped;
            }
            if look.doing == Doing::WaitingForGil {
                sample.holder_stack = self.holder_stack(memory, around, tables)?;
            }
        }
        sample.kernel = Some(look);
        Ok(())
    }

    /// The stack of the thread that holds the GIL.
    fn holder_stack(
        &mut self,
        memory: &dyn Memory,
        around: &Around,
        tables: &mut Tables,
    ) -> Result<Option<StackId>, ReadError> {
        let holder = self.stack.beside(0).and_then(|bytes| word64(bytes, self.holder_within)).and_then(Addr::aligned);
        let Some(holder) = holder.filter(|holder| around.threads.contains_key(holder)) else { return Ok(None) };
        let Some(read) = optional(read_thread_stack(memory, &around.layout, holder))? else { return Ok(None) };
        let mut stack = None;
        for frame in &read.frames {
            match optional(self.naming.stack(memory, &around.layout, tables, stack, frame))? {
                Some(number) => stack = Some(number),
                None => break,
            }
        }
        Ok(stack)
    }
}

/// Frames between `_run_once` and what it runs.
// CPython: Lib/asyncio/events.py, Handle._run; Lib/asyncio/tasks.py, Task.__step and its parts.
fn is_machinery(tables: &Tables, stack: StackId) -> bool {
    let frame = tables.stack(stack).and_then(|node| tables.frame(node.frame));
    frame.is_some_and(|frame| {
        let function = frame.function.rsplit('.').next().unwrap_or_default();
        (frame.file.ends_with("asyncio/events.py") && function == "_run")
            || (frame.file.ends_with("asyncio/tasks.py")
                && (function.starts_with("__step") || function.starts_with("__wakeup")))
    })
}

/// Where the GIL says whether it is taken and by whom, as one piece, and where in it.
fn gil_span(
    reader: &mut Reader<'_, '_>,
    around: &Around,
    interpreter: &Interpreter,
) -> Result<(Option<Span>, usize, usize), ReadError> {
    if !interpreter.has_gil {
        return Ok((None, 0, 0));
    }
    let (base, locked, holder) = match around.layout.interp.gil {
        GilLayout::Runtime { locked, last_holder } => (Some(around.runtime), locked, last_holder),
        GilLayout::Interpreter { pointer, locked, last_holder, .. } => {
            (reader.view.pointer(interpreter.addr, pointer)?, locked, last_holder)
        }
    };
    let first = locked.min(holder);
    let len = locked.max(holder) + 8 - first;
    let start = base.and_then(|base| base.add(first));
    Ok((start.map(|start| Span::new(start, len as usize)), (locked - first) as usize, (holder - first) as usize))
}

/// A loop's time in our nanoseconds, if it is the same clock.
fn as_ns(seconds: f64, at_ns: u64) -> Option<u64> {
    let ns = seconds * 1e9;
    (ns >= 0.0 && ns <= (at_ns + CLOCK_AHEAD_NS) as f64).then_some(ns as u64)
}

fn word64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

fn word32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}
