//! Whether the target stood still while it was read: by the kernel's account of its threads, or because it is stopped.

use crate::remote::Process;
use crate::remote::kernel_thread::{KernelThread, Schedule, ThreadState};

/// Tells whether the target stood still.
pub(super) trait Witness {
    /// Whether no thread of the target ran since the reading began. `false` means that it is not known.
    fn nothing_ran(&mut self) -> bool;
}

/// The kernel's account of the target's threads.
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
        // The next question is about what is read from now on.
        self.before = Stillness::observe(self.process);
        lasted
    }
}

/// An image or a stopped process: nothing runs.
pub(super) struct Stopped;

impl Witness for Stopped {
    fn nothing_ran(&mut self) -> bool {
        true
    }
}

/// The scheduler's account of every thread, to tell later whether any of them ran in between. As long as none did, nothing in
/// the process's memory can have changed by its own doing.
#[derive(Debug)]
struct Stillness {
    threads: Vec<(i32, Schedule)>,
}

impl Stillness {
    /// The account of now; `None` when a thread is running now, or the kernel does not keep the account.
    fn observe(process: &Process) -> Option<Self> {
        let ids = process.thread_ids();
        let threads: Option<Vec<(i32, Schedule)>> = ids
            .into_iter()
            .map(|tid| {
                let thread = KernelThread::read(process, tid);
                let asleep =
                    matches!(thread.state, Some(ThreadState::Sleeping | ThreadState::Stopped | ThreadState::Traced));
                // All zero: accounting is switched off.
                thread.schedule.filter(|schedule| asleep && schedule.slices > 0).map(|schedule| (tid, schedule))
            })
            .collect();
        threads.filter(|threads| !threads.is_empty()).map(|threads| Self { threads })
    }

    /// Whether no thread ran since, none was born and none died.
    fn lasted(&self, process: &Process) -> bool {
        Self::observe(process).is_some_and(|now| now.threads == self.threads)
    }
}
