//! The table of output formats: name, file endings, the commands that write it, the flame graph options that change it, and
//! its writer. The values of `-f`, the choice by file ending, help texts and errors all follow from it.
//!
//! To add a format: one file in `src/render`, and one row here.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::cli::failure::Failure;
use crate::detect::analysis::Analysis;
use crate::model::Snapshot;
use crate::model::event::Header;
use crate::model::snapshot::Finding;
use crate::profile::By;
use crate::render::check::{self, Check};
use crate::render::difference::{self, Comparison};
use crate::render::export::{self, Exporter};
use crate::render::report::{self, Report};
use crate::render::{self, Options, flamegraph};

/// A command that writes its result in one of several formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    Attach,
    Report,
    Flamegraph,
    Export,
    Dump,
    Diff,
    Check,
}
use Writes::{Attach, Check as CheckCommand, Diff, Dump, Export, Flamegraph, Report as ReportCommand};

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Format {
    /// The value of `-f`.
    pub(crate) name: &'static str,
    /// File endings; the first is suggested.
    endings: &'static [&'static str],
    commands: &'static [Writes],
    flame: FlameOptions,
    pub(crate) writer: Writer,
    help: &'static str,
}

/// Which of --by, --threads and --idle change a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FlameOptions {
    None,
    /// It has its stacks by every measure, so --by changes nothing.
    Page,
    /// It has its stacks by one measure: --idle adds nothing to the time that tasks wait.
    OneMeasure,
    AllMeasures,
}
use FlameOptions::{AllMeasures, None as Nothing, OneMeasure, Page as PageOptions};

