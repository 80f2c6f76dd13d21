//! A check as text: the verdict, then the problems with place and advice, then what is fine.

use std::io::{self, Write};

use super::contents::Check;
use super::{self_test, words};
use crate::detect::check::{Item, Tolerance, Verdict};
use crate::render::escape::visible;
use crate::render::label;
use crate::render::options::Options;
use crate::render::paint::Paint;
use crate::render::text::wrap;

/// Width of verdict and name.
const NAME: usize = 32;

/// Writes the check.
pub fn write(check: &Check<'_>, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page { check, paint: Paint::new(options.color), width: options.width.max(60), out };
    page.head()?;
    if let Some(test) = check.self_test {
        for line in self_test::lines(test) {
            page.wrapped("  ", &line)?;
        }
    }
    page.items()?;
    page.not_judged()?;
    page.circumstances()
}

struct Page<'a, 'c, W: Write + ?Sized> {
    check: &'a Check<'c>,
    paint: Paint,
    width: usize,
    out: &'a mut W,
}

impl<W: Write + ?Sized> Page<'_, '_, W> {
    fn head(&mut self) -> io::Result<()> {
        let verdict = words::verdict(self.check.judgement.verdict).to_uppercase();
        let verdict = match self.check.judgement.verdict {
            Verdict::Pass | Verdict::Shown => self.paint.heading(verdict),
            _ => self.paint.trouble(verdict),
        };
        let subject = visible(self.check.subject);
        writeln!(self.out, "{verdict}  {}: {subject}", words::headline(self.check))
    }

    fn wrapped(&mut self, indent: &str, text: &str) -> io::Result<()> {
        for line in wrap(text, self.width.saturating_sub(indent.len())) {
            writeln!(self.out, "{indent}{line}")?;
        }
        Ok(())
    }

    /// Worst first, otherwise in their original order.
    fn items(&mut self) -> io::Result<()> {
        let mut items: Vec<&Item> = self.check.judgement.items.iter().collect();
        items.sort_by_key(|item| std::cmp::Reverse(item.verdict));
        if !items.is_empty() {
            writeln!(self.out)?;
        }
        for item in items {
            self.item(item)?;
        }
        Ok(())
    }

    fn item(&mut self, item: &Item) -> io::Result<()> {
        let head = format!("{:<12}  {}", words::verdict(item.verdict), words::name(item));
        let lines = wrap(&words::sentence(item), self.width.saturating_sub(NAME + 4));
        let painted = match item.verdict {
            Verdict::Fail | Verdict::Inconclusive | Verdict::NoData => self.paint.trouble(format!("{head:<NAME$}")),
            Verdict::Pass => format!("{head:<NAME$}"),
            Verdict::Shown => self.paint.faint(format!("{head:<NAME$}")),
        };
        for (position, line) in lines.iter().enumerate() {
            if position == 0 {
                let gap = if head.chars().count() > NAME { "  " } else { "" };
                writeln!(self.out, "  {painted}{gap}  {line}")?;
            } else {
                writeln!(self.out, "  {:<NAME$}  {line}", "")?;
            }
        }
        for site in &item.sites {
            let place = self.paint.name(words::place(site, self.check.root));
            writeln!(self.out, "      {place}: {}", words::event(site))?;
            if !site.advice.is_empty() && item.verdict == Verdict::Fail {
                self.wrapped("        ", &visible(&site.advice))?;
            }
        }
        Ok(())
    }

    fn not_judged(&mut self) -> io::Result<()> {
        let sites = &self.check.judgement.not_judged;
        if sites.is_empty() {
            return Ok(());
        }
        writeln!(
            self.out,
            "\n  Not judged: stalls in which the event loop was runnable but not scheduled, or was suspended"
        )?;
        for site in sites {
            writeln!(self.out, "      {}: {}", words::place(site, self.check.root), words::event(site))?;
        }
        Ok(())
    }

    fn circumstances(&mut self) -> io::Result<()> {
        writeln!(self.out)?;
        for difference in &self.check.judgement.differences {
            let shown = |text: &str| if text.is_empty() { "unknown".into() } else { visible(text).into_owned() };
            let effect = if difference.forbids_times() { "times are not judged" } else { "judged nevertheless" };
            let (then, now) = (shown(&difference.then), shown(&difference.now));
            self.wrapped(
                "  ",
                &format!("Differs from the baseline: {} was {then}, is now {now}; {effect}.", difference.name),
            )?;
        }
        // The tolerance actually used is not known here; this shows what a run with this threshold can tolerate.
        let threshold = self.check.head.iter().map(|run| run.threshold_ns).max().unwrap_or(0);
        for line in words::disturbances(self.check.head, &Tolerance::for_stalls_of(threshold)) {
            self.wrapped("  ", &format!("{line}."))?;
        }
        let (head, base) = (self.check.head.len(), self.check.base.len());
        let runs = match base {
            0 => label::counted(head, "run"),
            base => format!("{}, compared with {}", label::counted(head, "run"), label::count(base)),
        };
        writeln!(self.out, "  {runs}. To repeat: {}", visible(self.check.reproduce))
    }
}
