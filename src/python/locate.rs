//! Finds CPython's runtime in a process: which mapped file contains it, where it was loaded, which version it is, and
//! whether its lists match the layout of that version.

use std::collections::BTreeSet;
use std::path::Path;

use crate::remote::elf::{Elf, ElfError, Wanted, loaded};
use crate::remote::maps::{Mapping, Maps, Module};
use crate::remote::{AccessError, Addr, Memory, Process, ReadError};

use super::layout::published::{COOKIE, HEAD_SIZE, Head};
use super::layout::rows::{is_too_old, row};
use super::layout::{Layout, Version};

mod error;
mod lists;

pub use error::LocateError;
use lists::{Proof, prove};

/// LIMIT: mapped files searched; there are programs with a thousand extension modules.
const MAX_MODULES: usize = 4_096;
/// LIMIT: how many times the proof is repeated when threads start and end meanwhile.
const ATTEMPTS: usize = 16;
/// LIMIT: bytes searched for the cookie in data segments.
const MAX_SCAN: u64 = 256 << 20;
/// Bytes fetched at a time by that search.
const SCAN_STEP: u64 = 1 << 20;

/// The section that contains the runtime. CPython: Include/internal/pycore_runtime.h, `GENERATE_DEBUG_SECTION`.
const RUNTIME_SECTION: &str = ".PyRuntime";
const RUNTIME_SYMBOL: &str = "_PyRuntime";

/// Public functions and the minor version of CPython 3 that brought them, newest first.
/// CPython: Doc/data/stable_abi.dat and the "New in version" notes of the C API.
const API_AGE: [(&str, u8); 4] =
    [("Py_Version", 11), ("PyModule_AddObjectRef", 10), ("PyFrame_GetBack", 9), ("PyConfig_Clear", 8)];
/// The minor version of a runtime that has the symbol below and none of those above: the first with a `_PyRuntime`.
const AGE_OF_THE_REST: u8 = 7;
const ANY_API: &str = "Py_GetVersion";
/// Only Python 2 has it.
const PYTHON_2_API: &str = "PyString_FromString";
/// Only PyPy has it.
const PYPY_API: &str = "PyPy_IsInitialized";

const WANTED: Wanted<'static> = Wanted {
    sections: &[RUNTIME_SECTION],
    symbols: &[
        RUNTIME_SYMBOL,
        ANY_API,
        PYTHON_2_API,
        PYPY_API,
        "Py_Version",
        "PyModule_AddObjectRef",
        "PyFrame_GetBack",
        "PyConfig_Clear",
        "PyCoro_Type",
        "PyGen_Type",
        "PyAsyncGen_Type",
    ],
    local_symbols: true,
};

/// The location of CPython in a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The runtime, `_PyRuntime`.
    pub runtime: Addr,
    /// Its version.
    pub version: LocatedVersion,
    /// Whether it is a free-threaded build, according to the runtime; false for versions without such builds.
    pub free_threaded: bool,
    /// Path of the program in its own mount namespace.
    pub executable: String,
    /// Path of the file that contains the runtime: the program itself or a shared library.
    pub object_path: String,
    /// The types of coroutines and generators.
    pub types: TypeAddresses,
}

/// What is known about the version before an object has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocatedVersion {
    /// Minor version of CPython 3; certain.
    pub minor: u8,
    /// The whole version, if the program contains it as a number; older ones have it only as `sys.hexversion`.
    pub exact: Option<Version>,
}

/// Addresses of types, as far as the file has symbols for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TypeAddresses {
    /// `coroutine`.
    pub coroutine: Option<Addr>,
    /// `generator`.
    pub generator: Option<Addr>,
    /// `async_generator`.
    pub async_generator: Option<Addr>,
}

