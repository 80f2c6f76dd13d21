//! Files that claim to be recordings: the input as the whole file, then after a valid header, then as the content of a valid
//! block.

use asyncprof::model::tables::Tables;
use asyncprof::profile::recording::Reader;

use super::blocks::{beginning, block};

/// Reads a whole file and defines its names, as every reader of recordings does.
fn read(file: &[u8]) {
    let Ok(mut reader) = Reader::new(file) else { return };
    let mut names = [Tables::default(), Tables::default()];
    while let Some(Ok(batch)) = reader.next_batch() {
        let names = &mut names[batch.source as usize];
        if batch.begins_anew {
            *names = Tables::default();
        }
        names.define(&batch.definitions).expect("the reader has checked every index against its table");
    }
    let _ = reader.ending();
}

/// Runs the target.
pub fn run(input: &[u8]) {
    read(input);
    read(&[beginning(), input].concat());
    let Some((&kind, content)) = input.split_first() else { return };
    // Number 2 is missing, because the reader uses a state block only after a lost block.
    let blocks = [block(1, 1, content), block(1 + kind % 3, 3, content)];
    read(&[beginning(), &blocks.into_iter().flatten().flatten().collect::<Vec<u8>>()].concat());
}
