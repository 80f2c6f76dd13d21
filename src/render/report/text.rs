//! The report as text: stalls first, worst first, each with the line to change and advice; then event loops,
//! coroutines, waits and tasks; finally, how complete the data is. The width and colours of the terminal are passed in.

use std::io::{self, Write};

use super::contents::{Activity, Report, SHOWN, StallGroup, stall_groups};
use super::words;
use crate::detect::stall::Stall;
use crate::model::event::NoteKind;
use crate::profile::{CoroutineProfile, LoopProfile, WaitProfile};
use crate::render::options::Options;
use crate::render::page::Page;
use crate::render::{escape, label, wait_words};

/// Indentation of the details of an entry.
const INDENT: usize = 6;

/// Writes the report.
pub fn write(report: &Report<'_>, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let mut text = Text { report, shown: options.limit.unwrap_or(SHOWN), page: Page::new(options, 60, out) };
    text.header()?;
    text.stalls()?;
    text.findings()?;
    text.loops()?;
    text.hottest()?;
    text.waits()?;
    text.tasks()?;
    text.notes()?;
    text.trust()
}

struct Text<'a, 'r> {
    report: &'a Report<'r>,
    shown: usize,
    page: Page<'a>,
}

impl Text<'_, '_> {
    fn header(&mut self) -> io::Result<()> {
        let analysis = self.report.analysis;
        let header = analysis.header();
        let build = if header.free_threaded { " free-threaded" } else { "" };
        let python = escape::visible(&header.python);
        let line = format!("Process {}: CPython {python}{build}, {}", header.pid, escape::visible(&header.executable));
        writeln!(self.page.out, "{}", self.page.paint.heading(line))?;
        if !header.command.is_empty() {
            writeln!(self.page.out, "{}", escape::brief(&header.command.join(" "), self.page.width))?;
        }
        let total = analysis.stalls().total();
        let stalls = match analysis.stalls().worst_first().first() {
            None if self.report.health().loop_samples == 0 => "nothing known about stalls".to_owned(),
            None => "no stall".to_owned(),
            Some(longest) => {
                let stalls = label::counted(total.count, "stall");
                self.page.paint.trouble(format!("{stalls}, longest {}", words::stall_length(longest)))
            }
        };
        let tasks: u64 = self.report.profile().coroutines().iter().map(|coroutine| coroutine.seen).sum();
        let found = match analysis.findings().len() {
            0 => String::new(),
            count => format!(", {}", label::counted(count, "finding")),
        };
        let watched = words::duration(analysis.duration_ns());
        let loops = label::counted(self.report.profile().loops().len(), "event loop");
        let line = format!("{stalls}{found} in {watched}: {loops}, {} seen", label::counted(tasks, "task"));
        writeln!(self.page.out, "{}{}", line[..1].to_uppercase(), &line[1..])
    }

    /// A list with a title, unless it is empty.
    fn list<T>(
        &mut self,
        title: &str,
        noun: &str,
        all: &[T],
        mut entry: impl FnMut(&mut Self, &T) -> io::Result<()>,
    ) -> io::Result<()> {
        if all.is_empty() {
            return Ok(());
        }
        self.page.section(title)?;
        all.iter().take(self.shown).try_for_each(|one| entry(self, one))?;
        self.page.rest(all.len(), self.shown, noun)
    }

    fn stalls(&mut self) -> io::Result<()> {
        let analysis = self.report.analysis;
        let (stalls, total) = (analysis.stalls().worst_first(), analysis.stalls().total());
        if stalls.is_empty() {
            return Ok(());
        }
        let threshold = words::duration(analysis.header().stall_threshold_ns);
        let (count, together) = (label::counted(total.count, "stall"), words::duration(total.at_least_ns));
        self.page.section(&format!("{count} of {threshold} or more, {together} in total"))?;
        let groups = stall_groups(&stalls);
        for group in groups.iter().take(self.shown) {
            self.stall_group(group)?;
        }
        let left_out = total.count.saturating_sub(stalls.len() as u64);
        if left_out > 0 {
            writeln!(self.page.out, "  {} shorter than these, only counted", label::counted(left_out, "stall"))?;
        }
        self.page.rest(groups.len(), self.shown, "place")
    }

    fn stall_group(&mut self, group: &StallGroup<'_>) -> io::Result<()> {
        let stall = group.worst;
        let length = words::stall_length(stall);
        let mut line = match group.count() {
            1 => length,
            count => {
                let (count, together) = (label::count(count), words::duration(group.total_ns));
                format!("{count} stalls, {together} in total, longest {length}")
            }
        };
        if group.ongoing && !stall.ongoing {
            line.push_str(", one still ongoing");
        }
        let detail = stall.detail.as_deref().map(|detail| format!(" ({})", escape::brief(detail, 120)));
        let cause = format!("{}{}", words::cause(stall.cause), detail.unwrap_or_default());
        writeln!(self.page.out, "  {}: {cause}", self.page.paint.trouble(line))?;
        self.page.place(INDENT, stall.site.as_ref().map(words::frame).as_deref())?;
        self.page.paragraph(INDENT, &escape::visible(&stall.advice))?;
        self.page.faint_paragraph(INDENT, &circumstances(stall))?;
        self.stack(stall)
    }

