//! Stopping the target for samples (`--blocking`): one stop and all of them together are bounded, and counted.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::model::event::StopTotals;
use crate::model::snapshot::Stop;
use crate::remote::Process;
use crate::remote::stopped::{StopError, StopGuard, Stopped};

use super::options::StopLimits;
use super::shared::lock;

/// Stops that were not needed can be made up for within this time.
const CREDIT: Duration = Duration::from_secs(1);

/// The stops of one watch.
#[derive(Clone, Debug)]
pub(super) struct Stops {
    limits: StopLimits,
    account: Arc<Mutex<Account>>,
}

impl Stops {
    pub(super) fn new(limits: StopLimits) -> Self {
        Self { limits, account: Arc::new(Mutex::new(Account::new(limits.share, Instant::now()))) }
    }

    /// How long one stop may last.
    pub(super) fn longest(&self) -> Duration {
        self.limits.longest
    }

    /// Whether the process may be stopped now; if not, a look without a stop is counted.
    pub(super) fn may_stop(&self) -> bool {
        lock(&self.account).may_stop(Instant::now())
    }

    pub(super) fn totals(&self) -> StopTotals {
        lock(&self.account).totals
    }

    /// Whether the target can be stopped.
    ///
    /// # Errors
    /// If it cannot.
    pub(super) fn try_once(&self, process: &Process) -> Result<(), StopError> {
        let stopped = match StopGuard::stop(process, self.limits.longest) {
            Ok(guard) => guard.end(),
            Err(StopError::Deadline { limit, .. }) => Stopped { duration: limit, cut_short: true },
            Err(error) => return Err(error),
        };
        lock(&self.account).add(stopped);
        Ok(())
    }

    /// Runs `look` while the process is stopped, if it may be stopped now and stops in time. What of `look` takes longer
    /// than a stop may last is done while the process runs. Returns for how many nanoseconds it was stopped, too.
    ///
    /// # Errors
    /// If it cannot be stopped.
    pub(super) fn look<T>(&self, process: &Process, look: impl FnOnce() -> T) -> Result<(T, u64), StopError> {
        if !self.may_stop() {
            return Ok((look(), 0));
        }
        let (seen, stopped) = match StopGuard::stop(process, self.limits.longest) {
            Ok(guard) => {
                let seen = look();
                (seen, guard.end())
            }
            Err(StopError::Deadline { limit, .. }) => (look(), Stopped { duration: limit, cut_short: true }),
            Err(error) => return Err(error),
        };
        Ok((seen, lock(&self.account).add(stopped)))
    }

    /// Counts a stop that was made for a full snapshot.
    pub(super) fn count(&self, stop: Stop) {
        lock(&self.account).add(Stopped { duration: stop.duration, cut_short: !stop.covers_reading });
    }
}

/// How much of the time the target may still be stopped.
#[derive(Debug)]
struct Account {
    /// Share of the time.
    share: f64,
    /// In nanoseconds; below zero after a stop that was longer than what was left.
    credit: f64,
    at: Instant,
    totals: StopTotals,
}

impl Account {
    fn new(share: f64, now: Instant) -> Self {
        Self { share, credit: share * CREDIT.as_nanos() as f64, at: now, totals: StopTotals::default() }
    }

    /// Whether there is credit left; if not, a look without a stop is counted.
    fn may_stop(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.at).as_nanos() as f64 * self.share;
        self.credit = (self.credit + earned).min(self.share * CREDIT.as_nanos() as f64);
        self.at = now;
        let may = self.credit > 0.0;
        self.totals.without += u64::from(!may);
        may
    }

    /// Counts a stop; returns its length in nanoseconds.
    fn add(&mut self, stopped: Stopped) -> u64 {
        let ns = u64::try_from(stopped.duration.as_nanos()).unwrap_or(u64::MAX);
        self.credit -= ns as f64;
        self.totals.stops += 1;
        self.totals.stopped_ns = self.totals.stopped_ns.saturating_add(ns);
        self.totals.longest_ns = self.totals.longest_ns.max(ns);
        self.totals.cut_short += u64::from(stopped.cut_short);
        ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_holds_over_time_whatever_a_stop_takes() {
        for (share, stop_us) in [(0.1, 300), (0.1, 20_000), (0.01, 5_000), (1.0, 700)] {
            let begun = Instant::now();
            let mut account = Account::new(share, begun);
            let mut now = begun;
            while now - begun < Duration::from_secs(60) {
                now += Duration::from_millis(1);
                if account.may_stop(now) {
                    let duration = Duration::from_micros(stop_us);
                    account.add(Stopped { duration, cut_short: stop_us == 20_000 });
                    now += duration;
                }
            }
            let StopTotals { stops, stopped_ns, longest_ns, cut_short, without } = account.totals;
            let (limit, last) = (share * 61.0, stop_us as f64 / 1e6);
            assert!(stopped_ns as f64 / 1e9 <= limit + last, "{share} {stop_us}: {stopped_ns}");
            assert_eq!((longest_ns, cut_short), (stop_us * 1_000, if stop_us == 20_000 { stops } else { 0 }));
            assert_eq!(without == 0, share == 1.0);
        }
    }
}
