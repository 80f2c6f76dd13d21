//! asyncprof as a command.

use std::path::Path;
use std::process::{Command, Stdio};

/// asyncprof in `folder`, without the settings of the environment that the tests run in.
pub fn asyncprof(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asyncprof"));
    let settings = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        name.starts_with("ASYNCPROF_") || name.starts_with("GITHUB_")
    });
    settings.for_each(|(name, _)| {
        command.env_remove(name);
    });
    command.current_dir(folder).stdin(Stdio::null()).args(arguments);
    command
}

/// A command, run by another one that takes it as its last arguments (`env`, `nice`).
#[allow(dead_code, reason = "not every test binary that includes this folder needs it")]
pub fn through(mut runner: Command, command: &Command) -> Command {
    runner.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => runner.env(name, value),
            None => runner.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        runner.current_dir(folder);
    }
    runner
}
