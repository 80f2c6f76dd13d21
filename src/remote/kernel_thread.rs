//! What the kernel reports about one thread: whether it runs or waits, and in which system call.

use std::fs;

use super::process::{Process, Stat};

/// One thread as the kernel shows it at one moment. `None` where data is unavailable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelThread {
    /// Its id in our process namespace.
    pub tid: i32,
    /// Name, at most 15 bytes.
    pub name: Option<String>,
    /// Its state.
    pub state: Option<ThreadState>,
    /// Its system call; needs the permission to trace.
    pub system_call: Option<SystemCall>,
    /// Its time on and off the CPU.
    pub schedule: Option<Schedule>,
}

/// A thread's state. Linux: fs/proc/array.c, `task_state_array`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadState {
    /// Running or runnable.
    Running,
    /// Waiting, interruptible.
    Sleeping,
    /// Waiting for the disk or similar; not interruptible.
    Uninterruptible,
    /// Stopped by job control.
    Stopped,
    /// Stopped by a debugger.
    Traced,
    /// Exited.
    Exited,
    /// Any other letter.
    Other(char),
}

impl ThreadState {
    /// From the kernel's letter.
    pub fn from_letter(letter: char) -> Self {
        match letter {
            'R' => Self::Running,
            'S' | 'I' => Self::Sleeping,
            'D' => Self::Uninterruptible,
            'T' => Self::Stopped,
            't' => Self::Traced,
            'Z' | 'X' | 'x' => Self::Exited,
            other => Self::Other(other),
        }
    }
}

/// Whether a thread is in user code or in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemCall {
    /// On CPU: the kernel does not show it.
    Running,
    /// Not in a system call: a page fault, or it was preempted.
    None,
    /// In a system call.
    In {
        /// Its number.
        number: u32,
        /// The first six arguments.
        arguments: [u64; 6],
    },
}

impl SystemCall {
    /// Parses `/proc/PID/task/TID/syscall`. Linux: man 5 proc_pid_syscall.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let first = words.next()?;
        match first {
            "running" => return Some(Self::Running),
            "-1" => return Some(Self::None),
            _ => {}
        }
        let mut arguments = [0; 6];
        for argument in &mut arguments {
            *argument = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
        }
        Some(Self::In { number: first.parse().ok()?, arguments })
    }

    /// The descriptor in its first argument, where that is one.
    pub fn descriptor(self) -> Option<i32> {
        const ABOUT_ONE: [&str; 35] = [
            "read",
            "write",
            "close",
            "fstat",
            "lseek",
            "ioctl",
            "pread64",
            "pwrite64",
            "readv",
            "writev",
            "sendfile",
            "connect",
            "accept",
            "accept4",
            "sendto",
            "recvfrom",
            "sendmsg",
            "recvmsg",
            "sendmmsg",
            "recvmmsg",
            "fcntl",
            "flock",
            "fsync",
            "fdatasync",
            "getdents",
            "getdents64",
            "splice",
            "sync_file_range",
            "fallocate",
            "preadv",
            "pwritev",
            "syncfs",
            "copy_file_range",
            "epoll_wait",
            "epoll_pwait",
        ];
        match (self, self.name()) {
            (Self::In { arguments, .. }, Some(name)) if ABOUT_ONE.contains(&name) => i32::try_from(arguments[0]).ok(),
            _ => None,
        }
    }

    /// Whether it waits for events on several descriptors, as an event loop's selector does.
    pub fn is_selector(self) -> bool {
        self.name().is_some_and(is_selector)
    }

    /// The word it waits on, when one thread waits for another (a lock or condition).
    pub fn futex(self) -> Option<u64> {
        match (self, self.name()) {
            (Self::In { arguments, .. }, Some("futex" | "futex_wait")) => Some(arguments[0]),
            _ => None,
        }
    }

    /// Its name, if it is a call that waits.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::In { number, .. } => NAMES.iter().find(|entry| entry.0 == number).map(|entry| entry.1),
            Self::Running | Self::None => None,
        }
    }
}

/// Whether a system call of this name waits for events on several descriptors.
pub fn is_selector(name: &str) -> bool {
    const SELECTORS: [&str; 8] =
        ["epoll_wait", "epoll_pwait", "epoll_pwait2", "select", "pselect6", "poll", "ppoll", "io_uring_enter"];
    SELECTORS.contains(&name)
}

