//! Options of `asyncprof diff`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::input::formats::{Format, Writes};
use crate::cli::input::units::parse_stall;

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// Recording to compare against; this one or the other can be - for stdin.
    #[arg(value_name = "BASE")]
    pub(crate) base: PathBuf,

    /// Recording to compare with BASE.
    #[arg(value_name = "HEAD")]
    pub(crate) head: PathBuf,

    /// Output format; by default what the ending of --output selects, else text.
    #[arg(short, long, value_name = "FORMAT", env = "ASYNCPROF_DIFF_FORMAT", value_parser = Writes::Diff.parser())]
    pub(crate) format: Option<&'static Format>,

    #[arg(short, long, value_name = "FILE", default_value = "-", hide_default_value = true, help = Writes::Diff.output_help())]
    pub(crate) output: PathBuf,

    /// Overwrite the output if it exists.
    #[arg(long)]
    pub(crate) force: bool,

    /// Maximum entries per list in human-readable output.
    #[arg(long, value_name = "N", env = "ASYNCPROF_LIMIT")]
    pub(crate) limit: Option<usize>,

    /// Report the event loop as stalled when it is blocked for at least this long, in both; by default as recorded.
    #[arg(long, value_name = "TIME", value_parser = parse_stall)]
    pub(crate) stall: Option<Duration>,
}
