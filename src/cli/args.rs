//! Every command and option, defined once: help, completions and environment variables come from here.
//! It must not know what the commands do.

mod check;
mod diff;
mod flame;
mod subprocesses;
mod watch;

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(super) use check::{BudgetArgs, CheckArgs, CheckFormat, CheckOutputArgs};
pub(super) use diff::{DiffArgs, DiffFormat};
pub(super) use flame::{ByName, FlameArgs};
pub(super) use subprocesses::SubprocessArgs;
pub(super) use watch::{
    AttachArgs, DemoArgs, ExportArgs, ExportFormat, FlamegraphArgs, RecordArgs, ReportArgs, ReportFormat, WatchArgs,
};

use crate::model::snapshot::Severity;
use crate::render::Format;

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
  asyncprof attach 4211                        what blocks the event loop, as it happens, with the line to change
  asyncprof record -o app.aprof -- python app.py    watch a program from its start, keep everything in a file
  asyncprof report app.aprof                   the stalls in it, worst first, and how the loops and tasks fared
  asyncprof flamegraph app.aprof -o app.svg    what the loop executes
  asyncprof check --max-stall 100ms -- python app.py    for CI: fails, with file and line, when the loop is blocked
  asyncprof diff before.aprof after.aprof      what got slower, what waits longer, which stalls are new
  asyncprof dump 4211                          one instant: what is every task doing, and what is wrong
  asyncprof dump --name app.py -f tree         who waits for whom, in the process found by its command line
  asyncprof doctor 4211                        why can it not be read, and what would help
  asyncprof demo                               all this on an example program

Settings come from the command line, then from ASYNCPROF_... variables, then from asyncprof.toml, then from [tool.asyncprof]
in pyproject.toml, in this folder or one above it: ASYNCPROF_CPU_BUDGET=2% is cpu-budget = \"2%\".

Exit codes:
  0 fine   1 findings at or above --fail-on, or check failed   2 usage   3 may not attach   4 no such process, or gone
  5 not a supported Python, or no event loop   6 a file that cannot be used   7 check could not judge   125 own failure
  record -- CMD passes the program's status on (128+n for signal n); 126 not executable, 127 not found";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Live: what blocks the event loops, as it happens, and a summary at the end.
    ///
    /// Each stall is told on stderr while it lasts: since when, why, in which task, and the line to change. The summary goes
    /// to stdout. Ctrl-C, --duration or the end of the process end it.
    #[command(after_help = ATTACH_HELP)]
    Attach(AttachArgs),
    /// Watches a process, or a program that it starts, into a file.
    ///
    /// The file can be read up to its last second whatever happens to asyncprof, the process or the disk. Nobody else can
    /// read it.
    #[command(after_help = RECORD_HELP)]
    Record(RecordArgs),
    /// What a recording holds: stalls worst first, loops, tasks, findings, and how far to trust it.
    #[command(after_help = REPORT_HELP)]
    Report(ReportArgs),
    /// Draws where the time goes, of a recording or of a process.
    #[command(after_help = FLAMEGRAPH_HELP)]
    Flamegraph(FlamegraphArgs),
    /// Writes a recording for other tools.
    #[command(after_help = EXPORT_HELP)]
    Export(ExportArgs),
    /// Is a program good enough? Budgets, and comparison with how it was before; the exit code says it.
    ///
    /// Judges a recording, or runs a program and judges that: against budgets, against a baseline that was kept, or against the
    /// program as it was before, run in turns with it.
    #[command(after_long_help = check::CHECK_HELP)]
    Check(Box<CheckArgs>),
    /// How one recording differs from another: what got slower, waits longer, stalls anew, and how sure that is.
    ///
    /// Places are matched by function and file, wherever their lines have moved. It informs, so it exits with 0 whatever it
    /// finds.
    #[command(after_help = DIFF_HELP)]
    Diff(DiffArgs),
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
    /// Prints the manual page.
    ///
    /// To read it: asyncprof man | man -l -
    Man,
    /// Shows all this on an example program with a blocking call, an orphaned task and a slow lock.
    ///
    /// Starts the example with python3, watches it for some seconds, and ends it.
    Demo(DemoArgs),
}

