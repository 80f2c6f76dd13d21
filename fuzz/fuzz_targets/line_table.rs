//! Line tables in every format; the index must agree with the table.
#![no_main]

use asyncprof::python::layout::LineTable;
use asyncprof::python::line_table::{LineIndex, line_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (i32, u16, &[u8])| {
    let (first_line, offset, table) = input;
    for kind in [LineTable::Lnotab, LineTable::Ranges, LineTable::Locations] {
        let index = LineIndex::parse(table, kind, first_line);
        assert_eq!(index.line_of(offset.into()), line_of(table, kind, first_line, offset.into()));
    }
});
