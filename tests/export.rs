//! What `asyncprof export` writes of a real recording: each format by its own rules, all of them against each other, and
//! opened by the programs they are for, where `scripts/install-consumers` has installed them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;
mod watches;

#[path = "export/consumers.rs"]
mod consumers;
#[path = "export/formats.rs"]
mod formats;
#[path = "export/made_up.rs"]
mod made_up;
#[path = "export/recording.rs"]
mod recording;

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};

use asyncprof::model::event::Phase;
use asyncprof::model::snapshot::TaskState;
use asyncprof::profile::By;
use asyncprof::render::escape::is_deceptive;
use asyncprof::render::export::{self, write_pprof, write_speedscope};
use consumers::FirefoxProfiler;
use formats::Pprof;
use made_up::MadeUp;
use recording::{Recording, asyncprof, export, exported, line_to_change};
use serde_json::Value;
use support::consumers::{content, find};

support::trials::trials! {
    the_totals_of_all_formats_agree,
    all_formats_tell_the_stalls_of_the_report,
    tasks_have_lanes_with_what_they_waited_for,
    json_lines_hold_every_event_with_its_names,
    pprof_has_the_task_as_a_label_and_the_line_of_each_call,
    threads_and_idle_time_are_in_the_stacks_where_they_are_asked_for,
    an_option_without_meaning_for_a_format_is_refused_unless_it_is_a_setting,
    a_difference_tells_threads_apart_by_name_for_their_numbers_differ,
    names_that_mean_harm_are_made_visible_in_every_format,
    a_recording_that_breaks_off_says_so_in_formats_of_events,
    the_ending_of_a_file_says_for_which_tool_it_is,
    what_cannot_be_written_there_is_refused_with_a_hint,
    what_is_not_text_does_not_go_to_a_terminal,
    what_is_no_recording_is_exit_6_and_leaves_nothing_behind,
    a_reader_that_has_seen_enough_is_no_error,
    what_is_torn_or_not_known_is_said_in_every_format,
    a_lane_tells_runs_between_waits_whichever_tier_is_told_later,
    tasks_go_on_when_the_tables_begin_anew,
    tasks_beyond_the_lanes_are_counted,
    loops_beyond_the_limit_are_said,
    with_gz_at_the_end_a_file_is_gzipped_whatever_it_holds,
    a_watch_in_which_nothing_was_seen_is_a_whole_file,
    pprof_opens_it,
    speedscope_opens_it,
    the_trace_is_one_to_another_reader_of_the_format_too,
    the_firefox_profiler_opens_it,
}

const FORMATS: [&str; 6] = ["collapsed", "speedscope", "perfetto", "firefox", "pprof", "jsonl"];
const WAYS: [&str; 3] = ["run", "await", "wall"];

/// The one of a trace whose tracks are event loops.
fn is_of_loops(event: &Value) -> bool {
    event["pid"] != 4_194_305
}

fn stalls_of_trace(events: &[Value]) -> Vec<&Value> {
    events.iter().filter(|event| event["cat"] == "stall").collect()
}

fn the_totals_of_all_formats_agree() {
    let recording = Recording::get();
    let speedscope = formats::check_speedscope(&recording.exported_json("speedscope"));
    let pprof = Pprof::unpacked(&recording.exported(&["-f", "pprof"])).check();
    for by in WAYS {
        let text = recording.exported_text(&["-f", "collapsed", "--by", by]);
        let stacks = formats::collapsed(&text);
        let collapsed_us: u64 = stacks.iter().map(|(_, us)| us).sum();
        assert!(collapsed_us > 100_000, "{by}: {text}");
        assert_eq!(speedscope[by], pprof[by] as f64, "{by}");
        // Folded stacks are rounded to microseconds, and those below half of one are left out.
        let collapsed_ns = collapsed_us as f64 * 1e3;
        let rounding_ns = 500.0 * (stacks.len() + 100) as f64;
        assert!((speedscope[by] - collapsed_ns).abs() < rounding_ns, "{by}: {} {collapsed_ns}", speedscope[by]);
    }
    let firefox = recording.exported_json("firefox");
    let waits = formats::check_firefox(&firefox).iter().find(|thread| thread["samples"]["weightType"] == "tracing-ms");
    let waited_ms: f64 = waits.unwrap()["samples"]["weight"].as_array().unwrap().iter().filter_map(Value::as_f64).sum();
    // From looks alone, without what loops ran between them.
    let share = waited_ms * 1e6 / speedscope["await"];
    assert!((0.8..1.2).contains(&share), "{waited_ms} ms, {} ns", speedscope["await"]);
    let trace = recording.exported_json("perfetto");
    let runs = formats::check_trace(&trace).iter().filter(|event| event["cat"] == "run" && event["ph"] == "X");
    let (on_loops, in_lanes): (Vec<&Value>, Vec<&Value>) = runs.partition(|event| is_of_loops(event));
    let sum = |events: &[&Value]| events.iter().map(|event| event["dur"].as_f64().unwrap() * 1e3).sum::<f64>();
    let cut_ns = 1e3 * on_loops.len() as f64;
    assert!((sum(&on_loops) - speedscope["run"]).abs() <= cut_ns, "{} {}", sum(&on_loops), speedscope["run"]);
    let of_tasks: Vec<&Value> = on_loops.into_iter().filter(|event| event["args"]["task"].is_string()).collect();
    let (in_lanes, of_tasks) = (sum(&in_lanes), sum(&of_tasks));
    // A run is cut where a look has placed a change of its task inside of it.
    let lanes_have = 0.95 * of_tasks..=of_tasks + cut_ns;
    assert!(lanes_have.contains(&in_lanes), "lanes have what the loops ran of tasks: {in_lanes} {of_tasks}");
}

