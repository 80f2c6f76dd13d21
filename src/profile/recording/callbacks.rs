//! Short names for callbacks. What tells one callback from the next is any 64 bits, and would be the largest part of a
//! busy loop's sample; that it is another one than before is all that it says.

use rustc_hash::FxHashMap;

/// LIMIT: loops that are told apart. When there are more, all of them begin anew, each with a number that was not used.
const MAX_LOOPS: usize = 1 << 10;

/// Numbers the callbacks of each loop in the order in which they come.
#[derive(Debug, Default)]
pub(super) struct Callbacks {
    /// By key of the loop: what its last callback was called, and its number.
    loops: FxHashMap<u64, (u64, u64)>,
    /// Above all numbers of loops that were let go.
    first: u64,
}

impl Callbacks {
    /// The number of a callback: the same as for the one before of this loop if it is the same.
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
