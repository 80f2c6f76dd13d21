//! Advice for a stall, one sentence per cause. Advice for blocking calls is in `detect::blocking_kind`.

use crate::detect::blocking_kind::import_advice;
use crate::model::snapshot::Frame;

pub(super) const PAGE_FAULT: &str =
    "Give the process enough memory to avoid swapping, or access mapped files with await asyncio.to_thread().";

pub(super) const GIL_WAIT: &str = "Move the other thread's work to a process pool (loop.run_in_executor() with a \
     ProcessPoolExecutor), or let it release the GIL more often.";

pub(super) const GC: &str = "If the program calls gc.collect() here, leave it out or call it while nothing waits for the \
     loop. If the collector started by itself, let it scan less and run less often: gc.freeze() once the program has \
     started, and higher thresholds with gc.set_threshold().";

pub(super) const MANY_CALLBACKS: &str = "Start fewer at once (an asyncio.Semaphore, or batches with \
     await asyncio.sleep(0) between them), so that the event loop can poll in between.";

pub(super) const THROTTLED: &str =
    "Raise the CPU quota of the container or control group, or start fewer threads in it.";

pub(super) const STARVED: &str =
    "Free CPU for the process: run fewer busy threads and processes on this machine, or lower their priority.";

pub(super) const SUSPENDED: &str =
    "The program itself did not stall: it was stopped from outside; find out what sends it SIGSTOP or debugs it.";

pub(super) const IN_HANDLER: &str = "Code that interrupts the event loop, such as a signal handler, cannot await: let it only \
     set a flag, or register the handler with loop.add_signal_handler(), and do the work in a task.";

pub(super) const UNKNOWN: &str =
    "Use a higher --rate or --cpu-budget, and run with permission to trace, so that the cause can be determined.";

pub(super) fn for_cpu(synchronous: &[&Frame]) -> &'static str {
    import_advice(synchronous).unwrap_or(
        "Do the work in chunks with await asyncio.sleep(0) between them, or in a process pool \
         (loop.run_in_executor() with a ProcessPoolExecutor).",
    )
}

pub(super) fn for_native(has_gil: Option<bool>, synchronous: &[&Frame]) -> &'static str {
    if has_gil == Some(false) {
        return "The call releases the GIL: make it with await asyncio.to_thread().";
    }
    import_advice(synchronous).unwrap_or(
        "Make the call on smaller pieces with await asyncio.sleep(0) between them, or in a process pool \
         (loop.run_in_executor() with a ProcessPoolExecutor); a thread would hold the GIL too.",
    )
}
