//! Finding CPython in real processes: every way a Python can be built, moved, deleted, caged or embedded, and everything
//! that is not a Python. What the machine lacks makes a test ignored, and is named.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails as loudly as the test")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use asyncprof::python::layout::rows;
use asyncprof::python::locate::{LocateError, Located, locate};
use asyncprof::remote::kernel_thread::{KernelThread, ThreadState};
use asyncprof::remote::live::LiveMemory;
use asyncprof::remote::permission::{Status, diagnose};
use asyncprof::remote::process::Stat;
use asyncprof::remote::stopped::{StopError, StoppedMemory};
use asyncprof::remote::{AccessError, Addr, Memory, Process, ReadError, Span};
use asyncprof::runtime::asyncio;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use support::trials::{missing, missing_python};

support::trials::trials! {
    every_python_is_found_and_is_what_it_says_of_itself,
    the_table_of_asyncio_is_found_as_soon_as_asyncio_is_imported,
    a_stripped_python_is_found,
    a_python_is_found_whatever_its_file_is_called,
    a_python_whose_files_were_deleted_after_its_start_is_found,
    a_python_whose_files_were_replaced_after_its_start_is_not_mistaken_for_the_new_ones,
    a_python_in_other_mount_and_process_namespaces_is_found_and_its_threads_are_numbered,
    a_python_in_a_chroot_is_found,
    a_python_with_several_interpreters_is_found,
    a_program_that_embeds_python_is_found,
    an_interpreter_that_is_still_starting_says_so,
    an_interpreter_that_shuts_down_says_so,
    pythons_before_the_oldest_are_refused_by_version,
    a_program_that_is_no_python_is_named,
    a_thread_of_the_kernel_is_refused,
    a_zombie_is_refused_and_is_not_the_process_it_was,
    a_program_for_another_machine_is_refused,
    a_process_that_exits_at_any_moment_of_the_search_is_said_to_have_exited,
    deleted_libraries_that_only_root_could_open_are_read_from_memory,
    a_reader_without_rights_is_told_why_it_may_not_read,
    a_stopped_process_stands_still_and_goes_on,
    a_process_that_job_control_has_stopped_is_read_and_stays_stopped,
    a_process_that_is_traced_already_is_refused_and_stays_traced,
    a_thread_that_cannot_be_interrupted_meets_the_deadline_and_the_process_is_let_go,
}

/// What a target says of itself, then it waits for its standard input to close.
const TRUTH: &str = r#"
import sys, os, types, threading
try:
    import ctypes
    runtime = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
except Exception:
    runtime = 0
free_threaded = "free-threading" in sys.version
print("ready", os.getpid(), threading.get_native_id(), sys.hexversion, runtime, id(types.CoroutineType),
      id(types.GeneratorType), id(types.AsyncGeneratorType), int(free_threaded), flush=True)
sys.stdin.read()
"#;

/// A Python of this machine.
#[derive(Clone, Debug)]
struct Python {
    /// The interpreter itself: no link, no wrapper script.
    path: PathBuf,
    prefix: PathBuf,
    version: (u8, u8),
    /// The shared library that holds the interpreter, where it is not in the program.
    library: Option<PathBuf>,
}

/// All Pythons that can be found: `ASYNCPROF_PYTHONS`, pyenv, `PATH`.
fn all_pythons() -> &'static [Python] {
    static FOUND: OnceLock<Vec<Python>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let paths = |name| std::env::var_os(name).map(|list| std::env::split_paths(&list).collect::<Vec<_>>());
        let mut candidates = paths("ASYNCPROF_PYTHONS").unwrap_or_default();
        let pyenv = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
        let pyenv = pyenv.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")));
        let versions = pyenv.and_then(|root| std::fs::read_dir(root.join("versions")).ok());
        candidates.extend(versions.into_iter().flatten().flatten().map(|entry| entry.path().join("bin/python")));
        for folder in paths("PATH").unwrap_or_default() {
            candidates.extend(["2.7", "3.7", "3", "3.13t"].map(|version| folder.join(format!("python{version}"))));
            candidates
                .extend((rows::OLDEST_MINOR..=rows::NEWEST_MINOR).map(|minor| folder.join(format!("python3.{minor}"))));
        }
        let mut found: Vec<Python> = Vec::new();
        for python in candidates.iter().filter_map(|path| examine(path)) {
            if !found.iter().any(|other| other.path == python.path) {
                found.push(python);
            }
        }
        found
    })
}

