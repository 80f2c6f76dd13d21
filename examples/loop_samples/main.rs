//! `loop_samples PID [SAMPLES [SECONDS]] [--blocking] [--resting] [--stacks]`: samples the event loops of a process as fast as
//! possible and prints the counts as JSON. `scripts/bench-sampler`, `scripts/bench-peers` and `scripts/impossible-stacks` run it
//! and judge the result.

mod sampling;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use sampling::{Counts, Wanted};
use serde_json::{Value, json};

const USAGE: &str = "usage: loop_samples PID [SAMPLES [SECONDS]] [--blocking] [--resting] [--stacks]";

fn main() -> ExitCode {
    match run() {
        Ok(result) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("loop_samples: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Value, String> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (options, numbers): (Vec<&String>, Vec<&String>) = arguments.iter().partition(|one| one.starts_with("--"));
    let number = |position: usize, default: u64| match numbers.get(position) {
        Some(text) => text.parse::<u64>().map_err(|_| format!("{text} is not a number; {USAGE}")),
        None => Ok(default),
    };
    let has = |name: &str| options.iter().any(|option| *option == name);
    let pid = i32::try_from(number(0, 0)?).ok().filter(|pid| *pid > 0).ok_or(USAGE)?;
    let within = Duration::from_secs(number(2, 60)?);
    let (blocking, resting) = (has("--blocking"), has("--resting"));
    let counts = sampling::sample(pid, Wanted { kept: number(1, 100_000)?, changes: 0, within, blocking, resting })?;
    let mut result = described(&counts);
    if has("--stacks") {
        result["stacks"] = stacks(&counts);
    }
    Ok(result)
}

fn described(counts: &Counts) -> Value {
    json!({
        "attempts": counts.attempts, "kept": counts.kept(), "complete": counts.complete, "partial": counts.partial,
        "changes": counts.changes, "dropped": counts.dropped, "torn": counts.torn, "calls": counts.calls,
        "seconds": counts.wall.as_secs_f64(), "cpu_seconds": counts.cpu.as_secs_f64(),
    })
}

fn stacks(counts: &Counts) -> Value {
    let described = counts.stacks.iter().map(|((stack, torn), count)| {
        let frames = counts.tables.frames_outermost_first(*stack);
        let frames: Vec<Value> = frames.iter().map(|f| json!([&*f.function, &*f.file, f.line])).collect();
        json!({"count": count, "torn": torn, "frames": frames})
    });
    described.collect()
}
