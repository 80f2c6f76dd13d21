//! One process as the kernel identifies it: which one it is, what it runs, its threads.

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::access::{AccessError, IoFailure, PROC_FIX, classify};

/// LIMIT: threads listed for one process; far above what a program can use, below what would harm us.
const MAX_THREADS: usize = 65_536;

/// A flag in `/proc/PID/stat`: a kernel thread. Linux: include/linux/sched.h.
const PF_KTHREAD: u64 = 0x0020_0000;

/// A process, distinguished from a later one with the same id by its start time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pid: i32,
    start_ticks: u64,
}

/// Whether a process is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    There(Stat),
    /// It is a zombie, or its id belongs to nobody or to another process.
    Gone,
    /// That cannot be read.
    Unknown,
}

impl Process {
    /// The process `pid`, if it is one whose memory can be read in principle. Permission is not checked here.
    pub fn open(pid: i32) -> Result<Self, AccessError> {
        if pid <= 0 {
            return Err(AccessError::NoSuchProcess { pid });
        }
        let path = format!("/proc/{pid}/stat");
        let bytes = fs::read(&path).map_err(|error| match classify(&error) {
            IoFailure::Gone if !Path::new("/proc/self/stat").exists() => {
                AccessError::Proc { path: "/proc".into(), error: "it is not mounted".into(), fix: PROC_FIX }
            }
            // A signal that is none: only whether there is such a process.
            IoFailure::Gone if kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH) => AccessError::Hidden { pid },
            IoFailure::Gone => AccessError::NoSuchProcess { pid },
            _ => AccessError::from_proc(pid, &path, &error),
        })?;
        let stat = Stat::parse(&bytes).ok_or_else(|| AccessError::Proc {
            path,
            error: "its format is not the kernel's".into(),
            fix: PROC_FIX,
        })?;
        if let Some(leader) = status_number(pid, "Tgid:").filter(|&leader| leader != pid) {
            return Err(AccessError::Thread { tid: pid, pid: leader });
        }
        if stat.flags & PF_KTHREAD != 0 {
            return Err(AccessError::KernelThread { pid, comm: stat.comm });
        }
        if is_over(pid, &stat) {
            return Err(AccessError::Zombie { pid, comm: stat.comm });
        }
        Ok(Self { pid, start_ticks: stat.start_ticks })
    }

    /// Whether its descriptor `fd` is one of epoll.
    // Linux: fs/eventpoll.c, the name of its inode.
    pub fn is_epoll(&self, fd: i32) -> bool {
        fs::read_link(format!("/proc/{}/fd/{fd}", self.pid)).is_ok_and(|to| to.as_os_str() == "anon_inode:[eventpoll]")
    }

    /// A thread that has its memory: the first one, or another once that has ended, which takes with it what `/proc/PID` shows
    /// of the memory. Costs one small file.
    pub fn living_thread(&self) -> i32 {
        match self.stat() {
            Some(stat) if stat.state == 'Z' => other_thread(self.pid).unwrap_or(self.pid),
            _ => self.pid,
        }
    }

    /// The folder in `/proc` of that thread.
    pub(super) fn folder(&self) -> String {
        format!("/proc/{}/task/{}", self.pid, self.living_thread())
    }

    /// Its id, in our process namespace.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// When it started, in clock ticks since boot.
    pub fn start_ticks(&self) -> u64 {
        self.start_ticks
    }

    /// The same id with another start time.
    #[cfg(test)]
    pub(crate) fn started_at(self, start_ticks: u64) -> Self {
        Self { start_ticks, ..self }
    }

    /// Whether the process is still there. What keeps us from looking, such as a limit on open files, says nothing about it.
    pub fn presence(&self) -> Presence {
        match fs::read(format!("/proc/{}/stat", self.pid)) {
            Ok(bytes) => match Stat::parse(&bytes) {
                Some(stat) if stat.start_ticks == self.start_ticks && !is_over(self.pid, &stat) => {
                    Presence::There(stat)
                }
                Some(_) => Presence::Gone,
                None => Presence::Unknown,
            },
            Err(error) if classify(&error) == IoFailure::Gone => Presence::Gone,
            Err(_) => Presence::Unknown,
        }
    }

    /// Whether the id still belongs to this process, and it is not a zombie; also if that cannot be known.
    pub fn is_same(&self) -> bool {
        self.presence() != Presence::Gone
    }

    /// Its current `stat`; `None` if it is gone.
    pub fn stat(&self) -> Option<Stat> {
        Stat::parse(&fs::read(format!("/proc/{}/stat", self.pid)).ok()?)
    }

    /// Path of its executable in its own mount namespace, without the kernel's mark for a deleted file; `None` without
    /// permission.
    pub fn executable(&self) -> Option<String> {
        let link = fs::read_link(format!("{}/exe", self.folder())).ok()?;
        Some(strip_deleted(&link.to_string_lossy()).to_owned())
    }

    /// Its command line; empty when the kernel shows none. Bytes that are not UTF-8 are replaced.
    pub fn command_line(&self) -> Vec<String> {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let mut arguments: Vec<String> =
            bytes.split(|&b| b == 0).map(|a| String::from_utf8_lossy(a).into_owned()).collect();
        // Every argument ends with a zero byte, so the last piece is what follows the end.
        if arguments.last().is_some_and(String::is_empty) {
            arguments.pop();
        }
        arguments
    }

    /// Its threads' ids in our process namespace, oldest first; empty when it is gone.
    pub fn thread_ids(&self) -> Vec<i32> {
        let threads = self.remote().and_then(|p| p.threads()).unwrap_or_default();
        let mut ids: Vec<i32> = threads.iter().take(MAX_THREADS).filter_map(|t| t.id().ok()).collect();
        ids.sort_unstable();
        ids
    }

    /// Its descendants as (process, parent), in no particular order.
    pub fn descendants(&self) -> Vec<(i32, i32)> {
        self.remote().and_then(|p| p.child_processes()).unwrap_or_default()
    }

    /// The kernel's name of a thread (`comm`, at most 15 bytes); `None` if it is gone.
    pub fn thread_name(&self, tid: i32) -> Option<String> {
        let bytes = fs::read(format!("/proc/{}/task/{tid}/comm", self.pid)).ok()?;
        Some(String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or(&bytes)).into_owned())
    }

    /// Its threads' ids in both process namespaces.
    pub fn namespaced_threads(&self) -> ThreadIds {
        let ids = self.thread_ids();
        let same = self.namespace_ids(self.pid).is_none_or(|ids| ids.len() < 2);
        let pairs = ids.into_iter().filter_map(|ours| {
            let theirs = if same { ours } else { *self.namespace_ids(ours)?.last()? };
            Some((ours, theirs))
        });
        ThreadIds { pairs: pairs.collect() }
    }

    /// The ids of a thread, from our process namespace inwards to its own.
    fn namespace_ids(&self, tid: i32) -> Option<Vec<i32>> {
        let status = fs::read(format!("/proc/{}/task/{tid}/status", self.pid)).ok()?;
        parse_namespace_ids(&status)
    }

    fn remote(&self) -> Result<remoteprocess::Process, remoteprocess::Error> {
        remoteprocess::Process::new(self.pid)
    }
}

