//! The facts that decide whether we may read a process, as far as they can be determined.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::remote::access::{IoFailure, classify};
use crate::remote::addr::Addr;
use crate::remote::elf::{self, ElfError};
use crate::remote::live::LiveMemory;
use crate::remote::maps::Maps;
use crate::remote::memory::{Memory, ReadError};
use crate::remote::process::Process;

/// LIMIT: generations of parents followed to see whether the target is our descendant.
const MAX_ANCESTORS: usize = 128;

/// The facts that decide whether we may read a process. `None` means unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The target.
    pub pid: i32,
    /// Our credentials.
    pub ours: Credentials,
    /// The target's credentials.
    pub theirs: Option<Credentials>,
    /// The name of the target's user.
    pub user_name: Option<String>,
    /// Owner of `/proc/PID/maps`: root instead of the target's user when the kernel protects the target's memory.
    /// Linux: fs/proc/base.c, `task_dump_owner`; the folder itself always belongs to the user.
    pub proc_owner: Option<u32>,
    /// Whether both are in the same user namespace.
    pub same_user_namespace: Option<bool>,
    /// Whether both are in the same PID namespace.
    pub same_pid_namespace: Option<bool>,
    /// `/proc/sys/kernel/yama/ptrace_scope`; `None`: the kernel has no such rule.
    pub ptrace_scope: Option<u8>,
    /// Whether the target was started by us or by one of our children.
    pub descendant: bool,
    /// Our seccomp mode: 0 none, 1 strict, 2 filter.
    pub seccomp: Option<u8>,
    /// Whether we can read our own memory by the same system call: fails if a filter forbids the call itself.
    pub own_read: Result<(), ReadError>,
    /// The architecture of the target's executable, if it differs from ours.
    pub other_architecture: Option<String>,
    /// Whether the system calls of its threads can be seen.
    pub shows_system_calls: bool,
    /// The result of an attempt to read.
    pub attempt: Result<(), AttemptError>,
}

/// How an attempt to read failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptError {
    /// Its list of mappings may not be read.
    Maps,
    /// Its memory may not be read.
    Memory,
    /// It is gone.
    Gone,
}

/// Users, groups and capabilities of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Real, effective and saved user.
    pub users: [u32; 3],
    /// Real, effective and saved group.
    pub groups: [u32; 3],
    /// Permitted capabilities, as a bit set.
    pub permitted: u64,
    /// Effective capabilities, as a bit set.
    pub effective: u64,
    /// The capabilities that it can ever have, as a bit set.
    pub bounding: u64,
}

impl Credentials {
    /// Parses `/proc/PID/status`.
    pub fn parse(status: &str) -> Option<Self> {
        let field = |key: &str| status.lines().find_map(|line| line.strip_prefix(key));
        let ids = |key| {
            let mut words = field(key)?.split_ascii_whitespace().map(|word| word.parse().ok());
            Some([words.next()??, words.next()??, words.next()??])
        };
        let bits = |key| u64::from_str_radix(field(key)?.trim(), 16).ok();
        Some(Self {
            users: ids("Uid:")?,
            groups: ids("Gid:")?,
            permitted: bits("CapPrm:")?,
            effective: bits("CapEff:")?,
            bounding: bits("CapBnd:")?,
        })
    }
}

impl Facts {
    /// Gathers the facts about reading process `pid`.
    pub fn gather(process: &Process) -> Self {
        let pid = process.pid();
        let status = |pid: &str| fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let (our_status, their_status) = (status("self"), status(&pid.to_string()));
        let theirs = Credentials::parse(&their_status);
        let seccomp = our_status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
        Self {
            pid,
            ours: Credentials::parse(&our_status).unwrap_or_default(),
            user_name: theirs.and_then(|c| user_name(c.users[1])),
            theirs,
            proc_owner: fs::metadata(format!("/proc/{pid}/maps")).ok().map(|m| m.uid()),
            same_user_namespace: same_namespace(pid, "user"),
            same_pid_namespace: same_namespace(pid, "pid"),
            ptrace_scope: fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope")
                .ok()
                .and_then(|text| text.trim().parse().ok()),
            descendant: descends_from_us(process),
            seccomp: seccomp.and_then(|mode| mode.trim().parse().ok()),
            own_read: read_ourselves(),
            other_architecture: other_architecture(pid),
            shows_system_calls: fs::read(format!("/proc/{pid}/task/{pid}/syscall")).is_ok(),
            attempt: attempt(process),
        }
    }
}

fn user_name(uid: u32) -> Option<String> {
    Some(nix::unistd::User::from_uid(uid.into()).ok()??.name)
}

fn same_namespace(pid: i32, kind: &str) -> Option<bool> {
    let ours = fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
    Some(ours == fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?)
}

fn descends_from_us(process: &Process) -> bool {
    let ours = std::process::id() as i32;
    let mut parent = process.stat().map(|s| s.parent);
    for _ in 0..MAX_ANCESTORS {
        match parent {
            Some(pid) if pid == ours => return true,
            Some(pid) if pid > 1 => parent = Process::open(pid).ok().and_then(|p| p.stat()).map(|s| s.parent),
            _ => return false,
        }
    }
    false
}

fn read_ourselves() -> Result<(), ReadError> {
    let probe = [0x5au8; 8];
    let addr = Addr::new(probe.as_ptr() as u64).ok_or(ReadError::Forbidden)?;
    LiveMemory::new(std::process::id() as i32).read(addr, &mut [0; 8])
}

fn other_architecture(pid: i32) -> Option<String> {
    match elf::check_architecture(&fs::File::open(format!("/proc/{pid}/exe")).ok()?) {
        Err(ElfError::OtherArchitecture(found)) => Some(found),
        _ => None,
    }
}

pub(super) fn attempt(process: &Process) -> Result<(), AttemptError> {
    // Not with `Maps::read`, whose errors call this function for their reason.
    let bytes = fs::read(format!("{}/maps", process.folder())).map_err(|error| match classify(&error) {
        IoFailure::Gone => AttemptError::Gone,
        _ => AttemptError::Maps,
    })?;
    let maps = Maps::parse(&bytes);
    let readable = maps.mappings().iter().filter(|m| m.readable).filter_map(|m| Addr::new(m.start)).next();
    let addr = readable.ok_or(AttemptError::Gone)?;
    match LiveMemory::of(process).read(addr, &mut [0; 8]) {
        Err(ReadError::Forbidden) => Err(AttemptError::Memory),
        Err(ReadError::Gone) => Err(AttemptError::Gone),
        // A piece that vanished was at least not forbidden.
        _ => Ok(()),
    }
}
