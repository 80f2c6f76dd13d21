//! Long pieces of foreign memory, read in parts so that a length that lies is found out early. It must not know what
//! the bytes mean.

use crate::target::{Addr, ReadError, Span, View};

/// LIMIT: bytes read at a time. A length that lies costs us at most this much memory before a part of it fails.
const PART: usize = 1 << 20;

/// The `len` bytes at `addr`; as many batches as there are mebibytes. The caller has bounded `len`.
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

/// `addr + offset`, or why there is no such address.
pub(crate) fn offset(addr: Addr, offset: u64) -> Result<Addr, ReadError> {
    addr.add(offset).ok_or(ReadError::BadPointer(addr.raw().wrapping_add(offset)))
}

/// The address of an object, or why `raw` cannot be one.
pub(crate) fn object(raw: u64) -> Result<Addr, ReadError> {
    Addr::aligned(raw).ok_or(ReadError::BadPointer(raw))
}
