//! A page of text: headings, wrapped paragraphs, and lists that say how much they leave out.

use std::io::{self, Write};

use super::options::Options;
use super::paint::Paint;
use super::{escape, label};
use crate::model::snapshot::Finding;

/// Where and how it is written.
pub(super) struct Page<'o> {
    pub(super) paint: Paint,
    pub(super) width: usize,
    pub(super) out: &'o mut dyn Write,
}

impl<'o> Page<'o> {
    /// Lines are as long as the options say, but never shorter than `narrowest`.
    pub(super) fn new(options: &Options, narrowest: usize, out: &'o mut dyn Write) -> Self {
        Self { paint: Paint::new(options.color), width: options.width.max(narrowest), out }
    }

    pub(super) fn section(&mut self, title: &str) -> io::Result<()> {
        writeln!(self.out, "\n{}", self.paint.heading(title))
    }

    pub(super) fn paragraph(&mut self, indent: usize, text: &str) -> io::Result<()> {
        for line in wrap(text, self.width.saturating_sub(indent)) {
            writeln!(self.out, "{:indent$}{line}", "")?;
        }
        Ok(())
    }

    pub(super) fn faint_paragraph(&mut self, indent: usize, text: &str) -> io::Result<()> {
        for line in wrap(text, self.width.saturating_sub(indent)) {
            writeln!(self.out, "{:indent$}{}", "", self.paint.faint(line))?;
        }
        Ok(())
    }

    /// The place of what was said before.
    pub(super) fn place(&mut self, indent: usize, place: Option<&str>) -> io::Result<()> {
        match place {
            Some(place) => writeln!(self.out, "{:indent$}at {}", "", self.paint.name(place)),
            None => writeln!(self.out, "{:indent$}at an unknown place", ""),
        }
    }

    /// One line for the entries of a list that are beyond its limit.
    pub(super) fn rest(&mut self, all: usize, shown: usize, noun: &str) -> io::Result<()> {
        match all.saturating_sub(shown) {
            0 => Ok(()),
            more => writeln!(self.out, "  … {} (see --limit)", label::counted(more, &format!("more {noun}"))),
        }
    }

    /// Frames, outermost first as in a Python traceback; if there are too many, `outer` of them and the innermost.
    pub(super) fn frames(&mut self, indent: usize, frames: &[String], most: usize, outer: usize) -> io::Result<()> {
        let left_out = frames.len().saturating_sub(most);
        for (position, frame) in frames.iter().enumerate() {
            let line = match position.checked_sub(outer) {
                Some(0) if left_out > 0 => self.paint.faint(format!("… {}", label::counted(left_out, "frame"))),
                Some(within) if within < left_out => continue,
                _ => self.paint.faint(frame),
            };
            writeln!(self.out, "{:indent$}{line}", "")?;
        }
        Ok(())
    }

    pub(super) fn finding(&mut self, finding: &Finding, place: Option<&str>) -> io::Result<()> {
        /// The column at which the text of a finding begins.
        const INDENT: usize = 10;
        let severity = self.paint.severity(finding.severity);
        let sentence = format!("{}: {}", finding.rule, escape::visible(&finding.message));
        for (position, line) in wrap(&sentence, self.width - INDENT).into_iter().enumerate() {
            match position {
                0 => writeln!(self.out, "  {severity} {line}")?,
                _ => writeln!(self.out, "{:INDENT$}{line}", "")?,
            }
        }
        if place.is_some() {
            self.place(INDENT, place)?;
        }
        self.faint_paragraph(INDENT, &escape::visible(&finding.advice))
    }
}

/// Lines of at most `width` characters, broken at spaces; a longer word (a path) is kept whole.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
            used += length;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_never_broken_by_wrapping() {
        assert_eq!(wrap("see /a/very/long/path.py:12 now", 10), ["see", "/a/very/long/path.py:12", "now"]);
        assert_eq!(wrap("", 10), [""]);
    }
}
