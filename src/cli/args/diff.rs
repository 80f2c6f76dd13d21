//! Options of the command that compares two recordings. Like all of `args` it must not know what the commands do.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::units::parse_stall;

#[derive(Debug, Args)]
pub(in crate::cli) struct DiffArgs {
    /// The recording to compare with; this one or the other can be - for stdin.
    #[arg(value_name = "BASE")]
    pub(in crate::cli) base: PathBuf,

    /// The recording of which is told what is different.
    #[arg(value_name = "HEAD")]
    pub(in crate::cli) head: PathBuf,

    /// How to write it; without this, what the ending of --output says, else text.
    #[arg(short, long, value_name = "FORMAT", env = "ASYNCPROF_DIFF_FORMAT")]
    pub(in crate::cli) format: Option<DiffFormat>,

    /// Where to write it: a file (.txt .json .md), or - for stdout.
    #[arg(short, long, value_name = "FILE", default_value = "-", hide_default_value = true)]
    pub(in crate::cli) output: PathBuf,

    /// Overwrite the output if it exists.
    #[arg(long)]
    pub(in crate::cli) force: bool,

    /// At most so many entries in each list for a person.
    #[arg(long, value_name = "N", env = "ASYNCPROF_LIMIT")]
    pub(in crate::cli) limit: Option<usize>,

    /// From how long on a loop is stalled, in both; without this as each was recorded.
    #[arg(long, value_name = "TIME", value_parser = parse_stall)]
    pub(in crate::cli) stall: Option<Duration>,
}

/// How a difference is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum DiffFormat {
    /// For a person.
    Text,
    /// Everything, for programs.
    Json,
    /// For a pull request.
    Md,
}
