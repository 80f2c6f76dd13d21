//! The Firefox Profiler's processed profile: stacks and stalls of each event loop over time, and the stacks of waiting
//! tasks.
//!
//! The format is a single JSON object of columns, so everything is kept until the end; see [`SAMPLES`].
//!
//! The height of a loop's graph shows that the loop is busy, not that it uses CPU: that is known for stalls only. The
//! colour shows what it does: see [`palette`].

mod markers;
mod palette;

use std::collections::BTreeMap;
use std::io::{self, Write};

use fxprof_processed_profile::{
    CpuDelta, MarkerTiming, ProcessHandle, Profile, ReferenceTimestamp, SamplingInterval, StackHandle, ThreadHandle,
    Timestamp, WeightType,
};
use rustc_hash::FxHashMap;

use self::markers::{NoteMarker, StallMarker};
use self::palette::{Kind, Palette};
use super::exporter::{End, Exporter, LOOPS, Step};
use crate::detect::stall::Stall;
use crate::model::event::{Doing, Event, Gil, Header, LoopSample, Phase, Source, TaskChanges, TaskLook};
use crate::model::snapshot::TaskState;
use crate::model::tables::{LoopInfo, Tables};
use crate::profile::{longest_period_ns, period_ns};
use crate::render::escape::{brief, visible};
use crate::render::label;
use crate::render::object::write_line;
use crate::render::report::words;

/// LIMIT: samples of loops that are kept, about 100 MB of them: more than half an hour of a busy loop; consecutive
/// samples in the selector are merged. Later samples are left out, and the profile says so.
const SAMPLES: usize = 2_000_000;

/// LIMIT: samples of waiting tasks after which half as many are kept, each standing for twice the time.
const WAITING_SAMPLES: u64 = 100_000;

/// A loop's thread.
#[derive(Debug)]
struct Loop {
    info: LoopInfo,
    thread: ThreadHandle,
    last_ns: Option<u64>,
    /// The last two samples were both in the selector: they are merged in the profile.
    idle: bool,
}

/// A profile being built.
struct Firefox<'o> {
    out: &'o mut dyn Write,
    profile: Profile,
    palette: Palette,
    process: ProcessHandle,
    started_ns: u64,
    period_ns: u64,
    loops: Vec<Loop>,
    waiting: ThreadHandle,
    /// Where each waiting task waits.
    waits: FxHashMap<u64, StackHandle>,
    /// Number of tasks waiting in each place.
    places: BTreeMap<StackHandle, u32>,
    /// The next task sample lists all tasks.
    lists_all: bool,
    /// The time at which `places` was valid.
    look_ns: Option<u64>,
    /// Waits up to here are already in the profile.
    counted_ns: Option<u64>,
    waiting_samples: u64,
    samples: usize,
    left_out_since_ns: Option<u64>,
    /// Some loops did not get a thread of their own.
    were_more_loops: bool,
    last_ns: u64,
}

/// Starts writing the Firefox Profiler's processed profile.
pub fn begin<'o>(header: &Header, out: &'o mut dyn Write) -> io::Result<Box<dyn Exporter + 'o>> {
    Ok(Box::new(Firefox::begin(header, out)))
}

impl<'o> Firefox<'o> {
    fn begin(header: &Header, out: &'o mut dyn Write) -> Self {
        let period_ns = period_ns(header.loop_rate_hz).unwrap_or(1_000_000);
        let started_ms = super::exporter::started_unix_ns(header).unwrap_or_default() as f64 / 1e6;
        let title = super::exporter::title(header);
        let mut profile = Profile::new(
            &format!("asyncprof of {title}"),
            ReferenceTimestamp::from_millis_since_unix_epoch(started_ms),
            SamplingInterval::from_nanos(period_ns),
        );
        profile.set_os_name("Linux");
        // Names need no symbolication: there is nothing to look up.
        profile.set_symbolicated(true);
        let palette = Palette::new(&mut profile);
        let start = Timestamp::from_nanos_since_reference(0);
        let process = profile.add_process(&title, header.pid.unsigned_abs(), start);
        let waiting = profile.add_thread(process, 0, start, false);
        profile.set_thread_name(waiting, "waiting tasks (weight: time, total over all tasks)");
        profile.set_thread_samples_weight_type(waiting, WeightType::TracingMs);
        profile.add_initial_visible_thread(waiting);
        Self {
            out,
            profile,
            palette,
            process,
            started_ns: header.started_ns,
            period_ns,
            loops: Vec::new(),
            waiting,
            waits: FxHashMap::default(),
            places: BTreeMap::new(),
            lists_all: true,
            look_ns: None,
            counted_ns: None,
            waiting_samples: 0,
            samples: 0,
            left_out_since_ns: None,
            were_more_loops: false,
            last_ns: header.started_ns,
        }
    }

