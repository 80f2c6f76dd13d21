//! Layer 7: the command line. A command parses its `input`, runs a `session` if it watches a process, and writes its `output`.
//!
//! Architecture invariant: only this folder prints, and only `main` exits, so that everything below can be used and tested
//! without a terminal (`tests/layering`). stdout carries the result and nothing else (`tests/cli.rs`).

mod commands;
mod failure;
mod input;
mod logging;
mod output;
mod session;
mod terminal;

use std::sync::Arc;

use clap::{CommandFactory as _, FromArgMatches as _, Parser as _};
use signal_hook::consts::SIGXFSZ;

pub use failure::Exit;
pub use input::args::Cli;

use failure::Failure;
use input::args::Command;
use input::config;

/// Parses the command line, runs the command, and returns the exit code.
pub fn main() -> Exit {
    // With a handler that does nothing, a write beyond the limit of file sizes is an error (EFBIG) instead of the end. A
    // program that we start gets the default again.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
    match parse() {
        Ok(Ok(cli)) => run(&cli).unwrap_or_else(fail),
        Ok(Err(failure)) => fail(failure),
        Err(error) => {
            // Help and version are results, and a closed pipe is no error.
            let _ = error.print();
            if error.use_stderr() { Exit::Usage } else { Exit::Fine }
        }
    }
}

fn fail(failure: Failure) -> Exit {
    failure.report();
    failure.exit
}

/// Parses the command line by itself, and if it is valid once more with the project's settings: help must not depend on them.
fn parse() -> Result<Result<Cli, Failure>, clap::Error> {
    let cli = Cli::try_parse()?;
    if !cli.command.has_settings() {
        return Ok(Ok(cli));
    }
    // Without a current folder there are no settings.
    let Ok(folder) = std::env::current_dir() else { return Ok(Ok(cli)) };
    match config::apply(Cli::command(), &folder) {
        Ok(command) => Cli::from_arg_matches(&command.try_get_matches()?).map(Ok),
        Err(failure) => Ok(Err(failure)),
    }
}

fn run(cli: &Cli) -> Result<Exit, Failure> {
    logging::start(cli.verbose)?;
    match &cli.command {
        Command::Attach(args) => commands::attach::run(args, cli.color),
        Command::Record(args) => commands::record::run(args, cli.color),
        Command::Report(args) => commands::report::run(args, cli.color),
        Command::Flamegraph(args) => commands::flamegraph::run(args, cli.color),
        Command::Export(args) => commands::export::run(args, cli.color),
        Command::Check(args) => commands::check::run(args, cli.color),
        Command::Diff(args) => commands::diff::run(args, cli.color),
        Command::Demo(args) => commands::demo::run(args, cli.color),
        Command::Dump(args) => commands::dump::run(args, cli.color),
        Command::Doctor(args) => commands::doctor::run(args),
        Command::Completions { shell } => commands::manual::completions(*shell),
        Command::Man => commands::manual::page(),
    }
}
