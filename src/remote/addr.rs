//! Addresses in the target. An address is not a number: it cannot be null, its arithmetic is checked, and it prints
//! as hex.

use std::fmt;
use std::num::NonZeroU64;

/// The end of user space on x86_64, where programs get 47-bit addresses unless they ask for more. Programs on aarch64
/// get 48 bits: an asyncprof for it needs another number here.
const USER_SPACE_END: u64 = 1 << 47;

/// The first page is never mapped in a sane process; small numbers read as pointers are a sign of a torn read.
const FIRST_PAGE_END: u64 = 4096;

/// A plausible user-space address in the target.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr(NonZeroU64);

impl Addr {
    /// The address, if `raw` can be one: neither in the first page nor in kernel space.
    pub fn new(raw: u64) -> Option<Self> {
        if (FIRST_PAGE_END..USER_SPACE_END).contains(&raw) { NonZeroU64::new(raw).map(Self) } else { None }
    }

    /// The address of an object: [`Addr::new`] and aligned to 8 bytes, as everything CPython allocates is.
    pub fn aligned(raw: u64) -> Option<Self> {
        if raw.is_multiple_of(8) { Self::new(raw) } else { None }
    }

    /// The plain number, for arithmetic that is not about pointers (page numbers, sorting, printing).
    pub fn raw(self) -> u64 {
        self.0.get()
    }

    /// This address plus `offset` bytes, `None` when that leaves user space.
    #[allow(clippy::should_implement_trait, reason = "checked: it answers an Option")]
    pub fn add(self, offset: u64) -> Option<Self> {
        self.raw().checked_add(offset).and_then(Self::new)
    }

    /// This address minus `offset` bytes, `None` when that leaves user space.
    #[allow(clippy::should_implement_trait, reason = "checked: it answers an Option")]
    pub fn sub(self, offset: u64) -> Option<Self> {
        self.raw().checked_sub(offset).and_then(Self::new)
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.raw())
    }
}

/// A piece of the target's memory: where and how long (bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub addr: Addr,
    /// Length in bytes.
    pub len: usize,
}

impl Span {
    /// The piece of `len` bytes at `addr`.
    pub fn new(addr: Addr, len: usize) -> Self {
        Self { addr, len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_small_and_kernel_numbers_are_not_addresses() {
        assert_eq!(Addr::new(0), None);
        assert_eq!(Addr::new(4095), None);
        assert_eq!(Addr::new(1 << 47), None);
        assert_eq!(Addr::new(u64::MAX), None);
        assert_eq!(Addr::aligned(0x1001), None);
        assert_eq!(Addr::aligned(0x1008).map(Addr::raw), Some(0x1008));
    }

    #[test]
    fn arithmetic_that_leaves_user_space_is_none() {
        let low = Addr::new(4096).unwrap();
        assert_eq!(low.sub(1), None);
        assert_eq!(low.add(u64::MAX), None);
        assert_eq!(low.add(8).map(Addr::raw), Some(4104));
    }
}
