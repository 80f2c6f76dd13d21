//! Workflow commands of GitHub Actions, shown at the lines of a pull request: one for each problem and place.
//!
//! The format: <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>

use std::io::{self, Write};

use super::contents::Check;
use super::words;
use crate::detect::check::{Item, Site, Verdict};
use crate::render::escape::visible;

/// Writes the commands, then the verdict as the last line, which is not a command.
pub fn write(check: &Check<'_>, out: &mut dyn Write) -> io::Result<()> {
    for item in &check.judgement.items {
        let command = match item.verdict {
            Verdict::Fail => "error",
            Verdict::NoData | Verdict::Inconclusive => "warning",
            Verdict::Pass | Verdict::Shown => continue,
        };
        if item.sites.is_empty() {
            annotate(command, None, item, check, out)?;
        }
        for site in &item.sites {
            annotate(command, Some(site), item, check, out)?;
        }
    }
    let verdict = words::verdict(check.judgement.verdict).to_uppercase();
    // Must not look like a command, whatever the program is called.
    writeln!(out, "asyncprof: {verdict}, {}", words::headline(check))
}

fn annotate(command: &str, site: Option<&Site>, item: &Item, check: &Check<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut properties = Vec::new();
    let mut message = words::sentence(item);
    if let Some(site) = site {
        if !site.file.is_empty() {
            properties.push(format!("file={}", property(words::relative(&site.file, check.root))));
            properties.extend(site.line.map(|line| format!("line={line}")));
        }
        message = format!("{}: {}; {message}", words::place(site, check.root), words::event(site));
        if !site.advice.is_empty() {
            message = format!("{message}\n{}", visible(&site.advice));
        }
    }
    properties.push(format!("title={}", property(&format!("asyncprof: {}", words::name(item)))));
    message = format!("{message}\nTo repeat: {}", visible(check.reproduce));
    writeln!(out, "::{command} {}::{}", properties.join(","), data(&message))
}

/// Text after the command, escaped so that nothing in it ends the line.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property, escaped so that nothing in it ends the property or the command.
fn property(text: &str) -> String {
    data(&visible(text)).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_command_before_its_end() {
        assert_eq!(data("50 %\nnext\r"), "50 %25%0Anext%0D");
        assert_eq!(property("a,b:c%\n::error::x"), "a%2Cb%3Ac%25\\n\\u{3a}%3Aerror%3A%3Ax");
    }
}
