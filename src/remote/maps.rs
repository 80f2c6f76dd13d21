//! The mappings of a process: `/proc/PID/maps` and the files in it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

use super::access::AccessError;
use super::addr::Addr;
use super::process::{DELETED, Process};

/// LIMIT: mappings kept of one process; the kernel's own default limit (vm.max_map_count) is 65,530.
const MAX_MAPPINGS: usize = 1 << 20;

/// One line of `/proc/PID/maps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First byte.
    pub start: u64,
    /// Address after the last byte.
    pub end: u64,
    /// Offset of its start in the file, in bytes.
    pub offset: u64,
    /// `r`.
    pub readable: bool,
    /// `w`.
    pub writable: bool,
    /// `x`.
    pub executable: bool,
    /// The file: device (major, minor) and inode; inode 0: no file.
    pub file: FileId,
    /// Path in the target's mount namespace or a name in brackets; empty for anonymous memory.
    pub path: PathBuf,
    /// Whether the file is no longer at its path, according to the kernel.
    pub deleted: bool,
}

/// The identity of a file for the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Major and minor device number.
    pub device: (u64, u64),
    /// Inode; 0 for no file.
    pub inode: u64,
}

impl Mapping {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Never true: the parser drops empty mappings.
    pub fn is_empty(&self) -> bool {
        self.end == self.start
    }

    /// Whether `addr` lies in it.
    pub fn contains(&self, addr: Addr) -> bool {
        (self.start..self.end).contains(&addr.raw())
    }

    /// Parses one line; `None` if it is not valid. Linux: man 5 proc_pid_maps.
    pub fn parse(line: &[u8]) -> Option<Self> {
        // Five fields separated by one space, then spaces, then the path, which may contain spaces itself.
        let mut fields = line.splitn(6, |&b| b == b' ');
        let mut text = || std::str::from_utf8(fields.next()?).ok();
        let (start, end) = text()?.split_once('-')?;
        let flags = text()?.as_bytes();
        let offset = hex(text()?)?;
        let (major, minor) = text()?.split_once(':')?;
        let inode = text()?.parse().ok()?;
        let (start, end) = (hex(start)?, hex(end)?);
        let [read, write, execute, _] = *<&[u8; 4]>::try_from(flags).ok()?;
        if start >= end {
            return None;
        }
        let path = unescape(fields.next().unwrap_or_default().trim_ascii_start());
        let (path, deleted) = match path.strip_suffix(DELETED.as_bytes()) {
            Some(path) => (path, true),
            None => (path.as_slice(), false),
        };
        Some(Self {
            start,
            end,
            offset,
            readable: read == b'r',
            writable: write == b'w',
            executable: execute == b'x',
            file: FileId { device: (hex(major)?, hex(minor)?), inode },
            path: OsStr::from_bytes(path).into(),
            deleted,
        })
    }
}

fn hex(digits: &str) -> Option<u64> {
    // `from_str_radix` would accept a sign.
    if digits.starts_with('+') { None } else { u64::from_str_radix(digits, 16).ok() }
}

