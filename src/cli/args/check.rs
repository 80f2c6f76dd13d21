//! Options of `asyncprof check`. Like all of `args` it must not know what the command does.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use super::WatchArgs;
use crate::cli::units::{
    parse_budget, parse_duration, parse_effect, parse_growth, parse_rate, parse_share, parse_stall, parse_task_rate,
};

pub(super) const CHECK_HELP: &str = "\
Examples:
  asyncprof check app.aprof --max-stall 100ms --max-orphans 0     a recording against budgets
  asyncprof check --max-stall 100ms -- python app.py              a program, with file and line of what blocked
  asyncprof check --update -- python load_test.py                 keep how it does today, in asyncprof.baseline.json
  asyncprof check -- python load_test.py                          what is there now and was not in the baseline
  asyncprof check --base-cmd 'python old/load_test.py' -- python new/load_test.py      both in turns, compared in pairs
  asyncprof check -o check.xml -o check.sarif -f github --max-stall 100ms -- python -m pytest
  asyncprof check --self-test 20 -- python load_test.py           how far to trust it on this machine

Settings, in asyncprof.toml (in pyproject.toml the table is [tool.asyncprof.check]):
  [check]
  max-stall = \"100ms\"
  max-orphans = 0

What is judged:
  Budgets     In the middle of all runs. A stall whose thread was ready and got no processor is told, and not judged; neither
              is one in which the process was suspended. A budget over something without data does not pass.
  New sites   A stall, orphan or exception never retrieved at a place where the baseline, or the base command, had none.
              Places are told apart by function and file name, so lines may move.
  Changes     Processor time, loop lag, numbers of stalls, orphans and tasks; with --base-cmd also time from start to end. By
              exact rank tests, adjusted for their number: it fails what is worse by --min-effect or more when that is no
              chance. Of a baseline that was made on another machine, Python or event loop, times are not judged.
  Noise       A run in which the program waited for processors, the machine was slow, or the watch had a gap is made again, a
              few times. What cannot be judged is INCONCLUSIVE.

