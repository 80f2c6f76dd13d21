//! A check as text: the verdict, then the problems with place and advice, then what is fine.

use std::io::{self, Write};

use super::contents::Check;
use super::words;
use crate::detect::check::{Item, Tolerance, Verdict};
use crate::render::escape::visible;
use crate::render::options::Options;
use crate::render::page::{Page, wrap};

/// Width of verdict and name.
const NAME: usize = 32;

/// Writes the check.
pub fn write(check: &Check<'_>, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let mut text = Text { check, page: Page::new(options, 60, out) };
    text.head()?;
    for line in check.self_test.map(words::self_test).unwrap_or_default() {
        text.page.paragraph(2, &line)?;
    }
    text.items()?;
    text.not_judged()?;
    text.circumstances()
}

struct Text<'a, 'c> {
    check: &'a Check<'c>,
    page: Page<'a>,
}

impl Text<'_, '_> {
    fn head(&mut self) -> io::Result<()> {
        let verdict = words::verdict(self.check.judgement.verdict).to_uppercase();
        let verdict = match self.check.judgement.verdict {
            Verdict::Pass | Verdict::Shown => self.page.paint.heading(verdict),
            _ => self.page.paint.trouble(verdict),
        };
        let subject = visible(self.check.subject);
        writeln!(self.page.out, "{verdict}  {}: {subject}", words::headline(self.check))
    }

    /// Worst first, otherwise in their original order.
    fn items(&mut self) -> io::Result<()> {
        let mut items: Vec<&Item> = self.check.judgement.items.iter().collect();
        items.sort_by_key(|item| std::cmp::Reverse(item.verdict));
        if !items.is_empty() {
            writeln!(self.page.out)?;
        }
        for item in items {
            self.item(item)?;
        }
        Ok(())
    }

    fn item(&mut self, item: &Item) -> io::Result<()> {
        let head = format!("{:<12}  {}", words::verdict(item.verdict), words::name(item));
        let lines = wrap(&words::sentence(item), self.page.width.saturating_sub(NAME + 4));
        let painted = match item.verdict {
            Verdict::Fail | Verdict::Inconclusive | Verdict::NoData => {
                self.page.paint.trouble(format!("{head:<NAME$}"))
            }
            Verdict::Pass => format!("{head:<NAME$}"),
            Verdict::Shown => self.page.paint.faint(format!("{head:<NAME$}")),
        };
        for (position, line) in lines.iter().enumerate() {
            if position == 0 {
                let gap = if head.chars().count() > NAME { "  " } else { "" };
                writeln!(self.page.out, "  {painted}{gap}  {line}")?;
            } else {
                writeln!(self.page.out, "  {:<NAME$}  {line}", "")?;
            }
        }
        for site in &item.sites {
            let place = self.page.paint.name(words::place(site, self.check.root));
            writeln!(self.page.out, "      {place}: {}", words::event(site))?;
            if !site.advice.is_empty() && item.verdict == Verdict::Fail {
                self.page.paragraph(8, &visible(&site.advice))?;
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
            self.page.out,
            "\n  Not judged: stalls in which the event loop was runnable but not scheduled, or was suspended"
        )?;
        for site in sites {
            writeln!(self.page.out, "      {}: {}", words::place(site, self.check.root), words::event(site))?;
        }
        Ok(())
    }

    fn circumstances(&mut self) -> io::Result<()> {
        writeln!(self.page.out)?;
        for difference in &self.check.judgement.differences {
            let shown = |text: &str| if text.is_empty() { "unknown".into() } else { visible(text).into_owned() };
            let effect = if difference.forbids_times() { "times are not judged" } else { "judged nevertheless" };
            let (then, now) = (shown(&difference.then), shown(&difference.now));
            self.page.paragraph(
                2,
                &format!("Differs from the baseline: {} was {then}, is now {now}; {effect}.", difference.name),
            )?;
        }
        // The tolerance actually used is not known here; this shows what a run with this threshold can tolerate.
        let threshold = self.check.head.iter().map(|run| run.threshold_ns).max().unwrap_or(0);
        for line in words::disturbances(self.check.head, &Tolerance::for_stalls_of(threshold)) {
            self.page.paragraph(2, &format!("{line}."))?;
        }
        let runs = words::runs(self.check);
        writeln!(self.page.out, "  {runs}. To repeat: {}", visible(self.check.reproduce))
    }
}
