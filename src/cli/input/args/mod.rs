//! Every command and option, defined once: help, completions, the manual and environment variables follow from it.

pub(crate) mod check;
pub(crate) mod choice;
pub(crate) mod diff;
pub(crate) mod dump;
pub(crate) mod flame;
pub(crate) mod stop;
pub(crate) mod target;
pub(crate) mod watch;

use clap::{ArgAction, Parser, Subcommand};

use check::CheckArgs;
use diff::DiffArgs;
use dump::{DoctorArgs, DumpArgs};
use watch::{AttachArgs, DemoArgs, ExportArgs, FlamegraphArgs, RecordArgs, ReportArgs};

use crate::cli::terminal::Color;

/// Shows what a live Python async process is doing, from outside, without touching it.
///
/// Reads the memory of a running CPython 3.8 to 3.15 that uses asyncio or uvloop. The process needs no preparation, runs no
/// code for it, and is not stopped.
#[derive(Debug, Parser)]
#[command(name = "asyncprof", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// When to use colors; auto means on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", env = "ASYNCPROF_COLOR")]
    pub(crate) color: Color,

    /// Log to stderr why data is missing: skipped threads, inconsistent tasks, lowered rates; -vv logs every reading.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  asyncprof attach 4211                        what blocks the event loop, live, with the line to change
  asyncprof record -o app.aprof -- python app.py    record a program from its start
  asyncprof report app.aprof                   its stalls, worst first, loops and tasks
  asyncprof flamegraph app.aprof -o app.svg    where the event loop spends its time
  asyncprof check --max-stall 100ms -- python app.py    for CI: fails, with file and line, when the loop is blocked
  asyncprof diff before.aprof after.aprof      what got slower, waits longer, or stalls
  asyncprof dump 4211                          one snapshot: what every task is doing, and what is wrong
  asyncprof dump --name app.py -f tree         which task waits for which; process found by name
  asyncprof doctor 4211                        why a process cannot be read, and how to fix it
  asyncprof demo                               all of this on an example program

Settings: the command line overrides ASYNCPROF_... variables, these override asyncprof.toml, and that overrides
[tool.asyncprof] in pyproject.toml, in this folder or the nearest above it. ASYNCPROF_CPU_BUDGET=2% is cpu-budget = \"2%\".
ASYNCPROF_LOG=off, info (as -v) or debug (as -vv) sets what is logged to stderr.

Exit codes:
  0 success   1 findings at or above --fail-on, or check failed   2 invalid usage   3 may not attach
  4 no such process, or it exited too early   5 not a supported Python, or no event loop   6 a file that cannot be used
  7 check could not judge   125 internal or I/O error
  record -- CMD exits with CMD's status (128+n for signal n); 126 CMD is not executable, 127 CMD was not found";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watches a process live: reports each stall as it happens, and a summary at the end.
    ///
    /// Stalls go to stderr: start, duration, cause, task, and the line to change. The summary goes to stdout. Ctrl-C,
    /// --duration or the end of the process ends the watch.
    #[command(after_help = ATTACH_HELP)]
    Attach(AttachArgs),
    /// Records a process, or a program that it starts, to a file.
    ///
    /// The file is readable up to its last seconds whatever happens to asyncprof, the process or the disk. Only its owner
    /// can read it.
    #[command(after_help = RECORD_HELP)]
    Record(RecordArgs),
    /// Summarizes a recording: stalls, worst first, loops, tasks, findings, and how far to trust them.
    #[command(after_help = REPORT_HELP)]
    Report(ReportArgs),
    /// Draws a flame graph of a recording or a process: where the time goes.
    #[command(after_help = FLAMEGRAPH_HELP)]
    Flamegraph(FlamegraphArgs),
    /// Converts a recording for other tools.
    #[command(after_help = EXPORT_HELP)]
    Export(ExportArgs),
    /// Checks a program against budgets or a baseline (for CI).
    ///
    /// Checks a recording, or runs a program and checks that: against budgets, against a saved baseline, or against an
    /// earlier version of the program, in alternating runs. The exit code is the verdict.
    #[command(after_long_help = check::CHECK_HELP)]
    Check(Box<CheckArgs>),
    /// Compares two recordings: what got slower, waits longer or newly stalls, and how certain that is.
    ///
    /// Places are matched by function and file, so lines may move. The exit code is 0 whatever it finds.
    #[command(after_help = DIFF_HELP)]
    Diff(DiffArgs),
    /// Takes one snapshot: tasks and their stacks, what waits for what, loops, threads, and what is wrong.
    #[command(after_help = DUMP_HELP)]
    Dump(DumpArgs),
    /// Checks whether a process can be read, and names the smallest fix if not.
    ///
    /// Without a process: what this user may do on this machine, and the Python processes on it.
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
    /// Demonstrates asyncprof on an example program with a blocking call, an orphaned task and a slow lock.
    ///
    /// Starts the example with python3, watches it for a few seconds, and ends it.
    Demo(DemoArgs),
}

impl Command {
    /// Whether any setting could affect it.
    pub(crate) fn has_settings(&self) -> bool {
        !matches!(self, Self::Completions { .. } | Self::Man)
    }
}

const ATTACH_HELP: &str = "\
Examples:
  asyncprof attach 4211
  asyncprof attach --name gunicorn -d 5m --stall 50ms
  asyncprof attach 4211 -d 30s -o stalls.aprof -o run.svg > report.txt
  asyncprof attach 4211 -d 1m -f json | jq '.stalls[0].site'
  asyncprof attach -s --name gunicorn               also its workers, existing and later ones
  asyncprof attach -s 4211 -d 1m -f json | jq '{pid, stalls: [.stalls[].site]}'    one line of JSON per process";

const RECORD_HELP: &str = "\
Examples:
  asyncprof record 4211 -o app.aprof                Ctrl-C ends it
  asyncprof record 4211 -d 10m -o app.aprof
  asyncprof record -o app.aprof -- python app.py    from its first instruction; exits with its status
  asyncprof record 4211 -d 1m -o - | ssh host 'cat > app.aprof'    no local file
  asyncprof record -s -o app.aprof -- uvicorn --workers 4 app:app    each worker into app.PID.aprof
  asyncprof report app.aprof";

const REPORT_HELP: &str = "\
Examples:
  asyncprof report app.aprof
  asyncprof report app.aprof --stall 50ms
  asyncprof report app.aprof -f json | jq '.stalls[] | {duration_ms, cause, site}'
  asyncprof report app.aprof -o report.md
  asyncprof report app.aprof -o report.html         charts, flame graphs, source lines; for any browser
  ssh host asyncprof record 4211 -d 1m -o - | asyncprof report -";

const FLAMEGRAPH_HELP: &str = "\
Examples:
  asyncprof flamegraph app.aprof -o run.svg
  asyncprof flamegraph app.aprof --by await -o waits.svg
  asyncprof flamegraph app.aprof --threads --idle -o loops.svg    by thread, with idle time
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }
}