fn examine(path: &Path) -> Option<Python> {
    let script = "import os, sys\n\
                  print(os.path.realpath(sys.executable)); print(sys.prefix); print('%d %d' % sys.version_info[:2])\n\
                  maps = [l.split()[-1] for l in open('/proc/self/maps') if '/libpython' in l and '.so' in l]\n\
                  print(maps[0] if maps else '')";
    let output = Command::new(path).args(["-c", script]).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut lines = text.lines();
    let (path, prefix) = (lines.next()?.into(), lines.next()?.into());
    let (major, minor) = lines.next()?.split_once(' ')?;
    let library = lines.next().filter(|line| !line.is_empty()).map(PathBuf::from);
    Some(Python { path, prefix, version: (major.parse().ok()?, minor.parse().ok()?), library })
}

/// The Pythons that are supported.
fn pythons() -> Vec<Python> {
    let supported = |p: &&Python| p.version.0 == 3 && (rows::OLDEST_MINOR..=rows::NEWEST_MINOR).contains(&p.version.1);
    let found: Vec<Python> = all_pythons().iter().filter(supported).cloned().collect();
    if found.is_empty() {
        missing_python("no Python from 3.8 to 3.15 is installed");
    }
    found
}

/// One Python that is linked statically and one that has a shared library, as far as there are such.
fn one_of_each_kind() -> Vec<Python> {
    let found = pythons();
    let pick = |shared: bool| found.iter().rev().find(|p| p.library.is_some() == shared).cloned();
    if pick(false).is_none() {
        skip("no statically linked Python is installed");
    }
    if pick(true).is_none() {
        skip("no Python with a shared library is installed");
    }
    [pick(false), pick(true)].into_iter().flatten().collect()
}

/// Says loudly what a test could not do here.
fn skip(what: &str) {
    // Written to the stream itself: the test harness holds back what the macro prints.
    let _ = writeln!(std::io::stderr(), "SKIPPED in tests/attach.rs: {what}");
}

/// A running target; it dies with this.
struct Target {
    child: Child,
    _input: Option<ChildStdin>,
    /// The words of its `ready` line behind that word.
    said: Vec<String>,
}

impl Target {
    /// Starts `command` and waits for its `ready` line; `None` when it ends without one.
    fn start(command: &mut Command) -> Option<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
        let input = child.stdin.take();
        let mut line = String::new();
        let read = BufReader::new(child.stdout.take()?).read_line(&mut line);
        let said = line.split_whitespace().skip(1).map(str::to_owned).collect();
        let target = Self { child, _input: input, said };
        (read.is_ok() && line.starts_with("ready")).then_some(target)
    }

    fn python(python: &Python, script: &str) -> Self {
        let target = Self::start(Command::new(&python.path).args(["-c", script]));
        target.unwrap_or_else(|| panic!("{} does not run the script", python.path.display()))
    }

    fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    fn process(&self) -> Process {
        Process::open(self.pid()).unwrap()
    }

    fn number(&self, index: usize) -> u64 {
        self.said[index].parse().unwrap()
    }

    /// Compares what was found with what the target said by [`TRUTH`].
    fn agrees_with(&self, found: &Located) {
        let hex = self.number(2);
        assert_eq!(u64::from(found.version.minor), hex >> 16 & 0xff, "{found:?}");
        if let Some(exact) = found.version.exact {
            let shown = u32::from_be_bytes([exact.major, exact.minor, exact.micro, exact.release]);
            assert_eq!(u64::from(shown), hex, "{found:?}");
        }
        if self.number(3) != 0 {
            assert_eq!(found.runtime.raw(), self.number(3), "{found:?}");
        }
        let types = [found.types.coroutine, found.types.generator, found.types.async_generator];
        assert_eq!(types, [4, 5, 6].map(|index| Addr::new(self.number(index))), "{found:?}");
        assert_eq!(u64::from(found.free_threaded), self.number(7), "{found:?}");
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn find(process: &Process) -> Result<Located, LocateError> {
    locate(process, &LiveMemory::new(process.pid()))
}

/// Copies a program that will be run. Not by this process: a test that forks at the same time would keep the file open
/// for writing for a moment, and the kernel runs no such file.
fn copy_file(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

/// A copy of a Python's program and shared library, and how to run it.
struct Copy {
    folder: tempfile::TempDir,
    program: PathBuf,
    library: Option<PathBuf>,
    prefix: PathBuf,
}

impl Copy {
    fn of(python: &Python, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Other users must get at it too.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let program = folder.path().join(name);
        copy_file(&python.path, &program);
        let library = python.library.as_ref().map(|library| {
            let place = folder.path().join(library.file_name().unwrap());
            copy_file(library, &place);
            place
        });
        Self { folder, program, library, prefix: python.prefix.clone() }
    }

    /// Makes `command` start the copy.
    fn run_by(&self, mut command: Command) -> Target {
        command.args(["-c", TRUTH]).env("PYTHONHOME", &self.prefix).env("LD_LIBRARY_PATH", self.folder.path());
        Target::start(&mut command).expect("the copy of a Python runs")
    }

    fn start(&self) -> Target {
        self.run_by(Command::new(&self.program))
    }

    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.program).chain(&self.library)
    }
}