/// Whether a process has ended. Its first thread is a zombie too once it alone has ended, and for a moment while another thread
/// executes a program.
fn is_over(pid: i32, stat: &Stat) -> bool {
    match stat.state {
        // Another thread that executes a program becomes the first one after it was asked for.
        'Z' => other_thread(pid).is_none() && is_zombie(pid),
        state => state == 'X',
    }
}

/// Whether the first thread has ended; not where that cannot be read.
fn is_zombie(pid: i32) -> bool {
    match fs::read(format!("/proc/{pid}/stat")) {
        Ok(bytes) => Stat::parse(&bytes).is_some_and(|stat| stat.state == 'Z'),
        Err(error) => classify(&error) == IoFailure::Gone,
    }
}

/// A thread other than the first that lives.
fn other_thread(pid: i32) -> Option<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?.take(MAX_THREADS).flatten();
    let ids = threads.filter_map(|thread| thread.file_name().to_str()?.parse().ok());
    ids.filter(|tid| *tid != pid).find(|tid| {
        let stat = fs::read(format!("/proc/{pid}/task/{tid}/stat")).ok().and_then(|bytes| Stat::parse(&bytes));
        stat.is_some_and(|stat| !matches!(stat.state, 'Z' | 'X'))
    })
}

/// Thread ids in both process namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadIds {
    /// (ours, theirs).
    pairs: Vec<(i32, i32)>,
}

impl ThreadIds {
    /// Our id of the thread with id `theirs` in its own namespace; `None` if there is none.
    pub fn ours(&self, theirs: i32) -> Option<i32> {
        self.pairs.iter().find(|pair| pair.1 == theirs).map(|pair| pair.0)
    }

    /// The id, in the target's namespace, of the thread that is `ours` in our namespace.
    pub fn theirs(&self, ours: i32) -> Option<i32> {
        self.pairs.iter().find(|pair| pair.0 == ours).map(|pair| pair.1)
    }

    /// All pairs (ours, theirs), oldest first.
    pub fn pairs(&self) -> &[(i32, i32)] {
        &self.pairs
    }
}

