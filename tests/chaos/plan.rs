//! What happens in a run: which command watches, and what is done to it and to its target meanwhile.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::dice::Dice;
use crate::process::ignores_hangup;

/// Which command of asyncprof watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Attach,
    Record,
    /// `record -s PID`.
    RecordTree,
    /// `record -- CMD`.
    RecordProgram,
    Dump,
}

/// The kind of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) command: Command,
    pub(crate) blocking: bool,
}

const COMMANDS: [Command; 5] =
    [Command::Attach, Command::Record, Command::RecordTree, Command::RecordProgram, Command::Dump];

impl Kind {
    /// Seeds that follow each other give each kind on each of so many interpreters.
    pub(crate) fn of(seed: u64, interpreters: u64) -> Self {
        let position = (seed / interpreters).wrapping_add(seed % interpreters) % (2 * COMMANDS.len() as u64);
        let position = usize::try_from(position).unwrap();
        Self { command: COMMANDS[position / 2], blocking: position % 2 == 1 }
    }

    pub(crate) fn name(self) -> String {
        let command = match self.command {
            Command::Attach => "attach",
            Command::Record => "record",
            Command::RecordTree => "record_tree",
            Command::RecordProgram => "record_command",
            Command::Dump => "dump",
        };
        format!("{command}{}", if self.blocking { "_blocking" } else { "" })
    }
}

/// What is done to asyncprof at a random moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// It ends by itself: by `--duration`, or after its target.
    Nothing,
    /// It is killed.
    Kill,
    /// It is asked to end, by SIGINT, SIGTERM or SIGHUP.
    Ask(Signal),
    /// It is suspended by SIGSTOP or SIGTSTP, goes on, and is asked to end.
    Suspend(Signal),
    /// Its target is suspended, and goes on.
    SuspendTarget(Signal),
    /// Its target is killed.
    KillTarget,
}

const DEEDS: [Deed; 12] = [
    Deed::Nothing,
    Deed::Kill,
    Deed::Kill,
    Deed::Kill,
    Deed::Ask(Signal::SIGINT),
    Deed::Ask(Signal::SIGTERM),
    Deed::Ask(Signal::SIGHUP),
    Deed::Suspend(Signal::SIGSTOP),
    Deed::Suspend(Signal::SIGTSTP),
    Deed::SuspendTarget(Signal::SIGSTOP),
    Deed::SuspendTarget(Signal::SIGTSTP),
    Deed::KillTarget,
];

/// One watch of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) deed: Deed,
    /// From the start of asyncprof to the deed.
    pub(crate) delay: Duration,
    /// How long who is suspended stays so.
    pub(crate) pause: Duration,
    /// The share of the time that the target may be stopped.
    pub(crate) share: &'static str,
}

/// A third of the deeds come while asyncprof starts.
const START: Duration = Duration::from_millis(100);
const WATCH: Duration = Duration::from_millis(900);
const PAUSE: Duration = Duration::from_millis(150);

impl Plan {
    pub(crate) fn of(dice: &mut Dice) -> Self {
        Self {
            deed: match dice.one_of(&DEEDS) {
                Deed::Ask(Signal::SIGHUP) if ignores_hangup() => Deed::Ask(Signal::SIGTERM),
                deed => deed,
            },
            delay: {
                let longest = dice.one_of(&[START, WATCH, WATCH]);
                dice.up_to(longest)
            },
            pause: dice.up_to(PAUSE),
            share: dice.one_of(&["10%", "50%", "90%"]),
        }
    }
}
