//! `asyncprof report`: summarizes a recording, which is read once from beginning to end.

use crate::cli::failure::{Exit, Failure};
use crate::cli::input::args::watch::ReportArgs;
use crate::cli::input::formats::Writes;
use crate::cli::input::replay;
use crate::cli::output::artifact::{self, Style};
use crate::cli::output::destination::plan;
use crate::cli::terminal::Color;
use crate::profile::{By, Folding};

pub(crate) fn run(args: &ReportArgs, color: Color) -> Result<Exit, Failure> {
    let (format, destination) = plan(Writes::Report, args.format, &args.output, args.force)?;
    let watched = replay::read(&args.file, args.stall, Folding::default())?;
    artifact::write(format, &watched, &destination, Style { color, limit: args.limit, by: By::Run })?;
    Ok(Exit::Fine)
}
