//! The Python processes of this machine, found by what the kernel tells everybody: executable, mapped files, command line.

use std::fs;

use super::args::target::Target;
use crate::capture::session::AttachError;
use crate::cli::failure::{Exit, Failure};
use crate::remote::Process;
use crate::remote::descendants::Descendants;

/// A process that looks like Python.
#[derive(Clone, Debug)]
pub(crate) struct PythonProcess {
    pub(crate) pid: i32,
    /// `3.12`, where a file name says it.
    pub(crate) version: Option<String>,
    pub(crate) command: String,
}

/// The process that a command line selects.
pub(crate) fn resolve(target: &Target) -> Result<i32, Failure> {
    match (target.pid(), &target.name) {
        (Some(pid), _) => Ok(pid),
        (None, Some(pattern)) => find_by_name(pattern),
        (None, None) => Err(Failure::usage("no process given: pass PID or --name")
            .hint("asyncprof doctor lists the Python processes of this machine")),
    }
}

pub(crate) fn find_by_name(pattern: &str) -> Result<i32, Failure> {
    let mut matches = list();
    matches.retain(|process| process.command.contains(pattern));
    match matches.as_slice() {
        [only] => Ok(only.pid),
        [] => Err(Failure::new(Exit::Gone, format!("no Python process has {pattern:?} in its command line"))
            .hint("asyncprof doctor lists the Python processes of this machine")),
        several => {
            let list: Vec<String> =
                several.iter().map(|process| format!("{:>8}  {}", process.pid, process.command)).collect();
            Err(Failure::usage(format!("{} processes match {pattern:?}", several.len()))
                .hint(format!("pass one of these ids:\n{}", list.join("\n"))))
        }
    }
}

/// All processes that look like Python, except our own.
pub(crate) fn list() -> Vec<PythonProcess> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ourselves = i32::try_from(std::process::id()).ok();
    let mut found: Vec<PythonProcess> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| Some(pid) != ourselves)
        .filter_map(inspect)
        .collect();
    found.sort_by_key(|process| process.pid);
    found
}

/// The Python processes among the descendants of a process.
pub(crate) fn below(pid: i32) -> Vec<i32> {
    let processes = Descendants::of(pid).look();
    let mut found: Vec<i32> = processes.iter().map(Process::pid).filter(|&pid| inspect(pid).is_some()).collect();
    found.sort_unstable();
    found
}

/// What to do about a process without an event loop that has Python subprocesses.
pub(crate) fn hint_of_below(pid: i32) -> Option<String> {
    /// LIMIT: ids in the hint.
    const NAMED: usize = 8;
    let below = below(pid);
    let names: Vec<String> = below.iter().take(NAMED).map(i32::to_string).collect();
    let more = if below.len() > NAMED { ", ..." } else { "" };
    let names = names.join(", ");
    let (what, verb, them) = match below.len() {
        0 => return None,
        1 => ("subprocess", "is", "it"),
        _ => ("subprocesses", "are", "them"),
    };
    Some(format!("its {what} {names}{more} {verb} Python: -s follows {them} (asyncprof attach -s {pid}, or record -s)"))
}

/// The failure to attach to a process, with a hint about its Python subprocesses.
pub(crate) fn failure_of(pid: i32, error: AttachError) -> Failure {
    let failure = Failure::from(error);
    match (failure.exit, hint_of_below(pid)) {
        (Exit::Unsupported, Some(hint)) => failure.hint(hint),
        _ => failure,
    }
}

/// Whether it looks like Python.
pub(crate) fn is_python(pid: i32) -> bool {
    inspect(pid).is_some()
}

fn inspect(pid: i32) -> Option<PythonProcess> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let arguments: Vec<_> =
        bytes.split(|&byte| byte == 0).filter(|argument| !argument.is_empty()).map(String::from_utf8_lossy).collect();
    let command = arguments.join(" ");
    if command.is_empty() {
        return None;
    }
    let executable = fs::read_link(format!("/proc/{pid}/exe")).ok();
    let executable = executable.as_deref().map(|path| path.to_string_lossy());
    // The link of another user's process cannot be read, but its command line can.
    let program = executable.as_deref().or(arguments.first().map(|argument| &**argument))?;
    if let Some(version) = version_in(program.rsplit('/').next()?, "python") {
        return Some(PythonProcess { pid, version, command });
    }
    // Python inside another program.
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let library =
        maps.lines().filter_map(|line| line.rsplit('/').next()).find_map(|file| version_in(file, "libpython"))?;
    Some(PythonProcess { pid, version: library, command })
}

/// Whether a file is a Python interpreter or library by its name, and the version in the name if any.
#[allow(clippy::option_option, reason = "not Python, Python of unknown version, Python 3.12 are three answers")]
fn version_in(file: &str, prefix: &str) -> Option<Option<String>> {
    let rest = file.strip_prefix(prefix)?;
    let version: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let version = version.trim_end_matches('.');
    let whole = rest.len() == version.len()
        || prefix == "libpython"
        || matches!(&rest[version.len()..], "t" | "d" | "m" | " (deleted)");
    whole.then(|| version.contains('.').then(|| version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_tell_python_from_others() {
        assert_eq!(version_in("python", "python"), Some(None));
        assert_eq!(version_in("python3", "python"), Some(None));
        assert_eq!(version_in("python3.12", "python"), Some(Some("3.12".into())));
        assert_eq!(version_in("python3.13t", "python"), Some(Some("3.13".into())));
        assert_eq!(version_in("python3.9 (deleted)", "python"), Some(Some("3.9".into())));
        assert_eq!(version_in("python-language-server", "python"), None);
        assert_eq!(version_in("libpython3.11.so.1.0", "libpython"), Some(Some("3.11".into())));
        assert_eq!(version_in("bash", "python"), None);
    }
}
