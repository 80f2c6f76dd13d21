//! `asyncprof check`: its verdicts as exit codes, every kind of file that it cannot use, and every format of its result.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;
#[path = "../watches/mod.rs"]
mod watches;

mod commands;
mod files;
mod formats;
mod made_up;
mod standards;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// `asyncprof check` in a folder, without the settings of whoever runs the tests.
fn asyncprof(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asyncprof"));
    for (name, _) in std::env::vars() {
        if name.starts_with("ASYNCPROF_") || name.starts_with("GITHUB_") {
            command.env_remove(name);
        }
    }
    command.arg("check").current_dir(folder).stdin(Stdio::null());
    command
}

fn check(folder: &Path, arguments: &[&str]) -> Output {
    asyncprof(folder).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).unwrap()
}

#[track_caller]
fn assert_exit(output: &Output, code: i32) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "stdout:\n{out}\nstderr:\n{err}");
}
