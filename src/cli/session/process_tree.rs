//! The watched process, and with `-s` its subprocesses: processes come and go, each with listeners of its own. A single process
//! is a tree of one.

use std::io::{self, IsTerminal as _};
use std::time::Instant;

use crossbeam_channel::{Receiver, Select, after, never, tick};

use super::watch_session::{self, Listeners};
use crate::cli::failure::{Exit, Failure, note};
use crate::cli::input::args::watch::WatchArgs;
use crate::cli::input::find_process;
use crate::cli::output::live::Screen;
use crate::cli::terminal::REPAINT;
use crate::model::event::{Batch, Header};
use crate::sampler::{self, End, MAX_WATCHES, NewProcess, Options, Outcome, Stop, Watch};

/// A process that is or was watched.
pub(crate) struct Member {
    pub(crate) header: Header,
    pub(crate) listeners: Listeners,
    /// A subprocess of the selected process.
    pub(crate) is_below: bool,
    /// `None` when it is over.
    watch: Option<Watch>,
    outcome: Option<Outcome>,
}

impl Member {
    /// How its watch ended, once it has.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Whether an event loop was seen in it.
    pub(crate) fn has_samples(&self) -> bool {
        self.outcome.as_ref().is_some_and(|outcome| outcome.health.loop_samples > 0)
    }

    /// Removes its recording, in which nothing was seen.
    pub(crate) fn discard_recording(&mut self) {
        if let Some(recording) = self.listeners.recording.take() {
            recording.discard();
        }
    }
}

/// A process that can be watched now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attached<'a> {
    pub(crate) header: &'a Header,
    /// A subprocess of the selected process.
    pub(crate) is_below: bool,
    /// An earlier process of this watch had the same id.
    pub(crate) again: bool,
}

/// Makes the listeners of a process; `None`, and a note, if it is not to be watched. A failure ends the whole watch.
pub(crate) type OnAttach<'a> = &'a mut dyn FnMut(Attached<'_>) -> Result<Option<Listeners>, Failure>;

/// What to watch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) pid: i32,
    pub(crate) subprocesses: bool,
    /// It is our child and shares the terminal: Python is waited for, and nothing is printed before the end.
    pub(crate) is_ours: bool,
}

/// Watches until no process is left to watch, or until it is stopped.
pub(crate) fn watch(
    wanted: Wanted,
    how: &WatchArgs,
    stop: &Stop,
    on_attach: OnAttach<'_>,
) -> Result<Vec<Member>, Failure> {
    let options = Options { wait_for_python: wanted.is_ours, ..watch_session::options(how, stop) };
    let (members, arrivals, screen) = (Vec::new(), never(), Screen::default());
    let mut tree = ProcessTree { wanted, stop, on_attach, members, arrivals, failure: None, screen };
    if wanted.subprocesses {
        tree.arrivals = sampler::follow(wanted.pid, &options)
            .map_err(|error| Failure::internal(format!("cannot start a thread: {error}")))?;
    } else {
        let watch =
            sampler::start(wanted.pid, &options).map_err(|error| find_process::failure_of(wanted.pid, error))?;
        tree.add(watch, false)?;
    }
    if let Err(failure) = tree.follow(how) {
        // Ends the search for further subprocesses.
        stop.ask();
        return Err(failure);
    }
    match tree.failure {
        Some(failure) if !tree.members.iter().any(Member::has_samples) => Err(failure),
        Some(failure) => {
            note(&format!("process {} itself was not watched: {}", wanted.pid, failure.message));
            Ok(tree.members)
        }
        None => Ok(tree.members),
    }
}

/// The exit code that all watches together amount to; notes what went wrong.
pub(crate) fn verdict(members: &[Member]) -> Result<Exit, Failure> {
    let below_seen = members.iter().any(|member| member.is_below && member.has_samples());
    let mut exit = Exit::Fine;
    for member in members {
        let Some(outcome) = &member.outcome else { continue };
        let is_decisive = !member.is_below && (member.has_samples() || !below_seen);
        if is_decisive || outcome.end == End::Failed {
            exit = watch_session::verdict(outcome, &member.header)?;
        } else if !member.is_below {
            note(&format!("process {} has no event loop of its own, but its subprocesses have", member.header.pid));
        }
    }
    Ok(exit)
}

struct ProcessTree<'a> {
    wanted: Wanted,
    stop: &'a Stop,
    on_attach: OnAttach<'a>,
    members: Vec<Member>,
    /// Processes yet to come.
    arrivals: Receiver<NewProcess>,
    /// Why the selected process is not watched.
    failure: Option<Failure>,
    screen: Screen,
}

/// What to do next.
enum Next {
    Take(usize, Batch),
    /// This member's watch is over.
    End(usize),
    NewProcess(NewProcess),
    NoMoreArrivals,
    Stop,
    Repaint,
}

