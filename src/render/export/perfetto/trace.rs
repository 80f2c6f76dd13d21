//! Chrome's trace events as JSON, written one by one: slices, counters, instants, and the names of tracks.
//!
//! Times are nanoseconds on the clock of the recording here, and whole microseconds since its start in the file:
//! readers round fractions differently, which makes consecutive slices overlap. Slices that begin before the start are
//! cut there.

use std::io::{self, Write};

use serde::Serialize;

use crate::render::object::{object, serializer};

/// The track of slices: a thread of a process, in the terms of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TrackId {
    pub(super) pid: u32,
    pub(super) tid: u32,
}

/// A trace being written.
pub(super) struct Trace<'o> {
    out: io::BufWriter<&'o mut dyn Write>,
    started_ns: u64,
    is_first: bool,
}

#[derive(Serialize)]
struct EventJson<'a, A> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'static str>,
    ph: &'static str,
    ts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<u64>,
    pid: u32,
    tid: u32,
    /// The scope of an instant: its process.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<&'a A>,
}

/// The arguments of what a task or loop does.
#[derive(Default, Serialize)]
pub(super) struct DoesArgs<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) torn: bool,
}

impl<'o> Trace<'o> {
    /// `about` is the file's metadata.
    pub(super) fn begin(out: &'o mut dyn Write, started_ns: u64, about: &impl Serialize) -> io::Result<Self> {
        let mut out = io::BufWriter::new(out);
        out.write_all(b"{\"displayTimeUnit\":\"ms\",\"otherData\":")?;
        about.serialize(&mut serializer(&mut out))?;
        out.write_all(b",\"traceEvents\":[\n")?;
        Ok(Self { out, started_ns, is_first: true })
    }

    pub(super) fn end(mut self) -> io::Result<()> {
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()
    }

    fn write(&mut self, event: &impl Serialize) -> io::Result<()> {
        if !std::mem::take(&mut self.is_first) {
            self.out.write_all(b",\n")?;
        }
        event.serialize(&mut serializer(&mut self.out))?;
        Ok(())
    }

    fn us(&self, at_ns: u64) -> u64 {
        at_ns.saturating_sub(self.started_ns) / 1_000
    }

    fn event<A: Serialize>(
        &mut self,
        place: TrackId,
        ph: &'static str,
        name: &str,
        at_ns: u64,
        args: Option<&A>,
    ) -> io::Result<()> {
        let TrackId { pid, tid } = place;
        let s = (ph == "i").then_some("p");
        self.write(&EventJson { name, cat: None, ph, ts: self.us(at_ns), dur: None, pid, tid, s, args })
    }

    /// A complete slice; nothing if it is shorter than the file's resolution.
    pub(super) fn slice<A: Serialize>(
        &mut self,
        place: TrackId,
        cat: &'static str,
        name: &str,
        (from_ns, to_ns): (u64, u64),
        args: &A,
    ) -> io::Result<()> {
        let TrackId { pid, tid } = place;
        let ts = self.us(from_ns);
        let dur = self.us(to_ns).saturating_sub(ts);
        if dur == 0 {
            return Ok(());
        }
        let (cat, args) = (Some(cat), Some(args));
        self.write(&EventJson { name, cat, ph: "X", ts, dur: Some(dur), pid, tid, s: None, args })
    }

    /// Begins a slice that can contain others.
    pub(super) fn open<A: Serialize>(&mut self, place: TrackId, name: &str, at_ns: u64, args: &A) -> io::Result<()> {
        self.event(place, "B", name, at_ns, Some(args))
    }

    /// Ends the last slice begun there; some readers require its name and arguments again.
    pub(super) fn close<A: Serialize>(&mut self, place: TrackId, name: &str, at_ns: u64, args: &A) -> io::Result<()> {
        self.event(place, "E", name, at_ns, Some(args))
    }

    pub(super) fn counter(&mut self, place: TrackId, name: &str, at_ns: u64, value: f64) -> io::Result<()> {
        self.event(place, "C", name, at_ns, Some(&object! { value }))
    }

    pub(super) fn instant<A: Serialize>(&mut self, place: TrackId, name: &str, at_ns: u64, args: &A) -> io::Result<()> {
        self.event(place, "i", name, at_ns, Some(args))
    }

    fn metadata(&mut self, place: TrackId, name: &'static str, args: impl Serialize) -> io::Result<()> {
        let TrackId { pid, tid } = place;
        self.write(&object! { name, ph: "M", pid, tid, args })
    }

    /// Sets the name of a process, and its position among the others.
    pub(super) fn name_process(&mut self, place: TrackId, name: &str, position: u32) -> io::Result<()> {
        self.metadata(place, "process_name", object! { name })?;
        self.metadata(place, "process_sort_index", object! { sort_index: position })
    }

    /// Sets the name of a track, and its position among the others.
    pub(super) fn name_track(&mut self, place: TrackId, name: &str, position: u32) -> io::Result<()> {
        self.metadata(place, "thread_name", object! { name })?;
        self.metadata(place, "thread_sort_index", object! { sort_index: position })
    }
}
