//! Options of `asyncprof check`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::stop::StopArgs;
use super::watch::WatchArgs;
use crate::cli::input::formats::{Format, Writes};
use crate::cli::input::units::{
    parse_budget, parse_duration, parse_effect, parse_growth, parse_memory, parse_rate, parse_share, parse_stall,
    parse_task_rate,
};
use crate::remote::MemoryLimit;

pub(crate) const CHECK_HELP: &str = "\
Examples:
  asyncprof check app.aprof --max-stall 100ms --max-orphans 0     a recording against budgets
  asyncprof check --max-stall 100ms -- python app.py              a program, with file and line of what blocked
  asyncprof check --update -- python load_test.py                 save today's runs in asyncprof.baseline.json
  asyncprof check -- python load_test.py                          compare with the saved baseline
  asyncprof check --base-cmd 'python old/load_test.py' -- python new/load_test.py      alternating runs, compared in pairs
  asyncprof check -o check.xml -o check.sarif -f github --max-stall 100ms -- python -m pytest
  asyncprof check --self-test 20 -- python load_test.py           how reliable the check is on this machine

Settings, in asyncprof.toml (in pyproject.toml the table is [tool.asyncprof.check]):
  [check]
  max-stall = \"100ms\"
  max-orphans = 0

What is judged:
  Budgets     The median of all runs. Stalls caused by CPU starvation or by a suspended process are listed but never fail
              the check. A budget for something without data does not pass.
  New sites   A stall, orphan or never-retrieved exception at a place where the baseline, or the base command, had none.
              Places are matched by function and file name, so lines may move.
  Changes     CPU time, loop lag, numbers of stalls, orphans and tasks; with --base-cmd also wall time. Exact rank tests,
              adjusted for their number: the check fails if something is worse by --min-effect or more and the difference
              is statistically significant. Times are not compared with a baseline from another machine, Python or
              event loop.
  Noise       A run is repeated, a few times at most, if the program waited for CPUs, the machine was slow, or the watch
              had a gap. What cannot be judged is INCONCLUSIVE.

Exit codes: 0 pass   1 fail, also if CMD itself failed   2 invalid usage   3 may not attach   5 not a supported Python
  6 a recording or baseline that cannot be used   7 inconclusive, or too little data   125 internal or I/O error
  126 CMD is not executable   127 CMD was not found";

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// A recording, or - for stdin.
    #[arg(value_name = "FILE", required_unless_present = "command", conflicts_with = "command")]
    pub(crate) file: Option<PathBuf>,

    /// Run this program and check it; it inherits stdin and stdout. With --duration it is terminated after that time.
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,

    #[command(flatten, next_help_heading = "Budgets")]
    pub(crate) budgets: BudgetArgs,

    #[command(flatten, next_help_heading = "Comparison")]
    pub(crate) comparison: ComparisonArgs,

    #[command(flatten, next_help_heading = "Output")]
    pub(crate) output: CheckOutputArgs,

    #[command(flatten, next_help_heading = "How to watch")]
    pub(crate) watch: CheckWatchArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BudgetArgs {
    /// Fail if a stall is longer than this, e.g. 100ms.
    #[arg(long, value_name = "TIME", value_parser = parse_stall, env = "ASYNCPROF_MAX_STALL")]
    pub(crate) max_stall: Option<Duration>,

    /// Fail if there are more stalls than this (of --stall or longer).
    #[arg(long, value_name = "N", env = "ASYNCPROF_MAX_STALLS")]
    pub(crate) max_stalls: Option<u64>,

    /// Fail if the 99th percentile of loop lag is above this, e.g. 20ms.
    #[arg(long, value_name = "TIME", value_parser = parse_stall, env = "ASYNCPROF_MAX_P99_LAG")]
    pub(crate) max_p99_lag: Option<Duration>,

    /// Fail if an event loop is busy for more than this share of the time, e.g. 80%.
    #[arg(long, value_name = "SHARE", value_parser = parse_share, env = "ASYNCPROF_MAX_BUSY")]
    pub(crate) max_busy: Option<f64>,

    /// Fail if more tasks than this are orphaned at once.
    #[arg(long, value_name = "N", env = "ASYNCPROF_MAX_ORPHANS")]
    pub(crate) max_orphans: Option<u64>,

    /// Fail if more failed tasks than this exist at once whose exception was never retrieved.
    #[arg(long, value_name = "N", env = "ASYNCPROF_MAX_UNRETRIEVED")]
    pub(crate) max_unretrieved: Option<u64>,

    /// Fail if the number of tasks grows by more than this per minute, e.g. 10/min. Needs a run of at least 5 s.
    #[arg(long, value_name = "N/min", value_parser = parse_growth, env = "ASYNCPROF_MAX_TASK_GROWTH")]
    pub(crate) max_task_growth: Option<f64>,
}

