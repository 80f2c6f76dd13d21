//! A difference as text: what limits the comparison, then what changed, most certain first. The width and colours of
//! the terminal are passed in.

use std::io::{self, Write};

use super::sections::{Comparison, Line, MEANING, SHOWN, Section, in_numbers, sections, time, verdict};
use crate::detect::difference::{Confidence, Watch};
use crate::render::options::Options;
use crate::render::paint::Paint;
use crate::render::report::words;
use crate::render::text::{plural, wrap};
use crate::render::{escape, label};

/// Indentation of the details of an entry.
const INDENT: usize = 6;

/// Writes the difference.
pub fn write(comparison: &Comparison<'_>, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let shown = options.limit.unwrap_or(SHOWN);
    let mut page = Page { paint: Paint::new(options.color), width: options.width.max(60), shown, out };
    let sections = sections(comparison.difference);
    page.header(comparison, &sections)?;
    page.caveats(comparison)?;
    for section in &sections {
        page.section(section)?;
    }
    page.loops(comparison)?;
    writeln!(page.out)?;
    page.paragraph(MEANING, 0, true)
}

struct Page<'a> {
    paint: Paint,
    width: usize,
    shown: usize,
    out: &'a mut dyn Write,
}

impl Page<'_> {
    fn header(&mut self, comparison: &Comparison<'_>, sections: &[Section]) -> io::Result<()> {
        let verdict = verdict(sections);
        let line = format!("{}{}", verdict[..1].to_uppercase(), &verdict[1..]);
        writeln!(self.out, "{}", self.paint.heading(line))?;
        for (which, name, watch) in
            [("base", comparison.base_name, &comparison.base), ("head", comparison.head_name, &comparison.head)]
        {
            writeln!(self.out, "  {which}: {}", self.paint.faint(about(name, watch)))?;
        }
        Ok(())
    }

    fn caveats(&mut self, comparison: &Comparison<'_>) -> io::Result<()> {
        let caveats = &comparison.difference.caveats;
        if caveats.is_empty() {
            return Ok(());
        }
        writeln!(self.out, "\n{}", self.paint.heading("Before you compare"))?;
        for caveat in caveats {
            self.paragraph(&sentence(&caveat.message), 2, false)?;
        }
        Ok(())
    }

    fn section(&mut self, section: &Section) -> io::Result<()> {
        if section.lines.is_empty() {
            return Ok(());
        }
        writeln!(self.out, "\n{}", self.paint.heading(section.title))?;
        for line in section.lines.iter().take(self.shown) {
            self.line(line)?;
        }
        match section.lines.len().saturating_sub(self.shown) {
            0 => {}
            more => writeln!(self.out, "  … {} (see --limit)", label::counted(more, "more change"))?,
        }
        match section.within_noise {
            0 => Ok(()),
            rest => {
                let line = self.paint.faint(format!("{} within noise", plural(rest as u64, "other")));
                writeln!(self.out, "  {line}")
            }
        }
    }

    fn line(&mut self, line: &Line) -> io::Result<()> {
        let what = if line.worse { self.paint.trouble(line.what) } else { self.paint.name(line.what) };
        let sure = match line.confidence {
            Confidence::Certain => "",
            Confidence::Likely => ", likely",
            Confidence::Noise | Confidence::Unknown => ", may be chance",
        };
        writeln!(self.out, "  {what}{sure}: {}", line.change)?;
        match &line.place {
            Some(place) => writeln!(self.out, "{:INDENT$}at {}", "", self.paint.name(place))?,
            None => writeln!(self.out, "{:INDENT$}at an unknown place", "")?,
        }
        for more in line.more.iter().filter(|more| !more.is_empty()) {
            self.paragraph(&escape::visible(more), INDENT, true)?;
        }
        Ok(())
    }

    /// Always shown, even without a change: it is why everything else matters.
    fn loops(&mut self, comparison: &Comparison<'_>) -> io::Result<()> {
        let loops = &comparison.difference.loops;
        if loops.is_empty() {
            return Ok(());
        }
        writeln!(self.out, "\n{}", self.paint.heading("Event loops"))?;
        for change in loops.iter().take(self.shown) {
            let thread = change.thread_name.as_deref().map(|name| format!(" ({})", escape::brief(name, 40)));
            let name = format!("{}{}", escape::brief(&change.class, 80), thread.unwrap_or_default());
            let sure = match change.busy.confidence {
                Confidence::Certain => ", certain",
                Confidence::Likely => ", likely",
                Confidence::Noise => ", within noise",
                Confidence::Unknown => "",
            };
            writeln!(self.out, "  {name}")?;
            writeln!(self.out, "{:INDENT$}busy {}{sure}", "", in_numbers(&change.busy, words::percent))?;
            let lag = [&change.lag_p50, &change.lag_p99].map(|lag| in_numbers(lag, time));
            let (was, is) = change.longest_ns;
            let longest = format!("{} -> {}", words::duration(was), words::duration(is));
            writeln!(self.out, "{:INDENT$}lag: p50 {}, p99 {}, longest {longest}", "", lag[0], lag[1])?;
        }
        match loops.len().saturating_sub(self.shown) {
            0 => Ok(()),
            more => writeln!(self.out, "  … {} (see --limit)", label::counted(more, "more event loop")),
        }
    }

    fn paragraph(&mut self, text: &str, indent: usize, faint: bool) -> io::Result<()> {
        for line in wrap(text, self.width - indent) {
            let line = if faint { self.paint.faint(line) } else { line };
            writeln!(self.out, "{:indent$}{line}", "")?;
        }
        Ok(())
    }
}

/// One line that identifies a watch.
pub(super) fn about(name: &str, watch: &Watch<'_>) -> String {
    let header = watch.analysis.header();
    let command = if header.command.is_empty() { header.executable.clone() } else { header.command.join(" ") };
    format!(
        "{}: {} of {} (CPython {}), {}",
        escape::visible(name),
        words::duration(watch.analysis.duration_ns()),
        escape::brief(&command, 60),
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