Exit codes: 0 pass   1 fail, also when CMD itself failed   2 usage   3 may not attach   5 not a supported Python
  6 a recording or baseline that cannot be used   7 inconclusive, or too little data   125 own failure
  126 CMD is not executable   127 CMD is not found";

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    /// A recording, or - for stdin.
    #[arg(value_name = "FILE", required_unless_present = "command", conflicts_with = "command")]
    pub(in crate::cli) file: Option<PathBuf>,

    /// Run this program and check it; its stdin and stdout are ours. With --duration it is asked to end when that is over.
    #[arg(last = true, value_name = "CMD")]
    pub(in crate::cli) command: Vec<OsString>,

    #[command(flatten, next_help_heading = "Budgets")]
    pub(in crate::cli) budgets: BudgetArgs,

    #[command(flatten, next_help_heading = "Comparison")]
    pub(in crate::cli) comparison: ComparisonArgs,

    #[command(flatten, next_help_heading = "Output")]
    pub(in crate::cli) output: CheckOutputArgs,

    #[command(flatten, next_help_heading = "How to watch")]
    pub(in crate::cli) watch: CheckWatchArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct BudgetArgs {
    /// The longest stall may last so long: 100ms.
    #[arg(long, value_name = "TIME", value_parser = parse_stall, env = "ASYNCPROF_MAX_STALL")]
    pub(in crate::cli) max_stall: Option<Duration>,

    /// At most so many stalls of --stall or longer.
    #[arg(long, value_name = "N", env = "ASYNCPROF_MAX_STALLS")]
    pub(in crate::cli) max_stalls: Option<u64>,

    /// 99 of 100 iterations of each loop are at most so long: 20ms.
    #[arg(long, value_name = "TIME", value_parser = parse_stall, env = "ASYNCPROF_MAX_P99_LAG")]
    pub(in crate::cli) max_p99_lag: Option<Duration>,

    /// Each loop is away from its selector for at most this part of the time: 80%.
    #[arg(long, value_name = "SHARE", value_parser = parse_share, env = "ASYNCPROF_MAX_BUSY")]
    pub(in crate::cli) max_busy: Option<f64>,

    /// At most so many orphaned tasks at once.
    #[arg(long, value_name = "N", env = "ASYNCPROF_MAX_ORPHANS")]
    pub(in crate::cli) max_orphans: Option<u64>,

    /// At most so many failed tasks at once whose exception nobody has looked at.
    #[arg(long, value_name = "N", env = "ASYNCPROF_MAX_UNRETRIEVED")]
    pub(in crate::cli) max_unretrieved: Option<u64>,

    /// There are at most so many more tasks after each minute: 10/min. Needs 5 s at least.
    #[arg(long, value_name = "N/min", value_parser = parse_growth, env = "ASYNCPROF_MAX_TASK_GROWTH")]
    pub(in crate::cli) max_task_growth: Option<f64>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ComparisonArgs {
    /// Run CMD so often; with --base-cmd each of both. [default: 1; as often as the baseline was; 5 with --update; 10 with
    /// --base-cmd]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100), env = "ASYNCPROF_RUNS")]
    pub(in crate::cli) runs: Option<u32>,

    /// The program as it was before, as one string: both run in turns (base, head, head, base) and are compared in pairs.
    #[arg(long, value_name = "CMD", conflicts_with = "update")]
    pub(in crate::cli) base_cmd: Option<String>,

    /// What is kept of runs of before. [default: asyncprof.baseline.json, if there is one]
    #[arg(long, value_name = "FILE", env = "ASYNCPROF_BASELINE")]
    pub(in crate::cli) baseline: Option<PathBuf>,

    /// Keep these runs as the baseline.
    #[arg(long)]
    pub(in crate::cli) update: bool,

    /// A smaller change for the worse does not fail.
    #[arg(long, value_name = "SHARE", default_value = "10%", value_parser = parse_effect, env = "ASYNCPROF_MIN_EFFECT")]
    pub(in crate::cli) min_effect: f64,

    /// Compare CMD with itself so often, and tell how often that gives a false alarm and how small a change it would find.
    #[arg(long, value_name = "N", conflicts_with_all = ["update", "base_cmd"],
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(in crate::cli) self_test: Option<u32>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckOutputArgs {
    /// How to write the result on stdout.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "ASYNCPROF_CHECK_FORMAT")]
    pub(in crate::cli) format: CheckFormat,

    /// Also write a file, by its ending: .txt .json .md .xml (JUnit) .sarif; can be given several times.
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) output: Vec<PathBuf>,

    /// Overwrite files that exist.
    #[arg(long)]
    pub(in crate::cli) force: bool,

    /// Keep a recording of each run in this folder.
    #[arg(long, value_name = "FOLDER", env = "ASYNCPROF_KEEP")]
    pub(in crate::cli) keep: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckWatchArgs {
    /// Look at each event loop so many times a second.
    #[arg(short, long, value_name = "RATE", default_value = "1000", value_parser = parse_rate, env = "ASYNCPROF_RATE")]
    rate: f64,

    /// Look at all tasks so many times a second.
    #[arg(long, value_name = "RATE", default_value = "10", value_parser = parse_task_rate, env = "ASYNCPROF_TASK_RATE")]
    task_rate: f64,

    /// Watch each run for so long, then ask the program to end; else until it ends by itself.
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration, env = "ASYNCPROF_DURATION")]
    pub(in crate::cli) duration: Option<Duration>,

    /// A loop is stalled when it is away from its selector for so long. [default: 100ms; as it was recorded]
    #[arg(long, value_name = "TIME", value_parser = parse_stall, env = "ASYNCPROF_STALL")]
    pub(in crate::cli) stall: Option<Duration>,

    /// How much of one core asyncprof may use; more than elsewhere, since what a short run shows must not escape.
    #[arg(long, value_name = "SHARE", default_value = "20%", value_parser = parse_budget, env = "ASYNCPROF_CPU_BUDGET")]
    cpu_budget: f64,

    /// Stop the process for each look: every sample is of one moment for certain, and the process is slower for it.
    #[arg(long, env = "ASYNCPROF_BLOCKING", value_parser = BoolishValueParser::new())]
    blocking: bool,
}

impl CheckWatchArgs {
    /// The same for a watch, which says in its header that loops are stalled from `stall` on.
    pub(in crate::cli) fn with_stall(&self, stall: Duration) -> WatchArgs {
        WatchArgs {
            rate: self.rate,
            task_rate: self.task_rate,
            duration: self.duration,
            stall,
            cpu_budget: self.cpu_budget,
            blocking: self.blocking,
        }
    }
}

/// How a check is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum CheckFormat {
    /// For a person.
    Text,
    /// Everything, for programs.
    Json,
    /// For a pull request or the summary of a job.
    Md,
    /// For what collects test results.
    Junit,
    /// For what shows results at their lines of code.
    Sarif,
    /// Annotations of GitHub Actions.
    Github,
}
