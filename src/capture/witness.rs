//! Whether the target stood still while it was read: according to the kernel's scheduler statistics, or because it is
//! stopped.

use super::facts::{Activity, ThreadFacts, activity};
use crate::remote::Process;
use crate::remote::kernel_thread::{KernelThread, Pulse, Schedule, SystemCall, ThreadState};

/// Determines whether the target stood still.
pub(super) trait Witness {
    /// Whether no thread of the target ran since the reading began. `false` means unknown.
    fn nothing_ran(&mut self) -> bool;

    /// Whether the target can run while it is read.
    fn is_live(&self) -> bool;

    /// What a thread is doing now. Of two looks the first must not be earlier than [`Side::Before`] and the second not
    /// later than [`Side::After`] what is read in between.
    fn look(&self, thread: &ThreadFacts, side: Side) -> Look;
}

/// On which side of a reading a look lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    After,
}

/// What the kernel says of a thread at one end of a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) activity: Activity,
    pub(super) futex: Option<u64>,
    call: Option<SystemCall>,
    /// `None` in what does not run at all.
    pulse: Option<Pulse>,
    /// The pulse could not be read: nothing shows whether the thread ran.
    blind: bool,
}

impl Look {
    /// What the thread did while it was read: it slept in one call, or it was running at both ends. `None` if it went
    /// from one to the other, or ran in between.
    pub(super) fn until(self, later: &Self) -> Option<Self> {
        let ran = self.activity == Activity::Running && later.activity == Activity::Running;
        (ran || self.slept_until(later)).then_some(self)
    }

    /// Whether the thread slept in one call from here on.
    pub(super) fn slept_until(&self, later: &Self) -> bool {
        self.activity != Activity::Running && self == later && !self.blind
    }
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

    fn look(&self, thread: &ThreadFacts, side: Side) -> Look {
        let pulse = || Pulse::read(self.process, thread.tid);
        // The pulses enclose both views of the thread, so that it slept from the first view to the second.
        let before = if side == Side::Before { pulse() } else { None };
        let kernel = KernelThread::read(self.process, thread.tid);
        let pulse = before.or_else(|| if side == Side::After { pulse() } else { None });
        Look {
            activity: activity(&kernel),
            futex: kernel.system_call.and_then(SystemCall::futex),
            call: kernel.system_call,
            pulse,
            blind: pulse.is_none(),
        }
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

    fn look(&self, thread: &ThreadFacts, _: Side) -> Look {
        Look { activity: thread.activity.clone(), futex: thread.futex, call: None, pulse: None, blind: false }
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
