//! Pauses of uneven length between two readings of a stack.
//!
//! A target that repeats itself every few microseconds can fall into step with a reader that does the same. Each
//! reading then hits it at the same point of its cycle and shows the same wrong pair of frames: three readings would
//! prove no more than one.

/// LIMIT: the longest pause takes `1 << TURNS_BITS` turns, about 30 µs: longer than a reading, so that the next one can
/// hit any point of a cycle.
const TURNS_BITS: u32 = 10;

/// 2^64 divided by the golden ratio: its multiples, modulo 2^64, are spread evenly, and neighbours are far apart.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Generates the pauses.
#[derive(Debug, Default)]
pub(super) struct Jitter(u64);

impl Jitter {
    /// Waits without a system call.
    pub(super) fn pause(&mut self) {
        self.0 = self.0.wrapping_add(STEP);
        for _ in 0..self.0 >> (u64::BITS - TURNS_BITS) {
            std::hint::spin_loop();
        }
    }
}
