//! One watched event loop: its thread's stack and everything that is read along with it, and how they are combined.

mod elsewhere;
mod kernel_look;
mod position;
mod state;

use std::sync::Arc;

use rustc_hash::FxHashMap;

use self::elsewhere::Joined;
use self::kernel_look::gil_span;
use self::position::Observed;
pub(super) use self::state::WatchedLoop;
use self::state::{Kind, Named};
use super::around::{Around, Place};
use super::naming::Naming;
use super::running::{RunningTask, Traces, find_running_task};
use crate::model::event::LoopSample;
use crate::model::tables::{StackId, Tables, TaskNo};
use crate::python::frame::{RawFrame, untag};
use crate::python::layout::Layout;
use crate::python::reader::{Reader, optional};
use crate::python::stack_watch::{Sampled, StackWatch};
use crate::remote::thread_watch::ThreadWatch;
use crate::remote::{Addr, Memory, ReadError, Span, View};
use crate::runtime::asyncio::iteration::{
    InsideRunForever, InsideRunOnce, RunOnce, UvLoop, is_machinery, is_run_forever,
};
use crate::runtime::record::LoopFields;
use crate::runtime::runtimes::Runtimes;

/// Float objects in which the time of an iteration was found recently; the next iteration usually reuses one of them.
const FLOATS: usize = 3;

/// After this many samples that did not need a float it is no longer read: each costs two pieces of every sample.
const FLOAT_SAMPLES: u8 = 32;

/// LIMIT: tasks that are kept.
const MAX_TASKS: usize = 4_096;

/// LIMIT: stacks whose names are kept.
const MAX_NAMED: usize = 16_384;

impl WatchedLoop {
    /// Collects everything about a loop that is needed before it can be sampled.
    pub(super) fn find(
        reader: &mut Reader<'_, '_>,
        memory: &dyn Memory,
        around: &Around,
        runtimes: &mut Runtimes,
        place: Place<'_>,
        now_ns: u64,
    ) -> Result<Self, ReadError> {
        let layout = &around.layouts.python;
        let LoopFields { class_name, ready } =
            runtimes.of(reader, place.event_loop)?.find_loop(reader, place.event_loop)?;
        let uv = optional(UvLoop::find(reader.view, place.event_loop, now_ns))?.flatten();
        let interpreter = place.interpreter;
        let (gil, locked_within, holder_within) = gil_span(reader, around, interpreter)?;
        let gc_base = if layout.gc.in_runtime { around.runtime } else { interpreter.addr };
        let info = place.info(around, &class_name);
        let thread = place.thread.addr;
        let mut fields = Vec::new();
        fields.extend(layout.thread.state);
        fields.extend(layout.thread.gil_requested);
        let words = place.imported.thread_words();
        fields.extend(words.running_task.into_iter().chain(words.running_loop));
        let mut stack = StackWatch::new(memory, layout, thread, &fields)?;
        stack.expect_greenlets(place.has_greenlets);
        Ok(Self {
            stack,
            has_greenlets: place.has_greenlets,
            kernel: info.thread.map(|tid| ThreadWatch::open(&around.process, tid)),
            info,
            holder: None,
            event_loop: place.event_loop,
            imported: place.imported,
            kind: uv.map_or(Kind::RunOnce, Kind::Uv),
            gil,
            locked_within,
            holder_within,
            collecting: gc_base.add(layout.gc.state + layout.gc.collecting).map(|addr| Span::new(addr, 4)),
            ready: ready.map(|addr| Span::new(addr, 8)),
            run_once: None,
            run_once_is_new: false,
            floats: Vec::new(),
            task: None,
            task_again: false,
            tasks: FxHashMap::default(),
            naming: Naming::default(),
            named: FxHashMap::default(),
            last_iteration: None,
            idle: Vec::new(),
            number: None,
            numbered: None,
            roots: Vec::new(),
            last_roots: Vec::new(),
            poll: uv.and_then(|uv| uv.poll).filter(|fd| around.process.is_epoll(*fd)),
            last_innermost: None,
            iteration: None,
            contexts: None,
            counts_contexts: false,
            looked_ns: 0,
            looked_slowly_ns: 0,
            beside: Vec::new(),
            amid: Vec::new(),
            behind: Vec::new(),
            first_float: 0,
        })
    }

    /// Whether another finding is of the same loop in the same thread.
    pub(super) fn is_the_same_as(&self, other: &Self) -> bool {
        self.info.key == other.info.key
            && self.stack.tstate() == other.stack.tstate()
            && self.info.thread == other.info.thread
    }

