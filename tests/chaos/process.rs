//! What the kernel says of processes, and signals to them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Sends a signal. Who has ended meanwhile does not get it.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal);
}

/// Whether this holds within some time.
pub(crate) fn within(time: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + time;
    while !holds() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// A line of `/proc/PID/status`, or of a thread's.
fn line_of(folder: &Path, name: &str) -> Option<String> {
    let status = fs::read_to_string(folder.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

fn folder(pid: u32) -> PathBuf {
    format!("/proc/{pid}").into()
}

/// `S`, `R`, `T`, …; `None` if there is no such process.
pub(crate) fn state(pid: u32) -> Option<char> {
    line_of(&folder(pid), "State")?.chars().next()
}

/// Whether it has ended; it may not be reaped yet. While another than the main thread executes a program, the main thread is a
/// zombie for a moment, or no thread is there to be seen: who has ended, stays so.
pub(crate) fn has_ended(pid: u32) -> bool {
    let looks_ended = || matches!(state(pid), None | Some('Z' | 'X'));
    looks_ended() && !within(Duration::from_millis(100), || !looks_ended())
}

/// How a process that is not reaped yet has ended: the last field of its `stat`, as `wait` returns it.
pub(crate) fn end_of(pid: u32) -> String {
    let stat = fs::read_to_string(folder(pid).join("stat")).unwrap_or_default();
    stat.split_whitespace().last().map_or_else(|| "unknown".to_owned(), |status| format!("wait status {status}"))
}

/// What is wrong with the threads of a process that should be free: each that is stopped or traced.
pub(crate) fn unfree_threads(pid: u32) -> Vec<String> {
    let Ok(threads) = fs::read_dir(folder(pid).join("task")) else { return Vec::new() };
    let fault = |thread: PathBuf| {
        let (state, tracer) = (line_of(&thread, "State")?, line_of(&thread, "TracerPid")?);
        let free = !state.starts_with(['T', 't']) && tracer == "0";
        (!free).then(|| format!("{}: {state}, tracer {tracer}", thread.display()))
    };
    threads.flatten().filter_map(|thread| fault(thread.path())).collect()
}

/// What each thread of a process waits in, for who has to find out why it does not go on.
pub(crate) fn threads_in_words(pid: u32) -> String {
    let Ok(threads) = fs::read_dir(folder(pid).join("task")) else { return "no such process".to_owned() };
    let of = |thread: PathBuf| {
        let read = |name| fs::read_to_string(thread.join(name)).unwrap_or_default().trim().to_owned();
        let (state, mask) = (line_of(&thread, "State"), line_of(&thread, "SigBlk"));
        let pending = line_of(&thread, "SigPnd");
        format!(
            "{}: {state:?}, {}, in {}, pending {pending:?}, blocked {mask:?}",
            thread.display(),
            read("wchan"),
            read("syscall")
        )
    };
    let words: Vec<_> = threads.flatten().map(|thread| of(thread.path())).collect();
    words.join("\n  ")
}

/// Whether this process ignores SIGHUP, as it does under `nohup`; then those that it starts do, too.
pub(crate) fn ignores_hangup() -> bool {
    let ignored = line_of(Path::new("/proc/self"), "SigIgn").and_then(|mask| u64::from_str_radix(&mask, 16).ok());
    ignored.is_some_and(|mask| mask & 1 == 1)
}
