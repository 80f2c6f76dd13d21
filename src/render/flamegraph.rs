//! Flame graphs of a watch over time, and the folded stacks they are drawn from: `task:NAME;outer (file:line);inner
//! (file:line) count`, where the count is in microseconds. Drawn by inferno.

use std::collections::BTreeMap;
use std::io::{self, Write};

use inferno::flamegraph::{self, Palette, color::BasicPalette};

use super::collapsed::without_separator;
use super::{escape, label, levels};
use crate::profile::{By, Label, Profile};

/// Writes one line for each distinct stack, sorted; its weight is its time in microseconds.
pub fn write_collapsed(profile: &Profile, by: By, out: &mut dyn Write) -> io::Result<()> {
    let mut out = io::BufWriter::new(out);
    for (stack, time_us) in folded(profile, by) {
        writeln!(out, "{stack} {time_us}")?;
    }
    out.flush()
}

/// Draws a self-contained SVG. `whose` names the program in its title; `is_biased`: see `Analysis::is_biased`.
pub fn write(profile: &Profile, by: By, whose: &str, is_biased: bool, out: &mut dyn Write) -> io::Result<()> {
    const BIASED: &str =
        "much changed while it was read: calls of a few microseconds are too narrow (right with --blocking)";
    let lines: Vec<String> =
        folded(profile, by).into_iter().map(|(stack, time_us)| format!("{stack} {time_us}")).collect();
    let subtitle = (is_biased && by != By::Await).then_some(BIASED);
    draw(&lines, by, &format!("{}: {}", title(by), escape::brief(whose, 80)), subtitle, out)
}

/// Draws a differential flame graph: red = more time, blue = less time than in `base`, whose times are scaled by
/// `scale`: the duration of this watch divided by that of the other.
pub fn write_difference(
    base: &Profile,
    profile: &Profile,
    scale: f64,
    by: By,
    whose: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut both: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (stack, time_us) in folded(base, by) {
        both.entry(stack).or_default().0 = (time_us as f64 * scale).round() as u64;
    }
    for (stack, time_us) in folded(profile, by) {
        both.entry(stack).or_default().1 = time_us;
    }
    // Widths are the current times: stacks that are gone cannot be drawn.
    if both.values().all(|(_, after)| *after == 0) {
        both.clear();
    }
    let lines: Vec<String> =
        both.into_iter().map(|(stack, (before, after))| format!("{stack} {before} {after}")).collect();
    let title = format!("{}, difference: {}", title(by), escape::brief(whose, 80));
    draw(&lines, by, &title, Some("red: more time than before, blue: less; widths show the time now"), out)
}

/// Microseconds by stack, as written.
fn folded(profile: &Profile, by: By) -> BTreeMap<String, u64> {
    let mut times: BTreeMap<String, u64> = BTreeMap::new();
    for weighted in profile.weights(by) {
        let frames: Vec<String> = weighted.stack.iter().map(frame).collect();
        *times.entry(frames.join(";")).or_default() += weighted.time_ns;
    }
    let microseconds = |(stack, time_ns): (String, u64)| (stack, (time_ns + 500) / 1_000);
    times.into_iter().map(microseconds).filter(|(_, time_us)| *time_us > 0).collect()
}

/// One level of a stack, in a form that every flame graph tool can read.
fn frame(level: &Label<'_>) -> String {
    let text = match level {
        Label::Frame(frame) => format!("{} ({})", escape::visible(&frame.function), label::place(frame)).into(),
        other => levels::level(other).name,
    };
    without_separator(&text).into_owned()
}

pub(super) fn title(by: By) -> &'static str {
    match by {
        By::Run => "What the event loops ran",
        By::Await => "Where the tasks waited",
        By::Wall => "How the tasks spent their time",
    }
}

fn draw(lines: &[String], by: By, title: &str, subtitle: Option<&str>, out: &mut dyn Write) -> io::Result<()> {
    let mut drawing = flamegraph::Options::default();
    drawing.title = title.into();
    drawing.subtitle = subtitle.map(str::to_owned);
    drawing.count_name = "ms".into();
    drawing.factor = 1e-3;
    drawing.colors = Palette::Basic(match by {
        By::Run => BasicPalette::Hot,
        By::Await => BasicPalette::Aqua,
        By::Wall => BasicPalette::Orange,
    });
    drawing.deterministic = true;
    draw_sorted(lines, drawing, "Nothing of this kind was seen", out)
}

/// Draws lines that are sorted already; `nothing` is said if there are none, which inferno refuses to draw.
pub(super) fn draw_sorted(
    lines: &[String],
    mut drawing: flamegraph::Options<'_>,
    nothing: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    if lines.is_empty() {
        write!(out, r#"<svg xmlns="http://www.w3.org/2000/svg" width="400" height="60">"#)?;
        return writeln!(out, r#"<text x="20" y="35" font-family="sans-serif">{nothing}</text></svg>"#);
    }
    drawing.hash = true;
    drawing.no_sort = true;
    flamegraph::from_lines(&mut drawing, lines.iter().map(String::as_str), out)
}
