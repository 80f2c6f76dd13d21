//! Reads a file ahead, so that the bytes at a position can be examined before deciding what they are.

use std::io::{self, Read};

use super::block::{HEAD, Head, MARK};

/// Bytes read at a time; more is held only when the file has that much.
const CHUNK: usize = 64 << 10;

/// A file, and the part that was read ahead.
pub(super) struct Input<R> {
    file: R,
    ahead: Vec<u8>,
    /// Bytes of `ahead` that were consumed.
    passed: usize,
    /// Offset of `ahead` in the file.
    base: u64,
    at_end: bool,
}

impl<R: Read> Input<R> {
    pub(super) fn new(file: R) -> Self {
        Self { file, ahead: Vec::new(), passed: 0, base: 0, at_end: false }
    }

    /// Offset of the next byte in the file.
    pub(super) fn at(&self) -> u64 {
        self.base + self.passed as u64
    }

    /// The next `len` bytes, or as many as the file still has.
    pub(super) fn peek(&mut self, len: usize) -> io::Result<&[u8]> {
        while self.ahead.len() - self.passed < len && !self.at_end {
            self.read_more()?;
        }
        let rest = &self.ahead[self.passed..];
        Ok(&rest[..len.min(rest.len())])
    }

    fn read_more(&mut self) -> io::Result<()> {
        if self.passed >= CHUNK {
            self.ahead.drain(..self.passed);
            self.base += self.passed as u64;
            self.passed = 0;
        }
        let len = self.ahead.len();
        self.ahead.resize(len + CHUNK, 0);
        let read = loop {
            match self.file.read(&mut self.ahead[len..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.ahead.truncate(len + *read.as_ref().unwrap_or(&0));
        self.at_end = read? == 0;
        Ok(())
    }

    /// Consumes `len` bytes, all of which were returned before.
    pub(super) fn pass(&mut self, len: usize) {
        self.passed += len;
        debug_assert!(self.passed <= self.ahead.len(), "only what was seen is passed");
    }

    /// The head at the current position, if there is one.
    pub(super) fn head(&mut self) -> io::Result<Option<Head>> {
        Ok(Head::parse(self.peek(HEAD)?))
    }

    /// Skips at least one byte, up to the next head or the end of the file.
    pub(super) fn pass_to_head(&mut self) -> io::Result<Option<Head>> {
        let mut behind = 1;
        loop {
            // The last bytes can be the beginning of a mark.
            let seen = self.peek(CHUNK)?;
            if seen.len() < behind + HEAD {
                let len = seen.len();
                self.pass(len);
                return Ok(None);
            }
            let found = seen[behind..].windows(MARK.len()).position(|bytes| bytes == MARK);
            let Some(found) = found else {
                let len = seen.len() - MARK.len() + 1;
                self.pass(len);
                behind = 0;
                continue;
            };
            self.pass(behind + found);
            if let Some(head) = self.head()? {
                return Ok(Some(head));
            }
            behind = 1;
        }
    }
}