/// The fields of `/proc/PID/stat` that are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Name, at most 15 bytes; bytes that are not UTF-8 are replaced.
    pub comm: String,
    /// `R` running, `S` sleeping, `D` uninterruptible, `T` stopped, `t` traced, `Z` zombie, `X` dead.
    pub state: char,
    /// The parent's id.
    pub parent: i32,
    /// `PF_` flags.
    pub flags: u64,
    /// Clock ticks since boot.
    pub start_ticks: u64,
}

impl Stat {
    /// Parses the line; `None` if it is not valid. Linux: man 5 proc_pid_stat.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        // The name may contain spaces and parentheses, so it ends at the last one.
        let open = bytes.iter().position(|&b| b == b'(')?;
        let close = bytes.iter().rposition(|&b| b == b')').filter(|&close| close > open)?;
        let comm = String::from_utf8_lossy(&bytes[open + 1..close]).into_owned();
        let rest = std::str::from_utf8(&bytes[close + 1..]).ok()?;
        // The first field after the name is number 3.
        let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3);
        Some(Self {
            comm,
            state: field(3)?.chars().next()?,
            parent: field(4)?.parse().ok()?,
            flags: field(9)?.parse().ok()?,
            start_ticks: field(22)?.parse().ok()?,
        })
    }
}

/// The kernel's mark after the path of a mapped or executed file that was deleted.
pub(super) const DELETED: &str = " (deleted)";

/// The path without the kernel's mark for a deleted file.
pub(super) fn strip_deleted(path: &str) -> &str {
    path.strip_suffix(DELETED).unwrap_or(path)
}

fn parse_namespace_ids(status: &[u8]) -> Option<Vec<i32>> {
    let line = status.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"NSpid:"))?;
    std::str::from_utf8(line).ok()?.split_ascii_whitespace().map(|id| id.parse().ok()).collect()
}

/// A number in `/proc/PID/status`.
pub(super) fn status_number(pid: i32, key: &str) -> Option<i32> {
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    let line = status.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(key.as_bytes()))?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REST: &str = "S 1 2 3 4 5 4194560 7 8 9 10 11 12 13 14 20 0 1 0 5519 17";

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = Stat::parse(format!("42 (a) S (b)) {REST}\n").as_bytes()).unwrap();
        assert_eq!(stat.comm, "a) S (b)");
        assert_eq!((stat.state, stat.parent, stat.flags, stat.start_ticks), ('S', 1, 4_194_560, 5519));
    }

    #[test]
    fn a_line_that_is_cut_off_is_not_a_process() {
        assert_eq!(Stat::parse(b""), None);
        assert_eq!(Stat::parse(b"42 )("), None);
        assert_eq!(Stat::parse(b"42 (python) S 1 2"), None);
    }

    #[test]
    fn ids_are_listed_from_our_namespace_inwards() {
        assert_eq!(parse_namespace_ids(b"Name:\tx\nNSpid:\t4211\t17\t3\n"), Some(vec![4211, 17, 3]));
        assert_eq!(parse_namespace_ids(b"Name:\tx\n"), None);
        let ids = ThreadIds { pairs: vec![(4211, 1), (4212, 2)] };
        assert_eq!((ids.ours(2), ids.theirs(4211), ids.ours(4212)), (Some(4212), Some(1), None));
    }

    #[test]
    fn this_very_process_is_recognised_and_its_threads_are_listed() {
        let pid = std::process::id() as i32;
        let process = Process::open(pid).unwrap();
        assert!(process.is_same());
        assert!(process.thread_ids().contains(&pid));
        assert_eq!(process.namespaced_threads().pairs().len(), process.thread_ids().len());
        assert!(!process.command_line().is_empty());
        let later = Process { start_ticks: process.start_ticks + 1, ..process };
        assert!(!later.is_same(), "another start time is another process");
    }

    #[test]
    fn a_thread_id_is_refused_with_the_process_it_belongs_to() {
        let pid = std::process::id() as i32;
        let answer = std::thread::spawn(|| {
            let tid = nix::unistd::gettid().as_raw();
            (tid, Process::open(tid))
        });
        let (tid, answer) = answer.join().unwrap();
        assert_eq!(answer, Err(AccessError::Thread { tid, pid }));
    }

    #[test]
    fn numbers_that_cannot_be_a_process_are_refused() {
        for pid in [0, -1, i32::MAX] {
            assert_eq!(Process::open(pid), Err(AccessError::NoSuchProcess { pid }));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_stat_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Stat::parse(&bytes);
            let _ = parse_namespace_ids(&bytes);
        }

        #[test]
        fn every_name_leaves_the_fields_where_they_are(name in "[ -~]{0,15}") {
            let stat = Stat::parse(format!("42 ({name}) {REST}").as_bytes()).unwrap();
            prop_assert_eq!(stat.comm, name);
            prop_assert_eq!(stat.start_ticks, 5519);
        }
    }
}
