//! How much may be read in all of what futures list: callbacks, awaiters, members. Each list has its own limit, but one
//! list can be named by everybody, and then its limit is paid as often.

use crate::remote::ReadError;

/// LIMIT: listed things in one reading beyond [`USUAL`] for each future. In a program's own memory every list belongs to
/// one future, so what is listed grows with the futures.
const SPARE: usize = 2_000_000;

/// Listed things that every future may have.
const USUAL: usize = 64;

/// What is left.
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
    /// Another future was met.
    pub(super) fn earn(&mut self) {
        self.left = self.left.saturating_add(USUAL);
    }

    /// Takes `count` things, if so many are left. To be called when they were read, not when they are read once more
    /// because a page was missing.
    ///
    /// # Errors
    /// `Limit("listed things")`.
    pub(super) fn take(&mut self, count: usize) -> Result<(), ReadError> {
        self.left = self.check(count)?;
        Ok(())
    }

    /// What would be left; for asking before anything is read.
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
