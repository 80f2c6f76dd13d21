//! `asyncprof dump` says what the interpreter says of itself: one test for each program and interpreter, such as
//! `python3.11/gather_of_gathers`. The programs in `tests/programs` know nothing of asyncprof.

mod support;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};

use support::pythons::{Interpreter, Matrix, parse_answer};
use support::target::{Program, Target, dump};
use support::trials::trials_of_missing;
use support::{churn, compare, schema};

/// Programs that are no picture of one shape: the oracle itself and those other tests start.
const NOT_SHAPES: [&str; 9] =
    ["oracle", "churn", "deep_stalls", "executes_itself", "heartbeat", "legal_stacks", "many", "random_graph", "told"];
/// Seeds of random graphs, each a test for each interpreter.
const SEEDS: std::ops::Range<u64> = 1..9;
/// Dumps of the churning target for each interpreter; a debug build reads too slowly for more.
const CHURN_DUMPS: u32 = if cfg!(debug_assertions) { 40 } else { 200 };

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let matrix = Matrix::find();
    matrix.warn_of_missing();
    let mut trials = harness_trials();
    trials.extend(trials_of_missing(&matrix));
    let programs = programs();
    for interpreter in &matrix.found {
        trials.extend(interpreter_trials(interpreter, &programs));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join("programs")
}

fn program(name: &str) -> Program {
    Program::read(folder().join(format!("{name}.py")))
}

fn programs() -> Vec<Program> {
    let entries = fs::read_dir(folder()).expect("tests/programs is a folder");
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "py"));
    paths.sort();
    let programs = paths.into_iter().map(Program::read);
    programs.filter(|program| !NOT_SHAPES.contains(&program.name.as_str())).collect()
}

fn interpreter_trials(interpreter: &Interpreter, programs: &[Program]) -> Vec<Trial> {
    let label = interpreter.which.label();
    let mut trials = Vec::new();
    for program in programs.iter().filter(|program| program.runs_on(interpreter)) {
        let (interpreter, program) = (interpreter.clone(), program.clone());
        let name = format!("{label}/{}", program.name);
        trials.push(Trial::test(name, move || picture_is_right(&interpreter, &program, &[])));
    }
    for seed in SEEDS {
        let interpreter = interpreter.clone();
        trials.push(Trial::test(format!("{label}/random_graph_{seed}"), move || {
            picture_is_right(&interpreter, &program("random_graph"), &[seed.to_string()])
        }));
    }
    let churned = interpreter.clone();
    trials.push(Trial::test(format!("{label}/churn"), move || churn_shows_nothing_impossible(&churned)));
    let beating = interpreter.clone();
    trials.push(Trial::test(format!("{label}/heartbeat"), move || who_is_held_is_no_orphan_while_stepping(&beating)));
    trials
}

fn dump_schema() -> Value {
    serde_json::from_str(include_str!("dump.schema.json")).expect("the schema is JSON")
}

/// The target stands still, and the dump is exactly what it says of itself.
fn picture_is_right(interpreter: &Interpreter, program: &Program, arguments: &[String]) -> Result<(), Failed> {
    let mut target = Target::start(interpreter, program, arguments)?;
    let truth = target.said()?;
    target.wait_until_still()?;
    let dumped = dump(target.pid());
    if !target.is_alive() {
        return Err(target.death("ended while it was read").into());
    }
    let dumped = dumped?;
    let mut found = schema::violations(&dump_schema(), &dumped);
    found.extend(compare::differences(&truth, &dumped));
    report(&found)
}

/// The target creates and finishes tasks all the time: the long-lived are always right, nothing impossible is shown.
/// A task that was woken between two attempts to read it once had its wakeup counted twice, and passed for an orphan.
fn who_is_held_is_no_orphan_while_stepping(interpreter: &Interpreter) -> Result<(), Failed> {
    let target = Target::start(interpreter, &program("heartbeat"), &[])?;
    let count = target.said()?["count"].as_u64().ok_or("the program did not say how many tasks it has")?;
    let mut known = 0;
    for round in 0..CHURN_DUMPS {
        let dumped = dump(target.pid())?;
        let tasks = dumped["tasks"].as_array().ok_or("no tasks")?;
        let beats: Vec<&Value> =
            tasks.iter().filter(|task| task["name"].as_str().is_some_and(|name| name.starts_with("beat-"))).collect();
        // On a busy machine a task can have made a step in every attempt. Its stack is not shown then, and it says so; a
        // task that did not even read as one is a gap of its own.
        let gaps = dumped["gaps"].as_array().ok_or("no gaps")?;
        let unread = gaps.iter().filter(|gap| gap["what"].as_str().is_some_and(|what| what.starts_with("task 0x")));
        let silent = beats.iter().find(|task| {
            task["stack"][0]["function"] != "heartbeat" && task["stack_end"] != "gap: changed while being read"
        });
        let orphaned: Vec<&Value> = beats.iter().map(|task| &task["orphaned"]).collect();
        if (beats.len() + unread.count()) as u64 != count || silent.is_some() || orphaned.contains(&&json!(true)) {
            let text = format!("in dump {} of {CHURN_DUMPS}: {count} held tasks, orphaned: {orphaned:?}", round + 1);
            return Err(format!("{text}, without a stack or a word why: {silent:?}, gaps: {gaps:?}").into());
        }
        known += orphaned.iter().filter(|orphaned| **orphaned == &json!(false)).count();
    }
    // A reader that never knows would pass everything above.
    if known == 0 { Err("not one task was known to be held".into()) } else { Ok(()) }
}