fn all_formats_tell_the_stalls_of_the_report() {
    let recording = Recording::get();
    let report = recording.report();
    let stalls = report["stalls"].as_array().unwrap();
    let planted = |stall: &&Value| stall["site"]["line"] == line_to_change() && stall["cause"] == "blocking_call";
    // How many of the three are seen as what they are on a busy machine is tested elsewhere.
    assert!(stalls.iter().any(|stall| planted(&stall)), "{stalls:?}");
    let started_ns = report["started_ns"].as_u64().unwrap();
    let mut wanted: Vec<(u64, u64)> = (stalls.iter())
        .map(|stall| {
            let start_us = (stall["start_ns"].as_u64().unwrap() - started_ns) / 1_000;
            (start_us, stall["duration_ms"].as_f64().unwrap().mul_add(1e3, 0.5) as u64)
        })
        .collect();
    wanted.sort_unstable();

    let trace = recording.exported_json("perfetto");
    let shown = stalls_of_trace(formats::check_trace(&trace));
    let mut seen: Vec<(u64, u64)> =
        shown.iter().map(|event| (event["ts"].as_u64().unwrap(), event["dur"].as_u64().unwrap())).collect();
    seen.sort_unstable();
    assert_eq!(seen.len(), wanted.len());
    for ((start, lasts), (wanted_start, wanted_lasts)) in seen.iter().zip(&wanted) {
        assert!(start.abs_diff(*wanted_start) <= 1 && lasts.abs_diff(*wanted_lasts) <= 2, "{seen:?} {wanted:?}");
    }
    let place = format!("app.py:{}", line_to_change());
    let event = shown.iter().find(|event| event["args"]["site"].as_str().unwrap().contains(&place)).unwrap();
    assert!(event["name"].as_str().unwrap().starts_with("blocking call: planted ("), "{event}");
    assert!(event["args"]["stack"][0].as_str().unwrap().starts_with("planted ("), "{event}");
    assert!(event["args"]["advice"].as_str().unwrap().contains("asyncio.sleep"), "{event}");
    assert!(event["args"]["evidence"]["in_call"].as_u64().unwrap() > 0, "{event}");

    let lines = formats::json_lines(&recording.exported_text(&["-f", "jsonl"]));
    let mut told: Vec<&Value> = lines.iter().filter(|line| line["type"] == "stall").collect();
    told.sort_by_key(|stall| (stall["duration_ms"].to_string(), stall["start_ns"].as_u64()));
    let mut reported: Vec<&Value> = stalls.iter().collect();
    reported.sort_by_key(|stall| (stall["duration_ms"].to_string(), stall["start_ns"].as_u64()));
    for (told, reported) in told.iter().zip(&reported) {
        let mut told = told.as_object().unwrap().clone();
        told.remove("type");
        assert_eq!(&Value::Object(told), *reported);
    }
    assert_eq!(told.len(), reported.len());

    let profile = recording.exported_json("firefox");
    let markers = formats::check_firefox(&profile)
        .iter()
        .flat_map(|thread| thread["markers"]["data"].as_array().unwrap().iter().filter(|data| data["type"] == "Stall"));
    assert_eq!(markers.count(), wanted.len());
}

