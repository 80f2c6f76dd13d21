//! Options of the commands that watch a process over time, and of those that read a recording.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::flame::FlameArgs;
use super::stop::StopArgs;
use super::target::{PidParser, SubprocessArgs, Target};
use crate::cli::input::formats::{Format, Writes};
use crate::cli::input::units::{parse_budget, parse_duration, parse_memory, parse_rate, parse_stall, parse_task_rate};
use crate::remote::MemoryLimit;

/// How to watch.
#[derive(Clone, Debug, Args)]
pub(crate) struct WatchArgs {
    /// Samples per second for each event loop (1000, 1khz, 100k).
    #[arg(short, long, value_name = "RATE", default_value = "1000", value_parser = parse_rate, env = "ASYNCPROF_RATE")]
    pub(crate) rate: f64,

    /// Snapshots of all tasks per second.
    #[arg(long, value_name = "RATE", default_value = "10", value_parser = parse_task_rate, env = "ASYNCPROF_TASK_RATE")]
    pub(crate) task_rate: f64,

    /// How long to watch: 30 (seconds), 250ms, 1.5s, 5m; by default until Ctrl-C or the end of the process.
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration, env = "ASYNCPROF_DURATION")]
    pub(crate) duration: Option<Duration>,

    /// Report the event loop as stalled when it is blocked for at least this long.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = parse_stall, env = "ASYNCPROF_STALL")]
    pub(crate) stall: Duration,

    /// CPU time that asyncprof may use, as a share of one core; it lowers its rates to stay below, and says so.
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = parse_budget, env = "ASYNCPROF_CPU_BUDGET")]
    pub(crate) cpu_budget: f64,

    /// Memory that asyncprof may use (256M, 1.5G); with more tasks than fit, it watches as many as do, and says so.
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = parse_memory, env = "ASYNCPROF_MAX_MEMORY")]
    pub(crate) max_memory: MemoryLimit,

    #[command(flatten)]
    pub(crate) stops: StopArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    #[command(flatten)]
    pub(crate) target: Target,

    #[command(flatten)]
    pub(crate) below: SubprocessArgs,

    #[command(flatten)]
    pub(crate) watch: WatchArgs,

    /// Format of the summary on stdout.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "ASYNCPROF_REPORT_FORMAT", value_parser = Writes::Report.parser())]
    pub(crate) format: &'static Format,

    /// Maximum entries per list in human-readable output.
    #[arg(long, value_name = "N", env = "ASYNCPROF_LIMIT")]
    pub(crate) limit: Option<usize>,

    #[arg(short, long, value_name = "FILE", help = Writes::Attach.output_help())]
    pub(crate) output: Vec<PathBuf>,

    /// Overwrite files that exist.
    #[arg(long)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) flame: FlameArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    #[command(flatten)]
    pub(crate) target: Target,

    /// Start this program and record it from its first instruction; its exit status is passed on.
    #[arg(last = true, value_name = "CMD", conflicts_with_all = ["positional", "pid", "name"])]
    pub(crate) command: Vec<OsString>,

    #[command(flatten)]
    pub(crate) below: SubprocessArgs,

    #[command(flatten)]
    pub(crate) watch: WatchArgs,

    /// The recording, or - for stdout (a pipe); by default asyncprof-PID-TIME.aprof in the current folder.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Overwrite the recording if it exists.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The recording, or - for stdin.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Output format; by default what the ending of --output selects, else text.
    #[arg(short, long, value_name = "FORMAT", env = "ASYNCPROF_REPORT_FORMAT", value_parser = Writes::Report.parser())]
    pub(crate) format: Option<&'static Format>,

    #[arg(short, long, value_name = "FILE", default_value = "-", hide_default_value = true, help = Writes::Report.output_help())]
    pub(crate) output: PathBuf,

    /// Overwrite the output if it exists.
    #[arg(long)]
    pub(crate) force: bool,

    /// Maximum entries per list in human-readable output.
    #[arg(long, value_name = "N", env = "ASYNCPROF_LIMIT")]
    pub(crate) limit: Option<usize>,

    /// Report the event loop as stalled when it is blocked for at least this long; by default as recorded.
    #[arg(long, value_name = "TIME", value_parser = parse_stall)]
    pub(crate) stall: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct FlamegraphArgs {
    /// A recording (- for stdin), or a process to watch for --duration (10 s by default).
    #[arg(value_name = "FILE|PID", required_unless_present_any = ["pid", "name"])]
    pub(crate) source: Option<PathBuf>,

    /// The process, as an option.
    #[arg(short, long, value_name = "PID", conflicts_with = "source", value_parser = PidParser)]
    pub(crate) pid: Option<i32>,

    /// The one Python process whose command line contains this.
    #[arg(long, value_name = "PATTERN", conflicts_with_all = ["source", "pid"])]
    pub(crate) name: Option<String>,

    #[command(flatten)]
    pub(crate) flame: FlameArgs,

    /// Compare with this recording (- for stdin): red = more time, blue = less.
    #[arg(long, value_name = "BASE")]
    pub(crate) diff: Option<PathBuf>,

    #[arg(short, long, value_name = "FILE", default_value = "-", hide_default_value = true, help = Writes::Flamegraph.output_help())]
    pub(crate) output: PathBuf,

    /// Overwrite the output if it exists.
    #[arg(long)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) watch: WatchArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The recording, or - for stdin.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Output format; by default what the ending of --output selects.
    #[arg(short, long, value_name = "FORMAT", env = "ASYNCPROF_EXPORT_FORMAT", value_parser = Writes::Export.parser())]
    pub(crate) format: Option<&'static Format>,

    #[command(flatten)]
    pub(crate) flame: FlameArgs,

    #[arg(short, long, value_name = "FILE", default_value = "-", hide_default_value = true, help = Writes::Export.output_help())]
    pub(crate) output: PathBuf,

    /// Overwrite the output if it exists.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The Python to run the example with, 3.8 or later.
    #[arg(long, value_name = "PYTHON", default_value = "python3", env = "ASYNCPROF_PYTHON")]
    pub(crate) python: PathBuf,

    /// How to watch it; for 5 s by default.
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
}
