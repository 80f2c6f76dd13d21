//! `asyncprof.baseline/1`: good runs, to be committed with the program's source. Written with one run per line, so that
//! a diff of it is readable.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::run_json::RunJson;
use crate::detect::check::{Baseline, Fingerprint};
use crate::render::object::serializer;

/// The format's name and version.
const NAME: &str = "asyncprof.baseline";
const VERSION: u32 = 1;

/// LIMIT: runs of a baseline; far more than anyone makes.
const RUNS: usize = 1_000;

/// Why a file cannot be used as a baseline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaselineError {
    /// It is not a baseline at all.
    #[error("it is not a baseline of asyncprof: {0}")]
    Foreign(String),
    /// It was made by a later asyncprof.
    #[error("it is a baseline of version {0}, and this asyncprof knows up to {VERSION}")]
    Newer(u32),
    /// It was made by an asyncprof whose format is no longer supported.
    #[error("it is a baseline of version {0}, which this asyncprof no longer reads")]
    Older(u32),
    /// It was changed or cut off.
    #[error("it is a damaged baseline: {0}")]
    Broken(String),
    /// It contains no runs.
    #[error("there is no run in it")]
    Empty,
}

impl BaselineError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Newer(_) => "use the asyncprof that made it, or make a new one with --update",
            _ => "make a new one with: asyncprof check --update -- CMD",
        }
    }
}

#[derive(Serialize)]
struct HeadJson<'a> {
    schema: String,
    created_at: &'a str,
    fingerprint: &'a BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct SchemaJson {
    schema: String,
}

#[derive(Deserialize)]
struct BaselineJson {
    created_at: String,
    fingerprint: BTreeMap<String, String>,
    runs: Vec<RunJson>,
}

/// Writes a baseline.
pub fn write_baseline(baseline: &Baseline, out: &mut dyn Write) -> io::Result<()> {
    let head = HeadJson {
        schema: format!("{NAME}/{VERSION}"),
        created_at: &baseline.created_at,
        fingerprint: &baseline.fingerprint.0,
    };
    let head = serde_json::to_string_pretty(&head)?;
    // The runs come before the head's closing brace.
    write!(out, "{},\n  \"runs\": [", head.strip_suffix("\n}").unwrap_or(&head))?;
    for (index, run) in baseline.runs.iter().enumerate() {
        write!(out, "{}\n    ", if index == 0 { "" } else { "," })?;
        RunJson::of(run).serialize(&mut serializer(&mut *out))?;
    }
    writeln!(out, "\n  ]\n}}")
}

/// Reads a baseline.
///
/// # Errors
/// When it cannot be used.
pub fn parse_baseline(text: &[u8]) -> Result<Baseline, BaselineError> {
    let schema: SchemaJson = serde_json::from_slice(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Eof => BaselineError::Broken(error.to_string()),
        _ => BaselineError::Foreign(error.to_string()),
    })?;
    let version = schema.schema.strip_prefix(NAME).and_then(|rest| rest.strip_prefix('/')?.parse::<u32>().ok());
    match version {
        None => return Err(BaselineError::Foreign(format!("its schema is {:?}", schema.schema))),
        Some(VERSION) => {}
        Some(version) if version > VERSION => return Err(BaselineError::Newer(version)),
        Some(version) => return Err(BaselineError::Older(version)),
    }
    let read: BaselineJson = serde_json::from_slice(text).map_err(|error| BaselineError::Broken(error.to_string()))?;
    if read.runs.is_empty() {
        return Err(BaselineError::Empty);
    }
    Ok(Baseline {
        created_at: read.created_at,
        fingerprint: Fingerprint(read.fingerprint),
        runs: read.runs.iter().take(RUNS).map(RunJson::read).collect(),
    })
}