    /// Takes over a new finding, and forgets everything known by address if a code object has been replaced.
    pub(super) fn renew(&mut self, found: Self, memory: &dyn Memory, layout: &Layout) -> Result<(), ReadError> {
        // libuv's time is found by its value, which is too old while the loop waits for long.
        if !matches!((&self.kind, &found.kind), (Kind::Uv(_), Kind::RunOnce)) {
            self.kind = found.kind;
        }
        (self.gil, self.ready, self.imported) = (found.gil, found.ready, found.imported);
        (self.locked_within, self.holder_within) = (found.locked_within, found.holder_within);
        self.has_greenlets = found.has_greenlets;
        self.stack.expect_greenlets(found.has_greenlets);
        // The state of a thread that has ended can be reused by another thread.
        self.holder = None;
        if !self.naming.still_holds(memory, layout)? {
            self.forget_code();
        }
        Ok(())
    }

    /// A code object was replaced: forgets everything known by the addresses of code.
    fn forget_code(&mut self) {
        self.named.clear();
        self.run_once = None;
        self.task = None;
        self.task_again = false;
        self.tasks.clear();
        self.stack.forget();
    }

    /// Makes sure that the code of these frames is unchanged, and is checked from now on.
    fn verify_code(&mut self, memory: &dyn Memory, layout: &Layout, frames: &[RawFrame]) -> Result<(), ReadError> {
        if !self.naming.verify(memory, layout, frames.iter().copied())? {
            self.forget_code();
            self.naming.verify(memory, layout, frames.iter().copied())?;
        }
        Ok(())
    }

    /// The tables were reset: their numbers are no longer valid.
    pub(super) fn on_tables_reset(&mut self) {
        self.naming.on_tables_reset();
        self.named.clear();
        (self.number, self.numbered) = (None, None);
    }

    /// Takes a sample; `None` if every attempt was torn.
    pub(super) fn sample(
        &mut self,
        memory: &dyn Memory,
        around: &Around,
        tables: &mut Tables,
        at_ns: u64,
    ) -> Result<Option<LoopSample>, ReadError> {
        let layout = &around.layouts.python;
        let Some((sampled, named, stack)) = self.read(memory, around, tables)? else { return Ok(None) };
        let torn = sampled == Sampled::Partial;
        let innermost = self.stack.frames().first().and_then(|frame| Some((frame.addr, frame.frame?)));
        let moved = innermost != self.last_innermost;
        self.last_innermost = innermost;
        let gil = self.gil_state(around);
        let running = self.running_task(memory, around, &named)?;
        let place = self.position(memory, layout, &named, at_ns, Observed { gil, torn, in_task: running.is_some() });
        let joined = match running.as_ref().filter(|_| self.roots.is_empty() && self.may_be_below_greenlet(&named)) {
            Some(task) => self.join_stacks(memory, layout, tables, task.coroutine())?,
            None => None,
        };
        let (stack, (outer, coroutines)) = match joined {
            Some(Joined { stack, outer, coroutines }) => (stack, (outer, coroutines)),
            None => (stack, self.split(&named, torn)),
        };
        let task = running.map(|task| self.task_number(tables, task));
        let mut sample = LoopSample {
            at_ns,
            event_loop: *self.number.get_or_insert_with(|| tables.add_loop(&self.info)),
            phase: place.phase,
            away_since_ns: place.away_since_ns,
            away_precision_ns: place.precision_ns,
            callback: place.callback,
            task,
            stack,
            outer,
            coroutines,
            torn,
            moved,
            ready: self.ready_length(),
            gil,
            collecting: self.is_collecting(),
            kernel: None,
            holder_stack: None,
        };
        self.ask_kernel(memory, around, tables, &mut sample)?;
        Ok(Some(sample))
    }

    fn task_number(&mut self, tables: &mut Tables, task: Arc<RunningTask>) -> TaskNo {
        match &self.numbered {
            Some((numbered, number)) if Arc::ptr_eq(numbered, &task) => *number,
            _ => {
                let number = tables.add_task(&task.info);
                self.numbered = Some((task, number));
                number
            }
        }
    }