fn every_python_is_found_and_is_what_it_says_of_itself() {
    for python in pythons() {
        let target = Target::python(&python, TRUTH);
        let found = find(&target.process()).unwrap();
        target.agrees_with(&found);
        assert_eq!(Path::new(&found.executable), python.path);
        assert_eq!(Path::new(&found.object_path), python.library.as_ref().unwrap_or(&python.path));
    }
}

fn the_table_of_asyncio_is_found_as_soon_as_asyncio_is_imported() {
    for python in pythons().into_iter().filter(|p| p.version.1 >= 14) {
        let target = Target::python(&python, &format!("import asyncio\n{TRUTH}"));
        let found = find(&target.process()).unwrap();
        let layout = asyncio::layout::rows::row(&rows::row(found.version.minor, found.free_threaded).unwrap());
        let memory = LiveMemory::new(target.pid());
        let table = asyncio::locate::find_table(&target.process(), &memory, &layout).expect("the section is there");
        // Its first word is the size of a task.
        let size = memory.read_u64(table).unwrap();
        assert!((100..400).contains(&size), "{size}");
    }
}

fn a_stripped_python_is_found() {
    for python in one_of_each_kind() {
        let copy = Copy::of(&python, "python");
        let strip = |file| Command::new("strip").arg("--strip-all").arg(file).status();
        if !copy.files().all(|file| strip(file).is_ok_and(|status| status.success())) {
            missing("there is no strip");
        }
        let target = copy.start();
        target.agrees_with(&find(&target.process()).unwrap());
    }
}

fn a_python_is_found_whatever_its_file_is_called() {
    for python in one_of_each_kind() {
        let target = Copy::of(&python, "web server (x) 1").start();
        target.agrees_with(&find(&target.process()).unwrap());
    }
}

fn a_python_whose_files_were_deleted_after_its_start_is_found() {
    for python in one_of_each_kind() {
        let copy = Copy::of(&python, "python");
        let target = copy.start();
        copy.files().for_each(|file| std::fs::remove_file(file).unwrap());
        let process = target.process();
        let link = std::fs::read_link(format!("/proc/{}/exe", process.pid())).unwrap();
        assert!(link.to_str().unwrap().ends_with(" (deleted)"), "{}", link.display());
        let found = find(&process).unwrap();
        target.agrees_with(&found);
        assert_eq!(Path::new(&found.executable), copy.program, "without the kernel's mark");
    }
}

fn a_python_whose_files_were_replaced_after_its_start_is_not_mistaken_for_the_new_ones() {
    let found = pythons();
    for (old, new) in found.iter().zip(found.iter().skip(1)) {
        let copy = Copy::of(old, "python");
        let target = copy.start();
        let replacements = [(Some(&copy.program), Some(&new.path)), (copy.library.as_ref(), new.library.as_ref())];
        for (file, other) in replacements.into_iter().filter_map(|(file, other)| file.zip(other)) {
            std::fs::remove_file(file).unwrap();
            copy_file(other, file);
        }
        target.agrees_with(&find(&target.process()).unwrap());
    }
}

/// The process in a namespace that `unshare` has started: the innermost descendant.
fn innermost(target: &Target) -> Process {
    let descendants = target.process().descendants();
    let leaf = descendants.iter().find(|(pid, _)| descendants.iter().all(|(_, parent)| parent != pid));
    Process::open(leaf.map_or(target.pid(), |leaf| leaf.0)).unwrap()
}

