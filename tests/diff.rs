//! How two recordings differ: made-up watches of which the difference is known, and a real program recorded before and after
//! it was made worse.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;
mod watches;

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use asyncprof::detect::analysis::Analysis;
use asyncprof::detect::difference::{Confidence, Difference, Presence, Watch};
use asyncprof::model::event::{
    Batch, Doing, Event, Gil, Header, Health, KeptFinding, KernelLook, LoopSample, Phase, Source, TaskChanges,
    TaskLook, TaskWait,
};
use asyncprof::model::snapshot::{Finding, Frame, RuleId, Severity, TaskState, WaitKind};
use asyncprof::model::tables::{Definitions, LoopInfo, Mark, Tables, TaskInfo};
use asyncprof::render::difference::{self, Comparison};
use asyncprof::render::{Options, escape};
use serde_json::Value;
use support::pythons::{Interpreter, oldest};
use watches::MS;

support::trials::trials! {
    the_same_program_does_not_differ_however_long_it_was_watched,
    a_handler_that_runs_longer_is_named_by_coroutine_and_by_function,
    stalls_are_new_gone_and_more_with_the_chance_of_it,
    one_stall_more_can_be_chance,
    waits_that_are_longer_are_found,
    an_orphan_that_was_not_there_is_new,
    moved_lines_and_another_folder_are_no_difference,
    what_makes_two_recordings_hard_to_compare_is_said_first,
    nothing_is_known_of_a_watch_that_saw_nothing,
    json_has_all_entries_and_finite_numbers,
    names_can_do_no_harm_in_any_format,
    a_limit_says_what_it_leaves_out,
    a_program_that_got_slower_is_told_from_one_that_is_the_same,
    help_points_to_the_flame_graph,
}

/// A made-up program: a handler that runs some milliseconds of each twenty, and blocks, waits and forgets as told.
#[derive(Clone, Copy)]
struct Program {
    seconds: u64,
    /// Of each 20 ms.
    handler_ms: u64,
    /// A blocking call of 150 ms, so often in all.
    stalls: u64,
    /// How long each wait for a lock is.
    wait_ms: u64,
    orphans: u64,
    folder: &'static str,
    /// Where the lines are.
    first_line: u32,
    /// What is blocking.
    culprit: &'static str,
}

const PROGRAM: Program = Program {
    seconds: 20,
    handler_ms: 4,
    stalls: 0,
    wait_ms: 400,
    orphans: 0,
    folder: "/srv/app",
    first_line: 10,
    culprit: "load_config",
};

impl Program {
    fn frame(&self, function: &str, line: u32) -> Frame {
        let file = format!("{}/views.py", self.folder);
        Frame { function: function.into(), file: file.into(), line: Some(self.first_line + line) }
    }

    fn header(&self) -> Header {
        watches::header()
    }

    fn watched(&self) -> Analysis {
        self.watched_with(self.header())
    }

    fn watched_with(&self, header: Header) -> Analysis {
        let mut analysis = Analysis::new(header);
        for batch in [self.tasks(), self.loops()] {
            analysis.absorb(&batch).unwrap();
        }
        analysis.finish();
        analysis
    }

