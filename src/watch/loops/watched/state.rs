//! The state of an event loop that is kept from one sample to the next.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::tables::{LoopInfo, LoopNo, StackId, TaskNo};
use crate::python::frame::RawFrame;
use crate::python::stack_watch::StackWatch;
use crate::remote::thread_watch::ThreadWatch;
use crate::remote::{Addr, Span};
use crate::runtime::asyncio::iteration::{InsideLoop, RunOnce, UvLoop};
use crate::runtime::interface::Imported;
use crate::watch::loops::naming::Naming;
use crate::watch::loops::running::RunningTask;

/// How a loop shows where it is in its iteration.
pub(super) enum Kind {
    /// asyncio's own loops: by the frame of `_run_once`. Others that are written in Python have no such frame: by what
    /// runs inside their `run_forever`.
    RunOnce,
    /// uvloop: by libuv's own fields.
    Uv(UvLoop),
}

/// A stack whose frames have numbers.
#[derive(Clone, Copy)]
pub(super) struct Named {
    /// The stack without its innermost frame.
    pub(super) caller: Option<StackId>,
    /// Number of outermost frames up to the callback or step that the iteration runs; `None` if no frame shows it.
    pub(super) outer: Option<usize>,
    /// Position of the iteration's frame, innermost first.
    pub(super) run_once: Option<usize>,
    /// The whole stack was named, and none of its frames runs a loop.
    pub(super) without_loop: bool,
    pub(super) is_complete: bool,
    /// Its outermost frame is one that a thread begins with.
    pub(super) at_thread_root: bool,
    /// The frame that interrupted the selector, counted from the outermost: the handler of a signal, or a finalizer.
    pub(super) interruption: Option<usize>,
    /// Where a loop is that shows no iteration.
    pub(super) inside: Option<InsideLoop>,
}

impl Named {
    /// Nothing is known yet. `complete`: the whole stack will be named.
    pub(super) fn new(complete: bool) -> Self {
        Self {
            caller: None,
            outer: None,
            run_once: None,
            without_loop: complete,
            is_complete: complete,
            at_thread_root: false,
            interruption: None,
            inside: None,
        }
    }
}

/// The frame of `_run_once` as it was last seen.
#[derive(Clone, Copy)]
pub(super) struct LastIteration {
    /// The outermost frame of its stack, and that frame's code.
    pub(super) root: (Addr, Addr),
    pub(super) frame: Addr,
    pub(super) locals: Addr,
    pub(super) run_once: RunOnce,
}

/// One loop and its thread.
pub(in crate::watch::loops) struct WatchedLoop {
    pub(in crate::watch::loops) stack: StackWatch,
    pub(in crate::watch::loops) info: LoopInfo,
    /// The interpreter has imported greenlet.
    pub(super) has_greenlets: bool,
    pub(super) event_loop: Addr,
    pub(super) imported: Arc<dyn Imported>,
    pub(super) kind: Kind,
    pub(super) kernel: Option<ThreadWatch>,
    /// The stack of the thread last seen holding the GIL while this one waited for it.
    pub(super) holder: Option<StackWatch>,
    pub(super) gil: Option<Span>,
    pub(super) locked_within: usize,
    pub(super) holder_within: usize,
    pub(super) collecting: Option<Span>,
    pub(super) ready: Option<Span>,
    pub(super) run_once: Option<RunOnce>,
    pub(super) run_once_is_new: bool,
    /// Float objects that are read along with the stack, and for how many samples each was not needed.
    pub(super) floats: Vec<(Addr, u8)>,
    pub(super) task: Option<Arc<RunningTask>>,
    /// The task was the same in two samples: from then on its identity is read along with the stack.
    pub(super) task_again: bool,
    /// Tasks that were seen running, by coroutine.
    pub(super) tasks: FxHashMap<Addr, Arc<RunningTask>>,
    /// The loop's number in the tables.
    pub(super) number: Option<LoopNo>,
    /// The task numbered last, with its number.
    pub(super) numbered: Option<(Arc<RunningTask>, TaskNo)>,
    pub(super) naming: Naming,
    pub(super) named: FxHashMap<u64, Named>,
    pub(super) last_iteration: Option<LastIteration>,
    /// libuv: the descriptor on which it waits for events, if known.
    pub(super) poll: Option<i32>,
    /// The stack of a loop whose iteration is written in C when it last waited in its selector, outermost first: each
    /// frame and its code.
    pub(super) idle: Vec<(Addr, Addr)>,
    /// Room for the outermost coroutines of a sample.
    pub(super) roots: Vec<RawFrame>,
    /// The outermost coroutines of the last sample, if there were several.
    pub(super) last_roots: Vec<Addr>,
    pub(super) last_innermost: Option<(Addr, RawFrame)>,
    /// libuv: the iteration count and the start of that iteration.
    pub(super) iteration: Option<(u64, u64)>,
    /// A loop that shows no iteration: how often its thread had entered or left a context at the last sample, and
    /// whether that was ever seen to change.
    pub(super) contexts: Option<u64>,
    pub(super) counts_contexts: bool,
    pub(super) looked_ns: u64,
    pub(super) looked_slowly_ns: u64,
    pub(super) beside: Vec<Span>,
    pub(super) amid: Vec<Span>,
    pub(super) behind: Vec<Span>,
    /// Number of the first float among the pieces of `beside`.
    pub(super) first_float: usize,
}