impl ProcessTree<'_> {
    fn follow(&mut self, how: &WatchArgs) -> Result<(), Failure> {
        let mut time_is_over = how.duration.map_or_else(never, after);
        let is_painted = !self.wanted.is_ours && io::stderr().is_terminal();
        let repaint = if is_painted { tick(REPAINT) } else { never() };
        let mut may_grow = self.wanted.subprocesses;
        while may_grow || self.members.iter().any(|member| member.watch.is_some()) {
            match self.next(&time_is_over, &repaint) {
                Next::Take(position, batch) => {
                    let member = &mut self.members[position];
                    if let Some(watch) = &member.watch {
                        member.listeners.take(&batch, watch);
                    }
                }
                Next::End(position) => self.end(position),
                Next::NewProcess(arrival) => self.receive(arrival)?,
                Next::NoMoreArrivals => {
                    may_grow = false;
                    self.arrivals = never();
                }
                Next::Stop => {
                    time_is_over = never();
                    self.stop.ask();
                }
                Next::Repaint => self.repaint(),
            }
        }
        Ok(())
    }

    fn next(&self, time_is_over: &Receiver<Instant>, repaint: &Receiver<Instant>) -> Next {
        let watched = |member: &Member| member.watch.is_some();
        let positions: Vec<usize> = (0..self.members.len()).filter(|&at| watched(&self.members[at])).collect();
        let batches: Vec<&Receiver<Batch>> =
            self.members.iter().filter_map(|member| Some(&member.watch.as_ref()?.batches)).collect();
        let mut select = Select::new();
        for batches in &batches {
            select.recv(batches);
        }
        let arrival = select.recv(&self.arrivals);
        let over = select.recv(time_is_over);
        select.recv(repaint);
        let ready = select.select();
        match ready.index() {
            index if index < arrival => match ready.recv(batches[index]) {
                Ok(batch) => Next::Take(positions[index], batch),
                Err(_) => Next::End(positions[index]),
            },
            index if index == arrival => ready.recv(&self.arrivals).map_or(Next::NoMoreArrivals, Next::NewProcess),
            index if index == over => {
                let _ = ready.recv(time_is_over);
                Next::Stop
            }
            _ => {
                let _ = ready.recv(repaint);
                Next::Repaint
            }
        }
    }

    fn receive(&mut self, arrival: NewProcess) -> Result<(), Failure> {
        match arrival {
            NewProcess::Main(Ok(watch)) => self.add(watch, false)?,
            NewProcess::Below(watch) => self.add(watch, true)?,
            NewProcess::Main(Err(error)) => {
                let failure = Failure::from(error);
                let is_alone = self.members.is_empty() && find_process::below(self.wanted.pid).is_empty();
                if is_alone && !self.wanted.is_ours {
                    // There is no subprocess to wait for.
                    return Err(failure);
                }
                self.failure = Some(failure);
            }
            // A subprocess that is no Python, mostly of another user, is irrelevant.
            NewProcess::Refused(pid, error) if find_process::is_python(pid) => {
                note(&format!("the subprocess {pid} is not watched: {error}"));
            }
            NewProcess::Refused(..) => {}
            NewProcess::TooMany => {
                note(&format!("at most {MAX_WATCHES} processes are watched at once: some subprocesses are left out"));
            }
        }
        Ok(())
    }

    fn add(&mut self, watch: Watch, is_below: bool) -> Result<(), Failure> {
        let header = watch.header.clone();
        let again = self.members.iter().any(|member| member.header.pid == header.pid);
        let attached = Attached { header: &header, is_below, again };
        let Some(mut listeners) = (self.on_attach)(attached)? else { return Ok(()) };
        listeners.share(&self.screen, self.wanted.subprocesses);
        self.members.push(Member { header, listeners, is_below, watch: Some(watch), outcome: None });
        Ok(())
    }

    fn end(&mut self, position: usize) {
        let member = &mut self.members[position];
        let Some(watch) = member.watch.take() else { return };
        let outcome = member.listeners.finish(watch);
        if member.is_below && !self.wanted.is_ours {
            let pid = member.header.pid;
            match (outcome.end, &outcome.error) {
                (End::Exited, _) => note(&format!("the subprocess {pid} has exited")),
                (End::Unreadable, Some(error)) => note(&format!("the watch of {pid} ended early: {error}")),
                _ => {}
            }
        }
        member.outcome = Some(outcome);
    }

    /// One line for all, about the busiest.
    fn repaint(&mut self) {
        let watched = self.members.iter().filter(|member| member.watch.is_some()).count();
        let busy = |member: &&mut Member| member.listeners.busy_share().unwrap_or(0.0);
        let candidates = self.members.iter_mut().filter(|member| member.watch.is_some());
        let busiest = candidates.max_by(|a, b| busy(a).total_cmp(&busy(b)));
        if let Some(member) = busiest {
            member.listeners.repaint(&if watched > 1 { format!("{watched} processes; ") } else { String::new() });
        }
    }
}
