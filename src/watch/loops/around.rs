//! What all loops of a process share, and where each of them runs.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::tables::LoopInfo;
use crate::python::interpreter::{Interpreter, PythonThread};
use crate::remote::{Addr, Process};
use crate::runtime::interface::Imported;
use crate::runtime::layouts::Layouts;

/// Data about the process that all loops share.
pub(super) struct Around {
    pub(super) process: Process,
    pub(super) layouts: Layouts,
    pub(super) runtime: Addr,
    pub(super) own_pid: Option<i32>,
    /// Kernel ids in our PID namespace, by thread state.
    pub(super) threads: FxHashMap<Addr, i32>,
}

/// Where a loop runs.
pub(super) struct Place<'p> {
    pub(super) interpreter: &'p Interpreter,
    pub(super) has_greenlets: bool,
    pub(super) thread: &'p PythonThread,
    pub(super) imported: Arc<dyn Imported>,
    pub(super) event_loop: Addr,
    pub(super) thread_name: Option<Arc<str>>,
}

impl Place<'_> {
    pub(super) fn info(&self, around: &Around, class: &str) -> LoopInfo {
        let thread = around.threads.get(&self.thread.addr).copied();
        let name = self.thread_name.clone();
        LoopInfo {
            key: self.event_loop.raw(),
            class: class.into(),
            thread,
            thread_name: name.or_else(|| around.process.thread_name(thread?).map(Into::into)),
        }
    }
}
