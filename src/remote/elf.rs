//! The program and library files that a process has mapped: opened as the process sees them, and searched for sections
//! and symbols. Files are as untrusted as memory.

use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::sys::stat::{major, minor};
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};
use object::{LittleEndian, ReadCache, ReadRef, pod};
use rustc_hash::FxHashMap;

use super::addr::{Addr, Span};
use super::elf_memory::{dynamic_symbols, read_mapped};
use super::maps::{FileId, Module};
use super::memory::Memory;
use super::process::Process;

/// LIMIT: section headers of one file; the linker's usual ceiling, far above any library.
const MAX_SECTIONS: u64 = 65_536;
/// LIMIT: program headers of one file.
const MAX_SEGMENTS: u64 = 4_096;
/// LIMIT: bytes of one symbol or string table; the largest known libraries have tables of some 100 MB without exports
/// and some 10 MB of exports.
const MAX_TABLE: u64 = 256 << 20;

const PAGE: u64 = 4096;

/// Why a mapped file could not be searched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// Neither its path nor the kernel's links lead to the mapped file.
    #[error("the mapped file {path} cannot be opened: {reason}")]
    Unopenable {
        /// Path in the target's mount namespace.
        path: String,
        /// The error of the last attempt.
        reason: String,
    },
    /// It does not start like an ELF file.
    #[error("not an ELF file")]
    NotElf,
    /// It is for another architecture.
    #[error("an ELF file for {0}")]
    OtherArchitecture(String),
    /// Its tables violate the format or a limit; the word says which.
    #[error("an ELF file with an impossible {0}")]
    Malformed(&'static str),
}

/// What to search for in a file.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Section names.
    pub sections: &'a [&'static str],
    /// Names of symbols with an address.
    pub symbols: &'a [&'static str],
    /// Whether to search the debugging symbols too if no exported one is found, which can take long for a big file.
    pub local_symbols: bool,
}

/// The results of a search. Addresses are the file's own: see [`Elf::load_bias`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elf {
    /// Linked to a fixed address.
    fixed: bool,
    /// It has a table of sections.
    has_sections: bool,
    segments: Vec<Segment>,
    sections: FxHashMap<&'static str, FileSpan>,
    symbols: FxHashMap<&'static str, u64>,
}

/// A loadable segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    offset: u64,
    address: u64,
    executable: bool,
}

/// A piece, by the file's own addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSpan {
    /// Address of the first byte, before the load bias.
    pub address: u64,
    /// Length in bytes.
    pub size: u64,
}

impl Elf {
    /// Opens and searches the file of `module`.
    pub fn open(process: &Process, module: &Module, memory: &dyn Memory, wanted: Wanted<'_>) -> Result<Self, ElfError> {
        match open_mapped(process, module, memory) {
            Ok(file) => {
                let found = Self::parse(&ReadCache::new(file), wanted)?;
                // What is loaded has the exported symbols also where a tool has removed the table of sections.
                if found.has_sections {
                    return Ok(found);
                }
                Ok(Self::from_memory(module, memory, wanted).unwrap_or(found))
            }
            Err(error) => Self::from_memory(module, memory, wanted).map_err(|_| error),
        }
    }

    /// Searches the mapped part of a file that cannot be opened: its exported symbols, but not its sections.
    fn from_memory(module: &Module, memory: &dyn Memory, wanted: Wanted<'_>) -> Result<Self, ElfError> {
        let file = read_mapped(module, memory);
        let file = file.as_slice();
        let header = file_header(file)?;
        let fixed = header.e_type(LittleEndian) == elf::ET_EXEC;
        let mut found = Self { fixed, segments: load_segments(header, file)?, ..Self::default() };
        let bias = found.load_bias(module).ok_or(ElfError::Malformed("segment table"))?;
        let (symbols, strings) = dynamic_symbols(file, header, bias).ok_or(ElfError::Malformed("dynamic section"))?;
        found.search_symbols(symbols, strings, wanted.symbols)?;
        Ok(found)
    }

