//! Line tables in every format; the index must agree with the table.

use asyncprof::python::layout::LineTable;
use asyncprof::python::line_table::{LineIndex, line_of};

/// Runs the target.
pub fn run(input: &[u8]) {
    let Some((head, table)) = input.split_first_chunk::<6>() else { return };
    let first_line = i32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let offset = u16::from_le_bytes([head[4], head[5]]);
    for kind in [LineTable::Lnotab, LineTable::Ranges, LineTable::Locations] {
        let index = LineIndex::parse(table, kind, first_line);
        assert_eq!(index.line_of(offset.into()), line_of(table, kind, first_line, offset.into()));
    }
}
