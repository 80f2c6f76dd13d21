//! Samples the event loops of a process as fast as possible and counts the outcomes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use asyncprof::capture::session::attach;
use asyncprof::model::event::LoopSample;
use asyncprof::model::tables::{StackId, Tables};
use asyncprof::remote::live::LiveMemory;
use asyncprof::remote::stopped::StopGuard;
use asyncprof::watch::loops::{LoopWatch, MOMENT, STOPS};

/// Time between searches for new loops, as in a recording.
const REDISCOVER: Duration = Duration::from_millis(500);
/// LIMIT: time to wait for the process to stop.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// Pause between samples, long enough for the process to execute a few functions.
const REST: Duration = Duration::from_micros(20);

/// How much to sample: until both `kept` and `changes` are reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Samples kept, complete or partial.
    pub(crate) kept: u64,
    /// Samples that differ from the previous one: a process that does not get the CPU shows nothing new.
    pub(crate) changes: u64,
    /// Time limit.
    pub(crate) within: Duration,
    /// Whether to stop the process for each sample.
    pub(crate) blocking: bool,
    /// Whether to sleep between samples. A process on the same core is then preempted at an arbitrary point for each sample.
    pub(crate) resting: bool,
}

/// The outcomes.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Loop samples attempted.
    pub(crate) attempts: u64,
    /// Samples with a whole stack.
    pub(crate) complete: u64,
    /// Samples with only the outer part of a stack.
    pub(crate) partial: u64,
    /// Samples kept that differ from the one kept before.
    pub(crate) changes: u64,
    /// Samples given up, or without any frame.
    pub(crate) dropped: u64,
    /// Reads that were inconsistent and repeated within the same sample.
    pub(crate) torn: u64,
    /// System calls that read a whole stack.
    pub(crate) calls: u64,
    /// Wall-clock time from the first sample to the last.
    pub(crate) wall: Duration,
    /// CPU time of this thread in the same period.
    pub(crate) cpu: Duration,
    /// Samples of each stack, by stack and whether its inner part is missing.
    pub(crate) stacks: HashMap<(StackId, bool), u64>,
    /// The tables that stack ids refer to.
    pub(crate) tables: Tables,
    last: Option<(StackId, bool)>,
}

impl Counts {
    /// Samples kept, complete and partial.
    pub(crate) fn kept(&self) -> u64 {
        self.complete + self.partial
    }

    fn add(&mut self, sample: &LoopSample) {
        let Some(stack) = sample.stack else {
            self.dropped += 1;
            return;
        };
        let seen = (stack, sample.torn);
        self.changes += u64::from(self.last.replace(seen) != Some(seen));
        *self.stacks.entry(seen).or_default() += 1;
        let kind = if sample.torn { &mut self.partial } else { &mut self.complete };
        *kind += 1;
    }
}

/// Samples the event loops of process `pid`.
pub(crate) fn sample(pid: i32, wanted: Wanted) -> Result<Counts, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let attachment = attach(pid).map_err(|error| text(&error))?;
    let memory = LiveMemory::new(pid);
    let mut watch = LoopWatch::new(&attachment).map_err(|error| text(&error))?;
    watch.rediscover(&memory, now_ns()?).map_err(|error| text(&error))?;
    if watch.loops() == 0 {
        return Err("no event loop".to_owned());
    }
    let (mut counts, mut samples) = (Counts::default(), Vec::new());
    let (began, cpu_began, before) = (Instant::now(), cpu()?, watch.effort());
    let mut looked = began;
    let enough = |counts: &Counts| counts.kept() >= wanted.kept && counts.changes >= wanted.changes;
    while !enough(&counts) && began.elapsed() < wanted.within {
        if looked.elapsed() > REDISCOVER {
            looked = Instant::now();
            watch.rediscover(&memory, now_ns()?).map_err(|error| text(&error))?;
        }
        counts.attempts += watch.loops() as u64;
        let before = watch.effort();
        for stop in 1..=STOPS {
            let guard = match wanted.blocking {
                true => Some(StopGuard::stop(&attachment.process, STOP_LIMIT).map_err(|error| text(&error))?),
                false => None,
            };
            let looked = watch.sample(&memory, &mut counts.tables, now_ns()?, &mut samples);
            drop(guard);
            looked.map_err(|error| text(&error))?;
            if watch.effort().is_whole_since(&before) || !wanted.blocking || stop == STOPS {
                break;
            }
            watch.try_again(&before);
            samples.clear();
            std::thread::sleep(MOMENT);
        }
        for sample in samples.drain(..) {
            counts.add(&sample);
        }
        if wanted.resting {
            std::thread::sleep(REST);
        }
    }
    (counts.wall, counts.cpu) = (began.elapsed(), cpu()?.saturating_sub(cpu_began));
    let after = watch.effort();
    counts.dropped += after.dropped - before.dropped;
    (counts.torn, counts.calls) = (after.torn - before.torn, after.calls - before.calls);
    Ok(counts)
}

fn now_ns() -> Result<u64, String> {
    let now = Duration::from(nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_err(|e| e.to_string())?);
    Ok(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

fn cpu() -> Result<Duration, String> {
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    nix::time::clock_gettime(clock).map(Duration::from).map_err(|error| error.to_string())
}
