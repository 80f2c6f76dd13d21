//! One watch: its two threads and the channel between them and the caller.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::capture::session::AttachError;
use crate::model::event::{Batch, Header, Health, Source};

use super::account::Account;
use super::clock::{self, Clock, SystemClock};
use super::governor::{Governor, Rates};
use super::options::Options;
use super::outbox::Outbox;
use super::parts::{LoopParts, TaskParts};
use super::readers::Target;
use super::shared::{End, Shared, Stop};
use super::{header, live, loop_tier, task_tier};

/// LIMIT: batches in the channel: more than ten seconds of both tiers, some MB.
const CHANNEL: usize = 256;

/// How a watch ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Why.
    pub end: End,
    /// The error as text.
    pub error: Option<String>,
    /// The last search for event loops found none. False also if there was none: the watch ended too soon.
    pub found_no_loop: bool,
    /// The last health event.
    pub health: Health,
}

/// A process that is watched. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    /// What is known at the start.
    pub header: Header,
    /// The events. The channel closes when the watch has ended and everything was sent.
    pub batches: Receiver<Batch>,
    stop: Stop,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// Attaches to a process and starts to watch it.
///
/// # Errors
/// If it cannot be read; each error has a hint. With [`Options::wait_for_python`] this waits until Python can be read,
/// and fails if the process exits or [`Options::stop`] is requested first.
pub fn start(pid: i32, options: &Options) -> Result<Watch, AttachError> {
    let target = live::open(pid, options)?;
    let header = header::describe(&target.attachment(), options, SystemClock.now_ns());
    Ok(begin(header, target, Arc::new(SystemClock), options))
}

/// Starts to watch a target that was attached to.
pub(super) fn begin(header: Header, target: Arc<dyn Target>, clock: Arc<dyn Clock>, options: &Options) -> Watch {
    let (sender, batches) = bounded(CHANNEL);
    let shared = Arc::new(Shared::new(options.stop.clone(), options.sharing.clone(), options.task_rate_hz));
    let (tasks_done, loops_wait) = bounded(0);
    let mut watch = Watch { header, batches, stop: options.stop.clone(), shared, threads: Vec::new() };
    let outbox = Outbox::new(Source::Tasks, sender.clone());
    let tasks_gate = outbox.gate();
    let parts = TaskParts {
        shared: watch.shared.clone(),
        target: target.clone(),
        clock: clock.clone(),
        outbox,
        cpu_budget: options.cpu_budget,
        memory: options.memory,
        stops: options.stops,
        judge: options.judge.clone(),
        findings_every_ns: u64::try_from(options.findings_every.as_nanos()).unwrap_or(u64::MAX),
    };
    watch.spawn("asyncprof-tasks", move || {
        // Dropped when the thread ends in any way: the loop tier waits for it.
        let _done: Sender<()> = tasks_done;
        clock::be_punctual();
        task_tier::TaskTier::new(parts).run();
    });
    let account = Account::open(&options.sharing, clock.process_cpu_ns());
    let part = account.part();
    let asked = Rates { loop_hz: options.loop_rate_hz, task_hz: options.task_rate_hz };
    let parts = LoopParts {
        shared: watch.shared.clone(),
        target,
        account,
        clock,
        outbox: Outbox::new(Source::Loops, sender),
        tasks_gate,
        governor: Governor::new(asked, options.cpu_budget * part).beginning_with(part),
        cpu_budget: options.cpu_budget,
        stops: options.stops,
        wait_for_python: options.wait_for_python,
    };
    watch.spawn("asyncprof-loops", move || {
        clock::be_punctual();
        loop_tier::LoopTier::new(parts).run(&loops_wait);
    });
    watch
}

impl Watch {
    /// Requests both threads to end; they take a last sample, send it, and close the channel.
    pub fn stop(&self) {
        self.stop.ask();
    }

    /// Whether the watch is over, or about to be.
    pub fn is_over(&self) -> bool {
        self.shared.is_over()
    }

    /// Waits for the end of the watch; does not request it. Call it when `batches` has ended: events still in the
    /// channel are dropped unless a clone of the receiver holds them.
    pub fn join(mut self) -> Outcome {
        self.close();
        let (end, error) = self.shared.ended().unwrap_or((End::Failed, Some("the watch ended for no reason".into())));
        Outcome { end, error, found_no_loop: self.shared.found_no_loop(), health: self.shared.health() }
    }

    /// Runs a tier. A panic in it must not take down the rest of the program, which reports what was seen until then.
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

    /// Joins the threads. Nothing is received after this.
    fn close(&mut self) {
        self.batches = crossbeam_channel::never();
        // The loop tier, which was started last, waits for the task tier for a while.
        for thread in self.threads.drain(..).rev() {
            if thread.is_finished() || !self.shared.is_task_tier_left() {
                // Panics are caught inside.
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.ask();
        self.close();
    }
}
