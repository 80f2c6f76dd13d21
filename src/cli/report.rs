//! `asyncprof report`: what a recording holds. Reads it from its beginning to its end, once, and keeps what it adds up to.
//! It must not know the format of the file.

use super::args::{ByName, Color, ReportArgs, ReportFormat};
use super::output::Destination;
use super::product::{self, Product, Style};
use super::{Exit, Failure, replay};
use crate::profile::Folding;

pub(super) fn run(args: &ReportArgs, color: Color) -> Result<Exit, Failure> {
    let destination = Destination::check(&args.output, args.force)?;
    if args.format.is_none() && product::export_of_ending(&args.output).is_some() {
        return Err(Failure::new(Exit::Usage, format!("{} would not be a report", args.output.display()))
            .hint("asyncprof export writes files for other tools"));
    }
    let format = match (args.format, Product::of_ending(&args.output, ByName::Run)) {
        (Some(format), _) | (None, Some(Product::Report(format))) => format,
        (None, _) => ReportFormat::Text,
    };
    product::check_terminal(format, &destination)?;
    let watched = replay::read(&args.file, args.stall, Folding::default())?;
    product::write(Product::Report(format), &watched, &destination, Style { color, limit: args.limit })?;
    Ok(Exit::Fine)
}
