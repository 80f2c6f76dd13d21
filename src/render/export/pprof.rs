//! pprof's format: a gzipped protobuf message, `perftools.profiles.Profile`, with a column for each way to weigh time.
//! Does not depend on how time was counted.
//!
//! The task is a label of the sample (`go tool pprof -tagroot task`), not a level of its stack, and so is the thread if
//! threads are kept apart (`-tagroot thread,task`). There are no mappings and no addresses: a location is a function
//! and a line.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;
use rustc_hash::FxHashMap;

use self::message::{Function, Line, Location, Sample, SampleLabel, ValueType};
use crate::model::event::Header;
use crate::profile::{By, Label, Profile, Weighted};
use crate::render::levels::{Level, level};

/// Writes the profile; the column given by `by` is shown first.
pub fn write(header: &Header, duration_ns: u64, profile: &Profile, by: By, out: &mut dyn Write) -> io::Result<()> {
    let mut builder = Builder::default();
    // The format requires the first string to be empty.
    builder.text("");
    let columns = COLUMNS.map(|(name, unit)| builder.value_type(name, unit));
    builder.message.sample_type = columns.to_vec();
    builder.message.default_sample_type = builder.text(match by {
        By::Run => "run",
        By::Await => "await",
        By::Wall => "wall",
    });
    builder.message.period_type = Some(builder.value_type("run", "nanoseconds"));
    builder.message.period = if header.loop_rate_hz > 0.0 { (1e9 / header.loop_rate_hz) as i64 } else { 0 };
    builder.message.time_nanos = super::exporter::started_unix_ns(header).unwrap_or_default();
    builder.message.duration_nanos = number(duration_ns);
    let comment =
        format!("asyncprof {} of {} (CPython {})", header.asyncprof, super::exporter::title(header), header.python);
    let comment = builder.text(&comment);
    builder.message.comment.push(comment);
    for (stack, values) in rows(profile) {
        builder.add(&stack, values);
    }
    let mut out = GzEncoder::new(out, Compression::default());
    out.write_all(&builder.message.encode_to_vec())?;
    out.finish()?.flush()
}

/// The values of each sample, and their units.
const COLUMNS: [(&str, &str); 5] = [
    ("run", "nanoseconds"),
    ("await", "nanoseconds"),
    ("wall", "nanoseconds"),
    ("run_samples", "count"),
    ("waits", "count"),
];

type Values = [i64; COLUMNS.len()];

/// Each distinct stack once, with all its columns, heaviest first.
fn rows(profile: &Profile) -> Vec<(Vec<Label<'_>>, Values)> {
    let mut numbers: FxHashMap<Vec<Label<'_>>, usize> = FxHashMap::default();
    let mut rows: Vec<(Vec<Label<'_>>, Values)> = Vec::new();
    for (by, time, count) in [(By::Wall, 2, None), (By::Run, 0, Some(3)), (By::Await, 1, Some(4))] {
        for Weighted { stack, time_ns, count: counted } in profile.weights(by) {
            let row = *numbers.entry(stack).or_insert_with_key(|stack| {
                rows.push((stack.clone(), Values::default()));
                rows.len() - 1
            });
            let values = &mut rows[row].1;
            values[time] = values[time].saturating_add(number(time_ns));
            if let Some(column) = count {
                values[column] = values[column].saturating_add(number(counted));
            }
        }
    }
    rows
}

/// The format has no larger ones.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A message being built: each text, function and location is stored once.
#[derive(Default)]
struct Builder<'p> {
    message: message::Profile,
    texts: FxHashMap<String, i64>,
    functions: FxHashMap<(i64, i64), u64>,
    locations: FxHashMap<Level<'p>, u64>,
}

impl<'p> Builder<'p> {
    fn text(&mut self, text: &str) -> i64 {
        if let Some(index) = self.texts.get(text) {
            return *index;
        }
        let index = self.message.string_table.len() as i64;
        self.message.string_table.push(text.to_owned());
        self.texts.insert(text.to_owned(), index);
        index
    }

