//! How fast event loops are sampled: `cargo bench --bench loop_tier -- PID [SECONDS [RATE]]`. Without a rate, as often as
//! one core can.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on fails")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use asyncprof::snapshot::loop_watch::LoopWatch;
use asyncprof::snapshot::session;
use asyncprof::snapshot::tables::Tables;
use asyncprof::target::live::LiveMemory;
use nix::time::{ClockId, clock_gettime};

fn clock_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock).unwrap();
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

fn main() {
    let numbers: Vec<f64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let Some(pid) = numbers.first() else { return eprintln!("which process?") };
    let seconds = numbers.get(1).copied().unwrap_or(2.0);
    let period = numbers.get(2).map(|rate| Duration::from_secs_f64(1.0 / rate));
    let attachment = session::attach(*pid as i32).unwrap();
    let memory = LiveMemory::new(*pid as i32);
    let mut watch = LoopWatch::new(&attachment).unwrap();
    let (mut tables, mut samples) = (Tables::default(), Vec::new());
    watch.rediscover(&memory, clock_ns(ClockId::CLOCK_MONOTONIC)).unwrap();
    let (started, cpu) = (Instant::now(), clock_ns(ClockId::CLOCK_PROCESS_CPUTIME_ID));
    let (mut rounds, mut kept) = (0u32, 0u64);
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let (mut discovered, mut discovery, mut discoveries) = (Instant::now(), 0, 0u32);
    while started.elapsed().as_secs_f64() < seconds {
        let now = clock_ns(ClockId::CLOCK_MONOTONIC);
        if discovered.elapsed().as_millis() > 500 {
            discovered = Instant::now();
            let before = clock_ns(ClockId::CLOCK_PROCESS_CPUTIME_ID);
            let _ = watch.rediscover(&memory, now);
            discovery += clock_ns(ClockId::CLOCK_PROCESS_CPUTIME_ID) - before;
            discoveries += 1;
        }
        watch.sample(&memory, &mut tables, now, &mut samples).unwrap();
        rounds += 1;
        kept += samples.len() as u64;
        for sample in samples.drain(..) {
            if rounds % 1024 == 1 || period.is_some() {
                let innermost = sample.stack.map(|stack| {
                    let frames = tables.frames_outermost_first(stack);
                    let last = frames.last().unwrap();
                    format!("{} of {} frames, {}:{:?}", last.function, frames.len(), last.file, last.line)
                });
                let away = sample.away_since_ns.map(|since| (sample.at_ns as i64 - since as i64) / 20_000_000 * 20);
                let task = sample.task.and_then(|task| tables.task(task)).and_then(|task| task.name.clone());
                let what = format!(
                    "{:?} away {away:?} ms, task {task:?} outer {} coroutines {} torn {} gil {:?} ready {:?} {:?} {}",
                    sample.phase,
                    sample.outer,
                    sample.coroutines,
                    sample.torn,
                    sample.gil,
                    sample.ready,
                    sample.kernel.map(|look| look.doing),
                    innermost.unwrap_or_default()
                );
                *seen.entry(what).or_default() += 1;
            }
        }
        if let Some(period) = period {
            std::thread::sleep((period * rounds).saturating_sub(started.elapsed()));
        }
    }
    let cpu = (clock_ns(ClockId::CLOCK_PROCESS_CPUTIME_ID) - cpu) as f64 / 1e9;
    for (what, count) in &seen {
        println!("{count:>8}  {what}");
    }
    let effort = watch.effort();
    println!("{:.0} us of CPU to find the loops again", discovery as f64 / 1e3 / f64::from(discoveries.max(1)));
    println!("loops {}  rounds {rounds}  kept {kept}  {effort:?}", watch.loops());
    println!(
        "{:.0} samples a second; {:.2} us of CPU a sample; {:.2} % of a core",
        kept as f64 / started.elapsed().as_secs_f64(),
        cpu * 1e6 / kept as f64,
        100.0 * cpu / started.elapsed().as_secs_f64()
    );
}
