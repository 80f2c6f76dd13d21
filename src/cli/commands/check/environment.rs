//! The environment of a check: what must match for times to be comparable, the command that repeats it, the folder that paths are
//! relative to.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::cli::input::config;
use crate::detect::analysis::Analysis;
use crate::detect::check::Fingerprint;

/// What must be the same for times to be compared.
pub(crate) fn fingerprint(analysis: &Analysis, threshold_ns: u64, command: &[OsString]) -> Fingerprint {
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

/// A command as a shell takes it, on one line.
pub(crate) fn join(command: &[impl AsRef<OsStr>]) -> String {
    let words: Vec<String> = command.iter().map(|word| quoted(&word.as_ref().to_string_lossy())).collect();
    words.join(" ")
}

/// A word for a shell. With control characters it gets the quotes in which bash, zsh and ksh know escapes: they must not be
/// shown as they are, and the command must do the same again.
fn quoted(word: &str) -> String {
    if !word.contains(char::is_control) {
        // Only a zero byte cannot be quoted, and that is a control character.
        return shlex::try_quote(word).map_or_else(|_| word.to_owned(), Into::into);
    }
    let mut text = String::from("$'");
    for character in word.chars() {
        match character {
            '\\' | '\'' => text.extend(['\\', character]),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            control if control.is_control() => text.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => text.push(other),
        }
    }
    text + "'"
}

/// The command line of this process.
pub(crate) fn reproduce() -> String {
    let words: Vec<OsString> = std::iter::once("asyncprof".into()).chain(std::env::args_os().skip(1)).collect();
    join(&words)
}

/// The root of the working copy, or else the current folder, with a slash at its end.
pub(crate) fn root() -> String {
    let Ok(folder) = std::env::current_dir() else { return String::new() };
    let root = config::root_of(&folder).display().to_string();
    if root.ends_with('/') { root } else { format!("{root}/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_one_line_that_a_shell_reads_as_it_was() {
        assert_eq!(join(&["python", "app.py"]), "python app.py");
        assert_eq!(join(&["python", "-c", "print('a b')"]), "python -c \"print('a b')\"");
        let script = "a = 'x'\nb = \"\\\\\"\t\u{1b}\n";
        let line = join(&["printf", "%s", script]);
        assert!(!line.contains(char::is_control), "{line}");
        let Ok(shell) = std::process::Command::new("bash").args(["-c", &line]).output() else {
            eprintln!("NOT TESTED: there is no bash");
            return;
        };
        assert_eq!(String::from_utf8(shell.stdout).as_deref(), Ok(script));
    }
}
