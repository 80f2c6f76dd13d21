//! Full task snapshots per second on one core: `cargo bench --bench task_tier -- [PYTHON]`, or `scripts/bench-tasks`, which
//! picks the interpreter. For 1,000, 10,000 and 100,000 tasks, all suspended or some of them running, it prints the CPU time of
//! the first snapshot and of later ones, and snapshots per second of CPU time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot continue fails")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use asyncprof::capture::session::attach;
use asyncprof::model::tables::Tables;
use asyncprof::remote::live::LiveMemory;
use asyncprof::watch::tasks::TaskWatch;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// Coroutines per task.
const DEPTH: usize = 8;

/// Duration of each case.
const LASTS: Duration = Duration::from_secs(4);

/// Tasks, how many of them run ten times per second, and snapshots per second (0: as many as possible).
const CASES: [(usize, usize, u32); 8] = [
    (1_000, 0, 0),
    (1_000, 0, 10),
    (1_000, 10, 10),
    (1_000, 50, 10),
    (10_000, 0, 0),
    (10_000, 100, 10),
    (10_000, 1_000, 10),
    (100_000, 0, 0),
];

/// The measured program; killed on drop.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    fn start(python: &str, tasks: usize, moving: usize) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/bench/moving.py");
        let mut child = Command::new(python)
            .arg(script)
            .args([tasks.to_string(), DEPTH.to_string(), moving.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {python}: {error}"));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("ready"), "the program with {tasks} tasks did not start");
        Self(child)
    }
}

/// CPU time of this process so far, in milliseconds.
fn cpu_ms() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e3
}

fn measure(python: &str, tasks: usize, moving: usize, rate: u32) {
    let program = Program::start(python, tasks, moving);
    let pid = program.0.id() as i32;
    let attached = attach(pid).unwrap();
    let mut watch = TaskWatch::new(Box::new(LiveMemory::new(pid)), attached.facts.runtime, attached.layouts).unwrap();
    let mut tables = Tables::default();
    let before = cpu_ms();
    let first = watch.look(&mut tables, 0).unwrap();
    let first_ms = cpu_ms() - before;
    assert!(first.total as usize >= tasks, "only {} of {tasks} tasks were found", first.total);
    let (mut looks, mut changed, walked) = (0u32, 0, watch.stats().walked);
    let (started, before) = (Instant::now(), cpu_ms());
    let mut slowest_ms = 0.0f64;
    while started.elapsed() < LASTS {
        if rate > 0 {
            let due = started + Duration::from_secs(1) * looks / rate;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let began = cpu_ms();
        changed += watch.look(&mut tables, u64::from(looks)).unwrap().changed.len();
        slowest_ms = slowest_ms.max(cpu_ms() - began);
        looks += 1;
    }
    let each_ms = (cpu_ms() - before) / f64::from(looks);
    let stats = watch.stats();
    let walked = (stats.walked - walked) as f64 / f64::from(looks);
    let changed = changed as f64 / f64::from(looks);
    let hz = if rate == 0 { "-".to_owned() } else { rate.to_string() };
    println!(
        "{tasks:>8} {moving:>8} {hz:>4} {first_ms:>10.1} {each_ms:>10.2} {slowest_ms:>10.2} {:>10.0} {changed:>10.0} {walked:>10.0} \
         {:>8} {:>6} {:>8} {:>9}",
        1e3 / each_ms,
        stats.pages,
        stats.torn,
        stats.dropped,
        stats.forgotten,
    );
}

fn main() {
    // Cargo passes `--bench`.
    let python = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let python = python.unwrap_or_else(|| "python3".to_owned());
    println!("tasks {DEPTH} coroutines deep, {python}; times are CPU time in ms; moving tasks run 10 times/s");
    println!(
        "{:>8} {:>8} {:>4} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>8} {:>6} {:>8} {:>9}",
        "tasks",
        "moving",
        "hz",
        "first",
        "mean",
        "slowest",
        "snap/s",
        "changed",
        "walked",
        "pages",
        "torn",
        "dropped",
        "forgotten"
    );
    // `BENCH_ONLY=10000` selects the cases with 10,000 tasks, `BENCH_ONLY=10000:100` the one with 100 moving.
    let only = std::env::var("BENCH_ONLY").unwrap_or_default();
    for (tasks, moving, rate) in CASES {
        if only.is_empty() || only == tasks.to_string() || only == format!("{tasks}:{moving}") {
            measure(&python, tasks, moving, rate);
        }
    }
}
