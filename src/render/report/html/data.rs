//! The data of the page: what its script draws. The page and its script are one file, so this format needs no version.

use serde::Serialize;

use super::excerpt::Sources;
use super::flame::FlameJson;
use super::intern::Tables;
use super::stalls::stalls;
use super::tasks::{awaits, tasks};
use super::verdict::Summary;
use crate::model::event::NoteKind;
use crate::profile::{By, LoopBin, LoopProfile, TaskBin};
use crate::render::object::object;
use crate::render::report::contents::Report;
use crate::render::report::{text, words};
use crate::render::{escape, label};

/// LIMIT: loops included.
const LOOPS: usize = 100;
/// LIMIT: findings included.
const FINDINGS: usize = 1_000;
/// LIMIT: notes included.
const NOTES: usize = 200;
/// LIMIT: bins of all loops together; if there are more loops, each has wider bins.
const BINS: usize = 16_000;

/// All the data. Times `*_us` are microseconds; moments are relative to the beginning.
pub(super) fn page(report: &Report<'_>, sources: &Sources, verdict: &Summary) -> impl Serialize {
    let (analysis, mut tables) = (report.analysis, Tables::default());
    let (header, loops) = (analysis.header(), report.profile().loops());
    let stalls = stalls(report, &mut tables);
    let findings = findings(report, &mut tables);
    let excerpts = sources.of_frames(&tables);
    let tasks = tasks(report, &mut tables);
    let awaits = awaits(report, &mut tables);
    let flames = [("run", By::Run), ("await", By::Await), ("wall", By::Wall)]
        .map(|(name, by)| (name, FlameJson::of(report.profile(), by, &mut tables)));
    let (notes, more_notes) = notes(report);
    object! {
        subject: subject(report),
        verdict,
        started_at: escape::brief(&header.started_at, 40),
        duration_us: analysis.duration_ns() / 1_000,
        complete: report.complete,
        facts: facts(report),
        trust: text::trust(report),
        sampling: sampling(report),
        loops: loops.iter().take(LOOPS).map(event_loop).collect::<Vec<_>>(),
        more_loops: loops.len().saturating_sub(LOOPS),
        timeline: timeline(report),
        stalls,
        tasks,
        awaits,
        flames,
        findings,
        more_findings: analysis.findings().len().saturating_sub(FINDINGS),
        notes,
        more_notes,
        excerpts,
        #[serde(flatten)]
        tables,
    }
}

/// The watched program, as a title.
pub(super) fn subject(report: &Report<'_>) -> String {
    escape::brief(&words::command(report.analysis.header()), 200).into_owned()
}

fn facts(report: &Report<'_>) -> Vec<(&'static str, String)> {
    let analysis = report.analysis;
    let header = analysis.header();
    let build = if header.free_threaded { " free-threaded" } else { "" };
    let tasks: u64 = report.profile().coroutines().iter().map(|one| one.seen).sum();
    let mut facts = vec![
        ("Process", header.pid.to_string()),
        ("Python", format!("CPython {}{build}", header.python)),
        ("Executable", header.executable.clone()),
        ("Began", header.started_at.clone()),
        ("Watched for", words::duration(analysis.duration_ns())),
        ("Recording", if report.complete { "complete".into() } else { "cut off".into() }),
        ("Stall threshold", words::duration(header.stall_threshold_ns)),
        ("Tasks seen", label::count(tasks)),
        ("asyncprof", header.asyncprof.clone()),
    ];
    let machine: Vec<String> = header.machine.iter().map(|(name, value)| format!("{name} {value}")).collect();
    if !machine.is_empty() {
        facts.push(("Machine", machine.join(", ")));
    }
    facts.into_iter().map(|(name, value)| (name, escape::brief(&value, 300).into_owned())).collect()
}

/// The quality of the watch, figure by figure.
fn sampling(report: &Report<'_>) -> Vec<(&'static str, String)> {
    let (health, header, count) = (report.health(), report.analysis.header(), label::count);
    let per_second = |rate: f64, asked: f64| format!("{}/s ({}/s requested)", words::rate(rate), words::rate(asked));
    let mut figures = vec![
        ("Loop samples accepted", count(health.loop_samples)),
        ("Loop rate", per_second(report.loop_rate_hz(), header.loop_rate_hz)),
        (
            "Stopped for each sample",
            if header.blocking { words::stops(&health.stops, report.analysis.duration_ns()) } else { "no".into() },
        ),
    ];
    if report.analysis.health().is_some() {
        figures.extend([
            ("Task snapshots accepted", count(health.task_snapshots)),
            ("Task rate", per_second(report.task_rate_hz(), header.task_rate_hz)),
            ("Dropped after retries", count(health.dropped)),
            ("Lost: reader too slow", count(health.lost)),
            ("Re-read (changed during the read)", count(health.torn)),
            ("Partial (gap marked)", count(health.partial)),
            ("Taken late", count(health.late)),
            ("CPU used by asyncprof, of one core", words::percent(report.cpu_percent() / 100.0)),
            ("CPU budget", words::percent(header.cpu_budget)),
            ("Sampling slowed", if health.lowered_rate { "yes, to stay within the budget" } else { "no" }.into()),
        ]);
    } else {
        figures.push(("Dropped, lost, torn, late", "unknown: the recording is cut off".into()));
    }
    figures.push((
        "May have been missed",
        match report.shortest_stall_ns() {
            u64::MAX => "stalls of any length".into(),
            shortest => format!("stalls shorter than {}", words::duration(shortest)),
        },
    ));
    figures
}

