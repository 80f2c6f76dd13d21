//! The CPU time charged to each watch. The budget is for asyncprof as a whole: watches that share it have equal parts,
//! and each is charged with its own two threads and an equal part of everything else (the receiver of the events,
//! subprocess discovery).

use super::clock::Clock;
use super::shared::Shared;
use super::sharing::Sharing;

/// The account of one watch; while it exists, the watch has a share.
#[derive(Debug)]
pub(super) struct Account {
    sharing: Sharing,
    /// CPU time at the last update: of the threads of its two tiers, and of everything that belongs to no watch.
    loops_ns: u64,
    tasks_ns: u64,
    common_ns: u64,
    /// CPU time charged to this watch, without the task tier and with it.
    rest_ns: f64,
    total_ns: f64,
}

impl Account {
    /// An account for a watch whose threads have not run yet; earlier CPU time of the process is not charged.
    pub(super) fn open(sharing: &Sharing, process_ns: u64) -> Self {
        sharing.join();
        Self {
            common_ns: process_ns.saturating_sub(sharing.tiers_ns()),
            sharing: sharing.clone(),
            loops_ns: 0,
            tasks_ns: 0,
            rest_ns: 0.0,
            total_ns: 0.0,
        }
    }

    /// Charges the CPU time used since the last update. Call it from the loop tier's thread.
    pub(super) fn update(&mut self, clock: &dyn Clock, shared: &Shared) {
        let loops_ns = clock.thread_cpu_ns();
        // A thread that has ended keeps its last reading.
        let task_thread = shared.task_thread().and_then(|tid| clock.cpu_of_thread_ns(tid));
        let tasks_ns = task_thread.unwrap_or(self.tasks_ns);
        let (loops, tasks) = (loops_ns.saturating_sub(self.loops_ns), tasks_ns.saturating_sub(self.tasks_ns));
        let tiers_ns = self.sharing.charge(loops + tasks);
        // CPU time that other tiers have not reported yet counts as common until they do, so only a new maximum is
        // charged.
        let common_ns = clock.process_cpu_ns().saturating_sub(tiers_ns);
        let common = common_ns.saturating_sub(self.common_ns);
        let charged = loops as f64 + common as f64 * self.sharing.part();
        self.rest_ns += charged;
        self.total_ns += charged + tasks as f64;
        (self.loops_ns, self.tasks_ns, self.common_ns) = (loops_ns, tasks_ns, self.common_ns.max(common_ns));
    }

    /// CPU time charged so far, without the threads of the task tier.
    pub(super) fn rest_ns(&self) -> u64 {
        // CAST: CPU time of this process, which fits.
        self.rest_ns as u64
    }

    /// CPU time charged so far.
    pub(super) fn total_ns(&self) -> u64 {
        // CAST: as above.
        self.total_ns as u64
    }

