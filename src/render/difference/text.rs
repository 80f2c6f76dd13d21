//! A difference as text: what limits the comparison, then what changed, most certain first. The width and colours of
//! the terminal are passed in.

use std::io::{self, Write};

use super::sections::{Comparison, Line, MEANING, SHOWN, Section, in_numbers, sections, time, verdict};
use crate::detect::difference::{Confidence, Watch};
use crate::render::options::Options;
use crate::render::page::Page;
use crate::render::report::words;
use crate::render::{escape, label};

/// Indentation of the details of an entry.
const INDENT: usize = 6;

/// Writes the difference.
pub fn write(comparison: &Comparison<'_>, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let shown = options.limit.unwrap_or(SHOWN);
    let mut text = Text { shown, page: Page::new(options, 60, out) };
    let sections = sections(comparison.difference);
    text.header(comparison, &sections)?;
    text.caveats(comparison)?;
    for section in &sections {
        text.section(section)?;
    }
    text.loops(comparison)?;
    writeln!(text.page.out)?;
    text.page.faint_paragraph(0, MEANING)
}

struct Text<'a> {
    shown: usize,
    page: Page<'a>,
}

impl Text<'_> {
    fn header(&mut self, comparison: &Comparison<'_>, sections: &[Section]) -> io::Result<()> {
        let verdict = verdict(sections);
        let line = format!("{}{}", verdict[..1].to_uppercase(), &verdict[1..]);
        writeln!(self.page.out, "{}", self.page.paint.heading(line))?;
        for (which, name, watch) in
            [("base", comparison.base_name, &comparison.base), ("head", comparison.head_name, &comparison.head)]
        {
            writeln!(self.page.out, "  {which}: {}", self.page.paint.faint(about(name, watch)))?;
        }
        Ok(())
    }

    fn caveats(&mut self, comparison: &Comparison<'_>) -> io::Result<()> {
        let caveats = &comparison.difference.caveats;
        if caveats.is_empty() {
            return Ok(());
        }
        self.page.section("Before you compare")?;
        for caveat in caveats {
            self.page.paragraph(2, &sentence(&caveat.message))?;
        }
        Ok(())
    }

    fn section(&mut self, section: &Section) -> io::Result<()> {
        if section.lines.is_empty() {
            return Ok(());
        }
        self.page.section(section.title)?;
        for line in section.lines.iter().take(self.shown) {
            self.line(line)?;
        }
        self.page.rest(section.lines.len(), self.shown, "change")?;
        match section.within_noise {
            0 => Ok(()),
            rest => {
                let line = self.page.paint.faint(format!("{} within noise", label::counted(rest, "other")));
                writeln!(self.page.out, "  {line}")
            }
        }
    }

    fn line(&mut self, line: &Line) -> io::Result<()> {
        let what = if line.worse { self.page.paint.trouble(line.what) } else { self.page.paint.name(line.what) };
        let sure = match line.confidence {
            Confidence::Certain => "",
            Confidence::Likely => ", likely",
            Confidence::Noise | Confidence::Unknown => ", may be chance",
        };
        writeln!(self.page.out, "  {what}{sure}: {}", line.change)?;
        self.page.place(INDENT, line.place.as_deref())?;
        for more in line.more.iter().filter(|more| !more.is_empty()) {
            self.page.faint_paragraph(INDENT, &escape::visible(more))?;
        }
        Ok(())
    }

    /// Always shown, even without a change: it is why everything else matters.
    fn loops(&mut self, comparison: &Comparison<'_>) -> io::Result<()> {
        let loops = &comparison.difference.loops;
        if loops.is_empty() {
            return Ok(());
        }
        self.page.section("Event loops")?;
        for change in loops.iter().take(self.shown) {
            let thread = change.thread_name.as_deref().map(|name| format!(" ({})", escape::brief(name, 40)));
            let name = format!("{}{}", escape::brief(&change.class, 80), thread.unwrap_or_default());
            let sure = match change.busy.confidence {
                Confidence::Certain => ", certain",
                Confidence::Likely => ", likely",
                Confidence::Noise => ", within noise",
                Confidence::Unknown => "",
            };
            writeln!(self.page.out, "  {name}")?;
            writeln!(self.page.out, "{:INDENT$}busy {}{sure}", "", in_numbers(&change.busy, words::percent))?;
            let lag = [&change.lag_p50, &change.lag_p99].map(|lag| in_numbers(lag, time));
            let (was, is) = change.longest_ns;
            let longest = format!("{} -> {}", words::duration(was), words::duration(is));
            writeln!(self.page.out, "{:INDENT$}lag: p50 {}, p99 {}, longest {longest}", "", lag[0], lag[1])?;
        }
        self.page.rest(loops.len(), self.shown, "event loop")
    }
}

/// One line that identifies a watch.
pub(super) fn about(name: &str, watch: &Watch<'_>) -> String {
    let header = watch.analysis.header();
    format!(
        "{}: {} of {} (CPython {}), {}",
        escape::visible(name),
        words::duration(watch.analysis.duration_ns()),
        escape::brief(&words::command(header), 60),
        escape::visible(&header.python),
        escape::visible(&header.started_at),
    )
}

/// A sentence with its first letter capitalised, safe to print.
pub(super) fn sentence(message: &str) -> String {
    let message = escape::visible(message);
    let mut characters = message.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
