//! Line tables of code objects: which line a bytecode offset belongs to. Pure: it must not know where the bytes came
//! from.

use super::layout::LineTable;

/// The line of the instruction at `byte_offset` (bytes from the start of the bytecode) in a code object that starts at
/// `first_line`. `None`: the interpreter gives that instruction no line, or the table does not reach so far. A negative
/// offset means "not started" and is the first line.
///
/// A damaged table gives wrong lines or none, as it does in the interpreter.
pub fn line_of(table: &[u8], kind: LineTable, first_line: i32, byte_offset: i64) -> Option<u32> {
    if byte_offset < 0 {
        return u32::try_from(first_line).ok();
    }
    let until = Entries::new(table, kind, first_line).take_while(|entry| i64::from(entry.start) <= byte_offset);
    until.last().and_then(|entry| entry.line)
}

/// A line table decoded for many questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineIndex {
    first_line: Option<u32>,
    /// Sorted by offset, no two the same, neighbours with different lines.
    starts: Vec<(u32, Option<u32>)>,
}

impl LineIndex {
    /// Decodes `table`; linear in its length.
    pub fn parse(table: &[u8], kind: LineTable, first_line: i32) -> Self {
        let mut starts: Vec<(u32, Option<u32>)> = Vec::new();
        for Entry { start, line } in Entries::new(table, kind, first_line) {
            // An empty range is overruled by what follows at the same offset.
            if starts.last().is_some_and(|last| last.0 == start) {
                starts.pop();
            }
            if starts.last().is_none_or(|last| last.1 != line) {
                starts.push((start, line));
            }
        }
        starts.shrink_to_fit();
        Self { first_line: u32::try_from(first_line).ok(), starts }
    }

    /// As [`line_of`].
    pub fn line_of(&self, byte_offset: i64) -> Option<u32> {
        if byte_offset < 0 {
            return self.first_line;
        }
        let after = self.starts.partition_point(|&(start, _)| i64::from(start) <= byte_offset);
        self.starts[..after].last().and_then(|&(_, line)| line)
    }
}

/// From `start` (bytes) on, the line is `line`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    start: u32,
    line: Option<u32>,
}

/// The entries of a table in order of their offsets; the last one of the same offset holds. Formats that have an end
/// close with an entry without a line.
struct Entries<'a> {
    kind: LineTable,
    rest: &'a [u8],
    /// Where the next entry starts.
    offset: u32,
    /// The line that steps count from. Wider than any step sum a table can hold.
    line: i64,
    /// Whether the entry in front of or behind all others is still to come.
    edge: bool,
}

impl<'a> Entries<'a> {
    fn new(table: &'a [u8], kind: LineTable, first_line: i32) -> Self {
        Self { kind, rest: table, offset: 0, line: first_line.into(), edge: true }
    }

    fn entry(&self, start: u32, line: Option<i64>) -> Entry {
        Entry { start, line: line.and_then(|line| u32::try_from(line).ok()) }
    }

    fn take_byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    /// Moves on by `len` bytes of bytecode; answers where that began. `None`: no code object is that long.
    fn advance(&mut self, len: u32) -> Option<u32> {
        let start = self.offset;
        self.offset = start.checked_add(len)?;
        Some(start)
    }

    /// CPython: Objects/lnotab_notes.txt, 3.8.
    fn next_lnotab(&mut self) -> Option<Entry> {
        if self.edge {
            self.edge = false;
            return Some(self.entry(0, Some(self.line)));
        }
        let (length, step) = (self.take_byte()?, self.take_byte()?);
        self.advance(length.into())?;
        self.line += i64::from(step.cast_signed());
        Some(self.entry(self.offset, Some(self.line)))
    }

    /// CPython: Objects/lnotab_notes.txt, 3.10.
    fn next_range(&mut self) -> Option<Entry> {
        const NO_LINE: i8 = -128;
        let (length, step) = (self.take_byte()?, self.take_byte()?.cast_signed());
        let start = self.advance(length.into())?;
        if step == NO_LINE {
            return Some(self.entry(start, None));
        }
        self.line += i64::from(step);
        Some(self.entry(start, Some(self.line)))
    }

    /// CPython: Objects/locations.md, 3.11 (InternalDocs/code_objects.md from 3.14).
    fn next_location(&mut self) -> Option<Entry> {
        const UNIT: u32 = 2;
        const NO_LINE: u8 = 15;
        let head = self.take_byte()?;
        if head & 0x80 == 0 {
            return None;
        }
        let start = self.advance((u32::from(head & 7) + 1) * UNIT)?;
        let code = head >> 3 & 15;
        match code {
            13 | 14 => self.line += self.take_signed_varint()?,
            10..=12 => self.line += i64::from(code - 10),
            _ => {}
        }
        // Columns follow; the next entry begins with the next byte that has the high bit.
        let columns = self.rest.iter().take_while(|&&byte| byte & 0x80 == 0).count();
        self.rest = &self.rest[columns..];
        Some(self.entry(start, if code == NO_LINE { None } else { Some(self.line) }))
    }

    /// Six bits a byte, low ones first; bit 6: more follow; the lowest bit of the whole is the sign.
    fn take_signed_varint(&mut self) -> Option<i64> {
        let (mut value, mut shift) = (0u32, 0);
        loop {
            let byte = self.take_byte()?;
            value |= u32::from(byte & 0x3f).checked_shl(shift)?;
            if byte & 0x40 == 0 {
                break;
            }
            shift += 6;
        }
        let magnitude = i64::from(value >> 1);
        Some(if value & 1 == 0 { magnitude } else { -magnitude })
    }
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let next = match self.kind {
            LineTable::Lnotab => return self.next_lnotab(),
            LineTable::Ranges => self.next_range(),
            LineTable::Locations => self.next_location(),
        };
        if next.is_none() && self.edge {
            self.edge = false;
            self.rest = &[];
            return Some(self.entry(self.offset, None));
        }
        next
    }
}