    fn loops(&self) -> Batch {
        let mut tables = Tables::default();
        let event_loop = tables.add_loop(&LoopInfo {
            key: 1,
            class: "asyncio.unix_events._UnixSelectorEventLoop".into(),
            thread: Some(4211),
            thread_name: Some("MainThread".into()),
        });
        let handler = self.frame("handler", 0);
        let task = tables.add_task(&TaskInfo { key: 1, name: Some("Task-1".into()), coroutine: Some(handler.clone()) });
        let runs = tables.add_frames([&handler, &self.frame("render", 20)]);
        let blocks = tables.add_frames([&handler, &self.frame(self.culprit, 40)]);
        let every_ms = (self.seconds * 1_000).checked_div(self.stalls).unwrap_or(u64::MAX);
        let sample = |at_ms: u64| {
            let since_stall = at_ms % every_ms;
            let blocked = self.stalls > 0 && (500..650).contains(&since_stall);
            let since = if blocked { since_stall - 500 } else { at_ms % 20 };
            let away = blocked || since < self.handler_ms;
            let kernel = away.then(|| {
                KernelLook::of(match blocked {
                    true => Doing::Call { name: Some("clock_nanosleep".into()), number: 230, fd: None },
                    false => Doing::Running,
                })
            });
            Event::Loop(LoopSample {
                at_ns: at_ms * MS + MS / 2,
                event_loop,
                phase: if away { Phase::Away } else { Phase::Selecting },
                away_since_ns: away.then(|| (at_ms - since) * MS),
                away_precision_ns: 1,
                callback: away.then_some(at_ms - since),
                task: away.then_some(task),
                stack: if !away {
                    None
                } else if blocked {
                    blocks
                } else {
                    runs
                },
                outer: 0,
                coroutines: u16::from(away),
                torn: false,
                moved: !blocked,
                ready: Some(0),
                gil: if away && !blocked { Gil::Own } else { Gil::Free },
                collecting: false,
                kernel,
                holder_stack: None,
            })
        };
        let mut events: Vec<Event> = (0..self.seconds * 1_000).map(sample).collect();
        events.push(Event::Health(Health {
            at_ns: self.seconds * 1_000 * MS,
            loop_samples: self.seconds * 1_000,
            task_snapshots: self.seconds * 10,
            loop_rate_hz: 1_000.0,
            task_rate_hz: 10.0,
            longest_gap_ns: MS,
            ..Health::default()
        }));
        batch(Source::Loops, &tables, events)
    }

    fn tasks(&self) -> Batch {
        let mut tables = Tables::default();
        let client = self.frame("client", 60);
        let stack = tables.add_frames([&client, &self.frame("fetch", 70)]);
        let (mut events, mut before) = (Vec::new(), None);
        // One client after the other: each waits, and is no more.
        for (number, at_ms) in (0..self.seconds * 1_000).step_by(self.wait_ms as usize).enumerate() {
            let name = format!("client-{number}");
            let info = TaskInfo {
                key: 100 + number as u64,
                name: Some(name.as_str().into()),
                coroutine: Some(client.clone()),
            };
            let task = tables.add_task(&info);
            let wait = TaskWait { kind: WaitKind::Lock, detail: None, tasks: Vec::new(), held_by: Vec::new() };
            let look = TaskLook { task, born: true, state: TaskState::Waiting, stack, torn: false, wait: Some(wait) };
            events.push(Event::Tasks(TaskChanges {
                at_ns: at_ms * MS,
                took_ns: MS,
                changed: vec![look],
                ended: before.replace(task).into_iter().collect(),
                total: 1,
                complete: true,
                contexts: Some(0),
                timers: Vec::new(),
            }));
        }
        let orphan = KeptFinding {
            finding: Finding {
                rule: RuleId::new("orphaned-task"),
                severity: Severity::Warning,
                message: "refresh runs on, and nobody awaits it".into(),
                tasks: Vec::new(),
                evidence: Default::default(),
                advice: "Keep a reference to the task.".into(),
            },
            tasks: Vec::new(),
            site: Some(self.frame("refresh", 80)),
        };
        let findings = (0..self.orphans).map(|_| orphan.clone()).collect();
        events.push(Event::Findings { at_ns: self.seconds * 1_000 * MS, findings });
        batch(Source::Tasks, &tables, events)
    }
}

fn batch(source: Source, tables: &Tables, events: Vec<Event>) -> Batch {
    let definitions: Definitions = tables.since(Mark::default());
    Batch { source, begins_anew: true, definitions, events }
}

fn complete(analysis: &Analysis) -> Watch<'_> {
    Watch { analysis, complete: true }
}

fn between(base: Program, head: Program) -> Difference {
    Difference::between(&complete(&base.watched()), &complete(&head.watched()))
}

