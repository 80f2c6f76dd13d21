//! Saved memory of every supported Python, read again: all versions are tested on machines that have none of them. The
//! images and what is expected of them are made by `scripts/save-images`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod saved;
mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use asyncprof::capture::session::take_image;
use asyncprof::detect;
use asyncprof::model::snapshot::TaskId;
use asyncprof::model::wait::WaitKind;
use asyncprof::remote::Addr;
use asyncprof::remote::image::Image;
use asyncprof::render::{Options, json};
use saved::{MANY_OF, VERSIONS};
use serde_json::Value;
use support::pythons::newest;

support::trials::trials! {
    every_image_says_what_its_process_said,
    the_images_hold_every_shape,
    tasks_of_a_task_group_know_the_task_that_opened_it,
    the_number_of_batches_does_not_grow_with_tasks,
    images_are_small_and_hold_no_trace_of_the_machine_they_were_made_on,
    threads_of_a_container_have_the_ids_that_are_seen_from_here,
    the_program_reads_an_image_like_a_process,
    an_image_takes_the_place_of_a_process,
    files_that_are_no_images_are_refused_with_a_hint,
    a_process_is_saved_for_its_owner_only,
}

/// What `dump -f json` says, without what is different each time or gets better.
fn dump(name: &str) -> Value {
    let snapshot = take_image(&saved::image(name)).unwrap();
    let options = Options { limit: None, width: 100, color: false, full_task_names: false };
    let mut written = Vec::new();
    json::write(&snapshot, &detect::judge(&snapshot), &options, &mut written).unwrap();
    normalised(&written)
}

fn normalised(written: &[u8]) -> Value {
    let mut dump: Value = serde_json::from_slice(written).unwrap();
    for key in ["taken_at", "elapsed_us", "reading", "stop", "unread_tasks"] {
        assert!(dump.as_object_mut().unwrap().remove(key).is_some(), "{key} is missing");
    }
    dump
}

/// Lines that only one of two texts has.
fn differing_lines(expected: &str, got: &str) -> String {
    let (expected, got): (Vec<_>, Vec<_>) = (expected.lines().collect(), got.lines().collect());
    let missing = expected.iter().filter(|line| !got.contains(line)).map(|line| format!("- {line}"));
    let added = got.iter().filter(|line| !expected.contains(line)).map(|line| format!("+ {line}"));
    missing.chain(added).take(60).collect::<Vec<_>>().join("\n")
}

fn every_image_says_what_its_process_said() {
    for version in VERSIONS {
        let expected = fs::read(saved::path_of(version, "json")).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        let got = dump(version);
        let (expected, got) =
            (serde_json::to_string_pretty(&expected).unwrap(), serde_json::to_string_pretty(&got).unwrap());
        assert!(expected == got, "{version}:\n{}", differing_lines(&expected, &got));
    }
}

fn the_images_hold_every_shape() {
    for version in VERSIONS {
        let dump = dump(version);
        let has = |state: &str| dump["tasks"].as_array().unwrap().iter().any(|task| task["state"] == state);
        for state in ["running", "ready", "waiting", "cancelling", "done"] {
            assert!(has(state), "{version} has no task that is {state}");
        }
        let rules = dump["findings"].as_array().unwrap().iter().map(|f| f["rule"].as_str().unwrap());
        // Told where the image holds the exception that the task handles; for the others it was not saved.
        let rules: Vec<&str> = rules.filter(|rule| *rule != "cancelled-task-waits").collect();
        let expected = ["await-cycle", "blocking-call", "exception-never-retrieved", "orphaned-task", "queue-full"];
        assert_eq!(rules, expected, "{version}");
        assert_eq!(dump["consistent"], true, "{version}");
        assert_eq!(dump["gaps"].as_array().unwrap().len(), 0, "{version}");
    }
}

fn tasks_of_a_task_group_know_the_task_that_opened_it() {
    for version in VERSIONS.into_iter().filter(|version| !["3.8", "3.9", "3.10"].contains(version)) {
        let snapshot = take_image(&saved::image(version)).unwrap();
        let mut members = 0;
        for (owner, task) in snapshot.tasks.iter().enumerate() {
            let Some(awaiting) = task.awaiting.as_ref().filter(|wait| wait.kind == WaitKind::TaskGroup) else {
                continue;
            };
            let groups: Vec<_> = awaiting.tasks.iter().map(|member| snapshot.task(*member).parent).collect();
            assert!(groups.iter().all(|group| group.is_some_and(|group| group.owner == Some(TaskId(owner as u32)))));
            assert!(groups.windows(2).all(|pair| pair[0] == pair[1]), "{version}: {groups:?}");
            members += groups.len();
        }
        assert!(members > 0, "{version}");
    }
}

fn the_number_of_batches_does_not_grow_with_tasks() {
    let few = take_image(&saved::image(MANY_OF)).unwrap();
    let many = take_image(&saved::image(saved::MANY)).unwrap();
    assert!(many.tasks.len() >= few.tasks.len() + 300, "{} and {} tasks", few.tasks.len(), many.tasks.len());
    let (few, many) = (few.reading.calls, many.reading.calls);
    assert!(many <= few + few / 10, "{few} batches for a few tasks, {many} for 300 more");
}

