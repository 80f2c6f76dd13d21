//! A check as JUnit XML: a test case for each judged item, for tools that collect test results.

use std::io::{self, Write};

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::contents::Check;
use super::words;
use crate::detect::check::{Item, Metric, Run, Verdict};
use crate::render::escape::visible;

/// Writes the test suite.
pub fn write(check: &Check<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut xml = Writer::new_with_indent(&mut *out, b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let items: Vec<&Item> = check.judgement.items.iter().filter(|item| item.verdict != Verdict::Shown).collect();
    let count = |wanted: &[Verdict]| items.iter().filter(|item| wanted.contains(&item.verdict)).count().to_string();
    let (failures, errors) = (count(&[Verdict::Fail]), count(&[Verdict::NoData, Verdict::Inconclusive]));
    let tests = items.len().to_string();
    let seconds: f64 = check.head.iter().filter_map(|run: &Run| run.value(Metric::Wall)).sum::<f64>() / 1e9;
    let time = format!("{seconds:.3}");
    let totals = [("tests", &*tests), ("failures", &*failures), ("errors", &*errors), ("time", &*time)];
    let mut suites = BytesStart::new("testsuites");
    totals.iter().for_each(|total| suites.push_attribute(*total));
    xml.write_event(Event::Start(suites))?;
    let mut suite = BytesStart::new("testsuite");
    suite.push_attribute(("name", "asyncprof check"));
    totals.iter().for_each(|total| suite.push_attribute(*total));
    xml.write_event(Event::Start(suite))?;
    for item in items {
        case(item, check, &mut xml)?;
    }
    xml.write_event(Event::End(BytesEnd::new("testsuite")))?;
    xml.write_event(Event::End(BytesEnd::new("testsuites")))?;
    drop(xml);
    out.write_all(b"\n")
}

fn case<W: Write>(item: &Item, check: &Check<'_>, xml: &mut Writer<W>) -> io::Result<()> {
    let mut case = BytesStart::new("testcase");
    let name = match item.sites.first() {
        Some(site) if item.verdict == Verdict::Fail => {
            format!("{}: {}", words::name(item), words::place(site, check.root))
        }
        _ => words::name(item),
    };
    case.push_attribute(("classname", "asyncprof.check"));
    case.push_attribute(("name", &*legal(&name)));
    if let Some(site) = item.sites.first().filter(|site| !site.file.is_empty()) {
        case.push_attribute(("file", &*legal(words::relative(&site.file, check.root))));
        if let Some(line) = site.line {
            case.push_attribute(("line", &*line.to_string()));
        }
    }
    let (element, kind) = match item.verdict {
        Verdict::Fail => ("failure", "fail"),
        Verdict::NoData => ("error", "no-data"),
        Verdict::Inconclusive => ("error", "inconclusive"),
        Verdict::Pass | Verdict::Shown => {
            xml.write_event(Event::Start(case))?;
            text_element("system-out", &[], &words::sentence(item), xml)?;
            return xml.write_event(Event::End(BytesEnd::new("testcase")));
        }
    };
    xml.write_event(Event::Start(case))?;
    let message = legal(&words::sentence(item));
    text_element(element, &[("type", kind), ("message", &message)], &details(item, check), xml)?;
    xml.write_event(Event::End(BytesEnd::new("testcase")))
}

fn details(item: &Item, check: &Check<'_>) -> String {
    let mut lines = vec![words::sentence(item)];
    for site in &item.sites {
        lines.push(format!("{}: {}", words::place(site, check.root), words::event(site)));
        if !site.advice.is_empty() {
            lines.push(format!("  {}", visible(&site.advice)));
        }
    }
    lines.push(format!("To repeat: {}", visible(check.reproduce)));
    lines.join("\n")
}

fn text_element<W: Write>(name: &str, attributes: &[(&str, &str)], text: &str, xml: &mut Writer<W>) -> io::Result<()> {
    let mut start = BytesStart::new(name);
    attributes.iter().for_each(|attribute| start.push_attribute(*attribute));
    xml.write_event(Event::Start(start))?;
    let lines: Vec<String> = text.lines().map(legal).collect();
    xml.write_event(Event::Text(BytesText::new(&lines.join("\n"))))?;
    xml.write_event(Event::End(BytesEnd::new(name)))
}

/// XML cannot represent control characters, nor the two code points that are not characters.
fn legal(text: &str) -> String {
    visible(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}