#[derive(Debug, Args)]
pub(crate) struct ComparisonArgs {
    /// Number of runs of CMD; with --base-cmd, of each program. [default: 1; as many as the baseline has; 5 with --update; 10
    /// with --base-cmd]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100), env = "ASYNCPROF_RUNS")]
    pub(crate) runs: Option<u32>,

    /// The earlier version of the program, as one string: both run alternately (base, head, head, base), compared in pairs.
    #[arg(long, value_name = "CMD", conflicts_with = "update")]
    pub(crate) base_cmd: Option<String>,

    /// File with the runs to compare with. [default: asyncprof.baseline.json, if it exists]
    #[arg(long, value_name = "FILE", env = "ASYNCPROF_BASELINE")]
    pub(crate) baseline: Option<PathBuf>,

    /// Save these runs as the baseline.
    #[arg(long)]
    pub(crate) update: bool,

    /// Smallest change for the worse that fails the check.
    #[arg(long, value_name = "SHARE", default_value = "10%", value_parser = parse_effect, env = "ASYNCPROF_MIN_EFFECT")]
    pub(crate) min_effect: f64,

    /// Compare CMD with itself N times, and report the rate of false alarms and the smallest change that would be found.
    #[arg(long, value_name = "N", conflicts_with_all = ["update", "base_cmd"],
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) self_test: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckOutputArgs {
    /// Format of the result on stdout.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "ASYNCPROF_CHECK_FORMAT", value_parser = Writes::Check.parser())]
    pub(crate) format: &'static Format,

    #[arg(short, long, value_name = "FILE", help = Writes::Check.output_help())]
    pub(crate) output: Vec<PathBuf>,

    /// Overwrite files that exist.
    #[arg(long)]
    pub(crate) force: bool,

    /// Save a recording of each run in this folder.
    #[arg(long, value_name = "FOLDER", env = "ASYNCPROF_KEEP")]
    pub(crate) keep: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckWatchArgs {
    /// Samples per second for each event loop.
    #[arg(short, long, value_name = "RATE", default_value = "1000", value_parser = parse_rate, env = "ASYNCPROF_RATE")]
    rate: f64,

    /// Snapshots of all tasks per second.
    #[arg(long, value_name = "RATE", default_value = "10", value_parser = parse_task_rate, env = "ASYNCPROF_TASK_RATE")]
    task_rate: f64,

    /// Terminate the program after this time; by default a run lasts until the program ends by itself.
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration, env = "ASYNCPROF_DURATION")]
    pub(crate) duration: Option<Duration>,

    /// Report the event loop as stalled when it is blocked for at least this long. [default: 100ms; as recorded]
    #[arg(long, value_name = "TIME", value_parser = parse_stall, env = "ASYNCPROF_STALL")]
    pub(crate) stall: Option<Duration>,

    /// CPU time that asyncprof may use, as a share of one core; more than elsewhere, because a short run has few samples.
    #[arg(long, value_name = "SHARE", default_value = "20%", value_parser = parse_budget, env = "ASYNCPROF_CPU_BUDGET")]
    cpu_budget: f64,

    /// Memory that asyncprof may use (256M, 1.5G); with more tasks than fit, it watches as many as do, and says so.
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = parse_memory, env = "ASYNCPROF_MAX_MEMORY")]
    max_memory: MemoryLimit,

    #[command(flatten)]
    stops: StopArgs,
}

impl CheckWatchArgs {
    /// The same as options of a watch, with this stall threshold in its header.
    pub(crate) fn with_stall(&self, stall: Duration) -> WatchArgs {
        WatchArgs {
            rate: self.rate,
            task_rate: self.task_rate,
            duration: self.duration,
            stall,
            cpu_budget: self.cpu_budget,
            max_memory: self.max_memory,
            stops: self.stops.clone(),
        }
    }
}
