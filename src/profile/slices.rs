//! How evenly something was spread over a watch: how often it was seen in each of a few equal slices of the time. A
//! number that comes in bursts is less reliable than it seems, and only its spread shows that.

/// Counts by time slice. Its memory does not grow with the watch: beyond the last slice, neighbours are merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slices {
    /// How often the width was doubled.
    doublings: u32,
    counts: Vec<u64>,
}

impl Slices {
    /// LIMIT: slices of a watch: enough to show how much they differ, and each long enough to hold whole bursts.
    pub const MOST: usize = 32;
    /// Initial width, nanoseconds.
    const FINEST_NS: u64 = 100_000_000;

    /// Counts one occurrence, this long after the watch began.
    pub fn add(&mut self, since_ns: u64) {
        self.widen(since_ns);
        // CAST: below the limit.
        let position = (since_ns / self.width_ns()) as usize;
        if self.counts.len() <= position {
            self.counts.resize(position + 1, 0);
        }
        self.counts[position] += 1;
    }

    /// The counts of all whole slices of a watch of this length, including empty ones.
    pub fn counts(&self, lasted_ns: u64) -> Vec<u64> {
        let mut whole = self.clone();
        whole.widen(lasted_ns);
        // CAST: at most the limit.
        whole.counts.resize((lasted_ns / whole.width_ns()) as usize, 0);
        whole.counts
    }

    fn width_ns(&self) -> u64 {
        Self::FINEST_NS << self.doublings
    }

    fn widen(&mut self, since_ns: u64) {
        while since_ns / self.width_ns() >= Self::MOST as u64 {
            self.doublings += 1;
            self.counts = self.counts.chunks(2).map(|pair| pair.iter().sum()).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn slices_become_wider_and_lose_nothing() {
        let mut slices = Slices::default();
        (0..10_000).for_each(|number| slices.add(number * 10 * MS));
        let counts = slices.counts(100_000 * MS);
        assert!((16..=Slices::MOST).contains(&counts.len()), "{counts:?}");
        assert!(counts.iter().all(|&count| count == counts[0]), "{counts:?}");
        slices.add(u64::MAX);
        assert!(slices.counts.len() <= Slices::MOST);
        assert_eq!(slices.counts.iter().sum::<u64>(), 10_001);
    }

    #[test]
    fn slices_in_which_it_was_not_seen_count_and_the_last_one_only_if_it_is_whole() {
        let mut slices = Slices::default();
        slices.add(0);
        slices.add(150 * MS);
        slices.add(160 * MS);
        assert_eq!(slices.counts(450 * MS), [1, 2, 0, 0]);
        assert!(slices.counts(50 * MS).is_empty());
    }
}