    fn timestamp(&self, at_ns: u64) -> Timestamp {
        Timestamp::from_nanos_since_reference(at_ns.saturating_sub(self.started_ns))
    }

    /// Whether there is room for one more sample of a loop.
    fn has_room(&mut self, at_ns: u64) -> bool {
        if self.left_out_since_ns.is_some() || self.samples >= SAMPLES {
            self.left_out_since_ns.get_or_insert(at_ns);
            return false;
        }
        self.samples += 1;
        true
    }

    fn find_loop(&mut self, info: &LoopInfo) -> Option<usize> {
        if let Some(index) = self.loops.iter().position(|event_loop| event_loop.info == *info) {
            return Some(index);
        }
        if self.loops.len() >= LOOPS {
            self.were_more_loops = true;
            return None;
        }
        let tid = info.thread.map_or(0, i32::unsigned_abs);
        let thread = self.profile.add_thread(self.process, tid, self.timestamp(self.started_ns), false);
        let class = info.class.rsplit('.').next().unwrap_or(&info.class);
        let of = info.thread_name.as_deref().map(|name| format!(" in {}", label::name(name))).unwrap_or_default();
        let name = format!("loop {} {}{of} (height: busy)", self.loops.len() + 1, visible(class));
        self.profile.set_thread_name(thread, &name);
        self.profile.set_thread_show_markers_in_timeline(thread, true);
        self.profile.add_initial_visible_thread(thread);
        if self.loops.is_empty() {
            self.profile.add_initial_selected_thread(thread);
        }
        self.loops.push(Loop { info: info.clone(), thread, last_ns: None, idle: false });
        Some(self.loops.len() - 1)
    }

    fn sample(&mut self, sample: &LoopSample, tables: &Tables) {
        let Some(index) = tables.event_loop(sample.event_loop).and_then(|info| self.find_loop(info)) else { return };
        let (at_ns, at) = (sample.at_ns, self.timestamp(sample.at_ns));
        let event_loop = &mut self.loops[index];
        let thread = event_loop.thread;
        let last_ns = event_loop.last_ns.replace(at_ns).unwrap_or(at_ns);
        let passed_ns = at_ns.saturating_sub(last_ns);
        let idle = sample.phase == Phase::Selecting;
        let was_idle = std::mem::replace(&mut event_loop.idle, idle);
        let is_gap = passed_ns > longest_period_ns(self.period_ns);
        if self.left_out_since_ns.is_some() {
            return;
        }
        if idle && was_idle && !is_gap {
            // The first of them keeps its time, the last one is moved to the current time: those between take no
            // memory.
            return self.profile.add_sample_same_stack_zero_cpu(thread, at, 1);
        }
        if is_gap && self.has_room(at_ns) {
            let stack = self.palette.label(&mut self.profile, thread, None, "<not sampled>", Kind::Unknown);
            let after = Timestamp::from_nanos_since_reference((last_ns + 1).saturating_sub(self.started_ns));
            self.profile.add_sample(thread, after, Some(stack), CpuDelta::ZERO, 0);
        }
        if !self.has_room(at_ns) {
            return;
        }
        let busy = !idle && !is_gap && !matches!(sample.phase, Phase::NotRunning | Phase::Parked | Phase::Unknown);
        let away = if busy { CpuDelta::from_nanos(passed_ns) } else { CpuDelta::ZERO };
        let stack = self.stack(thread, sample, tables);
        self.profile.add_sample(thread, at, Some(stack), away, 1);
    }