/// How a difference is written.
type Format = fn(&Comparison<'_>, &Options, &mut dyn io::Write) -> io::Result<()>;
const TEXT: Format = difference::write_text;
const JSON: Format = |comparison, _, out| difference::write_json(comparison, out);
const MARKDOWN: Format = difference::write_markdown;

fn written(base: &Watch<'_>, head: &Watch<'_>, format: Format, options: &Options) -> String {
    let difference = Difference::between(base, head);
    let comparison = Comparison {
        base: *base,
        base_name: "base.aprof",
        head: *head,
        head_name: "head.aprof",
        difference: &difference,
    };
    let mut out = Vec::new();
    format(&comparison, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn text_of(base: Program, head: Program) -> String {
    written(&complete(&base.watched()), &complete(&head.watched()), TEXT, &Options::default())
}

fn the_same_program_does_not_differ_however_long_it_was_watched() {
    for seconds in [10, 20, 60] {
        let difference = between(PROGRAM, Program { seconds, ..PROGRAM });
        assert!(!difference.has_changes(), "{seconds} s: {difference:#?}");
        assert_eq!(difference.caveats, [], "{seconds} s");
    }
    assert!(text_of(PROGRAM, PROGRAM).starts_with("No difference beyond noise\n"), "{}", text_of(PROGRAM, PROGRAM));
}

fn a_handler_that_runs_longer_is_named_by_coroutine_and_by_function() {
    let difference = between(PROGRAM, Program { handler_ms: 7, ..PROGRAM });
    let handler = &difference.coroutines[0];
    assert_eq!(handler.site.frame().map(|frame| &*frame.function), Some("handler"));
    assert_eq!((handler.confidence(), handler.presence), (Confidence::Certain, Presence::Both));
    let ratio = handler.run.ratio.unwrap();
    assert!(ratio.low < 1.75 && 1.75 < ratio.high && ratio.low > 1.1, "{ratio:?}");
    let render = &difference.runs[0];
    assert_eq!(render.site.frame().and_then(|frame| frame.line), Some(30));
    assert_eq!(render.run.confidence, Confidence::Certain);
    assert_eq!(difference.loops[0].busy.confidence, Confidence::Certain);
    let text = text_of(PROGRAM, Program { handler_ms: 7, ..PROGRAM });
    assert!(text.contains("runs more: 20.0 % -> 35.0 % of the time"), "{text}");
    let faster = text_of(Program { handler_ms: 7, ..PROGRAM }, PROGRAM);
    assert!(faster.contains("runs less: 35.0 % -> 20.0 % of the time"), "{faster}");
}

fn stalls_are_new_gone_and_more_with_the_chance_of_it() {
    let stalling = Program { stalls: 20, ..PROGRAM };
    let difference = between(PROGRAM, stalling);
    let [stall] = &*difference.stalls else { panic!("{:#?}", difference.stalls) };
    assert_eq!((stall.presence, stall.confidence(), stall.count), (Presence::New, Confidence::Certain, (0, 20)));
    assert_eq!(stall.site.frame().map(|frame| (&*frame.function, frame.line)), Some(("load_config", Some(50))));
    assert!(stall.chance < 1e-5, "{}", stall.chance);
    let gone = between(stalling, PROGRAM);
    assert_eq!((gone.stalls[0].presence, gone.stalls[0].confidence()), (Presence::Gone, Confidence::Certain));
    let more = between(Program { stalls: 8, ..PROGRAM }, stalling);
    assert_eq!((more.stalls[0].presence, more.stalls[0].per_minute.confidence), (Presence::Both, Confidence::Likely));
    let text = text_of(PROGRAM, stalling);
    assert!(text.contains("new: 0 -> 20 stalls") && text.contains("at load_config (/srv/app/views.py:50)"), "{text}");
}

fn one_stall_more_can_be_chance() {
    let difference = between(Program { stalls: 2, ..PROGRAM }, Program { stalls: 3, ..PROGRAM });
    assert_eq!(difference.stalls[0].confidence(), Confidence::Noise);
    let once = between(PROGRAM, Program { stalls: 1, ..PROGRAM });
    assert_eq!((once.stalls[0].presence, once.stalls[0].confidence()), (Presence::New, Confidence::Noise));
    let text = text_of(PROGRAM, Program { stalls: 1, ..PROGRAM });
    assert!(text.contains("new, may be chance: 0 -> 1 stalls"), "a new place is told all the same:\n{text}");
}

fn waits_that_are_longer_are_found() {
    let base = Program { seconds: 60, ..PROGRAM };
    let difference = between(base, Program { wait_ms: 1_200, ..base });
    let wait = &difference.waits[0];
    assert_eq!(wait.site.frame().map(|frame| &*frame.function), Some("fetch"));
    assert_eq!((wait.kind, wait.confidence()), (Some(WaitKind::Lock), Confidence::Certain), "{wait:#?}");
    assert!((wait.length.ratio.unwrap().estimate - 3.0).abs() < 0.1, "{wait:#?}");
}

fn an_orphan_that_was_not_there_is_new() {
    let difference = between(PROGRAM, Program { orphans: 1, ..PROGRAM });
    let [finding] = &*difference.findings else { panic!("{:#?}", difference.findings) };
    assert_eq!((finding.rule.as_str(), finding.presence, finding.tasks), ("orphaned-task", Presence::New, (0, 1)));
    assert!(difference.has_changes());
    assert!(!between(Program { orphans: 1, ..PROGRAM }, Program { orphans: 1, ..PROGRAM }).has_changes());
}

fn moved_lines_and_another_folder_are_no_difference() {
    let base = Program { stalls: 20, orphans: 1, ..PROGRAM };
    let moved = Program { folder: "/home/ci/build-17/app", first_line: 300, ..base };
    let difference = between(base, moved);
    assert!(!difference.has_changes(), "{difference:#?}");
    let site = &difference.stalls[0].site;
    let line = |frame: &Option<Frame>| frame.as_ref().and_then(|frame| frame.line);
    assert_eq!((line(&site.base), line(&site.head)), (Some(50), Some(340)));
}

fn what_makes_two_recordings_hard_to_compare_is_said_first() {
    let (base, short) = (PROGRAM.watched(), Program { seconds: 2, ..PROGRAM });
    let mut header = short.header();
    header.python = "3.15.0".into();
    header.machine = vec![("cores".into(), "64".into()), ("cpu\u{1b}[31m".into(), "x".into())];
    header.loop_rate_hz = 100.0;
    header.stall_threshold_ns = 50 * MS;
    let head = short.watched_with(header);
    let head = Watch { analysis: &head, complete: false };
    let kinds: Vec<&str> = Difference::between(&complete(&base), &head).caveats.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, ["cut-off", "short", "python", "machine", "machine", "rates", "stall-threshold"]);
    let text = written(&complete(&base), &head, TEXT, &Options::default());
    let (caveats, rest) = (text.find("Before you compare").unwrap(), text.find("Event loops").unwrap());
    assert!(caveats < rest && text.contains("Python differs: 3.13.1 in the base, 3.15.0 in the head."), "{text}");
}

fn nothing_is_known_of_a_watch_that_saw_nothing() {
    let (nothing, something) = (Analysis::new(watches::header()), PROGRAM.watched());
    for (base, head) in [(&nothing, &something), (&something, &nothing), (&nothing, &nothing)] {
        let difference = Difference::between(&complete(base), &complete(head));
        assert!(difference.coroutines.iter().all(|change| !change.confidence().is_change()), "{difference:#?}");
        assert!(!difference.runs.iter().any(|change| change.run.confidence.is_change()), "{difference:#?}");
        for format in [TEXT, JSON, MARKDOWN] {
            written(&complete(base), &complete(head), format, &Options::default());
        }
    }
}

fn json_has_all_entries_and_finite_numbers() {
    let (base, head) = (PROGRAM.watched(), Program { stalls: 20, orphans: 2, ..PROGRAM }.watched());
    let json = written(&complete(&base), &complete(&head), JSON, &Options::default());
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["schema"], &json["changed"]), (&"asyncprof.diff/1".into(), &true.into()));
    assert_eq!((&json["base"]["name"], &json["head"]["complete"]), (&"base.aprof".into(), &true.into()));
    let stall = &json["stalls"][0];
    assert_eq!(
        (&stall["presence"], &stall["confidence"], &stall["cause"]),
        (&"new".into(), &"certain".into(), &"blocking_call".into())
    );
    assert_eq!((&stall["site"]["function"], &stall["site"]["line_base"]), (&"load_config".into(), &Value::Null));
    assert_eq!((&stall["site"]["line_head"], &stall["head_count"]), (&50.into(), &20.into()));
    assert_eq!(stall["per_minute"]["ratio"]["estimate"], Value::Null, "infinite");
    assert!(stall["per_minute"]["ratio"]["low"].as_f64().unwrap() > 1.0, "{stall}");
    assert_eq!(json["findings"][0]["head_tasks"], 2);
    for list in ["caveats", "coroutines", "runs", "waits", "loops"] {
        assert!(json[list].is_array(), "{list}");
    }
    let share = &json["coroutines"][0]["run_share"];
    assert!(share["base"].as_f64().unwrap() > 0.1, "{share}");
}

