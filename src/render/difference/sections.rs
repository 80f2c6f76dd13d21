//! A comparison in words: the lists that every human-readable format shows.

use crate::detect::difference::{Confidence, Difference, Measure, Presence, Site, StallChange, Watch};
use crate::model::snapshot::WaitKind;
use crate::render::label;
use crate::render::report::words;

/// Two watches and how the second differs from the first.
#[derive(Clone, Copy, Debug)]
pub struct Comparison<'a> {
    /// The first watch.
    pub base: Watch<'a>,
    /// The name of the first, for example its file.
    pub base_name: &'a str,
    /// The second watch.
    pub head: Watch<'a>,
    /// The name of the second.
    pub head_name: &'a str,
    /// The differences.
    pub difference: &'a Difference,
}

/// Default maximum entries per list in human-readable output.
pub(super) const SHOWN: usize = 10;

/// One entry as shown to the user.
pub(super) struct Line {
    /// A word or two for the kind of change: `new`, `slower`, `fewer`.
    pub(super) what: &'static str,
    /// Whether it is worse than before.
    pub(super) worse: bool,
    /// Whether it is shown even if it may be chance.
    pub(super) always: bool,
    pub(super) confidence: Confidence,
    /// The place, ready to be printed as text.
    pub(super) place: Option<String>,
    pub(super) change: String,
    /// Details; names in it are not yet escaped.
    pub(super) more: Vec<String>,
}

impl Line {
    /// What the decisive measure says of a place.
    fn of(what: &'static str, decisive: &Measure, site: &Site, change: String, more: Vec<String>) -> Self {
        let (worse, confidence) = (decisive.difference() > 0.0, decisive.confidence);
        Self { what, worse, always: false, confidence, place: site.frame().map(words::frame), change, more }
    }
}

/// A list in human-readable output: the entries that are changes, and how many others there are.
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) lines: Vec<Line>,
    pub(super) within_noise: usize,
    pub(super) unknown: usize,
}

/// All the sections of the human-readable output, the same in each format.
pub(super) fn sections(difference: &Difference) -> Vec<Section> {
    let stalls = section("Stalls", &difference.stalls, |stall| (stall.confidence(), stall_line(stall)));
    let coroutines = section("What the event loops ran, by coroutine", &difference.coroutines, |change| {
        let decisive = *change.decisive();
        let mut more = Vec::new();
        if change.run_per_task.ratio.is_some() {
            more.push(format!("per task: {}", in_numbers(&change.run_per_task, time)));
        }
        if change.wait_per_task.confidence.is_change() {
            more.push(format!("waiting per task: {}", in_numbers(&change.wait_per_task, time)));
        }
        if change.tasks.confidence.is_change() {
            more.push(format!("tasks per second: {}", in_numbers(&change.tasks, number)));
        }
        let what = match (change.presence, change.run_per_task.confidence == Confidence::Unknown) {
            (Presence::Both, true) => direction(&decisive, "runs more", "runs less"),
            (Presence::Both, false) => direction(&decisive, "slower", "faster"),
            (presence, _) => presence.as_str(),
        };
        let of_time = in_numbers_of(&change.run, words::percent, " of the time");
        (change.confidence(), Line::of(what, &decisive, &change.site, of_time, more))
    });
    let runs = section("What the event loops ran, by function", &difference.runs, |change| {
        let what = match change.presence {
            Presence::Both => direction(&change.run, "runs more", "runs less"),
            presence => presence.as_str(),
        };
        let change_of = in_numbers_of(&change.run, words::percent, " of the time");
        (change.run.confidence, Line::of(what, &change.run, &change.site, change_of, Vec::new()))
    });
    let waits = section("Waits", &difference.waits, |change| {
        let (decisive, longest) = (*change.decisive(), change.longest_ns);
        let what = match (change.presence, change.length.confidence == Confidence::Unknown) {
            (Presence::Both, true) => direction(&decisive, "more waiting", "less waiting"),
            (Presence::Both, false) => direction(&decisive, "longer", "shorter"),
            (presence, _) => presence.as_str(),
        };
        let mut more = Vec::new();
        if change.length.ratio.is_some() {
            more.push(format!("per wait: {}", in_numbers(&change.length, time)));
        }
        let longest = [longest.0, longest.1].map(|ns| if ns == 0 { "none seen".into() } else { words::duration(ns) });
        more.push(format!("longest seen: {} -> {}", longest[0], longest[1]));
        let tasks = format!(" tasks waiting for {}", wait_kind(change.kind));
        let waiting = in_numbers_of(&change.waiting, number, &tasks);
        (change.confidence(), Line::of(what, &decisive, &change.site, waiting, more))
    });
    let findings = section("Findings of the last full snapshot", &difference.findings, |change| {
        // True of that snapshot; one snapshot cannot show whether it is always true.
        let confidence = if change.presence == Presence::Both { Confidence::Noise } else { Confidence::Likely };
        let line = Line {
            what: change.presence.as_str(),
            worse: change.presence == Presence::New,
            always: false,
            confidence,
            place: change.site.frame().map(words::frame),
            change: format!("{}: {} -> {} tasks", change.rule, change.tasks.0, change.tasks.1),
            more: vec![change.message.clone(), change.advice.clone()],
        };
        (confidence, line)
    });
    vec![stalls, coroutines, runs, waits, findings]
}

