//! Deadlines at a steady rate. A missed deadline is counted and skipped: a late sampler continues with the next one and
//! never catches up in a burst, which would hit the target just when the machine is short of time.

/// Deadlines, `period` apart. Times are nanoseconds of one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    period_ns: u64,
    next_ns: u64,
}

/// The period of a rate, at least a nanosecond.
pub(super) fn period_of(rate_hz: f64) -> u64 {
    // A float that is too large or not a number becomes the nearest integer or zero: nothing here can overflow.
    ((1e9 / rate_hz) as u64).clamp(1, u64::MAX / 4)
}

impl Schedule {
    /// The first deadline is now.
    pub(super) fn new(now_ns: u64, rate_hz: f64) -> Self {
        Self { period_ns: period_of(rate_hz), next_ns: now_ns }
    }

    /// The next deadline.
    pub(super) fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Whether the deadline has come.
    pub(super) fn is_due(&self, now_ns: u64) -> bool {
        now_ns >= self.next_ns
    }

    /// Marks the current deadline as kept. Returns how many later ones have passed unused: those were missed.
    ///
    /// INVARIANT: the next deadline is later than `now_ns`, so that after a delay there is one sample, not several.
    pub(super) fn keep(&mut self, now_ns: u64) -> u64 {
        let Some(behind) = now_ns.checked_sub(self.next_ns) else { return 0 };
        let missed = behind / self.period_ns;
        self.next_ns = now_ns - behind % self.period_ns + self.period_ns;
        missed
    }

    /// Changes the rate from the last deadline on.
    pub(super) fn set_rate(&mut self, rate_hz: f64) {
        let period_ns = period_of(rate_hz);
        self.next_ns = self.next_ns.saturating_sub(self.period_ns).saturating_add(period_ns);
        self.period_ns = period_ns;
    }

    /// Restarts the schedule now: deadlines that have passed do not count as missed, because no sample was wanted.
    pub(super) fn restart(&mut self, now_ns: u64) {
        self.next_ns = now_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn deadlines_do_not_drift_when_each_look_begins_a_little_late() {
        let mut schedule = Schedule::new(1_000, 1e6);
        for step in 0..1000 {
            assert_eq!(schedule.next_ns(), 1_000 + step * 1_000);
            assert_eq!(schedule.keep(schedule.next_ns() + 400), 0);
        }
    }

    #[test]
    fn a_delay_is_counted_and_followed_by_one_look() {
        let mut schedule = Schedule::new(0, 1e6);
        assert_eq!(schedule.keep(0), 0);
        // Due at 1,000; those of 2,000, 3,000 and 4,000 passed as well.
        assert_eq!(schedule.keep(4_200), 3);
        assert_eq!(schedule.next_ns(), 5_000);
        assert!(!schedule.is_due(4_999));
    }

    #[test]
    fn another_rate_holds_from_the_last_deadline_on() {
        let mut schedule = Schedule::new(0, 1e6);
        schedule.keep(0);
        schedule.set_rate(1e5);
        assert_eq!((schedule.next_ns(), schedule.period_ns), (10_000, 10_000));
        schedule.set_rate(1e6);
        assert_eq!(schedule.next_ns(), 1_000);
    }

    #[test]
    fn rates_out_of_reach_are_no_arithmetic_accident() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e30, 1e-30] {
            let mut schedule = Schedule::new(u64::MAX / 2, rate);
            schedule.keep(u64::MAX / 2 + 5);
            schedule.set_rate(rate);
            assert!(schedule.period_ns >= 1);
        }
    }

    proptest! {
        /// Whatever the delays and rates, no period has more samples than its length allows, every deadline is either
        /// kept or missed, and the next one lies ahead.
        #[test]
        fn looks_never_come_in_bursts(delays in proptest::collection::vec(0u64..20_000, 1..200), period in 1u64..5_000) {
            let mut schedule = Schedule::new(0, 1e9 / period as f64);
            let period = schedule.period_ns;
            let (mut now, mut looks, mut missed) = (0, Vec::new(), 0);
            for delay in delays {
                now = schedule.next_ns().max(now) + delay;
                missed += schedule.keep(now);
                looks.push(now);
                prop_assert!(schedule.next_ns() > now && schedule.next_ns() - now <= period);
                prop_assert_eq!(schedule.next_ns() / period, looks.len() as u64 + missed);
            }
            for (index, first) in looks.iter().enumerate() {
                for (count, last) in looks[index..].iter().enumerate() {
                    prop_assert!(count as u64 <= (last - first) / period + 1);
                }
            }
        }
    }
}
