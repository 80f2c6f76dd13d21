//! Samples the event loops of a process as fast as it goes, and counts what came of it. It must not know what is legal, nor
//! what is done with the counts.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use asyncprof::capture::session::attach;
use asyncprof::model::event::LoopSample;
use asyncprof::model::tables::{StackId, Tables};
use asyncprof::remote::live::LiveMemory;
use asyncprof::remote::stopped::StopGuard;
use asyncprof::watch::loops::{LoopWatch, MOMENT, STOPS};

/// How often it is looked for loops that are new, as a watch does.
const REDISCOVER: Duration = Duration::from_millis(500);
/// LIMIT: how long a stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// Time in which a process does a few things.
const REST: Duration = Duration::from_micros(20);

/// How much to sample: until both are reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Samples that were kept, complete or partial.
    pub(crate) kept: u64,
    /// Samples that differ from the one before: what stands still, because others have the processor, shows nothing new.
    pub(crate) changes: u64,
    /// It ends after this time at the latest.
    pub(crate) within: Duration,
    /// Stop the process for each sample.
    pub(crate) blocking: bool,
    /// Rest for a moment between samples: a process on the same core then loses it for each of them, wherever it is.
    pub(crate) resting: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Looks at a loop.
    pub(crate) attempts: u64,
    /// With a whole stack.
    pub(crate) complete: u64,
    /// With the outer part of a stack.
    pub(crate) partial: u64,
    /// Kept, and not the same as the one kept before.
    pub(crate) changes: u64,
    /// Given up, or without any frame.
    pub(crate) dropped: u64,
    /// Attempts within a look that did not hold together and were made again.
    pub(crate) torn: u64,
    /// Calls that read a whole stack.
    pub(crate) calls: u64,
    /// From the first look to the last.
    pub(crate) wall: Duration,
    /// Processor time of this thread meanwhile.
    pub(crate) cpu: Duration,
    /// How often each stack was seen, and whether its inner part is missing.
    pub(crate) stacks: HashMap<(StackId, bool), u64>,
    /// What the numbers mean.
    pub(crate) tables: Tables,
    last: Option<(StackId, bool)>,
}

impl Counts {
    /// Complete and partial ones.
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

/// Samples the process.
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