    /// Searches the bytes of a file.
    pub fn parse<'d, R: ReadRef<'d>>(data: R, wanted: Wanted<'_>) -> Result<Self, ElfError> {
        let header = file_header(data)?;
        let segments = load_segments(header, data)?;
        let fixed = header.e_type(LittleEndian) == elf::ET_EXEC;
        let mut found = Self { fixed, segments, ..Self::default() };
        found.search(header, data, wanted)?;
        Ok(found)
    }

    fn search<'d, R: ReadRef<'d>>(
        &mut self,
        header: &FileHeader64<LittleEndian>,
        data: R,
        wanted: Wanted<'_>,
    ) -> Result<(), ElfError> {
        let count = header.shnum(LittleEndian, data).map_err(|_| ElfError::Malformed("number of sections"))?;
        if u64::from(count) > MAX_SECTIONS {
            return Err(ElfError::Malformed("number of sections"));
        }
        let table = header.sections(LittleEndian, data).map_err(|_| ElfError::Malformed("section table"))?;
        self.has_sections = count > 0;
        let (mut exported, mut local) = (None, None);
        for section in table.iter() {
            match section.sh_type(LittleEndian) {
                elf::SHT_DYNSYM => exported = Some(section),
                elf::SHT_SYMTAB => local = Some(section),
                elf::SHT_PROGBITS | elf::SHT_NOBITS => {
                    let name = table.section_name(LittleEndian, section).unwrap_or_default();
                    if let Some(&name) = wanted.sections.iter().find(|w| w.as_bytes() == name) {
                        let address = section.sh_addr(LittleEndian);
                        let size = section.sh_size(LittleEndian);
                        self.sections.insert(name, FileSpan { address, size });
                    }
                }
                _ => {}
            }
        }
        let local = local.filter(|_| wanted.local_symbols);
        for symbols in [exported, local].into_iter().flatten() {
            if self.symbols.is_empty() {
                let strings = table.iter().nth(symbols.sh_link(LittleEndian) as usize);
                let strings = strings.ok_or(ElfError::Malformed("link to a string table"))?;
                self.search_symbols(section_bytes(symbols, data)?, section_bytes(strings, data)?, wanted.symbols)?;
            }
        }
        Ok(())
    }