/// The kernel writes a line feed in a path as four characters.
fn unescape(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, tail)) = rest.split_first() {
        match rest.strip_prefix(b"\\012") {
            Some(behind) => {
                out.push(b'\n');
                rest = behind;
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
}

/// All mappings of a process, in order of address.
#[derive(Clone, Debug, Default)]
pub struct Maps {
    mappings: Vec<Mapping>,
}

impl Maps {
    /// The current mappings of `process`.
    pub fn read(process: &Process) -> Result<Self, AccessError> {
        let path = format!("{}/maps", process.folder());
        let bytes = fs::read(&path).map_err(|error| match AccessError::from_proc(process.pid(), &path, &error) {
            AccessError::Forbidden { pid, .. } => AccessError::forbidden(pid),
            other => other,
        })?;
        Ok(Self::parse(&bytes))
    }

    /// Parses the file; lines that are not mappings are skipped.
    pub fn parse(bytes: &[u8]) -> Self {
        let lines = bytes.split(|&b| b == b'\n').take(MAX_MAPPINGS);
        Self { mappings: lines.filter_map(Mapping::parse).collect() }
    }

    /// The mappings, in order of address.
    pub fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    /// The mapping that contains `addr`.
    pub fn find(&self, addr: Addr) -> Option<&Mapping> {
        let index = self.mappings.partition_point(|m| m.end <= addr.raw());
        self.mappings.get(index).filter(|m| m.contains(addr))
    }

    /// The files that are mapped with at least one executable piece: programs and libraries, by lowest address.
    pub fn modules(&self) -> Vec<Module> {
        let mut index: FxHashMap<(FileId, &Path), usize> = FxHashMap::default();
        let mut modules: Vec<Module> = Vec::new();
        for mapping in self.mappings.iter().filter(|m| m.file.inode != 0) {
            let at = *index.entry((mapping.file, &mapping.path)).or_insert_with(|| {
                modules.push(Module { mappings: Vec::new() });
                modules.len() - 1
            });
            modules[at].mappings.push(mapping.clone());
        }
        modules.retain(|module| module.mappings.iter().any(|m| m.executable));
        modules
    }
}

/// A mapped program or library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// INVARIANT: never empty; all of one file, in order of address.
    mappings: Vec<Mapping>,
}

impl Module {
    /// Its pieces, in order of address.
    pub fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    /// The piece at the lowest address.
    pub fn first(&self) -> &Mapping {
        self.mappings.first().expect("a module is made of at least one mapping")
    }

    /// Path in the target's mount namespace.
    pub fn path(&self) -> &Path {
        &self.first().path
    }

    /// The last part of the path; bytes that are not UTF-8 are replaced.
    pub fn name(&self) -> String {
        self.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAPS: &[u8] = b"\
55d0aa000000-55d0aa001000 r--p 00000000 fe:01 77                         /usr/bin/my python (deleted)
garbage
55d0aa001000-55d0aa002000 r-xp 00001000 fe:01 77                         /usr/bin/my python (deleted)
55d0aa002000-55d0aa002000 r-xp 00001000 fe:01 77                         /usr/bin/empty
55d0aa003000-55d0aa004000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000001000 rw-p 00000000 00:00 0 
7f0000002000-7f0000003000 r--s 00000000 fe:01 78                         /var/data\\012file
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                          [stack]";

    #[test]
    fn odd_lines_are_left_out_and_the_others_are_kept() {
        let maps = Maps::parse(MAPS);
        let paths: Vec<_> = maps.mappings().iter().map(|m| m.path.to_string_lossy().into_owned()).collect();
        assert_eq!(paths, ["/usr/bin/my python", "/usr/bin/my python", "[heap]", "", "/var/data\nfile", "[stack]"]);
        assert!(maps.mappings()[0].deleted && !maps.mappings()[2].deleted);
        assert_eq!(maps.mappings()[1].offset, 4096);
        assert_eq!(maps.mappings()[1].file, FileId { device: (0xfe, 1), inode: 77 });
    }

    #[test]
    fn a_module_is_a_file_with_code_and_has_all_its_pieces() {
        let modules = Maps::parse(MAPS).modules();
        assert_eq!(modules.len(), 1);
        assert_eq!(modules[0].name(), "my python");
        assert_eq!(modules[0].mappings().len(), 2);
    }

    #[test]
    fn an_address_is_found_in_its_mapping_and_not_in_the_gap_behind() {
        let maps = Maps::parse(MAPS);
        let find = |raw| maps.find(Addr::new(raw).unwrap()).map(|m| m.start);
        assert_eq!(find(0x55d0_aa00_1fff), Some(0x55d0_aa00_1000));
        assert_eq!(find(0x55d0_aa00_2000), None);
        assert_eq!(find(0x7f00_0000_0000), Some(0x7f00_0000_0000));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Maps::parse(&bytes).modules();
        }

        #[test]
        fn lines_that_are_nearly_right_do_not_make_the_parser_panic(line in "[0-9a-f+]{0,17}-[0-9a-f]{0,17} [rwxps-]{0,5} [0-9a-f]{0,9} [0-9a-f:]{0,6} [0-9]{0,22} {0,9}.{0,9}") {
            for module in Maps::parse(line.as_bytes()).modules() {
                prop_assert!(!module.first().is_empty());
            }
        }
    }
}
