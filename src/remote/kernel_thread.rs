//! What the kernel reports about one thread: whether it runs or waits, and in which system call.

use std::fs;

use nix::libc;

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
    /// In a system call of which only the function is known in which it sleeps.
    Asleep {
        /// Its number.
        number: u32,
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

    /// From `/proc/PID/task/TID/wchan`: the function of the kernel in which a thread sleeps, for readers that may not see its
    /// system call. `None` where that does not tell the call, or not enough of it: in a `select` a thread may wait for events or
    /// just for time, in a futex for the GIL or for another lock.
    // Linux: kernel/time/hrtimer.c, fs/eventpoll.c, kernel/exit.c, fs/pipe.c, net/core/stream.c, net/unix/af_unix.c,
    // net/ipv4/inet_connection_sock.c, fs/locks.c: names of v5.4 to v6.12.
    pub fn of_function(name: &str) -> Option<Self> {
        let number = match name {
            "hrtimer_nanosleep" | "do_nanosleep" => libc::SYS_clock_nanosleep,
            "ep_poll" | "do_epoll_wait" => libc::SYS_epoll_wait,
            "do_wait" | "kernel_waitid" => libc::SYS_wait4,
            "pipe_read" | "pipe_wait" | "anon_pipe_read" => libc::SYS_read,
            "sk_wait_data" | "unix_stream_read_generic" | "unix_stream_data_wait" => libc::SYS_recvfrom,
            "__skb_wait_for_more_packets" => libc::SYS_recvfrom,
            "inet_csk_accept" => libc::SYS_accept4,
            "locks_lock_inode_wait" | "flock_lock_inode_wait" => libc::SYS_flock,
            _ => return None,
        };
        Some(Self::Asleep { number: u32::try_from(number).ok()? })
    }

    /// The descriptor in its first argument, where that is one.
    pub fn descriptor(self) -> Option<i32> {
        let Self::In { arguments, .. } = self else { return None };
        let is_about_one = matches!(
            self.name()?,
            "read"
                | "write"
                | "close"
                | "fstat"
                | "lseek"
                | "ioctl"
                | "pread64"
                | "pwrite64"
                | "readv"
                | "writev"
                | "sendfile"
                | "connect"
                | "accept"
                | "accept4"
                | "sendto"
                | "recvfrom"
                | "sendmsg"
                | "recvmsg"
                | "sendmmsg"
                | "recvmmsg"
                | "fcntl"
                | "flock"
                | "fsync"
                | "fdatasync"
                | "getdents"
                | "getdents64"
                | "splice"
                | "sync_file_range"
                | "fallocate"
                | "preadv"
                | "pwritev"
                | "syncfs"
                | "copy_file_range"
                | "epoll_wait"
                | "epoll_pwait"
        );
        if is_about_one { i32::try_from(arguments[0]).ok() } else { None }
    }

    /// Whether it waits for events on several descriptors, as an event loop's selector does.
    pub fn is_selector(self) -> bool {
        self.name().is_some_and(is_selector)
    }

    /// Whether it is a wait for events on no descriptor, which only takes time.
    // CPython: Modules/timemodule.c, pysleep, v3.8.18 to v3.10.13: `select`.
    pub fn is_sleep(self) -> bool {
        match (self, self.name()) {
            (Self::In { arguments, .. }, Some("select" | "pselect6")) => arguments[0] == 0,
            (Self::In { arguments, .. }, Some("poll" | "ppoll")) => arguments[1] == 0,
            _ => false,
        }
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
            // The sleep of a C library: Python's own has a deadline on the monotonic clock.
            // CPython: Modules/timemodule.c, pysleep, v3.11.7.
            Self::In { number, arguments: [REALTIME, 0, ..] } if number == libc::SYS_clock_nanosleep as u32 => {
                Some("clock_nanosleep(CLOCK_REALTIME)")
            }
            Self::In { number, .. } | Self::Asleep { number } => {
                NAMES.iter().find(|entry| entry.0 == number).map(|entry| entry.1)
            }
            Self::Running | Self::None => None,
        }
    }
}