/// How a format is written, by what it is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Writer {
    Snapshot(fn(&Snapshot, &[Finding], &Options, &mut dyn Write) -> io::Result<()>),
    Report(fn(&Report<'_>, &Options, &mut dyn Write) -> io::Result<()>),
    /// The HTML report, which also shows source lines.
    Page,
    /// Time by stack; the text is the title.
    Stacks(fn(&Analysis, By, &str, &mut dyn Write) -> io::Result<()>),
    /// Written while the recording is read.
    Timeline(for<'o> fn(&Header, &'o mut dyn Write) -> io::Result<Box<dyn Exporter + 'o>>),
    Difference(fn(&Comparison<'_>, &Options, &mut dyn Write) -> io::Result<()>),
    Check(fn(&Check<'_>, &Options, &mut dyn Write) -> io::Result<()>),
}

const fn row(
    name: &'static str,
    endings: &'static [&'static str],
    commands: &'static [Writes],
    flame: FlameOptions,
    writer: Writer,
    help: &'static str,
) -> Format {
    Format { name, endings, commands, flame, writer, help }
}

const TEXT: &str = "Human-readable";
const JSON: &str = "Everything, machine-readable";
const MARKDOWN: &str = "Markdown, for a pull request or a ticket";
const FOLDED: &str = "Folded stacks for flame graph tools: `frame;frame;... count`";

/// The first row of a command is its default. `export` has none.
#[rustfmt::skip]
const FORMATS: &[Format] = &[
    row("text", &[".txt"], &[Dump], Nothing, Writer::Snapshot(render::text::write), "Human-readable overview, problems first"),
    row("tree", &[], &[Dump], Nothing, Writer::Snapshot(render::tree::write), "Await graph as a tree"),
    row("json", &[".json"], &[Dump], Nothing, Writer::Snapshot(render::json::write), JSON),
    row("dot", &[".dot", ".gv"], &[Dump], Nothing, Writer::Snapshot(render::dot::write), "Await graph for Graphviz"),
    row("svg", &[".svg"], &[Dump], Nothing, Writer::Snapshot(render::svg::write), "Flame graph of the tasks by where they wait"),
    row("collapsed", &[".folded", ".collapsed"], &[Dump], Nothing, Writer::Snapshot(render::collapsed::write), FOLDED),

    row("text", &[".txt"], &[Attach, ReportCommand], Nothing, Writer::Report(report::write_text), TEXT),
    row("json", &[".json"], &[Attach, ReportCommand], Nothing, Writer::Report(|report, _, out| report::write_json(report, out)), JSON),
    row("md", &[".md"], &[Attach, ReportCommand], Nothing, Writer::Report(report::write_markdown), MARKDOWN),
    row("html", &[".html"], &[Attach, ReportCommand], PageOptions, Writer::Page, "One page for a browser, with charts and flame graphs; needs no network"),

    row("svg", &[".svg"], &[Flamegraph, Attach], OneMeasure, Writer::Stacks(flame_graph), "Flame graph"),
    row("collapsed", &[".folded", ".collapsed"], &[Flamegraph, Attach], OneMeasure, Writer::Stacks(folded_stacks), FOLDED),
    row("collapsed", &[".folded", ".collapsed", ".txt"], &[Export], OneMeasure, Writer::Stacks(folded_stacks), FOLDED),
    row("speedscope", &[".speedscope.json"], &[Export, Flamegraph, Attach], AllMeasures, Writer::Stacks(speedscope), "speedscope: stacks by time executed, awaited and both; --by selects the one shown first"),
    row("perfetto", &[".trace.json"], &[Export], Nothing, Writer::Timeline(export::begin_perfetto), "Perfetto (Chrome trace events): loops with their stalls, tasks with their steps and waits, over time"),
    row("firefox", &[".firefox.json"], &[Export], Nothing, Writer::Timeline(export::begin_firefox), "Firefox Profiler: stacks of the loops and of waiting tasks, and stalls, over time"),
    row("pprof", &[".pb.gz"], &[Export, Flamegraph, Attach], AllMeasures, Writer::Stacks(pprof), "pprof: stacks with a column each for time executed, awaited and both; --by selects the default"),
    row("jsonl", &[".jsonl"], &[Export], Nothing, Writer::Timeline(export::begin_json_lines), "Each event as a line of JSON"),

    row("text", &[".txt"], &[Diff], Nothing, Writer::Difference(difference::write_text), TEXT),
    row("json", &[".json"], &[Diff], Nothing, Writer::Difference(|diff, _, out| difference::write_json(diff, out)), JSON),
    row("md", &[".md"], &[Diff], Nothing, Writer::Difference(difference::write_markdown), MARKDOWN),

    row("text", &[".txt"], &[CheckCommand], Nothing, Writer::Check(check::write_text), TEXT),
    row("json", &[".json"], &[CheckCommand], Nothing, Writer::Check(|check, _, out| check::write_json(check, out)), JSON),
    row("md", &[".md"], &[CheckCommand], Nothing, Writer::Check(|check, _, out| check::write_markdown(check, out)), "Markdown, for a pull request or a job summary"),
    row("junit", &[".xml"], &[CheckCommand], Nothing, Writer::Check(|check, _, out| check::write_junit(check, out)), "JUnit XML, for test reports"),
    row("sarif", &[".sarif", ".sarif.json"], &[CheckCommand], Nothing, Writer::Check(|check, _, out| check::write_sarif(check, out)), "SARIF, for code scanning"),
    row("github", &[], &[CheckCommand], Nothing, Writer::Check(|check, _, out| check::write_github(check, out)), "GitHub Actions annotations"),
];

fn flame_graph(analysis: &Analysis, by: By, title: &str, out: &mut dyn Write) -> io::Result<()> {
    flamegraph::write(analysis.profile(), by, title, analysis.is_biased(), out)
}

fn folded_stacks(analysis: &Analysis, by: By, _: &str, out: &mut dyn Write) -> io::Result<()> {
    flamegraph::write_collapsed(analysis.profile(), by, out)
}

fn speedscope(analysis: &Analysis, by: By, title: &str, out: &mut dyn Write) -> io::Result<()> {
    export::write_speedscope(analysis.profile(), by, title, out)
}

fn pprof(analysis: &Analysis, by: By, _: &str, out: &mut dyn Write) -> io::Result<()> {
    export::write_pprof(analysis.header(), analysis.duration_ns(), analysis.profile(), by, out)
}

impl Writes {
    fn name(self) -> &'static str {
        match self {
            Attach => "attach",
            ReportCommand => "report",
            Flamegraph => "flamegraph",
            Export => "export",
            Dump => "dump",
            Diff => "diff",
            CheckCommand => "check",
        }
    }

    /// Its formats, the default first.
    fn formats(self) -> impl Iterator<Item = &'static Format> + Clone {
        FORMATS.iter().filter(move |format| format.commands.contains(&self))
    }

    fn has_format_option(self) -> bool {
        self != Flamegraph
    }

    /// All file endings that it understands, for help and hints.
    pub(crate) fn endings(self) -> String {
        let endings: Vec<&str> = self.formats().flat_map(|format| format.endings).copied().collect();
        endings.join(" ")
    }

    pub(crate) fn named(self, name: &str) -> Option<&'static Format> {
        self.formats().find(|format| format.name == name)
    }

    /// The format that a file's ending selects.
    pub(crate) fn by_ending(self, path: &Path) -> Option<&'static Format> {
        let ending = ending_of(path)?;
        self.formats().find(|format| format.endings.contains(&ending))
    }

    /// The format to write: the one given with `-f`, else by the file's ending, else the default where there is no ending.
    pub(crate) fn choose(self, given: Option<&'static Format>, path: &Path) -> Result<&'static Format, Failure> {
        if let Some(format) = given.or_else(|| self.by_ending(path)) {
            return Ok(format);
        }
        if path.extension().is_some() || self == Export && path != Path::new("-") {
            return Err(self.unknown_ending(path));
        }
        match self {
            Export => Err(Failure::usage("no output format").hint(format!(
                "give -f {}, or -o with a file that ends in one of: {}",
                self.names(),
                self.endings()
            ))),
            _ => self.formats().next().ok_or_else(|| Failure::bug(format!("{} has no format", self.name()))),
        }
    }

    /// An ending that this command cannot write, and what can be done.
    pub(crate) fn unknown_ending(self, path: &Path) -> Failure {
        let mut hint = format!("its endings are: {}", self.endings());
        if self.has_format_option() && !matches!(self, Attach | CheckCommand) {
            hint.push_str(&format!("\nor choose the format with -f {}", self.names()));
        }
        if let Some(ending) = ending_of(path) {
            if Export.by_ending(path).is_some() {
                hint.push_str(&format!("\nfrom a recording: asyncprof export x.aprof -o {}", path.display()));
            } else {
                let others = FORMATS.iter().filter(|format| format.endings.contains(&ending));
                let mut names: Vec<&str> = others.flat_map(|format| format.commands).map(|one| one.name()).collect();
                names.dedup();
                hint.push_str(&format!("\n{ending} is written by: asyncprof {}", names.join(", ")));
            }
        }
        Failure::usage(format!("{}: asyncprof {} writes no file with this ending", path.display(), self.name()))
            .hint(hint)
    }

    fn names(self) -> String {
        let names: Vec<&str> = self.formats().map(|format| format.name).collect();
        names.join(", ")
    }

    /// Parses the value of `-f`.
    pub(crate) fn parser(self) -> impl TypedValueParser<Value = &'static Format> {
        let names = self.formats().map(|format| PossibleValue::new(format.name).help(format.help));
        // INVARIANT: the parser of possible values lets none of the other names through.
        PossibleValuesParser::new(names).try_map(move |name| self.named(&name).ok_or("there is no such format"))
    }

    pub(crate) fn output_help(self) -> String {
        match self {
            Attach => format!("Also write a file, by its ending: .aprof {}; can be repeated", self.endings()),
            CheckCommand => format!("Also write a file, by its ending: {}; can be repeated", self.endings()),
            Export => format!("Where to write: a file ({}; add .gz to compress), or - for stdout", self.endings()),
            _ => format!("Where to write: a file ({}), or - for stdout", self.endings()),
        }
    }
}

