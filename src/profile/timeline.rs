//! What loops and tasks did over the time of a watch, in bins of equal width. Its memory does not grow with the watch:
//! when time passes the last bin, neighbours are merged and all bins become twice as wide.

use crate::model::event::Phase;

/// A loop in one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoopBin {
    /// Lower bound of the full length of the longest iteration seen in progress during the bin, nanoseconds; `None`
    /// where none was seen.
    pub lag_ns: Option<u64>,
    /// Time in which the loop was busy or on the way out of its selector, nanoseconds.
    pub busy_ns: u64,
    /// Time for which it is known whether the loop was busy, nanoseconds.
    pub known_ns: u64,
    /// The most callbacks seen in its ready queue.
    pub most_ready: Option<u32>,
}

impl LoopBin {
    /// Merges this bin with the one after it.
    pub fn merged(self, next: Self) -> Self {
        Self {
            lag_ns: self.lag_ns.max(next.lag_ns),
            busy_ns: self.busy_ns.saturating_add(next.busy_ns),
            known_ns: self.known_ns.saturating_add(next.known_ns),
            most_ready: self.most_ready.max(next.most_ready),
        }
    }
}

/// All tasks in one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskBin {
    /// The most tasks in one task sample; `None` where there was none.
    pub most: Option<u32>,
    /// How many were created.
    pub born: u64,
    /// How many ended.
    pub ended: u64,
}

impl TaskBin {
    /// Merges this bin with the one after it.
    pub fn merged(self, next: Self) -> Self {
        Self { most: self.most.max(next.most), born: self.born + next.born, ended: self.ended + next.ended }
    }
}

/// The bins of a watch.
#[derive(Debug)]
pub struct Timeline {
    start_ns: u64,
    width_ns: u64,
    /// By number of the loop.
    loops: Vec<Vec<LoopBin>>,
    tasks: Vec<TaskBin>,
}

impl Timeline {
    /// LIMIT: bins of each loop; more than a wide screen has columns.
    pub const BINS: usize = 2_000;
    /// LIMIT: loops with bins. A chart of more curves is unreadable, and each loop costs a hundred kilobytes.
    const LOOPS: usize = 64;
    /// Initial width, nanoseconds: ten samples at the usual rate.
    const FINEST_NS: u64 = 10_000_000;

    pub(super) fn new(start_ns: u64) -> Self {
        Self { start_ns, width_ns: Self::FINEST_NS, loops: Vec::new(), tasks: Vec::new() }
    }

    /// When the first bin begins, on the clock of the events.
    pub fn start_ns(&self) -> u64 {
        self.start_ns
    }

    /// Width of a bin, nanoseconds.
    pub fn width_ns(&self) -> u64 {
        self.width_ns
    }

    /// The bins of a loop, by its position in [`Profile::loops`](super::Profile::loops), up to the last in which
    /// something was seen; empty for a loop beyond the limit.
    pub fn of_loop(&self, number: usize) -> &[LoopBin] {
        self.loops.get(number).map_or(&[], Vec::as_slice)
    }

    /// The bins of the tasks, up to the last with a task sample.
    pub fn of_tasks(&self) -> &[TaskBin] {
        &self.tasks
    }

    /// A loop was in this phase for some time.
    pub(super) fn spend(&mut self, number: usize, phase: Phase, from_ns: u64, to_ns: u64) {
        let is_busy = match phase {
            Phase::Away | Phase::LeavingSelector => true,
            Phase::Selecting => false,
            Phase::NotRunning | Phase::Parked | Phase::Unknown => return,
        };
        self.each_bin(number, from_ns, to_ns, |bin, part_ns| {
            bin.known_ns = bin.known_ns.saturating_add(part_ns);
            bin.busy_ns = bin.busy_ns.saturating_add(if is_busy { part_ns } else { 0 });
        });
    }

    /// A loop had `ready` callbacks in its ready queue.
    pub(super) fn ready(&mut self, number: usize, at_ns: u64, ready: Option<u32>) {
        self.each_bin(number, at_ns, at_ns, |bin, _| bin.most_ready = bin.most_ready.max(ready));
    }

    /// An iteration of a loop was seen to last this long.
    pub(super) fn iteration(&mut self, number: usize, start_ns: u64, lasted_ns: u64) {
        let end_ns = start_ns.saturating_add(lasted_ns);
        self.each_bin(number, start_ns, end_ns, |bin, _| bin.lag_ns = bin.lag_ns.max(Some(lasted_ns)));
    }

    /// A task sample showed the number of tasks, how many of them are new, and how many have ended.
    pub(super) fn look(&mut self, at_ns: u64, total: u32, born: u64, ended: u64) {
        let position = self.position(at_ns);
        if self.tasks.len() <= position {
            self.tasks.resize(position + 1, TaskBin::default());
        }
        let seen = TaskBin { most: Some(total), born, ended };
        self.tasks[position] = self.tasks[position].merged(seen);
    }

