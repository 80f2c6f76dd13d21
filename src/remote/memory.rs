//! The one primitive of reading: a batch of pieces. Three memories implement it (the live process, a stopped live
//! process, a saved image).

use nix::errno::Errno;

use super::addr::{Addr, Span};

/// Why a piece could not be read. Absent, forbidden and gone are different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nothing is mapped there (any more): a torn pointer, freed memory, or a lie.
    #[error("no memory is mapped at {0}")]
    Unmapped(Addr),
    /// The pointer itself cannot be an address (null, unaligned, kernel space): the structure holding it was torn.
    #[error("{0:#x} is not an address")]
    BadPointer(u64),
    /// The bytes were read and cannot be what they should be; the word says what was expected.
    #[error("not a valid {0}")]
    Invalid(&'static str),
    /// A walk met its limit; the word names the limit.
    #[error("more than the limit of {0}")]
    Limit(&'static str),
    /// The kernel refuses to let us read this process.
    #[error("permission denied")]
    Forbidden,
    /// The kernel failed in a way that says nothing about the target.
    #[error("the kernel cannot read the memory: {0}")]
    Kernel(Errno),
    /// The process has exited.
    #[error("the process has exited")]
    Gone,
    /// Not an answer: the page is wanted and will be here in the next round of the wave (see `View::wave`).
    #[error("not read yet")]
    Pending,
}

impl ReadError {
    /// Whether no further read of this target can succeed.
    pub fn is_fatal(self) -> bool {
        matches!(self, Self::Forbidden | Self::Gone)
    }

    /// Whether this says something about the target. Code that goes on after a failed read (skips an entry, falls back
    /// to something else) must pass on the errors that do not.
    pub fn is_final(self) -> bool {
        self != Self::Pending
    }
}

/// Memory of one process, readable in batches.
///
/// Cost on the live process, x86_64: about 1 µs a call and a third of one for each further piece in the same call,
/// whatever the piece's size up to a page. So callers batch.
pub trait Memory {
    /// Reads every span, in order, into consecutive parts of `out` (whose length must be the sum of the spans'
    /// lengths). `results` is cleared and gets one entry a span; the bytes of a failed span are unspecified.
    ///
    /// Spans are read in the order given, within as few system calls as possible: a caller that lists an anchor
    /// first and last learns whether it changed between.
    fn read_batch(&self, spans: &[Span], out: &mut [u8], results: &mut Vec<Result<(), ReadError>>);

    /// Whether it wants to know which of the bytes it gives are looked at. Pages are read whole; a memory that saves what
    /// was read must not keep what merely lay beside it.
    fn wants_decoded(&self) -> bool {
        false
    }

    /// The bytes that were looked at, if it wants to know.
    fn decoded(&self, _addr: Addr, _len: usize) {}

    /// Whoever reads has found that what was given does not fit together: from now on everything is to be read afresh. Only a
    /// memory that keeps what it has read has anything to do.
    fn renew(&self) {}

    /// Whether it has the page at `addr` and need not read it.
    fn keeps(&self, _addr: Addr) -> bool {
        false
    }

    /// Reads one piece.
    fn read(&self, addr: Addr, out: &mut [u8]) -> Result<(), ReadError> {
        let mut results = Vec::with_capacity(1);
        self.read_batch(&[Span::new(addr, out.len())], out, &mut results);
        results.pop().unwrap_or(Err(ReadError::Unmapped(addr)))
    }

    /// Reads one little-endian word of 8 bytes.
    fn read_u64(&self, addr: Addr) -> Result<u64, ReadError> {
        let mut word = [0; 8];
        self.read(addr, &mut word)?;
        Ok(u64::from_le_bytes(word))
    }
}