impl Command {
    /// Whether it does anything that a setting could be about.
    pub(super) fn has_settings(&self) -> bool {
        !matches!(self, Self::Completions { .. } | Self::Man)
    }
}

const ATTACH_HELP: &str = "\
Examples:
  asyncprof attach 4211
  asyncprof attach --name gunicorn -d 5m --stall 50ms
  asyncprof attach 4211 -d 30s -o stalls.aprof -o run.svg > report.txt
  asyncprof attach 4211 -d 1m -f json | jq '.stalls[0].site'
  asyncprof attach -s --name gunicorn               its workers too, also those that start later
  asyncprof attach -s 4211 -d 1m -f json | jq '{pid, stalls: [.stalls[].site]}'    a line of JSON for each process";

const RECORD_HELP: &str = "\
Examples:
  asyncprof record 4211 -o app.aprof                Ctrl-C ends it
  asyncprof record 4211 -d 10m -o app.aprof
  asyncprof record -o app.aprof -- python app.py    from its first instruction; exits as the program does
  asyncprof record 4211 -d 1m -o - | ssh host 'cat > app.aprof'    nothing is written here
  asyncprof record -s -o app.aprof -- uvicorn --workers 4 app:app    each worker into app.PID.aprof
  asyncprof report app.aprof";

const REPORT_HELP: &str = "\
Examples:
  asyncprof report app.aprof
  asyncprof report app.aprof --stall 50ms
  asyncprof report app.aprof -f json | jq '.stalls[] | {duration_ms, cause, site}'
  asyncprof report app.aprof -o report.md
  asyncprof report app.aprof -o report.html         charts, flame graphs, source lines; opens in any browser
  ssh host asyncprof record 4211 -d 1m -o - | asyncprof report -";

const FLAMEGRAPH_HELP: &str = "\
Examples:
  asyncprof flamegraph app.aprof -o run.svg
  asyncprof flamegraph app.aprof --by await -o waits.svg
  asyncprof flamegraph app.aprof --threads --idle -o loops.svg    each loop's thread, and how idle it is
  asyncprof flamegraph after.aprof --diff before.aprof -o diff.svg
  asyncprof flamegraph 4211 -d 30s -o now.svg";

const EXPORT_HELP: &str = "\
Examples:
  asyncprof export app.aprof -f collapsed | flamegraph.pl > app.svg
  asyncprof export app.aprof --by await -o waits.folded
  asyncprof export app.aprof -o app.speedscope.json       to open in speedscope
  asyncprof export app.aprof -o app.trace.json            to open in Perfetto's user interface
  asyncprof export app.aprof -o app.firefox.json          to open in the Firefox Profiler
  asyncprof export app.aprof -o app.pb.gz && go tool pprof -top app.pb.gz
  asyncprof export app.aprof -f jsonl | jq 'select(.type == \"stall\")'";

const DIFF_HELP: &str = "\
Examples:
  asyncprof diff before.aprof after.aprof
  asyncprof diff before.aprof after.aprof -o diff.md
  asyncprof diff before.aprof after.aprof -f json | jq '.stalls[] | select(.presence == \"new\") | .site'

As a picture:
  asyncprof flamegraph after.aprof --diff before.aprof -o diff.svg";

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
    #[arg(long, env = "ASYNCPROF_BLOCKING", value_parser = BoolishValueParser::new())]
    pub(super) blocking: bool,

    /// At most so many groups of tasks in the text overview.
    #[arg(long, value_name = "N", env = "ASYNCPROF_LIMIT")]
    pub(super) limit: Option<usize>,

    /// Keep digits in task names in flame graphs; normally Task-17 is Task-*.
    #[arg(long, env = "ASYNCPROF_FULL_TASK_NAMES", value_parser = BoolishValueParser::new())]
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
