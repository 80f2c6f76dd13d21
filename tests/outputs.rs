//! The files that asyncprof writes: who can read them, what is left of them when it is ended, and what stands in their way.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use support::command::asyncprof;
use support::pythons::newest;

support::trials::trials! {
    whatever_is_written_can_be_read_by_its_owner_only,
    who_is_ended_while_it_writes_leaves_nothing_behind,
    a_file_that_another_asyncprof_is_writing_stays,
    a_limit_on_file_sizes_is_an_error_and_what_was_written_can_be_read,
    a_named_pipe_is_written_when_a_reader_comes_and_given_up_when_none_does,
    a_link_in_the_way_is_replaced_by_every_command_and_its_target_is_left_alone,
    names_cannot_give_orders_to_a_ci_system,
}

/// Tasks with names that CI systems would obey, on a loop that is blocked now and then, until stdin closes.
const PROGRAM: &str = r#"
import asyncio, sys, threading, time

async def waits():
    await asyncio.sleep(3600)

async def main():
    loop = asyncio.get_running_loop()
    names = ["::error::pwned", '##[error]pwned', "  ::set-env name=X::1", "plain ::warning::x"]
    tasks = [loop.create_task(waits(), name=names[number % 4] + str(number)) for number in range(int(sys.argv[1]))]
    await asyncio.sleep(0)
    print("ready", flush=True)
    ended = loop.run_in_executor(None, sys.stdin.read)
    while not ended.done():
        time.sleep(0.15)
        await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()

asyncio.run(main())
"#;

/// The program, running; and a folder for what is written.
struct Running {
    process: Child,
    folder: tempfile::TempDir,
}

