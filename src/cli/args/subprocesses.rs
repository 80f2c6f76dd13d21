//! The option of the commands that can watch more than one process. It must not know how they are found.

use clap::Args;
use clap::builder::BoolishValueParser;

/// Whom else to watch.
#[derive(Clone, Copy, Debug, Args)]
pub(in crate::cli) struct SubprocessArgs {
    /// Watch its subprocesses too, as soon as they run an event loop: a server's workers, multiprocessing.
    ///
    /// Those that are there and those that start later, and theirs, up to 64 at once. Each has a summary and files of its own:
    /// app.aprof is of the process itself, app.4212.aprof of its subprocess 4212. All watches have an equal part each of
    /// --cpu-budget. It ends when all have exited.
    #[arg(short, long, env = "ASYNCPROF_SUBPROCESSES", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) subprocesses: bool,
}
