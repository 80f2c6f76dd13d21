//! What the kernel says of one thread, asked again and again: its files in `/proc` are kept open, so that a look costs one
//! `pread` each, about a microsecond. It must not know what the thread runs.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::kernel_thread::{Schedule, SystemCall, ThreadState};
use super::process::{Process, Stat};

/// Bytes of the longest of these files that we need.
const LONGEST: usize = 512;

/// One thread's files.
#[derive(Debug)]
pub struct ThreadWatch {
    tid: i32,
    system_call: Option<File>,
    schedule: Option<File>,
    stat: Option<File>,
    throttling: Option<File>,
}

impl ThreadWatch {
    /// Opens what may be opened of thread `tid` (our process namespace).
    pub fn open(process: &Process, tid: i32) -> Self {
        let open = |file: &str| File::open(format!("/proc/{}/task/{tid}/{file}", process.pid())).ok();
        Self {
            tid,
            system_call: open("syscall"),
            schedule: open("schedstat"),
            stat: open("stat"),
            throttling: open("cgroup").and_then(|file| open_throttling(&file)),
        }
    }

    /// Its id in our process namespace.
    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// Its system call; `None` without the permission to trace, and when it is gone.
    pub fn system_call(&self) -> Option<SystemCall> {
        with_text(self.system_call.as_ref()?, SystemCall::parse)
    }

    /// Its account with the scheduler.
    pub fn schedule(&self) -> Option<Schedule> {
        // All zero: accounting is switched off.
        with_text(self.schedule.as_ref()?, Schedule::parse).filter(|schedule| schedule.slices > 0)
    }

    /// Its state.
    pub fn state(&self) -> Option<ThreadState> {
        let mut bytes = [0; LONGEST];
        let len = self.stat.as_ref()?.read_at(&mut bytes, 0).ok()?;
        Stat::parse(&bytes[..len]).map(|stat| ThreadState::from_letter(stat.state))
    }

    /// Microseconds for which its control group was kept from running because its quota was used up; `None` where there
    /// is no quota or it cannot be read.
    // Linux: Documentation/admin-guide/cgroup-v2.rst, cpu.stat.
    pub fn throttled_us(&self) -> Option<u64> {
        with_text(self.throttling.as_ref()?, |text| {
            text.lines().find_map(|line| line.strip_prefix("throttled_usec ")?.trim().parse().ok())
        })
    }
}

fn with_text<T>(file: &File, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    let mut bytes = [0; LONGEST];
    let len = file.read_at(&mut bytes, 0).ok()?;
    parse(std::str::from_utf8(&bytes[..len]).ok()?)
}

/// The file that says how long the control group was throttled: of the nearest one with a quota, its own or a parent.
fn open_throttling(cgroup: &File) -> Option<File> {
    let group = with_text(cgroup, |text| text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned))?;
    let mut group = group.trim_end_matches('/');
    while !group.is_empty() {
        let folder = format!("/sys/fs/cgroup{group}");
        let quota = std::fs::read_to_string(format!("{folder}/cpu.max")).unwrap_or_default();
        if !quota.is_empty() && !quota.starts_with("max") {
            return File::open(format!("{folder}/cpu.stat")).ok();
        }
        group = &group[..group.rfind('/')?];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_thread_runs_and_its_account_grows() {
        let process = Process::open(std::process::id() as i32).unwrap();
        let watch = ThreadWatch::open(&process, nix::unistd::gettid().as_raw());
        assert_eq!(watch.state(), Some(ThreadState::Running));
        assert!(watch.system_call().is_none_or(|call| call != SystemCall::None));
        let (Some(before), start) = (watch.schedule(), std::time::Instant::now()) else { return };
        while start.elapsed().as_millis() < 5 {}
        assert!(watch.schedule().unwrap().run_ns > before.run_ns);
    }

    #[test]
    fn a_thread_that_is_not_there_says_nothing() {
        let process = Process::open(std::process::id() as i32).unwrap();
        let watch = ThreadWatch::open(&process, i32::MAX);
        assert_eq!(
            (watch.state(), watch.system_call(), watch.schedule(), watch.throttled_us()),
            (None, None, None, None)
        );
    }
}
