//! Reassembles a program or library file from its mapped pieces when the file itself cannot be opened: a library
//! deleted by an upgrade can be opened by root only. Everything the loader needs is always mapped: program headers,
//! dynamic section, exported symbols.

use object::LittleEndian;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};

use super::addr::{Addr, Span};
use super::maps::Module;
use super::memory::Memory;

/// LIMIT: bytes of one reassembled file; the largest Python library has 30 MB with debugging data, which is not mapped.
const MAX_FILE: u64 = 64 << 20;
/// LIMIT: entries of a dynamic section; about 30 are usual.
const MAX_DYNAMIC: usize = 4_096;

/// The mapped part of a file, each byte at its file offset; the rest is zero.
pub(super) fn read_mapped(module: &Module, memory: &dyn Memory) -> Vec<u8> {
    let mut file = Vec::new();
    for mapping in module.mappings().iter().filter(|m| m.readable) {
        let Some(end) = mapping.offset.checked_add(mapping.len()).filter(|&end| end <= MAX_FILE) else { continue };
        let Some(addr) = Addr::new(mapping.start) else { continue };
        if file.len() < end as usize {
            file.resize(end as usize, 0);
        }
        let place = &mut file[mapping.offset as usize..end as usize];
        let mut results = Vec::with_capacity(1);
        memory.read_batch(&[Span::new(addr, place.len())], place, &mut results);
        if results != [Ok(())] {
            // A file shorter than its mapping has pages that cannot be read: the loader uses none of them.
            read_pages(addr, place, memory);
        }
    }
    file
}

fn read_pages(addr: Addr, place: &mut [u8], memory: &dyn Memory) {
    const PAGE: usize = 4096;
    for (index, page) in place.chunks_mut(PAGE).enumerate() {
        let read = addr.add((index * PAGE) as u64).is_some_and(|at| memory.read(at, page).is_ok());
        if !read {
            page.fill(0);
        }
    }
}

/// Exported symbols and their names in a file put together by [`read_mapped`], found as the loader finds them; `None`
/// when its dynamic section is malformed.
pub(super) fn dynamic_symbols<'f>(
    file: &'f [u8],
    header: &FileHeader64<LittleEndian>,
    bias: u64,
) -> Option<(&'f [u8], &'f [u8])> {
    let segments = header.program_headers(LittleEndian, file).ok()?;
    let in_file = |address: u64| {
        segments.iter().filter(|s| s.p_type(LittleEndian) == elf::PT_LOAD).find_map(|s| {
            let within = address.checked_sub(s.p_vaddr(LittleEndian))?;
            if within >= s.p_filesz(LittleEndian) {
                return None;
            }
            usize::try_from(s.p_offset(LittleEndian).checked_add(within)?).ok()
        })
    };
    let dynamic = segments.iter().find(|s| s.p_type(LittleEndian) == elf::PT_DYNAMIC)?;
    let start = in_file(dynamic.p_vaddr(LittleEndian))?;
    let entries = file.get(start..).unwrap_or_default().chunks_exact(16).take(MAX_DYNAMIC);
    let entries = entries.map(|entry| (word(entry, 0), word(entry, 8))).take_while(|&(tag, _)| tag != 0);
    // Some loaders (glibc's) convert file addresses to process addresses in place, others do not.
    let place = |value: u64| in_file(value).or_else(|| in_file(value.checked_sub(bias)?));
    let (mut symbols, mut strings, mut strings_len) = (None, None, 0);
    for (tag, value) in entries {
        match i64::try_from(tag).ok().map(elf::DynamicTag) {
            Some(elf::DT_SYMTAB) => symbols = place(value),
            Some(elf::DT_STRTAB) => strings = place(value),
            Some(elf::DT_STRSZ) => strings_len = usize::try_from(value).unwrap_or(0),
            _ => {}
        }
    }
    let (symbols, strings) = symbols.zip(strings)?;
    let names = file.get(strings..strings.saturating_add(strings_len))?;
    // The number of symbols is not stored; linkers put the names right after them.
    let table = file.get(symbols..strings)?;
    let whole = table.len() - table.len() % size_of::<elf::Sym64<LittleEndian>>();
    Some((&table[..whole], names))
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}
