//! The runtime's lists of interpreters and threads: where they are, as the layout or the target's own table says, and
//! whether what is there can be them. It must not know how the runtime was found.

use crate::python::layout::{Layout, Thread, Version};
use crate::remote::{Addr, Memory, ReadError};

/// LIMIT: interpreters and threads looked at to prove the layout; a list longer than this has proved it already.
const MAX_PROOF: usize = 256;
/// LIMIT: an offset published by the target; the largest structure known has 350 KB.
const MAX_OFFSET: u64 = 1 << 20;

/// The first bytes of the runtime where it publishes its offsets. CPython: Include/internal/pycore_debug_offsets.h
pub(super) const COOKIE: &[u8; 8] = b"xdebugpy";

/// How a walk over the lists ended.
pub(super) enum Proof {
    Running,
    Starting,
    Finalizing,
    Contradiction(&'static str),
}

/// Where the lists are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lists {
    finalizing: u64,
    interpreters_head: u64,
    next: u64,
    threads_head: u64,
}

impl Lists {
    /// Where the layout has them.
    pub(super) fn of(layout: &Layout) -> Self {
        Self {
            finalizing: layout.runtime.finalizing,
            interpreters_head: layout.runtime.interpreters_head,
            next: layout.interp.next,
            threads_head: layout.interp.threads_head,
        }
    }

    /// Looks whether the runtime's interpreters and threads are where they should be.
    pub(super) fn prove(&self, memory: &dyn Memory, runtime: Addr, layout: &Thread) -> Result<Proof, ReadError> {
        let word = |addr: Addr, offset: u64| {
            memory.read_u64(addr.add(offset).ok_or(ReadError::BadPointer(addr.raw().wrapping_add(offset)))?)
        };
        let pointer = |addr: Addr, offset: u64| match word(addr, offset)? {
            0 => Ok(None),
            raw => Addr::aligned(raw).map(Some).ok_or(ReadError::BadPointer(raw)),
        };
        let Some(first) = pointer(runtime, self.interpreters_head)? else {
            // A runtime that has been torn down has no interpreters either.
            return Ok(if word(runtime, self.finalizing)? == 0 { Proof::Starting } else { Proof::Finalizing });
        };
        if word(runtime, self.finalizing)? != 0 {
            return Ok(Proof::Finalizing);
        }
        let (mut interpreter, mut budget, mut threads) = (Some(first), MAX_PROOF, 0);
        while let Some(interp) = interpreter.filter(|_| budget > 0) {
            budget -= 1;
            let mut thread = pointer(interp, self.threads_head)?;
            while let Some(tstate) = thread.filter(|_| budget > 0) {
                budget -= 1;
                if pointer(tstate, layout.interp)? != Some(interp) {
                    return Ok(Proof::Contradiction("a thread does not belong to the interpreter that lists it"));
                }
                threads += 1;
                thread = pointer(tstate, layout.next)?;
            }
            interpreter = pointer(interp, self.next)?;
        }
        Ok(if threads > 0 { Proof::Running } else { Proof::Starting })
    }
}

/// Bytes of the table's beginning that all versions with a table have in common.
/// CPython: Include/internal/pycore_debug_offsets.h, 3.13 (there pycore_runtime.h), 3.14, 3.15.
pub(super) const HEAD_SIZE: usize = 80;

/// The beginning of the table of offsets that a runtime publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) version: Version,
    pub(super) free_threaded: bool,
    pub(super) lists: Lists,
}

impl Head {
    /// Parses it; `None` when it is not one or holds an impossible offset.
    pub(super) fn parse(bytes: &[u8; HEAD_SIZE]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let offset = |at| word(at).filter(|&offset| offset < MAX_OFFSET && offset.is_multiple_of(8));
        if !bytes.starts_with(COOKIE) {
            return None;
        }
        Some(Self {
            version: Version::from_hex(u32::try_from(word(8)?).ok()?),
            free_threaded: word(16)? != 0,
            lists: Lists {
                finalizing: offset(32)?,
                interpreters_head: offset(40)?,
                next: offset(64)?,
                threads_head: offset(72)?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_with_an_impossible_offset_is_no_table() {
        let mut bytes = [0; HEAD_SIZE];
        bytes[..8].copy_from_slice(COOKIE);
        bytes[8..12].copy_from_slice(&0x030d_00f0u32.to_le_bytes());
        assert_eq!(Head::parse(&bytes).map(|h| h.version.to_string()), Some("3.13.0".into()));
        bytes[40..48].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(Head::parse(&bytes), None);
        assert_eq!(Head::parse(&[0; HEAD_SIZE]), None);
    }
}
