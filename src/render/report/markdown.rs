//! The report as Markdown tables, for the summary page of a CI job.

use std::io::{self, Write};

use super::contents::{Report, SHOWN, stall_groups};
use super::text::{evidence, trust};
use super::words;
use crate::model::snapshot::Frame;
use crate::render::options::Options;
use crate::render::{escape, label, wait_words};

/// Writes the report.
pub fn write(report: &Report<'_>, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page { report, shown: options.limit.unwrap_or(SHOWN), out: io::BufWriter::new(out) };
    page.header()?;
    page.stalls()?;
    page.findings()?;
    page.loops()?;
    page.hottest()?;
    page.waits()?;
    page.tasks()?;
    page.trust()?;
    page.out.flush()
}

struct Page<'a, 'r, W: Write> {
    report: &'a Report<'r>,
    shown: usize,
    out: W,
}

impl<W: Write> Page<'_, '_, W> {
    fn header(&mut self) -> io::Result<()> {
        let analysis = self.report.analysis;
        let header = analysis.header();
        let total = analysis.stalls().total();
        let verdict = match analysis.stalls().worst_first().first() {
            None if self.report.health().loop_samples == 0 => "nothing known about stalls".into(),
            None => "no stall".into(),
            Some(longest) => {
                format!("{}, longest {}", label::counted(total.count, "stall"), words::stall_length(longest))
            }
        };
        writeln!(self.out, "## asyncprof: {verdict}\n")?;
        writeln!(
            self.out,
            "{} (process {}, CPython {}), watched for {} from {}.",
            code_text(&escape::brief(&words::command(header), 120)),
            header.pid,
            plain(&header.python),
            words::duration(analysis.duration_ns()),
            plain(&header.started_at),
        )
    }

    /// A table with a title, unless it is empty.
    fn list<T>(
        &mut self,
        (title, columns): (&str, &[&str]),
        noun: &str,
        all: &[T],
        cells: impl Fn(&T) -> Vec<String>,
    ) -> io::Result<()> {
        if all.is_empty() {
            return Ok(());
        }
        writeln!(self.out, "\n### {title}\n\n| {} |", columns.join(" | "))?;
        writeln!(self.out, "|{}", " --- |".repeat(columns.len()))?;
        for one in all.iter().take(self.shown) {
            writeln!(self.out, "| {} |", cells(one).join(" | "))?;
        }
        match all.len().saturating_sub(self.shown) {
            0 => Ok(()),
            more => writeln!(self.out, "\n… {}", label::counted(more, &format!("more {noun}"))),
        }
    }

    fn stalls(&mut self) -> io::Result<()> {
        let stalls = self.report.analysis.stalls().worst_first();
        let groups = stall_groups(&stalls);
        let columns = ("Stalls", &["longest", "count", "total", "cause", "where"][..]);
        self.list(columns, "place", &groups, |group| {
            let detail = group.worst.detail.as_deref().map(|detail| format!(" ({})", plain(detail)));
            vec![
                words::stall_length(group.worst),
                label::count(group.count()),
                words::duration(group.total_ns),
                format!("{}{}", words::cause(group.worst.cause), detail.unwrap_or_default()),
                group.worst.site.as_ref().map_or("unknown".into(), frame),
            ]
        })?;
        if !groups.is_empty() {
            writeln!(self.out)?;
        }
        for group in groups.iter().take(self.shown) {
            let place = group.worst.site.as_ref().map_or("At an unknown place".into(), frame);
            writeln!(self.out, "- {place}: {} ({})", plain(&group.worst.advice), plain(&evidence(group.worst)))?;
        }
        Ok(())
    }

    fn findings(&mut self) -> io::Result<()> {
        let columns = ("Findings", &["severity", "rule", "what", "what to do"][..]);
        self.list(columns, "finding", self.report.analysis.findings(), |found| {
            let finding = &found.finding.finding;
            let site = found.finding.site.as_ref().map(|site| format!(" at {}", frame(site))).unwrap_or_default();
            vec![
                finding.severity.as_str().into(),
                finding.rule.as_str().into(),
                format!("{}{site}", plain(&finding.message)),
                plain(&finding.advice),
            ]
        })
    }

