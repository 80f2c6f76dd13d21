//! Interpreters and systems in shapes that are not the usual ones: programs without symbols, processes that the kernel shows in
//! part. What this machine cannot do (no compiler, not root) is reported as ignored.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use support::command::asyncprof;
use support::pythons::{Interpreter, Wanted, every, newest, oldest};
use support::target::{Program, Target};
use support::trials::missing;

support::trials::trials! {
    a_process_whose_first_thread_has_ended_is_read,
    a_process_that_proc_does_not_show_is_not_said_to_be_missing,
    a_machine_without_proc_is_told_to_mount_it,
    with_the_capability_to_trace_alone_a_sleep_has_its_name;
    on each of without_tables_of_offsets() =>
        a_program_that_contains_python_and_no_symbols_is_read,
        a_library_without_a_table_of_sections_is_read
}

/// Those that have a section for the runtime, and not yet a table of offsets that begins with their version.
fn without_tables_of_offsets() -> Vec<Wanted> {
    every().into_iter().filter(|(which, _)| (10..=12).contains(&which.minor) && !which.free_threaded).collect()
}

/// A task that waits, and then `ready`.
const WAITS: &str = "
import asyncio
async def main():
    waits = asyncio.create_task(asyncio.sleep(1000), name='waits')
    await asyncio.sleep(0)
    print('ready', flush=True)
    await waits
asyncio.run(main())";

/// Without exported symbols no extension module can be imported, and so no asyncio.
const SLEEPS: &str = "
import time
def sleeps():
    print('ready', flush=True)
    time.sleep(1000)
sleeps()";

/// A program that runs its first argument.
const EMBEDDING: &str = "
#include <Python.h>
int main(int count, char **arguments) {
    Py_Initialize();
    return count < 2 || PyRun_SimpleString(arguments[1]);
}";

/// A user who owns nothing.
const NOBODY: &str = "65534";

fn program(path: &str) -> Program {
    Program::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/builds").join(path))
}

