//! Follows a live watch to its end: what it sees goes to the analysis, to a recording, and to who watches the terminal. It
//! must not know which command asks.

use std::thread::Scope;

use crossbeam_channel::{Receiver, after, never, select, tick};

use super::args::{Color, WatchArgs};
use super::child::Child;
use super::live::{Live, REPAINT, Screen, Status};
use super::recording::Recording;
use super::signals::Signals;
use super::{Exit, Failure, hint, note, processes};
use crate::detect;
use crate::detect::analysis::Analysis;
use crate::detect::origin::find_culprit;
use crate::model::Snapshot;
use crate::model::event::{Batch, Event, Header, NoteKind};
use crate::model::snapshot::Finding;
use crate::render::escape::brief;
use crate::sampler::{End, Judged, Options, Outcome, Stop, Watch};

/// What the sampler is asked for.
pub(super) fn options(args: &WatchArgs, stop: &Stop) -> Options {
    Options {
        loop_rate_hz: args.rate,
        task_rate_hz: args.task_rate,
        stall_threshold: args.stall,
        cpu_budget: args.cpu_budget,
        blocking: args.blocking,
        judge: Some(std::sync::Arc::new(judge)),
        stop: stop.clone(),
        ..Options::default()
    }
}

/// Says what is watched, now that it is certain, and what becomes of it.
pub(super) fn announce(header: &Header, into: Option<&str>, ends_by_itself: bool) {
    let end = if ends_by_itself { "" } else { "; Ctrl-C ends it" };
    note(&format!("{} process {}{end}", verb(into), describe(header, into)));
}

/// The same of a process below the one that was asked for.
pub(super) fn announce_below(header: &Header, into: Option<&str>) {
    note(&format!("{} its subprocess {}", verb(into), describe(header, into)));
}

fn verb(into: Option<&str>) -> &'static str {
    if into.is_some() { "recording" } else { "watching" }
}

fn describe(header: &Header, into: Option<&str>) -> String {
    let into = into.map(|path| format!(" into {path}")).unwrap_or_default();
    let command = header.command.join(" ");
    format!("{} (CPython {}: {}){into}", header.pid, header.python, brief(&command, 120))
}

/// The findings of one look at everything, each with the frame to look at.
fn judge(snapshot: &Snapshot) -> Vec<Judged> {
    let site = |finding: &Finding| {
        let task = snapshot.task(*finding.tasks.first()?);
        find_culprit(snapshot, &task.stack).cloned()
    };
    detect::judge(snapshot).into_iter().map(|finding| Judged { site: site(&finding), finding }).collect()
}

/// Hands on who wants an end, on a thread of its own: to the child as long as there is one, else to the watch. It ends with
/// the child, else when `done` is closed.
pub(super) fn relay<'scope>(
    scope: &'scope Scope<'scope, '_>,
    signals: &'scope Signals,
    child: Option<&'scope Child>,
    stop: Stop,
    done: Receiver<()>,
) {
    scope.spawn(move || {
        let forever = never();
        let ended = child.map_or(&forever, |child| &child.ended);
        loop {
            select! {
                recv(signals.requests) -> request => match (child, request) {
                    (Some(child), Ok(request)) => child.hand_on(request),
                    _ => {
                        stop.ask();
                        signals.end_at_once_from_now_on();
                    }
                },
                recv(ended) -> _ => break stop.ask(),
                recv(done) -> _ => break,
            }
        }
    });
}

/// Who listens to a watch.
pub(super) struct Listeners {
    pub(super) analysis: Option<Analysis>,
    pub(super) recording: Option<Recording>,
    live: Live,
    /// Stalls are told as they happen.
    tells: bool,
    /// The terminal is somebody else's: nothing is said before the end.
    pub(super) quiet: bool,
    status: Status,
    /// A recording that cannot be written ends the watch.
    pub(super) recording_is_all: bool,
    /// Said once: the analysis cannot follow.
    confused: bool,
}

impl Listeners {
    /// Nobody but the terminal.
    pub(super) fn new(header: &Header, color: Color) -> Self {
        Self {
            analysis: None,
            recording: None,
            live: Live::new(header, color),
            tells: true,
            quiet: false,
            status: Status::new(header),
            recording_is_all: false,
            confused: false,
        }
    }

    /// An analysis that is told of when it is over.
    pub(super) fn silent(header: &Header, color: Color, analysis: Analysis) -> Self {
        Self { analysis: Some(analysis), tells: false, ..Self::new(header, color) }
    }

    /// Takes what is seen until the watch ends, at the latest after its `duration`.
    pub(super) fn follow(&mut self, watch: Watch, args: &WatchArgs) -> Outcome {
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

    /// The watch has said everything.
    pub(super) fn finish(&mut self, watch: Watch) -> Outcome {
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

    /// One of several: what it says names its process, and it knows who else uses the terminal.
    pub(super) fn join(&mut self, screen: &Screen, is_named: bool) {
        self.live.join(screen, is_named);
    }

    /// Takes what was seen.
    pub(super) fn take(&mut self, batch: &Batch, watch: &Watch) {
        if let Some(recording) = &mut self.recording {
            recording.append(batch);
            if self.recording_is_all && recording.is_given_up() {
                watch.stop();
            }
        }
        self.status.absorb(batch);
        for event in &batch.events {
            // How it ends is said at the end.
            if let Event::Note(happened) = event
                && !self.quiet
                && !matches!(happened.kind, NoteKind::Ended | NoteKind::Exited)
            {
                self.live.note(happened);
            }
        }
        let Some(analysis) = &mut self.analysis else { return };
        match analysis.absorb(batch) {
            Ok(alerts) if self.tells => alerts.iter().for_each(|alert| self.live.tell(alert)),
            Ok(_) => {}
            Err(error) if !self.confused => {
                self.confused = true;
                note(&format!("a part of what was seen is not counted: {error}"));
            }
            Err(_) => {}
        }
    }

    /// The share of the time that its busiest loop was busy.
    pub(super) fn busy_share(&self) -> Option<f64> {
        let loops = self.analysis.as_ref()?.profile().loops();
        loops.iter().filter_map(|one| one.busy_share()).max_by(f64::total_cmp)
    }

    /// Paints the line below the others; `before` is what else is to be in it.
    pub(super) fn repaint(&mut self, before: &str) {
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

/// What a watch that is over means for the exit code; says what is not as it should be.
pub(super) fn verdict(outcome: &Outcome, header: &Header) -> Result<Exit, Failure> {
    let pid = header.pid;
    let seen = outcome.health.loop_samples + outcome.health.task_snapshots > 0;
    match (outcome.end, seen) {
        (End::Failed, _) => Err(Failure::new(Exit::Own, error_of(outcome))
            .hint("this is a bug in asyncprof; please report it with the message above")),
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
        (End::Asked | End::ReceiverDropped, _) if outcome.health.loop_samples == 0 => {
            note(&format!("no event loop ran in process {pid} while it was watched"));
            hint(&processes::hint_of_below(pid).unwrap_or_else(|| {
                "a server's workers are processes of their own: asyncprof doctor lists them".to_owned()
            }));
            Ok(Exit::Unsupported)
        }
        (End::Asked | End::ReceiverDropped, _) => Ok(Exit::Fine),
    }
}

fn error_of(outcome: &Outcome) -> String {
    outcome.error.clone().unwrap_or_else(|| "nothing could be read any more".into())
}
