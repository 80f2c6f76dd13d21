//! A running process as the tiers see it: the readers of the lower layers, and the kernel.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::capture::session::attach;
use crate::capture::session::{self, AttachError, Attachment, FailureKind};
use crate::model::Snapshot;
use crate::model::event::{LoopSample, StopTotals, TaskChanges};
use crate::model::tables::Tables;
use crate::remote::Process;
use crate::remote::live::LiveMemory;
use crate::remote::stopped::StopError;
use crate::remote::{GiveUp, MemoryLimit, Until};
use crate::watch::loops::{self, LoopWatch};
use crate::watch::tasks::TaskWatch;

use super::clock::{Clock, SystemClock};
use super::loop_tier::LAST_LOOK;
use super::readers::{Effort, LookError, LoopReader, Target, TaskReader};
use super::shared::lock;
use super::stops::Stops;
use super::target_state::{Sight, see};
use super::{Options, SECOND};

/// While waiting for Python to appear, this much of the time is spent on finding it: a twentieth.
const PATIENCE: u64 = 20;
const LEAST_WAIT: u64 = 2_000_000;
const LONGEST_WAIT: u64 = SECOND / 4;
/// The longer the wait has lasted, the less often we check: the pause is at least this part of the wait so far.
const WAITED: u64 = 50;
/// LIMIT: how long to wait for permission: a program in the middle of `exec` can appear forbidden.
const FORBIDDEN: u64 = 2 * SECOND;

/// A running process.
#[derive(Debug)]
pub(super) struct LiveTarget {
    process: Process,
    /// The result of the last attachment.
    attachment: Mutex<Arc<Attachment>>,
    generation: AtomicU64,
    stops: Option<Stops>,
    /// Ends looks at tasks that take too long at the end of the watch, or more CPU time than they may.
    give_up: GiveUp,
    /// How much memory this process may use.
    memory: MemoryLimit,
    /// The CPU time that the thread of the task tier may have used by then.
    task_cpu_limit: Arc<AtomicU64>,
}

/// Attaches to a process; waits for Python in it, if requested.
pub(super) fn open(pid: i32, options: &Options) -> Result<Arc<LiveTarget>, AttachError> {
    let clock = SystemClock;
    let begun = clock.now_ns();
    let mut reason = None;
    let attachment = loop {
        let before = clock.now_ns();
        let error = match attach(pid) {
            Ok(attachment) => break Arc::new(attachment),
            Err(error) => error,
        };
        let (now, kind) = (clock.now_ns(), error.kind());
        let is_hopeless = kind == FailureKind::Gone || (kind == FailureKind::Forbidden && now - begun > FORBIDDEN);
        if !options.wait_for_python || is_hopeless || options.stop.is_asked() {
            // That it is gone is less informative than why it could not be read while it was there.
            return Err(if kind == FailureKind::Gone { reason.unwrap_or(error) } else { error });
        }
        reason = Some(error);
        // A program that has not run Python for a long time is unlikely to do so within milliseconds.
        let least = LEAST_WAIT.max((now - begun) / WAITED);
        clock.sleep_until(now + ((now - before) * PATIENCE).max(least).min(LONGEST_WAIT));
    };
    let process = attachment.process.clone();
    let stops = options.stops.map(Stops::new);
    if let Some(stops) = &stops {
        stops.try_once(&process)?;
    }
    let (attachment, task_cpu_limit) = (Mutex::new(attachment), Arc::new(AtomicU64::new(u64::MAX)));
    let give_up = give_up(options, &task_cpu_limit);
    let (generation, memory) = (AtomicU64::new(0), options.memory);
    Ok(Arc::new(LiveTarget { process, attachment, generation, stops, give_up, memory, task_cpu_limit }))
}

/// When the reading of tasks is given up.
fn give_up(options: &Options, task_cpu_limit: &Arc<AtomicU64>) -> GiveUp {
    let (limit, at_end) = (task_cpu_limit.clone(), options.stop.give_up_after(LAST_LOOK));
    GiveUp::when(move || at_end.is_due() || SystemClock.thread_cpu_ns() > limit.load(Ordering::Relaxed))
}

impl LiveTarget {
    /// The result of the last attachment.
    pub(super) fn attachment(&self) -> Arc<Attachment> {
        lock(&self.attachment).clone()
    }

    fn access(&self) -> Access {
        Access { process: self.process.clone(), memory: LiveMemory::of(&self.process), stops: self.stops.clone() }
    }
}

impl Target for LiveTarget {
    fn see(&self) -> Sight {
        see(&self.process, self.attachment().program.as_ref(), self.stops.is_some())
    }