    /// Every bin of a loop that the time between two moments touches, with the part of that time in it.
    fn each_bin(&mut self, number: usize, from_ns: u64, to_ns: u64, mut tell: impl FnMut(&mut LoopBin, u64)) {
        if number >= Self::LOOPS {
            return;
        }
        // The later moment first: it may make all bins wider.
        let last = self.position(to_ns.saturating_sub(1).max(from_ns));
        let first = self.position(from_ns);
        if self.loops.len() <= number {
            self.loops.resize_with(number + 1, Vec::new);
        }
        let bins = &mut self.loops[number];
        if bins.len() <= last {
            bins.resize(last + 1, LoopBin::default());
        }
        let (from_ns, to_ns) = (from_ns.saturating_sub(self.start_ns), to_ns.saturating_sub(self.start_ns));
        for (position, bin) in (first..).zip(&mut bins[first..=last]) {
            // CAST: positions are below the limit.
            let begins_ns = position as u64 * self.width_ns;
            let ends_ns = begins_ns.saturating_add(self.width_ns);
            tell(bin, to_ns.min(ends_ns).saturating_sub(from_ns.max(begins_ns)));
        }
    }

    /// The bin of a moment. Moments before the beginning fall into the first bin.
    fn position(&mut self, at_ns: u64) -> usize {
        let since_ns = at_ns.saturating_sub(self.start_ns);
        while since_ns / self.width_ns >= Self::BINS as u64 {
            self.width_ns *= 2;
            self.loops.iter_mut().for_each(|bins| halve(bins, LoopBin::merged));
            halve(&mut self.tasks, TaskBin::merged);
        }
        // CAST: below the limit.
        (since_ns / self.width_ns) as usize
    }
}

fn halve<B: Copy>(bins: &mut Vec<B>, merged: fn(B, B) -> B) {
    *bins = bins.chunks(2).map(|pair| pair.iter().copied().reduce(merged).unwrap_or(pair[0])).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const START: u64 = 5_000 * MS;

    fn busy_ms(timeline: &Timeline) -> u64 {
        timeline.of_loop(0).iter().map(|bin| bin.busy_ns).sum::<u64>() / MS
    }

    #[test]
    fn time_is_split_where_a_bin_ends() {
        let mut timeline = Timeline::new(START);
        timeline.spend(0, Phase::Away, START + 4 * MS, START + 27 * MS);
        timeline.spend(0, Phase::Selecting, START + 27 * MS, START + 30 * MS);
        let bins: Vec<_> = timeline.of_loop(0).iter().map(|bin| (bin.busy_ns / MS, bin.known_ns / MS)).collect();
        assert_eq!(bins, [(6, 6), (10, 10), (7, 10)]);
    }

    #[test]
    fn a_long_iteration_is_the_lag_of_all_bins_in_which_it_was_under_way() {
        let mut timeline = Timeline::new(START);
        timeline.iteration(0, START + 15 * MS, 20 * MS);
        timeline.iteration(0, START + 31 * MS, MS);
        let lags: Vec<_> = timeline.of_loop(0).iter().map(|bin| bin.lag_ns.map(|lag| lag / MS)).collect();
        assert_eq!(lags, [None, Some(20), Some(20), Some(20)]);
    }

    #[test]
    fn bins_become_wider_and_lose_nothing() {
        let mut timeline = Timeline::new(START);
        for number in 0..60_000 {
            let at_ns = START + number * 10 * MS;
            timeline.spend(0, Phase::Away, at_ns, at_ns + 3 * MS);
            timeline.ready(0, at_ns, Some(u32::from(number == 41) * 7));
            timeline.look(at_ns, number as u32, 1, 0);
        }
        assert!(timeline.of_loop(0).len() <= Timeline::BINS, "{}", timeline.of_loop(0).len());
        assert!(timeline.of_loop(0).len() > Timeline::BINS / 2 - 1, "as fine as the limit allows");
        assert_eq!(busy_ms(&timeline), 3 * 60_000);
        assert_eq!(timeline.of_loop(0)[0].most_ready.max(timeline.of_loop(0)[1].most_ready), Some(7));
        assert_eq!(timeline.of_tasks().iter().map(|bin| bin.born).sum::<u64>(), 60_000);
        assert_eq!(timeline.of_tasks().last().unwrap().most, Some(59_999));
    }

    #[test]
    fn no_time_and_no_number_of_loops_needs_more_memory() {
        let mut timeline = Timeline::new(START);
        timeline.spend(0, Phase::Away, START, START + MS);
        timeline.spend(0, Phase::Away, 0, u64::MAX);
        timeline.iteration(1, u64::MAX, u64::MAX);
        timeline.ready(1 << 40, START, Some(1));
        timeline.look(u64::MAX, 1, 0, 0);
        assert!(timeline.of_loop(0).len() <= Timeline::BINS && timeline.of_loop(1).len() <= Timeline::BINS);
        assert!(timeline.of_loop(1 << 40).is_empty());
    }
}
