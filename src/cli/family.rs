//! A process that is watched, and with `-s` those below it too: who belongs to it comes and goes, and each has listeners of its
//! own. A process alone is a family of one. It must not know what the listeners make of what is seen.

use std::io::{self, IsTerminal as _};
use std::time::Instant;

use crossbeam_channel::{Receiver, Select, after, never, tick};

use super::args::WatchArgs;
use super::live::{REPAINT, Screen};
use super::watching::{self, Listeners};
use super::{Exit, Failure, note, processes};
use crate::model::event::{Batch, Header};
use crate::sampler::{self, End, MAX_WATCHES, NewProcess, Options, Outcome, Stop, Watch};

/// One that is or was watched.
pub(super) struct Member {
    pub(super) header: Header,
    pub(super) listeners: Listeners,
    /// Not the one that was asked for, but below it.
    pub(super) is_below: bool,
    /// `None` when it is over.
    watch: Option<Watch>,
    outcome: Option<Outcome>,
}

impl Member {
    /// How its watch ended, once it has.
    pub(super) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Whether an event loop was seen in it.
    pub(super) fn has_samples(&self) -> bool {
        self.outcome.as_ref().is_some_and(|outcome| outcome.health.loop_samples > 0)
    }
}

/// Who makes the listeners of those that arrive.
pub(super) trait Host {
    /// Listeners for one that arrives; `None` when it is not to be watched, and that was said. `again` when an earlier process
    /// had the same id. A failure ends everything.
    fn welcome(&mut self, header: &Header, is_below: bool, again: bool) -> Result<Option<Listeners>, Failure>;
}

/// Who is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) pid: i32,
    /// Those below it too.
    pub(super) subprocesses: bool,
    /// It is our own child, whose terminal this is too: it is waited for, and nothing is said before the end.
    pub(super) is_ours: bool,
}

/// Watches until nobody is left to watch, or until it is to stop.
pub(super) fn watch(wanted: Wanted, how: &WatchArgs, stop: &Stop, host: &mut dyn Host) -> Result<Vec<Member>, Failure> {
    let options = Options { wait_for_python: wanted.is_ours, ..watching::options(how, stop) };
    let mut family =
        Family { wanted, stop, host, members: Vec::new(), arrivals: never(), failure: None, screen: Screen::default() };
    if wanted.subprocesses {
        family.arrivals = sampler::follow(wanted.pid, &options)
            .map_err(|error| Failure::new(Exit::Own, format!("cannot start a thread: {error}")))?;
    } else {
        let watch = sampler::start(wanted.pid, &options).map_err(|error| processes::failure_of(wanted.pid, error))?;
        family.join(watch, false)?;
    }
    if let Err(failure) = family.follow(how) {
        // Nobody is to look for others any more.
        stop.ask();
        return Err(failure);
    }
    match family.failure {
        Some(failure) if !family.members.iter().any(Member::has_samples) => Err(failure),
        Some(failure) => {
            note(&format!("process {} itself was not watched: {}", wanted.pid, failure.message));
            Ok(family.members)
        }
        None => Ok(family.members),
    }
}

/// What their watches together mean for the exit code; says what is not as it should be.
pub(super) fn verdict(members: &[Member]) -> Result<Exit, Failure> {
    let below_seen = members.iter().any(|member| member.is_below && member.has_samples());
    let mut exit = Exit::Fine;
    for member in members {
        let Some(outcome) = &member.outcome else { continue };
        let is_telling = !member.is_below && (member.has_samples() || !below_seen);
        if is_telling || outcome.end == End::Failed {
            exit = watching::verdict(outcome, &member.header)?;
        } else if !member.is_below {
            note(&format!("process {} has no event loop of its own: the others are below it", member.header.pid));
        }
    }
    Ok(exit)
}

struct Family<'a> {
    wanted: Wanted,
    stop: &'a Stop,
    host: &'a mut dyn Host,
    members: Vec<Member>,
    /// Those that are still to come.
    arrivals: Receiver<NewProcess>,
    /// Why the one that was asked for is not watched.
    failure: Option<Failure>,
    screen: Screen,
}

/// What there is to do next.
enum Next {
    Take(usize, Batch),
    /// This one has said everything.
    End(usize),
    NewProcess(NewProcess),
    NobodyElse,
    Stop,
    Repaint,
}

impl Family<'_> {
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
                Next::NobodyElse => {
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
            index if index == arrival => ready.recv(&self.arrivals).map_or(Next::NobodyElse, Next::NewProcess),
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
            NewProcess::Main(Ok(watch)) => self.join(watch, false),
            NewProcess::Below(watch) => self.join(watch, true),
            NewProcess::Main(Err(error)) => {
                let failure = Failure::from(error);
                let is_alone = self.members.is_empty() && processes::below(self.wanted.pid).is_empty();
                if is_alone && !self.wanted.is_ours {
                    // Nobody is there who could become a reason to wait.
                    return Err(failure);
                }
                self.failure = Some(failure);
                Ok(())
            }
            NewProcess::Refused(pid, error) => {
                // A program of another user, most likely, that is nothing to us.
                if processes::is_python(pid) {
                    note(&format!("the subprocess {pid} is not watched: {error}"));
                }
                Ok(())
            }
            NewProcess::TooMany => {
                note(&format!("no more than {MAX_WATCHES} processes are watched at once: some subprocesses are not"));
                Ok(())
            }
        }
    }

    fn join(&mut self, watch: Watch, is_below: bool) -> Result<(), Failure> {
        let header = watch.header.clone();
        let again = self.members.iter().any(|member| member.header.pid == header.pid);
        let Some(mut listeners) = self.host.welcome(&header, is_below, again)? else { return Ok(()) };
        listeners.join(&self.screen, self.wanted.subprocesses);
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

    /// One line for all; the busiest stands for them.
    fn repaint(&mut self) {
        let watched = self.members.iter().filter(|member| member.watch.is_some()).count();
        let busy = |member: &&mut Member| member.listeners.busy_share().unwrap_or(0.0);
        let candidates = self.members.iter_mut().filter(|member| member.watch.is_some());
        let busiest = candidates.max_by(|one, other| busy(one).total_cmp(&busy(other)));
        if let Some(member) = busiest {
            member.listeners.repaint(&if watched > 1 { format!("{watched} processes; ") } else { String::new() });
        }
    }
}
