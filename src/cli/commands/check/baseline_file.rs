//! The file with the baseline of a check.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::cli::failure::{Exit, Failure, note};
use crate::cli::input::args::check::CheckArgs;
use crate::cli::input::units::counted;
use crate::cli::output::destination::Destination;
use crate::detect::check::{Baseline, Difference, Fingerprint, Run};
use crate::render::check::{BaselineError, parse_baseline, write_baseline};

/// The default file.
const DEFAULT: &str = "asyncprof.baseline.json";

/// The baseline of a check, if it has one.
pub(crate) struct BaselineFile {
    path: PathBuf,
    kept: Option<Baseline>,
}

impl BaselineFile {
    /// Reads it before any work is done. If it is to be written, an existing file must be a baseline, or --force given.
    pub(crate) fn open(args: &CheckArgs) -> Result<Self, Failure> {
        let comparison = &args.comparison;
        let path = comparison.baseline.clone().unwrap_or_else(|| DEFAULT.into());
        // These compare with something else.
        if comparison.base_cmd.is_some() || comparison.self_test.is_some() {
            return Ok(Self { path, kept: None });
        }
        let read = read(&path);
        if comparison.update {
            Destination::check(&path, true)?;
            let is_foreign = matches!(&read, Ok(Err(BaselineError::Foreign(_))));
            if is_foreign && !args.output.force {
                return Err(Failure::usage(format!("{} exists and is not a baseline", path.display()))
                    .hint("choose another name with --baseline, or overwrite it with --force"));
            }
            return Ok(Self { path, kept: None });
        }
        match read {
            Ok(Ok(kept)) => Ok(Self { path, kept: Some(kept) }),
            Ok(Err(error)) => Err(Failure::new(Exit::BadFile, error.to_string()).hint(error.hint()).about(&path)),
            // The default file is optional.
            Err(error) if error.kind() == ErrorKind::NotFound && comparison.baseline.is_none() => {
                Ok(Self { path, kept: None })
            }
            Err(error) => Err(Failure::new(Exit::BadFile, format!("cannot be read: {error}"))
                .hint("make one with: asyncprof check --update -- CMD")
                .about(&path)),
        }
    }

    /// Whether there is one to compare with.
    pub(crate) fn is_used(&self) -> bool {
        self.kept.is_some()
    }

    /// The earlier runs.
    pub(crate) fn kept(&self) -> Option<&Baseline> {
        self.kept.as_ref()
    }

    /// What differs from the baseline's environment.
    pub(crate) fn differences(&self, now: &Fingerprint, runs: &[Run]) -> Vec<Difference> {
        self.kept.as_ref().map(|kept| kept.differences(now, runs)).unwrap_or_default()
    }

    /// Saves the runs, if all of them are good.
    pub(crate) fn update(&self, runs: &[Run], fingerprint: &Fingerprint) -> Result<(), Failure> {
        if runs.iter().any(|run| run.problem.is_some() || run.samples == 0) {
            note(&format!("{} was not written: not every run succeeded with samples", self.path.display()));
            return Ok(());
        }
        let baseline = Baseline {
            created_at: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            fingerprint: fingerprint.clone(),
            runs: runs.to_vec(),
        };
        Destination::check(&self.path, true)?.write(|out| write_baseline(&baseline, out))?;
        note(&format!(
            "{} holds {} now; check without --update compares with this baseline",
            self.path.display(),
            counted(runs.len() as u64, "run")
        ));
        Ok(())
    }
}

fn read(path: &Path) -> Result<Result<Baseline, BaselineError>, std::io::Error> {
    Ok(parse_baseline(&fs::read(path)?))
}