    /// The stack; nothing if the site already says everything.
    fn stack(&mut self, stall: &Stall) -> io::Result<()> {
        /// Levels shown: the outer ones show what the program was doing, the inner ones where it was stuck.
        const LEVELS: usize = 12;
        if stall.stack.len() < 2 && !stall.torn {
            return Ok(());
        }
        let frames: Vec<String> = stall.stack.iter().map(words::frame).collect();
        self.page.frames(INDENT + 2, &frames, LEVELS, LEVELS / 3)?;
        if stall.torn {
            let line = self.page.paint.faint("<torn>: deeper frames changed too fast to be read");
            writeln!(self.page.out, "{:INDENT$}  {line}", "")?;
        }
        Ok(())
    }

    fn findings(&mut self) -> io::Result<()> {
        let findings = self.report.analysis.findings();
        self.list("Findings of the last full snapshot", "finding", findings, |text, found| {
            let site = found.finding.site.as_ref().map(words::frame);
            text.page.finding(&found.finding.finding, site.as_deref())
        })
    }

    fn loops(&mut self) -> io::Result<()> {
        self.list("Event loops", "event loop", self.report.profile().loops(), Self::event_loop)
    }

    fn event_loop(&mut self, event_loop: &LoopProfile) -> io::Result<()> {
        let mut line = format!("  {}", escape::visible(&event_loop.info.class));
        if let Some(thread) = event_loop.info.thread {
            line.push_str(&format!(" in thread {thread}"));
        }
        if let Some(name) = &event_loop.info.thread_name {
            line.push_str(&format!(" ({})", escape::brief(name, 40)));
        }
        match event_loop.busy_share() {
            Some(share) => line.push_str(&format!(": {} busy", self.page.paint.name(words::percent(share)))),
            None => line.push_str(": load unknown"),
        }
        writeln!(self.page.out, "{line}")?;
        let mut facts = match event_loop.lag() {
            None => "no complete iteration seen".to_owned(),
            Some(lag) => {
                let [p50, p90, p99, max] = [lag.p50_ns, lag.p90_ns, lag.p99_ns, lag.max_ns].map(words::duration);
                format!("lag: p50 {p50}, p90 {p90}, p99 {p99}, max {max}")
            }
        };
        if let Some(ready) = event_loop.most_ready {
            facts.push_str(&format!("; up to {} queued", label::count(ready)));
        }
        if event_loop.leaving_ns > 0 && event_loop.has_gil {
            let share = event_loop.leaving_ns as f64 / event_loop.watched_ns().max(1) as f64;
            facts.push_str(&format!("; waiting for the GIL {} of the time", words::percent(share)));
        }
        if event_loop.parked_ns > 0 {
            let share = event_loop.parked_ns as f64 / event_loop.watched_ns().max(1) as f64;
            let share = words::percent(share);
            facts.push_str(&format!(
                "; is parked {share} of the time: its greenlet waits while the thread runs other code"
            ));
        }
        if event_loop.gap_ns > 0 {
            facts.push_str(&format!("; not sampled for {}", words::duration(event_loop.gap_ns)));
        }
        self.page.paragraph(INDENT, &facts)
    }

    fn hottest(&mut self) -> io::Result<()> {
        let runs = self.report.profile().runs();
        let all_ns: u64 = runs.iter().map(|run| run.time_ns).sum();
        let hottest: Vec<CoroutineProfile> =
            self.report.hottest().into_iter().filter(|coroutine| coroutine.run_ns > 0).collect();
        let tasks_ns: u64 = hottest.iter().map(|coroutine| coroutine.run_ns).sum();
        if all_ns == 0 {
            return Ok(());
        }
        self.page.section("What the event loops ran")?;
        let activity = Activity::of(&[], &runs);
        for coroutine in hottest.iter().take(self.shown) {
            let share = words::percent(coroutine.run_ns as f64 / all_ns as f64);
            let run = words::duration(coroutine.run_ns);
            let name = self.page.paint.name(words::coroutine(coroutine.coroutine.as_ref()));
            writeln!(self.page.out, "  {run:>10} {share:>7}  {name}, {}", label::counted(coroutine.seen, "task"))?;
            if let Some(heaviest) = activity.runs(coroutine.coroutine.as_ref()).first()
                && let Some(inner) = words::innermost(&heaviest.stack)
                && heaviest.stack.len() > 1
            {
                let line = format!("{} of it in {inner}", words::duration(heaviest.time_ns));
                writeln!(self.page.out, "{:22}{}", "", self.page.paint.faint(line))?;
            }
        }
        self.page.rest(hottest.len(), self.shown, "coroutine")?;
        let others_ns = all_ns.saturating_sub(tasks_ns);
        if others_ns > 0 {
            let share = words::percent(others_ns as f64 / all_ns as f64);
            writeln!(
                self.page.out,
                "  {:>10} {share:>7}  callbacks and the event loops themselves",
                words::duration(others_ns)
            )?;
        }
        Ok(())
    }

