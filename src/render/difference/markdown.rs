//! A difference as Markdown tables, for a pull request.

use std::io::{self, Write};

use super::sections::{Comparison, MEANING, SHOWN, in_numbers, sections, time, verdict};
use super::text::{about, sentence};
use crate::detect::difference::Confidence;
use crate::render::label;
use crate::render::options::Options;
use crate::render::report::markdown::{code_text, plain};
use crate::render::report::words;

/// Writes the difference.
pub fn write(comparison: &Comparison<'_>, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let mut out = io::BufWriter::new(out);
    let shown = options.limit.unwrap_or(SHOWN);
    let sections = sections(comparison.difference);
    writeln!(out, "## asyncprof diff: {}\n", verdict(&sections))?;
    writeln!(out, "- base: {}", plain(&about(comparison.base_name, &comparison.base)))?;
    writeln!(out, "- head: {}", plain(&about(comparison.head_name, &comparison.head)))?;
    for caveat in &comparison.difference.caveats {
        writeln!(out, "- **note**: {}", plain(&sentence(&caveat.message)))?;
    }
    for section in sections.iter().filter(|section| !section.lines.is_empty()) {
        writeln!(out, "\n### {}\n\n| | confidence | change | where |\n| --- | --- | --- | --- |", section.title)?;
        for line in section.lines.iter().take(shown) {
            let place = line.place.as_deref().map_or("unknown".into(), code_text);
            let more: Vec<String> = line.more.iter().filter(|more| !more.is_empty()).map(|more| plain(more)).collect();
            let more = if more.is_empty() { String::new() } else { format!("<br>{}", more.join("<br>")) };
            let change = plain(&line.change);
            let sure = if line.confidence.is_change() { line.confidence.as_str() } else { "may be chance" };
            writeln!(out, "| {} | {} | {change}{more} | {place} |", line.what, sure)?;
        }
        match section.lines.len().saturating_sub(shown) {
            0 => {}
            more => writeln!(out, "\n… {}", label::counted(more, "more change"))?,
        }
    }
    if !comparison.difference.loops.is_empty() {
        writeln!(
            out,
            "\n### Event loops\n\n| loop | busy | confidence | lag p50 | lag p99 |\n| --- | --- | --- | --- | --- |"
        )?;
        for change in comparison.difference.loops.iter().take(shown) {
            let sure = match change.busy.confidence {
                Confidence::Noise => "within noise",
                confidence => confidence.as_str(),
            };
            let busy = in_numbers(&change.busy, words::percent);
            let [p50, p99] = [&change.lag_p50, &change.lag_p99].map(|lag| plain(&in_numbers(lag, time)));
            writeln!(out, "| {} | {} | {sure} | {p50} | {p99} |", code_text(&change.class), plain(&busy))?;
        }
    }
    writeln!(out, "\n{}", plain(MEANING))?;
    out.flush()
}
