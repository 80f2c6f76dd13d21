//! Bytes of the target that are copied once and decoded from the copy: structures, and long pieces, which are read in
//! parts so that a false length is detected early.

use super::layout::{Flag, Offset};
use crate::remote::{Addr, ReadError, Span, View};

/// LIMIT: bytes read at a time. A false length costs at most this much memory before a part of it fails.
const PART: usize = 1 << 20;

/// The `len` bytes at `addr`, one batch per mebibyte. The caller has bounded `len`.
pub(crate) fn read_block(view: &mut View<'_>, addr: Addr, len: usize) -> Result<Vec<u8>, ReadError> {
    let mut block = Vec::new();
    while block.len() < len {
        let at = offset(addr, block.len() as u64)?;
        let part = PART.min(len - block.len());
        view.prefetch([Span::new(at, part)]);
        let start = block.len();
        block.resize(start + part, 0);
        view.copy(at, &mut block[start..])?;
    }
    Ok(block)
}

/// The `count` words at `addr`.
pub(crate) fn read_words(view: &mut View<'_>, addr: Addr, count: usize) -> Result<Vec<u64>, ReadError> {
    Ok(words(&read_block(view, addr, count * 8)?).collect())
}

/// The little-endian words of a block.
pub(crate) fn words(block: &[u8]) -> impl Iterator<Item = u64> + '_ {
    block.as_chunks::<8>().0.iter().map(|&word| u64::from_le_bytes(word))
}

/// `addr + offset`, or why it is not a valid address.
pub(crate) fn offset(addr: Addr, offset: u64) -> Result<Addr, ReadError> {
    addr.add(offset).ok_or(ReadError::BadPointer(addr.raw().wrapping_add(offset)))
}

/// The address of an object, or why `raw` cannot be one.
pub(crate) fn object(raw: u64) -> Result<Addr, ReadError> {
    Addr::aligned(raw).ok_or(ReadError::BadPointer(raw))
}

/// A copy of the target's bytes. Fields beyond its end are errors, never panics.
#[derive(Clone, Copy)]
pub(crate) struct Block<'b>(pub(crate) &'b [u8]);

impl Block<'_> {
    fn field<const N: usize>(self, at: Offset) -> Result<[u8; N], ReadError> {
        let start = usize::try_from(at).map_err(|_| ReadError::Invalid("offset"))?;
        let bytes = start.checked_add(N).and_then(|end| self.0.get(start..end));
        bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(ReadError::Invalid("offset"))
    }

    pub(crate) fn u64(self, at: Offset) -> Result<u64, ReadError> {
        self.field(at).map(u64::from_le_bytes)
    }

    pub(crate) fn i32(self, at: Offset) -> Result<i32, ReadError> {
        self.field(at).map(i32::from_le_bytes)
    }

    pub(crate) fn i8(self, at: Offset) -> Result<i8, ReadError> {
        self.field(at).map(i8::from_le_bytes)
    }

    /// An object pointer: `None` if null.
    pub(crate) fn pointer(self, at: Offset) -> Result<Option<Addr>, ReadError> {
        match self.u64(at)? {
            0 => Ok(None),
            raw => Addr::aligned(raw).map(Some).ok_or(ReadError::BadPointer(raw)),
        }
    }

    /// A flag.
    pub(crate) fn flag(self, flag: Flag) -> Result<bool, ReadError> {
        match flag {
            Flag::Int(at) => Ok(self.i32(at)? != 0),
            Flag::Bit(at, bit) => Ok(self.i8(at)? >> bit & 1 == 1),
        }
    }

    /// An object pointer that must not be null.
    pub(crate) fn object(self, at: Offset) -> Result<Addr, ReadError> {
        self.pointer(at)?.ok_or(ReadError::BadPointer(0))
    }
}
