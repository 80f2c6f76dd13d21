//! Line tables of code objects: the line of each bytecode offset.

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

/// A line table decoded for repeated lookups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineIndex {
    first_line: Option<u32>,
    /// Sorted by offset, without duplicates; adjacent entries have different lines.
    starts: Vec<(u32, Option<u32>)>,
}

impl LineIndex {
    /// Decodes `table`; linear in its length.
    pub fn parse(table: &[u8], kind: LineTable, first_line: i32) -> Self {
        let mut starts: Vec<(u32, Option<u32>)> = Vec::new();
        for Entry { start, line } in Entries::new(table, kind, first_line) {
            // An empty range is overridden by the next entry at the same offset.
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

    /// Like [`line_of`].
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

/// The entries of a table in order of their offsets; of several with the same offset the last one is valid. Formats
/// with an end finish with an entry without a line.
struct Entries<'a> {
    kind: LineTable,
    rest: &'a [u8],
    /// Where the next entry starts.
    offset: u32,
    /// The line that steps are relative to. Wider than any sum of steps in a table.
    line: i64,
    /// Whether the entry before or after all others is still to come.
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

    /// Advances by `len` bytes of bytecode and returns the old offset. `None`: no code object is that long.
    fn advance(&mut self, len: u32) -> Option<u32> {
        let start = self.offset;
        self.offset = start.checked_add(len)?;
        Some(start)
    }

    /// CPython: Objects/lnotab_notes.txt, v3.8.18.
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

    /// CPython: Objects/lnotab_notes.txt, v3.10.13.
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

    /// CPython: Objects/locations.md, v3.11.7 (InternalDocs/code_objects.md from 3.14).
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
        // Columns follow; the next entry starts with the next byte that has the high bit set.
        let columns = self.rest.iter().take_while(|&&byte| byte & 0x80 == 0).count();
        self.rest = &self.rest[columns..];
        Some(self.entry(start, if code == NO_LINE { None } else { Some(self.line) }))
    }

    /// Six bits per byte, low ones first; bit 6: more follow; the lowest bit of the result is the sign.
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const KINDS: [LineTable; 3] = [LineTable::Lnotab, LineTable::Ranges, LineTable::Locations];

    /// One entry of a location table: its length in units, its form and the line step (`None`: no line).
    fn location() -> impl Strategy<Value = (u8, u8, Option<i32>)> {
        let form = prop_oneof![
            (0u8..10).prop_map(|form| (form, Some(0))),
            (10u8..13).prop_map(|form| (form, Some(i32::from(form) - 10))),
            (13u8..15, -100_000i32..100_000).prop_map(|(form, step)| (form, Some(step))),
            Just((15, None)),
        ];
        (1u8..=8, form).prop_map(|(units, (form, step))| (units, form, step))
    }

    fn put_varint(table: &mut Vec<u8>, mut value: u32) {
        while value >= 0x40 {
            table.push(0x40 | (value & 0x3f) as u8);
            value >>= 6;
        }
        table.push(value as u8);
    }

    fn encode(entries: &[(u8, u8, Option<i32>)]) -> Vec<u8> {
        let mut table = Vec::new();
        for &(units, form, step) in entries {
            table.push(0x80 | form << 3 | (units - 1));
            let step = step.unwrap_or(0);
            let signed = step.unsigned_abs() << 1 | u32::from(step < 0);
            match form {
                0..=9 => table.push(0x75),
                10..=12 => table.extend([0x7f, 0x00]),
                13 => put_varint(&mut table, signed),
                14 => [signed, 3, 70, 5000].into_iter().for_each(|value| put_varint(&mut table, value)),
                _ => {}
            }
        }
        table
    }

    proptest! {
        #[test]
        fn a_location_table_gives_back_what_was_written(
            entries in vec(location(), 0..60),
            first_line in 1i32..1_000_000,
        ) {
            let table = encode(&entries);
            let (mut start, mut line) = (0i64, i64::from(first_line));
            for (units, _, step) in entries {
                line += i64::from(step.unwrap_or(0));
                let expected = step.and_then(|_| u32::try_from(line).ok());
                for offset in start..start + 2 * i64::from(units) {
                    prop_assert_eq!(line_of(&table, LineTable::Locations, first_line, offset), expected);
                }
                start += 2 * i64::from(units);
            }
            prop_assert_eq!(line_of(&table, LineTable::Locations, first_line, start), None);
        }

        #[test]
        fn pairs_of_steps_are_summed_as_their_notes_say(
            pairs in vec((any::<u8>(), any::<i8>()), 0..60),
            first_line in 1i32..1_000_000,
            offset in 0i64..4000,
        ) {
            let table: Vec<u8> = pairs.iter().flat_map(|&(length, step)| [length, step.cast_unsigned()]).collect();
            let (mut start, mut line) = (0, i64::from(first_line));
            for &(length, step) in &pairs {
                start += i64::from(length);
                if start > offset {
                    break;
                }
                line += i64::from(step);
            }
            prop_assert_eq!(line_of(&table, LineTable::Lnotab, first_line, offset), u32::try_from(line).ok());
            let (mut start, mut line, mut expected) = (0, i64::from(first_line), None);
            for &(length, step) in &pairs {
                line += if step == -128 { 0 } else { i64::from(step) };
                if (start..start + i64::from(length)).contains(&offset) {
                    expected = if step == -128 { None } else { u32::try_from(line).ok() };
                }
                start += i64::from(length);
            }
            prop_assert_eq!(line_of(&table, LineTable::Ranges, first_line, offset), expected);
        }

        #[test]
        fn the_index_says_what_the_table_says_of_any_bytes(
            table in vec(any::<u8>(), 0..200),
            first_line in any::<i32>(),
            offsets in vec(-3i64..3000, 20),
        ) {
            for kind in KINDS {
                let index = LineIndex::parse(&table, kind, first_line);
                for &offset in &offsets {
                    prop_assert_eq!(index.line_of(offset), line_of(&table, kind, first_line, offset));
                }
            }
        }
    }

    #[test]
    fn an_instruction_before_the_first_is_on_the_first_line() {
        for kind in KINDS {
            assert_eq!(line_of(&[], kind, 7, -1), Some(7));
            assert_eq!(LineIndex::parse(&[], kind, 7).line_of(-2), Some(7));
        }
    }
}