    fn waits(&mut self) -> io::Result<()> {
        let waits = self.report.profile().waits();
        self.list("Where tasks waited (total over all tasks)", "place", &waits, Self::wait)
    }

    fn wait(&mut self, wait: &WaitProfile<'_>) -> io::Result<()> {
        /// Levels shown of a wait: the outermost and the innermost are the most informative.
        const LEVELS: usize = 4;
        let mut what = wait.kind.map_or("something unknown", label::wait).to_owned();
        if let Some(detail) = wait.detail {
            what.push_str(&format!(" ({})", escape::brief(&wait_words::detail(detail), 60)));
        }
        let total = words::duration(wait.wait_ns);
        let many = match wait.waits {
            0 | 1 => String::new(),
            many => format!("{} waits, ", label::count(many)),
        };
        let mut line = format!("  {total:>10}  {}", self.page.paint.name(what));
        if wait.longest_ns > 0 {
            line.push_str(&format!(": {many}longest at least {}", words::duration(wait.longest_ns)));
            if let Some(task) = wait.longest_task {
                line.push_str(&format!(" ({})", escape::brief(task, 40)));
            }
        }
        writeln!(self.page.out, "{line}")?;
        if let Some((holder, _)) = wait.holders.first() {
            let others = match wait.holders.len() - 1 {
                0 => String::new(),
                others => format!(" and {others} more"),
            };
            writeln!(self.page.out, "{:14}held by {}{others}", "", escape::brief(holder, 60))?;
        }
        let frames: Vec<String> = wait.stack.iter().map(|frame| words::frame(frame)).collect();
        self.page.frames(14, &frames, LEVELS, 1)
    }

    fn tasks(&mut self) -> io::Result<()> {
        let coroutines = self.report.fastest_growing();
        if coroutines.is_empty() {
            return Ok(());
        }
        self.page.section("Tasks by coroutine, fastest-growing first")?;
        let head = format!(
            "  {:>9} {:>9} {:>9} {:>9} {:>10} {:>12}  coroutine",
            "seen", "born", "ended", "alive", "growth/min", "oldest ≥"
        );
        writeln!(self.page.out, "{}", self.page.paint.faint(head))?;
        for coroutine in coroutines.iter().take(self.shown) {
            let [seen, born, ended, alive] =
                [coroutine.seen, coroutine.born, coroutine.ended, coroutine.alive].map(label::count);
            let growth = coroutine.growth_per_minute.map_or("?".into(), |growth| format!("{growth:+.0}"));
            let oldest = match coroutine.oldest_ns {
                0 => "?".to_owned(),
                oldest_ns => words::duration(oldest_ns),
            };
            let name = words::coroutine(coroutine.coroutine.as_ref());
            writeln!(self.page.out, "  {seen:>9} {born:>9} {ended:>9} {alive:>9} {growth:>10} {oldest:>12}  {name}")?;
        }
        self.page.rest(coroutines.len(), self.shown, "coroutine")
    }

    fn notes(&mut self) -> io::Result<()> {
        let analysis = self.report.analysis;
        let notes: Vec<_> = analysis.notes().iter().filter(|note| note.kind != NoteKind::Ended).collect();
        if notes.is_empty() {
            return Ok(());
        }
        self.page.section("Events")?;
        let started_ns = analysis.header().started_ns;
        for note in notes.iter().take(self.shown) {
            let at = words::duration(note.at_ns.saturating_sub(started_ns));
            writeln!(self.page.out, "  after {at}: {}", escape::visible(&note.text))?;
        }
        self.page.rest(notes.len() + analysis.notes_left_out() as usize, self.shown, "note")
    }

    fn trust(&mut self) -> io::Result<()> {
        self.page.section("Data quality")?;
        trust(self.report).iter().try_for_each(|sentence| self.page.paragraph(2, sentence))
    }
}

