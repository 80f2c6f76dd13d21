//! `asyncprof diff`: how one recording differs from another.

use crate::cli::failure::{Exit, Failure};
use crate::cli::input::args::diff::DiffArgs;
use crate::cli::input::formats::{Writer, Writes};
use crate::cli::input::replay::{self, Watched};
use crate::cli::output::destination::plan;
use crate::cli::terminal::Color;
use crate::detect::difference::{Difference, Watch};
use crate::profile::Folding;
use crate::render::difference::Comparison;

pub(crate) fn run(args: &DiffArgs, color: Color) -> Result<Exit, Failure> {
    let (format, destination) = plan(Writes::Diff, args.format, &args.output, args.force)?;
    let Writer::Difference(write) = format.writer else { return Err(format.misplaced()) };
    replay::check_both(&args.base, &args.head)?;
    let base = replay::read(&args.base, args.stall, Folding::default())?;
    let head = replay::read(&args.head, args.stall, Folding::default())?;
    let (base, head) = (watch(&base), watch(&head));
    let difference = Difference::between(&base, &head);
    let (base_name, head_name) = (args.base.display().to_string(), args.head.display().to_string());
    let comparison = Comparison { base, base_name: &base_name, head, head_name: &head_name, difference: &difference };
    destination.write(|out| write(&comparison, &destination.options(color, args.limit), out))?;
    Ok(Exit::Fine)
}

fn watch(watched: &Watched) -> Watch<'_> {
    Watch { analysis: &watched.analysis, complete: watched.complete }
}
