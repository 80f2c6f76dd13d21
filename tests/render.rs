//! What a snapshot looks like in every format, as golden files, and what no format may ever do.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod samples;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use asyncprof::detect;
use asyncprof::model::Snapshot;
use asyncprof::model::snapshot::Finding;
use asyncprof::render::{self, Options, collapsed, dot, json, svg, text, tree};

/// How a snapshot is written.
type Format = fn(&Snapshot, &[Finding], &Options, &mut dyn Write) -> io::Result<()>;
const TEXT: Format = text::write;
const TREE: Format = tree::write;
const JSON: Format = json::write;
const DOT: Format = dot::write;
const SVG: Format = svg::write;
const COLLAPSED: Format = collapsed::write;

const FORMATS: [(Format, &str); 5] =
    [(TEXT, "text"), (TREE, "tree"), (JSON, "json"), (DOT, "dot"), (COLLAPSED, "collapsed")];

fn written_with(snapshot: &Snapshot, format: Format, options: &Options) -> String {
    let mut out = Vec::new();
    format(snapshot, &detect::judge(snapshot), options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn written(snapshot: &Snapshot, format: Format) -> String {
    written_with(snapshot, format, &Options::default())
}

/// One golden file for each format.
fn check_golden(name: &str, snapshot: &Snapshot) {
    for (format, ending) in FORMATS {
        let mut shown = written(snapshot, format);
        if ending == "json" {
            let value: serde_json::Value = serde_json::from_str(&shown).unwrap();
            shown = serde_json::to_string_pretty(&value).unwrap();
        }
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("{name}.{ending}"), shown);
        });
    }
}

#[test]
fn a_process_without_tasks() {
    check_golden("empty", &samples::empty());
}

#[test]
fn a_bit_of_everything() {
    check_golden("small", &samples::small());
}

#[test]
fn deadlocks_are_marked_and_not_followed() {
    check_golden("cycle", &samples::cycle());
}

#[test]
fn a_task_that_two_wait_for_is_shown_once() {
    check_golden("fan_in", &samples::fan_in());
}

#[test]
fn hostile_names_are_written_out() {
    check_golden("hostile", &samples::hostile());
}

#[test]
fn ten_thousand_tasks_alike_are_one_group() {
    let snapshot = samples::many(10_000);
    for (format, ending) in FORMATS.into_iter().filter(|(_, ending)| *ending != "json") {
        let shown = written(&snapshot, format);
        assert!(shown.lines().count() < 60, "{ending} has {} lines", shown.lines().count());
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("many.{ending}"), shown);
        });
    }
}

#[test]
fn nothing_a_terminal_would_obey_is_ever_written() {
    let snapshot = samples::hostile();
    for (format, name) in FORMATS.into_iter().chain([(SVG, "svg")]) {
        let shown = written(&snapshot, format);
        // inferno's script is ours to trust; its own newlines and tabs are.
        let bad = shown.chars().find(|&c| render::escape::is_deceptive(c) && !matches!(c, '\n' | '\t' | '\r'));
        assert_eq!(bad, None, "{name}");
    }
}

#[test]
fn json_gives_back_every_hostile_character() {
    let snapshot = samples::hostile();
    let dump: serde_json::Value = serde_json::from_str(&written(&snapshot, JSON)).unwrap();
    for (task, shown) in snapshot.tasks.iter().zip(dump["tasks"].as_array().unwrap()) {
        assert_eq!(shown["name"].as_str(), task.name.as_deref());
    }
    let frame = &snapshot.frames[0];
    let shown = &dump["tasks"][6]["stack"][0];
    assert_eq!(shown["function"].as_str(), Some(&*frame.function));
    assert_eq!(shown["file"].as_str(), Some(&*frame.file));
}