    /// Reads the stack and what belongs to it, until the time of the iteration is part of it.
    fn read(
        &mut self,
        memory: &dyn Memory,
        around: &Around,
        tables: &mut Tables,
    ) -> Result<Option<(Sampled, Named, Option<StackId>)>, ReadError> {
        /// LIMIT: how many times a sample is retried because it shows a float object, or an iteration's code, that was
        /// not read along with it. Both can be new each time.
        const CHASES: usize = 4;
        let layout = &around.layouts.python;
        for chase in 0..=CHASES {
            self.gather_spans(layout);
            let sampled = self.stack.sample(memory, layout, &self.beside, &self.amid, &self.behind)?;
            if sampled == Sampled::Lost {
                return Ok(None);
            }
            let Some((named, stack)) = self.name(memory, layout, tables, sampled)? else { return Ok(None) };
            // The locals of an iteration whose code is new were not part of the reading.
            let mut is_known = !std::mem::take(&mut self.run_once_is_new);
            // The last attempt is judged by what was read.
            if let Some(addr) = self.end_time(layout, &named).filter(|_| is_known && chase < CHASES) {
                is_known = self.use_float(addr);
            }
            // A whole iteration fits into a call of some tens of microseconds: then the frame of `_run_once` was read in
            // one iteration, what it called in the next, and both of its readings can agree all the same.
            let is_one_iteration = self.end_time(layout, &named).is_none_or(|addr| self.is_unchanged_float(addr));
            if is_one_iteration && (is_known || chase == CHASES) {
                return Ok(Some((sampled, named, stack)));
            }
        }
        Ok(None)
    }

    /// Whether a float object was read along with the stack. From now on it is.
    fn use_float(&mut self, used: Addr) -> bool {
        self.floats.iter_mut().for_each(|(_, unused)| *unused = unused.saturating_add(1));
        let known = self.floats.iter_mut().find(|(addr, _)| *addr == used);
        let is_known = known.map(|(_, unused)| *unused = 0).is_some();
        if !is_known {
            self.floats.insert(0, (used, 0));
            self.floats.truncate(FLOATS);
        }
        is_known
    }

    fn gather_spans(&mut self, layout: &Layout) {
        self.beside.clear();
        self.beside.extend(self.gil);
        self.beside.extend(self.collecting);
        self.beside.extend(self.ready);
        if self.task_again {
            self.beside.extend(self.task.iter().flat_map(|task| task.spans()));
        }
        self.amid.clear();
        self.behind.clear();
        match self.kind {
            Kind::RunOnce => {
                let at = layout.builtin.float_value;
                self.floats.retain(|(_, unused)| *unused < FLOAT_SAMPLES);
                self.behind.extend(self.floats.iter().filter_map(|(addr, _)| Some(Span::new(addr.add(at)?, 8))));
                self.first_float = self.beside.len();
                self.beside.extend(&self.behind);
                if self.run_once.is_none() {
                    let switches = self.stack.tstate().add(layout.thread.context_switches);
                    self.amid.extend(switches.map(|addr| Span::new(addr, 8)));
                }
            }
            Kind::Uv(uv) => {
                self.amid.push(Span::new(uv.time, 8));
                self.amid.extend(uv.count.map(|addr| Span::new(addr, 8)));
            }
        }
    }