    fn loops(&mut self) -> io::Result<()> {
        let columns = ("Event loops", &["loop", "thread", "busy", "lag p50", "p90", "p99", "longest"][..]);
        self.list(columns, "event loop", self.report.profile().loops(), |event_loop| {
            let lag = event_loop.lag().map(|lag| [lag.p50_ns, lag.p90_ns, lag.p99_ns, lag.max_ns].map(words::duration));
            let mut cells = vec![
                code_text(&event_loop.info.class),
                event_loop.info.thread_name.as_deref().map_or("?".into(), plain),
                event_loop.busy_share().map_or("?".into(), words::percent),
            ];
            cells.extend(lag.unwrap_or_else(|| ["?"; 4].map(String::from)));
            cells
        })
    }

    fn hottest(&mut self) -> io::Result<()> {
        let hottest: Vec<_> = self.report.hottest().into_iter().filter(|coroutine| coroutine.run_ns > 0).collect();
        let busy: u64 = self.report.profile().loops().iter().map(|event_loop| event_loop.busy_ns).sum();
        if busy == 0 {
            return Ok(());
        }
        let columns = ("What the event loops ran", &["run", "share", "tasks", "coroutine"][..]);
        self.list(columns, "coroutine", &hottest, |coroutine| {
            vec![
                words::duration(coroutine.run_ns),
                words::percent(coroutine.run_ns as f64 / busy as f64),
                label::count(coroutine.seen),
                coroutine.coroutine.as_ref().map_or("unknown".into(), frame),
            ]
        })
    }

    fn waits(&mut self) -> io::Result<()> {
        let columns = ("Where tasks waited", &["total", "longest, at least", "waits", "for", "where"][..]);
        self.list(columns, "place", &self.report.profile().waits(), |wait| {
            let detail =
                wait.detail.map(|detail| format!(" ({})", plain(&wait_words::detail(detail)))).unwrap_or_default();
            vec![
                words::duration(wait.wait_ns),
                words::duration(wait.longest_ns),
                label::count(wait.waits),
                format!("{}{detail}", plain(wait.kind.map_or("something unknown", label::wait))),
                wait.stack.last().map_or("unknown".into(), |innermost| frame(innermost)),
            ]
        })
    }

    fn tasks(&mut self) -> io::Result<()> {
        let columns = ("Tasks", &["coroutine", "seen", "born", "ended", "alive", "growth/min"][..]);
        self.list(columns, "coroutine", &self.report.fastest_growing(), |coroutine| {
            let mut cells = vec![coroutine.coroutine.as_ref().map_or("unknown".into(), frame)];
            cells.extend([coroutine.seen, coroutine.born, coroutine.ended, coroutine.alive].map(label::count));
            cells.push(coroutine.growth_per_minute.map_or("?".into(), |growth| format!("{growth:+.0}")));
            cells
        })
    }

    fn trust(&mut self) -> io::Result<()> {
        writeln!(self.out, "\n### Data quality\n")?;
        for sentence in trust(self.report) {
            writeln!(self.out, "- {}", plain(&sentence))?;
        }
        Ok(())
    }
}

fn frame(frame: &Frame) -> String {
    code_text(&words::frame(frame))
}

/// Text as code, with nothing interpreted. A bar would end a table cell, even in code.
pub(in crate::render) fn code_text(text: &str) -> String {
    let text = escape::visible(text).replace('|', "\\|");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // A space keeps a backquote at the edge apart from the fence.
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Text in which nothing is interpreted as markup or as a mention.
pub(in crate::render) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len() + 8);
    for character in escape::visible(text).chars() {
        match character {
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '@' => plain.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' | '!' | '>' => {
                plain.push('\\');
                plain.push(character);
            }
            character => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_never_markup() {
        assert_eq!(
            plain("<img> *a* [b](c) | @all"),
            "&lt;img> \\*a\\* \\[b\\](c) \\| &#64;all".replace("img>", "img\\>")
        );
        assert_eq!(code_text("a `b`` | c"), "```a `b`` \\| c```");
        assert_eq!(code_text("`x"), "`` `x ``");
    }
}
