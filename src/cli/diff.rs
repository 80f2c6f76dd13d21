//! `asyncprof diff`: how one recording differs from another. It must not know the format of the files, nor how they are
//! compared.

use super::args::{Color, DiffArgs, DiffFormat};
use super::output::{self, Destination};
use super::product::Watched;
use super::{Exit, Failure, replay};
use crate::detect::difference::{Difference, Watch};
use crate::profile::Folding;
use crate::render;
use crate::render::difference::{self, Comparison, Format};

pub(super) fn run(args: &DiffArgs, color: Color) -> Result<Exit, Failure> {
    let destination = Destination::check(&args.output, args.force)?;
    let format = args.format.or_else(|| of_ending(args)).unwrap_or(DiffFormat::Text);
    replay::check_both(&args.base, &args.head)?;
    let base = replay::read(&args.base, args.stall, Folding::default())?;
    let head = replay::read(&args.head, args.stall, Folding::default())?;
    let (base, head) = (watch(&base), watch(&head));
    let difference = Difference::between(&base, &head);
    let (base_name, head_name) = (args.base.display().to_string(), args.head.display().to_string());
    let comparison = Comparison { base, base_name: &base_name, head, head_name: &head_name, difference: &difference };
    let options = render::Options {
        limit: args.limit,
        width: output::width(),
        color: destination.shows_color(color),
        ..render::Options::default()
    };
    destination.write(|out| difference::write(format.into(), &comparison, &options, out))?;
    Ok(Exit::Fine)
}

fn watch(watched: &Watched) -> Watch<'_> {
    Watch { analysis: &watched.analysis, complete: watched.complete }
}

fn of_ending(args: &DiffArgs) -> Option<DiffFormat> {
    match args.output.extension()?.to_str()? {
        "txt" => Some(DiffFormat::Text),
        "json" => Some(DiffFormat::Json),
        "md" => Some(DiffFormat::Md),
        _ => None,
    }
}

impl From<DiffFormat> for Format {
    fn from(format: DiffFormat) -> Self {
        match format {
            DiffFormat::Text => Self::Text,
            DiffFormat::Json => Self::Json,
            DiffFormat::Md => Self::Markdown,
        }
    }
}
