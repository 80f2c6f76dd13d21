//! How much memory asyncprof itself uses and may use. What is read of a target with a million tasks is larger than the
//! target; in a container that both share, the kernel would end one of them.

use std::fs;

/// A limit for the memory of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimit(u64);

impl MemoryLimit {
    /// No limit.
    pub const NONE: Self = Self(u64::MAX);

    /// At most `bytes` of memory.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// This number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Bytes that may still be used. Memory that was freed, but that the allocator has kept, counts as used.
    pub fn left(self) -> u64 {
        match self {
            Self::NONE => u64::MAX,
            Self(bytes) => bytes.saturating_sub(used().unwrap_or(0)),
        }
    }
}

/// Bytes of memory that this process uses; `None` if the kernel does not tell.
fn used() -> Option<u64> {
    // Linux: proc_pid_statm(5), the second field is the resident set in pages.
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * page_bytes())
}

fn page_bytes() -> u64 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| u64::try_from(size).ok()).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_not_left() {
        assert_eq!(MemoryLimit::NONE.left(), u64::MAX);
        assert_eq!(MemoryLimit::new(4096).left(), 0);
        let limit = MemoryLimit::new(1 << 40);
        let before = limit.left();
        let held = vec![1_u8; 64 << 20];
        let after = limit.left();
        assert!(before - after >= 60 << 20, "{before} {after}");
        drop(held);
    }
}
