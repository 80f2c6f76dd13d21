//! The result of a check in every format, as golden files, and what no format may ever do.

use std::io;

use asyncprof::detect::check::{
    Baseline, Before, Budgets, Criteria, Fingerprint, Judgement, Metric, Run, SelfTest, judge,
};
use asyncprof::render::check::{self, Check, parse_baseline, write_baseline};
use asyncprof::render::{Options, escape};
use proptest::prelude::*;
use quick_xml::events::Event;
use serde_json::Value;

use crate::made_up::{failed, hostile, run, stall};
use crate::support::schema;

/// How the result of a check is written.
pub(crate) type Format = fn(&Check<'_>, &Options, &mut dyn io::Write) -> io::Result<()>;
const TEXT: Format = check::write_text;
const JSON: Format = |check, _, out| check::write_json(check, out);
const MARKDOWN: Format = |check, _, out| check::write_markdown(check, out);
pub(crate) const JUNIT: Format = |check, _, out| check::write_junit(check, out);
pub(crate) const SARIF: Format = |check, _, out| check::write_sarif(check, out);
const GITHUB: Format = |check, _, out| check::write_github(check, out);
const FORMATS: [(Format, &str); 6] =
    [(TEXT, "text"), (JSON, "json"), (MARKDOWN, "md"), (JUNIT, "junit"), (SARIF, "sarif"), (GITHUB, "github")];

const BASE: [f64; 10] = [1000.0, 1030.0, 980.0, 1010.0, 995.0, 1020.0, 1005.0, 990.0, 1015.0, 985.0];

/// A check and all it needs to be written.
pub(crate) struct Made {
    judgement: Judgement,
    head: Vec<Run>,
    base: Vec<Run>,
    self_test: Option<SelfTest>,
}

fn rules(budgets: &[(Metric, f64)]) -> Criteria {
    Criteria { budgets: Budgets::new(budgets.iter().copied()), ..Criteria::default() }
}

/// A quarter slower, with a new stall, and an orphan whose names mean harm.
fn trouble() -> Made {
    let base: Vec<Run> = BASE.iter().map(|ms| run(*ms, &[])).collect();
    let sites = [stall("Handler.get", "/repo/shop/views.py", 32, 121), hostile()];
    let head: Vec<Run> = BASE.iter().map(|ms| run(ms * 1.25, &sites)).collect();
    let budgets = [(Metric::LongestStall, 1e8), (Metric::Orphans, 5.0), (Metric::TaskGrowth, 10.0)];
    Made { judgement: judge(&head, Before::SideBySide(&base), &rules(&budgets)), head, base, self_test: None }
}

fn fine() -> Made {
    let head = vec![run(1000.0, &[])];
    let judgement = judge(&head, Before::Nothing, &rules(&[(Metric::LongestStall, 1e8), (Metric::Busy, 0.8)]));
    Made { judgement, head, base: Vec::new(), self_test: None }
}

fn broken() -> Made {
    let head = vec![failed("the program failed: it exited with status 3")];
    let judgement = judge(&head, Before::Nothing, &rules(&[(Metric::LongestStall, 1e8)]));
    Made { judgement, head, base: Vec::new(), self_test: None }
}

fn elsewhere() -> Made {
    let fingerprint = Fingerprint([("cpu".to_owned(), "<another> | one".to_owned())].into());
    let baseline = Baseline { created_at: String::new(), fingerprint, runs: vec![run(1000.0, &[])] };
    let mut head = vec![run(2000.0, &[])];
    head[0].not_judged.push(stall("wait", "/repo/a.py", 7, 300));
    let differences = baseline.differences(&Fingerprint::default(), &head);
    let judgement = judge(&head, Before::Kept(&baseline, &differences), &rules(&[]));
    Made { judgement, head, base: baseline.runs, self_test: None }
}

fn itself() -> Made {
    let runs = |by: f64| BASE.iter().map(|ms| run(ms * by, &[])).collect::<Vec<_>>();
    let trials: Vec<_> = (0..20).map(|trial| (runs(1.0 + f64::from(trial) / 1e3), runs(1.0))).collect();
    let test = SelfTest::of(&trials, &rules(&[]));
    let judgement = judge(&runs(1.0), Before::Nothing, &rules(&[]));
    Made { judgement, head: Vec::new(), base: Vec::new(), self_test: Some(test) }
}

pub(crate) fn written(made: &Made, format: Format) -> String {
    let check = Check {
        judgement: &made.judgement,
        head: &made.head,
        base: &made.base,
        subject: "python 'load test.py'",
        reproduce: "asyncprof check --max-stall 100ms -- python 'load test.py'",
        root: "/repo/",
        self_test: made.self_test.as_ref(),
    };
    let mut out = Vec::new();
    format(&check, &Options::default(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

pub(crate) fn all() -> [(&'static str, Made); 5] {
    [("trouble", trouble()), ("fine", fine()), ("broken", broken()), ("elsewhere", elsewhere()), ("itself", itself())]
}

pub(crate) fn every_format_is_as_it_was() {
    for (name, made) in all() {
        for (format, ending) in FORMATS {
            // What they look like when all is well, or for programs, is said by the others.
            if name != "trouble" && !matches!(ending, "text" | "md") {
                continue;
            }
            let mut shown = written(&made, format);
            if matches!(ending, "json" | "sarif") {
                let value: Value = serde_json::from_str(&shown).unwrap();
                shown = serde_json::to_string_pretty(&value).unwrap();
            }
            let version = format!("\"{}\"", env!("CARGO_PKG_VERSION"));
            let shown = shown.replace(&version, "\"VERSION\"");
            insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "../snapshots" }, {
                insta::assert_snapshot!(format!("check_{name}.{ending}"), shown);
            });
        }
    }
}

pub(crate) fn nothing_a_terminal_would_obey_is_ever_written() {
    for (name, made) in all() {
        for (format, ending) in FORMATS {
            let shown = written(&made, format);
            let bad = shown.chars().find(|&c| escape::is_deceptive(c) && !matches!(c, '\n' | '\t' | '\r'));
            assert_eq!(bad, None, "{name}.{ending}: {shown}");
        }
    }
}

pub(crate) fn json_keeps_to_the_schema() {
    let schema: Value = serde_json::from_str(include_str!("../check.schema.json")).unwrap();
    for (name, made) in all() {
        let result: Value = serde_json::from_str(&written(&made, JSON)).unwrap();
        let violations = schema::violations(&schema, &result);
        assert!(violations.is_empty(), "{name}: {violations:#?}");
    }
}

/// An element with its attributes, and whether it has ended.
fn elements(xml: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut reader = quick_xml::Reader::from_str(xml);
    let mut found = Vec::new();
    let mut open = 0;
    loop {
        let event = reader.read_event().unwrap();
        match &event {
            Event::Start(start) | Event::Empty(start) => {
                open += i32::from(matches!(event, Event::Start(_)));
                let name = String::from_utf8(start.name().as_ref().to_vec()).unwrap();
                let attribute = |attribute: Result<quick_xml::events::attributes::Attribute<'_>, _>| {
                    let attribute = attribute.unwrap();
                    let name = String::from_utf8(attribute.key.as_ref().to_vec()).unwrap();
                    let value = String::from_utf8(attribute.value.to_vec()).unwrap();
                    (name, quick_xml::escape::unescape(&value).unwrap().into_owned())
                };
                found.push((name, start.attributes().map(attribute).collect()));
            }
            Event::End(_) => open -= 1,
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(open, 0, "{xml}");
    found
}

pub(crate) fn junit_is_xml_whose_numbers_are_those_of_its_cases() {
    for (name, made) in all() {
        let xml = written(&made, JUNIT);
        let elements = elements(&xml);
        let count = |wanted: &str| elements.iter().filter(|(name, _)| name == wanted).count().to_string();
        assert_eq!((&*elements[0].0, &*elements[1].0), ("testsuites", "testsuite"), "{name}");
        for (_, attributes) in &elements[..2] {
            let of = |wanted: &str| &attributes.iter().find(|(name, _)| name == wanted).unwrap().1;
            assert_eq!(
                (of("tests"), of("failures"), of("errors")),
                (&count("testcase"), &count("failure"), &count("error")),
                "{name}: {xml}"
            );
        }
    }
    let xml = written(&trouble(), JUNIT);
    let place = elements(&xml).into_iter().find_map(|(_, attributes)| {
        let has = |name: &str, value: &str| attributes.iter().any(|(n, v)| n == name && v == value);
        (has("file", "shop/views.py") && has("line", "32")).then_some(())
    });
    assert!(place.is_some(), "{xml}");
}

pub(crate) fn sarif_has_what_its_readers_need() {
    for (name, made) in all() {
        let log: Value = serde_json::from_str(&written(&made, SARIF)).unwrap();
        assert_eq!(log["version"], "2.1.0");
        assert!(log["$schema"].as_str().unwrap().ends_with("sarif-schema-2.1.0.json"));
        let [run] = &log["runs"].as_array().unwrap()[..] else { panic!("{log:#}") };
        let driver = &run["tool"]["driver"];
        assert_eq!(driver["name"], "asyncprof");
        let rules = driver["rules"].as_array().unwrap();
        for result in run["results"].as_array().unwrap() {
            let rule = &rules[result["ruleIndex"].as_u64().unwrap() as usize];
            assert_eq!(rule["id"], result["ruleId"], "{name}");
            assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
            assert!(!result["message"]["text"].as_str().unwrap().is_empty());
            for location in result["locations"].as_array().unwrap() {
                let physical = &location["physicalLocation"];
                let uri = physical["artifactLocation"]["uri"].as_str().unwrap();
                let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~/%".contains(c);
                assert!(!uri.starts_with('/') && uri.chars().all(is_plain), "{uri}");
                assert!(physical["region"]["startLine"].as_u64().unwrap() > 0);
            }
        }
    }
    let log: Value = serde_json::from_str(&written(&trouble(), SARIF)).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let stall = results.iter().find(|result| result["ruleId"] == "asyncprof/stall").unwrap();
    let physical = &stall["locations"][0]["physicalLocation"];
    assert_eq!(physical["artifactLocation"]["uri"], "shop/views.py");
    assert_eq!(physical["region"]["startLine"], 32);
}

pub(crate) fn no_name_becomes_a_command_of_github() {
    let shown = written(&trouble(), GITHUB);
    let commands: Vec<&str> = shown.lines().filter(|line| line.starts_with("::")).collect();
    assert!(commands.iter().all(|line| line.starts_with("::error ") || line.starts_with("::warning ")), "{shown}");
    assert!(commands[0].contains("file=shop/views.py,line=32,"), "{shown}");
    assert_eq!(shown.lines().count(), commands.len() + 1, "{shown}");
}

pub(crate) fn a_baseline_that_was_written_is_the_one_that_is_read() {
    let facts = [("cpu", "a \"quoted\" one\n"), ("cores", "2")];
    let fingerprint = Fingerprint(facts.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let runs = vec![run(1000.0, &[hostile(), stall("f", "a.py", 1, 30)]), run(1001.5, &[]), failed("x")];
    let baseline = Baseline { created_at: "2026-01-02T03:04:05Z".into(), fingerprint, runs };
    let mut text = Vec::new();
    write_baseline(&baseline, &mut text).unwrap();
    assert_eq!(parse_baseline(&text).unwrap(), baseline);
}

pub(crate) fn no_text_makes_a_baseline_panic() {
    proptest!(|(cut in 0usize..4000, noise in "\\PC{0,6}")| {
        let mut text = Vec::new();
        let runs = vec![run(1000.0, &[hostile()]), run(1.0, &[])];
        write_baseline(&Baseline { runs, ..Baseline::default() }, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let cut = text.floor_char_boundary(cut.min(text.len()));
        let _ = parse_baseline(format!("{}{noise}{}", &text[..cut], &text[cut..]).as_bytes());
        let _ = parse_baseline(&text.as_bytes()[..cut]);
    });
}
