//! Where and how a check is made: the circumstances of its runs, the command that repeats it, the folder that paths are shown
//! relative to. It must not know what is judged.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::cli::config;
use crate::detect::analysis::Analysis;
use crate::detect::check::Fingerprint;

/// What must be the same for times to be compared.
pub(super) fn fingerprint(analysis: &Analysis, threshold_ns: u64, command: &[OsString]) -> Fingerprint {
    let header = analysis.header();
    let build = if header.free_threaded { "t" } else { "" };
    let mut facts: BTreeMap<String, String> = header.machine.iter().cloned().collect();
    let mut add = |name: &str, value: String| facts.insert(name.to_owned(), value);
    add("python", format!("{}{build}", header.python));
    add("rate", header.loop_rate_hz.to_string());
    add("task-rate", header.task_rate_hz.to_string());
    add("stall", format!("{} ms", threshold_ns as f64 / 1e6));
    add("asyncprof", header.asyncprof.clone());
    if !command.is_empty() {
        add("command", join(command));
    }
    if let Some(event_loop) = analysis.profile().loops().first() {
        add("loop", event_loop.info.class.to_string());
    }
    Fingerprint(facts)
}

/// A command as a shell takes it.
pub(super) fn join(command: &[impl AsRef<OsStr>]) -> String {
    let words: Vec<String> = command.iter().map(|word| word.as_ref().to_string_lossy().into_owned()).collect();
    // Only a zero byte cannot be quoted, and no argument has one.
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}

/// The command line that we were started with.
pub(super) fn reproduce() -> String {
    let words: Vec<OsString> = std::iter::once("asyncprof".into()).chain(std::env::args_os().skip(1)).collect();
    join(&words)
}

/// The root of the working copy with a slash at its end, else of the current folder.
pub(super) fn root() -> String {
    let Ok(folder) = std::env::current_dir() else { return String::new() };
    let root = config::root_of(&folder).display().to_string();
    if root.ends_with('/') { root } else { format!("{root}/") }
}
