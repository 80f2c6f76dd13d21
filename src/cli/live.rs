//! What a watch says on stderr while it goes on: a line for each stall as it begins, lasts and ends, and on a terminal one
//! line below them that is repainted. It must not know where stalls come from.

mod status;
mod words;

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::args::Color;
use super::output;
use crate::detect::stall::{Alert, Cause, Stall};
use crate::model::event::{Header, Note};
use crate::model::snapshot::Frame;
use crate::render::escape::visible;

pub(super) use status::Status;
use words::TimeOfDay;
pub(super) use words::length;

/// Faster than this nobody can read.
pub(super) const REPAINT: Duration = Duration::from_millis(100);
/// LIMIT: lines a second. A program that stalls all the time must not scroll away what was said before.
const LINES_A_SECOND: u32 = 20;
/// LIMIT: pieces of advice that are remembered as given.
const ADVICE: usize = 10_000;

/// Whether there is a line on the terminal that is repainted; known to all that write there.
#[derive(Clone, Debug, Default)]
pub(super) struct Screen {
    painted: Rc<Cell<bool>>,
}

/// The running commentary.
#[derive(Debug)]
pub(super) struct Live {
    pid: i32,
    /// What begins the lines of one process of several.
    name: String,
    time_of_day: TimeOfDay,
    color: bool,
    terminal: bool,
    /// What a stall's line says once: advice for this cause at this place.
    advised: HashSet<(Cause, Option<Frame>)>,
    /// Stalls whose beginning was told: loop and start.
    told: HashSet<(u64, u64)>,
    screen: Screen,
    second: Instant,
    lines: u32,
    swallowed: u64,
}

impl Live {
    pub(super) fn new(header: &Header, color: Color) -> Self {
        Self {
            pid: header.pid,
            name: String::new(),
            time_of_day: TimeOfDay::new(header),
            color: output::stderr_shows_color(color),
            terminal: io::stderr().is_terminal(),
            advised: HashSet::new(),
            told: HashSet::new(),
            screen: Screen::default(),
            second: Instant::now(),
            lines: 0,
            swallowed: 0,
        }
    }

    /// Others write to the same terminal; then lines name the process, if that is wanted.
    pub(super) fn join(&mut self, screen: &Screen, is_named: bool) {
        self.screen = screen.clone();
        self.name = if is_named { format!("[pid {}] ", self.pid) } else { String::new() };
    }

    /// Tells of a stall.
    pub(super) fn tell(&mut self, alert: &Alert) {
        let text = self.text_of(alert);
        if self.may_speak() {
            self.print(&text);
        }
    }

    /// Tells what happened to the target.
    pub(super) fn note(&mut self, note: &Note) {
        let line = format!("{} {}{}\n", self.time_of_day.of(note.at_ns), self.name, visible(&note.text));
        self.print(&line);
    }

    /// Whether there is a line to repaint.
    pub(super) fn repaints(&self) -> bool {
        self.terminal
    }

    /// Repaints the line below the others, on a terminal.
    pub(super) fn paint(&mut self, status: &str) {
        if self.terminal {
            let width = terminal_width().saturating_sub(1);
            let status: String = status.chars().take(width).collect();
            eprint!("\r\u{1b}[K{}", self.style("2", &status));
            let _ = io::stderr().flush();
            self.screen.painted.set(true);
        }
        self.say_swallowed();
    }

    /// Leaves the terminal as lines were never repainted.
    pub(super) fn finish(&mut self) {
        self.erase();
        self.say_swallowed();
    }

    fn erase(&mut self) {
        if self.screen.painted.take() {
            eprint!("\r\u{1b}[K");
        }
    }

    fn print(&mut self, text: &str) {
        self.erase();
        eprint!("{text}");
    }

    fn may_speak(&mut self) -> bool {
        self.say_swallowed();
        self.lines += 1;
        if self.lines > LINES_A_SECOND {
            self.swallowed += 1;
        }
        self.lines <= LINES_A_SECOND
    }

    /// Once a second: how much was too much for it.
    fn say_swallowed(&mut self) {
        if self.second.elapsed() < Duration::from_secs(1) {
            return;
        }
        (self.second, self.lines) = (Instant::now(), 0);
        let swallowed = std::mem::take(&mut self.swallowed);
        if swallowed > 0 {
            self.print(&format!(
                "              {}and {swallowed} more lines of this kind within a second\n",
                self.name
            ));
        }
    }

    fn text_of(&mut self, alert: &Alert) -> String {
        let stall = alert.stall();
        let key = (stall.event_loop.key, stall.start_ns);
        let (code, word) = match alert {
            Alert::Began(_) => {
                self.told.insert(key);
                ("1;31", "stall")
            }
            Alert::Continues(_) => ("1;31", "lasts"),
            Alert::Ended(_) if self.told.remove(&key) => ("1", "ended"),
            // It was over when it was first known.
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

    /// Advice follows the first stall of its kind at its place: a second time nobody reads it.
    fn add_advice(&mut self, text: &mut String, stall: &Stall) {
        let kind = (stall.cause, stall.site.clone());
        if stall.advice.is_empty() || self.advised.len() >= ADVICE || !self.advised.insert(kind) {
            return;
        }
        let _ = writeln!(text, "{:14}{}", "", self.style("2", &visible(&stall.advice)));
    }

    fn style(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

fn terminal_width() -> usize {
    // What a window manager has not said yet is the width of old.
    terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| usize::from(width.0))
}
