//! `asyncprof export`: a recording for other tools. It must not know their formats.

use super::args::{Color, ExportArgs, ExportFormat};
use super::output::Destination;
use super::product::{self, Product, Style};
use super::{Exit, Failure, replay};

pub(super) fn run(args: &ExportArgs, color: Color) -> Result<Exit, Failure> {
    let destination = Destination::check(&args.output, args.force)?;
    let product = match args.format {
        Some(ExportFormat::Collapsed) => Product::Collapsed(args.flame.by),
        None => match Product::of_ending(&args.output, args.flame.by) {
            Some(product @ Product::Collapsed(_)) => product,
            _ => {
                return Err(
                    Failure::new(Exit::Usage, "for which tools?").hint("give -f collapsed, or -o a file.folded")
                );
            }
        },
    };
    let watched = replay::read(&args.file, None, args.flame)?;
    product::write(product, &watched, &destination, Style { color, limit: None })?;
    Ok(Exit::Fine)
}
