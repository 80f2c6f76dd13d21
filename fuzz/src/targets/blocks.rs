//! Recordings that are well-formed up to the content of their blocks.

use std::sync::OnceLock;

use asyncprof::model::event::Header;
use asyncprof::profile::recording::Writer;

/// A recording with nothing but its header.
pub fn beginning() -> &'static [u8] {
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
pub fn block(kind: u8, number: u32, content: &[u8]) -> Option<Vec<u8>> {
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