fn names_can_do_no_harm_in_any_format() {
    let hostile = Program { stalls: 20, culprit: "f\u{1b}[2J|`<script>\u{202e}", ..PROGRAM };
    let (base, head) = (PROGRAM.watched(), hostile.watched());
    for format in [TEXT, JSON, MARKDOWN] {
        let shown = written(&complete(&base), &complete(&head), format, &Options::default());
        let bad = shown.chars().find(|&c| escape::is_deceptive(c) && c != '\n');
        assert_eq!(bad, None, "{shown}");
    }
    let markdown = written(&complete(&base), &complete(&head), MARKDOWN, &Options::default());
    let row = markdown.lines().find(|line| line.starts_with("| new ")).unwrap();
    assert!(row.contains("\\|``") || row.contains("``f"), "the name is code, and its bar ends no cell: {row}");
    assert_eq!(row.replace("\\|", "").matches('|').count(), 5, "{row}");
}

fn a_limit_says_what_it_leaves_out() {
    let (base, head) = (PROGRAM.watched(), Program { handler_ms: 8, stalls: 20, ..PROGRAM }.watched());
    let options = Options { limit: Some(1), ..Options::default() };
    let text = written(&complete(&base), &complete(&head), TEXT, &options);
    assert!(text.contains("… 1 more change (see --limit)"), "{text}");
}