/// The first argument of `clock_nanosleep` for the clock that `nanosleep` and `usleep` use.
const REALTIME: u64 = libc::CLOCK_REALTIME as u64;

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

/// A count that changes whenever a thread gets the processor or leaves it. Two equal ones, with the thread asleep after
/// the first and before the second, show that it slept in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// Its scheduler statistics.
    Schedule(Schedule),
    /// Where the kernel keeps none: how often it left the processor, by itself and against its will.
    Switches(u64, u64),
}

impl Pulse {
    /// The pulse of thread `tid` (our process namespace) now; `None` if it is gone.
    pub fn read(process: &Process, tid: i32) -> Option<Self> {
        let text = |file: &str| fs::read_to_string(format!("/proc/{}/task/{tid}/{file}", process.pid())).ok();
        // All zero: scheduler statistics are switched off.
        let schedule = Schedule::parse(&text("schedstat")?).filter(|schedule| schedule.slices > 0);
        schedule.map(Self::Schedule).or_else(|| Self::of_status(&text("status")?))
    }

    /// From `/proc/PID/task/TID/status`. Linux: man 5 proc_pid_status.
    fn of_status(text: &str) -> Option<Self> {
        let count = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
        Some(Self::Switches(count("voluntary_ctxt_switches:")?, count("nonvoluntary_ctxt_switches:")?))
    }
}

impl KernelThread {
    /// The kernel's view of thread `tid` (our process namespace) of `process`. For a thread that is gone, everything is
    /// `None`. Costs three small files, some 10 µs.
    pub fn read(process: &Process, tid: i32) -> Self {
        let folder = format!("/proc/{}/task/{tid}", process.pid());
        let text = |file: &str| fs::read_to_string(format!("{folder}/{file}")).ok();
        let stat = fs::read(format!("{folder}/stat")).ok().and_then(|bytes| Stat::parse(&bytes));
        let state = stat.as_ref().map(|s| ThreadState::from_letter(s.state));
        let asleep = || match state? {
            ThreadState::Running => Some(SystemCall::Running),
            ThreadState::Sleeping => SystemCall::of_function(&text("wchan")?),
            _ => None,
        };
        Self {
            tid,
            state,
            system_call: text("syscall").map_or_else(asleep, |text| SystemCall::parse(&text)),
            name: stat.map(|s| s.comm),
            schedule: text("schedstat").and_then(|text| Schedule::parse(&text)),
        }
    }
}

/// Numbers and names of these calls, in the order of their numbers. Those with a number are not in the library.
/// Linux: scripts/syscall.tbl.
macro_rules! calls {
    ($($($call:ident)+, $number:literal $name:literal;)+) => {
        &[$($((libc::$call as u32, stringify!($call).split_at("SYS_".len()).1),)+ ($number, $name)),+]
    };
}

/// System calls that can wait, and the usual ones that do work: number and name.
#[cfg(target_arch = "x86_64")]
const NAMES: &[(u32, &str)] = calls! {
    SYS_read SYS_write SYS_open SYS_close SYS_stat SYS_fstat SYS_lstat SYS_poll SYS_lseek SYS_mmap SYS_mprotect
    SYS_munmap SYS_brk SYS_ioctl SYS_pread64 SYS_pwrite64 SYS_readv SYS_writev SYS_select SYS_sched_yield
    SYS_msync SYS_madvise SYS_pause SYS_nanosleep SYS_sendfile SYS_connect SYS_accept SYS_sendto SYS_recvfrom
    SYS_sendmsg SYS_recvmsg SYS_clone SYS_fork SYS_vfork SYS_execve SYS_wait4 SYS_semop SYS_msgsnd SYS_msgrcv
    SYS_fcntl SYS_flock SYS_fsync SYS_fdatasync SYS_getdents SYS_rename SYS_unlink SYS_rt_sigtimedwait
    SYS_rt_sigsuspend SYS_sync SYS_futex SYS_io_getevents SYS_getdents64 SYS_semtimedop SYS_clock_nanosleep
    SYS_epoll_wait SYS_mq_timedsend SYS_mq_timedreceive SYS_waitid SYS_openat SYS_newfstatat SYS_pselect6
    SYS_ppoll SYS_splice SYS_sync_file_range SYS_epoll_pwait SYS_fallocate SYS_accept4 SYS_preadv SYS_pwritev
    SYS_recvmmsg SYS_syncfs SYS_sendmmsg SYS_getrandom SYS_copy_file_range SYS_statx SYS_io_uring_enter
    SYS_clone3 SYS_epoll_pwait2 SYS_futex_waitv, 455 "futex_wait";
};

