//! What stderr shows during a watch: a line when a stall begins, continues and ends, and on a terminal a status line below
//! them that is repainted.

mod status;
mod words;

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::cli::input::units::length;
use crate::cli::terminal::{Color, ERASE, tell};
use crate::detect::stall::{Alert, Cause, Stall};
use crate::model::event::{Header, Note};
use crate::model::snapshot::Frame;
use crate::render::escape::visible;

pub(crate) use status::Status;
use words::TimeOfDay;

/// LIMIT: lines per second. A program that stalls all the time must not scroll everything else away.
const MAX_LINES: u32 = 20;
/// LIMIT: pieces of advice remembered as given.
const MAX_ADVICE: usize = 10_000;

/// Whether the terminal shows a status line; shared by everything that writes there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Screen {
    painted: Rc<Cell<bool>>,
}

/// The lines of one process.
#[derive(Debug)]
pub(crate) struct Live {
    pid: i32,
    /// Prefix of the lines if several processes are watched.
    name: String,
    time_of_day: TimeOfDay,
    color: bool,
    terminal: bool,
    /// Advice is given once for each cause and place.
    advised: HashSet<(Cause, Option<Frame>)>,
    /// Stalls whose beginning was reported: loop and start.
    reported: HashSet<(u64, u64)>,
    screen: Screen,
    second: Instant,
    lines: u32,
    suppressed: u64,
}

impl Live {
    pub(crate) fn new(header: &Header, color: Color) -> Self {
        Self {
            pid: header.pid,
            name: String::new(),
            time_of_day: TimeOfDay::new(header),
            color: color.is_shown(io::stderr().is_terminal()),
            terminal: io::stderr().is_terminal(),
            advised: HashSet::new(),
            reported: HashSet::new(),
            screen: Screen::default(),
            second: Instant::now(),
            lines: 0,
            suppressed: 0,
        }
    }

    /// Shares the terminal with others; `is_named` prefixes lines with the process.
    pub(crate) fn join(&mut self, screen: &Screen, is_named: bool) {
        self.screen = screen.clone();
        self.name = if is_named { format!("[pid {}] ", self.pid) } else { String::new() };
    }

    pub(crate) fn report(&mut self, alert: &Alert) {
        let text = self.text_of(alert);
        if self.may_print() {
            self.print(&text);
        }
    }

    /// Reports what happened to the target.
    pub(crate) fn note(&mut self, note: &Note) {
        let line = format!("{} {}{}\n", self.time_of_day.of(note.at_ns), self.name, visible(&note.text));
        self.print(&line);
    }

    /// Whether there is a status line to repaint.
    pub(crate) fn repaints(&self) -> bool {
        self.terminal
    }

    /// Repaints the status line, on a terminal.
    pub(crate) fn paint(&mut self, status: &str) {
        if self.terminal {
            let width = terminal_width().saturating_sub(1);
            let status: String = status.chars().take(width).collect();
            tell(format_args!("{ERASE}{}", self.style("2", &status)));
            let _ = io::stderr().flush();
            self.screen.painted.set(true);
        }
        self.print_suppressed();
    }

    /// Removes the status line.
    pub(crate) fn finish(&mut self) {
        self.erase();
        self.print_suppressed();
    }

    fn erase(&mut self) {
        if self.screen.painted.take() {
            tell(format_args!("{ERASE}"));
        }
    }

    fn print(&mut self, text: &str) {
        self.erase();
        tell(format_args!("{text}"));
    }

    fn may_print(&mut self) -> bool {
        self.print_suppressed();
        self.lines += 1;
        if self.lines > MAX_LINES {
            self.suppressed += 1;
        }
        self.lines <= MAX_LINES
    }

    /// Once a second: how many lines were over the limit.
    fn print_suppressed(&mut self) {
        if self.second.elapsed() < Duration::from_secs(1) {
            return;
        }
        (self.second, self.lines) = (Instant::now(), 0);
        let suppressed = std::mem::take(&mut self.suppressed);
        if suppressed > 0 {
            self.print(&format!("              {}{suppressed} more stall lines within a second\n", self.name));
        }
    }

    fn text_of(&mut self, alert: &Alert) -> String {
        let stall = alert.stall();
        let key = (stall.event_loop.key, stall.start_ns);
        let (code, word) = match alert {
            Alert::Began(_) => {
                self.reported.insert(key);
                ("1;31", "stall")
            }
            Alert::Continues(_) => ("1;31", "lasts"),
            Alert::Ended(_) if self.reported.remove(&key) => ("1", "ended"),
            // It was over when it was first seen.
            Alert::Ended(_) => ("1;31", "stall"),
        };
        let mut text = format!(
            "{} {}{} {:>9}  ",
            self.time_of_day.of(stall.start_ns.saturating_add(stall.at_least_ns)),
            self.name,
            self.style(code, &format!("{word:<5}")),
            length(stall.at_least_ns),
        );
        self.add_place(&mut text, stall);
        // Writing to a string cannot fail.
        let _ = writeln!(text, ", {}", words::place(stall, self.pid));
        self.add_advice(&mut text, stall);
        text
    }

    fn add_place(&self, text: &mut String, stall: &Stall) {
        let cause = words::cause(stall);
        let _ = match &stall.site {
            Some(site) => write!(text, "{}: {cause}", self.style("36", &words::site(site))),
            None => write!(text, "{cause}"),
        };
    }

    /// Advice follows only the first stall with its cause at its place.
    fn add_advice(&mut self, text: &mut String, stall: &Stall) {
        let kind = (stall.cause, stall.site.clone());
        if stall.advice.is_empty() || self.advised.len() >= MAX_ADVICE || !self.advised.insert(kind) {
            return;
        }
        let _ = writeln!(text, "{:14}{}", "", self.style("2", &visible(&stall.advice)));
    }

    fn style(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

fn terminal_width() -> usize {
    // Before the terminal's size is known: the traditional width.
    terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| usize::from(width.0))
}
