//! Files that claim to be recordings: the input as the whole file, then after a valid header, then as the content of a valid
//! block.
#![no_main]

use std::sync::OnceLock;

use asyncprof::profile::recording::{Reader, Writer};
use asyncprof::model::event::Header;
use asyncprof::model::tables::Tables;
use libfuzzer_sys::fuzz_target;

/// A recording with nothing but its header.
fn beginning() -> &'static [u8] {
    static BEGINNING: OnceLock<Vec<u8>> = OnceLock::new();
    BEGINNING.get_or_init(|| {
        let header = Header {
            pid: 1,
            python: "3.12.1".into(),
            free_threaded: false,
            executable: String::new(),
            command: Vec::new(),
            started_at: String::new(),
            started_ns: 0,
            loop_rate_hz: 1000.0,
            task_rate_hz: 10.0,
            stall_threshold_ns: 100_000_000,
            cpu_budget: 0.05,
            blocking: false,
            asyncprof: String::new(),
            machine: Vec::new(),
        };
        let mut file = Vec::new();
        drop(Writer::new(&mut file, &header).expect("writing to memory cannot fail"));
        file
    })
}

/// A well-formed block.
fn block(kind: u8, number: u32, content: &[u8]) -> Option<Vec<u8>> {
    let packed = zstd::bulk::compress(content, 1).ok()?;
    let mut block = vec![0xa9, b'A', b'P', 0xfe, kind, 0, 0, 0];
    for value in [number, packed.len() as u32, content.len() as u32, crc32fast::hash(&packed)] {
        block.extend(value.to_le_bytes());
    }
    block.extend([0; 16]);
    block.extend(crc32fast::hash(&block).to_le_bytes());
    block.extend(packed);
    Some(block)
}

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

fuzz_target!(|input: &[u8]| {
    read(input);
    read(&[beginning(), input].concat());
    let Some((&kind, content)) = input.split_first() else { return };
    // Number 2 is missing, because the reader uses a state block only after a lost block.
    let blocks = [block(1, 1, content), block(1 + kind % 3, 3, content)];
    read(&[beginning(), &blocks.into_iter().flatten().flatten().collect::<Vec<u8>>()].concat());
});