fn a_python_in_other_mount_and_process_namespaces_is_found_and_its_threads_are_numbered() {
    for python in one_of_each_kind() {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child"]).arg(&python.path).args(["-c", TRUTH]);
        let Some(target) = Target::start(&mut command) else {
            missing("unshare --mount --pid is not allowed here");
        };
        let process = innermost(&target);
        assert_eq!(target.number(0), 1, "it is the first in its namespace");
        target.agrees_with(&find(&process).unwrap());
        let threads = process.namespaced_threads();
        let theirs = target.number(1) as i32;
        assert_eq!(threads.ours(theirs), Some(process.pid()));
        assert_eq!(threads.theirs(process.pid()), Some(theirs));
    }
}

fn a_python_in_a_chroot_is_found() {
    for python in one_of_each_kind() {
        let root = tempfile::tempdir().unwrap();
        // The whole tree seen at another place, for the processes of one mount namespace only.
        let script = "mount --rbind / \"$1\" && exec chroot \"$1\" \"$2\" -c \"$3\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(root.path()).arg(&python.path).arg(TRUTH);
        let Some(target) = Target::start(&mut command) else {
            missing("mounting and chroot are not allowed here");
        };
        target.agrees_with(&find(&target.process()).unwrap());
    }
}

fn a_python_with_several_interpreters_is_found() {
    let script = "try:\n    import _interpreters as i\nexcept ImportError:\n    import _xxsubinterpreters as i\n\
                  for _ in range(3): i.create()\n";
    for python in pythons() {
        let target = Target::python(&python, &format!("{script}{TRUTH}"));
        target.agrees_with(&find(&target.process()).unwrap());
    }
}

/// Compiles a C program, `None` when that cannot be done here.
fn compile(source: &str, folder: &Path, flags: &[String]) -> Option<PathBuf> {
    let (code, program) = (folder.join("server.c"), folder.join("server"));
    std::fs::write(&code, source).unwrap();
    let status = Command::new("cc").arg(&code).arg("-o").arg(&program).args(flags).status();
    status.is_ok_and(|status| status.success()).then_some(program)
}

/// A C program built against `python`, `None` when that cannot be done here.
fn embed(python: &Python, source: &str, folder: &Path) -> Option<PathBuf> {
    let config = python.prefix.join("bin").join(format!("python3.{}-config", python.version.1));
    let flags = |arguments: &[&str]| {
        let output = Command::new(&config).args(arguments).output().ok().filter(|output| output.status.success())?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    };
    let library = python.library.as_ref()?;
    let mut all = flags(&["--includes"])?;
    all.extend(flags(&["--ldflags", "--embed"])?);
    all.push(format!("-Wl,-rpath,{}", library.parent()?.display()));
    compile(source, folder, &all)
}

/// Runs an embedding program with the first Python that can be embedded, or says what is missing.
fn embedded(source: &str) -> Target {
    for python in pythons().into_iter().filter(|p| p.library.is_some()) {
        let folder = tempfile::tempdir().unwrap();
        if let Some(program) = embed(&python, source, folder.path()) {
            let mut command = Command::new(program);
            let target = Target::start(command.arg(TRUTH).env("PYTHONHOME", &python.prefix));
            return target.expect("the program runs");
        }
    }
    missing("no C compiler, or no Python to embed")
}

fn a_program_that_embeds_python_is_found() {
    let source = "#include <Python.h>\n\
                  int main(int argc, char **argv) { Py_Initialize(); return PyRun_SimpleString(argv[1]); }\n";
    let target = embedded(source);
    target.agrees_with(&find(&target.process()).unwrap());
}

fn an_interpreter_that_is_still_starting_says_so() {
    let source = "#include <Python.h>\n\
                  int main(void) { puts(Py_GetVersion() ? \"ready\" : \"\"); fflush(stdout); return getchar(); }\n";
    let target = embedded(source);
    assert_eq!(find(&target.process()), Err(LocateError::Starting { pid: target.pid() }));
}

fn an_interpreter_that_shuts_down_says_so() {
    // Modules are taken apart after the runtime is marked.
    let script = "import os, sys\n\
                  class Last:\n    def __del__(self, write=os.write, read=os.read): write(1, b'ready\\n'); read(0, 1)\n\
                  sys.last_of_all = Last()\n";
    for python in pythons() {
        let target = Target::python(&python, script);
        assert_eq!(find(&target.process()), Err(LocateError::Finalizing { pid: target.pid() }), "{python:?}");
    }
}

