//! Options of everything that is made of stacks. Like all of `args` it must not know what the commands do.

use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};

/// What a flame graph shows.
#[derive(Clone, Copy, Debug, Args)]
pub(in crate::cli) struct FlameArgs {
    // First: whoever takes a value takes also where it came from.
    #[command(flatten)]
    pub(in crate::cli) said: Said,

    /// What the width of a flame graph means.
    #[arg(long, value_name = "WHAT", default_value = "run", env = "ASYNCPROF_BY")]
    pub(in crate::cli) by: ByName,

    /// Begin each stack with the thread of its event loop; normally the same stack in two threads is one.
    #[arg(short, long, env = "ASYNCPROF_THREADS", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) threads: bool,

    /// With --by run or wall, also show the time in which event loops are idle in their selectors.
    #[arg(short, long, env = "ASYNCPROF_IDLE", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) idle: bool,

    /// Keep digits in task names; normally Task-17 is Task-*.
    #[arg(long, env = "ASYNCPROF_FULL_TASK_NAMES", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) full_task_names: bool,
}

/// What the width of a flame graph means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ByName {
    /// Time that the event loop executes it.
    Run,
    /// Time that tasks wait there.
    Await,
    /// Both.
    Wall,
}

/// Which of the options stand on the command line itself: variables and settings are for many commands, and say nothing to
/// those that they do not concern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Said {
    pub(in crate::cli) by: bool,
    pub(in crate::cli) threads: bool,
    pub(in crate::cli) idle: bool,
}

impl FromArgMatches for Said {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let said = |option: &str| matches.value_source(option) == Some(ValueSource::CommandLine);
        Ok(Self { by: said("by"), threads: said("threads"), idle: said("idle") })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// It has no options of its own.
impl Args for Said {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}
