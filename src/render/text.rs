//! The overview of a snapshot as text: problems first, then the event loops, then the tasks, grouped. The width and
//! colours of the terminal are passed in.

use std::borrow::Cow;
use std::io::{self, Write};

use super::groups::{self, Group, Standing};
use super::options::Options;
use super::page::Page;
use super::{escape, label};
use crate::model::Snapshot;
use crate::model::snapshot::{Finding, FrameId, LoopPosition, Severity, Task, TaskId, TaskState, Thread, ThreadState};
use crate::render::wait_words;

/// Maximum names shown of a group, and of the tasks it waits for.
const NAMES: usize = 4;

/// Writes the overview.
pub fn write(snapshot: &Snapshot, findings: &[Finding], options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let mut overview = Overview { snapshot, page: Page::new(options, 40, out) };
    overview.header(findings)?;
    overview.findings(findings)?;
    overview.loops()?;
    overview.tasks(findings, options.limit)?;
    overview.threads()?;
    overview.reading()
}

struct Overview<'a> {
    snapshot: &'a Snapshot,
    page: Page<'a>,
}

impl<'a> Overview<'a> {
    fn header(&mut self, findings: &[Finding]) -> io::Result<()> {
        let Snapshot { pid, python, .. } = self.snapshot;
        let build = if python.free_threaded { " free-threaded" } else { "" };
        let line = format!("Process {pid}: CPython {}{build}, {}", escape::visible(&python.version), {
            escape::visible(&python.executable)
        });
        writeln!(self.page.out, "{}", self.page.paint.heading(line))?;
        writeln!(self.page.out, "{}", health(self.snapshot, findings))
    }

    fn findings(&mut self, findings: &[Finding]) -> io::Result<()> {
        if !findings.is_empty() {
            self.page.section("Findings")?;
        }
        findings.iter().try_for_each(|finding| self.page.finding(finding, None))
    }

