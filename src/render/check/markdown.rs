//! A check as Markdown, for the summary page of a CI job.

use std::io::{self, Write};

use super::contents::Check;
use super::words;
use crate::detect::check::{Item, Verdict};
use crate::render::report::markdown::{code_text, plain};

/// Writes the page.
pub fn write(check: &Check<'_>, out: &mut dyn Write) -> io::Result<()> {
    let judgement = check.judgement;
    writeln!(out, "## asyncprof check: {}\n", words::verdict(judgement.verdict).to_uppercase())?;
    writeln!(out, "{}: {}", plain(&words::headline(check)), code_text(check.subject))?;
    if let Some(test) = check.self_test {
        writeln!(out)?;
        for line in words::self_test(test) {
            writeln!(out, "- {}", plain(&line))?;
        }
    }
    let mut items: Vec<&Item> = judgement.items.iter().collect();
    items.sort_by_key(|item| std::cmp::Reverse(item.verdict));
    if !items.is_empty() {
        writeln!(out, "\n| | what | numbers |\n| --- | --- | --- |")?;
        for item in &items {
            let verdict = mark(item.verdict);
            writeln!(out, "| {verdict} | {} | {} |", plain(&words::name(item)), plain(&words::sentence(item)))?;
        }
    }
    for item in items.iter().filter(|item| !item.sites.is_empty()) {
        writeln!(out, "\n### {}\n", plain(&words::name(item)))?;
        for site in &item.sites {
            write!(out, "- {}: {}", code_text(&words::place(site, check.root)), plain(&words::event(site)))?;
            let advice = if site.advice.is_empty() { String::new() } else { format!("  \n  {}", plain(&site.advice)) };
            writeln!(out, "{advice}")?;
        }
    }
    if !judgement.not_judged.is_empty() {
        writeln!(out, "\n### Not judged: CPU-starved or suspended\n")?;
        for site in &judgement.not_judged {
            writeln!(out, "- {}: {}", code_text(&words::place(site, check.root)), plain(&words::event(site)))?;
        }
    }
    if !judgement.differences.is_empty() {
        writeln!(out, "\n### Differs from the baseline\n\n| | then | now | |\n| --- | --- | --- | --- |")?;
        for one in &judgement.differences {
            let effect = if one.forbids_times() { "times are not judged" } else { "" };
            writeln!(out, "| {} | {} | {} | {effect} |", plain(&one.name), plain(&one.then), plain(&one.now))?;
        }
    }
    let runs = words::runs(check);
    writeln!(out, "\n{runs}. To repeat: {}", code_text(check.reproduce))
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fail => "❌ fail",
        Verdict::Inconclusive => "⚠️ inconclusive",
        Verdict::NoData => "⚠️ no data",
        Verdict::Pass => "✅ pass",
        Verdict::Shown => "shown",
    }
}