/// Finds CPython in `process`, and proves that its interpreters and threads are where its version keeps them.
pub fn locate(process: &Process, memory: &dyn Memory) -> Result<Located, LocateError> {
    let pid = process.pid();
    let maps = Maps::read(process)?;
    let gone = || AccessError::Exited { pid };
    let executable =
        process.executable().ok_or_else(|| if process.is_same() { AccessError::forbidden(pid) } else { gone() })?;
    let search = Search { process, memory, maps: &maps, executable: &executable };
    let mut failure = None;
    for module in ordered(&maps, &executable) {
        match search.module(&module) {
            Ok(Some(located)) => return Ok(located),
            Ok(None) => {}
            Err(error @ LocateError::Access(_)) => return Err(error),
            // An unused copy of the runtime may exist next to the running one, so the search continues; the user sees
            // the error of the likeliest file.
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    if let Some(located) = search.cookie()? {
        return Ok(located);
    }
    if !process.is_same() {
        // Whatever was not found, the reason is that the process was exiting.
        return Err(gone().into());
    }
    Err(failure.unwrap_or(LocateError::NotPython { pid, executable }))
}

/// Where a section of an extension module is loaded, whose file is called `module` and a dot: in a file of its own, or
/// built into the program or the library.
pub fn find_section(process: &Process, memory: &dyn Memory, module: &str, section: &'static str) -> Option<Addr> {
    let wanted = Wanted { sections: &[section], symbols: &[], local_symbols: false };
    let (maps, executable) = (Maps::read(process).ok()?, process.executable()?);
    let is_own = |file: &Module| file.name().strip_prefix(module).is_some_and(|rest| rest.starts_with('.'));
    let mut files = ordered(&maps, &executable);
    files.retain(|file| is_own(file) || rank(file, &executable) < Rank::Other);
    files.sort_by_key(|file| !is_own(file));
    files.iter().find_map(|file| {
        let elf = Elf::open(process, file, memory, wanted).ok()?;
        loaded(elf.load_bias(file)?, elf.section(section)?.address)
    })
}

/// How likely a file is to contain the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Library,
    Executable,
    Other,
}

fn rank(module: &Module, executable: &str) -> Rank {
    if version_in_name(&module.name(), "libpython").is_some() || module.name().starts_with("libpypy") {
        Rank::Library
    } else if module.path().to_string_lossy() == executable {
        Rank::Executable
    } else {
        Rank::Other
    }
}

/// The mapped files, likeliest first.
fn ordered(maps: &Maps, executable: &str) -> Vec<Module> {
    let mut modules = maps.modules();
    modules.truncate(MAX_MODULES);
    modules.sort_by_key(|m| rank(m, executable));
    modules
}

/// The version in names such as `libpython3.9.so.1.0`, `libpython3.7m.so` or `python2.7`.
fn version_in_name(name: &str, stem: &str) -> Option<(u8, u8)> {
    let (major, rest) = name.strip_prefix(stem)?.split_once('.')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((major.parse().ok()?, rest[..digits].parse().ok()?))
}

/// The version in a path such as `/usr/lib/libpython3.9.so.1.0` or `/usr/bin/python3.9`.
fn version_in_path(path: &str) -> Option<(u8, u8)> {
    let name = path.rsplit('/').next()?;
    version_in_name(name, "libpython").or_else(|| version_in_name(name, "python"))
}

/// The minor versions of strings such as `3.11.7`, `3.12.0rc2` and `3.10.1+`, also where they are the end of another one.
fn versions_in(bytes: &[u8]) -> Vec<u8> {
    let number = |bytes: &[u8]| {
        let digits = bytes.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
        let number: u8 = std::str::from_utf8(&bytes[..digits]).ok()?.parse().ok()?;
        Some((number, digits))
    };
    let version = |position: usize| {
        let is_begun = position > 0 && matches!(bytes[position - 1], b'0'..=b'9' | b'.');
        let rest = bytes[position..].strip_prefix(b"3.").filter(|_| !is_begun)?;
        let (minor, digits) = number(rest)?;
        let rest = rest[digits..].strip_prefix(b".")?;
        let (_, digits) = number(rest)?;
        let rest = &rest[digits..];
        let end = rest.iter().take(6).position(|byte| *byte == 0)?;
        let is_suffix = |byte: &u8| matches!(byte, b'a' | b'b' | b'r' | b'c' | b'+' | b'0'..=b'9');
        rest[..end].iter().all(is_suffix).then_some(minor)
    };
    (0..bytes.len()).filter(|position| bytes[*position] == b'3').filter_map(version).collect()
}

/// The data needed at every step of a search.
struct Search<'a> {
    process: &'a Process,
    memory: &'a dyn Memory,
    maps: &'a Maps,
    executable: &'a str,
}