fn tasks_have_lanes_with_what_they_waited_for() {
    let recording = Recording::get();
    let trace = recording.exported_json("perfetto");
    let events = formats::check_trace(&trace);
    let named = |ph: &str, name: &str| {
        events.iter().filter(|event| event["ph"] == ph && event["name"] == name && !is_of_loops(event)).count()
    };
    assert!(named("B", "job-*") == 0 && named("B", "job-7") >= 1, "names are not folded");
    for what in ["run", "await:sleep", "await:gather"] {
        assert!(named("X", what) > 0, "{what}");
    }
    let counters: std::collections::BTreeSet<&str> =
        events.iter().filter(|event| event["ph"] == "C").map(|event| event["name"].as_str().unwrap()).collect();
    assert_eq!(counters.into_iter().collect::<Vec<_>>(), ["loop 1 lag (ms)", "loop 1 ready queue", "tasks"]);
    let lag = events.iter().filter(|event| event["name"] == "loop 1 lag (ms)");
    assert!(lag.map(|event| event["args"]["value"].as_f64().unwrap()).fold(0.0, f64::max) >= 140.0);
}

fn json_lines_hold_every_event_with_its_names() {
    let recording = Recording::get();
    let lines = formats::json_lines(&recording.exported_text(&["-f", "jsonl"]));
    let (first, last) = (&lines[0], lines.last().unwrap());
    assert_eq!((&first["type"], &first["schema"]), (&"header".into(), &"asyncprof.events/1".into()));
    assert_eq!((&last["type"], &last["complete"]), (&"end".into(), &true.into()));
    let report = recording.report();
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).collect::<Vec<_>>();
    assert_eq!(of("loop").len() as u64, report["sampling"]["loop_samples"].as_u64().unwrap());
    assert_eq!(of("tasks").len() as u64, report["sampling"]["task_snapshots"].as_u64().unwrap());
    for kind in ["loop", "tasks", "note", "health"] {
        let times: Vec<u64> = of(kind).iter().map(|line| line["at_ns"].as_u64().unwrap()).collect();
        assert!(times.is_sorted(), "{kind}");
    }
    let sample = of("loop").into_iter().find(|line| {
        let stack = line["stack"].as_array().map_or(&[][..], Vec::as_slice);
        stack.iter().any(|frame| frame["function"] == "planted" && frame["line"] == line_to_change())
    });
    let sample = sample.expect("the planted call was sampled");
    assert!(sample["loop"]["id"].as_str().unwrap().starts_with("0x"), "{sample}");
    assert_eq!((&sample["phase"], &sample["task"]["coroutine"]["function"]), (&"away".into(), &"planted".into()));
}

fn pprof_has_the_task_as_a_label_and_the_line_of_each_call() {
    let recording = Recording::get();
    for by in WAYS {
        let pprof = Pprof::unpacked(&recording.exported(&["-f", "pprof", "--by", by, "--full-task-names"]));
        pprof.check();
        assert_eq!(pprof.text(pprof.default_sample_type), by);
        assert!(pprof.time_nanos > 1_700_000_000_000_000_000 && pprof.duration_nanos > 300_000_000);
        let planted = pprof.function.iter().find(|function| pprof.text(function.name) == "planted").unwrap();
        assert!(pprof.text(planted.filename).ends_with("app.py"));
        let line = |location: &&formats::Location| {
            location.line[0].function_id == planted.id && location.line[0].line as u64 == line_to_change()
        };
        assert!(pprof.location.iter().any(|location| line(&location)));
        let labels = || pprof.sample.iter().flat_map(|sample| &sample.label).map(|label| pprof.text(label.text));
        assert!(labels().any(|name| name == "Ünïcödé 名前 😀"));
    }
}