fn pythons_before_the_oldest_are_refused_by_version() {
    let script = "import sys; print('ready'); sys.stdout.flush(); sys.stdin.read()";
    let old: Vec<&Python> = all_pythons().iter().filter(|p| p.version < (3, 8)).collect();
    if old.is_empty() {
        missing("no Python before 3.8 is installed");
    }
    for python in old {
        let target = Target::python(python, script);
        let (major, minor) = python.version;
        let error = find(&target.process()).unwrap_err();
        assert_eq!(error, LocateError::TooOld { pid: target.pid(), found: format!("{major}.{minor}") });
    }
}

fn a_program_that_is_no_python_is_named() {
    let target = Target::start(Command::new("sh").args(["-c", "echo ready; read line"])).unwrap();
    let process = target.process();
    let (pid, executable) = (target.pid(), process.executable().unwrap());
    let error = find(&process).unwrap_err();
    assert_eq!(error.to_string(), format!("process {pid} is not a Python program: it runs {executable}"));
    assert_eq!(error, LocateError::NotPython { pid, executable });
}

fn a_thread_of_the_kernel_is_refused() {
    let mut threads = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let stat = Stat::parse(&std::fs::read(entry.path().join("stat")).ok()?)?;
        let pid = entry.file_name().to_str()?.parse::<i32>().ok()?;
        // PF_KTHREAD. Linux: include/linux/sched.h
        (stat.flags & 0x0020_0000 != 0).then_some((pid, stat.comm))
    });
    match threads.next() {
        Some((pid, comm)) => assert_eq!(Process::open(pid), Err(AccessError::KernelThread { pid, comm })),
        None => missing("no thread of the kernel can be seen here"),
    }
}

fn a_zombie_is_refused_and_is_not_the_process_it_was() {
    let mut target = Target::start(Command::new("sh").args(["-c", "echo ready; read line"])).unwrap();
    let (pid, process) = (target.pid(), target.process());
    target.child.kill().unwrap();
    waitid(Id::Pid(Pid::from_raw(pid)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
    assert!(matches!(Process::open(pid), Err(AccessError::Zombie { .. })));
    assert!(!process.is_same());
    assert!(matches!(find(&process), Err(LocateError::Access(AccessError::Exited { .. }))));
    target.child.wait().unwrap();
    assert_eq!(Process::open(pid), Err(AccessError::NoSuchProcess { pid }));
}

/// The smallest program for i386: says `ready` and waits for ever.
fn i386_program() -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let halves = |file: &mut Vec<u8>, list: &[u16]| list.iter().for_each(|half| file.extend(half.to_le_bytes()));
    let words = |file: &mut Vec<u8>, list: &[u32]| list.iter().for_each(|word| file.extend(word.to_le_bytes()));
    halves(&mut file, &[2, 3]);
    words(&mut file, &[1, BASE + 0x54, 0x34, 0, 0]);
    halves(&mut file, &[0x34, 0x20, 1, 0, 0, 0]);
    words(&mut file, &[1, 0, BASE, BASE, 0x100, 0x100, 5, 0x1000]);
    // write(1, BASE + 0xc0, 6); for (;;) pause();
    file.extend(
        b"\xb8\x04\0\0\0\xbb\x01\0\0\0\xb9\xc0\x80\x04\x08\xba\x06\0\0\0\xcd\x80\xb8\x1d\0\0\0\xcd\x80\xeb\xf7",
    );
    file.resize(0xc0, 0);
    file.extend(b"ready\n");
    file.resize(0x100, 0);
    file
}

fn a_program_for_another_machine_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, program) = (folder.path().join("bytes"), folder.path().join("python"));
    std::fs::write(&bytes, i386_program()).unwrap();
    std::fs::set_permissions(&bytes, PermissionsExt::from_mode(0o755)).unwrap();
    copy_file(&bytes, &program);
    let Some(target) = Target::start(&mut Command::new(program)) else {
        missing("this kernel does not run i386 programs");
    };
    let expected = asyncprof::remote::elf::OUR_ARCHITECTURE;
    let error = AccessError::OtherArchitecture { pid: target.pid(), found: "32-bit i386".into(), expected };
    assert_eq!(find(&target.process()), Err(LocateError::Access(error)));
    assert_eq!(diagnose(target.pid())[0].status, Status::Problem);
}

/// Kills the process before the read with this number.
struct KilledAt<'a> {
    memory: LiveMemory,
    target: &'a Target,
    reads_left: std::cell::Cell<usize>,
}

