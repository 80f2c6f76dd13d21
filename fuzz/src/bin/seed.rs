//! Turns a recording into an input of the target `report`: `seed FILE.aprof > fuzz/corpus/report/NAME`.

use std::io::Write as _;

/// Length of the head of a block, and where in it are its mark, kind and lengths; see `src/profile/recording/block.rs`.
const HEAD: usize = 44;
const MARK: [u8; 4] = [0xa9, b'A', b'P', 0xfe];
const EVENTS: u8 = 1;

fn main() {
    let path = std::env::args_os().nth(1).expect("usage: seed FILE.aprof");
    let file = std::fs::read(path).expect("the recording cannot be read");
    let mut at = 12;
    let mut input = Vec::new();
    while file.get(at..).is_some_and(|rest| rest.starts_with(&MARK) && rest.len() >= HEAD) {
        let length =
            |from: usize| u32::from_le_bytes([file[from], file[from + 1], file[from + 2], file[from + 3]]) as usize;
        let (kind, packed, unpacked) = (file[at + 4], length(at + 12), length(at + 16));
        let block = &file[at + HEAD..at + HEAD + packed];
        if kind == EVENTS && unpacked <= usize::from(u16::MAX) {
            let content = zstd::bulk::decompress(block, unpacked).expect("a damaged block");
            input.push(kind - EVENTS);
            input.extend((content.len() as u16).to_le_bytes());
            input.extend(content);
        }
        at += HEAD + packed;
    }
    std::io::stdout().write_all(&input).expect("stdout cannot be written");
}
