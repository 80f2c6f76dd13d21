//! Whether the target stood still while it was read: according to the kernel's scheduler statistics, or because it is
//! stopped.

use crate::remote::Process;
use crate::remote::kernel_thread::{KernelThread, Schedule, ThreadState};

/// Determines whether the target stood still.
pub(super) trait Witness {
    /// Whether no thread of the target ran since the reading began. `false` means unknown.
    fn nothing_ran(&mut self) -> bool;

    /// Whether the target runs on while it is read.
    fn is_live(&self) -> bool;

    /// How often a thread (an id of our namespace) has run so far, while it sleeps in a selector; `None` if it does not,
    /// or if that is unknown.
    fn sleeps_in_selector(&self, tid: i32) -> Option<u64>;
}

/// The scheduler statistics of the target's threads.
pub(super) struct KernelWitness<'p> {
    process: &'p Process,
    before: Option<Stillness>,
}

impl<'p> KernelWitness<'p> {
    pub(super) fn new(process: &'p Process) -> Self {
        Self { process, before: Stillness::observe(process) }
    }
}

impl Witness for KernelWitness<'_> {
    fn nothing_ran(&mut self) -> bool {
        let lasted = self.before.as_ref().is_some_and(|before| before.lasted(self.process));
        // The next call covers what is read from now on.
        self.before = Stillness::observe(self.process);
        lasted
    }

    fn is_live(&self) -> bool {
        true
    }

    fn sleeps_in_selector(&self, tid: i32) -> Option<u64> {
        let thread = KernelThread::read(self.process, tid);
        let sleeps =
            thread.state == Some(ThreadState::Sleeping) && thread.system_call.is_some_and(|call| call.is_selector());
        thread.schedule.filter(|schedule| sleeps && schedule.slices > 0).map(|schedule| schedule.slices)
    }
}

/// An image or a stopped process, in which nothing runs.
pub(super) struct Stopped;

impl Witness for Stopped {
    fn nothing_ran(&mut self) -> bool {
        true
    }

    fn is_live(&self) -> bool {
        false
    }

    fn sleeps_in_selector(&self, _tid: i32) -> Option<u64> {
        None
    }
}

/// The scheduler statistics of every thread, to determine later whether any of them has run. While none has, the
/// process cannot have changed its own memory.
#[derive(Debug)]
struct Stillness {
    threads: Vec<(i32, Schedule)>,
}

impl Stillness {
    /// The current statistics; `None` if a thread is running now, or the kernel does not keep statistics.
    fn observe(process: &Process) -> Option<Self> {
        let ids = process.thread_ids();
        let threads: Option<Vec<(i32, Schedule)>> = ids
            .into_iter()
            .map(|tid| {
                let thread = KernelThread::read(process, tid);
                let asleep =
                    matches!(thread.state, Some(ThreadState::Sleeping | ThreadState::Stopped | ThreadState::Traced));
                // All zero: scheduler statistics are switched off.
                thread.schedule.filter(|schedule| asleep && schedule.slices > 0).map(|schedule| (tid, schedule))
            })
            .collect();
        threads.filter(|threads| !threads.is_empty()).map(|threads| Self { threads })
    }

    /// Whether since then no thread has run, started or ended.
    fn lasted(&self, process: &Process) -> bool {
        Self::observe(process).is_some_and(|now| now.threads == self.threads)
    }
}
