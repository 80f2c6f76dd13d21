//! `asyncprof report`: what a recording holds. Reads it from its beginning to its end, once, and keeps what it adds up to.
//! It must not know the format of the file.

use super::args::{Color, ReportArgs, ReportFormat};
use super::output::{self, Destination};
use super::product::{self, Product};
use super::{Exit, Failure, replay};

pub(super) fn run(args: &ReportArgs, color: Color) -> Result<Exit, Failure> {
    let destination = Destination::check(&args.output, args.force)?;
    let format = match args.format {
        Some(format) => format,
        None => output::report_format_of(&args.output).unwrap_or(ReportFormat::Text),
    };
    let flame = super::args::FlameArgs::default();
    let replayed = replay::read(&args.file, args.stall, flame)?;
    product::write(Product::Report(format), &replayed, flame, &destination, color)?;
    Ok(Exit::Fine)
}
