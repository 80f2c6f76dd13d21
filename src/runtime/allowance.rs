//! Limits how much may be read in total of what futures list: callbacks, awaiters, members. Each list has its own
//! limit, but many futures can refer to the same list, and then its cost is paid each time.

use crate::remote::ReadError;

/// LIMIT: listed things in one reading beyond [`USUAL`] for each future. In a normal program every list belongs to one
/// future, so the number of listed things grows with the futures.
const SPARE: usize = 2_000_000;

/// Listed things allowed for every future.
const USUAL: usize = 64;

/// The remaining allowance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    left: usize,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { left: SPARE }
    }
}

impl Allowance {
    /// Adds the allowance of one more future.
    pub(super) fn earn(&mut self) {
        self.left = self.left.saturating_add(USUAL);
    }

    /// Takes `count` things if the allowance suffices. Call it once they were read, not when they are read again
    /// because a page was missing.
    ///
    /// # Errors
    /// `Limit("listed things")`.
    pub(super) fn take(&mut self, count: usize) -> Result<(), ReadError> {
        self.left = self.check(count)?;
        Ok(())
    }

    /// What would remain; to be checked before anything is read.
    pub(super) fn check(self, count: usize) -> Result<usize, ReadError> {
        self.left.checked_sub(count).ok_or(ReadError::Limit("listed things"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_lists_are_read_and_one_large_one_named_by_all_is_not() {
        let mut allowance = Allowance::default();
        for _ in 0..1_000_000 {
            allowance.earn();
            allowance.take(USUAL).unwrap();
        }
        let large = (0..1_000).filter(|_| {
            allowance.earn();
            allowance.take(100_000).is_ok()
        });
        assert_eq!(large.count(), SPARE / 100_000);
    }
}