pub(super) fn section<C>(title: &'static str, changes: &[C], line: impl Fn(&C) -> (Confidence, Line)) -> Section {
    let mut section = Section { title, lines: Vec::new(), within_noise: 0, unknown: 0 };
    for change in changes {
        match line(change) {
            (confidence, line) if confidence.is_change() || line.always => section.lines.push(line),
            (Confidence::Unknown, _) => section.unknown += 1,
            _ => section.within_noise += 1,
        }
    }
    section
}

pub(super) fn stall_line(stall: &StallChange) -> Line {
    let what = match (stall.presence, stall.per_minute.confidence.is_change()) {
        (Presence::Both, true) => direction(&stall.per_minute, "more often", "less often"),
        (Presence::Both, false) => direction(&stall.length, "longer", "shorter"),
        (presence, _) => presence.as_str(),
    };
    let mut more = Vec::new();
    if stall.length.ratio.is_some() {
        more.push(format!("per stall: {}", in_numbers(&stall.length, time)));
    }
    let detail = stall.detail.as_deref().map(|detail| format!(", {detail}")).unwrap_or_default();
    more.push(format!("{}{detail}", words::cause(stall.cause)));
    if stall.presence != Presence::Gone {
        more.push(stall.advice.clone());
    }
    let (was, is) = stall.longest_ns;
    let longest = match stall.presence {
        Presence::Both => format!("longest {} -> {}", words::duration(was), words::duration(is)),
        _ => format!("longest {}", words::duration(was.max(is))),
    };
    let (before, after) = stall.count;
    let worse = if stall.per_minute.confidence.is_change() { &stall.per_minute } else { &stall.length };
    Line {
        what,
        worse: worse.difference() > 0.0,
        // Each new blocking place is worth reporting, even if it may be chance.
        always: stall.presence != Presence::Both && stall.is_of_the_program(),
        confidence: stall.confidence(),
        place: stall.site.frame().map(words::frame),
        change: format!(
            "{before} -> {after} stalls ({}), {longest}",
            in_numbers_of(&stall.per_minute, number, " per minute")
        ),
        more,
    }
}

pub(super) fn direction(measure: &Measure, more: &'static str, less: &'static str) -> &'static str {
    if measure.difference() >= 0.0 { more } else { less }
}

pub(super) fn wait_kind(kind: Option<WaitKind>) -> &'static str {
    kind.map_or("something unknown", label::wait)
}

/// `4.1 % -> 8.3 %, 2.02 times (1.80 to 2.30)`.
pub(super) fn in_numbers(measure: &Measure, show: fn(f64) -> String) -> String {
    in_numbers_of(measure, show, "")
}

/// The same, with words after the values.
pub(super) fn in_numbers_of(measure: &Measure, show: fn(f64) -> String, of_what: &str) -> String {
    let value = |value: Option<f64>| value.map_or_else(|| "?".into(), show);
    let mut shown = format!("{} -> {}{of_what}", value(measure.base), value(measure.head));
    if let Some(ratio) = measure.ratio.filter(|ratio| ratio.estimate.is_finite() && ratio.estimate > 0.0) {
        shown.push_str(&format!(", {} times", times(ratio.estimate)));
        if ratio.high.is_finite() {
            shown.push_str(&format!(" ({} to {})", times(ratio.low), times(ratio.high)));
        }
    }
    shown
}

pub(super) fn times(ratio: f64) -> String {
    match ratio {
        100.0.. => format!("{ratio:.0}"),
        10.0.. => format!("{ratio:.1}"),
        _ => format!("{ratio:.2}"),
    }
}

pub(super) fn number(number: f64) -> String {
    times(number)
}

pub(super) fn time(ns: f64) -> String {
    words::duration(ns.max(0.0) as u64)
}

/// The summary in one sentence: `2 certain changes (1 for the worse), 3 likely`.
pub(super) fn verdict(sections: &[Section]) -> String {
    let lines = || sections.iter().flat_map(|section| &section.lines);
    let count = |confidence| lines().filter(|line| line.confidence == confidence).count();
    let (certain, likely) = (count(Confidence::Certain), count(Confidence::Likely));
    if certain + likely == 0 {
        return "no difference beyond noise".into();
    }
    let worse = lines().filter(|line| line.confidence == Confidence::Certain && line.worse).count();
    let for_the_worse = if certain > 0 { format!(" ({worse} for the worse)") } else { String::new() };
    let noun = |number: usize, word: &str| format!("{number} {word} change{}", if number == 1 { "" } else { "s" });
    match likely {
        0 => format!("{}{for_the_worse}", noun(certain, "certain")),
        _ => format!("{}{for_the_worse}, {}", noun(certain, "certain"), noun(likely, "likely")),
    }
}

/// What the terms mean.
pub(super) const MEANING: &str = "Certain: the whole confidence interval of the ratio (99 %, for all entries of a list together) exceeds \
                       10 %. Likely: statistically significant, but perhaps less than 10 %. The rest is noise. Intervals \
                       cover the sampling error of these two recordings only, not a different load or a busy machine.";
