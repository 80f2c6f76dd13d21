//! Layer 7: people. The command line, its exit codes, its files and its terminal.
//!
//! Only here is anything printed, and only `main` exits. stdout carries the result and nothing else; notes go to stderr.

mod abilities;
mod args;
mod attach;
mod check;
mod child;
mod config;
mod demo;
mod diff;
mod doctor;
mod dump;
mod exit;
mod export;
mod family;
mod flamegraph;
mod image;
mod live;
mod meaning;
mod output;
mod processes;
mod product;
mod progress;
mod record;
mod recording;
mod replay;
mod report;
mod signals;
mod sources;
mod units;
mod watching;

use std::io::Write as _;
use std::path::Path;

use clap::{CommandFactory as _, FromArgMatches as _, Parser as _};

pub use args::Cli;
pub use exit::Exit;

use crate::capture::session::AttachError;
use crate::render::escape::visible;

/// Reads the command line, does what it says, and answers with the exit code.
pub fn main() -> Exit {
    match parse() {
        Ok(Ok(cli)) => run(&cli),
        Ok(Err(failure)) => {
            failure.report();
            failure.exit
        }
        Err(error) => {
            // Help and version are results, and a closed pipe is nobody's error.
            let _ = error.print();
            if error.use_stderr() { Exit::Usage } else { Exit::Fine }
        }
    }
}

/// The command line alone, and if it makes sense once more with the project's settings: help must not depend on them.
fn parse() -> Result<Result<Cli, Failure>, clap::Error> {
    let cli = Cli::try_parse()?;
    if !cli.command.has_settings() {
        return Ok(Ok(cli));
    }
    // Without a folder there are no settings.
    let Ok(folder) = std::env::current_dir() else { return Ok(Ok(cli)) };
    match config::apply(Cli::command(), &folder) {
        Ok(command) => Cli::from_arg_matches(&command.try_get_matches()?).map(Ok),
        Err(failure) => Ok(Err(failure)),
    }
}

fn run(cli: &Cli) -> Exit {
    let done = match &cli.command {
        args::Command::Attach(args) => attach::run(args, cli.color),
        args::Command::Record(args) => record::run(args, cli.color),
        args::Command::Report(args) => report::run(args, cli.color),
        args::Command::Flamegraph(args) => flamegraph::run(args, cli.color),
        args::Command::Export(args) => export::run(args, cli.color),
        args::Command::Check(args) => check::run(args, cli.color),
        args::Command::Diff(args) => diff::run(args, cli.color),
        args::Command::Demo(args) => demo::run(args, cli.color),
        args::Command::Dump(args) => dump::run(args, cli.color),
        args::Command::Doctor(args) => doctor::run(args),
        args::Command::Completions { shell } => complete(*shell),
        args::Command::Man => manual(),
    };
    done.unwrap_or_else(|failure| {
        failure.report();
        failure.exit
    })
}

fn complete(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "asyncprof", &mut script);
    output::to_stdout(|out| out.write_all(&script))?;
    Ok(Exit::Fine)
}

/// All commands on one page: who looks for an option need not know whose it is.
fn manual() -> Result<Exit, Failure> {
    let mut command = Cli::command();
    command.build();
    let mut page = Vec::new();
    let written = clap_mangen::Man::new(command.clone()).render(&mut page).and_then(|()| {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let man = clap_mangen::Man::new(sub.clone());
            writeln!(page, ".SH {}", sub.get_display_name().unwrap_or_default().replace('-', " ").to_uppercase())?;
            man.render_description_section(&mut page)?;
            man.render_synopsis_section(&mut page)?;
            man.render_options_section(&mut page)?;
        }
        Ok(())
    });
    written.map_err(|error| Failure::new(Exit::Own, format!("cannot make the page: {error}")))?;
    output::to_stdout(|out| out.write_all(&page))?;
    Ok(Exit::Fine)
}

/// Why there is no result.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Says which file it is about.
    fn about(self, path: &Path) -> Self {
        Self { message: format!("{}: {}", path.display(), self.message), ..self }
    }

    fn report(&self) {
        eprintln!("error: {}", visible(&self.message));
        if let Some(hint) = &self.hint {
            // A hint can be a list, one item a line.
            for (position, line) in hint.lines().enumerate() {
                eprintln!("{} {}", if position == 0 { "hint: " } else { "      " }, visible(line));
            }
        }
    }
}

impl From<AttachError> for Failure {
    fn from(error: AttachError) -> Self {
        let failure = Self::new(error.kind().into(), error.to_string());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

fn hint(message: &str) {
    eprintln!("hint:  {}", visible(message));
}

fn note(message: &str) {
    eprintln!("note: {}", visible(message));
}
