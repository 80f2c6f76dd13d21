//! Where the result of a check goes: stdout, files by their endings, and the summary of a job. It must not know the formats.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{Exit, Failure, note};
use crate::cli::args::{CheckFormat, CheckOutputArgs, Color};
use crate::cli::output::{self, Destination};
use crate::render::Options;
use crate::render::check::{self, Check, Format};

/// GitHub Actions: the file that the job's summary is made of.
const SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// Places that were found fit to write to.
pub(super) struct Outputs {
    format: Format,
    files: Vec<(Format, Destination)>,
}

impl Outputs {
    /// Looks at all of them before any work is done.
    pub(super) fn check(args: &CheckOutputArgs) -> Result<Self, Failure> {
        let file = |path: &PathBuf| {
            let format = format_of(path).ok_or_else(|| {
                Failure::new(Exit::Usage, format!("what {} is to hold is not known by its ending", path.display()))
                    .hint("known are .txt .json .md .xml (JUnit) and .sarif; -f says what goes to stdout")
            })?;
            Ok((format, Destination::check(path, args.force)?))
        };
        Ok(Self { format: args.format.into(), files: args.output.iter().map(file).collect::<Result<_, Failure>>()? })
    }

    /// Writes the result everywhere.
    pub(super) fn write(&self, check: &Check<'_>, color: Color) -> Result<(), Failure> {
        for (format, destination) in &self.files {
            write(*format, check, destination, Color::Never)?;
        }
        append_summary(check);
        write(self.format, check, &Destination::Stdout, color)
    }
}

fn write(format: Format, check: &Check<'_>, destination: &Destination, color: Color) -> Result<(), Failure> {
    let options = Options { width: output::width(), color: destination.shows_color(color), ..Options::default() };
    destination.write(|out| check::write(format, check, &options, out))
}

/// A summary that cannot be written is said, and changes nothing: it is one of several outputs.
fn append_summary(check: &Check<'_>) {
    let Some(path) = std::env::var_os(SUMMARY).filter(|path| !path.is_empty()) else { return };
    let written = || -> std::io::Result<()> {
        let mut page = Vec::new();
        check::write(Format::Markdown, check, &Options::default(), &mut page)?;
        page.push(b'\n');
        OpenOptions::new().append(true).create(true).open(&path)?.write_all(&page)
    };
    if let Err(error) = written() {
        note(&format!("cannot write the job's summary to {}: {error}", Path::new(&path).display()));
    }
}

/// What a file's ending asks for.
fn format_of(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_str()?;
    if name.ends_with(".sarif.json") {
        return Some(Format::Sarif);
    }
    Some(match path.extension()?.to_str()? {
        "txt" => Format::Text,
        "json" => Format::Json,
        "md" => Format::Markdown,
        "xml" => Format::Junit,
        "sarif" => Format::Sarif,
        _ => return None,
    })
}

impl From<CheckFormat> for Format {
    fn from(format: CheckFormat) -> Self {
        match format {
            CheckFormat::Text => Self::Text,
            CheckFormat::Json => Self::Json,
            CheckFormat::Md => Self::Markdown,
            CheckFormat::Junit => Self::Junit,
            CheckFormat::Sarif => Self::Sarif,
            CheckFormat::Github => Self::Github,
        }
    }
}
