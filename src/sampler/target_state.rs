//! What happens to the target process: it exits, executes another program, is stopped and continues, or the machine is
//! suspended. Takes observations and returns what has changed.

use crate::remote::kernel_thread::ThreadState;
use crate::remote::process::Presence;
use crate::remote::{Process, Program};

/// Shorter suspensions are ignored; the two clocks are not read at the same instant.
const MIN_SUSPENSION_NS: u64 = 10_000_000;

/// The state of the process at one moment, as far as it is visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    /// The id still belongs to this process, and it is not a zombie.
    pub(super) alive: bool,
    /// What stopped it.
    pub(super) stopped: Option<Stopper>,
    /// It still executes the program that it did when it was attached to; `None` if unknown.
    pub(super) same_program: Option<bool>,
}

/// What stopped a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopper {
    /// SIGSTOP, SIGTSTP, ...
    JobControl,
    /// A debugger.
    Tracer,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Exited,
    Executed,
    Stopped(Stopper),
    Continued,
    /// For this many nanoseconds.
    Suspended(u64),
}

/// Observes a process. `blocking`: asyncprof itself traces it.
pub(super) fn see(process: &Process, program: Option<&Program>, blocking: bool) -> Sight {
    let presence = process.presence();
    let state = match &presence {
        Presence::There(stat) => Some(ThreadState::from_letter(stat.state)),
        Presence::Gone | Presence::Unknown => None,
    };
    Sight {
        alive: presence != Presence::Gone,
        stopped: match state {
            Some(ThreadState::Stopped) => Some(Stopper::JobControl),
            Some(ThreadState::Traced) if !blocking => Some(Stopper::Tracer),
            _ => None,
        },
        same_program: program.and_then(|program| program.still_runs_in(process.living_thread())),
    }
}

/// The known state of the target.
#[derive(Clone, Debug)]
pub(super) struct TargetState {
    stopped: Option<Stopper>,
    exited: bool,
    executed: bool,
    suspended_ns: u64,
}

impl TargetState {
    /// A running process. `suspended_ns`: how long the machine had been suspended by now.
    pub(super) fn new(suspended_ns: u64) -> Self {
        Self { stopped: None, exited: false, executed: false, suspended_ns }
    }

    /// The current program is the one that was attached to.
    pub(super) fn attached(&mut self) {
        self.executed = false;
    }

    /// Takes in an observation. Each change is reported once.
    pub(super) fn update(&mut self, sight: &Sight, suspended_ns: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        if suspended_ns.saturating_sub(self.suspended_ns) >= MIN_SUSPENSION_NS {
            changes.push(Change::Suspended(suspended_ns - self.suspended_ns));
        }
        self.suspended_ns = suspended_ns;
        if !sight.alive {
            if !std::mem::replace(&mut self.exited, true) {
                changes.push(Change::Exited);
            }
            return changes;
        }
        if sight.same_program == Some(false) && !std::mem::replace(&mut self.executed, true) {
            changes.push(Change::Executed);
        }
        match (self.stopped, sight.stopped) {
            (None, Some(stopper)) => changes.push(Change::Stopped(stopper)),
            (Some(_), None) => changes.push(Change::Continued),
            _ => {}
        }
        self.stopped = sight.stopped;
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Sight = Sight { alive: true, stopped: None, same_program: Some(true) };

    fn after(sights: &[(Sight, u64)]) -> Vec<Change> {
        let mut state = TargetState::new(5_000_000_000);
        sights.iter().flat_map(|(sight, suspended)| state.update(sight, 5_000_000_000 + suspended)).collect()
    }

    #[test]
    fn nothing_happens_to_a_process_that_runs_on() {
        let unknown = Sight { same_program: None, ..FINE };
        assert_eq!(after(&[(FINE, 0), (unknown, 900_000), (FINE, 200_000), (FINE, 9_000_000)]), []);
    }

    #[test]
    fn a_stop_and_its_end_are_told_once() {
        let stopped = Sight { stopped: Some(Stopper::JobControl), ..FINE };
        let changes = after(&[(stopped.clone(), 0), (stopped.clone(), 0), (FINE, 0), (FINE, 0), (stopped, 0)]);
        let stop = Change::Stopped(Stopper::JobControl);
        assert_eq!(changes, [stop, Change::Continued, stop]);
    }

    #[test]
    fn a_suspension_is_told_with_its_length() {
        assert_eq!(
            after(&[(FINE, 0), (FINE, 3_000_000_000), (FINE, 3_000_000_000)]),
            [Change::Suspended(3_000_000_000)]
        );
    }

    #[test]
    fn an_exit_is_the_last_thing_that_is_told() {
        let gone = Sight { alive: false, stopped: None, same_program: None };
        assert_eq!(after(&[(gone.clone(), 0), (gone, 0)]), [Change::Exited]);
    }

    #[test]
    fn each_exec_is_told_once() {
        let mut state = TargetState::new(0);
        let other = Sight { same_program: Some(false), ..FINE };
        assert_eq!(state.update(&other, 0), [Change::Executed]);
        assert_eq!(state.update(&other, 0), []);
        state.attached();
        assert_eq!(state.update(&FINE, 0), []);
        assert_eq!(state.update(&other, 0), [Change::Executed]);
    }

    #[test]
    fn the_kernel_is_asked_about_stops_and_ends() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        let process = Process::open(pid.as_raw()).unwrap();
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
        // Waits for a notification, not for the end: the child is not reaped by it.
        let stopped = nix::sys::wait::WaitPidFlag::WUNTRACED;
        nix::sys::wait::waitpid(pid, Some(stopped)).unwrap();
        let sight = see(&process, None, false);
        assert_eq!(sight, Sight { alive: true, stopped: Some(Stopper::JobControl), same_program: None });
        child.kill().unwrap();
        let dead = nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT;
        nix::sys::wait::waitid(nix::sys::wait::Id::Pid(pid), dead).unwrap();
        assert!(!see(&process, None, false).alive, "a zombie has ended");
        child.wait().unwrap();
        assert!(!see(&process, None, false).alive);
    }
}
