//! The CPU time that the task tier may use. The governor sees what something costs only afterwards, and the first look at
//! a hundred thousand tasks costs what a minute allows; so looks are paid for in advance.

/// What may be used up at once: as much as is due in this time, nanoseconds.
const AT_ONCE: u64 = 60 * super::SECOND;

/// What is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// A look at all tasks.
    Look,
    /// A full snapshot.
    Snapshot,
}

/// The CPU time that was used, and what is needed for more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Credit {
    begun_ns: u64,
    spent_ns: u64,
    /// What a look and a snapshot need at least, as far as that is known.
    needed_ns: [u64; 2],
}

impl Credit {
    pub(super) fn new(now_ns: u64) -> Self {
        Self { begun_ns: now_ns, spent_ns: 0, needed_ns: [0; 2] }
    }

    /// The CPU time that may be used now for this work, nanoseconds; `None` if it needs more. `share`: of a core.
    pub(super) fn available(&self, work: Work, now_ns: u64, share: f64) -> Option<u64> {
        let due = share * now_ns.saturating_sub(self.begun_ns).max(AT_ONCE) as f64;
        // CAST: a float that is too large becomes the largest integer.
        let available = (due as u64).saturating_sub(self.spent_ns);
        (available > 0 && available >= self.needed_ns[work as usize]).then_some(available)
    }

    /// The work was done.
    pub(super) fn spend(&mut self, work: Work, cpu_ns: u64) {
        self.spent_ns += cpu_ns;
        self.needed_ns[work as usize] = 0;
    }

    /// The work was given up when it had used what was available: it needs at least twice as much.
    pub(super) fn waste(&mut self, work: Work, cpu_ns: u64) {
        self.spent_ns += cpu_ns;
        self.needed_ns[work as usize] = cpu_ns.saturating_mul(2);
    }

    /// The work is known to need as much as this.
    pub(super) fn expect(&mut self, work: Work, cpu_ns: u64) {
        self.needed_ns[work as usize] = cpu_ns;
    }

    /// When this work can be paid for, nanoseconds from now. `share`: of a core, above 0.
    pub(super) fn wait_ns(&self, work: Work, now_ns: u64, share: f64) -> u64 {
        let needed = self.spent_ns.saturating_add(self.needed_ns[work as usize]);
        let due_at = self.begun_ns.saturating_add((needed as f64 / share) as u64);
        due_at.saturating_sub(now_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::SECOND;

    const SHARE: f64 = 0.03;

    #[test]
    fn no_more_is_spent_than_a_minute_allows_or_the_time_so_far() {
        for cost in [SECOND / 100, SECOND, 3 * SECOND, 20 * SECOND] {
            let (mut credit, mut spent, mut done) = (Credit::new(7), 0, 0);
            for now in (7..600 * SECOND).step_by(SECOND as usize / 10) {
                let Some(available) = credit.available(Work::Look, now, SHARE) else { continue };
                if available < cost {
                    credit.waste(Work::Look, available);
                    spent += available;
                } else {
                    credit.spend(Work::Look, cost);
                    (spent, done) = (spent + cost, done + 1);
                }
                let allowed = SHARE * now.max(60 * SECOND) as f64;
                assert!(spent as f64 <= allowed + 1.0, "{cost}: {spent} of {allowed}");
            }
            assert_eq!(done > 0, cost < 10 * SECOND, "{cost}: {done}");
        }
    }

    #[test]
    fn what_it_needs_is_waited_for() {
        let mut credit = Credit::new(0);
        assert_eq!(credit.available(Work::Look, 0, SHARE), Some(18 * SECOND / 10));
        credit.waste(Work::Look, 18 * SECOND / 10);
        assert_eq!(credit.available(Work::Look, 70 * SECOND, SHARE), None);
        let wait = credit.wait_ns(Work::Look, 0, SHARE);
        assert_eq!(wait, 180 * SECOND);
        assert!(credit.available(Work::Look, wait, SHARE).is_some());
        credit.expect(Work::Snapshot, SECOND);
        assert_eq!(credit.available(Work::Snapshot, 70 * SECOND, SHARE), None);
    }
}
