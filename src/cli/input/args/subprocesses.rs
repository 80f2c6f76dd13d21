//! The option of the commands that can watch more than one process.

use clap::Args;
use clap::builder::BoolishValueParser;

/// What else to watch.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct SubprocessArgs {
    /// Also watch its subprocesses that run an event loop: a server's workers, multiprocessing.
    ///
    /// Existing and later ones, and theirs, up to 64 at once. Each has its own summary and files: app.aprof belongs to the
    /// process itself, app.4212.aprof to its subprocess 4212. All of them share --cpu-budget equally. The watch ends when
    /// all have exited.
    #[arg(short, long, env = "ASYNCPROF_SUBPROCESSES", value_parser = BoolishValueParser::new())]
    pub(crate) subprocesses: bool,
}