fn threads_and_idle_time_are_in_the_stacks_where_they_are_asked_for() {
    let recording = Recording::get();
    let report = recording.report();
    let event_loop = &report["loops"][0];
    let thread = format!("{} ({})", event_loop["thread_name"].as_str().unwrap(), event_loop["thread"]);
    let plain = recording.exported_text(&["-f", "collapsed"]);
    let text = recording.exported_text(&["-f", "collapsed", "-t", "-i"]);
    let (idle, busy): (Vec<_>, Vec<_>) = (formats::collapsed(&text).into_iter())
        .map(|(stack, us)| (stack.join(";"), us))
        .partition(|(stack, _)| *stack == format!("thread:{thread};<idle>"));
    assert_eq!(idle.len(), 1, "{text}");
    let share = |name: &str| event_loop[name].as_f64().unwrap() / 100.0;
    let busy_us: u64 = busy.iter().map(|(_, us)| us).sum();
    let known_us = busy_us as f64 / (share("busy_percent") - share("waiting_for_gil_percent"));
    let idle_us = known_us * (1.0 - share("busy_percent"));
    assert!((idle[0].1 as f64 / idle_us - 1.0).abs() < 0.01, "{idle:?} {idle_us} {event_loop}");
    let busy: Vec<String> = busy.iter().map(|(stack, us)| format!("{stack} {us}")).collect();
    let wanted: Vec<String> = plain.lines().map(|line| format!("thread:{thread};{line}")).collect();
    assert_eq!(busy, wanted, "nothing else is otherwise");
    assert!(plain.lines().all(|line| line.starts_with("task:") || line.starts_with("callback")), "{plain}");

    let waits = recording.exported_text(&["-f", "collapsed", "--by", "await", "--threads"]);
    assert!(waits.lines().all(|line| line.starts_with(&format!("thread:{thread};task:"))), "{waits}");

    let speedscope: Value = serde_json::from_str(&recording.exported_text(&["-f", "speedscope", "-t", "-i"])).unwrap();
    let totals = formats::check_speedscope(&speedscope);
    let without = formats::check_speedscope(&recording.exported_json("speedscope"));
    let idle_ns = totals["run"] - without["run"];
    assert!((idle_ns / 1e3 - idle[0].1 as f64).abs() <= 1.0, "{idle_ns} {idle:?}");
    assert_eq!((totals["wall"] - without["wall"], totals["await"]), (idle_ns, without["await"]));

    let pprof = Pprof::unpacked(&recording.exported(&["-f", "pprof", "-t", "-i"]));
    assert_eq!(pprof.check()["run"] as f64, totals["run"]);
    for sample in &pprof.sample {
        assert_eq!(pprof.text(sample.label[0].key), "thread");
        assert_eq!(pprof.text(sample.label[0].text), thread);
    }
}

fn an_option_without_meaning_for_a_format_is_refused_unless_it_is_a_setting() {
    let recording = Recording::get();
    let file = recording.file();
    for format in ["perfetto", "firefox", "jsonl"] {
        for option in [&["--by", "run"][..], &["--threads"], &["-i"]] {
            let output = export(&file, &[&["-f", format], option].concat());
            assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{format} {option:?}");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("has no effect") && said.contains("hint:"), "{said}");
        }
        let mut command = asyncprof();
        command.envs([("ASYNCPROF_BY", "await"), ("ASYNCPROF_THREADS", "1"), ("ASYNCPROF_IDLE", "true")]);
        let output = command.arg("export").arg(&file).args(["-f", format]).output().unwrap();
        assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]), "{format}");
        assert_eq!(output.stdout, recording.exported(&["-f", format]), "{format}");
    }
    let waits = export(&file, &["-f", "collapsed", "--by", "await", "--idle"]);
    assert_eq!(waits.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&waits.stderr).contains("--by await"), "{waits:?}");
    let nothing = asyncprof().args(["attach", "1", "--threads"]).output().unwrap();
    assert_eq!(nothing.status.code(), Some(2), "a summary has no stacks: {nothing:?}");
    let mut command = asyncprof();
    command.envs([("ASYNCPROF_THREADS", "1"), ("ASYNCPROF_IDLE", "1")]);
    let set = command.arg("export").arg(&file).args(["-f", "collapsed"]).output().unwrap();
    assert_eq!(
        set.stdout,
        recording.exported(&["-f", "collapsed", "-t", "-i"]),
        "variables count where they mean something"
    );
}

fn a_difference_tells_threads_apart_by_name_for_their_numbers_differ() {
    let recording = Recording::get();
    let file = recording.file();
    let drawn = asyncprof().arg("flamegraph").arg(&file).args(["-t", "-i", "--diff"]).arg(&file).output().unwrap();
    assert!(drawn.status.success(), "{drawn:?}");
    let shown = String::from_utf8(drawn.stdout).unwrap();
    assert!(shown.contains("thread:MainThread (") && shown.contains("&lt;idle&gt; ("), "{shown}");
    let number = format!("thread:MainThread ({})", recording.report()["loops"][0]["thread"]);
    assert!(!shown.contains(&number), "{shown}");
}

