//! What every command that reads a file says of every kind of bad file, and what else ends a command: the exit codes as they are
//! documented. That a verdict has its code is tested with the verdicts, in `tests/check`.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;
mod watches;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use asyncprof::model::event::NoteKind;
use asyncprof::profile::recording::Writer;
use nix::unistd::Uid;
use support::command::{asyncprof, through};
use support::pythons::newest;
use support::trials::missing;
use watches::{MS, header, story};

support::trials::trials! {
    what_is_no_recording_is_exit_6_for_every_command_that_reads_one,
    what_may_not_be_read_is_exit_6,
    what_is_whole_of_a_damaged_recording_is_shown_and_said_and_not_judged_as_good,
    what_cannot_be_written_is_exit_125,
    a_device_or_a_pipe_is_written_to_and_stays_what_it_is,
    a_program_that_we_may_not_read_is_exit_3,
    too_few_open_files_are_told_as_that,
}

/// By the documented format: bytes before the first block, and of a block's head.
const START: usize = 12;
const HEAD: usize = 44;
/// Somebody who may do nothing.
const NOBODY: u32 = 65534;

/// The commands that read a recording, `FILE`, and what they are asked for; `GOOD` is another one.
const READERS: [&[&str]; 17] = [
    &["report", "FILE"],
    &["report", "FILE", "-f", "json"],
    &["report", "FILE", "-f", "md"],
    &["report", "FILE", "-f", "html"],
    &["flamegraph", "FILE"],
    &["flamegraph", "GOOD", "--diff", "FILE"],
    &["flamegraph", "FILE", "--diff", "GOOD"],
    &["diff", "FILE", "GOOD"],
    &["diff", "GOOD", "FILE"],
    &["diff", "GOOD", "FILE", "-f", "json"],
    &["export", "FILE", "-f", "collapsed"],
    &["export", "FILE", "-f", "speedscope"],
    &["export", "FILE", "-f", "perfetto"],
    &["export", "FILE", "-f", "firefox"],
    &["export", "FILE", "-f", "pprof"],
    &["export", "FILE", "-f", "jsonl"],
    &["check", "FILE", "--max-stall", "10s"],
];

/// One of [`READERS`] with a file.
fn reader(folder: &Path, arguments: &[&str], file: &str) -> Command {
    let mut command = asyncprof(folder, &[]);
    command.args(arguments.iter().map(|argument| match *argument {
        "FILE" => file,
        "GOOD" => "good.aprof",
        other => other,
    }));
    command
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

#[track_caller]
fn assert_exit(output: &Output, code: i32, what: &str) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{what}\nstdout:\n{out}\nstderr:\n{err}");
}

/// A recording of ten seconds, in several blocks, and its bytes.
fn good_recording(folder: &Path) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    for batch in story::batches(true) {
        writer.append(&batch).unwrap();
    }
    let file = writer.finish(NoteKind::Ended, 10_000 * MS).unwrap();
    fs::write(folder.join("good.aprof"), &file).unwrap();
    file
}

/// Where each block ends.
fn block_ends(file: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = START;
    while at < file.len() {
        at += HEAD + u32::from_le_bytes(file[at + 12..at + 16].try_into().unwrap()) as usize;
        ends.push(at);
    }
    ends
}

/// What can be done for somebody else is only tried where we may become somebody else.
fn need_to_become_nobody() {
    if !Uid::effective().is_root() {
        missing("only root can run asyncprof as another user");
    }
}

/// What asyncprof says to somebody who may do nothing. Its folder may be closed to them; then the test is ignored.
fn as_nobody(command: &mut Command) -> Output {
    let output = command.uid(NOBODY).gid(NOBODY).output();
    output.unwrap_or_else(|_| missing(concat!("another user may not run ", env!("CARGO_BIN_EXE_asyncprof"))))
}

fn what_is_no_recording_is_exit_6_for_every_command_that_reads_one() {
    let folder = tempfile::tempdir().unwrap();
    let good = good_recording(folder.path());
    let header_end = block_ends(&good)[0];
    let version = |version: u32| [&good[..8], &version.to_le_bytes(), &good[12..]].concat();
    let mut flipped_header = good.clone();
    flipped_header[header_end - 3] ^= 1;
    let files: [(&str, Vec<u8>, &str); 11] = [
        ("empty.aprof", vec![], "is empty"),
        ("cut-in-the-magic.aprof", good[..5].to_vec(), "is empty"),
        ("cut-in-the-head.aprof", good[..START + 20].to_vec(), "is empty"),
        ("cut-in-the-header.aprof", good[..header_end - 1].to_vec(), "is empty"),
        ("flipped-header.aprof", flipped_header, "damaged: its header is corrupt"),
        ("newer.aprof", version(2), "format 2, written by a newer asyncprof"),
        ("older.aprof", version(0), "format 0, written by an older asyncprof"),
        ("garbage.aprof", vec![7; 5_000], "not an asyncprof recording"),
        ("text.aprof", b"not a recording".to_vec(), "not an asyncprof recording"),
        ("report.json", b"{\"schema\": \"asyncprof.report/1\"}".to_vec(), "not an asyncprof recording"),
        ("pic\x1b[31mture.aprof", b"\x89PNG\r\n\x1a\n0000".to_vec(), "not an asyncprof recording"),
    ];
    for (name, bytes, _) in &files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let absent = [("missing.aprof", "No such file"), (".", "Is a directory"), ("good.aprof/x", "Not a directory")];
    let all = files.iter().map(|(name, _, words)| (*name, *words)).chain(absent);
    for (name, words) in all {
        for arguments in READERS {
            let output = reader(folder.path(), arguments, name).output().unwrap();
            assert_exit(&output, 6, &format!("{arguments:?} {name}"));
            assert_refused(&output, name, words);
        }
    }
    // What they are to write is not begun.
    let output =
        asyncprof(folder.path(), &[]).args(["export", "garbage.aprof", "-o", "x.trace.json"]).output().unwrap();
    assert_exit(&output, 6, "export to a file");
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, files.len() + 1, "nothing is left behind");
}