    fn attach(&self) -> Result<bool, AttachError> {
        // The watched process, not the one that has its id now.
        let found = Attachment::to(self.process.clone())?;
        let mut current = lock(&self.attachment);
        let (old, new) = (&current.facts, &found.facts);
        let is_new = current.program != found.program
            || (old.runtime, old.asyncio_debug, old.minor) != (new.runtime, new.asyncio_debug, new.minor);
        *current = Arc::new(found);
        if is_new {
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
        Ok(is_new)
    }

    fn stops(&self) -> StopTotals {
        self.stops.as_ref().map(Stops::totals).unwrap_or_default()
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    fn loops(&self) -> Result<Box<dyn LoopReader>, LookError> {
        let watch = LoopWatch::new(&self.attachment())?;
        Ok(Box::new(Loops { watch, access: self.access(), told: loops::Effort::default() }))
    }

    fn tasks(&self) -> Result<Box<dyn TaskReader>, LookError> {
        let memory = Until { memory: LiveMemory::of(&self.process), give_up: Some(self.give_up.clone()) };
        let attachment = self.attachment();
        let mut watch = TaskWatch::new(Box::new(memory), attachment.facts.runtime, attachment.layouts.clone())?;
        watch.limit_memory(self.memory);
        Ok(Box::new(Tasks { watch, access: self.access(), torn: 0 }))
    }

    fn allow_ns(&self, cpu_ns: u64) {
        let limit = SystemClock.thread_cpu_ns().saturating_add(cpu_ns);
        self.task_cpu_limit.store(limit, Ordering::Relaxed);
    }

    fn snapshot(&self) -> Result<Snapshot, AttachError> {
        let longest_stop = self.stops.as_ref().filter(|stops| stops.may_stop()).map(|stops| stops.longest());
        let snapshot = session::take(
            &self.attachment(),
            &session::Options { longest_stop, give_up: Some(self.give_up.clone()), memory: self.memory },
            &|_| {},
        )?;
        if let (Some(stops), Some(stop)) = (&self.stops, snapshot.stop) {
            stops.count(stop);
        }
        Ok(snapshot)
    }
}

/// How to read memory.
struct Access {
    process: Process,
    memory: LiveMemory,
    stops: Option<Stops>,
}

impl Access {
    /// Runs `look`, with the process stopped if requested. Returns for how many nanoseconds it was, too.
    fn look<T>(&self, look: impl FnOnce(&LiveMemory) -> T) -> Result<(T, u64), StopError> {
        match &self.stops {
            None => Ok((look(&self.memory), 0)),
            Some(stops) => stops.look(&self.process, || look(&self.memory)),
        }
    }
}

struct Loops {
    watch: LoopWatch,
    access: Access,
    /// The effort reported so far; the watch counts from its beginning.
    told: loops::Effort,
}

impl LoopReader for Loops {
    fn sample(&mut self, tables: &mut Tables, at_ns: u64, out: &mut Vec<LoopSample>) -> Result<Effort, LookError> {
        let (before, first, mut stopped_ns) = (self.watch.effort(), out.len(), 0);
        for stop in 1..=loops::STOPS {
            let (sampled, ns) = self.access.look(|memory| self.watch.sample(memory, tables, at_ns, out))?;
            sampled?;
            stopped_ns += ns;
            let is_whole = self.watch.effort().is_whole_since(&before);
            if is_whole || self.access.stops.is_none() || stop == loops::STOPS {
                break;
            }
            self.watch.try_again(&before);
            out.truncate(first);
            std::thread::sleep(loops::MOMENT);
        }
        let (now, told) = (self.watch.effort(), self.told);
        self.told = now;
        Ok(Effort {
            torn: now.torn.saturating_sub(told.torn),
            dropped: now.dropped.saturating_sub(told.dropped),
            partial: now.partial.saturating_sub(told.partial),
            stopped_ns,
            is_full: false,
        })
    }

    fn rediscover(&mut self, now_ns: u64) -> Result<bool, LookError> {
        self.access.look(|memory| self.watch.rediscover(memory, now_ns))?.0?;
        Ok(self.watch.loops() > 0)
    }

    fn forget_numbers(&mut self) {
        self.watch.on_tables_reset();
    }
}

struct Tasks {
    watch: TaskWatch,
    access: Access,
    /// The torn attempts reported so far; they are counted from the beginning.
    torn: u64,
}

impl TaskReader for Tasks {
    fn look(&mut self, tables: &mut Tables, at_ns: u64) -> Result<(TaskChanges, Effort), LookError> {
        let (changes, stopped_ns) = self.access.look(|_| self.watch.look(tables, at_ns))?;
        let changes = changes?;
        let torn = self.watch.stats().torn;
        let told = std::mem::replace(&mut self.torn, torn);
        let partial = !changes.complete || changes.changed.iter().any(|look| look.torn);
        Ok((
            changes,
            Effort {
                torn: torn.saturating_sub(told),
                dropped: 0,
                partial: u64::from(partial),
                stopped_ns,
                is_full: self.watch.stats().is_full,
            },
        ))
    }

    fn forget_numbers(&mut self) {
        self.watch.on_tables_reset();
    }
}