    fn search_symbols(&mut self, symbols: &[u8], strings: &[u8], wanted: &[&'static str]) -> Result<(), ElfError> {
        let symbols: &[elf::Sym64<LittleEndian>] =
            pod::slice_from_all_bytes(symbols).map_err(|()| ElfError::Malformed("symbol table"))?;
        for symbol in symbols {
            let address = symbol.st_value(LittleEndian);
            if address == 0 || symbol.is_undefined(LittleEndian) || symbol.st_type() == elf::STT_TLS {
                continue;
            }
            let Some(name) = strings.get(symbol.st_name(LittleEndian) as usize..) else { continue };
            let is_name = |w: &&&str| name.strip_prefix(w.as_bytes()).is_some_and(|rest| rest.first() == Some(&0));
            if let Some(&found) = wanted.iter().find(is_name) {
                self.symbols.entry(found).or_insert(address);
            }
        }
        Ok(())
    }

    /// The difference between the target's addresses and the file's own, given where the file is mapped.
    pub fn load_bias(&self, module: &Module) -> Option<u64> {
        if self.fixed {
            return Some(0);
        }
        // A file can be mapped a second time as plain data, so the code segment decides; if the program has moved its
        // own code (to huge pages), the lowest mapping does.
        let code = self.segments.iter().find(|s| s.executable).and_then(|segment| {
            let offset = page(segment.offset);
            let mapping = module.mappings().iter().find(|m| m.executable && m.offset == offset)?;
            mapping.start.checked_sub(page(segment.address))
        });
        code.or_else(|| {
            let lowest = self.segments.iter().map(|s| page(s.address)).min()?;
            module.first().start.checked_sub(lowest)
        })
    }

    /// Where a section is, by the file's own addresses.
    pub fn section(&self, name: &str) -> Option<FileSpan> {
        self.sections.get(name).copied()
    }

    /// The address of a symbol, by the file's own addresses.
    pub fn symbol(&self, name: &str) -> Option<u64> {
        self.symbols.get(name).copied()
    }
}

/// The target's address for the file's own address `address`.
pub fn loaded(bias: u64, address: u64) -> Option<Addr> {
    bias.checked_add(address).and_then(Addr::new)
}

fn page(address: u64) -> u64 {
    address & !(PAGE - 1)
}

/// The header of a file for this architecture.
fn file_header<'d, R: ReadRef<'d>>(data: R) -> Result<&'d FileHeader64<LittleEndian>, ElfError> {
    // The identification is the same for every class and byte order; it determines how the rest is read.
    let ident = data.read_bytes_at(0, 20).map_err(|()| ElfError::NotElf)?;
    if !ident.starts_with(b"\x7fELF") {
        return Err(ElfError::NotElf);
    }
    let (class, order) = (ident[4], ident[5]);
    let machine = if order == elf::ELFDATA2MSB.0 { [ident[19], ident[18]] } else { [ident[18], ident[19]] };
    let machine = u16::from_le_bytes(machine);
    if class != elf::ELFCLASS64.0 || order != elf::ELFDATA2LSB.0 || machine != OUR_MACHINE {
        return Err(ElfError::OtherArchitecture(architecture(machine, class, order)));
    }
    FileHeader64::parse(data).map_err(|_| ElfError::NotElf)
}

/// The architecture this profiler is built for, as an ELF number.
#[cfg(target_arch = "x86_64")]
const OUR_MACHINE: u16 = elf::EM_X86_64.0;
/// The architecture this profiler is built for, as an ELF number.
#[cfg(target_arch = "aarch64")]
const OUR_MACHINE: u16 = elf::EM_AARCH64.0;

/// Whether a file is for this architecture.
pub(super) fn check_architecture(file: &File) -> Result<(), ElfError> {
    let mut ident = [0; size_of::<FileHeader64<LittleEndian>>()];
    file.read_exact_at(&mut ident, 0).map_err(|_| ElfError::NotElf)?;
    file_header(&ident[..]).map(|_| ())
}

/// The name of the architecture this profiler is built for.
pub const OUR_ARCHITECTURE: &str = std::env::consts::ARCH;

/// The usual name of an architecture.
fn architecture(machine: u16, class: u8, order: u8) -> String {
    let name = match elf::Machine(machine) {
        elf::EM_386 => "i386",
        elf::EM_X86_64 => "x86_64",
        elf::EM_ARM => "arm",
        elf::EM_AARCH64 => "aarch64",
        elf::EM_RISCV => "riscv",
        elf::EM_PPC64 => "ppc64",
        elf::EM_S390 => "s390",
        elf::EM_LOONGARCH => "loongarch",
        _ => return format!("machine {machine}"),
    };
    let bits = if class == elf::ELFCLASS32.0 { "32-bit " } else { "" };
    let order = if order == elf::ELFDATA2MSB.0 { " big-endian" } else { "" };
    format!("{bits}{name}{order}")
}

fn load_segments<'d, R: ReadRef<'d>>(header: &FileHeader64<LittleEndian>, data: R) -> Result<Vec<Segment>, ElfError> {
    let count = header.phnum(LittleEndian, data).map_err(|_| ElfError::Malformed("number of segments"))?;
    if u64::from(count) > MAX_SEGMENTS {
        return Err(ElfError::Malformed("number of segments"));
    }
    let segments = header.program_headers(LittleEndian, data).map_err(|_| ElfError::Malformed("segment table"))?;
    let loads = segments.iter().filter(|s| s.p_type(LittleEndian) == elf::PT_LOAD);
    Ok(loads
        .map(|s| Segment {
            offset: s.p_offset(LittleEndian),
            address: s.p_vaddr(LittleEndian),
            executable: s.p_flags(LittleEndian).0 & elf::PF_X.0 != 0,
        })
        .collect())
}

