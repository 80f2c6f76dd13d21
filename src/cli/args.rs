//! Every command and option, defined once: help, completions and environment variables come from here.
//! It must not know what the commands do.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::render::Format;
use crate::snapshot::model::Severity;

/// Shows what a live Python async process is doing, from outside, without touching it.
///
/// Reads the memory of a running CPython 3.8 to 3.15 that uses asyncio (uvloop too). The process needs no preparation, no
/// code runs in it, and it is not stopped.
#[derive(Debug, Parser)]
#[command(name = "asyncprof", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// When to use colours; auto means on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", env = "ASYNCPROF_COLOR")]
    pub(super) color: Color,

    #[command(subcommand)]
    pub(super) command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  asyncprof dump 4211                 what is every task doing, and what is wrong
  asyncprof dump --name app.py        the same, found by its command line
  asyncprof dump 4211 -f tree         who waits for whom
  asyncprof dump 4211 -o tasks.svg    a flame graph of where the tasks wait
  asyncprof doctor 4211               why can it not be read, and what would help

Exit codes:
  0 fine   1 findings at or above --fail-on   2 usage   3 may not attach   4 no such process, or gone
  5 not a supported Python, or no event loop   6 a file that cannot be used   125 own failure";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// One instant: tasks and their stacks, who waits for whom, loops, threads, and what is wrong.
    #[command(after_help = DUMP_HELP)]
    Dump(DumpArgs),
    /// Can a process be read, and if not, what is the smallest fix?
    ///
    /// Without a process: what this user may do here, and which Python processes there are.
    Doctor(DoctorArgs),
    /// Prints a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

const DUMP_HELP: &str = "\
Examples:
  asyncprof dump 4211
  asyncprof dump 4211 -f json | jq '.tasks[] | select(.orphaned)'
  asyncprof dump 4211 -o waits.dot && dot -Tsvg waits.dot > waits.svg
  asyncprof dump 4211 --fail-on error > /dev/null || echo 'something is wrong'
  asyncprof dump 4211 --save-image app.apimage && asyncprof dump --image app.apimage -f tree";

/// Which process.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// The process.
    #[arg(value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    positional: Option<i32>,

    /// The process, as an option.
    #[arg(short, long, value_name = "PID", conflicts_with = "positional", value_parser = clap::value_parser!(i32).range(1..))]
    pid: Option<i32>,

    /// The one Python process whose command line contains this.
    #[arg(long, value_name = "PATTERN", conflicts_with_all = ["positional", "pid"])]
    pub(super) name: Option<String>,
}

impl Target {
    /// The process id, however it was given.
    pub(super) fn pid(&self) -> Option<i32> {
        self.positional.or(self.pid)
    }
}

#[derive(Debug, Args)]
pub(super) struct DumpArgs {
    #[command(flatten)]
    pub(super) target: Target,

    /// How to write it; without this, what the ending of --output says, else text.
    #[arg(short, long, value_name = "FORMAT", env = "ASYNCPROF_FORMAT")]
    pub(super) format: Option<FormatName>,

    /// Where to write it: a file (.txt .json .dot .svg .folded), or - for stdout.
    #[arg(short, long, value_name = "FILE", default_value = "-", hide_default_value = true)]
    pub(super) output: PathBuf,

    /// Overwrite the output if it exists.
    #[arg(long)]
    pub(super) force: bool,

    /// Read a saved image instead of a process.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["positional", "pid", "name", "blocking", "save_image"])]
    pub(super) image: Option<PathBuf>,

    /// Also save what was read, for a bug report or to look at it again with --image.
    ///
    /// The process is stopped while it is read. The file holds what was looked at in its memory: names, paths and texts
    /// of exceptions, which can be secret. Nobody else can read it.
    #[arg(long, value_name = "FILE")]
    pub(super) save_image: Option<PathBuf>,

    /// Stop the process while it is read, for a picture of one moment for certain; normally milliseconds.
    #[arg(long, env = "ASYNCPROF_BLOCKING")]
    pub(super) blocking: bool,

    /// At most so many groups of tasks in the text overview.
    #[arg(long, value_name = "N", env = "ASYNCPROF_LIMIT")]
    pub(super) limit: Option<usize>,

    /// Keep digits in task names in flame graphs; normally Task-17 is Task-*.
    #[arg(long, env = "ASYNCPROF_FULL_TASK_NAMES")]
    pub(super) full_task_names: bool,

    /// Exit with 1 when there is a finding at least this bad.
    #[arg(long, value_name = "SEVERITY", env = "ASYNCPROF_FAIL_ON")]
    pub(super) fail_on: Option<SeverityName>,
}

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    pub(super) target: Target,

    /// How to write it.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "ASYNCPROF_DOCTOR_FORMAT")]
    pub(super) format: DoctorFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum DoctorFormat {
    /// For a person.
    Text,
    /// For a program.
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatName {
    /// Overview for a person, trouble on top.
    Text,
    /// Await graph as a tree.
    Tree,
    /// Everything, for programs.
    Json,
    /// Await graph for Graphviz.
    Dot,
    /// Flame graph of the tasks by where they wait.
    Svg,
    /// Folded stacks for flame graph tools.
    Collapsed,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Text => Self::Text,
            FormatName::Tree => Self::Tree,
            FormatName::Json => Self::Json,
            FormatName::Dot => Self::Dot,
            FormatName::Svg => Self::Svg,
            FormatName::Collapsed => Self::Collapsed,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SeverityName {
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warning,
    /// Wrong.
    Error,
}

impl From<SeverityName> for Severity {
    fn from(name: SeverityName) -> Self {
        match name {
            SeverityName::Info => Self::Info,
            SeverityName::Warning => Self::Warning,
            SeverityName::Error => Self::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }
}
