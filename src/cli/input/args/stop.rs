//! Options for stopping a process while it is read.

use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use crate::cli::input::units::{parse_stop, parse_stop_share};
use crate::sampler::StopLimits;

/// Whether to stop the process, for each sample, and how much.
#[derive(Clone, Debug, Args)]
pub(crate) struct StopArgs {
    /// Stop the process for each sample: samples are consistent for certain, and the process is slower.
    ///
    /// No signal is lost, but system calls that the process waits in can end with EINTR. Python repeats them; a C extension
    /// may not.
    #[arg(long, env = "ASYNCPROF_BLOCKING", value_parser = BoolishValueParser::new())]
    pub(crate) blocking: bool,

    /// With --blocking, the longest time to stop the process at once; the rest of a sample is read while it runs.
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = parse_stop, env = "ASYNCPROF_MAX_STOP")]
    max_stop: Duration,

    /// With --blocking, the share of the time for which to stop the process at most; rates are lowered to keep to it.
    #[arg(long, value_name = "SHARE", default_value = "10%", value_parser = parse_stop_share, env = "ASYNCPROF_MAX_STOP_SHARE")]
    max_stop_share: f64,
}

impl StopArgs {
    /// How to stop the process; `None`: not at all.
    pub(crate) fn limits(&self) -> Option<StopLimits> {
        self.blocking.then_some(StopLimits { longest: self.max_stop, share: self.max_stop_share })
    }
}