#[test]
fn the_flame_graph_is_an_svg_that_names_the_stacks() {
    let shown = written(&samples::many(100), SVG);
    assert!(shown.contains("<svg") && shown.trim_end().ends_with("</svg>"));
    assert!(shown.contains("level_7 (/app/main.py:107)"));
    assert!(shown.contains("100 tasks"));
    assert!(written(&samples::empty(), SVG).contains("No asyncio tasks"));
    assert!(!written(&samples::hostile(), SVG).contains("<script>alert"), "a name became markup");
}

#[test]
fn colours_are_only_added_when_asked_for() {
    let snapshot = samples::small();
    let painted = written_with(&snapshot, TEXT, &Options { color: true, ..Options::default() });
    assert!(painted.contains("\u{1b}[1;31m"));
    let mut plain = painted;
    while let Some(start) = plain.find('\u{1b}') {
        let end = start + plain[start..].find('m').unwrap();
        plain.replace_range(start..=end, "");
    }
    assert_eq!(plain, written(&snapshot, TEXT));
}

#[test]
fn a_narrow_page_never_cuts_a_file_and_line() {
    let snapshot = samples::small();
    let narrow = written_with(&snapshot, TEXT, &Options { width: 40, ..Options::default() });
    for frame in snapshot.tasks.iter().flat_map(|task| &task.stack).map(|&id| snapshot.frame(id)) {
        let place = format!("({}:{})", frame.file, frame.line.unwrap());
        assert!(narrow.contains(&place), "{place}");
    }
}

#[test]
fn a_limit_says_what_it_leaves_out() {
    let shown = written_with(&samples::small(), TEXT, &Options { limit: Some(2), ..Options::default() });
    assert!(shown.contains("… 7 more groups with 9 tasks (see --limit)"), "{shown}");
}

#[test]
fn tasks_that_were_not_read_are_counted_and_not_denied() {
    let mut snapshot = samples::small();
    snapshot.unread_tasks = 41;
    assert!(written(&snapshot, TREE).ends_with("… 41 tasks not read (see --max-memory)\n"));
    assert!(written(&snapshot, DOT).contains("41 tasks not read (see --max-memory)"));
    let mut snapshot = samples::empty();
    snapshot.unread_tasks = 41;
    assert_eq!(written(&snapshot, TREE), "… 41 tasks not read (see --max-memory)\n");
}

#[test]
fn full_task_names_keep_their_digits() {
    let snapshot = samples::small();
    let options = Options { full_task_names: true, ..Options::default() };
    assert!(written(&snapshot, COLLAPSED).contains("task:Task-*;crawl (/app/main.py:30);"));
    assert!(written_with(&snapshot, COLLAPSED, &options).contains("task:Task-2;crawl (/app/main.py:30);"));
}

#[test]
fn a_chain_of_a_hundred_thousand_tasks_overflows_no_stack() {
    let mut snapshot = samples::chain(100_000);
    let shown = written(&snapshot, TREE);
    assert_eq!(shown.matches("Task-99999").count(), 1);
    assert!(shown.len() < 30_000_000, "{} bytes", shown.len());
    // Closed to a ring, it is one deadlock.
    let (first, last) = (asyncprof::model::snapshot::TaskId(0), asyncprof::model::snapshot::TaskId(99_999));
    snapshot.tasks[99_999].awaiting.as_mut().unwrap().tasks = vec![first];
    snapshot.tasks[0].awaited_by.push(last);
    let findings = detect::judge(&snapshot);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].tasks.len(), 100_000);
    assert!(written(&snapshot, TREE).contains("cycle, see above"));
}

/// Generous, because test machines are slow and busy; it fails when the time grows with the square.
#[test]
fn a_hundred_thousand_tasks_are_written_at_once() {
    let snapshot = samples::many(100_000);
    for (format, name) in FORMATS {
        let start = Instant::now();
        written(&snapshot, format);
        assert!(start.elapsed() < Duration::from_secs(20), "{name} took {:?}", start.elapsed());
    }
}