    /// The table numbers of what the stack shows.
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
                let frames: Vec<RawFrame> = self.stack.frames().iter().filter_map(|frame| frame.frame).collect();
                self.verify_code(memory, layout, &frames)?;
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
        Ok(optional(stack)?.map(|stack| (named, stack)))
    }

    fn name_callers(
        &mut self,
        memory: &dyn Memory,
        layout: &Layout,
        tables: &mut Tables,
        complete: bool,
    ) -> Result<Named, ReadError> {
        let frames: Vec<RawFrame> = self.stack.frames().iter().rev().filter_map(|frame| frame.frame).collect();
        let mut named = Named::new(complete);
        let (mut run_once, mut inside) = (None, InsideRunOnce::default());
        let mut foreign = matches!(self.kind, Kind::RunOnce).then(InsideRunForever::default);
        for (position, frame) in frames.iter().enumerate() {
            let stack = self.naming.stack(memory, layout, tables, named.caller, frame)?;
            if position + 1 < frames.len() {
                named.caller = stack;
            }
            let mut view = View::new(memory);
            let mut reader = Reader::new(&mut view, layout, &mut self.naming.caches);
            let info = reader.code(frame.code)?;
            named.without_loop &= !is_run_forever(&mut reader, frame)?;
            named.at_thread_root |= position == 0 && info.begins_a_thread();
            let is_foreign = foreign.as_mut().is_some_and(|foreign| foreign.includes(&info.function, &info.file));
            if let Some(found) = RunOnce::find(&mut reader, frame)? {
                (foreign, named.without_loop) = (None, false);
                run_once = Some((found, frame.locals));
                (named.outer, named.interruption, inside) = (Some(position + 1), None, InsideRunOnce::default());
            } else if is_foreign || named.outer == Some(position) && is_machinery(&info.function, &info.file) {
                named.outer = Some(position + 1);
            } else if run_once.is_some()
                && named.interruption.is_none()
                && inside.is_interrupted_by(&info.function, &info.file)
            {
                (named.outer, named.interruption) = (Some(position), Some(position));
            }
        }
        named.inside = foreign.and_then(|foreign| foreign.place());
        if let Some((found, locals)) = run_once {
            named.run_once = self.stack.frames().iter().position(|f| f.frame.is_some_and(|f| f.locals == locals));
            if self.run_once != Some(found) {
                self.run_once = Some(found);
                self.run_once_is_new = true;
                self.stack.want_locals(found.code, found.slots);
            }
        }
        Ok(named)
    }

    fn running_task(
        &mut self,
        memory: &dyn Memory,
        around: &Around,
        named: &Named,
    ) -> Result<Option<Arc<RunningTask>>, ReadError> {
        let noted_at = self.imported.thread_words().running_task;
        let noted = noted_at.and_then(|at| self.stack.thread_word(at)).and_then(Addr::aligned);
        let mut roots = std::mem::take(&mut self.roots);
        self.find_roots(named, &mut roots);
        let found = self.running_task_of(memory, around, named, noted, &roots);
        self.roots = roots;
        found
    }

    fn running_task_of(
        &mut self,
        memory: &dyn Memory,
        around: &Around,
        named: &Named,
        noted: Option<Addr>,
        roots: &[RawFrame],
    ) -> Result<Option<Arc<RunningTask>>, ReadError> {
        if roots.len() <= 1 {
            self.last_roots.clear();
        }
        // A step below a greenlet has none of the task's coroutines on its stack.
        let is_below_greenlet = roots.is_empty() && self.may_be_below_greenlet(named);
        if noted.is_none() && roots.is_empty() && !is_below_greenlet {
            return Ok(None);
        }
        // One that was started eagerly runs within a step of another, and only the loop's own record tells which it is.
        let are_ambiguous = noted.is_none() && (is_below_greenlet || roots.len() > 1 && !self.are_last_roots(roots));
        let is_it = |task: &Arc<RunningTask>| !are_ambiguous && task.is(noted, roots);
        if self.task.as_ref().is_some_and(is_it) && self.task_is_unchanged(memory)? {
            self.task_again = true;
            return Ok(self.task.clone());
        }
        self.task_again = false;
        self.task = None;
        let known = roots.iter().rev().find_map(|root| self.tasks.get(&root.generator?).filter(|task| is_it(task)));
        if let Some(known) = known.filter(|_| noted.is_some() || roots.len() == 1)
            && known.is_still_there(memory)?
        {
            self.task = Some(known.clone());
            return Ok(self.task.clone());
        }
        let handle = named.run_once.zip(self.run_once).and_then(|(position, run_once)| {
            untag(&around.layouts.python, self.stack.slot(self.stack.frames().get(position)?, run_once.handle)?)
        });
        let traces = Traces { event_loop: self.event_loop, imported: &*self.imported, noted, handle, roots };
        self.task = find_running_task(memory, around, &traces)?.map(Arc::new);
        self.last_roots = roots.iter().filter_map(|root| root.generator).collect();
        if let Some(task) = &self.task {
            if self.tasks.len() >= MAX_TASKS {
                self.tasks.clear();
            }
            self.tasks.insert(task.coroutine(), task.clone());
        }
        Ok(self.task.clone())
    }

    /// The outermost frame of each row of coroutines (or generators) that the innermost iteration runs, outermost
    /// first. Each task that runs is one of them.
    fn find_roots(&self, named: &Named, roots: &mut Vec<RawFrame>) {
        let frames = self.stack.frames();
        let inner = match (named.run_once, &self.kind) {
            (Some(position), _) => position,
            (None, Kind::Uv(_)) => frames.len() - self.depth().begins(),
            (None, Kind::RunOnce) => frames.len(),
        };
        roots.clear();
        let mut was_generator = false;
        for frame in frames[..inner].iter().rev() {
            let generator = frame.frame.filter(|frame| frame.generator.is_some());
            // A shim of the interpreter lies between them: the outer one called C code, which runs the inner one.
            roots.extend(generator.filter(|_| !was_generator));
            was_generator = generator.is_some();
        }
    }

    fn are_last_roots(&self, roots: &[RawFrame]) -> bool {
        roots.iter().map(|root| root.generator).eq(self.last_roots.iter().map(|root| Some(*root)))
    }

    fn task_is_unchanged(&self, memory: &dyn Memory) -> Result<bool, ReadError> {
        let Some(task) = &self.task else { return Ok(false) };
        let first = self.first_piece() + usize::from(self.collecting.is_some()) + usize::from(self.ready.is_some());
        if self.task_again { Ok(task.is_unchanged(&self.stack, first)) } else { task.is_still_there(memory) }
    }
}
