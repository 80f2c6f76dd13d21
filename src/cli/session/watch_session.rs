//! Follows the watch of one process to its end: its events go to the analysis, to a recording, and to the terminal.

use crossbeam_channel::{after, never, select, tick};

use crate::cli::failure::{Exit, Failure, hint, note};
use crate::cli::input::args::watch::WatchArgs;
use crate::cli::input::find_process;
use crate::cli::output::live::{Live, Screen, Status};
use crate::cli::output::recording_file::Recording;
use crate::cli::terminal::{Color, REPAINT};
use crate::detect;
use crate::detect::analysis::Analysis;
use crate::detect::origin::find_culprit;
use crate::model::Snapshot;
use crate::model::event::{Batch, Event, Header, NoteKind};
use crate::model::snapshot::Finding;
use crate::render::escape::brief;
use crate::sampler::{End, Judged, Options, Outcome, Stop, Watch};

/// The sampler's options.
pub(crate) fn options(args: &WatchArgs, stop: &Stop) -> Options {
    Options {
        loop_rate_hz: args.rate,
        task_rate_hz: args.task_rate,
        stall_threshold: args.stall,
        cpu_budget: args.cpu_budget,
        memory: args.max_memory,
        stops: args.stops.limits(),
        judge: Some(std::sync::Arc::new(judge)),
        stop: stop.clone(),
        ..Options::default()
    }
}

/// Notes that a process is now watched, or recorded to `to`. `is_ours`: it is our child, which ends by itself.
pub(crate) fn announce(header: &Header, to: Option<&str>, is_below: bool, is_ours: bool) {
    let verb = if to.is_some() { "recording" } else { "watching" };
    let what = if is_below { "its subprocess" } else { "process" };
    let to = to.map(|path| format!(" to {path}")).unwrap_or_default();
    let end = if is_below || is_ours { "" } else { "; Ctrl-C ends it" };
    let command = header.command.join(" ");
    note(&format!("{verb} {what} {} (CPython {}: {}){to}{end}", header.pid, header.python, brief(&command, 120)));
}

/// The findings of a full snapshot, each with the frame to look at.
fn judge(snapshot: &Snapshot) -> Vec<Judged> {
    let site = |finding: &Finding| {
        let task = snapshot.task(*finding.tasks.first()?);
        find_culprit(snapshot, &task.stack).cloned()
    };
    detect::judge(snapshot).into_iter().map(|finding| Judged { site: site(&finding), finding }).collect()
}

/// What receives the events of a watch.
pub(crate) struct Listeners {
    pub(crate) analysis: Option<Analysis>,
    pub(crate) recording: Option<Recording>,
    live: Live,
    /// Stalls are reported as they happen.
    reports_stalls: bool,
    /// The terminal belongs to another program: nothing is printed before the end.
    pub(crate) quiet: bool,
    status: Status,
    /// A recording that cannot be written ends the watch.
    pub(crate) recording_is_all: bool,
    /// The analysis failed, and that was noted.
    analysis_failed: bool,
}

impl Listeners {
    /// The terminal only.
    pub(crate) fn new(header: &Header, color: Color) -> Self {
        Self {
            analysis: None,
            recording: None,
            live: Live::new(header, color),
            reports_stalls: true,
            quiet: false,
            status: Status::new(header),
            recording_is_all: false,
            analysis_failed: false,
        }
    }

    /// An analysis that reports stalls as they happen.
    pub(crate) fn reporting(header: &Header, color: Color, analysis: Analysis) -> Self {
        Self { analysis: Some(analysis), ..Self::new(header, color) }
    }

    /// An analysis whose result is shown at the end.
    pub(crate) fn silent(header: &Header, color: Color, analysis: Analysis) -> Self {
        Self { reports_stalls: false, ..Self::reporting(header, color, analysis) }
    }

    /// Follows the watch until it ends, at the latest after its `duration`.
    pub(crate) fn follow(&mut self, watch: Watch, args: &WatchArgs) -> Outcome {
        let time_is_over = args.duration.map_or_else(never, after);
        let repaint = if !self.quiet && self.live.repaints() { tick(REPAINT) } else { never() };
        loop {
            select! {
                recv(watch.batches) -> batch => match batch {
                    Ok(batch) => self.take(&batch, &watch),
                    Err(_) => break,
                },
                recv(time_is_over) -> _ => watch.stop(),
                recv(repaint) -> _ => self.repaint(""),
            }
        }
        self.finish(watch)
    }

