//! Short names for callbacks. A callback is identified by 64 arbitrary bits, which would be the largest part of a busy
//! loop's sample; all that matters is whether the callback differs from the previous one.

use rustc_hash::FxHashMap;

/// LIMIT: loops with their own numbering. When there are more, all of them are reset, each starting at an unused
/// number.
const MAX_LOOPS: usize = 1 << 10;

/// Numbers the callbacks of each loop in order of appearance.
#[derive(Debug, Default)]
pub(super) struct Callbacks {
    /// For each loop's key: the identity of its last callback, and its number.
    loops: FxHashMap<u64, (u64, u64)>,
    /// Greater than every number of a loop that was discarded.
    first: u64,
}

impl Callbacks {
    /// The number of a callback: unchanged if it is the loop's previous callback.
    pub(super) fn number(&mut self, event_loop: u64, callback: u64) -> u64 {
        if self.loops.len() >= MAX_LOOPS && !self.loops.contains_key(&event_loop) {
            self.first = self.loops.drain().map(|(_, (_, number))| number + 1).max().unwrap_or(0);
        }
        let (last, number) = self.loops.entry(event_loop).or_insert((callback, self.first));
        if *last != callback {
            (*last, *number) = (callback, *number + 1);
        }
        *number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_keeps_its_number_until_the_next_of_its_loop() {
        let mut callbacks = Callbacks::default();
        let numbers =
            [(1, 70), (2, 70), (1, 70), (1, 80), (2, 70), (1, 70)].map(|(of, name)| callbacks.number(of, name));
        assert_eq!(numbers, [0, 0, 0, 1, 0, 2]);
    }

    #[test]
    fn loops_without_end_take_no_memory_without_end() {
        let mut callbacks = Callbacks::default();
        callbacks.number(0, 1);
        let before = callbacks.number(0, 2);
        for event_loop in 0..10_000 {
            callbacks.number(event_loop, 3);
        }
        assert!(callbacks.loops.len() <= MAX_LOOPS);
        assert!(callbacks.number(0, 3) > before);
    }
}