fn names_that_mean_harm_are_made_visible_in_every_format() {
    let recording = Recording::get();
    let whole = ["</script><img src=x onerror=alert(1)>", "quotes \" ' ` and \\ and ", "Ünïcödé 名前 😀"];
    let visible = ["line\\nbreak\\r\\ttab", "\\u{1b}[31mred\\u{7} \\u{202e}backwards"];
    // Names of tasks, in formats that show them one by one.
    for format in ["speedscope", "perfetto", "collapsed"] {
        let by = if format == "perfetto" { &[][..] } else { &["--by", "wall"] };
        let bytes = recording.exported_text(&[&["-f", format, "--full-task-names"], by].concat());
        assert!(!bytes.chars().any(|character| is_deceptive(character) && character != '\n'), "{format}");
        let text = match serde_json::from_str::<Value>(&bytes) {
            Ok(json) => strings(&json).join("\n"),
            Err(_) => bytes,
        };
        for name in whole.iter().chain(&visible) {
            assert!(text.contains(name), "{format}: {name} is not in it");
        }
        assert!(!text.contains(&"n".repeat(100)), "{format}: a long name is cut");
    }
    let lines = recording.exported_text(&["-f", "jsonl"]);
    assert!(!lines.chars().any(|character| is_deceptive(character) && character != '\n'));
    let names: Vec<String> = formats::json_lines(&lines).iter().flat_map(strings).map(str::to_owned).collect();
    assert!(names.iter().any(|name| name == "line\nbreak\r\ttab"), "programs get names as they are");
    let firefox = recording.exported_text(&["-f", "firefox"]);
    assert!(!firefox.chars().any(|character| is_deceptive(character) && character != '\n'));
    let pprof = Pprof::unpacked(&recording.exported(&["-f", "pprof", "--full-task-names"]));
    assert!(!pprof.string_table.iter().any(|text| text.chars().any(is_deceptive)));
    for name in whole.iter().chain(&visible) {
        assert!(pprof.string_table.iter().any(|text| text.contains(name)), "{name}");
    }
}

/// All texts in it.
fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(fields) => fields.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

fn a_recording_that_breaks_off_says_so_in_formats_of_events() {
    let recording = Recording::get();
    let whole = fs::read(recording.file()).unwrap();
    // Without its end mark.
    let file = recording.path("cut.aprof");
    fs::write(&file, &whole[..whole.len() - 3]).unwrap();
    let output = export(&file, &["-f", "jsonl"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("has no end"));
    let lines = formats::json_lines(str::from_utf8(&output.stdout).unwrap());
    assert_eq!(lines.last().unwrap()["complete"], false);
    let trace: Value = serde_json::from_slice(&exported(&file, &["-f", "perfetto"])).unwrap();
    let says = |event: &Value| event["ph"] == "i" && event["name"] == "the recording is cut off here";
    assert!(formats::check_trace(&trace).iter().any(says));
    let profile: Value = serde_json::from_slice(&exported(&file, &["-f", "firefox"])).unwrap();
    formats::check_firefox(&profile);
    assert!(strings(&profile).contains(&"the recording is cut off here"));
}

fn the_ending_of_a_file_says_for_which_tool_it_is() {
    let recording = Recording::get();
    for (name, format) in [
        ("x.folded", "collapsed"),
        ("x.txt", "collapsed"),
        ("x.speedscope.json", "speedscope"),
        ("x.trace.json", "perfetto"),
        ("x.firefox.json", "firefox"),
        ("x.pb.gz", "pprof"),
        ("x.jsonl", "jsonl"),
    ] {
        let file = recording.path(name);
        let path = file.to_str().unwrap();
        let output = export(&recording.file(), &["-o", path]);
        assert!(output.status.success() && output.stdout.is_empty(), "{name}: {output:?}");
        assert_eq!(fs::read(&file).unwrap(), recording.exported(&["-f", format]), "{name}");
        assert_eq!(export(&recording.file(), &["-o", path]).status.code(), Some(2), "it exists");
        assert!(export(&recording.file(), &["-o", path, "--force"]).status.success());
    }
    let unknown = export(&recording.file(), &["-o", recording.path("x.json").to_str().unwrap()]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains(".speedscope.json"));
}

fn what_cannot_be_written_there_is_refused_with_a_hint() {
    let recording = Recording::get();
    let trace = recording.path("refused.trace.json");
    let (file, trace) = (recording.file(), trace.to_str().unwrap().to_owned());
    let file = file.to_str().unwrap();
    for (arguments, hint) in [
        (&["attach", "1", "-o", &trace][..], "asyncprof export x.aprof"),
        (&["report", file, "-o", &trace], "asyncprof export"),
        (&["flamegraph", file, "-o", &trace], ".folded"),
        (&["export", file], "-f collapsed"),
    ] {
        let output = asyncprof().args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains("hint:") && said.contains(hint), "{arguments:?}: {said}");
    }
    assert!(!std::path::Path::new(&trace).exists());
}

