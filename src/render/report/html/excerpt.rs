//! Lines of source shown next to the report's findings: which are wanted, and what could be read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::intern::Tables;
use crate::model::origin::{Origin, origin_of};
use crate::model::snapshot::Frame;
use crate::render::escape;
use crate::render::report::contents::{Report, stall_groups};

/// LIMIT: lines that are requested; more would outweigh the rest of the page.
const WANTED: usize = 400;
/// LIMIT: groups of stalls, and findings, for which lines are requested.
const PLACES: usize = 100;
/// Lines before and after the one that matters.
const AROUND: u32 = 4;
/// A longer line is cut.
const LONGEST_LINE: usize = 160;

/// A line that the report would like to show, with the number of lines before and after it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// `co_filename` as given by the target: not to be trusted.
    pub file: Arc<str>,
    /// Starting from 1.
    pub line: u32,
    /// Lines before and after.
    pub around: u32,
}

/// Some lines of a file in its current version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Excerpt {
    /// Number of the first line, starting from 1.
    pub first: u32,
    /// Without line endings.
    pub lines: Vec<String>,
    /// The file was changed after the watch began: these may not be the lines that ran.
    pub changed: bool,
}

/// The lines that could be read.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    excerpts: BTreeMap<(Arc<str>, u32), Excerpt>,
}

impl Sources {
    /// Adds what was read for a wanted line.
    pub fn add(&mut self, wanted: &Wanted, mut excerpt: Excerpt) {
        for line in &mut excerpt.lines {
            let spaced = line.replace('\t', "    ");
            *line = match spaced.char_indices().nth(LONGEST_LINE) {
                Some((end, _)) => format!("{}…", escape::visible(&spaced[..end])),
                None => escape::visible(&spaced).into_owned(),
            };
        }
        self.excerpts.insert((wanted.file.clone(), wanted.line), excerpt);
    }

    /// By index of the frame.
    pub(super) fn of_frames(&self, tables: &Tables) -> BTreeMap<u32, &Excerpt> {
        let excerpt = |frame: &Frame| self.excerpts.get(&(frame.file.clone(), frame.line?));
        tables.numbered_frames().filter_map(|(frame, id)| Some((id, excerpt(frame)?))).collect()
    }
}

/// The lines that a report would show: some lines for each stall site and each finding, and the frame's own line for
/// each frame of the longest stall at each site.
pub fn wanted(report: &Report<'_>) -> Vec<Wanted> {
    let stalls = report.analysis.stalls().worst_first();
    let groups = stall_groups(&stalls);
    let sites = groups.iter().take(PLACES).filter_map(|group| group.worst.site.as_ref());
    let found = report.analysis.findings().iter().take(PLACES).filter_map(|found| found.finding.site.as_ref());
    let frames = groups.iter().take(PLACES).flat_map(|group| &group.worst.stack);
    let around = sites.chain(found).map(|frame| (frame, AROUND));
    let alone = frames.filter(|frame| origin_of(&frame.file) == Origin::Program).map(|frame| (frame, 0));
    let mut seen = BTreeSet::new();
    around
        .chain(alone)
        .filter_map(|(frame, around)| Some(Wanted { file: frame.file.clone(), line: frame.line?, around }))
        .filter(|wanted| seen.insert((wanted.file.clone(), wanted.line)))
        .take(WANTED)
        .collect()
}