impl Format {
    /// Whether a terminal would show it as garbage.
    pub(crate) fn is_for_files(&self) -> bool {
        match self.writer {
            Writer::Page => true,
            Writer::Stacks(_) => matches!(self.name, "svg" | "pprof"),
            _ => false,
        }
    }

    pub(crate) fn ending(&self) -> &'static str {
        self.endings.first().copied().unwrap_or_default()
    }

    /// A format that this command cannot write got past its parser.
    pub(crate) fn misplaced(&self) -> Failure {
        Failure::bug(format!("the format {} is not one of this command", self.name))
    }

    /// Whether one of the flame graph options changes it.
    fn is_changed_by(&self, option: FlameOption, by: By) -> bool {
        match self.flame {
            FlameOptions::None => false,
            FlameOptions::Page => option != FlameOption::By,
            FlameOptions::OneMeasure => option != FlameOption::Idle || by != By::Await,
            FlameOptions::AllMeasures => true,
        }
    }
}

/// The options about stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlameOption {
    By,
    Threads,
    Idle,
}

/// Refuses options on the command line that change none of the formats to write. `what` names these formats.
pub(crate) fn check_options(
    given: &[FlameOption],
    by: By,
    formats: &[&'static Format],
    what: &str,
) -> Result<(), Failure> {
    for &option in given {
        if formats.iter().any(|format| format.is_changed_by(option, by)) {
            continue;
        }
        let name = match option {
            FlameOption::By => "--by",
            FlameOption::Threads => "--threads",
            FlameOption::Idle => "--idle",
        };
        // It would with another --by.
        if option == FlameOption::Idle && formats.iter().any(|format| format.is_changed_by(option, By::Run)) {
            return Err(Failure::usage(format!("{name} has no effect with --by await"))
                .hint("idle loops are shown with --by run or --by wall"));
        }
        return Err(Failure::usage(format!("{name} has no effect on {what}"))
            .hint("it changes time added up by stack: .svg .folded .speedscope.json .pb.gz"));
    }
    Ok(())
}

/// The known ending of a path, the longest of those that match: `x.trace.json` ends in `.trace.json`.
fn ending_of(path: &Path) -> Option<&'static str> {
    let name = path.file_name().and_then(OsStr::to_str)?;
    let endings = FORMATS.iter().flat_map(|format| format.endings).copied();
    endings.filter(|ending| name.ends_with(ending) && name.len() > ending.len()).max_by_key(|ending| ending.len())
}