fn what_is_not_text_does_not_go_to_a_terminal() {
    let recording = Recording::get();
    let on_terminal = |format: &str| {
        let command = format!("'{}' export x.aprof -f {format}", env!("CARGO_BIN_EXE_asyncprof"));
        let mut script = Command::new("script");
        script.args(["-qec", &command, "/dev/null"]).current_dir(recording.path("")).stdin(Stdio::null()).output()
    };
    let Ok(refused) = on_terminal("pprof") else {
        support::trials::missing("no script(1) to make a terminal with");
    };
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stdout).contains("give -o a file.pb.gz"), "{refused:?}");
    assert!(on_terminal("collapsed").unwrap().status.success());
}

fn what_is_no_recording_is_exit_6_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.aprof");
    fs::write(&garbage, [7; 5000]).unwrap();
    for format in FORMATS {
        let out = folder.path().join("out");
        let output = export(&garbage, &["-f", format, "-o", out.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(6), "{format}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("hint:"), "{format}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{format}");
    }
}

fn a_reader_that_has_seen_enough_is_no_error() {
    let recording = Recording::get();
    for format in FORMATS {
        let mut child = asyncprof()
            .arg("export")
            .arg(recording.file())
            .args(["-f", format])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{format}: {output:?}");
    }
}

/// Names of slices with their starts and lengths in milliseconds.
fn slices(trace: &Value, of_loops: bool) -> Vec<(&str, f64, f64)> {
    let events = formats::check_trace(trace).iter();
    let slices = events.filter(|event| event["ph"] == "X" && is_of_loops(event) == of_loops);
    let ms = |value: &Value| value.as_f64().unwrap() / 1e3;
    slices.map(|event| (event["name"].as_str().unwrap(), ms(&event["ts"]), ms(&event["dur"]))).collect()
}

fn what_is_torn_or_not_known_is_said_in_every_format() {
    let mut watch = MadeUp::new();
    watch.sample(1, Phase::Selecting, None, false);
    for at_ms in 2..=11 {
        watch.sample(at_ms, Phase::Away, Some((7, "reader")), true);
    }
    watch.sample(12, Phase::Unknown, None, false);
    watch.sample(22, Phase::NotRunning, None, false);
    // Then nothing for a second.
    watch.sample(1_022, Phase::Selecting, None, false);
    let perfetto = watch.written(export::begin_perfetto);
    let trace: Value = serde_json::from_str(&perfetto.text).unwrap();
    assert_eq!(
        slices(&trace, true),
        [
            ("serve", 1.5, 10.0),
            ("<unknown>", 11.5, 5.5),
            ("<no loop runs>", 17.0, 5.0),
            ("<not sampled>", 22.0, 1_000.0)
        ]
    );
    let run = formats::check_trace(&trace).iter().find(|event| event["name"] == "serve").unwrap();
    assert_eq!((&run["args"]["torn"], &run["args"]["task"]), (&true.into(), &"reader".into()));
    let firefox: Value = serde_json::from_str(&watch.written(export::begin_firefox).text).unwrap();
    let threads = formats::check_firefox(&firefox);
    for name in ["<torn>", "<unknown>", "<no loop runs>", "<not sampled>"] {
        assert!(threads.iter().any(|thread| strings(&thread["stringArray"]).contains(&name)), "{name}");
    }
    let lines = formats::json_lines(&watch.written(export::begin_json_lines).text);
    let loops: Vec<&Value> = lines.iter().filter(|line| line["type"] == "loop").collect();
    assert_eq!(loops[1]["torn"], true);
    assert_eq!((&loops[11]["phase"], &loops[11]["stack"]), (&"unknown".into(), &Value::Null));
    let (analysis, mut out) = (perfetto.analysis, Vec::new());
    write_speedscope(analysis.profile(), By::Run, "app", &mut out).unwrap();
    let speedscope: Value = serde_json::from_slice(&out).unwrap();
    formats::check_speedscope(&speedscope);
    assert!(strings(&speedscope).contains(&"<torn>"));
    let mut out = Vec::new();
    write_pprof(analysis.header(), analysis.duration_ns(), analysis.profile(), By::Run, &mut out).unwrap();
    let pprof = Pprof::unpacked(&out);
    pprof.check();
    assert!(pprof.string_table.iter().any(|text| text == "<torn>"));
}

fn a_lane_tells_runs_between_waits_whichever_tier_is_told_later() {
    let mut watch = MadeUp::new();
    watch.look(0, &[(7, "reader", TaskState::Waiting)], &[]);
    watch.look(100, &[(7, "reader", TaskState::Waiting)], &[]);
    watch.look(200, &[], &[(7, "reader")]);
    // The loops' samples come behind the looks.
    watch.sample(39, Phase::Selecting, None, false);
    for at_ms in 40..50 {
        watch.sample(at_ms, Phase::Away, Some((7, "reader")), false);
    }
    watch.sample(50, Phase::Selecting, None, false);
    watch.sample(51, Phase::Selecting, None, false);
    let trace: Value = serde_json::from_str(&watch.written(export::begin_perfetto).text).unwrap();
    // Born at the first look and again at the second: two tasks with the same name. The second ends between two looks.
    let wait = "await:sleep";
    assert_eq!(slices(&trace, false), [(wait, 0.0, 39.5), ("run", 39.5, 10.0), (wait, 50.0, 100.0)]);
}

fn tasks_go_on_when_the_tables_begin_anew() {
    let mut watch = MadeUp::new();
    watch.look(0, &[(7, "reader", TaskState::Waiting)], &[]);
    for at_ms in 1..20 {
        if at_ms == 10 {
            watch.begin_anew();
        }
        watch.sample(at_ms, Phase::Away, Some((7, "reader")), false);
    }
    watch.sample(20, Phase::Selecting, None, false);
    watch.look(30, &[], &[]);
    let trace: Value = serde_json::from_str(&watch.written(export::begin_perfetto).text).unwrap();
    let begun = formats::check_trace(&trace).iter().filter(|event| event["ph"] == "B").count();
    assert_eq!(begun, 1);
    assert_eq!(slices(&trace, true), [("serve", 1.0, 18.5)]);
}

fn tasks_beyond_the_lanes_are_counted() {
    let names: Vec<(u64, String)> = (0..1_200).map(|key| (key + 1, format!("job-{key}"))).collect();
    let waiting: Vec<(u64, &str, TaskState)> =
        names.iter().map(|(key, name)| (*key, &**name, TaskState::Waiting)).collect();
    let mut watch = MadeUp::new();
    watch.look(0, &waiting, &[]);
    watch.look(100, &[], &[]);
    let written = watch.written(export::begin_perfetto);
    let trace: Value = serde_json::from_str(&written.text).unwrap();
    assert_eq!(formats::check_trace(&trace).iter().filter(|event| event["ph"] == "B").count(), 1_000);
    assert_eq!(written.left_out.unwrap(), "200 tasks have no lane, because 1000 others lived");
    assert!(strings(&trace).iter().any(|text| text.starts_with("200 tasks have no lane")));
}

fn loops_beyond_the_limit_are_said() {
    let mut watch = MadeUp::new();
    for key in 0..=300 {
        watch.sample_of(key + 1, key, Phase::Away, None, false);
    }
    for (format, begin) in [("Perfetto", export::begin_perfetto as made_up::Begin), ("Firefox", export::begin_firefox)]
    {
        let written = watch.written(begin);
        let said = "there were more than 256 event loops; only the first 256 are included";
        assert_eq!(written.left_out.as_deref(), Some(said), "{format}");
        assert!(strings(&serde_json::from_str(&written.text).unwrap()).iter().any(|text| text.contains(said)));
    }
}

fn with_gz_at_the_end_a_file_is_gzipped_whatever_it_holds() {
    let recording = Recording::get();
    for (format, ending) in [
        ("collapsed", ".folded"),
        ("speedscope", ".speedscope.json"),
        ("perfetto", ".trace.json"),
        ("firefox", ".firefox.json"),
        ("jsonl", ".jsonl"),
    ] {
        let path = recording.path(&format!("packed{ending}.gz"));
        exported(&recording.file(), &["-o", path.to_str().unwrap()]);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(fs::File::open(path).unwrap()).read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == recording.exported(&["-f", format]), "{format}");
    }
    let path = recording.path("packed.gz");
    exported(&recording.file(), &["-f", "pprof", "-o", path.to_str().unwrap()]);
    Pprof::unpacked(&fs::read(path).unwrap()).check();
    assert_eq!(export(&recording.file(), &["-o", "x.gz"]).status.code(), Some(2), "of what kind?");
}

