//! Options of the commands that watch over time, and of those that read what was watched. Like all of `args` it must not
//! know what the commands do.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use super::{FlameArgs, SubprocessArgs, Target};
use crate::cli::units::{parse_budget, parse_duration, parse_rate, parse_stall, parse_task_rate};

/// How to watch.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct WatchArgs {
    /// Look at each event loop so many times a second: 1000, 1khz, 100k.
    #[arg(short, long, value_name = "RATE", default_value = "1000", value_parser = parse_rate, env = "ASYNCPROF_RATE")]
    pub(in crate::cli) rate: f64,

    /// Look at all tasks so many times a second.
    #[arg(long, value_name = "RATE", default_value = "10", value_parser = parse_task_rate, env = "ASYNCPROF_TASK_RATE")]
    pub(in crate::cli) task_rate: f64,

    /// Stop watching after so long: 30 (seconds), 250ms, 1.5s, 5m; else until Ctrl-C or the process ends.
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration, env = "ASYNCPROF_DURATION")]
    pub(in crate::cli) duration: Option<Duration>,

    /// A loop is stalled when it is away from its selector for so long.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = parse_stall, env = "ASYNCPROF_STALL")]
    pub(in crate::cli) stall: Duration,

    /// How much of one core asyncprof may use; it looks less often to stay below, and says so.
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = parse_budget, env = "ASYNCPROF_CPU_BUDGET")]
    pub(in crate::cli) cpu_budget: f64,

    /// Stop the process for each look: every sample is of one moment for certain, and the process is slower for it.
    #[arg(long, env = "ASYNCPROF_BLOCKING", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) blocking: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AttachArgs {
    #[command(flatten)]
    pub(in crate::cli) target: Target,

    #[command(flatten)]
    pub(in crate::cli) below: SubprocessArgs,

    #[command(flatten)]
    pub(in crate::cli) watch: WatchArgs,

    /// How to write the summary on stdout.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "ASYNCPROF_REPORT_FORMAT")]
    pub(in crate::cli) format: ReportFormat,

    /// At most so many entries in each list for a person.
    #[arg(long, value_name = "N", env = "ASYNCPROF_LIMIT")]
    pub(in crate::cli) limit: Option<usize>,

    /// Also write a file, by its ending: .aprof .html .svg .folded .speedscope.json .pb.gz .json .md .txt; can be given several times.
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) output: Vec<PathBuf>,

    /// Overwrite files that exist.
    #[arg(long)]
    pub(in crate::cli) force: bool,

    #[command(flatten)]
    pub(in crate::cli) flame: FlameArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RecordArgs {
    #[command(flatten)]
    pub(in crate::cli) target: Target,

    /// Start this program and record it from its first instruction; its exit status is passed on.
    #[arg(last = true, value_name = "CMD", conflicts_with_all = ["positional", "pid", "name"])]
    pub(in crate::cli) command: Vec<OsString>,

    #[command(flatten)]
    pub(in crate::cli) below: SubprocessArgs,

    #[command(flatten)]
    pub(in crate::cli) watch: WatchArgs,

    /// The recording, or - for stdout, for a pipe; without this asyncprof-PID-TIME.aprof in the current folder.
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,

    /// Overwrite the recording if it exists.
    #[arg(long)]
    pub(in crate::cli) force: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ReportArgs {
    /// The recording, or - for stdin.
    #[arg(value_name = "FILE")]
    pub(in crate::cli) file: PathBuf,

    /// How to write it; without this, what the ending of --output says, else text.
    #[arg(short, long, value_name = "FORMAT", env = "ASYNCPROF_REPORT_FORMAT")]
    pub(in crate::cli) format: Option<ReportFormat>,

    /// Where to write it: a file (.html .txt .json .md), or - for stdout.
    #[arg(short, long, value_name = "FILE", default_value = "-", hide_default_value = true)]
    pub(in crate::cli) output: PathBuf,

    /// Overwrite the output if it exists.
    #[arg(long)]
    pub(in crate::cli) force: bool,

    /// At most so many entries in each list for a person.
    #[arg(long, value_name = "N", env = "ASYNCPROF_LIMIT")]
    pub(in crate::cli) limit: Option<usize>,

    /// From how long on a loop is stalled; without this as when it was recorded.
    #[arg(long, value_name = "TIME", value_parser = parse_stall)]
    pub(in crate::cli) stall: Option<Duration>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct FlamegraphArgs {
    /// A recording (- for stdin), or a process to watch for --duration (10 s unless given).
    #[arg(value_name = "FILE|PID", required_unless_present_any = ["pid", "name"])]
    pub(in crate::cli) source: Option<PathBuf>,

    /// The process, as an option.
    #[arg(short, long, value_name = "PID", conflicts_with = "source", value_parser = clap::value_parser!(i32).range(1..))]
    pub(in crate::cli) pid: Option<i32>,

    /// The one Python process whose command line contains this.
    #[arg(long, value_name = "PATTERN", conflicts_with_all = ["source", "pid"])]
    pub(in crate::cli) name: Option<String>,

    #[command(flatten)]
    pub(in crate::cli) flame: FlameArgs,

    /// Show what became more and less than in this recording (- for stdin).
    #[arg(long, value_name = "BASE")]
    pub(in crate::cli) diff: Option<PathBuf>,

    /// Where to write it: a file (.svg, .folded for other tools), or - for stdout.
    #[arg(short, long, value_name = "FILE", default_value = "-", hide_default_value = true)]
    pub(in crate::cli) output: PathBuf,

    /// Overwrite the output if it exists.
    #[arg(long)]
    pub(in crate::cli) force: bool,

    #[command(flatten)]
    pub(in crate::cli) watch: WatchArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ExportArgs {
    /// The recording, or - for stdin.
    #[arg(value_name = "FILE")]
    pub(in crate::cli) file: PathBuf,

    /// For which tools; without this, what the ending of --output says.
    #[arg(short, long, value_name = "FORMAT", env = "ASYNCPROF_EXPORT_FORMAT")]
    pub(in crate::cli) format: Option<ExportFormat>,

    #[command(flatten)]
    pub(in crate::cli) flame: FlameArgs,

    /// Where to write it: a file (.folded .txt .speedscope.json .trace.json .firefox.json .pb.gz .jsonl, gzipped with .gz behind
    /// that), or - for stdout.
    #[arg(short, long, value_name = "FILE", default_value = "-", hide_default_value = true)]
    pub(in crate::cli) output: PathBuf,

    /// Overwrite the output if it exists.
    #[arg(long)]
    pub(in crate::cli) force: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DemoArgs {
    /// The Python to run the example with, 3.8 or later.
    #[arg(long, value_name = "PYTHON", default_value = "python3", env = "ASYNCPROF_PYTHON")]
    pub(in crate::cli) python: PathBuf,

    /// How to watch it; for 5 s unless given.
    #[command(flatten)]
    pub(in crate::cli) watch: WatchArgs,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ReportFormat {
    /// For a person.
    Text,
    /// Everything, for programs.
    Json,
    /// For a pull request or a ticket.
    Md,
    /// One page for a browser, with charts and flame graphs; it needs no network.
    Html,
}

/// What a recording can be written as for other tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ExportFormat {
    /// Folded stacks: `frame;frame;… count`.
    Collapsed,
    /// speedscope: stacks by what is run, awaited and both; --by says which is shown first.
    Speedscope,
    /// Perfetto (Chrome's trace events): loops with their stalls, tasks with their runs and waits, over time.
    Perfetto,
    /// Firefox Profiler: stacks of the loops and of waiting tasks, and stalls, over time.
    Firefox,
    /// pprof: stacks with a column for what is run, awaited and both; --by says which is shown first.
    Pprof,
    /// Each event as a line of JSON.
    Jsonl,
}
