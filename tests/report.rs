//! What a watch over time looks like in every format, as golden files, and what no format may ever do.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;
mod watches;

use std::io;

use asyncprof::detect::analysis::Analysis;
use asyncprof::model::event::NoteKind;
use asyncprof::profile::By;
use asyncprof::profile::recording::{Reader, Writer};
use asyncprof::render::report::{self, Report};
use asyncprof::render::{Options, escape, flamegraph};
use serde_json::Value;
use support::schema;
use watches::story;

/// How a report is written.
type Format = fn(&Report<'_>, &Options, &mut dyn io::Write) -> io::Result<()>;
const TEXT: Format = report::write_text;
const JSON: Format = |report, _, out| report::write_json(report, out);
const MARKDOWN: Format = report::write_markdown;
const FORMATS: [(Format, &str); 3] = [(TEXT, "text"), (JSON, "json"), (MARKDOWN, "md")];

fn written_with(analysis: &Analysis, format: Format, complete: bool, options: &Options) -> String {
    let mut out = Vec::new();
    format(&Report { analysis, complete }, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn written(analysis: &Analysis, format: Format) -> String {
    written_with(analysis, format, true, &Options::default())
}

fn collapsed(analysis: &Analysis, by: By) -> String {
    let mut out = Vec::new();
    flamegraph::write_collapsed(analysis.profile(), by, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn drawn(analysis: &Analysis, by: By) -> String {
    let mut out = Vec::new();
    flamegraph::write(analysis.profile(), by, "python3 app.py", analysis.is_biased(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn check_golden(name: &str, shown: &str) {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, shown);
    });
}

fn check_all_golden(name: &str, analysis: &Analysis, complete: bool) {
    for (format, ending) in FORMATS {
        let mut shown = written_with(analysis, format, complete, &Options::default());
        if ending == "json" {
            let value: Value = serde_json::from_str(&shown).unwrap();
            shown = serde_json::to_string_pretty(&value).unwrap();
        }
        check_golden(&format!("{name}.{ending}"), &shown);
    }
}

#[test]
fn a_server_with_stalls_of_several_causes() {
    check_all_golden("report", &story::analysis(true), true);
}

#[test]
fn a_watch_in_which_nothing_was_seen() {
    check_all_golden("report_nothing", &story::nothing(), true);
}

#[test]
fn a_recording_that_breaks_off_says_so() {
    let analysis = story::analysis(false);
    let text = written_with(&analysis, TEXT, false, &Options::default());
    assert!(text.contains("The recording is cut off"), "{text}");
    assert!(text.contains("The number of lost samples is unknown"), "{text}");
    let json: Value = serde_json::from_str(&written_with(&analysis, JSON, false, &Options::default())).unwrap();
    assert_eq!(json["complete"], false);
    assert_eq!(json["sampling"]["known"], false);
    assert_eq!(json["sampling"]["loop_samples"], 20_000);
}

#[test]
fn a_recording_says_the_same_as_the_watch_that_it_is_of() {
    let mut writer = Writer::new(Vec::new(), &watches::header()).unwrap();
    for batch in story::batches(true) {
        writer.append(&batch).unwrap();
    }
    let file = writer.finish(NoteKind::Ended, 10_000 * watches::MS).unwrap();
    let reader = Reader::new(&*file).unwrap();
    let mut analysis = Analysis::new(reader.header().clone());
    for batch in reader {
        analysis.absorb(&batch.unwrap()).unwrap();
    }
    analysis.finish();
    let json = |analysis: &Analysis| serde_json::from_str::<Value>(&written(analysis, JSON)).unwrap();
    let (replayed, live) = (json(&analysis), json(&story::analysis(true)));
    for part in ["loops", "stalls", "tasks", "findings", "sampling"] {
        assert_eq!(replayed[part], live[part], "{part}");
    }
    assert_eq!(analysis.profile().await_edges(), story::analysis(true).profile().await_edges());
}

#[test]
fn folded_stacks_of_each_kind() {
    let analysis = story::analysis(true);
    for (by, name) in [(By::Run, "run"), (By::Await, "await"), (By::Wall, "wall")] {
        check_golden(&format!("report.{name}.collapsed"), &collapsed(&analysis, by));
    }
}

#[test]
fn json_keeps_to_the_schema() {
    let schema: Value = serde_json::from_str(include_str!("report.schema.json")).unwrap();
    for analysis in [story::analysis(true), story::analysis(false), story::nothing()] {
        let report: Value = serde_json::from_str(&written(&analysis, JSON)).unwrap();
        let violations = schema::violations(&schema, &report);
        assert!(violations.is_empty(), "{violations:#?}");
    }
}

#[test]
fn nothing_a_terminal_would_obey_is_ever_written() {
    let analysis = story::analysis(true);
    let mut all: Vec<String> = FORMATS.iter().map(|(format, _)| written(&analysis, *format)).collect();
    all.extend([By::Run, By::Await, By::Wall].map(|by| collapsed(&analysis, by)));
    all.extend([By::Run, By::Await, By::Wall].map(|by| drawn(&analysis, by)));
    for shown in all {
        let bad = shown.chars().find(|&c| escape::is_deceptive(c) && !matches!(c, '\n' | '\t' | '\r'));
        assert_eq!(bad, None, "{shown}");
    }
}

#[test]
fn stalls_at_one_place_are_one_entry() {
    let text = written(&story::analysis(true), TEXT);
    assert!(text.contains("3 stalls") && text.contains(" in total, longest 339 ms"), "{text}");
    assert_eq!(text.matches("at build_report (/app/report.py:88)").count(), 1, "{text}");
}

#[test]
fn every_line_of_text_fits_into_a_hundred_columns_unless_a_place_does_not() {
    for line in written(&story::analysis(true), TEXT).lines() {
        assert!(line.chars().count() <= 100 || line.contains(".py:"), "{line}");
    }
}

#[test]
fn colours_are_only_added_when_asked_for() {
    let analysis = story::analysis(true);
    let painted = written_with(&analysis, TEXT, true, &Options { color: true, ..Options::default() });
    let mut plain = painted.clone();
    while let Some(start) = plain.find('\u{1b}') {
        let end = start + plain[start..].find('m').unwrap();
        plain.replace_range(start..=end, "");
    }
    assert_ne!(painted, plain);
    assert_eq!(plain, written(&analysis, TEXT));
}

#[test]
fn a_limit_says_what_it_leaves_out() {
    let options = Options { limit: Some(1), ..Options::default() };
    let text = written_with(&story::analysis(true), TEXT, true, &options);
    assert!(text.contains("… 2 more places (see --limit)"), "{text}");
}

#[test]
fn what_loops_ran_adds_up_to_their_busy_time() {
    let analysis = story::analysis(true);
    let busy_us: u64 = analysis.profile().loops().iter().map(|event_loop| event_loop.busy_ns / 1_000).sum();
    let run_us: u64 = collapsed(&analysis, By::Run)
        .lines()
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
        .sum();
    // Each line is rounded to a microsecond.
    assert!(run_us.abs_diff(busy_us) < 20, "{run_us} {busy_us}");
}

#[test]
fn the_flame_graph_is_an_svg_that_names_the_stacks() {
    let analysis = story::analysis(true);
    let shown = drawn(&analysis, By::Run);
    assert!(shown.contains("<svg") && shown.trim_end().ends_with("</svg>"));
    assert!(shown.contains("build_report (/app/report.py:88)"));
    assert!(shown.contains("What the event loops ran: python3 app.py"));
    assert!(drawn(&story::nothing(), By::Await).contains("Nothing of this kind was seen"));
    if let Ok(folder) = std::env::var("ASYNCPROF_TEST_KEEP") {
        for (by, name) in [(By::Run, "run"), (By::Await, "await"), (By::Wall, "wall")] {
            std::fs::write(format!("{folder}/{name}.svg"), drawn(&analysis, by)).unwrap();
        }
    }
}

#[test]
fn a_difference_shows_what_is_more_and_what_is_gone() {
    let (before, after) = (story::analysis(false), story::analysis(true));
    let mut out = Vec::new();
    flamegraph::write_difference(before.profile(), after.profile(), 0.5, By::Run, "app", &mut out).unwrap();
    let shown = String::from_utf8(out).unwrap();
    assert!(shown.contains("difference") && shown.contains("red: more time than before"), "no words about it");
    assert!(shown.contains('+') && shown.contains("build_report"), "no differences");
}
