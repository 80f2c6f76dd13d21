//! Memory for copies of the target's: it grows in ever larger pieces, never moves, and is freed all at once. Large
//! pieces use huge pages, because a page fault for every 4 KiB costs more than the copy; a thread that reads repeatedly
//! reuses its pieces, because the kernel has to clear new ones.

use std::cell::RefCell;

use memmap2::{Advice, MmapMut};

/// Bytes of the first piece: enough for one sample of a thread's stack.
const SMALLEST: usize = 64 << 10;

/// Bytes of the second: enough for a program with some hundred tasks. It is kept by each thread that reads, and a watch of
/// many processes has many threads.
const SECOND: usize = 1 << 20;

/// Bytes of the largest piece that is allocated ahead of need.
const LARGEST: usize = 16 << 20;

/// From this size on a piece is worth huge pages (2 MiB on x86_64).
const HUGE: usize = 4 << 20;

/// LIMIT: pieces of one thread that wait for their next use; none is larger than [`SECOND`].
const SPARE: usize = 4;

thread_local! {
    static SPARES: RefCell<Vec<MmapMut>> = const { RefCell::new(Vec::new()) };
}

/// Position of a part in an arena.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Part {
    piece: u32,
    offset: u32,
}

impl Part {
    /// The position `bytes` further on in the same part.
    #[inline]
    pub(super) fn at(self, bytes: usize) -> Self {
        Self { offset: self.offset + bytes as u32, ..self }
    }
}

/// Pieces of memory.
#[derive(Default)]
pub(super) struct Arena {
    pieces: Vec<MmapMut>,
    /// Bytes in use in the last piece.
    used: usize,
}

impl Arena {
    /// A new part of `len` bytes with undefined contents; `None` if the system is out of memory.
    pub(super) fn allocate(&mut self, len: usize) -> Option<(Part, &mut [u8])> {
        if self.pieces.last().is_none_or(|piece| piece.len() - self.used < len) {
            let usual = match &self.pieces[..] {
                [] => SMALLEST,
                [_] => SECOND,
                _ => LARGEST,
            };
            let size = usual.max(len);
            // Offsets are stored in 32 bits.
            u32::try_from(size).ok()?;
            let spare = SPARES.with_borrow_mut(|spares| {
                let position = spares.iter().position(|piece| piece.len() == size)?;
                Some(spares.swap_remove(position))
            });
            self.pieces.push(match spare {
                Some(piece) => piece,
                None => new_piece(size)?,
            });
            self.used = 0;
        }
        let part = Part { piece: self.pieces.len() as u32 - 1, offset: self.used as u32 };
        let start = self.used;
        self.used += len;
        Some((part, self.pieces.last_mut()?.get_mut(start..start + len)?))
    }

    /// `len` bytes from a position on.
    #[inline(always)]
    pub(super) fn bytes(&self, part: Part, len: usize) -> &[u8] {
        let start = part.offset as usize;
        &self.pieces[part.piece as usize][start..start + len]
    }

    /// Frees all memory.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // While a thread ends, the spares are no longer available.
        let _ = SPARES.try_with(|spares| {
            let mut spares = spares.borrow_mut();
            for piece in self.pieces.drain(..).filter(|piece| piece.len() == SMALLEST || piece.len() == SECOND) {
                if spares.len() < SPARE {
                    spares.push(piece);
                }
            }
        });
    }
}

fn new_piece(size: usize) -> Option<MmapMut> {
    let piece = MmapMut::map_anon(size).ok()?;
    if size >= HUGE {
        // Advice only: without huge pages everything works, a quarter slower.
        let _ = piece.advise(Advice::HugePage);
    }
    Some(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stay_where_they_are_while_the_arena_grows() {
        let mut arena = Arena::default();
        let mut parts = Vec::new();
        for (number, len) in [4096, 100_000, 4096, 9 << 20, 4096].into_iter().enumerate() {
            let (part, bytes) = arena.allocate(len).unwrap();
            bytes.fill(number as u8 + 1);
            parts.push((part, len, number as u8 + 1));
        }
        for (part, len, byte) in parts {
            assert!(arena.bytes(part, len).iter().all(|found| *found == byte));
            assert_eq!(arena.bytes(part.at(len - 1), 1), [byte]);
        }
    }

    #[test]
    fn a_second_look_uses_the_memory_of_the_first() {
        let look = || Arena::default().allocate(4096).map(|(_, bytes)| bytes.as_ptr().addr()).unwrap();
        assert_eq!(look(), look());
    }
}