fn images_are_small_and_hold_no_trace_of_the_machine_they_were_made_on() {
    let words = ["/home/", "/root", "pyenv", "HOME=", "USER=", "LANG="];
    for name in VERSIONS.iter().copied().chain([saved::MANY]) {
        assert!(fs::metadata(saved::path_of(name, "apimage")).unwrap().len() < 400 << 10, "{name}");
        let image = saved::image(name);
        assert_eq!(image.facts()["executable"].as_str().unwrap().rsplit_once('/').unwrap().0, "/mnt/python/bin");
        for (start, piece) in image.pieces() {
            // Without zeros, text that is stored wide reads like any other.
            let text: Vec<u8> = piece.iter().copied().filter(|&byte| byte != 0).collect();
            let text = String::from_utf8_lossy(&text);
            for word in words {
                assert!(!text.contains(word), "{word} in the piece at {start:#x} of {name}");
            }
        }
    }
}

/// A process in a PID namespace of its own: here its threads have other ids than there.
fn threads_of_a_container_have_the_ids_that_are_seen_from_here() {
    let image = saved::image("3.12");
    let mut facts = image.facts().clone();
    for thread in facts["threads"].as_array_mut().unwrap() {
        thread["tid"] = (thread["own_tid"].as_i64().unwrap() + 5_000).into();
    }
    let pieces = image.pieces().map(|(start, piece)| (Addr::new(start).unwrap(), piece.to_vec()));
    let snapshot = take_image(&Image::new(facts, pieces).unwrap()).unwrap();
    let threads: Vec<_> = snapshot.threads.iter().map(|thread| thread.native_id).collect();
    assert!(threads.iter().all(|id| id.is_some_and(|id| id > 5_000)), "{threads:?}");
    assert!(snapshot.loops.iter().all(|one| threads.contains(&one.thread)), "{threads:?}");
    assert!(detect::judge(&snapshot).iter().any(|finding| finding.rule.as_str() == "blocking-call"));
}

fn asyncprof(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asyncprof"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ASYNCPROF_")) {
        command.env_remove(name);
    }
    command.args(arguments).output().unwrap()
}

fn the_program_reads_an_image_like_a_process() {
    let path = saved::path_of("3.12", "apimage");
    let output = asyncprof(&["dump", "--image", path.to_str().unwrap(), "-f", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(normalised(&output.stdout), dump("3.12"));
}

fn an_image_takes_the_place_of_a_process() {
    for other in [&["1"][..], &["--pid", "1"], &["--name", "x"], &["--blocking"], &["--save-image", "y"]] {
        let output = asyncprof(&[&["dump", "--image", "x"], other].concat());
        assert_eq!(output.status.code(), Some(2), "{other:?}");
    }
}

fn files_that_are_no_images_are_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let good = fs::read(saved::path_of("3.8", "apimage")).unwrap();
    let of_facts = |facts: &str| {
        let image = Image::new(serde_json::from_str(facts).unwrap(), []).unwrap();
        let mut bytes = Vec::new();
        image.save(&mut bytes).unwrap();
        bytes
    };
    let cases: [(&str, Vec<u8>, &str); 6] = [
        (
            "foreign",
            b"\x7fELF and so on".to_vec(),
            "error: FILE: this is not a memory image of asyncprof\nhint:  images are",
        ),
        ("empty", Vec::new(), "error: FILE: this is not a memory image of asyncprof\nhint:  images are"),
        (
            "newer",
            b"APIMAGE7 and so on".to_vec(),
            "error: FILE: this memory image was written by a newer asyncprof\nhint:  read it with",
        ),
        ("cut off", good[..good.len() / 2].to_vec(), "error: FILE: the memory image is cut off\nhint:  write or copy"),
        ("facts", of_facts(r#"{"schema": "x"}"#), "error: FILE: the image does not describe a Python process: "),
        (
            "newer facts",
            of_facts(
                r#"{"schema":"asyncprof.image/9","pid":1,"executable":"","runtime":0,"minor":12,"free_threaded":false,"threads":[]}"#,
            ),
            "error: FILE: the image does not describe a Python process: its format is \"asyncprof.image/9\"",
        ),
    ];
    for (name, bytes, message) in cases {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert_refused(&path, message);
    }
    assert_refused(
        &folder.path().join("nothing"),
        "error: FILE: the memory image cannot be read or written: No such file",
    );
    assert_refused(folder.path(), "error: FILE: the memory image cannot be read or written: Is a directory");
}

/// A process that runs the program of the images with a Python of this machine, until it is dropped.
struct Shapes(Child);

impl Shapes {
    fn start() -> Self {
        let program = saved::path_of("shapes", "py");
        let mut command = Command::new(&newest().path);
        let mut child = command.arg(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        Self(child)
    }
}

impl Drop for Shapes {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn a_process_is_saved_for_its_owner_only() {
    let shapes = Shapes::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let (pid, shown) = (shapes.0.id().to_string(), path.to_str().unwrap());
    let output = asyncprof(&["dump", &pid, "--save-image", shown, "--max-stop", "10s", "-f", "json"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.starts_with(&format!("note: {shown} holds memory of process {pid}: ")));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = asyncprof(&["dump", "--image", shown, "-f", "json"]);
    assert_eq!(normalised(&again.stdout), normalised(&output.stdout));

    let output = asyncprof(&["dump", &pid, "--save-image", shown]);
    assert_eq!(output.status.code(), Some(2), "nothing is overwritten");
    let output = asyncprof(&["dump", &pid, "--save-image", "-"]);
    assert_eq!(output.status.code(), Some(2), "memory is not for the terminal");
}

fn assert_refused(path: &Path, message: &str) {
    let output = asyncprof(&["dump", "--image", path.to_str().unwrap()]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{stderr}");
    assert!(output.stdout.is_empty());
    let message = message.replace("FILE", path.to_str().unwrap());
    assert!(stderr.starts_with(&message), "{stderr}");
    assert!(stderr.contains("\nhint:  "), "{stderr}");
}