    fn stack(&mut self, thread: ThreadHandle, sample: &LoopSample, tables: &Tables) -> StackHandle {
        let Self { palette, profile, .. } = self;
        let (outer, coroutines) = (usize::from(sample.outer), usize::from(sample.coroutines));
        let frames = sample.stack.map(|stack| tables.frames_outermost_first(stack)).unwrap_or_default();
        let frames = frames.into_iter().enumerate().map(|(depth, frame)| match depth {
            depth if depth < outer => (frame, Kind::Machinery),
            depth if depth < outer + coroutines => (frame, Kind::Coroutine),
            _ => (frame, Kind::Call),
        });
        let mut stack = palette.code(profile, thread, frames, sample.torn);
        let mut end = |text: &str, kind| stack = Some(palette.label(profile, thread, stack, text, kind));
        let doing = sample.kernel.as_ref().map(|look| &look.doing);
        match (sample.phase, doing) {
            (_, Some(Doing::Stopped)) => end("<stopped>", Kind::Unknown),
            (Phase::Selecting, _) => end("waiting for events", Kind::Idle),
            (Phase::LeavingSelector, _) if sample.gil == Gil::Own => {}
            (Phase::LeavingSelector, _) | (Phase::Away, Some(Doing::WaitingForGil)) => {
                end("waiting for the GIL", Kind::Blocked);
            }
            (Phase::Away, Some(Doing::Call { name, .. })) => {
                let call = name.as_deref().map_or_else(|| "a system call".into(), visible);
                end(&format!("in {call}"), Kind::Blocked);
            }
            (Phase::NotRunning, _) => end("<no loop runs>", Kind::Unknown),
            (Phase::Parked, _) => end("<the loop is parked>", Kind::Unknown),
            (Phase::Unknown, _) => end("<unknown>", Kind::Unknown),
            (Phase::Away, _) => {}
        }
        match stack {
            Some(stack) => stack,
            None => palette.label(profile, thread, None, "<unknown>", Kind::Unknown),
        }
    }

    /// The task sample before this moment stands for half of the time to each of its neighbours: one profile sample for
    /// each place, weighted for all its tasks.
    fn add_waits(&mut self, until_ns: u64) {
        /// The usual time between task samples, doubled whenever the limit is reached.
        const SHORTEST_NS: u64 = 100_000_000;
        let (Some(look_ns), Some(counted_ns)) = (self.look_ns, self.counted_ns) else { return };
        let waited_ns = until_ns.saturating_sub(counted_ns);
        let shortest_ns = match self.waiting_samples / WAITING_SAMPLES {
            0 => 1_000_000,
            halvings => SHORTEST_NS.saturating_mul(1 << halvings.min(20)),
        };
        if waited_ns < shortest_ns {
            return;
        }
        self.counted_ns = Some(until_ns);
        let at = self.timestamp(look_ns);
        for (place, tasks) in &self.places {
            let ms = (waited_ns / 1_000_000).saturating_mul(u64::from(*tasks));
            let weight = i32::try_from(ms).unwrap_or(i32::MAX);
            self.profile.add_sample(self.waiting, at, Some(*place), CpuDelta::ZERO, weight);
        }
        self.waiting_samples += self.places.len() as u64;
    }

    fn look(&mut self, changes: &TaskChanges, tables: &Tables) {
        let at_ns = changes.at_ns;
        let before_ns = self.look_ns.unwrap_or(at_ns);
        self.add_waits(before_ns + at_ns.saturating_sub(before_ns) / 2);
        self.look_ns = Some(at_ns);
        self.counted_ns.get_or_insert(at_ns);
        if std::mem::take(&mut self.lists_all) && changes.complete {
            self.waits.clear();
            self.places.clear();
        }
        for task in changes.ended.iter().filter_map(|&task| tables.task(task)) {
            self.leave(task.key);
        }
        for look in &changes.changed {
            let Some(task) = tables.task(look.task) else { continue };
            self.leave(task.key);
            if let Some(place) = self.waiting_stack(look, tables) {
                self.waits.insert(task.key, place);
                *self.places.entry(place).or_default() += 1;
            }
        }
    }

    fn leave(&mut self, key: u64) {
        let Some(place) = self.waits.remove(&key) else { return };
        if let Some(tasks) = self.places.get_mut(&place) {
            *tasks -= 1;
            if *tasks == 0 {
                self.places.remove(&place);
            }
        }
    }

