//! The report as one page for a browser: a single file that fetches nothing. The data is embedded as JSON, and our own
//! script draws it; names from the target are only ever inserted as text.
//!
//! The content security policy of the page allows only this script and this style, by their hashes. Even a name that
//! broke out of the data could do nothing.

mod data;
mod excerpt;
mod flame;
mod intern;
mod stalls;
mod tasks;
mod verdict;

use std::io::{self, Write};

use data_encoding::BASE64;
use serde::Serialize as _;
use sha2::{Digest as _, Sha256};

pub use excerpt::{Excerpt, Sources, Wanted, wanted};

use super::contents::Report;
use crate::render::escape;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
/// One script built from several files; its definitions are local to it.
const SCRIPT: &str = concat!(
    "(() => {\n\"use strict\";\n",
    include_str!("script/core.js"),
    include_str!("script/charts.js"),
    include_str!("script/stalls.js"),
    include_str!("script/flame.js"),
    include_str!("script/tasks.js"),
    include_str!("script/main.js"),
    "})();\n",
);

/// Writes the page. `sources` holds what could be read for [`wanted`].
pub fn write(report: &Report<'_>, sources: &Sources, out: &mut dyn Write) -> io::Result<()> {
    let mut data = Vec::new();
    let verdict = verdict::of(report);
    data::page(report, sources, &verdict)
        .serialize(&mut serde_json::Serializer::with_formatter(&mut data, Embedded))?;
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(STYLE),
    );
    let (subject, seen) = (markup(&data::subject(report)), markup(&verdict.text));
    let parts: [(&str, &[u8]); 6] = [
        ("{{policy}}", policy.as_bytes()),
        ("{{subject}}", subject.as_bytes()),
        ("{{verdict}}", seen.as_bytes()),
        ("{{style}}", STYLE.as_bytes()),
        ("{{data}}", &data),
        ("{{script}}", SCRIPT.as_bytes()),
    ];
    fill(PAGE, &parts, out)
}

/// A hash in the form that a content security policy expects.
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64.encode(&Sha256::digest(text)))
}

/// Writes a template with its placeholders replaced; the replacements are not scanned for placeholders.
fn fill(template: &str, parts: &[(&str, &[u8])], out: &mut dyn Write) -> io::Result<()> {
    let mut rest = template;
    while let Some((at, mark, text)) =
        parts.iter().filter_map(|(mark, text)| Some((rest.find(mark)?, mark, text))).min_by_key(|(at, ..)| *at)
    {
        out.write_all(&rest.as_bytes()[..at])?;
        out.write_all(text)?;
        rest = &rest[at + mark.len()..];
    }
    out.write_all(rest.as_bytes())
}

/// Text escaped for use between tags and in attributes.
fn markup(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 16);
    for character in escape::visible(text).chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            character => safe.push(character),
        }
    }
    safe
}

/// JSON embedded in a script element: nothing in it can end the script or begin a comment, and nothing in it is
/// invisible.
struct Embedded;

impl serde_json::ser::Formatter for Embedded {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        for character in fragment.chars() {
            if matches!(character, '<' | '>' | '&') || escape::is_deceptive(character) {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            } else {
                out.write_all(character.encode_utf8(&mut [0; 4]).as_bytes())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_not_searched_for_marks() {
        let mut out = Vec::new();
        fill("a {{x}} b {{y}}", &[("{{x}}", b"{{y}}"), ("{{y}}", b"{{x}}")], &mut out).unwrap();
        assert_eq!(out, b"a {{y}} b {{x}}");
    }

    #[test]
    fn data_cannot_end_its_script() {
        let mut out = Vec::new();
        "</script><!-- & \u{2028}\u{202e}\"\n"
            .serialize(&mut serde_json::Serializer::with_formatter(&mut out, Embedded))
            .unwrap();
        let written = String::from_utf8(out).unwrap();
        assert_eq!(written, r#""\u003c/script\u003e\u003c!-- \u0026 \u2028\u202e\"\n""#);
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), "</script><!-- & \u{2028}\u{202e}\"\n");
    }

    #[test]
    fn the_script_and_the_style_can_stand_in_a_page() {
        for text in [SCRIPT, STYLE] {
            assert!(!text.contains("</") && !text.contains("<!--") && !text.contains('\r'));
        }
        assert!(!SCRIPT.contains("innerHTML") && !SCRIPT.contains("eval("));
    }
}