/// A thread's scheduler statistics since it started. Linux: Documentation/scheduler/sched-stats.rst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Nanoseconds on CPU.
    pub run_ns: u64,
    /// Nanoseconds runnable but not scheduled.
    pub wait_ns: u64,
    /// How often it was scheduled.
    pub slices: u64,
}

impl Schedule {
    /// Parses `/proc/PID/task/TID/schedstat`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace().map(|word| word.parse().ok());
        Some(Self { run_ns: words.next()??, wait_ns: words.next()??, slices: words.next()?? })
    }
}

impl KernelThread {
    /// The kernel's view of thread `tid` (our process namespace) of `process`. For a thread that is gone, everything is
    /// `None`. Costs three small files, some 10 µs.
    pub fn read(process: &Process, tid: i32) -> Self {
        let folder = format!("/proc/{}/task/{tid}", process.pid());
        let text = |file: &str| fs::read_to_string(format!("{folder}/{file}")).ok();
        let stat = fs::read(format!("{folder}/stat")).ok().and_then(|bytes| Stat::parse(&bytes));
        Self {
            tid,
            state: stat.as_ref().map(|s| ThreadState::from_letter(s.state)),
            name: stat.map(|s| s.comm),
            system_call: text("syscall").and_then(|text| SystemCall::parse(&text)),
            schedule: text("schedstat").and_then(|text| Schedule::parse(&text)),
        }
    }
}

/// System calls that can wait, and the usual ones that do work: number and name.
/// Linux: arch/x86/entry/syscalls/syscall_64.tbl
#[cfg(target_arch = "x86_64")]
const NAMES: &[(u32, &str)] = &[
    (0, "read"),
    (1, "write"),
    (2, "open"),
    (3, "close"),
    (4, "stat"),
    (5, "fstat"),
    (6, "lstat"),
    (7, "poll"),
    (8, "lseek"),
    (9, "mmap"),
    (10, "mprotect"),
    (11, "munmap"),
    (12, "brk"),
    (16, "ioctl"),
    (17, "pread64"),
    (18, "pwrite64"),
    (19, "readv"),
    (20, "writev"),
    (23, "select"),
    (24, "sched_yield"),
    (26, "msync"),
    (28, "madvise"),
    (34, "pause"),
    (35, "nanosleep"),
    (40, "sendfile"),
    (42, "connect"),
    (43, "accept"),
    (44, "sendto"),
    (45, "recvfrom"),
    (46, "sendmsg"),
    (47, "recvmsg"),
    (56, "clone"),
    (57, "fork"),
    (58, "vfork"),
    (59, "execve"),
    (61, "wait4"),
    (65, "semop"),
    (69, "msgsnd"),
    (70, "msgrcv"),
    (72, "fcntl"),
    (73, "flock"),
    (74, "fsync"),
    (75, "fdatasync"),
    (78, "getdents"),
    (82, "rename"),
    (87, "unlink"),
    (128, "rt_sigtimedwait"),
    (130, "rt_sigsuspend"),
    (162, "sync"),
    (202, "futex"),
    (208, "io_getevents"),
    (217, "getdents64"),
    (220, "semtimedop"),
    (230, "clock_nanosleep"),
    (232, "epoll_wait"),
    (242, "mq_timedsend"),
    (243, "mq_timedreceive"),
    (247, "waitid"),
    (257, "openat"),
    (262, "newfstatat"),
    (270, "pselect6"),
    (271, "ppoll"),
    (275, "splice"),
    (277, "sync_file_range"),
    (281, "epoll_pwait"),
    (285, "fallocate"),
    (288, "accept4"),
    (295, "preadv"),
    (296, "pwritev"),
    (299, "recvmmsg"),
    (306, "syncfs"),
    (307, "sendmmsg"),
    (318, "getrandom"),
    (326, "copy_file_range"),
    (332, "statx"),
    (426, "io_uring_enter"),
    (435, "clone3"),
    (441, "epoll_pwait2"),
    (449, "futex_waitv"),
    (455, "futex_wait"),
];