impl Memory for KilledAt<'_> {
    fn read_batch(&self, spans: &[Span], out: &mut [u8], results: &mut Vec<Result<(), ReadError>>) {
        if self.reads_left.get() == 0 {
            let pid = Pid::from_raw(self.target.pid());
            kill(pid, Signal::SIGKILL).unwrap();
            waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
        }
        self.reads_left.set(self.reads_left.get().saturating_sub(1));
        self.memory.read_batch(spans, out, results);
    }
}

fn a_process_that_exits_at_any_moment_of_the_search_is_said_to_have_exited() {
    let python = pythons().pop().unwrap();
    let mut reads = 0;
    loop {
        let target = Target::python(&python, TRUTH);
        let process = target.process();
        let memory = KilledAt { memory: LiveMemory::new(target.pid()), target: &target, reads_left: reads.into() };
        match locate(&process, &memory) {
            Err(error) => assert_eq!(error, AccessError::Exited { pid: target.pid() }.into(), "after {reads} reads"),
            // The search was over before.
            Ok(_) => break,
        }
        reads += 1;
    }
    assert!((5..64).contains(&reads), "{reads} reads");
}

const READER: &str = "ASYNCPROF_TEST_READ_PID";
const NOBODY: &str = "65534";

/// A command that runs `program` as a user without any rights.
fn as_nobody(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--inh-caps=-all"]).arg(program);
    command
}