    fn loops(&mut self) -> io::Result<()> {
        if self.snapshot.loops.is_empty() {
            return Ok(());
        }
        self.page.section("Event loops")?;
        for event_loop in &self.snapshot.loops {
            let thread = event_loop.thread.and_then(|id| self.find_thread(id));
            let mut line = format!("  {}", escape::visible(&event_loop.class));
            match (event_loop.thread, thread.and_then(|thread| thread.name.as_deref())) {
                (Some(id), Some(name)) => line.push_str(&format!(" in thread {id} ({})", escape::brief(name, 40))),
                (Some(id), None) => line.push_str(&format!(" in thread {id}")),
                (None, _) => {}
            }
            match (event_loop.running_task, event_loop.running, thread) {
                _ if event_loop.position == LoopPosition::Parked => {
                    line.push_str(": parked in a greenlet, while other code runs in its thread");
                }
                (Some(id), ..) => {
                    line.push_str(&format!(": runs {}", self.page.paint.name(label::task(self.snapshot.task(id)))));
                    if let Some(thread) = thread {
                        line.push_str(&format!(", {}", label::thread_state(&thread.state)));
                    }
                }
                (None, Some(false), _) => line.push_str(": not running"),
                (None, _, Some(thread)) => line.push_str(&format!(": {}", label::thread_state(&thread.state))),
                (None, _, None) => {}
            }
            line.push_str(&match (event_loop.ready, event_loop.scheduled) {
                (Some(ready), Some(timers)) => {
                    format!("; {} ready, {}", label::count(ready), label::counted(timers, "timer"))
                }
                (Some(ready), None) => format!("; {} ready", label::count(ready)),
                (None, _) => "; ready queue unknown".into(),
            });
            writeln!(self.page.out, "{line}")?;
            match event_loop.running_task {
                Some(id) => self.stack(&self.snapshot.task(id).stack)?,
                None => {
                    // What stands on the stack beside a parked loop is told with the thread.
                    let thread = thread.filter(|_| event_loop.position != LoopPosition::Parked);
                    if let Some(thread) = thread.filter(|thread| thread.state != ThreadState::Idle) {
                        self.stack(&thread.stack)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn find_thread(&self, native_id: i32) -> Option<&'a Thread> {
        self.snapshot.threads.iter().find(|thread| thread.native_id == Some(native_id))
    }

    fn tasks(&mut self, findings: &[Finding], limit: Option<usize>) -> io::Result<()> {
        let groups = groups::of(self.snapshot, findings);
        if groups.is_empty() {
            return Ok(());
        }
        let tasks = match self.snapshot.unread_tasks {
            0 => label::counted(self.snapshot.tasks.len(), "task"),
            unread => {
                let (read, all) = (self.snapshot.tasks.len(), self.snapshot.tasks.len() + unread);
                format!("{} of {} tasks", label::count(read), label::count(all))
            }
        };
        match groups.len() == self.snapshot.tasks.len() {
            true => self.page.section(&tasks)?,
            false => self.page.section(&format!("{tasks} in {}", label::counted(groups.len(), "group")))?,
        }
        let shown = limit.unwrap_or(usize::MAX);
        for group in groups.iter().take(shown) {
            self.group(group)?;
        }
        if let Some(rest) = groups.get(shown..).filter(|rest| !rest.is_empty()) {
            let tasks: usize = rest.iter().map(|group| group.tasks.len()).sum();
            let groups = label::counted(rest.len(), "more group");
            writeln!(self.page.out, "  … {groups} with {} (see --limit)", label::counted(tasks, "task"))?;
        }
        Ok(())
    }

    fn group(&mut self, group: &Group) -> io::Result<()> {
        let Some(&first) = group.tasks.first() else { return Ok(()) };
        let task = self.snapshot.task(first);
        let count = group.tasks.len();
        let many = if count > 1 { format!("{} × ", label::count(count)) } else { String::new() };
        let names = label::tasks(self.snapshot, &group.tasks, NAMES);
        let class = task.class.as_deref().map(|class| format!(" ({})", escape::brief(class, 60))).unwrap_or_default();
        let mut line = format!("  {many}{}{class}: {}", self.page.paint.name(names), label::state(task));
        line.push_str(&self.waits_of(group));
        if let Some(trouble) = trouble(group.standing) {
            line.push_str(&format!("  {}", self.page.paint.trouble(trouble)));
        }
        writeln!(self.page.out, "{line}")?;
        if let Some(exception) = &task.unretrieved_exception {
            writeln!(self.page.out, "      {}", self.page.paint.trouble(escape::visible(exception)))?;
        }
        self.stack(&task.stack)?;
        if let Some(end) = &task.stack_end {
            writeln!(self.page.out, "      {}", self.page.paint.faint(label::stack_end(end)))?;
        }
        let awaiters = self.distinct(group, |task| &task.awaited_by);
        if !awaiters.is_empty() {
            let awaiters = label::tasks(self.snapshot, &awaiters, NAMES);
            writeln!(self.page.out, "      awaited by {}", self.page.paint.name(awaiters))?;
        }
        Ok(())
    }

    /// ` for a lock (held by Task-3)`, ` for gather of Task-2, Task-3`.
    fn waits_of(&self, group: &Group) -> String {
        let Some(&first) = group.tasks.first() else { return String::new() };
        let Some(awaiting) = &self.snapshot.task(first).awaiting else { return String::new() };
        let mut phrase = format!(" for {}", label::wait(awaiting.kind));
        let awaited = self.distinct(group, |task| task.awaiting.as_ref().map_or(&[], |awaiting| &awaiting.tasks));
        if !awaited.is_empty() {
            phrase.push_str(&format!(": {}", self.page.paint.name(label::tasks(self.snapshot, &awaited, NAMES))));
        }
        let holders = self.distinct(group, |task| task.awaiting.as_ref().map_or(&[], |awaiting| &awaiting.held_by));
        if !holders.is_empty() {
            let holders = label::tasks(self.snapshot, &holders, NAMES);
            phrase.push_str(&format!(", held by {}", self.page.paint.name(holders)));
        }
        phrase.push_str(&self.details_of(group, !holders.is_empty()));
        phrase
    }

    /// The details of the waits, if there are any: all of them or a few.
    fn details_of(&self, group: &Group, holders_shown: bool) -> String {
        let mut details: Vec<Cow<'_, str>> = Vec::new();
        let mut more = false;
        for &id in &group.tasks {
            let awaiting = self.snapshot.task(id).awaiting.as_ref();
            let Some(detail) = awaiting.and_then(|awaiting| awaiting.detail.as_ref()) else { continue };
            let detail = wait_words::detail(detail);
            if details.contains(&detail) || (holders_shown && detail.starts_with("held by ")) {
                continue;
            }
            if details.len() == NAMES {
                more = true;
                break;
            }
            details.push(detail);
        }
        match details.is_empty() {
            true => String::new(),
            false => {
                let shown: Vec<_> = details.iter().map(|detail| escape::brief(detail, 80)).collect();
                format!(" ({}{})", shown.join("; "), if more { "; …" } else { "" })
            }
        }
    }

    /// The tasks named by any member of a group, each once, in the snapshot's order.
    fn distinct(&self, group: &Group, of: impl Fn(&'a Task) -> &'a [TaskId]) -> Vec<TaskId> {
        let mut ids: Vec<TaskId> =
            group.tasks.iter().flat_map(|&id| of(self.snapshot.task(id)).iter().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// One frame per line, outermost first as in a Python traceback.
    fn stack(&mut self, stack: &[FrameId]) -> io::Result<()> {
        /// Functions are never cut shorter than this, whatever the width.
        const FUNCTION: usize = 24;
        for &id in stack {
            let frame = self.snapshot.frame(id);
            let place = label::place(frame);
            let room = self.page.width.saturating_sub(6 + 3 + place.chars().count()).max(FUNCTION);
            let function = escape::brief(&frame.function, room);
            writeln!(self.page.out, "      {function} {}", self.page.paint.faint(format_args!("({place})")))?;
        }
        Ok(())
    }

    fn threads(&mut self) -> io::Result<()> {
        if self.snapshot.threads.is_empty() {
            return Ok(());
        }
        self.page.section(&label::counted(self.snapshot.threads.len(), "thread"))?;
        for thread in &self.snapshot.threads {
            let mut line = String::from("  ");
            match &thread.name {
                Some(name) => line.push_str(&self.page.paint.name(escape::brief(name, 80))),
                None => line.push_str("unnamed"),
            }
            match thread.native_id {
                Some(id) => line.push_str(&format!(" {id}")),
                None => line.push_str(" (id unknown)"),
            }
            if thread.interpreter != 0 {
                line.push_str(&format!(" in interpreter {}", thread.interpreter));
            }
            line.push_str(&format!(": {}", label::thread_state(&thread.state)));
            if thread.holds_gil == Some(true) {
                line.push_str(", holds the GIL");
            }
            if thread.collecting_garbage == Some(true) {
                line.push_str(", collecting garbage");
            }
            writeln!(self.page.out, "{line}")?;
            // The stack of a loop's thread is shown with its loop.
            let runs_a_loop = thread.native_id.is_some()
                && self.snapshot.loops.iter().any(|event_loop| {
                    event_loop.thread == thread.native_id && event_loop.position != LoopPosition::Parked
                });
            if !runs_a_loop {
                self.stack(&thread.stack)?;
            }
            if let Some(end) = &thread.stack_end {
                writeln!(self.page.out, "      {}", self.page.paint.faint(escape::visible(end)))?;
            }
        }
        Ok(())
    }

    fn reading(&mut self) -> io::Result<()> {
        if !self.snapshot.gaps.is_empty() {
            self.page.section("Not read")?;
            for gap in &self.snapshot.gaps {
                writeln!(self.page.out, "  {}: {}", escape::visible(&gap.what), escape::visible(&gap.why))?;
            }
        }
        let reading = self.snapshot.reading;
        let moment = match self.snapshot.consistent {
            true => "consistent snapshot",
            false => "not proved to be of one moment",
        };
        let mut line = format!(
            "Read at {} in {:.1} ms with {} ({}); {moment}",
            label::timestamp(self.snapshot.taken_at),
            self.snapshot.elapsed_us / 1_000.0,
            label::counted(reading.calls, "system call"),
            bytes(reading.bytes),
        );
        if let Some(stop) = self.snapshot.stop {
            let ms = stop.duration.as_secs_f64() * 1e3;
            line.push_str(&format!("; the process was stopped for {ms:.1} ms"));
            if !stop.covers_reading {
                line.push_str(", too short to read it (--max-stop), and then read while it ran");
            }
        }
        if reading.torn > 0 {
            line.push_str(&format!("; {} re-read (changed during the read)", label::count(reading.torn)));
        }
        if reading.dropped > 0 {
            line.push_str(&format!("; {} given up", label::count(reading.dropped)));
        }
        writeln!(self.page.out, "\n{}", self.page.paint.faint(line))
    }
}

/// `11 tasks on 1 event loop: 1 running, 8 waiting; 2 findings (1 error, 1 warning)`.
fn health(snapshot: &Snapshot, findings: &[Finding]) -> String {
    if !snapshot.python.asyncio_loaded {
        return format!("asyncio is not loaded: {}", label::counted(snapshot.threads.len(), "thread"));
    }
    let mut line = format!(
        "{} on {}",
        label::counted(snapshot.tasks.len(), "task"),
        label::counted(snapshot.loops.len(), "event loop")
    );
    let states = [
        TaskState::Running,
        TaskState::Ready,
        TaskState::Waiting,
        TaskState::Cancelling,
        TaskState::Done,
        TaskState::Unknown,
    ];
    line.push_str(&breakdown(
        states
            .map(|state| (snapshot.tasks.iter().filter(|task| task.state == state).count(), label::state_word(state))),
    ));
    if findings.is_empty() {
        line.push_str("; nothing found");
        return line;
    }
    line.push_str(&format!("; {}", label::counted(findings.len(), "finding")));
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    line.push_str(&breakdown([
        (errors, if errors == 1 { "error" } else { "errors" }),
        (warnings, if warnings == 1 { "warning" } else { "warnings" }),
        (count(Severity::Info), "info"),
    ]));
    line
}

fn breakdown<const N: usize>(parts: [(usize, &str); N]) -> String {
    let parts: Vec<String> = (parts.into_iter().filter(|(count, _)| *count > 0))
        .map(|(count, what)| format!("{} {what}", label::count(count)))
        .collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

fn trouble(standing: Standing) -> Option<&'static str> {
    match standing {
        Standing::Orphaned => Some("[orphaned]"),
        Standing::InCycle => Some("[deadlock]"),
        Standing::Failed => Some("[exception never retrieved]"),
        _ => None,
    }
}

fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes / 1_024),
        _ => format!("{} MiB", bytes / 1_048_576),
    }
}