impl Search<'_> {
    /// Searches one mapped file for the runtime; `None` if it is not there.
    fn module(&self, module: &Module) -> Result<Option<Located>, LocateError> {
        let pid = self.process.pid();
        let rank = rank(module, self.executable);
        // Searching the debugging symbols of every library would take seconds; exported names are enough for them.
        let wanted = Wanted { local_symbols: rank < Rank::Other, ..WANTED };
        let object = module.path().to_string_lossy().into_owned();
        let elf = match Elf::open(self.process, module, self.memory, wanted) {
            Ok(elf) => elf,
            Err(ElfError::OtherArchitecture(found)) if rank == Rank::Executable => {
                let expected = crate::remote::elf::OUR_ARCHITECTURE;
                return Err(AccessError::OtherArchitecture { pid, found, expected }.into());
            }
            Err(error) if rank == Rank::Library || version_in_path(&object).is_some() => {
                return Err(LocateError::Unreadable { pid, object, error });
            }
            Err(_) => return Ok(None),
        };
        if elf.symbol(PYPY_API).is_some() {
            return Err(LocateError::OtherImplementation { pid, name: "PyPy" });
        }
        let Some(address) = elf.section(RUNTIME_SECTION).map(|s| s.address).or_else(|| elf.symbol(RUNTIME_SYMBOL))
        else {
            return too_old_for_a_runtime(pid, &elf, &object);
        };
        let bias = elf.load_bias(module);
        let Some((bias, runtime)) = bias.and_then(|bias| Some((bias, loaded(bias, address)?))) else {
            return Ok(None);
        };
        self.runtime(runtime, &object, Some((&elf, bias))).map(Some)
    }

    /// Last resort if no file can be opened: the table of offsets starts with a cookie in a data segment.
    fn cookie(&self) -> Result<Option<Located>, LocateError> {
        let mut budget = MAX_SCAN;
        for mapping in self.maps.mappings().iter().filter(|m| m.readable && m.writable && m.file.inode != 0) {
            let mut at = mapping.start;
            while at < mapping.end && budget > 0 {
                let len = SCAN_STEP.min(mapping.end - at).min(budget);
                budget -= len;
                let mut bytes = vec![0; len as usize];
                let Some(addr) = Addr::new(at) else { break };
                if self.memory.read(addr, &mut bytes).is_ok() {
                    let found = bytes.chunks_exact(COOKIE.len()).position(|word| *word == COOKIE);
                    if let Some(runtime) = found.and_then(|index| addr.add((index * COOKIE.len()) as u64)) {
                        let object = mapping.path.to_string_lossy();
                        return self.runtime(runtime, &object, None).map(Some);
                    }
                }
                at += len;
            }
        }
        Ok(None)
    }

    /// Examines the runtime at `runtime`.
    fn runtime(&self, runtime: Addr, object: &str, elf: Option<(&Elf, u64)>) -> Result<Located, LocateError> {
        let pid = self.process.pid();
        let published = self.published(runtime)?;
        let version = match &published {
            Some(head) => LocatedVersion { minor: head.version.minor, exact: Some(head.version) },
            None => self.older_version(runtime, object, elf)?,
        };
        let shown = version.exact.map_or_else(|| format!("3.{}", version.minor), |exact| exact.to_string());
        if version.exact.is_some_and(|exact| exact.major != 3) {
            return Err(LocateError::Layout { pid, version: shown, what: "the major version is not 3" });
        }
        let free_threaded = published.as_ref().is_some_and(|head| head.free_threaded);
        let Some(mut layout) = row(version.minor, free_threaded) else {
            return Err(if is_too_old(version.minor) {
                LocateError::TooOld { pid, found: shown }
            } else {
                LocateError::TooNew { pid, found: shown }
            });
        };
        if let Some(head) = published {
            head.overlay(&mut layout);
        }
        self.prove(runtime, &layout, shown)?;
        let address = |name| elf.and_then(|(elf, bias)| loaded(bias, elf.symbol(name)?));
        Ok(Located {
            runtime,
            version,
            free_threaded,
            executable: self.executable.to_owned(),
            object_path: object.to_owned(),
            types: TypeAddresses {
                coroutine: address("PyCoro_Type"),
                generator: address("PyGen_Type"),
                async_generator: address("PyAsyncGen_Type"),
            },
        })
    }

    /// The head of the table of offsets; `None` if the runtime does not start with one.
    fn published(&self, runtime: Addr) -> Result<Option<Head>, LocateError> {
        let mut bytes = [0; HEAD_SIZE];
        match self.memory.read(runtime, &mut bytes) {
            Ok(()) => Ok(Head::parse(&bytes).ok()),
            Err(error) => Err(self.read_failed(error, "its runtime is not in readable memory", String::from("3"))),
        }
    }

    /// The version of a runtime without a table of offsets.
    fn older_version(
        &self,
        runtime: Addr,
        object: &str,
        elf: Option<(&Elf, u64)>,
    ) -> Result<LocatedVersion, LocateError> {
        let pid = self.process.pid();
        let unknown = || LocateError::UnknownVersion { pid, object: object.to_owned() };
        let (elf, bias) = elf.ok_or_else(unknown)?;
        if let Some(addr) = elf.symbol("Py_Version").and_then(|address| loaded(bias, address)) {
            let hex = self.memory.read_u64(addr);
            let hex = hex.map_err(|e| self.read_failed(e, "its version is not in readable memory", "3".into()))?;
            let exact = Version::from_hex(u32::try_from(hex).map_err(|_| unknown())?);
            return Ok(LocatedVersion { minor: exact.minor, exact: Some(exact) });
        }
        // The C API identifies the minor version for certain; a file name can be anything.
        let by_api = API_AGE.iter().find(|(name, _)| elf.symbol(name).is_some()).map(|&(_, minor)| minor);
        let by_api = by_api.or_else(|| elf.symbol(ANY_API).map(|_| AGE_OF_THE_REST));
        let by_name = || [object, self.executable].into_iter().find_map(version_in_path).filter(|v| v.0 == 3);
        let minor = by_api.or_else(|| by_name().map(|(_, minor)| minor));
        let minor = minor.or_else(|| self.version_in_strings(runtime, object)).ok_or_else(unknown)?;
        Ok(LocatedVersion { minor, exact: None })
    }

    /// The minor version of a runtime that is linked into a program without symbols: one that a string of the program is, and
    /// that has its lists where this runtime has them.
    // CPython: Python/getversion.c, v3.12.1: `Py_GetVersion` contains the version as a string.
    fn version_in_strings(&self, runtime: Addr, object: &str) -> Option<u8> {
        /// More than the length of such a string: it can lie across two pieces.
        const OVERLAP: u64 = 32;
        let (mut minors, mut budget) = (BTreeSet::new(), MAX_SCAN);
        let is_constant =
            |mapping: &&Mapping| mapping.readable && !mapping.writable && mapping.path == Path::new(object);
        for mapping in self.maps.mappings().iter().filter(is_constant) {
            let mut at = mapping.start;
            while at < mapping.end && budget > 0 {
                let len = (SCAN_STEP + OVERLAP).min(mapping.end - at).min(budget);
                let mut bytes = vec![0; len as usize];
                if self.memory.read(Addr::new(at)?, &mut bytes).is_ok() {
                    minors.extend(versions_in(&bytes));
                }
                budget -= len;
                at += SCAN_STEP;
            }
        }
        let is_proven = |minor: &u8| {
            let layout = row(*minor, false);
            layout.is_some_and(|layout| matches!(prove(self.memory, runtime, &layout), Ok(Proof::Running)))
        };
        let mut proven = minors.into_iter().filter(is_proven);
        proven.next().filter(|_| proven.next().is_none())
    }

    /// Proves, with the lists of interpreters and threads, that this is a running interpreter of the expected version:
    /// every thread points to its interpreter.
    fn prove(&self, runtime: Addr, layout: &Layout, version: String) -> Result<(), LocateError> {
        let pid = self.process.pid();
        let mut what = "";
        for _ in 0..ATTEMPTS {
            match prove(self.memory, runtime, layout) {
                Ok(Proof::Running) => return Ok(()),
                Ok(Proof::Starting) => return Err(LocateError::Starting { pid }),
                Ok(Proof::Finalizing) => return Err(LocateError::Finalizing { pid }),
                Ok(Proof::Contradiction(found)) => what = found,
                Err(error) if error.is_fatal() => return Err(self.read_failed(error, "", version)),
                Err(_) => what = "a list of interpreters or threads leads out of memory",
            }
        }
        Err(LocateError::Layout { pid, version, what })
    }

    fn read_failed(&self, error: ReadError, what: &'static str, version: String) -> LocateError {
        let pid = self.process.pid();
        match error {
            ReadError::Gone => AccessError::Exited { pid }.into(),
            ReadError::Forbidden => AccessError::forbidden(pid).into(),
            _ => LocateError::Layout { pid, version, what },
        }
    }
}

