//! What a suspended task waits for, as data.

use std::sync::Arc;

pub use crate::model::wait::WaitKind;
use crate::model::wait::{PoolKind, WaitDetail};
use crate::python::frame::{NamedFrame, RawFrame};
use crate::remote::Addr;

/// Something bounded that tasks wait at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceRecord {
    /// The object.
    pub addr: Addr,
    /// What is left of it.
    pub free: Option<u64>,
    /// How much there is of it, where it says so.
    pub bound: Option<u64>,
    /// The pool of connections that it is.
    pub pool: Option<PoolKind>,
}

/// What a task waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The kind of wait.
    pub kind: WaitKind,
    /// Further details, where known.
    pub detail: Option<WaitDetail>,
    /// The tasks and futures it waits for, not expanded. Tasks that wait for the same future share them.
    pub targets: Arc<[Addr]>,
    /// The lock or semaphore it waits for.
    pub lock: Option<Addr>,
    /// The lock, semaphore, limiter or queue it waits at, as it was when it was read.
    pub resource: Option<ResourceRecord>,
    /// The tasks that hold it, where it records them.
    pub holders: Arc<[Addr]>,
    /// The future of the job of another thread, or of another event loop, that it waits for.
    pub job: Option<Addr>,
    /// `as_completed` up to 3.12: the queue into which its futures are put when they are done. Only the callbacks of
    /// these futures show which ones they are.
    pub completions: Option<Addr>,
    /// The deadline of the timer that ends the wait, in the loop's own time, as bits of a float: no two waits share it.
    pub deadline: Option<u64>,
}

impl Wait {
    /// A wait of this kind without any details.
    pub fn new(kind: WaitKind) -> Self {
        Self {
            kind,
            detail: None,
            targets: Arc::default(),
            lock: None,
            resource: None,
            holders: Arc::default(),
            job: None,
            completions: None,
            deadline: None,
        }
    }

    /// A wait of this kind with this detail.
    pub(super) fn with(kind: WaitKind, detail: Option<WaitDetail>) -> Self {
        Self { detail, ..Self::new(kind) }
    }

    /// A wait of this kind for these tasks and futures.
    pub(super) fn on(kind: WaitKind, targets: Vec<Addr>) -> Self {
        Self { targets: targets.into(), ..Self::new(kind) }
    }

    /// `as_completed` up to 3.12: adds the futures that report to its queue as targets.
    pub fn complete(&mut self, reporting_to: impl FnOnce(Addr) -> Vec<Addr>) {
        let Some(queue) = self.completions else { return };
        self.targets = reporting_to(queue).into();
        let waiting = self.targets.len();
        self.detail = (waiting > 0).then_some(WaitDetail::NotDone(waiting));
    }
}

/// A level of a chain with its name.
#[derive(Clone, Copy, Debug)]
pub struct Place<'f> {
    /// The raw frame.
    pub raw: RawFrame,
    /// Its name and line.
    pub named: &'f NamedFrame,
}