fn churn_shows_nothing_impossible(interpreter: &Interpreter) -> Result<(), Failed> {
    let mut target = Target::start(interpreter, &program("churn"), &[])?;
    let truth = target.said()?;
    let schema = dump_schema();
    let mut seen = 0;
    for round in 0..CHURN_DUMPS {
        let dumped = dump(target.pid());
        if !target.is_alive() {
            return Err(target.death("ended while it was read").into());
        }
        let dumped = dumped?;
        let mut found = schema::violations(&schema, &dumped);
        found.extend(churn::violations(&truth, &dumped, &mut seen));
        if !found.is_empty() {
            found.insert(0, format!("in dump {} of {CHURN_DUMPS}:", round + 1));
            return report(&found);
        }
    }
    // A reader that drops every short-lived task would pass everything above.
    if seen == 0 {
        return Err(format!("{CHURN_DUMPS} dumps show not one short-lived task").into());
    }
    Ok(())
}

fn report(found: &[String]) -> Result<(), Failed> {
    if found.is_empty() { Ok(()) } else { Err(found.join("\n").into()) }
}

/// The comparison itself is tested: a comparison that cannot fail would let every reader pass.
fn harness_trials() -> Vec<Trial> {
    let tests: [(&'static str, fn()); 8] = [
        ("the_same_picture_has_no_differences", the_same_picture_has_no_differences),
        ("every_wrong_field_is_a_difference", every_wrong_field_is_a_difference),
        ("a_missing_and_an_invented_task_are_differences", a_missing_and_an_invented_task_are_differences),
        ("a_wrong_orphan_is_never_right", a_wrong_orphan_is_never_right),
        ("a_stack_difference_shows_the_frames", a_stack_difference_shows_the_frames),
        ("schema_violations_name_the_place", schema_violations_name_the_place),
        ("churn_refuses_impossible_chains", churn_refuses_impossible_chains),
        ("an_interpreter_answers_for_itself", an_interpreter_answers_for_itself),
    ];
    tests
        .into_iter()
        .map(|(name, test)| {
            Trial::test(format!("harness/{name}"), move || {
                test();
                Ok(())
            })
        })
        .collect()
}

fn truth() -> Value {
    let frame = |function: &str, line: u32| json!({"function": function, "file": "/p.py", "line": line});
    json!({
        "python": {"version": "3.11.7", "free_threaded": false},
        "tasks": [
            {"id": "0xa0", "name": "parent", "state": "waiting", "loop": "0x10", "stack": [frame("parent", 3)],
             "stack_end": null, "awaiting": {"kind": "task", "tasks": ["0xb0"]}, "awaited_by": [], "orphaned": false},
            {"id": "0xb0", "name": "child", "state": "waiting", "loop": "0x10",
             "stack": [frame("child", 7), frame("deep", 9)], "stack_end": null,
             "awaiting": {"kind": "sleep", "tasks": []}, "awaited_by": ["0xa0"], "orphaned": false},
        ],
        "loops": [{"id": "0x10", "type": "Loop", "thread": 5, "running_task": null, "ready": 0, "scheduled": 1}],
        "threads": [{"native_id": 5, "name": "MainThread", "stack": [frame("<module>", 1)], "complete": true}],
    })
}

fn right_dump() -> Value {
    let mut dump = truth();
    dump["gaps"] = json!([]);
    dump["consistent"] = json!(true);
    dump["findings"] = json!([]);
    dump
}

fn the_same_picture_has_no_differences() {
    assert_eq!(compare::differences(&truth(), &right_dump()), Vec::<String>::new());
    let mut dump = right_dump();
    dump["tasks"][0]["id"] = json!("00A0");
    assert_eq!(compare::differences(&truth(), &dump), Vec::<String>::new(), "an id is its digits");
}

fn every_wrong_field_is_a_difference() {
    for (place, wrong) in [
        ("/python/version", json!("3.11.8")),
        ("/python/free_threaded", json!(true)),
        ("/consistent", json!(false)),
        ("/gaps", json!([{"what": "a", "why": "b"}])),
        ("/tasks/0/name", json!("Parent")),
        ("/tasks/0/state", json!("ready")),
        ("/tasks/0/loop", json!(null)),
        ("/tasks/0/stack_end", json!("torn")),
        ("/tasks/0/awaiting", json!(null)),
        ("/tasks/0/awaiting/kind", json!("future")),
        ("/tasks/0/awaiting/tasks", json!([])),
        ("/tasks/1/awaited_by", json!([])),
        ("/tasks/1/orphaned", json!(true)),
        ("/tasks/1/orphaned", json!(null)),
        ("/tasks/1/stack/1/line", json!(8)),
        ("/tasks/1/stack/1/function", json!("shallow")),
        ("/tasks/1/stack/0/file", json!("/q.py")),
        ("/loops/0/type", json!("uvloop.Loop")),
        ("/loops/0/ready", json!(null)),
        ("/loops/0/running_task", json!("0xb0")),
        ("/threads/0/name", json!("Other")),
        ("/threads/0/native_id", json!(6)),
        ("/threads/0/stack", json!([])),
        ("/findings", json!([{"rule": "orphaned-task", "tasks": ["0xa0"]}])),
    ] {
        let mut dump = right_dump();
        *dump.pointer_mut(place).expect("the place exists") = wrong.clone();
        assert!(!compare::differences(&truth(), &dump).is_empty(), "{place} = {wrong} must be a difference");
    }
}

fn a_missing_and_an_invented_task_are_differences() {
    let mut dump = right_dump();
    dump["tasks"][1]["id"] = json!("0xc0");
    dump["tasks"][1]["name"] = json!("invented");
    let text = compare::differences(&truth(), &dump).join("\n");
    assert!(text.contains("task \"child\" (b0) is missing"), "{text}");
    assert!(text.contains("task \"invented\" (c0)"), "{text}");
}

fn a_wrong_orphan_is_never_right() {
    for (expected, may_miss, got, right) in [
        (json!(true), false, json!(true), true),
        (json!(true), false, json!(null), false),
        (json!(true), true, json!(false), true),
        (json!(false), true, json!(null), true),
        (json!(false), true, json!(true), false),
        (json!(null), false, json!(true), true),
        (json!(null), false, json!("yes"), false),
    ] {
        let task = json!({"state": "waiting", "orphaned": expected, "may_miss": may_miss});
        assert_eq!(compare::orphaned_is_right(&task, &got), right, "{task} shown as {got}");
    }
}

fn a_stack_difference_shows_the_frames() {
    let mut dump = right_dump();
    dump["tasks"][1]["stack"][1]["line"] = json!(10);
    let text = compare::differences(&truth(), &dump).join("\n");
    assert!(text.contains("    child (/p.py:7)"), "{text}");
    assert!(text.contains("- deep (/p.py:9)") && text.contains("+ deep (/p.py:10)"), "{text}");
}

fn schema_violations_name_the_place() {
    let dump = json!({"schema": "asyncprof.dump/2", "pid": "4", "tasks": [{"id": "a", "state": "asleep"}]});
    let text = schema::violations(&dump_schema(), &dump).join("\n");
    for part in ["$.schema:", "$.pid:", "$: loops is missing", "$.tasks[0].state:", "$.tasks[0]: name is missing"] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    let unknown = schema::violations(&json!({"minimum": 3}), &json!(1));
    assert_eq!(unknown, ["$: this check does not know the keyword minimum"]);
}

fn churn_refuses_impossible_chains() {
    let frame = |function: &str, line: u32| json!({"function": function, "file": "/c.py", "line": line});
    let truth = json!({"file": "/c.py", "tasks": [{"id": "0x1", "name": "long", "stack": [frame("long", 1)]}],
                       "chains": [[frame("a", 2), frame("b", 3)]], "moving": ["0x9"]});
    let long = json!({"id": "1", "name": "long", "stack": [frame("long", 1)], "state": "waiting"});
    let short = |stack: Value, end: Value| json!({"id": "2", "stack": stack, "stack_end": end, "state": "waiting"});
    let judge = |tasks: Value| churn::violations(&truth, &json!({"tasks": tasks}), &mut 0).len();
    assert_eq!(judge(json!([long, short(json!([frame("a", 2), frame("b", 3)]), json!(null))])), 0);
    assert_eq!(judge(json!([long, short(json!([frame("a", 2)]), json!("torn"))])), 0);
    assert_eq!(judge(json!([long, short(json!([frame("a", 2)]), json!(null))])), 1, "a level is missing");
    assert_eq!(judge(json!([long, short(json!([frame("b", 3)]), json!("torn"))])), 1, "no legal chain begins so");
    let running = |stack: Value| json!({"id": "2", "stack": stack, "stack_end": null, "state": "running"});
    assert_eq!(judge(json!([long, running(json!([frame("a", 1)]))])), 0, "the lines of a running task move");
    assert_eq!(judge(json!([long, running(json!([frame("b", 3)]))])), 1, "b is never the outermost");
    assert_eq!(judge(json!([long, {"id": "9", "stack": [frame("main", 70)], "state": "waiting"}])), 0);
    assert_eq!(judge(json!([])), 1, "the long-lived task is missing");
    assert_eq!(judge(json!([long, long])), 1, "the long-lived task is listed twice");
}

fn an_interpreter_answers_for_itself() {
    let found = parse_answer("/opt/python\n3.13.0\nTrue\ncpython\n").expect("a CPython");
    assert_eq!((found.which.label().as_str(), found.version.as_str()), ("python3.13t", "3.13.0"));
    assert!(parse_answer("/opt/pypy\n3.10.14\nFalse\npypy\n").is_none(), "only CPython is read");
    assert!(parse_answer("").is_none(), "a shim of a version that is not installed prints nothing");
}
