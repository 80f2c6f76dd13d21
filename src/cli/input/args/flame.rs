//! Options of everything that is made of stacks.

use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::choice::{BY, choice};
use crate::cli::input::formats::FlameOption;
use crate::profile::{By, Folding, Naming, Threads};

/// What a flame graph shows.
#[derive(Clone, Debug, Args)]
pub(crate) struct FlameArgs {
    // First: taking a value also takes its source.
    #[command(flatten)]
    pub(crate) given: Given,

    /// What the width of a flame graph means.
    #[arg(long, value_name = "WHAT", default_value = "run", env = "ASYNCPROF_BY", value_parser = choice(BY))]
    pub(crate) by: By,

    /// Begin each stack with the thread of its event loop; normally equal stacks of two threads are merged.
    #[arg(short, long, env = "ASYNCPROF_THREADS", value_parser = BoolishValueParser::new())]
    pub(crate) threads: bool,

    /// With --by run or wall, also show the time that event loops are idle.
    #[arg(short, long, env = "ASYNCPROF_IDLE", value_parser = BoolishValueParser::new())]
    pub(crate) idle: bool,

    /// Keep digits in task names; normally Task-17 is Task-*.
    #[arg(long, env = "ASYNCPROF_FULL_TASK_NAMES", value_parser = BoolishValueParser::new())]
    pub(crate) full_task_names: bool,
}

impl FlameArgs {
    /// How stacks are distinguished.
    pub(crate) fn folding(&self) -> Folding {
        Folding {
            naming: if self.full_task_names { Naming::Full } else { Naming::Folded },
            threads: if self.threads { Threads::Each } else { Threads::Merged },
            idle: self.idle,
        }
    }

    /// The same for a comparison, which mostly is of two processes: their threads have different ids.
    pub(crate) fn folding_to_compare(&self) -> Folding {
        Folding { threads: if self.threads { Threads::Named } else { Threads::Merged }, ..self.folding() }
    }
}

/// The options given on the command line itself. Variables and settings are for many commands, and are ignored where they
/// have no effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Given(pub(crate) Vec<FlameOption>);

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let all = [("by", FlameOption::By), ("threads", FlameOption::Threads), ("idle", FlameOption::Idle)];
        let given = all.into_iter().filter(|(name, _)| matches.value_source(name) == Some(ValueSource::CommandLine));
        Ok(Self(given.map(|(_, option)| option).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// It has no options of its own.
impl Args for Given {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}