/// What an interpreter says of how it was built.
fn config(python: &Interpreter, name: &str) -> String {
    let code = format!("import sysconfig; print(sysconfig.get_config_var('{name}') or '')");
    let output = Command::new(&python.path).args(["-c", &code]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Runs a command that must succeed.
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

fn dump_of(target: &Target) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let output = asyncprof(folder.path(), &["dump", "-f", "json", &target.pid().to_string()]).output().unwrap();
    // 5: it does not use asyncio.
    assert!(matches!(output.status.code(), Some(0 | 5)), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A dump, which is of the interpreter's version.
fn dump_of_version(target: &Target, python: &Interpreter) -> Value {
    let dump = dump_of(target);
    assert_eq!(dump["python"]["version"], *python.version, "{:#}", dump["python"]);
    dump
}

/// Checks that a dump shows the task of [`WAITS`].
fn check_waits(target: &Target, python: &Interpreter) {
    let dump = dump_of_version(target, python);
    let waits = dump["tasks"].as_array().unwrap().iter().find(|task| task["name"] == "waits").unwrap();
    assert_eq!(waits["awaiting"]["kind"], "sleep", "{waits:#}");
}

fn a_program_that_contains_python_and_no_symbols_is_read(python: &Interpreter) {
    let library = Path::new(&config(python, "LIBPL")).join(config(python, "LIBRARY"));
    if !library.is_file() || Command::new("cc").arg("--version").output().is_err() {
        missing(&format!("cannot link {} into a program", library.display()));
    }
    let folder = tempfile::tempdir().unwrap();
    let (source, path) = (folder.path().join("embedding.c"), folder.path().join("service"));
    fs::write(&source, EMBEDDING).unwrap();
    let mut compiler = Command::new("cc");
    // -s: no symbols, and without -rdynamic no exported ones.
    compiler.args(["-s", "-I", &config(python, "INCLUDEPY"), "-o"]).arg(&path).arg(&source).arg(&library);
    compiler.args(config(python, "LIBS").split_whitespace()).args(["-lm", "-ldl", "-lpthread", "-lutil"]);
    run(&mut compiler);
    let mut command = Command::new(path);
    command.arg(SLEEPS).env("PYTHONHOME", config(python, "prefix"));
    let target = Target::start_command(command, folder).unwrap();
    let dump = dump_of_version(&target, python);
    assert_eq!(dump["threads"][0]["stack"][1]["function"], "sleeps", "{:#}", dump["threads"]);
}

fn a_library_without_a_table_of_sections_is_read(python: &Interpreter) {
    let library = Path::new(&config(python, "LIBDIR")).join(config(python, "INSTSONAME"));
    if config(python, "Py_ENABLE_SHARED") != "1" || !library.is_file() {
        missing("an interpreter with a shared library");
    }
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join(library.file_name().unwrap());
    let mut bytes = fs::read(&library).unwrap();
    // ELF64: e_shoff; e_shnum and e_shstrndx. man 5 elf.
    bytes[0x28..0x30].fill(0);
    bytes[0x3c..0x40].fill(0);
    fs::write(&copy, bytes).unwrap();
    let mut command = Command::new(&python.path);
    // The loader takes it for the one with the same name that the program asks for.
    command.args(["-c", WAITS]).env("LD_PRELOAD", copy);
    check_waits(&Target::start_command(command, folder).unwrap(), python);
}

fn a_process_whose_first_thread_has_ended_is_read() {
    for python in [oldest(), newest()] {
        let target = Target::start(python, &program("first_thread_ends.py"), &[]).unwrap();
        let stat = || fs::read_to_string(format!("/proc/{}/stat", target.pid())).unwrap();
        while !stat().contains(") Z ") {
            std::thread::yield_now();
        }
        let dump = dump_of(&target);
        let stacks: Vec<&Value> = dump["tasks"].as_array().unwrap().iter().map(|task| &task["stack"]).collect();
        assert!(stacks.iter().any(|stack| stack[0]["function"] == "main"), "{}: {stacks:#?}", python.version);
    }
}

/// asyncprof where a user who owns nothing can run it.
fn for_everybody(folder: &Path) -> PathBuf {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    let path = folder.join("asyncprof");
    fs::copy(env!("CARGO_BIN_EXE_asyncprof"), &path).unwrap();
    path
}

/// Runs a shell script as root in mount namespaces of its own, with asyncprof as `$0` and a process id as `$1`.
fn in_own_namespace(script: &str, pid: u32) -> Output {
    let may = Command::new("unshare").args(["-m", "true"]).output().is_ok_and(|output| output.status.success());
    if !may || Command::new("setpriv").arg("--version").output().is_err() {
        missing("root, unshare and setpriv");
    }
    let folder = tempfile::tempdir().unwrap();
    let asyncprof = for_everybody(folder.path());
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", script]).arg(asyncprof).arg(pid.to_string()).current_dir(folder.path());
    command.output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn a_process_that_proc_does_not_show_is_not_said_to_be_missing() {
    let target = Target::start(newest(), &program("blocks.py"), &[]).unwrap();
    let script = format!(
        "mount -t proc -o hidepid=2 proc /proc
        exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups \"$0\" dump \"$1\""
    );
    let output = in_own_namespace(&script, target.pid());
    let said = errors(&output);
    assert!(said.contains("it exists, but /proc does not show it"), "{said}");
    assert!(said.contains("hidepid=0"), "{said}");
    assert_eq!(output.status.code(), Some(3));
}

fn a_machine_without_proc_is_told_to_mount_it() {
    let target = Target::start(newest(), &program("blocks.py"), &[]).unwrap();
    let output = in_own_namespace("umount -l /proc; exec \"$0\" dump \"$1\"", target.pid());
    let said = errors(&output);
    assert!(said.contains("cannot read /proc: it is not mounted"), "{said}");
    assert_eq!(output.status.code(), Some(3));
}

fn with_the_capability_to_trace_alone_a_sleep_has_its_name() {
    let target = Target::start(newest(), &program("blocks.py"), &[]).unwrap();
    let script = format!(
        "run() {{
            setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups --inh-caps +sys_ptrace --ambient-caps +sys_ptrace \"$@\"
        }}
        run \"$0\" doctor \"$1\" >&2
        run \"$0\" record -d 2 --stall 100ms -o x.aprof \"$1\"
        exec \"$0\" report x.aprof -f json"
    );
    let output = in_own_namespace(&script, target.pid());
    let said = errors(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("memory can be read, but not the system calls of its threads"), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let stalls = report["stalls"].as_array().unwrap();
    assert!(stalls.len() > 2, "{report:#}");
    for stall in stalls {
        assert_eq!(
            (&stall["cause"], &stall["site"]["function"]),
            (&"blocking_call".into(), &"handler".into()),
            "{stall:#}"
        );
    }
}
