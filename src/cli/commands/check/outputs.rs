//! Where the result of a check goes: stdout, files by their endings, and the job summary.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::cli::failure::{Failure, note};
use crate::cli::input::args::check::CheckOutputArgs;
use crate::cli::input::formats::{Format, Writer, Writes};
use crate::cli::output::destination::Destination;
use crate::cli::terminal::Color;
use crate::render::check::{self, Check};

/// GitHub Actions: the file that the job summary is made of.
const SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// Places that were checked.
pub(crate) struct Outputs {
    files: Vec<(&'static Format, Destination)>,
    format: &'static Format,
}

impl Outputs {
    /// Checks all places before any work is done.
    pub(crate) fn check(args: &CheckOutputArgs) -> Result<Self, Failure> {
        let file = |path: &PathBuf| {
            let format = Writes::Check.by_ending(path).ok_or_else(|| Writes::Check.unknown_ending(path))?;
            Ok((format, Destination::check(path, args.force)?))
        };
        Ok(Self { files: args.output.iter().map(file).collect::<Result<_, Failure>>()?, format: args.format })
    }

    pub(crate) fn write(&self, check: &Check<'_>, color: Color) -> Result<(), Failure> {
        for (format, destination) in &self.files {
            write(format, check, destination, Color::Never)?;
        }
        append_summary(check);
        write(self.format, check, &Destination::Stdout, color)
    }
}

fn write(format: &Format, check: &Check<'_>, destination: &Destination, color: Color) -> Result<(), Failure> {
    let Writer::Check(write) = format.writer else { return Err(format.misplaced()) };
    destination.write(|out| write(check, &destination.options(color, None), out))
}

/// A summary that cannot be written is noted, and changes nothing: it is one of several outputs.
fn append_summary(check: &Check<'_>) {
    let Some(path) = std::env::var_os(SUMMARY).filter(|path| !path.is_empty()) else { return };
    let written = || -> std::io::Result<()> {
        let mut page = Vec::new();
        check::write_markdown(check, &mut page)?;
        page.push(b'\n');
        OpenOptions::new().append(true).create(true).open(&path)?.write_all(&page)
    };
    if let Err(error) = written() {
        note(&format!("cannot write the job's summary to {}: {error}", Path::new(&path).display()));
    }
}
