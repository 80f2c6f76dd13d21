//! Layer 5: when to look. Two threads watch a process, the loop tier its event loops and the task tier its tasks, and send what
//! they see, as [`Batch`]es over a bounded channel, to whoever takes them.
//!
//! ```text
//! loop tier: deadline -> LoopReader -> outbox -+
//!    | rates                                   +-> bounded channel -> Watch::batches
//! task tier: deadline -> TaskReader -> outbox -+
//! ```
//!
//! It decides when something is read, how often at most and for how long; it must not know how a loop or a task is read, what
//! is wrong with what was seen, or what becomes of it. Where the processes below one are to be watched too, `scout` finds them,
//! and each has a watch of its own; they share one CPU budget. `account`, `schedule`, `governor`, `outbox`, `target_state`, `health` and `chores`
//! are pure: the clock and the kernel come in through `clock` and `live` alone.
//!
//! INVARIANT: a tier never waits for whoever takes the events; what does not fit into the channel is lost and counted.

mod account;
mod chores;
mod clock;
mod condense;
mod governor;
mod header;
mod health;
mod live;
mod loop_tier;
mod outbox;
mod readers;
mod schedule;
mod scout;
mod shared;
mod target_state;
mod task_tier;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::capture::session::AttachError;
use crate::model::Snapshot;
use crate::model::event::{Batch, Header, Health, Source};
use crate::model::snapshot::{Finding, Frame};

use account::Account;
pub use account::Sharing;
use clock::{Clock, SystemClock};
use governor::{Governor, Rates};
use outbox::Outbox;
use readers::Target;
pub use scout::{Arrival, MOST_WATCHES, follow};
use shared::Shared;
pub use shared::{End, Stop};

/// Nanoseconds.
const SECOND: u64 = 1_000_000_000;
/// How often batches are sent, and the things done that a watch needs besides samples.
const BATCHES_EVERY: u64 = SECOND / 20;
/// LIMIT: batches in the channel: more than ten seconds of both tiers, some MB.
const CHANNEL: usize = 256;
/// LIMIT: how long the last batch waits for room in the channel.
const FAREWELL: Duration = Duration::from_secs(5);

/// Judges a look at everything.
pub type Judge = Arc<dyn Fn(&Snapshot) -> Vec<Judged> + Send + Sync>;

/// A finding, and where to look.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The finding.
    pub finding: Finding,
    /// The frame nearest to the cause in the program's own code.
    pub site: Option<Frame>,
}

/// How to watch. Rates and shares are positive; whoever takes them from a person checks them.
#[derive(Clone)]
pub struct Options {
    /// Samples of each loop a second.
    pub loop_rate_hz: f64,
    /// Looks at all tasks a second.
    pub task_rate_hz: f64,
    /// From how long on a loop that is away from its selector is stalled. For the header; nobody here judges it.
    pub stall_threshold: Duration,
    /// Share of one core that this whole process may use.
    pub cpu_budget: f64,
    /// The watches that have an equal part each of the budget: all that are started with clones of this.
    pub sharing: Sharing,
    /// Stop the target while it is read.
    pub blocking: bool,
    /// How far apart looks at everything are at least. The first one is early, the last one at the end.
    pub findings_every: Duration,
    /// Wait for a Python that is not there yet, or no longer, as long as the process lives.
    pub wait_for_python: bool,
    /// Who judges looks at everything; without one there are none.
    pub judge: Option<Judge>,
    /// Ends the watch, and the wait for a Python before it.
    pub stop: Stop,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            loop_rate_hz: 1000.0,
            task_rate_hz: 10.0,
            stall_threshold: Duration::from_millis(100),
            cpu_budget: 0.05,
            sharing: Sharing::default(),
            blocking: false,
            findings_every: Duration::from_secs(10),
            wait_for_python: false,
            judge: None,
            stop: Stop::default(),
        }
    }
}

/// How a watch ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Why.
    pub end: End,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// The last health.
    pub health: Health,
}

/// A process that is watched. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    /// What is known at the beginning.
    pub header: Header,
    /// What is seen. It ends when the watch does: first everything is said, then the channel is closed.
    pub batches: Receiver<Batch>,
    stop: Stop,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// Attaches to a process and begins to watch it.
