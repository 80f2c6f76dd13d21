//! The clocks of a watch, behind a trait, so that every decision about time can be tested without waiting.

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

/// Nanoseconds.
pub(super) const SECOND: u64 = 1_000_000_000;

/// Shorter waits are spent spinning: the kernel takes about as long to put a thread to sleep and wake it up.
const TURN_NS: u64 = 60_000;

/// The source of all times. All are nanoseconds.
pub(super) trait Clock: Send + Sync {
    /// `CLOCK_MONOTONIC`: the clock of every event.
    fn now_ns(&self) -> u64;

    /// How far `CLOCK_BOOTTIME` is ahead of it: it grows only while the machine is suspended.
    fn suspended_ns(&self) -> u64;

    /// CPU time of this process, all threads.
    fn process_cpu_ns(&self) -> u64;

    /// CPU time of the calling thread.
    fn thread_cpu_ns(&self) -> u64;

    /// CPU time of another thread of this process, by its kernel id; `None` if the thread is gone.
    fn cpu_of_thread_ns(&self, tid: i32) -> Option<u64>;

    /// Returns when [`Clock::now_ns`] is at least `deadline_ns`.
    fn sleep_until(&self, deadline_ns: u64);
}

/// The kernel's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SystemClock;

fn read(clock: ClockId) -> u64 {
    // These clocks exist on every kernel that has `process_vm_readv`.
    clock_gettime(clock).map_or(0, nanoseconds)
}

fn nanoseconds(time: TimeSpec) -> u64 {
    (time.tv_sec() as u64) * 1_000_000_000 + time.tv_nsec() as u64
}

impl Clock for SystemClock {
    fn now_ns(&self) -> u64 {
        read(ClockId::CLOCK_MONOTONIC)
    }

    fn suspended_ns(&self) -> u64 {
        // In this order, a preemption between the two readings cannot be mistaken for the end of a suspension.
        let monotonic = read(ClockId::CLOCK_MONOTONIC);
        read(ClockId::CLOCK_BOOTTIME).saturating_sub(monotonic)
    }

    fn process_cpu_ns(&self) -> u64 {
        read(ClockId::CLOCK_PROCESS_CPUTIME_ID)
    }

    fn thread_cpu_ns(&self) -> u64 {
        read(ClockId::CLOCK_THREAD_CPUTIME_ID)
    }

    fn cpu_of_thread_ns(&self, tid: i32) -> Option<u64> {
        // Linux: include/linux/posix-timers.h: the id in the upper bits, inverted; CPUCLOCK_PERTHREAD_MASK |
        // CPUCLOCK_SCHED.
        let time = clock_gettime(ClockId::from_raw((!tid << 3) | 0b110)).ok()?;
        Some(nanoseconds(time))
    }

    fn sleep_until(&self, deadline_ns: u64) {
        let deadline = TimeSpec::new((deadline_ns / 1_000_000_000) as i64, (deadline_ns % 1_000_000_000) as i64);
        while deadline_ns.saturating_sub(self.now_ns()) > TURN_NS {
            match clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &deadline) {
                Ok(_) | Err(Errno::EINTR) => {}
                // The kernel cannot reject a time that the clock will reach; if it does, spinning is correct too.
                Err(_) => break,
            }
        }
        while self.now_ns() < deadline_ns {
            std::hint::spin_loop();
        }
    }
}

/// Asks the kernel to wake the calling thread exactly on time, not up to 50 µs later together with others.
pub(super) fn be_punctual() {
    // A kernel that does not support it only wakes us a little later.
    let _ = nix::sys::prctl::set_timerslack(1);
}

#[cfg(test)]
pub(super) mod fake {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::Clock;

    /// A clock that moves only when something sleeps or works.
    #[derive(Debug, Default)]
    pub(in crate::sampler) struct FakeClock {
        now: AtomicU64,
        cpu: AtomicU64,
        suspended: AtomicU64,
    }

    impl FakeClock {
        /// Spends `ns` nanoseconds on CPU.
        pub(in crate::sampler) fn work(&self, ns: u64) {
            self.now.fetch_add(ns, Relaxed);
            self.cpu.fetch_add(ns, Relaxed);
        }

        /// Time passes.
        pub(in crate::sampler) fn pass(&self, ns: u64) {
            self.now.fetch_add(ns, Relaxed);
        }

        /// The machine is suspended.
        pub(in crate::sampler) fn suspend(&self, ns: u64) {
            self.suspended.fetch_add(ns, Relaxed);
        }
    }

    impl Clock for FakeClock {
        fn now_ns(&self) -> u64 {
            self.now.load(Relaxed)
        }

        fn suspended_ns(&self) -> u64 {
            self.suspended.load(Relaxed)
        }

        fn process_cpu_ns(&self) -> u64 {
            self.cpu.load(Relaxed)
        }

        fn thread_cpu_ns(&self) -> u64 {
            self.cpu.load(Relaxed)
        }

        fn cpu_of_thread_ns(&self, _tid: i32) -> Option<u64> {
            Some(0)
        }

        fn sleep_until(&self, deadline_ns: u64) {
            self.now.fetch_max(deadline_ns, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_wakes_before_the_deadline() {
        let clock = SystemClock;
        for ahead in [0, 5_000, 200_000, 2_000_000] {
            let deadline = clock.now_ns() + ahead;
            clock.sleep_until(deadline);
            assert!(clock.now_ns() >= deadline);
        }
    }

    #[test]
    fn a_thread_that_turns_uses_cpu_time_and_one_that_sleeps_does_not() {
        let clock = SystemClock;
        let (process, thread) = (clock.process_cpu_ns(), clock.thread_cpu_ns());
        clock.sleep_until(clock.now_ns() + 30_000_000);
        assert!(clock.thread_cpu_ns() - thread < 15_000_000);
        while clock.thread_cpu_ns() - thread < 2_000_000 {
            std::hint::spin_loop();
        }
        assert!(clock.process_cpu_ns() - process >= 2_000_000);
        let other = std::thread::spawn(move || {
            let tid = nix::unistd::gettid().as_raw();
            // The kernel accounts for a thread that has just begun once it has run for a while.
            while clock.thread_cpu_ns() < 2_000_000 {
                std::hint::spin_loop();
            }
            (clock.cpu_of_thread_ns(tid), clock.thread_cpu_ns(), tid)
        });
        let (as_other, as_itself, tid) = other.join().unwrap();
        assert!(as_other.is_some_and(|cpu| cpu > 0 && cpu <= as_itself), "{as_other:?} {as_itself}");
        // The kernel ends a thread a little after it was joined.
        let has_ended = |_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            clock.cpu_of_thread_ns(tid).is_none()
        };
        assert!((0..1_000).any(has_ended));
    }
}
