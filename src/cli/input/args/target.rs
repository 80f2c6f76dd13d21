//! Options that select the processes.

use std::ffi::OsStr;

use clap::builder::{BoolishValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Args, Command, Error};

/// Which process.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The process.
    #[arg(value_name = "PID", value_parser = PidParser)]
    positional: Option<i32>,

    /// The process, as an option.
    #[arg(short, long, value_name = "PID", conflicts_with = "positional", value_parser = PidParser)]
    pid: Option<i32>,

    /// The one Python process whose command line contains this.
    #[arg(long, value_name = "PATTERN", conflicts_with_all = ["positional", "pid"])]
    pub(crate) name: Option<String>,
}

impl Target {
    /// The process id, however it was given.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.positional.or(self.pid)
    }
}

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

/// Parses a process id. For anything else it says how to find a process by its name.
#[derive(Clone)]
pub(crate) struct PidParser;

impl TypedValueParser for PidParser {
    type Value = i32;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<i32, Error> {
        let text = value.to_string_lossy();
        if let Some(pid) = text.parse().ok().filter(|pid| *pid > 0) {
            return Ok(pid);
        }
        let by_name = if text.contains(|c: char| c.is_alphabetic()) {
            let command = command.get_bin_name().unwrap_or("asyncprof attach");
            format!("; by name: {command} --name {text}")
        } else {
            String::new()
        };
        Err(Error::raw(ErrorKind::ValueValidation, format!("'{text}' is not a process id{by_name}\n"))
            .with_cmd(command))
    }
}