/// System calls that can wait, and the usual ones that do work: number and name.
/// Linux: include/uapi/asm-generic/unistd.h
#[cfg(target_arch = "aarch64")]
const NAMES: &[(u32, &str)] = &[
    (4, "io_getevents"),
    (22, "epoll_pwait"),
    (25, "fcntl"),
    (29, "ioctl"),
    (32, "flock"),
    (47, "fallocate"),
    (56, "openat"),
    (57, "close"),
    (61, "getdents64"),
    (62, "lseek"),
    (63, "read"),
    (64, "write"),
    (65, "readv"),
    (66, "writev"),
    (67, "pread64"),
    (68, "pwrite64"),
    (69, "preadv"),
    (70, "pwritev"),
    (71, "sendfile"),
    (72, "pselect6"),
    (73, "ppoll"),
    (76, "splice"),
    (79, "newfstatat"),
    (80, "fstat"),
    (81, "sync"),
    (82, "fsync"),
    (83, "fdatasync"),
    (84, "sync_file_range"),
    (95, "waitid"),
    (98, "futex"),
    (101, "nanosleep"),
    (115, "clock_nanosleep"),
    (124, "sched_yield"),
    (133, "rt_sigsuspend"),
    (137, "rt_sigtimedwait"),
    (182, "mq_timedsend"),
    (183, "mq_timedreceive"),
    (188, "msgrcv"),
    (189, "msgsnd"),
    (192, "semtimedop"),
    (193, "semop"),
    (202, "accept"),
    (203, "connect"),
    (206, "sendto"),
    (207, "recvfrom"),
    (211, "sendmsg"),
    (212, "recvmsg"),
    (214, "brk"),
    (215, "munmap"),
    (220, "clone"),
    (221, "execve"),
    (222, "mmap"),
    (226, "mprotect"),
    (227, "msync"),
    (233, "madvise"),
    (242, "accept4"),
    (243, "recvmmsg"),
    (260, "wait4"),
    (267, "syncfs"),
    (269, "sendmmsg"),
    (278, "getrandom"),
    (285, "copy_file_range"),
    (291, "statx"),
    (426, "io_uring_enter"),
    (435, "clone3"),
    (441, "epoll_pwait2"),
    (449, "futex_waitv"),
    (455, "futex_wait"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_call_is_told_from_running_and_from_none() {
        assert_eq!(SystemCall::parse("running\n"), Some(SystemCall::Running));
        assert_eq!(SystemCall::parse("-1 0x7ffd0 0x7f00\n"), Some(SystemCall::None));
        let call = SystemCall::parse("271 0x5 0x0 0x1 0x0 0x0 0xffffffffffffffff 0x7ffd0 0x7f00\n").unwrap();
        assert_eq!(call, SystemCall::In { number: 271, arguments: [5, 0, 1, 0, 0, u64::MAX] });
        assert_eq!(SystemCall::parse("271 0x5\n"), None);
        assert_eq!(SystemCall::parse(""), None);
    }

    #[test]
    fn the_schedule_has_three_numbers_or_is_unknown() {
        assert_eq!(Schedule::parse("12 34 5\n"), Some(Schedule { run_ns: 12, wait_ns: 34, slices: 5 }));
        assert_eq!(Schedule::parse("12 34\n"), None);
    }

    #[test]
    fn the_names_are_sorted_by_number_and_none_is_listed_twice() {
        assert!(NAMES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn a_thread_that_waits_is_seen_in_its_system_call() {
        let (ready, started) = std::sync::mpsc::channel();
        let (end, waits) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("waiting".into()).spawn(move || {
            ready.send(nix::unistd::gettid().as_raw()).unwrap();
            let _ = waits.recv();
        });
        let tid = started.recv().unwrap();
        let process = Process::open(std::process::id() as i32).unwrap();
        let mut seen = KernelThread::read(&process, tid);
        // Between its message and its wait it is still running.
        while seen.state != Some(ThreadState::Sleeping) {
            std::thread::yield_now();
            seen = KernelThread::read(&process, tid);
        }
        assert_eq!(seen.name.as_deref(), Some("waiting"));
        if let Some(call) = seen.system_call {
            assert_eq!(call.name(), Some("futex"), "{call:?}");
        }
        drop(end);
        thread.unwrap().join().unwrap();
        let gone = KernelThread::read(&process, tid);
        assert_eq!((gone.state, gone.name, gone.system_call), (None, None, None));
    }
}