    /// The current share of this watch in the budget.
    pub(super) fn part(&self) -> f64 {
        self.sharing.part()
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.sharing.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::clock::SECOND;
    use super::super::governor::{Governor, Rates, Spent};
    use super::*;

    /// CPU time used by the process and by the threads of each watch's tiers. Only one thread asks at a time.
    struct Usage(Mutex<Used>);

    #[derive(Debug)]
    struct Used {
        process_ns: u64,
        /// The threads of each watch: loops, tasks.
        tiers_ns: Vec<(u64, u64)>,
        /// The watch whose thread asks.
        asks: usize,
    }

    impl Usage {
        fn of(watches: usize) -> Self {
            Self(Mutex::new(Used { process_ns: 0, tiers_ns: vec![(0, 0); watches], asks: 0 }))
        }

        /// Adds CPU time of a watch's tiers, or of no watch.
        fn add(&self, watch: Option<usize>, loops_ns: u64, tasks_ns: u64) {
            let mut usage = self.0.lock().unwrap();
            usage.process_ns += loops_ns + tasks_ns;
            if let Some(watch) = watch {
                usage.tiers_ns[watch].0 += loops_ns;
                usage.tiers_ns[watch].1 += tasks_ns;
            }
        }

        fn update(&self, watch: usize, account: &mut Account, shared: &Shared) {
            self.0.lock().unwrap().asks = watch;
            account.update(self, shared);
        }
    }

    impl super::super::clock::Clock for Usage {
        fn now_ns(&self) -> u64 {
            0
        }

        fn suspended_ns(&self) -> u64 {
            0
        }

        fn process_cpu_ns(&self) -> u64 {
            self.0.lock().unwrap().process_ns
        }

        fn thread_cpu_ns(&self) -> u64 {
            let usage = self.0.lock().unwrap();
            usage.tiers_ns[usage.asks].0
        }

        fn cpu_of_thread_ns(&self, _tid: i32) -> Option<u64> {
            let usage = self.0.lock().unwrap();
            Some(usage.tiers_ns[usage.asks].1)
        }

        fn sleep_until(&self, _deadline_ns: u64) {}
    }

    /// A number of watches that share a budget.
    fn company(watches: usize) -> (Usage, Vec<(Account, Shared)>) {
        let sharing = Sharing::default();
        let open = |_| {
            let shared = Shared::new(super::super::Stop::default(), sharing.clone(), 10.0);
            shared.set_task_thread(1);
            (Account::open(&sharing, 0), shared)
        };
        (Usage::of(watches), (0..watches).map(open).collect())
    }

    #[test]
    fn who_is_alone_is_charged_with_everything() {
        let (usage, mut company) = company(1);
        usage.add(Some(0), 30, 7);
        usage.add(None, 5, 0);
        let (account, shared) = &mut company[0];
        usage.update(0, account, shared);
        assert_eq!((account.rest_ns(), account.total_ns(), account.part()), (35, 42, 1.0));
    }

    #[test]
    fn each_is_charged_with_its_own_and_with_an_equal_part_of_the_rest() {
        let (usage, mut company) = company(2);
        for _ in 0..100 {
            usage.add(Some(0), 1_000, 100);
            usage.add(Some(1), 10, 20);
            usage.add(None, 500, 0);
            for (watch, (account, shared)) in company.iter_mut().enumerate() {
                usage.update(watch, account, shared);
            }
        }
        let totals: Vec<u64> = company.iter().map(|(account, _)| account.total_ns()).collect();
        // CPU time of the second one in the first period belonged to no watch until it was reported.
        assert!(totals[0].abs_diff(135_000) < 100 && totals[1].abs_diff(28_000) < 100, "{totals:?}");
        drop(company.pop());
        assert_eq!(company[0].0.part(), 1.0, "who is gone has no part");
    }

    #[test]
    fn watches_that_share_a_budget_keep_it_together() {
        const BUDGET: f64 = 0.05;
        let asked = Rates { loop_hz: 1_000.0, task_hz: 10.0 };
        for watches in [1_usize, 2, 5] {
            let (usage, mut company) = company(watches);
            let mut governors: Vec<_> = (0..watches).map(|_| (Governor::new(asked, BUDGET), 0)).collect();
            // A sample of a loop costs 25 µs, a sample of all tasks from 0.1 ms to much more, the rest 0.4 % of a core.
            let look_ns = |watch: usize| 100_000 + watch as u64 * 2_000_000;
            let mut used = Vec::new();
            for _ in 0..120 {
                let before = usage.0.lock().unwrap().process_ns;
                usage.add(None, SECOND / 2 / 250, 0);
                for (watch, (governor, _)) in governors.iter().enumerate() {
                    let rates = governor.rates();
                    let (loops, tasks) = (rates.loop_hz * 25e3, rates.task_hz * look_ns(watch) as f64);
                    usage.add(Some(watch), (loops / 2.0) as u64, (tasks / 2.0) as u64);
                }
                used.push((usage.0.lock().unwrap().process_ns - before) as f64 * 2.0 / SECOND as f64);
                for (watch, ((account, shared), (governor, rest))) in company.iter_mut().zip(&mut governors).enumerate()
                {
                    usage.update(watch, account, shared);
                    governor.set_budget(BUDGET * account.part());
                    governor.bound_tasks(look_ns(watch));
                    let cpu_ns = account.rest_ns() - std::mem::replace(rest, account.rest_ns());
                    governor.account(Spent { wall_ns: SECOND / 2, cpu_ns, look_ns: look_ns(watch) }, 0.0);
                }
            }
            let late = &used[80..];
            assert!(late.iter().all(|share| *share < BUDGET * 1.1 && *share > BUDGET * 0.5), "{watches}: {late:?}");
            let slowest = governors.iter().map(|(governor, _)| governor.rates().loop_hz).fold(f64::MAX, f64::min);
            assert!(slowest > 600.0 / watches as f64, "{watches}: {slowest}");
        }
    }
}
