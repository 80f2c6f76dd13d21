//! Source lines for the HTML report, from the files that a recording names.
//!
//! The names come from the target, and a recording can come from anybody: only ordinary files of limited size with the ending of
//! Python source are opened.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use nix::fcntl::OFlag;

use crate::render::report::Report;
use crate::render::report::html::{Excerpt, Sources, Wanted, wanted};

/// LIMIT: bytes of a file. Hand-written source is smaller.
const MAX_BYTES: u64 = 4 << 20;
/// LIMIT: files that are opened.
const MAX_FILES: usize = 200;
/// File endings of Python source.
const ENDINGS: [&str; 3] = ["py", "pyx", "pyw"];

/// A file as it is now.
struct Source {
    text: String,
    changed_at: Option<Timestamp>,
}

/// The source lines that a report would show, as far as they can be read.
pub(crate) fn read(report: &Report<'_>) -> Sources {
    let began_at = report.analysis.header().started_at.parse::<Timestamp>().ok();
    let mut sources = Sources::default();
    let mut files: HashMap<Arc<str>, Option<Source>> = HashMap::new();
    for wanted in wanted(report) {
        if files.len() >= MAX_FILES && !files.contains_key(&wanted.file) {
            continue;
        }
        let file = files.entry(wanted.file.clone()).or_insert_with(|| open(Path::new(&*wanted.file)).ok());
        if let Some(excerpt) = file.as_ref().and_then(|source| excerpt(source, &wanted, began_at)) {
            sources.add(&wanted, excerpt);
        }
    }
    sources
}

fn open(path: &Path) -> io::Result<Source> {
    let is_source = path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| ENDINGS.contains(&ending));
    if !is_source {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // A pipe of that name must not block us.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    let changed_at = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    Ok(Source { text: String::from_utf8_lossy(&bytes).into_owned(), changed_at })
}

/// The lines around the wanted one; `None` if the file has no such line.
fn excerpt(source: &Source, wanted: &Wanted, began_at: Option<Timestamp>) -> Option<Excerpt> {
    let first = wanted.line.saturating_sub(wanted.around).max(1);
    let count = wanted.line.saturating_add(wanted.around).saturating_sub(first) as usize + 1;
    let lines: Vec<String> = source.text.lines().skip(first as usize - 1).take(count).map(str::to_owned).collect();
    let is_there = first as usize + lines.len() > wanted.line as usize && wanted.line > 0;
    let changed = began_at.zip(source.changed_at).is_some_and(|(began, changed)| changed > began);
    is_there.then_some(Excerpt { first, lines, changed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(lines: u32) -> Source {
        let text = (1..=lines).map(|line| format!("line {line}\n")).collect();
        Source { text, changed_at: Some(Timestamp::from_second(1_000).unwrap()) }
    }

    fn wanted(line: u32, around: u32) -> Wanted {
        Wanted { file: "app.py".into(), line, around }
    }

    #[test]
    fn lines_around_the_one_that_matters() {
        let shown = |lines, line, around| excerpt(&source(lines), &wanted(line, around), None);
        assert_eq!(
            shown(9, 5, 1).unwrap(),
            Excerpt { first: 4, lines: vec!["line 4".into(), "line 5".into(), "line 6".into()], changed: false }
        );
        assert_eq!(shown(9, 1, 2).unwrap().lines, ["line 1", "line 2", "line 3"]);
        assert_eq!(shown(9, 9, 2).unwrap().lines, ["line 7", "line 8", "line 9"]);
        assert_eq!(shown(9, 10, 2), None);
        assert_eq!(shown(9, 0, 2), None);
        assert_eq!(shown(0, u32::MAX, 4), None);
    }

    #[test]
    fn a_file_that_was_changed_since_says_so() {
        let at = |second| Timestamp::from_second(second).ok();
        assert!(excerpt(&source(3), &wanted(2, 0), at(999)).unwrap().changed);
        assert!(!excerpt(&source(3), &wanted(2, 0), at(1_001)).unwrap().changed);
    }

    #[test]
    fn only_ordinary_files_of_source_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("app.py"), "x = 1\n").unwrap();
        std::fs::write(path("secret"), "x = 1\n").unwrap();
        std::fs::create_dir(path("folder.py")).unwrap();
        nix::unistd::mkfifo(&path("pipe.py"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(open(&path("app.py")).unwrap().text, "x = 1\n");
        for name in ["secret", "folder.py", "pipe.py", "missing.py"] {
            assert!(open(&path(name)).is_err(), "{name}");
        }
        assert!(open(Path::new("/dev/zero")).is_err());
    }
}