/// System calls that can wait, and the usual ones that do work: number and name.
#[cfg(target_arch = "aarch64")]
const NAMES: &[(u32, &str)] = calls! {
    SYS_io_getevents SYS_epoll_pwait SYS_fcntl SYS_ioctl SYS_flock SYS_fallocate SYS_openat SYS_close
    SYS_getdents64 SYS_lseek SYS_read SYS_write SYS_readv SYS_writev SYS_pread64 SYS_pwrite64 SYS_preadv
    SYS_pwritev SYS_sendfile SYS_pselect6 SYS_ppoll SYS_splice SYS_newfstatat SYS_fstat SYS_sync SYS_fsync
    SYS_fdatasync, 84 "sync_file_range";
    SYS_waitid SYS_futex SYS_nanosleep SYS_clock_nanosleep SYS_sched_yield
    SYS_rt_sigsuspend SYS_rt_sigtimedwait SYS_mq_timedsend SYS_mq_timedreceive SYS_msgrcv SYS_msgsnd
    SYS_semtimedop SYS_semop SYS_accept SYS_connect SYS_sendto SYS_recvfrom SYS_sendmsg SYS_recvmsg SYS_brk
    SYS_munmap SYS_clone SYS_execve SYS_mmap SYS_mprotect SYS_msync SYS_madvise SYS_accept4 SYS_recvmmsg
    SYS_wait4 SYS_syncfs SYS_sendmmsg SYS_getrandom SYS_copy_file_range SYS_statx SYS_io_uring_enter SYS_clone3
    SYS_epoll_pwait2 SYS_futex_waitv, 455 "futex_wait";
};

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

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_wait_on_no_descriptor_is_a_sleep() {
        let of = |number: i64, arguments| SystemCall::In { number: number as u32, arguments };
        assert!(of(libc::SYS_select, [0, 0, 0, 0, 1, 0]).is_sleep());
        assert!(!of(libc::SYS_select, [5, 1, 0, 0, 1, 0]).is_sleep());
        assert!(of(libc::SYS_poll, [0, 0, 100, 0, 0, 0]).is_sleep());
        assert!(!of(libc::SYS_poll, [1, 1, 100, 0, 0, 0]).is_sleep());
        assert!(!SystemCall::Running.is_sleep());
    }

    #[test]
    fn where_a_thread_sleeps_tells_some_calls_without_their_arguments() {
        let call = SystemCall::of_function("ep_poll").unwrap();
        assert_eq!((call.name(), call.is_selector(), call.descriptor()), (Some("epoll_wait"), true, None));
        let call = SystemCall::of_function("hrtimer_nanosleep").unwrap();
        assert_eq!((call.name(), call.is_sleep(), call.futex()), (Some("clock_nanosleep"), false, None));
        // Running; a wait for the GIL or another lock; for events or for time; to receive, to send, or for a terminal.
        for name in
            ["0", "futex_wait_queue", "futex_wait", "poll_schedule_timeout.constprop.0", "do_select", "wait_woken"]
        {
            assert_eq!(SystemCall::of_function(name), None, "{name}");
        }
    }

    #[test]
    fn the_schedule_has_three_numbers_or_is_unknown() {
        assert_eq!(Schedule::parse("12 34 5\n"), Some(Schedule { run_ns: 12, wait_ns: 34, slices: 5 }));
        assert_eq!(Schedule::parse("12 34\n"), None);
    }

    #[test]
    fn without_scheduler_statistics_the_switches_are_the_pulse() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(Pulse::of_status(status), Some(Pulse::Switches(12, 3)));
        assert_eq!(Pulse::of_status("Name:\tx\n"), None);
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
