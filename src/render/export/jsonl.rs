//! `asyncprof.events/1`: a recording as JSON lines, for scripts: each line is an object that can be read independently.
//! Does not depend on how the events were recorded.
//!
//! Every line has a `type`. Times are nanoseconds on the clock of the events (`at_ns`, `start_ns`); `started_ns` of the
//! header is the beginning on the same clock, `started_at` the same moment in calendar time. Unknown values are `null`.
//! Lines of one kind are in order of time; adjacent lines of different kinds can be up to some seconds apart. A frame
//! is `function`, `file`, `line`; a stack is its frames, outermost first. Fields and types may be added under the same
//! `schema`, so readers should ignore those they do not know.
//!
//! | `type` | what | fields |
//! |---|---|---|
//! | `header` | the first line | `schema`, `asyncprof`, `pid`, `python`, `command`, `machine`, `started_at`, `started_ns`, `loop_rate_hz`, `task_rate_hz`, `stall_threshold_ns`, `cpu_budget`, `blocking` |
//! | `loop` | a loop's thread at one moment | `at_ns`, `loop` (`id`, `type`, `thread`, `thread_name`), `phase` (`selecting`, `away`, `leaving_selector`, `not_running`, `parked`, `unknown`), `away_since_ns`, `callback`, `task`, `stack`, `outer` (how many of its outermost frames are the loop's own), `coroutines` (how many after those are coroutines), `torn` (after `stack` there is a gap), `moved`, `ready`, `gil`, `gil_thread`, `collecting`, `kernel`, `holder_stack` |
//! | `tasks` | a task sample | `at_ns`, `took_ns`, `total`, `complete`, `changed` (a list of `task`, `born`, `state`, `stack`, `torn`, `wait`), `ended` (a list of tasks) |
//! | `findings` | the findings of a snapshot; they replace those of the previous one | `at_ns`, `findings` as in `asyncprof.report/1` |
//! | `health` | quality of the watch, totals since it began | `at_ns`, `loop_samples`, `task_snapshots`, `dropped`, `lost`, `torn`, `partial`, `late`, `cpu_ns`, `loop_rate_hz`, `task_rate_hz`, `lowered_rate`, `longest_gap_ns` |
//! | `note` | something happened to the target or the watch | `at_ns`, `kind`, `text` |
//! | `stall` | a stall, after the events in which it ended; one whose end was not seen, before the last line | as in `asyncprof.report/1` |
//! | `end` | the last line; a file without it is incomplete | `at_ns` of the last event, `complete` (false where the recording breaks off), `stalls` (how many there were) |
//!
//! A task is `id`, `name`, `coroutine` (a frame); a later task can have the same `id`. `wait` is `kind`, `detail`,
//! `tasks` and `held_by` (lists of tasks). `gil` is `free`, `own`, `other` (than of the loop's thread; `gil_thread`
//! where known), `none` (this build has none) or `unknown`. `kernel` is `doing` (`running`, `call`, `waiting_for_gil`,
//! `fault`, `stopped`, `unknown`), `call`, `call_number`, `fd`, and since the thread's start `run_ns`, `starved_ns`,
//! of its control group `throttled_us`, and of a runnable holder of the GIL `holder_run_ns`.

use std::io::{self, Write};

use serde::Serialize;

use super::exporter::{End, Exporter, Step};
use super::jsonl_events;
use crate::detect::analysis::Found;
use crate::detect::stall::Stall;
use crate::model::event::{Event, Header};
use crate::model::tables::Tables;
use crate::render::object::{object, serializer};
use crate::render::{report, shared};

/// Writes a line for each event.
struct JsonLines<'o> {
    out: io::BufWriter<&'o mut dyn Write>,
    last_ns: Option<u64>,
}

/// Starts writing each event as one line of JSON.
pub fn begin<'o>(header: &Header, out: &'o mut dyn Write) -> io::Result<Box<dyn Exporter + 'o>> {
    Ok(Box::new(JsonLines::begin(header, out)?))
}

impl<'o> JsonLines<'o> {
    fn begin(header: &Header, out: &'o mut dyn Write) -> io::Result<Self> {
        let mut lines = Self { out: io::BufWriter::new(out), last_ns: None };
        lines.line(&jsonl_events::header(header))?;
        Ok(lines)
    }

    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        line.serialize(&mut serializer(&mut self.out))?;
        self.out.write_all(b"\n")
    }

    fn event(&mut self, event: &Event, tables: &Tables) -> io::Result<()> {
        match event {
            Event::Loop(sample) => self.line(&jsonl_events::loop_sample(sample, tables)),
            Event::Tasks(changes) => self.line(&jsonl_events::task_changes(changes, tables)),
            Event::Findings { at_ns, findings } => {
                let found: Vec<Found> = findings.iter().map(|finding| Found::new(finding, tables)).collect();
                let findings: Vec<_> = found.iter().map(shared::found).collect();
                self.line(&object! { r#type: "findings", at_ns, findings })
            }
            Event::Health(health) => self.line(&jsonl_events::health(health)),
            Event::Note(note) => self.line(&object! {
                r#type: "note",
                #[serde(flatten)]
                note: shared::note(note),
            }),
        }
    }

    fn stall(&mut self, stall: &Stall) -> io::Result<()> {
        self.line(&object! {
            r#type: "stall",
            #[serde(flatten)]
            stall: report::json::stall(stall),
        })
    }
}

impl Exporter for JsonLines<'_> {
    fn take(&mut self, step: &Step<'_>) -> io::Result<()> {
        let tables = step.analysis.tables(step.batch.source);
        for event in &step.batch.events {
            self.last_ns = self.last_ns.max(Some(event.at_ns()));
            self.event(event, tables)?;
        }
        for stall in step.ended() {
            self.stall(stall)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, end: &End<'_>) -> io::Result<Option<String>> {
        for stall in end.ongoing {
            self.stall(stall)?;
        }
        let stalls = end.analysis.stalls().total().count;
        self.line(&object! { r#type: "end", at_ns: self.last_ns, complete: end.complete, stalls })?;
        self.out.flush()?;
        Ok(None)
    }
}