/// A server that is the same but for two lines, which a slower version changes.
const SERVER: &str = r#"
import asyncio, sys, time

async def worker():
    while True:
        time.sleep(WORK)
        await asyncio.sleep(0.04)

async def load():
    while True:
        await asyncio.sleep(0.25)
        if BLOCK:
            time.sleep(BLOCK)  # the blocking call

async def main():
    tasks = [asyncio.create_task(worker()), asyncio.create_task(load())]
    await asyncio.sleep(7)

asyncio.run(main())
"#;

fn asyncprof(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asyncprof"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ASYNCPROF_")) {
        command.env_remove(name);
    }
    command.current_dir(folder).stdin(Stdio::null()).args(arguments).output().unwrap()
}

/// Records the server in a folder of its own, its lines moved by what is put before it.
fn record(folder: &Path, python: &Interpreter, name: &str, before: &str) {
    fs::create_dir(folder.join(name)).unwrap();
    let program = folder.join(name).join("server.py");
    fs::write(&program, format!("{before}{SERVER}")).unwrap();
    let (file, python) = (format!("{name}.aprof"), python.path.to_str().unwrap());
    let output = asyncprof(folder, &["record", "-o", &file, "--", python, program.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

fn diff_json(folder: &Path, base: &str, head: &str) -> Value {
    let output = asyncprof(folder, &["diff", base, head, "-f", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn a_program_that_got_slower_is_told_from_one_that_is_the_same() {
    let python = oldest();
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), python, "before", "WORK, BLOCK = 0.02, 0\n");
    record(folder.path(), python, "again", "# the same\nWORK, BLOCK = 0.02, 0\n");
    record(folder.path(), python, "after", "\n\n# slower\nWORK, BLOCK = 0.2, 0.15\n");
    let same = diff_json(folder.path(), "before.aprof", "again.aprof");
    for list in ["stalls", "coroutines", "waits"] {
        let certain = same[list].as_array().unwrap().iter().find(|entry| entry["confidence"] == "certain");
        assert_eq!(certain, None, "{list}");
    }
    let slower = diff_json(folder.path(), "before.aprof", "after.aprof");
    let line =
        |mark: &str, before: u64| SERVER.lines().position(|line| line.contains(mark)).unwrap() as u64 + 1 + before;
    let stall = slower["stalls"].as_array().unwrap().iter().find(|stall| stall["site"]["function"] == "load").unwrap();
    // How sure that is depends on how evenly this machine let the program run; what makes it certain is tested above.
    let is_told = |entry: &Value| entry["confidence"] == "certain" || entry["confidence"] == "likely";
    assert!(stall["presence"] == "new" && is_told(stall), "{stall}");
    assert_eq!(
        (&stall["cause"], &stall["site"]["line_head"]),
        (&"blocking_call".into(), &line("the blocking call", 4).into())
    );
    assert!(stall["site"]["file"].as_str().unwrap().ends_with("after/server.py"), "{stall}");
    let worker =
        slower["coroutines"].as_array().unwrap().iter().find(|one| one["site"]["function"] == "worker").unwrap();
    assert!(worker["presence"] == "both" && is_told(worker), "{worker}");
    let lines = (&worker["site"]["line_base"], &worker["site"]["line_head"]);
    assert_eq!(lines, (&line("async def worker", 1).into(), &line("async def worker", 4).into()), "{worker}");

    let output = asyncprof(folder.path(), &["diff", "before.aprof", "after.aprof", "-o", "diff.md"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
    let markdown = fs::read_to_string(folder.path().join("diff.md")).unwrap();
    assert!(markdown.starts_with("## asyncprof diff: ") && markdown.contains("| new | "), "{markdown}");
    let again = asyncprof(folder.path(), &["diff", "before.aprof", "after.aprof", "-o", "diff.md"]);
    assert_eq!(again.status.code(), Some(2), "not overwritten without --force");

    // Cut off, it still says what is in it, and that it is cut off; also as a picture.
    let whole = fs::read(folder.path().join("after.aprof")).unwrap();
    fs::write(folder.path().join("cut.aprof"), &whole[..whole.len() * 3 / 4]).unwrap();
    let cut = diff_json(folder.path(), "before.aprof", "cut.aprof");
    assert_eq!((&cut["head"]["complete"], &cut["caveats"][0]["kind"]), (&false.into(), &"cut-off".into()));
    let drawn = asyncprof(folder.path(), &["flamegraph", "after.aprof", "--diff", "before.aprof", "-o", "diff.svg"]);
    assert_eq!(drawn.status.code(), Some(0));
    assert!(fs::read_to_string(folder.path().join("diff.svg")).unwrap().contains("worker ("));

    for (name, content) in [("garbage.aprof", &[7_u8; 5_000][..]), ("empty.aprof", &[])] {
        fs::write(folder.path().join(name), content).unwrap();
    }
    for bad in ["garbage.aprof", "empty.aprof", "missing.aprof", "."] {
        for arguments in [["diff", bad, "after.aprof"], ["diff", "after.aprof", bad]] {
            let output = asyncprof(folder.path(), &arguments);
            assert_eq!((output.status.code(), output.stdout.len()), (Some(6), 0), "{arguments:?}");
            assert!(String::from_utf8_lossy(&output.stderr).contains(bad), "{arguments:?}");
        }
    }
}

fn help_points_to_the_flame_graph() {
    let output = asyncprof(Path::new("."), &["diff", "--help"]);
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(help.contains("asyncprof flamegraph after.aprof --diff before.aprof"), "{help}");
}
