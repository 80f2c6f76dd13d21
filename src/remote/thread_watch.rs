//! What the kernel reports about one thread, repeatedly: its files in `/proc` stay open, so that each query costs one
//! `pread`, about a microsecond.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::kernel_thread::{Schedule, SystemCall, ThreadState};
use super::process::{Process, Stat};

/// Bytes of the longest of these files that we need.
const MAX_BYTES: usize = 512;

/// Where control groups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// One thread's files.
#[derive(Debug)]
pub struct ThreadWatch {
    tid: i32,
    system_call: Option<File>,
    /// The function in which it sleeps, if its system call may not be seen.
    sleeps_in: Option<File>,
    schedule: Option<File>,
    stat: Option<File>,
    throttling: Option<File>,
}

impl ThreadWatch {
    /// Opens the files of thread `tid` (our process namespace) that may be opened.
    pub fn open(process: &Process, tid: i32) -> Self {
        let open = |file: &str| File::open(format!("/proc/{}/task/{tid}/{file}", process.pid())).ok();
        let system_call = open("syscall");
        Self {
            tid,
            sleeps_in: if system_call.is_none() { open("wchan") } else { None },
            system_call,
            schedule: open("schedstat"),
            stat: open("stat"),
            throttling: open("cgroup")
                .and_then(|file| with_text(&file, |groups| open_throttling(groups, Path::new(CGROUPS)))),
        }
    }

    /// Its id in our process namespace.
    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// Its system call; `None` without the permission to trace, or if the thread is gone.
    pub fn system_call(&self) -> Option<SystemCall> {
        if let Some(file) = &self.system_call {
            return with_text(file, SystemCall::parse);
        }
        match self.state()? {
            ThreadState::Running => Some(SystemCall::Running),
            ThreadState::Sleeping => with_text(self.sleeps_in.as_ref()?, SystemCall::of_function),
            _ => None,
        }
    }

    /// Its scheduler statistics.
    pub fn schedule(&self) -> Option<Schedule> {
        // All zero: scheduler statistics are switched off.
        with_text(self.schedule.as_ref()?, Schedule::parse).filter(|schedule| schedule.slices > 0)
    }

    /// Its state.
    pub fn state(&self) -> Option<ThreadState> {
        let mut bytes = [0; MAX_BYTES];
        let len = self.stat.as_ref()?.read_at(&mut bytes, 0).ok()?;
        Stat::parse(&bytes[..len]).map(|stat| ThreadState::from_letter(stat.state))
    }

    /// Microseconds for which its control group was throttled because its quota was used up; `None` if there is no
    /// quota or it cannot be read.
    // Linux: Documentation/admin-guide/cgroup-v2.rst, cpu.stat (microseconds); Documentation/scheduler/sched-bwc.rst
    // for version 1 (nanoseconds).
    pub fn throttled_us(&self) -> Option<u64> {
        with_text(self.throttling.as_ref()?, |text| {
            text.lines().find_map(|line| match line.split_once(' ')? {
                ("throttled_usec", us) => us.trim().parse().ok(),
                ("throttled_time", ns) => ns.trim().parse().ok().map(|ns: u64| ns / 1_000),
                _ => None,
            })
        })
    }
}

fn with_text<T>(file: &File, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    let mut bytes = [0; MAX_BYTES];
    let len = file.read_at(&mut bytes, 0).ok()?;
    parse(std::str::from_utf8(&bytes[..len]).ok()?)
}

/// The file with the time for which the control group was throttled: that of the nearest group with a quota, its own or
/// a parent. `groups` is a thread's `cgroup` file. With cgroup version 1 the CPU controller has a hierarchy of its own.
fn open_throttling(groups: &str, mounted: &Path) -> Option<File> {
    let groups = groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let cpu = groups.clone().find(|(controllers, _)| controllers.split(',').any(|name| name == "cpu"));
    let (mounted, quota, unlimited, group) = match cpu {
        Some((_, group)) => (mounted.join("cpu"), "cpu.cfs_quota_us", "-1", group),
        None => (mounted.into(), "cpu.max", "max", groups.clone().find(|(controllers, _)| controllers.is_empty())?.1),
    };
    let mut group = group.trim_matches('/');
    // A group outside our namespace: its parents are not mounted here.
    if group.starts_with("..") {
        return None;
    }
    loop {
        let folder = mounted.join(group);
        let quota = std::fs::read_to_string(folder.join(quota)).unwrap_or_default();
        if !quota.is_empty() && !quota.starts_with(unlimited) {
            return File::open(folder.join("cpu.stat")).ok();
        }
        if group.is_empty() {
            return None;
        }
        // The root comes last: in a container with a namespace of its own it is the container's group.
        group = group.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
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
    }

    /// Microseconds throttled for a thread with this `cgroup` file, with these files mounted.
    fn throttled_us(groups: &str, files: &[(&str, &str)]) -> Option<u64> {
        let mounted = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let file = mounted.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let throttling = open_throttling(groups, mounted.path());
        ThreadWatch { tid: 1, system_call: None, sleeps_in: None, schedule: None, stat: None, throttling }
            .throttled_us()
    }

    const STAT: &str = "usage_usec 9\nnr_throttled 2\nthrottled_usec 1234\n";

    #[test]
    fn throttling_is_that_of_the_nearest_group_with_a_quota() {
        let files = [
            ("a/cpu.max", "50000 100000\n"),
            ("a/cpu.stat", STAT),
            ("a/b/cpu.max", "max 100000\n"),
            ("a/b/cpu.stat", "throttled_usec 0\n"),
        ];
        assert_eq!(throttled_us("0::/a/b\n", &files), Some(1234));
        assert_eq!(throttled_us("0::/other\n", &files), None);
    }

    #[test]
    fn in_a_container_with_a_cgroup_namespace_of_its_own_the_root_is_the_group() {
        let files = [("cpu.max", "50000 100000\n"), ("cpu.stat", STAT)];
        assert_eq!(throttled_us("0::/\n", &files), Some(1234));
        assert_eq!(throttled_us("0::/inner\n", &files), Some(1234));
        assert_eq!(throttled_us("0::/../sibling\n", &files), None, "its parents are not ours");
        assert_eq!(throttled_us("0::/\n", &[("cpu.stat", STAT)]), None, "the machine's root has no quota");
    }

    #[test]
    fn cgroup_version_1_is_read_too() {
        let stat = "nr_periods 5\nnr_throttled 2\nthrottled_time 1234000\n";
        let files = [("cpu/docker/x/cpu.cfs_quota_us", "50000\n"), ("cpu/docker/x/cpu.stat", stat)];
        let groups = "5:cpuset:/docker/x\n4:cpu,cpuacct:/docker/x\n0::/docker/x\n";
        assert_eq!(throttled_us(groups, &files), Some(1234));
        let unlimited = [("cpu/docker/x/cpu.cfs_quota_us", "-1\n"), ("cpu/docker/x/cpu.stat", stat)];
        assert_eq!(throttled_us(groups, &unlimited), None);
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