fn event_loop(one: &LoopProfile) -> impl Serialize {
    object! {
        class: escape::brief(&one.info.class, 200),
        thread: one.info.thread,
        thread_name: one.info.thread_name.as_deref().map(|name| escape::brief(name, 80)),
        samples: one.samples,
        busy: one.busy_share(),
        lag_us: one.lag().map(|lag| [lag.p50_ns, lag.p90_ns, lag.p99_ns, lag.max_ns].map(|ns| ns / 1_000)),
        iterations: one.iterations,
        most_ready: one.most_ready,
        gil: one.gil_share(),
        gap_us: one.gap_ns / 1_000,
    }
}

/// Bins over time; -1 where nothing is known.
fn timeline(report: &Report<'_>) -> impl Serialize {
    let timeline = report.profile().timeline();
    let loops: Vec<&[LoopBin]> =
        (0..report.profile().loops().len().min(LOOPS)).map(|number| timeline.of_loop(number)).collect();
    let all: usize = loops.iter().map(|bins| bins.len()).sum();
    let together = all.div_ceil(BINS).max(1);
    let tasks = timeline.of_tasks();
    object! {
        loops: loops.into_iter().map(|bins| loop_bins(bins, together, timeline.width_ns())).collect::<Vec<_>>(),
        width_us: timeline.width_ns() / 1_000,
        tasks: tasks.iter().map(|bin: &TaskBin| bin.most.map_or(-1, i64::from)).collect::<Vec<_>>(),
        born: tasks.iter().map(|bin| bin.born).collect::<Vec<_>>(),
        ended: tasks.iter().map(|bin| bin.ended).collect::<Vec<_>>(),
    }
}

fn loop_bins(bins: &[LoopBin], together: usize, width_ns: u64) -> impl Serialize + use<> {
    let merged: Vec<LoopBin> =
        bins.chunks(together).filter_map(|some| some.iter().copied().reduce(LoopBin::merged)).collect();
    // Thousandths of the known time.
    let busy = |bin: &LoopBin| match bin.known_ns {
        0 => -1,
        known => (bin.busy_ns as f64 * 1e3 / known as f64).round() as i64,
    };
    object! {
        width_us: (width_ns / 1_000).saturating_mul(together as u64),
        lag_us: merged.iter().map(|bin| bin.lag_ns.map_or(-1, |lag| (lag / 1_000) as i64)).collect::<Vec<_>>(),
        busy: merged.iter().map(busy).collect::<Vec<_>>(),
        ready: merged.iter().map(|bin| bin.most_ready.map_or(-1, i64::from)).collect::<Vec<_>>(),
    }
}

fn findings(report: &Report<'_>, tables: &mut Tables) -> Vec<impl Serialize + use<>> {
    /// LIMIT: tasks named in a finding.
    const TASKS: usize = 20;
    /// LIMIT: a longer piece of evidence is cut.
    const EVIDENCE: usize = 200;
    let findings = report.analysis.findings().iter().take(FINDINGS);
    let whole = findings.map(|found| {
        let finding = &found.finding.finding;
        object! {
            rule: finding.rule.to_string(),
            severity: finding.severity.as_str(),
            message: tables.text(&finding.message),
            advice: tables.sentence(&finding.advice),
            tasks: found.tasks.iter().take(TASKS).map(|name| tables.text(name)).collect::<Vec<_>>(),
            more_tasks: found.tasks.len().saturating_sub(TASKS),
            site: found.finding.site.as_ref().map(|site| tables.frame(site)),
            evidence: (finding.evidence.iter())
                .map(|(name, value)| (name.clone(), escape::brief(&value.to_string(), EVIDENCE).into_owned()))
                .collect::<Vec<_>>(),
        }
    });
    whole.collect()
}

/// What happened during the watch; notes beyond the limit are only counted.
fn notes(report: &Report<'_>) -> (Vec<(u64, String)>, u64) {
    let analysis = report.analysis;
    let notes: Vec<_> = analysis.notes().iter().filter(|note| note.kind != NoteKind::Ended).collect();
    let more = notes.len().saturating_sub(NOTES) as u64 + analysis.notes_left_out();
    let at = |ns: u64| ns.saturating_sub(analysis.header().started_ns) / 1_000;
    let told = notes.iter().take(NOTES).map(|note| (at(note.at_ns), escape::brief(&note.text, 400).into_owned()));
    (told.collect(), more)
}