fn section_bytes<'d, R: ReadRef<'d>>(
    section: &elf::SectionHeader64<LittleEndian>,
    data: R,
) -> Result<&'d [u8], ElfError> {
    if section.sh_size(LittleEndian) > MAX_TABLE {
        return Err(ElfError::Malformed("size of a table"));
    }
    section.data(LittleEndian, data).map_err(|_| ElfError::Malformed("table"))
}

/// Opens the file behind `module` as the target sees it: other mount namespace, chroot, deleted or replaced.
fn open_mapped(process: &Process, module: &Module, memory: &dyn Memory) -> Result<File, ElfError> {
    let pid = process.pid();
    let first = module.first();
    let path = module.path();
    let root = PathBuf::from(format!("{}/root", process.folder()));
    // Paths in `maps` start at the root of the target's mount namespace or at ours, and not at its own root after a
    // chroot, which is cut off here.
    let chroot = std::fs::read_link(&root).unwrap_or_default();
    let candidates = [
        root.join(path.strip_prefix("/").unwrap_or(path)),
        root.join(path.strip_prefix(&chroot).unwrap_or(path.strip_prefix("/").unwrap_or(path))),
        path.to_owned(),
        PathBuf::from(format!("{}/exe", process.folder())),
        PathBuf::from(format!("/proc/{pid}/map_files/{:x}-{:x}", first.start, first.end)),
    ];
    let mut reason = "another file is at its path".to_owned();
    for candidate in candidates {
        match open_regular(&candidate) {
            Ok(file) if is_mapped_file(&file, first.file) || starts_alike(&file, module, memory) => return Ok(file),
            Ok(_) => {}
            Err(error) => reason = error.to_string(),
        }
    }
    Err(ElfError::Unopenable { path: String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned(), reason })
}

/// Opens a file for reading if it is a regular file. A pipe in its place must not block us.
fn open_regular(path: &std::path::Path) -> std::io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(std::io::Error::other("not a regular file")) }
}

fn is_mapped_file(file: &File, id: FileId) -> bool {
    file.metadata().is_ok_and(|m| m.ino() == id.inode && (major(m.dev()), minor(m.dev())) == id.device)
}