    pub(crate) fn finish(&mut self, watch: Watch) -> Outcome {
        self.live.finish();
        let outcome = watch.join();
        if let Some(analysis) = &mut self.analysis {
            analysis.finish();
        }
        if let Some(recording) = &mut self.recording {
            recording.finish(reason(outcome.end));
        }
        outcome
    }

    /// Shares the terminal with other processes; `is_named` prefixes its lines with the process.
    pub(crate) fn share(&mut self, screen: &Screen, is_named: bool) {
        self.live.join(screen, is_named);
    }

    /// Takes what was seen.
    pub(crate) fn take(&mut self, batch: &Batch, watch: &Watch) {
        if let Some(recording) = &mut self.recording {
            recording.append(batch);
            if self.recording_is_all && recording.is_given_up() {
                watch.stop();
            }
        }
        self.status.absorb(batch);
        for event in &batch.events {
            // The end is reported at the end.
            if let Event::Note(happened) = event
                && !self.quiet
                && !matches!(happened.kind, NoteKind::Ended | NoteKind::Exited)
            {
                self.live.note(happened);
            }
        }
        let Some(analysis) = &mut self.analysis else { return };
        match analysis.absorb(batch) {
            Ok(alerts) if self.reports_stalls => alerts.iter().for_each(|alert| self.live.report(alert)),
            Ok(_) => {}
            Err(error) if !self.analysis_failed => {
                self.analysis_failed = true;
                note(&format!("some events are not counted: {error}"));
            }
            Err(_) => {}
        }
    }

    /// How busy its busiest loop was, as a share of the time.
    pub(crate) fn busy_share(&self) -> Option<f64> {
        let loops = self.analysis.as_ref()?.profile().loops();
        loops.iter().filter_map(|one| one.busy_share()).max_by(f64::total_cmp)
    }

    /// Repaints the status line, which begins with `before`.
    pub(crate) fn repaint(&mut self, before: &str) {
        let line = self.status.line(self.analysis.as_ref(), self.recording.as_ref());
        self.live.paint(&format!("{before}{line}"));
    }
}

fn reason(end: End) -> NoteKind {
    match end {
        End::Asked | End::ReceiverDropped => NoteKind::Ended,
        End::Exited => NoteKind::Exited,
        End::Unreadable | End::Failed => NoteKind::Gap,
    }
}

/// The exit code that a finished watch amounts to; notes what went wrong.
pub(crate) fn verdict(outcome: &Outcome, header: &Header) -> Result<Exit, Failure> {
    let pid = header.pid;
    match (outcome.end, has_seen(outcome)) {
        (End::Failed, _) => Err(Failure::bug(error_of(outcome))),
        (End::Exited, true) => {
            note(&format!("process {pid} has exited"));
            Ok(Exit::Fine)
        }
        (End::Exited, false) => {
            Err(Failure::new(Exit::Gone, format!("process {pid} exited before anything could be seen")))
        }
        (End::Unreadable, true) => {
            note(&format!("the watch ended early: {}", error_of(outcome)));
            Ok(Exit::Fine)
        }
        (End::Unreadable, false) => Err(Failure::new(Exit::Forbidden, error_of(outcome))),
        (End::Asked | End::ReceiverDropped, _) if outcome.health.loop_samples == 0 && outcome.found_no_loop => {
            note(&format!("no event loop ran in process {pid} while it was watched"));
            hint(&find_process::hint_of_below(pid).unwrap_or_else(|| {
                "a server's workers are separate processes: asyncprof doctor lists them".to_owned()
            }));
            Ok(Exit::Unsupported)
        }
        (End::Asked | End::ReceiverDropped, _) => {
            if outcome.health.loop_samples == 0 {
                note(&format!("the watch of process {pid} ended too soon to see an event loop"));
            }
            Ok(Exit::Fine)
        }
    }
}

/// Whether anything was read.
pub(crate) fn has_seen(outcome: &Outcome) -> bool {
    outcome.health.loop_samples + outcome.health.task_snapshots > 0
}

/// Why the watch ended.
pub(crate) fn error_of(outcome: &Outcome) -> String {
    outcome.error.clone().unwrap_or_else(|| "the process could no longer be read".into())
}