fn a_watch_in_which_nothing_was_seen_is_a_whole_file() {
    let watch = MadeUp::new();
    let trace: Value = serde_json::from_str(&watch.written(export::begin_perfetto).text).unwrap();
    assert!(slices(&trace, true).is_empty());
    let profile: Value = serde_json::from_str(&watch.written(export::begin_firefox).text).unwrap();
    formats::check_firefox(&profile);
    assert_eq!(formats::json_lines(&watch.written(export::begin_json_lines).text).len(), 2);
    let (analysis, mut out) = (watch.written(export::begin_json_lines).analysis, Vec::new());
    write_speedscope(analysis.profile(), By::Run, "app", &mut out).unwrap();
    formats::check_speedscope(&serde_json::from_slice(&out).unwrap());
    let mut out = Vec::new();
    write_pprof(analysis.header(), 0, analysis.profile(), By::Run, &mut out).unwrap();
    Pprof::unpacked(&out).check();
}

fn pprof_opens_it() {
    let (recording, go) = (Recording::get(), find("go"));
    let file = recording.exported_file("opened.pb.gz", &["-f", "pprof"]);
    let pprof = |arguments: &[&str]| {
        let mut command = Command::new(go);
        command.args(["tool", "pprof"]).args(arguments).arg(&file);
        // Its own settings and copies of profiles stay out of the user's home.
        command.env("HOME", recording.path("")).env("PPROF_TMPDIR", recording.path(""));
        content(command)
    };
    let columns = Pprof::unpacked(&fs::read(&file).unwrap()).check();
    let top = pprof(&["-top", "-lines"]);
    assert!(top.contains("Type: run"), "{top}");
    let shown_ms: f64 = top.split("Total samples = ").nth(1).and_then(leading_ms).unwrap();
    assert!((shown_ms - columns["run"] as f64 / 1e6).abs() < 10.0, "{top}");
    assert!(top.contains(&format!("app.py:{}", line_to_change())), "{top}");
    let waits = pprof(&["-top", "-sample_index=await", "-tagroot=task"]);
    assert!(waits.contains("Type: await") && waits.contains("await:sleep") && waits.contains("Task-*"), "{waits}");
    let raw = pprof(&["-raw"]);
    assert!(raw.contains("run/nanoseconds[dflt] await/nanoseconds wall/nanoseconds"), "{raw}");
}