/// Nothing on stdout; on stderr which file, what is wrong, and the next step, each on its line.
#[track_caller]
fn assert_refused(output: &Output, name: &str, words: &str) {
    assert!(output.stdout.is_empty(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
    let said = text(&output.stderr);
    let shown = name.replace('\u{1b}', "");
    let (error, hint) = said.split_once('\n').unwrap();
    let visible: String = error.chars().filter(|character| !character.is_control()).collect();
    assert_eq!(visible, error, "nothing of a name reaches the terminal as it is");
    let first_part = shown.split('[').next().unwrap();
    assert!(error.starts_with("error: ") && error.contains(first_part) && error.contains(words), "{said}");
    assert!(hint.starts_with("hint:  ") && hint.len() > 15, "{said}");
}

fn what_may_not_be_read_is_exit_6() {
    need_to_become_nobody();
    let folder = tempfile::tempdir().unwrap();
    good_recording(folder.path());
    fs::copy(folder.path().join("good.aprof"), folder.path().join("private.aprof")).unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(folder.path().join("good.aprof"), Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(folder.path().join("private.aprof"), Permissions::from_mode(0o600)).unwrap();
    fs::write(folder.path().join("private.json"), "{}").unwrap();
    fs::set_permissions(folder.path().join("private.json"), Permissions::from_mode(0o600)).unwrap();
    for arguments in READERS {
        let output = as_nobody(&mut reader(folder.path(), arguments, "private.aprof"));
        assert_exit(&output, 6, &format!("{arguments:?}"));
        assert_refused(&output, "private.aprof", "Permission denied");
    }
    let baseline = ["check", "good.aprof", "--baseline", "private.json"];
    let output = as_nobody(asyncprof(folder.path(), &[]).args(baseline));
    assert_exit(&output, 6, "a baseline");
    assert_refused(&output, "private.json", "Permission denied");
}

fn what_is_whole_of_a_damaged_recording_is_shown_and_said_and_not_judged_as_good() {
    let folder = tempfile::tempdir().unwrap();
    let good = good_recording(folder.path());
    let ends = block_ends(&good);
    assert!(ends.len() >= 4, "blocks that can be lost one by one: {ends:?}");
    let [header_end, first, second] = [ends[0], ends[1], ends[2]];
    let mut flipped = good.clone();
    flipped[(first + HEAD + second) / 2] ^= 0xff;
    let mut flipped_head = good.clone();
    flipped_head[first + 13] ^= 1;
    let files: [(&str, Vec<u8>, &str, &str); 6] = [
        ("no-block.aprof", good[..header_end].to_vec(), "has no end", "nothing was seen in it"),
        ("cut-in-a-block.aprof", good[..second - 7].to_vec(), "has no end", "what was seen in the first "),
        ("no-end.aprof", good[..ends[ends.len() - 2]].to_vec(), "has no end", "what was seen in the first "),
        ("flipped.aprof", flipped, "is damaged", "what was seen in the first "),
        ("flipped-head.aprof", flipped_head, "is damaged", "what was seen in the first "),
        ("lost-block.aprof", [&good[..first], &good[second..]].concat(), "is damaged", "what was seen in the first "),
    ];
    for (name, bytes, what, saved) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
        for arguments in READERS {
            let output = reader(folder.path(), arguments, name).output().unwrap();
            let is_check = arguments[0] == "check";
            assert_exit(&output, if is_check { 7 } else { 0 }, &format!("{arguments:?} {name}"));
            // No stack is no line.
            let may_be_empty = name == "no-block.aprof" && arguments.contains(&"collapsed");
            assert!(!output.stdout.is_empty() || may_be_empty, "{arguments:?} {name}");
            let said = text(&output.stderr).lines().find(|line| line.starts_with(&format!("note: {name} {what}")));
            let said = said.unwrap_or_else(|| panic!("{arguments:?} {name}: {}", text(&output.stderr)));
            assert!(said.contains(saved) && said.contains("record again"), "{said}");
            if is_check {
                assert!(text(&output.stdout).contains("NO DATA"), "{}", text(&output.stdout));
            }
        }
    }
}

fn what_cannot_be_written_is_exit_125() {
    let folder = tempfile::tempdir().unwrap();
    good_recording(folder.path());
    for arguments in READERS {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = reader(folder.path(), arguments, "good.aprof").stdout(full).output().unwrap();
        assert_exit(&output, 125, &format!("{arguments:?} to a full disk"));
        assert!(text(&output.stderr).contains("cannot write to stdout: No space left"), "{}", text(&output.stderr));
        if arguments[0] != "check" {
            for place in ["/proc/x", "/dev/full"] {
                let output = reader(folder.path(), arguments, "good.aprof").args(["-o", place]).output().unwrap();
                assert_exit(&output, 125, &format!("{arguments:?} to {place}"));
                assert!(text(&output.stderr).contains(&format!("cannot write {place}: ")), "{}", text(&output.stderr));
            }
        }
    }
    for arguments in [&["man"][..], &["completions", "bash"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        assert_exit(&asyncprof(folder.path(), arguments).stdout(full).output().unwrap(), 125, arguments[0]);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half done is left behind");
}

fn a_device_or_a_pipe_is_written_to_and_stays_what_it_is() {
    use std::os::unix::fs::FileTypeExt as _;
    let folder = tempfile::tempdir().unwrap();
    good_recording(folder.path());
    let link = folder.path().join("null");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for force in [&[][..], &["--force"]] {
        let to = |place: &str| {
            let mut command = asyncprof(folder.path(), &[]);
            command.args(["report", "good.aprof", "-f", "json", "-o", place]).args(force);
            command
        };
        assert_exit(&to("null").output().unwrap(), 0, "a link to a device");
        assert!(link.is_symlink() && fs::metadata(&link).unwrap().file_type().is_char_device());
        let output = to("/dev/stdout").output().unwrap();
        assert_exit(&output, 0, "our stdout by its name");
        assert!(text(&output.stdout).starts_with("{\"schema\":\"asyncprof.report/1\""), "{}", text(&output.stdout));
        let mut writer = to("pipe").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let read = fs::read(&pipe).unwrap();
        assert_eq!(writer.wait().unwrap().code(), Some(0));
        assert_eq!(read, output.stdout);
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    }
}

/// A program that waits in its event loop.
fn start_waiting() -> Child {
    let script = "import asyncio\nprint('ready', flush=True)\nasyncio.run(asyncio.sleep(60))";
    let mut command = Command::new(&newest().path);
    let mut target = command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(target.stdout.as_mut().unwrap()), &mut said).unwrap();
    target
}

/// Whatever the file that could not be opened: nothing is said of the process.
fn too_few_open_files_are_told_as_that() {
    let folder = tempfile::tempdir().unwrap();
    let mut target = start_waiting();
    let pid = target.id().to_string();
    let mut refused = 0;
    for limit in 4..=14 {
        let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        for arguments in [&["dump", &pid][..], &["record", &pid, "-d", "200ms", "--force", "-o", "x.aprof"]] {
            let mut shell = Command::new("sh");
            shell.args(["-c", &script]);
            let output = through(shell, &asyncprof(folder.path(), arguments)).output().unwrap();
            let said = text(&output.stderr);
            assert!(!said.contains("exited") && !said.contains("no process"), "{limit} {arguments:?}: {said}");
            match output.status.code() {
                Some(0) => {}
                Some(3) => {
                    assert!(said.contains("Too many open files") && said.contains("ulimit -n"), "{limit}: {said}")
                }
                // 127: not even its libraries can be loaded.
                code => {
                    assert!(matches!(code, Some(125 | 127)) && said.contains("Too many open files"), "{limit}: {said}")
                }
            }
            refused += u32::from(!output.status.success());
        }
    }
    target.kill().unwrap();
    target.wait().unwrap();
    assert!(refused > 0, "a limit of 4 is too low for a recording");
}

fn a_program_that_we_may_not_read_is_exit_3() {
    need_to_become_nobody();
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let mut target = start_waiting();
    let pid = target.id().to_string();
    let mut outputs = Vec::new();
    for arguments in [
        &["attach", &pid, "-d", "1s"][..],
        &["record", &pid, "-d", "1s", "-o", "x.aprof"],
        &["flamegraph", &pid, "-d", "1s", "-o", "x.svg"],
        &["dump", &pid],
    ] {
        outputs.push((arguments[0], asyncprof(folder.path(), arguments).uid(NOBODY).gid(NOBODY).output()));
    }
    target.kill().unwrap();
    target.wait().unwrap();
    for (name, output) in outputs {
        let Ok(output) = output else {
            missing(concat!("another user may not run ", env!("CARGO_BIN_EXE_asyncprof")));
        };
        assert_exit(&output, 3, name);
        assert!(output.stdout.is_empty());
        assert!(text(&output.stderr).contains(&pid) && text(&output.stderr).contains("hint:"));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}
