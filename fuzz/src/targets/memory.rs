//! An input as the memory of a process, and the choice of its layout.

use asyncprof::python::layout::{Layout, rows};
use asyncprof::remote::{Addr, Memory, ReadError, Span};

/// The address of the input. Low, so that a fuzzer can make a pointer into it by changing two bytes.
pub const BASE: u64 = 0x1_0000;

/// The bytes of an input as the memory of a process, padded with zeros to the next page.
pub struct Bytes<'a>(pub &'a [u8]);

impl Memory for Bytes<'_> {
    fn read_batch(&self, spans: &[Span], out: &mut [u8], results: &mut Vec<Result<(), ReadError>>) {
        let end = BASE + (self.0.len() as u64).next_multiple_of(4096);
        let mut rest = out;
        results.clear();
        for span in spans {
            let (part, behind) = rest.split_at_mut(span.len);
            rest = behind;
            let start = span.addr.raw();
            if start < BASE || start + span.len as u64 > end {
                results.push(Err(ReadError::Unmapped(span.addr)));
                continue;
            }
            part.fill(0);
            let known = self.0.get((start - BASE) as usize..).unwrap_or_default();
            let len = known.len().min(part.len());
            part[..len].copy_from_slice(&known[..len]);
            results.push(Ok(()));
        }
    }
}

/// Splits off the layout: the first byte chooses the Python version and whether the build is free-threaded.
pub fn split(input: &[u8]) -> Option<(Layout, Bytes<'_>, Addr)> {
    let (&choice, memory) = input.split_first()?;
    let minor = rows::OLDEST_MINOR + (choice & 0x7f) % (rows::NEWEST_MINOR - rows::OLDEST_MINOR + 1);
    let layout = rows::row(minor, choice & 0x80 != 0)?;
    Some((layout, Bytes(memory), Addr::aligned(BASE)?))
}