///
/// # Errors
/// Why it cannot be read; each has a hint. With [`Options::wait_for_python`] this waits until Python can be read, and
/// fails when the process exits or [`Options::stop`] is asked for before.
pub fn start(pid: i32, options: &Options) -> Result<Watch, AttachError> {
    let target = live::open(pid, options)?;
    let header = header::describe(&target.attachment(), options, SystemClock.now_ns());
    Ok(begin(header, target, Arc::new(SystemClock), options))
}

/// Begins to watch a target that was attached to.
fn begin(header: Header, target: Arc<dyn Target>, clock: Arc<dyn Clock>, options: &Options) -> Watch {
    let (sender, batches) = bounded(CHANNEL);
    let shared = Arc::new(Shared::new(options.stop.clone(), options.sharing.clone(), options.task_rate_hz));
    let (tasks_done, loops_wait) = bounded(0);
    let mut watch = Watch { header, batches, stop: options.stop.clone(), shared, threads: Vec::new() };
    let parts = task_tier::Parts {
        shared: watch.shared.clone(),
        target: target.clone(),
        clock: clock.clone(),
        outbox: Outbox::new(Source::Tasks, sender.clone()),
        cpu_budget: options.cpu_budget,
        judge: options.judge.clone(),
        findings_every_ns: u64::try_from(options.findings_every.as_nanos()).unwrap_or(u64::MAX),
    };
    watch.spawn("asyncprof-tasks", move || {
        // Dropped at the end, in whatever way that comes: the loop tier waits for it.
        let _done: Sender<()> = tasks_done;
        clock::be_punctual();
        task_tier::TaskTier::new(parts).run();
    });
    let account = Account::open(&options.sharing, clock.process_cpu_ns());
    let part = account.part();
    let asked = Rates { loop_hz: options.loop_rate_hz, task_hz: options.task_rate_hz };
    let parts = loop_tier::Parts {
        shared: watch.shared.clone(),
        target,
        account,
        clock,
        outbox: Outbox::new(Source::Loops, sender),
        governor: Governor::new(asked, options.cpu_budget * part).beginning_with(part),
        cpu_budget: options.cpu_budget,
        wait_for_python: options.wait_for_python,
    };
    watch.spawn("asyncprof-loops", move || {
        clock::be_punctual();
        loop_tier::LoopTier::new(parts).run(&loops_wait);
    });
    watch
}

impl Watch {
    /// Asks both threads to end; they look a last time, say it, and close the channel.
    pub fn stop(&self) {
        self.stop.ask();
    }

    /// Whether the watch is over, or about to be.
    pub fn is_over(&self) -> bool {
        self.shared.is_over()
    }

    /// Waits for the end of the watch, which somebody else brings about. To be called when `batches` has ended: what is still
    /// in it, and not held by a clone of the receiver, is thrown away.
    pub fn join(mut self) -> Outcome {
        self.close();
        let (end, error) = self.shared.ended().unwrap_or((End::Failed, Some("the watch ended for no reason".into())));
        Outcome { end, error, health: self.shared.health() }
    }

    /// Runs a tier. A panic is a fault of ours; it must not take down whoever shows what was seen until then.
    fn spawn(&mut self, name: &str, tier: impl FnOnce() + Send + 'static) {
        let shared = self.shared.clone();
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(tier)) {
                let words = panic.downcast_ref::<String>().map(String::as_str);
                let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
                shared.end(End::Failed, Some(format!("asyncprof itself failed: {words}")));
            }
        });
        match thread {
            Ok(thread) => self.threads.push(thread),
            Err(error) => self.shared.end(End::Failed, Some(format!("cannot start a thread: {error}"))),
        }
    }

    /// Ends the threads. Nobody takes anything any more.
    fn close(&mut self) {
        self.batches = crossbeam_channel::never();
        for thread in self.threads.drain(..) {
            // It ends in no other way than by returning: panics are caught inside.
            let _ = thread.join();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.ask();
        self.close();
    }
}
