//! The state of a watch in one line. Pure: the caller brings the terminal.

use crate::cli::input::units::{counted, length};
use crate::cli::output::recording_file::Recording;
use crate::detect::analysis::Analysis;
use crate::model::event::{Batch, Event, Header, Health};

/// What the line is made of, apart from the analysis.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pid: i32,
    started_ns: u64,
    last_ns: u64,
    tasks: Option<u32>,
    health: Health,
}

impl Status {
    pub(crate) fn new(header: &Header) -> Self {
        let started_ns = header.started_ns;
        Self { pid: header.pid, started_ns, last_ns: started_ns, tasks: None, health: Health::default() }
    }

    pub(crate) fn absorb(&mut self, batch: &Batch) {
        for event in &batch.events {
            self.last_ns = self.last_ns.max(event.at_ns());
            match event {
                Event::Tasks(changes) => self.tasks = Some(changes.total),
                Event::Health(health) => self.health = *health,
                _ => {}
            }
        }
    }

    /// `watching 4211 for 12 s: loop 43 % busy, p99 12 ms, 34 tasks, 3 stalls, own CPU 1.2 %`.
    pub(crate) fn line(&self, analysis: Option<&Analysis>, recording: Option<&Recording>) -> String {
        let mut parts = Vec::new();
        if let Some(analysis) = analysis {
            parts.extend(loops(analysis));
        }
        parts.extend(self.tasks.map(|tasks| counted(u64::from(tasks), "task")));
        if let Some(analysis) = analysis {
            parts.push(counted(analysis.stalls().total().count, "stall"));
        }
        if let Some(size) = recording.and_then(Recording::size) {
            parts.push(format!("{} samples, {}", self.health.loop_samples, bytes(size)));
        }
        let watched_ns = self.last_ns.saturating_sub(self.started_ns);
        if watched_ns > 0 && self.health.cpu_ns > 0 {
            let slower = if self.health.lowered_rate { ", rate lowered" } else { "" };
            parts.push(format!("own CPU {:.1} %{slower}", self.health.cpu_ns as f64 * 100.0 / watched_ns as f64));
        }
        let verb = if recording.is_some() { "recording" } else { "watching" };
        // Whole seconds, so that it does not flicker.
        let whole = watched_ns / 1_000_000_000;
        let time = if whole < 60 { format!("{whole} s") } else { length(watched_ns) };
        format!("{verb} {} for {time}: {}", self.pid, parts.join(", "))
    }
}

/// The busiest loop, standing for all.
fn loops(analysis: &Analysis) -> Option<String> {
    let loops = analysis.profile().loops();
    let (busiest, share) = loops
        .iter()
        .filter_map(|one| Some((one, one.busy_share()?)))
        .max_by(|(_, one), (_, other)| one.total_cmp(other))?;
    let which = if loops.len() > 1 { format!("busiest of {} loops", loops.len()) } else { "loop".into() };
    let lag = busiest.lag().map(|lag| format!(", p99 {}", length(lag.p99_ns))).unwrap_or_default();
    Some(format!("{which} {:.0} % busy{lag}", share * 100.0))
}

fn bytes(count: u64) -> String {
    if count < 1_000_000 { format!("{} kB", count.div_ceil(1_000)) } else { format!("{:.1} MB", count as f64 / 1e6) }
}