/// The name of the same file for another process: `run.svg` is `run.4212.svg`, `x.pb.gz` is `x.4212.pb.gz`.
pub(crate) fn name_for(path: &Path, pid: i32) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let at = match ending_of(path) {
        Some(ending) => name.len() - ending.len(),
        None => name.rfind('.').filter(|&at| at > 0).unwrap_or(name.len()),
    };
    let (stem, ending) = name.split_at(at);
    path.with_file_name(format!("{stem}.{pid}{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_another_process_has_its_id_before_the_ending() {
        for (name, other) in [
            ("app.aprof", "app.7.aprof"),
            ("a/b.c/run.svg", "a/b.c/run.7.svg"),
            ("x.pb.gz", "x.7.pb.gz"),
            ("v1.2.speedscope.json", "v1.2.7.speedscope.json"),
            ("noend", "noend.7"),
            (".hidden", ".hidden.7"),
        ] {
            assert_eq!(name_for(Path::new(name), 7), Path::new(other));
        }
    }

    #[test]
    fn an_ending_means_the_same_for_every_file_of_a_command() {
        for command in [Attach, ReportCommand, Flamegraph, Export, Dump, Diff, CheckCommand] {
            let endings = command.endings();
            let mut different: Vec<&str> = endings.split(' ').collect();
            different.sort_unstable();
            different.dedup();
            assert_eq!(different.len(), endings.split(' ').count(), "{command:?}: {endings}");
            for format in command.formats() {
                assert!(command.named(format.name).is_some_and(|named| std::ptr::eq(named, format)), "{command:?}");
            }
        }
    }

    #[test]
    fn an_option_on_the_command_line_has_to_change_something() {
        let text = Dump.named("text").unwrap();
        let page = Attach.named("html").unwrap();
        let (graph, folded) = (Flamegraph.named("svg").unwrap(), Export.named("collapsed").unwrap());
        let pprof = Export.named("pprof").unwrap();
        let (by, threads, idle) = (FlameOption::By, FlameOption::Threads, FlameOption::Idle);
        for (options, weight, formats, message) in [
            (&[by][..], By::Run, &[text, graph][..], None),
            (&[by], By::Run, &[text, page], Some("--by has no effect on it")),
            (&[threads, idle], By::Run, &[page], None),
            (&[threads], By::Await, &[folded], None),
            (&[threads], By::Run, &[], Some("--threads has no effect on it")),
            (&[idle], By::Await, &[folded], Some("--idle has no effect with --by await")),
            (&[idle], By::Await, &[folded, pprof], None),
            (&[idle], By::Run, &[text], Some("--idle has no effect on it")),
            (&[], By::Run, &[], None),
        ] {
            let failure = check_options(options, weight, formats, "it").err();
            assert_eq!(failure.as_ref().map(|failure| &*failure.message), message, "{options:?}");
            assert!(failure.is_none_or(|failure| failure.hint.is_some()));
        }
    }
}
