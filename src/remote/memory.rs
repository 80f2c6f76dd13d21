//! The single read primitive: a batch of pieces. Three memories implement it (the live process, a stopped live process,
//! a saved image).

use std::sync::Arc;

use nix::errno::Errno;

use super::addr::{Addr, Span};

/// Why a piece could not be read. Unmapped, forbidden and gone are different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nothing is mapped there (any more): a torn pointer, freed memory, or false data.
    #[error("no memory is mapped at {0}")]
    Unmapped(Addr),
    /// The pointer itself cannot be an address (null, unaligned, kernel space): the structure that contains it was
    /// torn.
    #[error("{0:#x} is not an address")]
    BadPointer(u64),
    /// The bytes were read and cannot be valid; the word names what was expected.
    #[error("not a valid {0}")]
    Invalid(&'static str),
    /// A walk reached its limit; the word names the limit.
    #[error("more than the limit of {0}")]
    Limit(&'static str),
    /// The kernel denies access to this process.
    #[error("permission denied")]
    Forbidden,
    /// A kernel failure that has nothing to do with the target.
    #[error("the kernel cannot read the memory: {0}")]
    Kernel(Errno),
    /// The process has exited.
    #[error("the process has exited")]
    Gone,
    /// The process was to be stopped while it was read, and it continued before that was done.
    #[error("the process continued before it was read")]
    Continued,
    /// The reader was told to give up.
    #[error("reading was given up")]
    GivenUp,
    /// Not a result: the page was requested and will be present in the next round of the wave (see `View::wave`).
    #[error("not read yet")]
    Pending,
}

/// The limits of our own memory: the words of [`ReadError::Limit`].
pub const OWN_MEMORY: [&str; 4] = ["our own memory", "memory of one view", "memory of one image", "kept pages"];

impl ReadError {
    /// Whether we have no memory for what was to be read.
    pub fn is_of_own_memory(self) -> bool {
        matches!(self, Self::Limit(what) if OWN_MEMORY.contains(&what))
    }

    /// Whether no further read of this memory can succeed.
    pub fn is_fatal(self) -> bool {
        matches!(self, Self::Forbidden | Self::Gone | Self::Continued | Self::GivenUp)
    }

    /// Whether this is a fact about the target. Code that continues after a failed read (skips an entry, uses a
    /// fallback) must pass on the errors that are not.
    pub fn is_final(self) -> bool {
        self != Self::Pending
    }
}

/// Memory of one process, readable in batches.
///
/// Cost on the live process, x86_64: about 1 µs per call and a third of that for each further piece in the same call,
/// whatever the piece's size up to a page. So callers batch.
pub trait Memory {
    /// Reads every span, in order, into consecutive parts of `out` (whose length must be the sum of the spans'
    /// lengths). `results` is cleared and gets one entry per span; the bytes of a failed span are unspecified.
    ///
    /// Spans are read in the order given, in as few system calls as possible: a caller that lists an anchor first and
    /// last finds out whether it changed in between.
    fn read_batch(&self, spans: &[Span], out: &mut [u8], results: &mut Vec<Result<(), ReadError>>);

    /// Whether it needs to know which of the returned bytes are decoded. Pages are read whole; a memory that saves what
    /// was read must not keep the unused bytes around it.
    fn wants_decoded(&self) -> bool {
        false
    }

    /// Reports decoded bytes, if it needs to know.
    fn decoded(&self, _addr: Addr, _len: usize) {}

    /// The reader has found that the data is inconsistent: from now on everything must be read afresh. Only a memory
    /// that keeps what it has read needs to act on this.
    fn renew(&self) {}

    /// Whether it has the page at `addr` and need not read it.
    fn keeps(&self, _addr: Addr) -> bool {
        false
    }

    /// Whether reading can go on, for a reader that works for long on what it has read.
    ///
    /// # Errors
    /// [`ReadError::GivenUp`] if it is to end.
    fn check(&self) -> Result<(), ReadError> {
        Ok(())
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

/// Tells a reader to give up: from some time on, [`Until`] cannot be read any more.
#[derive(Clone)]
pub struct GiveUp(Arc<dyn Fn() -> bool + Send + Sync>);

impl GiveUp {
    /// Asks this before each read.
    pub fn when(is_over: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_over))
    }

    /// Whether it is time.
    pub fn is_due(&self) -> bool {
        (self.0)()
    }
}

impl std::fmt::Debug for GiveUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GiveUp")
    }
}

/// A memory that can be read until its reader has to give up: however much there is to read, that ends soon then.
#[derive(Debug)]
pub struct Until<M> {
    /// The memory.
    pub memory: M,
    /// When to give up; `None`: never.
    pub give_up: Option<GiveUp>,
}

impl<M: Memory> Memory for Until<M> {
    fn read_batch(&self, spans: &[Span], out: &mut [u8], results: &mut Vec<Result<(), ReadError>>) {
        if let Err(error) = self.check() {
            results.clear();
            results.resize(spans.len(), Err(error));
        } else {
            self.memory.read_batch(spans, out, results);
        }
    }

    fn check(&self) -> Result<(), ReadError> {
        if self.give_up.as_ref().is_some_and(GiveUp::is_due) { Err(ReadError::GivenUp) } else { Ok(()) }
    }

    fn wants_decoded(&self) -> bool {
        self.memory.wants_decoded()
    }

    fn decoded(&self, addr: Addr, len: usize) {
        self.memory.decoded(addr, len);
    }

    fn renew(&self) {
        self.memory.renew();
    }

    fn keeps(&self, addr: Addr) -> bool {
        self.memory.keeps(addr)
    }
}