/// The meaning of a file without a runtime: not Python (`None`), or a Python older than `_PyRuntime`.
fn too_old_for_a_runtime(pid: i32, elf: &Elf, object: &str) -> Result<Option<Located>, LocateError> {
    if elf.symbol(ANY_API).is_none() {
        return Ok(None);
    }
    let found = match version_in_path(object) {
        Some((major, minor)) => format!("{major}.{minor}"),
        None if elf.symbol(PYTHON_2_API).is_some() => "2".into(),
        None => "3.6 or older".into(),
    };
    Err(LocateError::TooOld { pid, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_strings_of_a_program() {
        let strings = b"/usr/3.9.2/lib\0/opt/3.10.13\x003.11.7\x003.12.0rc2\x0013.8.1\x003.14159.hex()\x003.7.1 (main)\0%.80s\x003.8.20";
        assert_eq!(versions_in(strings), [10, 11, 12]);
        assert_eq!(versions_in(b"3.256.1\x003.\x003.8.\0"), [0; 0]);
    }

    #[test]
    fn versions_are_read_from_the_names_that_distributions_use() {
        assert_eq!(version_in_path("/usr/lib/libpython3.9.so.1.0"), Some((3, 9)));
        assert_eq!(version_in_path("/usr/lib/libpython3.7m.so.1.0"), Some((3, 7)));
        assert_eq!(version_in_path("/opt/x/python2.7"), Some((2, 7)));
        assert_eq!(version_in_path("/usr/bin/python3.13t"), Some((3, 13)));
        assert_eq!(version_in_path("/usr/bin/python3"), None);
        assert_eq!(version_in_path("/usr/lib/libpython3.so"), None);
        assert_eq!(version_in_path("/usr/bin/server"), None);
    }
}
