//! What the program answers at its edges: exit codes, what goes to stdout and what to stderr, and files.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::Read as _;
use std::process::{Command, Output, Stdio};

fn asyncprof() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asyncprof"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ASYNCPROF_")) {
        command.env_remove(name);
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    asyncprof().args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).unwrap()
}

/// No stdout, one `error:` line first, and this exit code.
fn assert_refused(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", stderr(output));
    assert_eq!(stdout(output), "");
    assert!(stderr(output).starts_with("error: "), "{}", stderr(output));
}

/// Above what the kernel gives out, so that nobody has it.
const NO_PROCESS: &str = "2147483647";

#[test]
fn help_and_version_are_results() {
    for arguments in [&["--help"][..], &["dump", "--help"], &["doctor", "-h"], &["--version"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(stdout(&output).contains("asyncprof"), "{arguments:?}");
        assert_eq!(stderr(&output), "", "{arguments:?}");
    }
}

#[test]
fn a_command_line_without_sense_is_a_usage_error() {
    for arguments in [
        &[][..],
        &["dump", "0"],
        &["dump", "-5"],
        &["dump", "python"],
        &["dump", "1", "--pid", "2"],
        &["dump", "1", "--name", "x"],
        &["dump", "1", "-f", "xml"],
        &["dump", "1", "--fail-on", "fatal"],
        &["completions", "cobol"],
        &["attach", "1", "--rate", "fast"],
        &["attach", "1", "2"],
        &["record", "1", "--", "true"],
        &["report"],
        &["report", "x.aprof", "-f", "svg"],
        &["diff", "x.aprof"],
        &["diff", "x.aprof", "y.aprof", "-f", "html"],
        &["flamegraph", "x.aprof", "--pid", "1"],
        &["flamegraph", "x.aprof", "--by", "magic"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

#[test]
fn dump_asks_which_process() {
    let output = run(&["dump"]);
    assert_refused(&output, 2);
    assert_eq!(
        stderr(&output),
        "error: no process given: pass PID or --name\nhint:  asyncprof doctor lists the Python processes of this machine\n"
    );
}

#[test]
fn a_process_that_is_not_there_is_exit_4() {
    assert_refused(&run(&["dump", NO_PROCESS]), 4);
    assert_refused(&run(&["dump", "--name", "no process has this in its command line"]), 4);
    assert_eq!(run(&["doctor", NO_PROCESS]).status.code(), Some(4));
}

#[test]
fn a_process_that_is_no_python_is_exit_5() {
    let ourselves = std::process::id().to_string();
    assert_refused(&run(&["dump", &ourselves]), 5);
}

#[test]
fn an_existing_file_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.svg");
    fs::write(&path, "precious").unwrap();
    let output = run(&["dump", NO_PROCESS, "-o", path.to_str().unwrap()]);
    assert_refused(&output, 2);
    assert!(stderr(&output).contains("exists already\nhint:  choose another name, or overwrite it with --force"));
    // Allowed to, a failed dump leaves it as it was, and nothing beside it.
    assert_refused(&run(&["dump", NO_PROCESS, "--force", "-o", path.to_str().unwrap()]), 4);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_output_without_a_folder_is_refused_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing/tasks.json");
    assert_refused(&run(&["dump", NO_PROCESS, "-o", path.to_str().unwrap()]), 2);
    assert_refused(&run(&["dump", NO_PROCESS, "-o", folder.path().to_str().unwrap()]), 2);
}

#[test]
fn options_come_from_the_environment_too() {
    let output = asyncprof().args(["dump", NO_PROCESS]).env("ASYNCPROF_FORMAT", "xml").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("xml"));
    let output = asyncprof().args(["dump", NO_PROCESS]).env("ASYNCPROF_FORMAT", "json").output().unwrap();
    assert_eq!(output.status.code(), Some(4));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child =
        asyncprof().args(["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut complaints = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
    assert_eq!(complaints, "");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn an_ending_that_a_command_cannot_write_is_refused_with_those_that_it_can() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, name, endings) in [
        (&["dump", NO_PROCESS][..], "x.md", ".txt .json .dot .gv .svg .folded .collapsed"),
        (&["dump", NO_PROCESS], "x.html", ".txt .json .dot .gv .svg .folded .collapsed"),
        (&["dump", NO_PROCESS], "x.jsn", ".txt .json .dot .gv .svg .folded .collapsed"),
        (&["dump", NO_PROCESS], "x.trace.json", ".txt .json .dot .gv .svg .folded .collapsed"),
        (&["diff", "a.aprof", "b.aprof"], "diff.html", ".txt .json .md"),
        (&["report", "a.aprof"], "x.pdf", ".txt .json .md .html"),
        (&["report", "a.aprof"], "x.svg", ".txt .json .md .html"),
        (&["flamegraph", "a.aprof"], "x.png", ".svg .folded .collapsed .speedscope.json .pb.gz"),
        (&["export", "a.aprof"], "x.json", ".folded .collapsed .txt .speedscope.json .trace.json .firefox.json .pb.gz"),
        (&["attach", NO_PROCESS], "x.png", ".txt .json .md .html .svg .folded .collapsed .speedscope.json .pb.gz"),
        (&["check", "a.aprof", "--max-stall", "1s"], "x.csv", ".txt .json .md .xml .sarif .sarif.json"),
    ] {
        let path = folder.path().join(name);
        let output = run(&[arguments, &["-o", path.to_str().unwrap()]].concat());
        assert_refused(&output, 2);
        assert!(stderr(&output).contains(endings), "{arguments:?} {name}: {}", stderr(&output));
        assert!(!path.exists(), "{arguments:?} {name}");
    }
    // Whoever names the format may call the file what they like, and a name without an ending says nothing.
    let path = folder.path().join("x.md");
    assert_refused(&run(&["dump", NO_PROCESS, "-f", "tree", "-o", path.to_str().unwrap()]), 4);
    let path = folder.path().join("tasks");
    assert_refused(&run(&["dump", NO_PROCESS, "-o", path.to_str().unwrap()]), 4);
}

#[test]
fn an_ending_of_another_command_names_this_command() {
    for (arguments, hint) in [
        (["dump", NO_PROCESS, "-o", "x.html"], ".html is written by: asyncprof attach, report"),
        (["dump", NO_PROCESS, "-o", "x.trace.json"], "asyncprof export x.aprof -o x.trace.json"),
    ] {
        let output = run(&arguments);
        assert_refused(&output, 2);
        assert!(stderr(&output).contains(hint), "{}", stderr(&output));
    }
}

#[test]
fn a_name_in_place_of_a_process_id_is_refused_with_the_option_for_it() {
    for command in ["attach", "dump", "record", "doctor"] {
        let output = run(&[command, "uvicorn"]);
        assert_refused(&output, 2);
        let message = format!("error: 'uvicorn' is not a process id; by name: asyncprof {command} --name uvicorn\n");
        assert!(stderr(&output).starts_with(&message), "{}", stderr(&output));
    }
}

#[test]
fn completions_know_every_command() {
    let output = run(&["completions", "bash"]);
    for command in COMMANDS {
        assert!(stdout(&output).contains(command), "{command}");
    }
}

const COMMANDS: [&str; 11] =
    ["attach", "record", "report", "flamegraph", "export", "diff", "dump", "doctor", "demo", "man", "completions"];

#[test]
fn the_manual_has_every_command_and_its_options() {
    let output = run(&["man"]);
    let page = stdout(&output);
    assert!(page.contains(".TH asyncprof 1"), "{page}");
    for command in COMMANDS {
        assert!(page.contains(&format!(".SH ASYNCPROF {}", command.to_uppercase())), "{command}");
    }
    assert!(page.contains("cpu\\-budget"));
}

#[test]
fn a_value_out_of_range_is_refused_with_the_range() {
    for (option, value, range) in [
        ("--rate", "0", "0.1 to 1000000 per second"),
        ("--rate", "10mhz", "0.1 to 1000000 per second"),
        ("--task-rate", "1m", "0.01 to 10000 per second"),
        ("--duration", "0", "10ms to 87600h"),
        ("--stall", "1us", "1ms to 1h"),
        ("--stall", "100", "100ms or 100s"),
        ("--cpu-budget", "1000%", "0.1% to 400% of one core"),
    ] {
        for command in [&["attach", NO_PROCESS][..], &["record", NO_PROCESS], &["flamegraph", NO_PROCESS], &["demo"]] {
            let output = run(&[command, &[option, value]].concat());
            assert_refused(&output, 2);
            assert!(stderr(&output).contains(range), "{option} {value}: {}", stderr(&output));
        }
    }
}

#[test]
fn settings_come_from_the_command_line_then_the_environment_then_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let attach = |arguments: &[&str], rate: Option<&str>| {
        let mut command = asyncprof();
        command.current_dir(folder.path()).args(["attach", NO_PROCESS]).args(arguments);
        if let Some(rate) = rate {
            command.env("ASYNCPROF_RATE", rate);
        }
        command.output().unwrap()
    };
    let complains = |output: &Output, of: &str| {
        assert_refused(output, 2);
        assert!(stderr(output).contains(of), "{}", stderr(output));
    };
    fs::write(folder.path().join("pyproject.toml"), "[tool.asyncprof]\nrate = 10\nstall = '50ms'\n").unwrap();
    assert_refused(&attach(&[], None), 4);
    complains(&attach(&[], Some("environment")), "'environment'");
    complains(&attach(&["-r", "line"], Some("environment")), "'line'");
    assert_refused(&attach(&["-r", "5"], Some("environment")), 4);
    fs::write(folder.path().join("asyncprof.toml"), "rate = 'own'").unwrap();
    complains(&attach(&[], None), "asyncprof.toml: rate: it must be a number");
    fs::write(folder.path().join("asyncprof.toml"), "rat = 10").unwrap();
    complains(&attach(&[], None), "there is no setting rat\nhint:  did you mean rate?");
    // Help does not depend on them.
    assert_eq!(attach(&["--help"], None).status.code(), Some(0));
}

#[test]
fn doctor_looks_around_without_a_process() {
    let output = run(&["doctor", "-f", "json"]);
    let report: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(report["schema"], "asyncprof.doctor/1");
    let names: Vec<&str> = report["checks"].as_array().unwrap().iter().filter_map(|c| c["name"].as_str()).collect();
    assert_eq!(names, ["user", "capability", "ptrace_scope"]);
    assert!(report["processes"].is_array());
    assert_eq!(stderr(&output), "");
}

#[test]
fn doctor_says_why_a_process_cannot_be_read() {
    let output = run(&["doctor", NO_PROCESS]);
    assert!(stdout(&output).starts_with(&format!("Process {NO_PROCESS} cannot be read.\n")), "{}", stdout(&output));
    assert!(stdout(&output).contains("problem"));
    assert_eq!(stderr(&output), "");
}