/// Whether the file starts with the same bytes as its mapping. Overlay and btrfs file systems show other device numbers
/// in `maps` than in `stat`; the first page contains the header, the segments and the build id.
fn starts_alike(file: &File, module: &Module, memory: &dyn Memory) -> bool {
    let Some(head) = module.mappings().iter().find(|m| m.offset == 0 && m.readable && !m.writable) else {
        return false;
    };
    let Some(addr) = Addr::new(head.start) else { return false };
    let (mut mapped, mut stored) = ([0; PAGE as usize], [0; PAGE as usize]);
    let mut results = Vec::with_capacity(1);
    memory.read_batch(&[Span::new(addr, mapped.len())], &mut mapped, &mut results);
    results == [Ok(())] && file.read_exact_at(&mut stored, 0).is_ok() && mapped == stored
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::live::LiveMemory;
    use crate::remote::maps::Maps;
    use crate::remote::memory::ReadError;
    use proptest::prelude::*;

    const WANTED: Wanted<'static> =
        Wanted { sections: &[".text"], symbols: &["main", "environ", "_start"], local_symbols: true };

    struct NoMemory;
    impl Memory for NoMemory {
        fn read_batch(&self, spans: &[Span], _: &mut [u8], results: &mut Vec<Result<(), ReadError>>) {
            results.clear();
            results.resize(spans.len(), Err(ReadError::Gone));
        }
    }

    fn ourselves() -> Vec<u8> {
        std::fs::read("/proc/self/exe").unwrap()
    }

    #[test]
    fn our_own_executable_is_found_in_our_own_mappings() {
        let process = Process::open(std::process::id() as i32).unwrap();
        let maps = Maps::read(&process).unwrap();
        let exe = process.executable().unwrap();
        let module = maps.modules().into_iter().find(|m| m.path().to_string_lossy() == exe).unwrap();
        let elf = Elf::open(&process, &module, &NoMemory, WANTED).unwrap();
        let text = elf.section(".text").unwrap();
        let start = loaded(elf.load_bias(&module).unwrap(), text.address).unwrap();
        assert!(maps.find(start).unwrap().executable);
        let here = ourselves as fn() -> Vec<u8> as usize as u64;
        assert!((start.raw()..start.raw() + text.size).contains(&here), "the bias leads to our own code");
    }

    #[test]
    fn what_is_mapped_of_a_library_names_the_same_symbols_as_its_file() {
        let pid = std::process::id() as i32;
        let memory = LiveMemory::new(pid);
        let process = Process::open(pid).unwrap();
        let libraries = Maps::read(&process).unwrap().modules();
        let wanted = Wanted { symbols: &["malloc", "environ", "getpid"], ..WANTED };
        let mut compared = 0;
        for library in libraries.iter().filter(|m| m.name().contains(".so")) {
            let from_file = Elf::open(&process, library, &memory, wanted).unwrap();
            let from_memory = Elf::from_memory(library, &memory, wanted).unwrap();
            assert_eq!(from_file.symbols, from_memory.symbols, "{library:?}");
            assert_eq!(from_file.load_bias(library), from_memory.load_bias(library));
            compared += usize::from(!from_file.symbols.is_empty());
        }
        assert!(compared > 0, "the C library exports them");
    }

    #[test]
    fn what_is_no_elf_file_says_so() {
        assert_eq!(Elf::parse(&b"#!/bin/sh\n"[..], WANTED), Err(ElfError::NotElf));
        assert_eq!(Elf::parse(&b"\x7fELF"[..], WANTED), Err(ElfError::NotElf));
    }

    #[test]
    fn another_machine_is_named() {
        let mut bytes = ourselves();
        bytes.truncate(4096);
        bytes[4] = 1;
        bytes[18] = 3;
        assert_eq!(Elf::parse(&bytes[..], WANTED), Err(ElfError::OtherArchitecture("32-bit i386".into())));
    }

    #[test]
    fn a_table_larger_than_its_limit_is_refused_before_it_is_read() {
        let mut bytes = ourselves();
        // e_phnum is at 56, e_shnum at 60.
        bytes[56..58].copy_from_slice(&0xfff0u16.to_le_bytes());
        assert_eq!(Elf::parse(&bytes[..], WANTED), Err(ElfError::Malformed("number of segments")));
    }

    proptest! {
        #[test]
        fn no_damage_to_a_file_makes_the_parser_panic(
            damage in proptest::collection::vec((0usize..4096, any::<u8>()), 1..40),
            tail in proptest::collection::vec((1usize..4096, any::<u8>()), 0..40),
            cut in 0usize..8192,
        ) {
            // The tables are at both ends of a file, so both ends are damaged.
            thread_local!(static FILE: Vec<u8> = std::fs::read("/bin/true").unwrap_or_else(|_| ourselves()));
            let mut bytes = FILE.with(Clone::clone);
            for (at, byte) in damage {
                if at < bytes.len() { bytes[at] = byte; }
            }
            let len = bytes.len();
            for (at, byte) in tail {
                if at <= len { bytes[len - at] = byte; }
            }
            if cut < 4096 { bytes.truncate(cut); }
            let _ = Elf::parse(&bytes[..], WANTED);
            if let Ok(header) = file_header(&bytes[..]) {
                let _ = dynamic_symbols(&bytes, header, 0x1000);
            }
        }
    }
}
