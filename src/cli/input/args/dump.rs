//! Options of `asyncprof dump` and `asyncprof doctor`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use super::choice::{SEVERITY, choice};
use super::target::Target;
use crate::cli::input::formats::{Format, Writes};
use crate::cli::input::units::{parse_memory, parse_stop};
use crate::model::snapshot::Severity;
use crate::remote::MemoryLimit;

#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    #[command(flatten)]
    pub(crate) target: Target,

    /// Output format; by default what the ending of --output selects, else text.
    #[arg(short, long, value_name = "FORMAT", env = "ASYNCPROF_FORMAT", value_parser = Writes::Dump.parser())]
    pub(crate) format: Option<&'static Format>,

    #[arg(short, long, value_name = "FILE", default_value = "-", hide_default_value = true, help = Writes::Dump.output_help())]
    pub(crate) output: PathBuf,

    /// Overwrite the output if it exists.
    #[arg(long)]
    pub(crate) force: bool,

    /// Read a saved image instead of a process.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["positional", "pid", "name", "blocking", "save_image"])]
    pub(crate) image: Option<PathBuf>,

    /// Also save the memory that was read, for a bug report or for --image.
    ///
    /// The process is stopped while it is read, as with --blocking. The file holds names, paths and exception messages
    /// from its memory, which can be secret. Nobody else can read it.
    #[arg(long, value_name = "FILE")]
    pub(crate) save_image: Option<PathBuf>,

    /// Stop the process while it is read, normally for milliseconds, so that the snapshot is consistent for certain.
    #[arg(long, env = "ASYNCPROF_BLOCKING", value_parser = BoolishValueParser::new())]
    pub(crate) blocking: bool,

    /// With --blocking or --save-image, the longest time to stop the process; what takes longer is read while it runs.
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = parse_stop, env = "ASYNCPROF_MAX_STOP")]
    pub(crate) max_stop: Duration,

    /// Memory that asyncprof may use (512M, 2G); with more tasks than fit, it reads as many as do, and says so.
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = parse_memory, env = "ASYNCPROF_MAX_MEMORY")]
    pub(crate) max_memory: MemoryLimit,

    /// Maximum groups of tasks in the text overview.
    #[arg(long, value_name = "N", env = "ASYNCPROF_LIMIT")]
    pub(crate) limit: Option<usize>,

    /// Keep digits in task names in flame graphs; normally Task-17 is Task-*.
    #[arg(long, env = "ASYNCPROF_FULL_TASK_NAMES", value_parser = BoolishValueParser::new())]
    pub(crate) full_task_names: bool,

    /// Exit with 1 if there is a finding of at least this severity.
    #[arg(long, value_name = "SEVERITY", env = "ASYNCPROF_FAIL_ON", value_parser = choice(SEVERITY))]
    pub(crate) fail_on: Option<Severity>,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) target: Target,

    /// Output format.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "ASYNCPROF_DOCTOR_FORMAT")]
    pub(crate) format: DoctorFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DoctorFormat {
    /// Human-readable.
    Text,
    /// Machine-readable.
    Json,
}