/// What a reader says of process `pid` that is a copy of this test, started by the `setpriv` command that `restrict`
/// makes of its path.
fn read_by(restrict: impl Fn(&Path) -> Command, pid: i32) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let reader = folder.path().join("reader");
    copy_file(&std::env::current_exe().unwrap(), &reader);
    let arguments = ["--exact", "a_reader_without_rights_is_told_why_it_may_not_read", "--nocapture"];
    let output = restrict(&reader).args(arguments).env(READER, pid.to_string()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A command that runs `program` as root with the one right to trace, as in a container with that capability.
fn as_tracer(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-all,+sys_ptrace"]).arg(program);
    command
}

fn deleted_libraries_that_only_root_could_open_are_read_from_memory() {
    let root = nix::unistd::geteuid().is_root();
    if !root || !as_tracer(Path::new("true")).status().is_ok_and(|status| status.success()) {
        missing("only root can start readers with fewer rights (setpriv)");
    }
    for python in pythons() {
        let copy = Copy::of(&python, "python");
        let target = copy.start();
        copy.files().for_each(|file| std::fs::remove_file(file).unwrap());
        let found = find(&target.process()).unwrap();
        let answer = read_by(as_tracer, target.pid());
        let expected = format!("found {} at {} in {}", python.version.1, found.runtime, found.object_path);
        assert!(answer.contains(&expected), "{expected}: {answer}");
    }
}

fn a_reader_without_rights_is_told_why_it_may_not_read() {
    if let Ok(pid) = std::env::var(READER) {
        // This is the reader: a copy of this test, started by the lines below.
        match find(&Process::open(pid.parse().unwrap()).unwrap()) {
            Ok(found) => println!("\nfound {} at {} in {}", found.version.minor, found.runtime, found.object_path),
            Err(error) => println!("\nerror: {error}\nhint: {}", error.hint()),
        }
        return;
    }
    let root = nix::unistd::geteuid().is_root();
    if !root || !as_nobody(Path::new("true")).status().is_ok_and(|status| status.success()) {
        missing("only root can start readers without rights (setpriv)");
    }
    let readable = |p: &&Python| {
        // A Python that finds another one's files is no use.
        let script = "import ctypes, sys; sys.exit(sys.prefix != sys.argv[1])";
        let mut command = as_nobody(&p.path);
        command.args(["-c", script]).arg(&p.prefix).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let Some(python) = pythons().iter().find(readable).cloned() else {
        missing("no Python can be run by a user without rights");
    };

    let target = Target::python(&python, TRUTH);
    let answer = read_by(as_nobody, target.pid());
    assert!(answer.contains("permission denied (the target runs as user root, asyncprof as user #65534)"), "{answer}");

    let hidden = format!("import ctypes; ctypes.CDLL(None).prctl(4, 0)\n{TRUTH}");
    let hidden = Target::start(as_nobody(&python.path).args(["-c", &hidden])).unwrap();
    let answer = read_by(as_nobody, hidden.pid());
    assert!(answer.contains("the target is not dumpable"), "{answer}");
    assert!(answer.contains("hint: give asyncprof the capabilities: sudo setcap "), "{answer}");

    let copy = Copy::of(&python, "python");
    let same = copy.run_by(as_nobody(&copy.program));
    if std::fs::read("/proc/sys/kernel/yama/ptrace_scope").is_ok_and(|scope| scope != b"0\n") {
        missing("ptrace_scope keeps processes of one user apart here");
    }
    let found = format!("found {} at", python.version.1);
    let answer = read_by(as_nobody, same.pid());
    assert!(answer.contains(&found), "{answer}");
}

/// Starts and ends threads all the time.
const RESTLESS: &str = r#"
import sys, threading
def short(): pass
def busy():
    while True:
        threads = [threading.Thread(target=short, daemon=True) for _ in range(4)]
        for t in threads: t.start()
        for t in threads: t.join()
for _ in range(3): threading.Thread(target=busy, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"#;

/// Long enough for any machine; reaching it fails the test.
const LIMIT: Duration = Duration::from_secs(20);

fn a_stopped_process_stands_still_and_goes_on() {
    let python = pythons().pop().unwrap();
    let target = Target::python(&python, RESTLESS);
    let process = target.process();
    let states = || process.thread_ids().into_iter().filter_map(|tid| KernelThread::read(&process, tid).state);
    for _ in 0..20 {
        let memory = StoppedMemory::stop(&process, LIMIT).unwrap();
        // A thread that had ended already may leave the list at any time; none may begin.
        let threads = process.thread_ids();
        assert!(states().all(|state| matches!(state, ThreadState::Traced | ThreadState::Exited)));
        assert!(memory.guard().threads() > 3);
        locate(&process, &memory).unwrap();
        assert!(process.thread_ids().iter().all(|tid| threads.contains(tid)), "nothing moved");
        assert!(states().all(|state| matches!(state, ThreadState::Traced | ThreadState::Exited)));
        drop(memory);
        assert!(states().all(|state| state != ThreadState::Traced), "the guard is gone, so is the stop");
    }
}

fn a_process_that_job_control_has_stopped_is_read_and_stays_stopped() {
    let python = pythons().pop().unwrap();
    let target = Target::python(&python, TRUTH);
    let (process, pid) = (target.process(), Pid::from_raw(target.pid()));
    kill(pid, Signal::SIGSTOP).unwrap();
    waitid(Id::Pid(pid), WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT).unwrap();
    let memory = StoppedMemory::stop(&process, LIMIT).unwrap();
    target.agrees_with(&locate(&process, &memory).unwrap());
    drop(memory);
    assert_eq!(process.stat().map(|s| s.state), Some('T'));
}

fn a_process_that_is_traced_already_is_refused_and_stays_traced() {
    let python = pythons().pop().unwrap();
    let target = Target::python(&python, TRUTH);
    let process = target.process();
    let pid = Pid::from_raw(target.pid());
    ptrace::seize(pid, ptrace::Options::empty()).unwrap();
    let error = StoppedMemory::stop(&process, LIMIT).map(|_| ()).unwrap_err();
    assert!(matches!(error, StopError::Traced { .. }), "{error}");
    ptrace::interrupt(pid).unwrap();
    waitid(Id::Pid(pid), WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT).unwrap();
    assert_eq!(process.stat().map(|s| s.state), Some('t'));
    ptrace::detach(pid, None).unwrap();
}

fn a_thread_that_cannot_be_interrupted_meets_the_deadline_and_the_process_is_let_go() {
    // A parent waits for the child of a vfork where no signal but the last reaches it.
    let source = "#include <unistd.h>\n\
                  int main(void) { char c; if (!vfork()) { write(1, \"ready\\n\", 6); read(0, &c, 1); _exit(0); } }\n";
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = compile(source, folder.path(), &[]) else { missing("there is no C compiler") };
    let target = Target::start(&mut Command::new(program)).unwrap();
    let (process, limit) = (target.process(), Duration::from_millis(20));
    let error = StoppedMemory::stop(&process, limit).map(|_| ()).unwrap_err();
    assert_eq!(error, StopError::Deadline { pid: target.pid(), limit });
    let tracers = std::fs::read_to_string(format!("/proc/{}/status", target.pid())).unwrap();
    assert!(tracers.contains("TracerPid:\t0\n"), "{tracers}");
}