/// `1234.56ms` and `1.23s` as milliseconds.
fn leading_ms(text: &str) -> Option<f64> {
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.')?;
    let number: f64 = text[..end].parse().ok()?;
    Some(if text[end..].starts_with("ms") { number } else { number * 1e3 })
}

/// Opens a file in speedscope, in a browser, and says what a person sees.
fn open_in_speedscope(file: &std::path::Path, screenshot: &str) -> Value {
    let (node, chromium) = (find("node"), find("chromium"));
    let (speedscope, puppeteer) = (find("speedscope"), find("puppeteer"));
    let modules = puppeteer.ancestors().nth(2).unwrap();
    let mut command = Command::new(node);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/export/open_in_speedscope.mjs"));
    command.arg(modules).arg(chromium).arg(speedscope).arg(file);
    command.arg(std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(screenshot));
    serde_json::from_str(&content(command)).unwrap()
}

/// It neither failed nor complained.
fn assert_opened(seen: &Value) {
    assert_eq!(seen["opens"], true, "{seen}");
    let complaints: Vec<&Value> = (seen["said"].as_array().unwrap().iter())
        .filter(|said| !said.as_str().unwrap().contains("GL Driver Message"))
        .filter(|said| !["log:", "timeEnd:"].iter().any(|kind| said.as_str().unwrap().starts_with(kind)))
        .collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

fn speedscope_opens_it() {
    let recording = Recording::get();
    let file = recording.exported_file("opened.speedscope.json", &["-f", "speedscope", "--by", "await"]);
    let seen = open_in_speedscope(&file, "speedscope.png");
    assert_opened(&seen);
    assert!(seen["text"].as_str().unwrap().contains("await: where the tasks waited (2/3)"), "{seen}");
    for name in ["run: what the event loops ran", "wall: how the tasks spent their time"] {
        assert!(seen["profiles"].as_str().unwrap().contains(name), "{seen}");
    }
}

fn the_trace_is_one_to_another_reader_of_the_format_too() {
    let recording = Recording::get();
    let file = recording.exported_file("opened.trace.json", &["-f", "perfetto"]);
    let seen = open_in_speedscope(&file, "trace.png");
    // It warns of each slice that lies across another.
    assert_opened(&seen);
}

fn the_firefox_profiler_opens_it() {
    let recording = Recording::get();
    let file = recording.exported_file("opened.firefox.json", &["-f", "firefox"]);
    let profiler = FirefoxProfiler::open(&file);
    let threads = profiler.says(&["thread", "list"]);
    let markers = profiler.says(&["thread", "markers"]);
    let functions = profiler.says(&["thread", "functions"]);
    assert!(threads.contains("loop 1 ") && threads.contains("waiting tasks"), "{threads}");
    let stalls = recording.report()["stalls"].as_array().unwrap().len();
    let says = |line: &str| line.contains("Stall") && line.contains(&format!(" {stalls} markers"));
    assert!(markers.lines().any(says), "{markers}");
    assert!(functions.contains("planted ("), "{functions}");
}