    fn value_type(&mut self, name: &str, unit: &str) -> ValueType {
        ValueType { r#type: self.text(name), unit: self.text(unit) }
    }

    fn add(&mut self, stack: &[Label<'p>], values: Values) {
        let mut sample = Sample { value: values.to_vec(), ..Sample::default() };
        let mut rest = stack;
        while let [Label::Thread(name) | Label::Task(name), inner @ ..] = rest {
            let key = if matches!(rest[0], Label::Thread(_)) { "thread" } else { "task" };
            let name = name.map_or_else(|| "?".into(), crate::render::label::name);
            sample.label.push(SampleLabel { key: self.text(key), str: self.text(&name) });
            rest = inner;
        }
        // Innermost first. A sample without a location would not be counted: in that case it is not known what it ran.
        sample.location_id = rest.iter().rev().map(|of| self.location(level(of))).collect();
        if sample.location_id.is_empty() {
            sample.location_id.push(self.location(level(&Label::Unknown)));
        }
        self.message.sample.push(sample);
    }

    fn location(&mut self, level: Level<'p>) -> u64 {
        if let Some(id) = self.locations.get(&level) {
            return *id;
        }
        let name = self.text(&level.name);
        let filename = level.file.as_deref().map_or(0, |file| self.text(file));
        let function_id = self.function(name, filename);
        // Ids begin at 1.
        let id = self.message.location.len() as u64 + 1;
        let line = Line { function_id, line: level.line.map_or(0, i64::from) };
        self.message.location.push(Location { id, line: vec![line] });
        self.locations.insert(level, id);
        id
    }

    fn function(&mut self, name: i64, filename: i64) -> u64 {
        let functions = &mut self.message.function;
        *self.functions.entry((name, filename)).or_insert_with(|| {
            let id = functions.len() as u64 + 1;
            functions.push(Function { id, name, filename });
            id
        })
    }
}

/// The messages of the format in use, with the field numbers of pprof's `profile.proto`.
mod message {
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Profile {
        #[prost(message, repeated, tag = "1")]
        pub(super) sample_type: Vec<ValueType>,
        #[prost(message, repeated, tag = "2")]
        pub(super) sample: Vec<Sample>,
        #[prost(message, repeated, tag = "4")]
        pub(super) location: Vec<Location>,
        #[prost(message, repeated, tag = "5")]
        pub(super) function: Vec<Function>,
        #[prost(string, repeated, tag = "6")]
        pub(super) string_table: Vec<String>,
        #[prost(int64, tag = "9")]
        pub(super) time_nanos: i64,
        #[prost(int64, tag = "10")]
        pub(super) duration_nanos: i64,
        #[prost(message, optional, tag = "11")]
        pub(super) period_type: Option<ValueType>,
        #[prost(int64, tag = "12")]
        pub(super) period: i64,
        #[prost(int64, repeated, tag = "13")]
        pub(super) comment: Vec<i64>,
        #[prost(int64, tag = "14")]
        pub(super) default_sample_type: i64,
    }

    #[derive(Clone, Copy, PartialEq, Message)]
    pub(super) struct ValueType {
        #[prost(int64, tag = "1")]
        pub(super) r#type: i64,
        #[prost(int64, tag = "2")]
        pub(super) unit: i64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Sample {
        #[prost(uint64, repeated, tag = "1")]
        pub(super) location_id: Vec<u64>,
        #[prost(int64, repeated, tag = "2")]
        pub(super) value: Vec<i64>,
        #[prost(message, repeated, tag = "3")]
        pub(super) label: Vec<SampleLabel>,
    }

    #[derive(Clone, Copy, PartialEq, Message)]
    pub(super) struct SampleLabel {
        #[prost(int64, tag = "1")]
        pub(super) key: i64,
        #[prost(int64, tag = "2")]
        pub(super) str: i64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Location {
        #[prost(uint64, tag = "1")]
        pub(super) id: u64,
        #[prost(message, repeated, tag = "4")]
        pub(super) line: Vec<Line>,
    }

    #[derive(Clone, Copy, PartialEq, Message)]
    pub(super) struct Line {
        #[prost(uint64, tag = "1")]
        pub(super) function_id: u64,
        #[prost(int64, tag = "2")]
        pub(super) line: i64,
    }

    #[derive(Clone, Copy, PartialEq, Message)]
    pub(super) struct Function {
        #[prost(uint64, tag = "1")]
        pub(super) id: u64,
        #[prost(int64, tag = "2")]
        pub(super) name: i64,
        #[prost(int64, tag = "4")]
        pub(super) filename: i64,
    }
}