/// The task that ran, what was queued behind it, and the evidence for the cause.
pub(super) fn circumstances(stall: &Stall) -> String {
    let mut parts = Vec::new();
    match &stall.task {
        Some(task) => {
            let name = match task.name.as_deref() {
                Some(name) if !name.is_empty() => label::name(name).into_owned(),
                _ => format!("{:#x}", task.key),
            };
            let coroutine = task.coroutine.as_ref().map(|coroutine| escape::brief(&coroutine.function, 60));
            parts.push(match coroutine {
                Some(coroutine) => format!("in task {name} ({coroutine})"),
                None => format!("in task {name}"),
            });
        }
        None if stall.interrupts_selector => {
            parts.push("in a signal handler (or a finalizer) that interrupted the selector".into())
        }
        None if stall.coroutines == 0 && !stall.stack.is_empty() => parts.push("in a callback".into()),
        None => {}
    }
    if let Some(callbacks) = stall.callbacks.filter(|callbacks| *callbacks > 1) {
        parts.push(format!("at least {} callbacks", label::count(callbacks)));
    }
    if let Some(ready) = stall.ready_waiting.filter(|ready| *ready > 0) {
        parts.push(format!("up to {} waited", label::counted(ready, "ready callback")));
    }
    parts.push(evidence(stall));
    parts.join("; ")
}

/// `34 samples: 30 in a system call, 4 unclear`.
pub(super) fn evidence(stall: &Stall) -> String {
    let word = |name: &'static str| match name {
        "in_call" => "in a system call",
        "collecting" => "collecting garbage",
        "waiting_for_gil" => "waiting for the GIL",
        "running_moved" => "executing Python",
        "running_still" => "at one instruction",
        "faults" => "in a page fault",
        name => name,
    };
    let parts: Vec<String> = (stall.evidence.entries())
        .filter(|(name, number)| *name != "samples" && *number > 0)
        .map(|(name, number)| match name.strip_suffix("_ns") {
            Some("run") => format!("{} on CPU", words::duration(number)),
            Some("starved") => format!("{} runnable but not scheduled", words::duration(number)),
            Some("throttled") => format!("{} throttled", words::duration(number)),
            Some(name) => format!("{} {name}", words::duration(number)),
            None => format!("{} {}", label::count(number), word(name)),
        })
        .collect();
    let samples = label::counted(stall.evidence.samples, "sample");
    if parts.is_empty() { samples } else { format!("{samples}: {}", parts.join(", ")) }
}

/// The quality of the watch, and what it may have missed.
pub(super) fn trust(report: &Report<'_>) -> Vec<String> {
    let (health, header) = (report.health(), report.analysis.header());
    let mut sentences = Vec::new();
    let asked = |rate: f64, wanted: f64| match rate < 0.9 * wanted {
        true => format!("{}/s of the {}/s requested", words::rate(rate), words::rate(wanted)),
        false => format!("{}/s", words::rate(rate)),
    };
    sentences.push(format!(
        "{} ({}), {} ({}).",
        label::counted(health.loop_samples, "loop sample"),
        asked(report.loop_rate_hz(), header.loop_rate_hz),
        label::counted(health.task_snapshots, "task snapshot"),
        asked(report.task_rate_hz(), header.task_rate_hz),
    ));
    if report.analysis.health().is_none() {
        sentences.push("The number of lost samples is unknown: the recording ends before it was written.".into());
    } else {
        sentences.push(format!(
            "{} dropped, {} re-read (the stack changed during the read), {} partial, {} taken late; asyncprof used {} of a \
             core.",
            label::count(health.dropped + health.lost),
            label::count(health.torn),
            label::count(health.partial),
            label::count(health.late),
            words::percent(report.cpu_percent() / 100.0),
        ));
    }
    if report.analysis.is_biased() {
        sentences.push(
            "Much changed while it was read: calls of a few microseconds have smaller shares than they should. --blocking \
             gives the right ones, but stops the process for each sample."
                .into(),
        );
    }
    if health.lowered_rate {
        let budget = words::percent(header.cpu_budget);
        sentences.push(format!("Sampling was slowed to stay within {budget} of a core (--cpu-budget)."));
    }
    sentences.push(match report.shortest_stall_ns() {
        _ if health.loop_samples == 0 => "No event loop was seen: nothing is known about stalls.".into(),
        u64::MAX => "Stalls of any length may have been missed.".into(),
        shortest => format!("Stalls shorter than {} may have been missed.", words::duration(shortest)),
    });
    if header.blocking {
        sentences.push(words::stops(&health.stops, report.analysis.duration_ns()));
    }
    if !report.complete {
        sentences.push("The recording is cut off: this is its content up to the last complete block.".into());
    }
    if report.profile().waits().iter().any(|wait| wait.longest_ns > 0) {
        sentences.push("Waits and ages are lower bounds: they count only while a task was shown to be the same one in the same wait.".into());
    }
    sentences
}