    /// Where a task waits; `None` for a task that is not waiting.
    fn waiting_stack(&mut self, look: &TaskLook, tables: &Tables) -> Option<StackHandle> {
        if !matches!(look.state, TaskState::Waiting | TaskState::Cancelling) {
            return None;
        }
        let Self { palette, profile, waiting, .. } = self;
        let frames = look.stack.map(|stack| tables.frames_outermost_first(stack)).unwrap_or_default();
        let frames = frames.into_iter().map(|frame| (frame, Kind::Coroutine));
        let stack = palette.code(profile, *waiting, frames, look.torn);
        let kind = match &look.wait {
            Some(wait) => format!("await:{}", wait.kind.as_str()),
            None => "<unknown>".to_owned(),
        };
        Some(palette.label(profile, *waiting, stack, &kind, Kind::Idle))
    }

    fn stall(&mut self, stall: &Stall) {
        let Some(index) = self.find_loop(&stall.event_loop) else { return };
        let thread = self.loops[index].thread;
        let (from, to) = (stall.start_ns, stall.start_ns.saturating_add(stall.at_least_ns));
        let timing = MarkerTiming::Interval(self.timestamp(from), self.timestamp(to));
        let marker = StallMarker::of(stall, self.palette.blocked(), &mut self.profile);
        let handle = self.profile.add_marker(thread, timing, marker);
        let kind = |depth| if depth < stall.coroutines { Kind::Coroutine } else { Kind::Call };
        let frames = stall.stack.iter().enumerate().map(|(depth, frame)| (frame, kind(depth)));
        let stack = self.palette.code(&mut self.profile, thread, frames, stall.torn);
        self.profile.set_marker_stack(thread, handle, stack);
    }

    /// Something that happened, placed where users look first.
    fn mark(&mut self, at_ns: u64, text: &str) {
        let thread = self.loops.first().map_or(self.waiting, |event_loop| event_loop.thread);
        let timing = MarkerTiming::Instant(self.timestamp(at_ns));
        let marker = NoteMarker::of(text, &mut self.profile);
        self.profile.add_marker(thread, timing, marker);
    }
}

impl Exporter for Firefox<'_> {
    fn take(&mut self, step: &Step<'_>) -> io::Result<()> {
        let Step { batch, analysis, .. } = *step;
        if batch.begins_anew && batch.source == Source::Tasks {
            self.lists_all = true;
        }
        let tables = analysis.tables(batch.source);
        for event in &batch.events {
            self.last_ns = self.last_ns.max(event.at_ns());
            match event {
                Event::Loop(sample) => self.sample(sample, tables),
                Event::Tasks(changes) => self.look(changes, tables),
                Event::Note(note) => {
                    self.mark(note.at_ns, &format!("{}: {}", note.kind.as_str(), brief(&note.text, 200)));
                }
                Event::Health(health) => self.period_ns = period_ns(health.loop_rate_hz).unwrap_or(self.period_ns),
                Event::Findings { .. } => {}
            }
        }
        for stall in step.ended() {
            self.stall(stall);
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, end: &End<'_>) -> io::Result<Option<String>> {
        for stall in end.ongoing {
            self.stall(stall);
        }
        self.add_waits(self.last_ns);
        if !end.complete {
            self.mark(self.last_ns, "the recording is cut off here");
        }
        let left_out = self.left_out_since_ns.map(|since_ns| {
            let after = words::duration(since_ns.saturating_sub(self.started_ns));
            let most = label::count(SAMPLES);
            format!("the Firefox Profiler's format is built in memory: loop samples after the first {most}, at {after}, are left out")
        });
        if let (Some(since_ns), Some(left_out)) = (self.left_out_since_ns, &left_out) {
            self.mark(since_ns, left_out);
        }
        let loops = self.were_more_loops.then(super::exporter::loops_left_out);
        if let Some(loops) = &loops {
            self.mark(self.last_ns, loops);
        }
        let end_of_all = self.timestamp(self.last_ns);
        self.profile.set_process_end_time(self.process, end_of_all);
        write_line(&self.profile, self.out)?;
        Ok(super::exporter::together([loops, left_out]))
    }
}
