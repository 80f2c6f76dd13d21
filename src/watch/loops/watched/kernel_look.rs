//! The GIL, the collector, and the kernel's view of a loop's thread while the loop is blocked.

use super::state::WatchedLoop;
use crate::model::event::{Doing, Gil, KernelLook, LoopSample, Phase};
use crate::model::tables::{StackId, Tables};
use crate::python::frame::RawFrame;
use crate::python::interpreter::Interpreter;
use crate::python::layout::Gil as GilLayout;
use crate::python::reader::{Reader, optional};
use crate::python::stack_watch::{Sampled, StackWatch};
use crate::remote::kernel_thread::{KernelThread, SystemCall, ThreadState};
use crate::remote::{Addr, Memory, ReadError, Span};
use crate::watch::loops::around::Around;

/// How long a loop must be busy before the kernel is asked about its thread, nanoseconds: shorter callbacks are
/// harmless. It is not asked more often than this either.
const PATIENCE_NS: u64 = 1_000_000;

/// How often the slower queries are made (scheduler statistics, state, throttling, the stack of the GIL's holder).
const SLOW_LOOK_NS: u64 = 5_000_000;

impl WatchedLoop {
    pub(super) fn gil_state(&self, around: &Around) -> Gil {
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

    /// How often the GIL has changed hands, if another thread was the last to take it: while the number is the same,
    /// this thread has not had it. A thread that has the GIL to itself takes it again and again without a change.
    pub(super) fn gil_switches(&self) -> Option<u64> {
        self.gil?;
        let bytes = self.stack.beside(0)?;
        let is_others = word64(bytes, self.holder_within)? != self.stack.tstate().raw();
        word64(bytes, self.locked_within + GilLayout::SWITCHES as usize).filter(|_| is_others)
    }

    /// Index of the first piece after those of the GIL.
    pub(super) fn first_piece(&self) -> usize {
        usize::from(self.gil.is_some())
    }

    pub(super) fn is_collecting(&self) -> bool {
        self.collecting.is_some()
            && self.stack.beside(self.first_piece()).and_then(|bytes| word32(bytes, 0)).is_some_and(|flag| flag != 0)
    }

    pub(super) fn ready_length(&self) -> Option<u32> {
        self.ready?;
        let number = self.first_piece() + usize::from(self.collecting.is_some());
        let length = word64(self.stack.beside(number)?, 0)?;
        // LIMIT: a longer queue is not plausible.
        u32::try_from(length).ok().filter(|length| *length < 1 << 28)
    }

    pub(super) fn system_call(&self) -> Option<SystemCall> {
        self.kernel.as_ref()?.system_call()
    }

    pub(super) fn waits_for_gil(&self, call: SystemCall) -> bool {
        let Some(gil) = self.gil else { return false };
        let last_holder = gil.addr.raw() + self.holder_within as u64;
        call.futex().is_some_and(|word| GilLayout::has_lock_at(last_holder, word))
    }

    /// Asks the kernel what the thread is doing once the loop has been busy for some time.
    pub(super) fn ask_kernel(
        &mut self,
        memory: &dyn Memory,
        around: &Around,
        tables: &mut Tables,
        sample: &mut LoopSample,
    ) -> Result<(), ReadError> {
        let waits = match sample.phase {
            Phase::LeavingSelector => true,
            Phase::Away => sample.away_since_ns.is_none_or(|since| since + PATIENCE_NS <= sample.at_ns),
            Phase::Selecting | Phase::NotRunning | Phase::Parked | Phase::Unknown => false,
        };
        let lately = self.looked_ns + PATIENCE_NS * 9 / 10 > sample.at_ns;
        let Some(kernel) = self.kernel.as_ref().filter(|_| waits && !lately) else { return Ok(()) };
        self.looked_ns = sample.at_ns;
        let call = kernel.system_call();
        let mut look = KernelLook::of(Doing::Unknown);
        look.doing = match call {
            Some(SystemCall::Running) => Doing::Running,
            Some(call) if self.waits_for_gil(call) => Doing::WaitingForGil,
            Some(SystemCall::None) => Doing::Fault,
            Some(call @ (SystemCall::In { number, .. } | SystemCall::Asleep { number })) => {
                Doing::Call { name: call.name().map(Into::into), number, fd: call.descriptor() }
            }
            None => Doing::Unknown,
        };
        let slow = sample.at_ns.saturating_sub(self.looked_slowly_ns) >= SLOW_LOOK_NS;
        let doubtful = matches!(look.doing, Doing::Fault | Doing::Unknown);
        if (slow || doubtful) && matches!(kernel.state(), Some(ThreadState::Stopped | ThreadState::Traced)) {
            look.doing = Doing::Stopped;
        }
        if slow {
            self.looked_slowly_ns = sample.at_ns;
            let schedule = kernel.schedule();
            look.run_ns = schedule.map(|schedule| schedule.run_ns);
            look.starved_ns = schedule.map(|schedule| schedule.wait_ns);
            look.throttled_us = kernel.throttled_us();
            if look.doing == Doing::WaitingForGil {
                if let Gil::Other(Some(holder)) = sample.gil {
                    let holder = KernelThread::read(&around.process, holder);
                    let is_ready = holder.state == Some(ThreadState::Running);
                    look.holder_run_ns = holder.schedule.filter(|_| is_ready).map(|schedule| schedule.run_ns);
                }
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
        let known = self.holder.take().filter(|watch| watch.tstate() == holder);
        let new = || StackWatch::new(memory, &around.layouts.python, holder, &[]);
        let Some(mut watch) = optional(known.map_or_else(new, Ok))? else { return Ok(None) };
        if watch.sample(memory, &around.layouts.python, &[], &[], &[])? == Sampled::Lost {
            return Ok(None);
        }
        let frames: Vec<RawFrame> = watch.frames().iter().rev().filter_map(|frame| frame.frame).collect();
        self.holder = Some(watch);
        self.verify_code(memory, &around.layouts.python, &frames)?;
        let mut stack = None;
        for frame in &frames {
            match optional(self.naming.stack(memory, &around.layouts.python, tables, stack, frame))? {
                Some(number) => stack = number,
                None => break,
            }
        }
        Ok(stack)
    }
}

/// The piece of memory that shows whether the GIL is taken and by which thread, and the offsets in it.
pub(super) fn gil_span(
    reader: &mut Reader<'_, '_>,
    around: &Around,
    interpreter: &Interpreter,
) -> Result<(Option<Span>, usize, usize), ReadError> {
    if !interpreter.has_gil {
        return Ok((None, 0, 0));
    }
    let (base, locked, holder) = match around.layouts.python.interp.gil {
        GilLayout::Runtime { locked, last_holder } => (Some(around.runtime), locked, last_holder),
        GilLayout::Interpreter { pointer, locked, last_holder, .. } => {
            (reader.view.pointer(interpreter.addr, pointer)?, locked, last_holder)
        }
    };
    let first = locked.min(holder);
    let len = (locked + GilLayout::SWITCHES).max(holder) + 8 - first;
    let start = base.and_then(|base| base.add(first));
    Ok((start.map(|start| Span::new(start, len as usize)), (locked - first) as usize, (holder - first) as usize))
}

fn word64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

fn word32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}