impl Running {
    fn start(tasks: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(&newest().path)
            .args(["-c", PROGRAM, &tasks.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n");
        Self { process, folder }
    }

    fn pid(&self) -> String {
        self.process.id().to_string()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn asyncprof(&self, arguments: &[&str]) -> Command {
        asyncprof(self.folder.path(), arguments)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.asyncprof(arguments).output().unwrap()
    }

    fn text(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.code().is_some_and(|code| code <= 1), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Names of the files in the folder.
    fn files(&self) -> Vec<String> {
        let names = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn whatever_is_written_can_be_read_by_its_owner_only() {
    let running = Running::start(8);
    let pid = &*running.pid();
    fs::write(running.path("d.json"), "").unwrap();
    fs::set_permissions(running.path("d.json"), fs::Permissions::from_mode(0o644)).unwrap();
    for arguments in [
        &["record", "-d", "1", "-o", "r.aprof", pid][..],
        &["dump", "-o", "d.json", "--force", pid],
        &["dump", "-o", "d.txt", pid],
        &["dump", "--save-image", "d.img", pid],
        &["report", "r.aprof", "-o", "r.txt"],
        &["report", "r.aprof", "-o", "r.md"],
        &["report", "r.aprof", "-o", "r.html"],
        &["flamegraph", "r.aprof", "-o", "f.svg"],
        &["export", "r.aprof", "-o", "e.jsonl"],
        &["export", "r.aprof", "-o", "e.pb.gz"],
        &["check", "r.aprof", "--update", "--baseline", "b.json", "-o", "c.json"],
        &["diff", "r.aprof", "r.aprof", "-o", "x.json"],
        &["attach", "-d", "1", "-o", "a.html", "-o", "a.aprof", pid],
    ] {
        let output = running.run(arguments);
        assert!(output.status.code().is_some_and(|code| code <= 1), "{arguments:?}: {output:?}");
    }
    let files = running.files();
    assert_eq!(files.len(), 15, "{files:?}");
    for file in files {
        let mode = fs::metadata(running.path(&file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}: {mode:o}");
    }
}

fn who_is_ended_while_it_writes_leaves_nothing_behind() {
    let running = Running::start(20_000);
    let pid = running.pid();
    // From before it writes to after it.
    for (number, signal) in
        [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGKILL].into_iter().cycle().take(16).enumerate()
    {
        let mut dump =
            running.asyncprof(&["dump", "-o", "d.json", "--force", &pid]).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(40 * number as u64));
        let _ = kill(Pid::from_raw(i32::try_from(dump.id()).unwrap()), signal);
        dump.wait().unwrap();
        let files = running.files();
        assert!(files.is_empty() || files == ["d.json"], "{signal}: {files:?}");
        if files == ["d.json"] {
            let dump: serde_json::Value = serde_json::from_slice(&fs::read(running.path("d.json")).unwrap()).unwrap();
            assert!(dump["tasks"].as_array().unwrap().len() >= 20_000);
        }
    }
}

fn a_file_that_another_asyncprof_is_writing_stays() {
    let running = Running::start(8);
    let ours = format!(".d.json.{}.unfinished", std::process::id());
    fs::write(running.path(&ours), "").unwrap();
    assert!(running.run(&["dump", "-o", "d.json", &running.pid()]).status.success());
    assert_eq!(running.files(), [ours.as_str(), "d.json"], "it belongs to a process that lives");
}

fn a_limit_on_file_sizes_is_an_error_and_what_was_written_can_be_read() {
    let running = Running::start(3_000);
    let limited = |arguments: &str| {
        let program = env!("CARGO_BIN_EXE_asyncprof");
        let script = format!("ulimit -f 8; exec {program} {arguments}");
        Command::new("bash").args(["-c", &script]).current_dir(&running.folder).output().unwrap()
    };
    let output = limited(&format!("record -d 3 -o r.aprof {}", running.pid()));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(125), "{words}");
    assert!(words.contains("File too large") && words.contains("asyncprof report r.aprof"), "{words}");
    let report = running.run(&["report", "r.aprof", "-f", "json"]);
    assert!(report.status.success(), "{report:?}");
    let output = limited(&format!("dump -o d.json {}", running.pid()));
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write d.json: File too large"));
    assert_eq!(running.files(), ["r.aprof"]);
}

fn a_named_pipe_is_written_when_a_reader_comes_and_given_up_when_none_does() {
    let running = Running::start(8);
    let pid = running.pid();
    for (name, arguments) in [("read", &["dump", "-f", "json"][..]), ("recorded", &["record", "-d", "1"])] {
        let pipe = running.path(name);
        mkfifo(&pipe, Mode::from_bits_truncate(0o600)).unwrap();
        let mut command = running.asyncprof(&[arguments, &["-o", name, &pid]].concat());
        let mut writer = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut words = BufReader::new(writer.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("waiting for a program that reads") {
            line.clear();
            assert!(words.read_line(&mut line).unwrap() > 0, "it said nothing of a reader");
        }
        let mut bytes = Vec::new();
        fs::File::open(&pipe).unwrap().read_to_end(&mut bytes).unwrap();
        words.read_to_string(&mut line).unwrap();
        assert!(writer.wait().unwrap().success(), "{line}");
        assert!(bytes.len() > 500);
    }
    mkfifo(&running.path("unread"), Mode::from_bits_truncate(0o600)).unwrap();
    let output = running.run(&["dump", "-o", "unread", &pid]);
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("no program has opened it to read within 10 s"), "{words}");
}

fn a_link_in_the_way_is_replaced_by_every_command_and_its_target_is_left_alone() {
    let running = Running::start(8);
    let pid = &*running.pid();
    assert!(running.run(&["record", "-d", "1", "-o", "r.aprof", pid]).status.success());
    let kept = "what another program keeps";
    for (number, arguments) in [
        &["record", "-d", "1", pid][..],
        &["dump", "-f", "json", pid],
        &["dump", "--save-image", "x.img", pid],
        &["report", "r.aprof"],
        &["export", "-f", "jsonl", "r.aprof"],
        &["flamegraph", "r.aprof"],
    ]
    .into_iter()
    .enumerate()
    {
        let (target, link) = (running.path("target"), format!("link{number}"));
        fs::write(&target, kept).unwrap();
        symlink(&target, running.path(&link)).unwrap();
        let output = running.run(&[arguments, &["--force", "-o", &link]].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        assert_eq!(fs::read_to_string(&target).unwrap(), kept, "{arguments:?}");
        assert!(running.path(&link).symlink_metadata().unwrap().is_file(), "{arguments:?}");
    }
}

fn names_cannot_give_orders_to_a_ci_system() {
    let running = Running::start(8);
    let pid = &*running.pid();
    assert!(running.run(&["record", "-d", "1", "-o", "r.aprof", pid]).status.success());
    let mut shown = 0;
    for arguments in [
        &["dump", pid][..],
        &["dump", "-f", "tree", pid],
        &["dump", "-f", "collapsed", pid],
        &["dump", "-f", "dot", pid],
        &["report", "r.aprof"],
        &["report", "r.aprof", "-f", "md"],
        &["check", "r.aprof", "--max-stall", "100ms", "-f", "text"],
        &["check", "r.aprof", "--max-stall", "100ms", "-f", "junit"],
        &["check", "r.aprof", "--max-stall", "100ms", "-f", "md"],
        &["diff", "r.aprof", "r.aprof"],
        &["export", "r.aprof", "-f", "collapsed"],
    ] {
        let text = running.text(arguments);
        for line in text.lines() {
            let obeyed = line.trim_start();
            assert!(!obeyed.starts_with("::") && !obeyed.starts_with("##["), "{arguments:?}: {line}");
        }
        shown += usize::from(text.contains("pwned"));
    }
    assert!(shown >= 4, "the names are shown somewhere");
}
