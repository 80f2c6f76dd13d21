//! The formats as their own documents say: each is read here by its rules, and nothing else is allowed in it.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;

use prost::Message;
use serde_json::Value;

pub(crate) fn count(value: &Value) -> usize {
    value.as_array().unwrap().len()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// Microseconds by stack of folded stacks.
pub(crate) fn collapsed(text: &str) -> Vec<(Vec<&str>, u64)> {
    let line = |line| {
        let (stack, count): (&str, &str) = str::rsplit_once(line, ' ').unwrap();
        (stack.split(';').collect(), count.parse().unwrap())
    };
    text.lines().map(line).collect()
}

/// Nanoseconds of each profile of a speedscope file, once all its numbers were found to mean something.
pub(crate) fn check_speedscope(file: &Value) -> BTreeMap<String, f64> {
    assert_eq!(file["$schema"], "https://www.speedscope.app/file-format-schema.json");
    let frames = file["shared"]["frames"].as_array().unwrap();
    for frame in frames {
        assert!(frame["name"].is_string(), "{frame}");
        assert!(frame.get("file").is_none_or(Value::is_string) && frame.get("line").is_none_or(Value::is_u64));
    }
    let profiles = file["profiles"].as_array().unwrap();
    assert!((file["activeProfileIndex"].as_u64().unwrap() as usize) < profiles.len());
    let total = |profile: &Value| {
        assert_eq!((&profile["type"], &profile["unit"]), (&"sampled".into(), &"nanoseconds".into()));
        let samples = profile["samples"].as_array().unwrap();
        assert!(samples.iter().flat_map(numbers).all(|index| (index as usize) < frames.len()));
        let weights = numbers(&profile["weights"]);
        assert_eq!(samples.len(), weights.len());
        let total: f64 = weights.iter().sum();
        assert_eq!(profile["endValue"].as_f64().unwrap() - profile["startValue"].as_f64().unwrap(), total);
        let name = profile["name"].as_str().unwrap().split(':').next().unwrap();
        (name.to_owned(), total)
    };
    profiles.iter().map(total).collect()
}

/// The messages of pprof's `profile.proto`, written down once more, so that a wrong number in one place is seen.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Pprof {
    #[prost(message, repeated, tag = "1")]
    pub(crate) sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) sample: Vec<PprofSample>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    pub(crate) string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    pub(crate) time_nanos: i64,
    #[prost(int64, tag = "10")]
    pub(crate) duration_nanos: i64,
    #[prost(int64, tag = "14")]
    pub(crate) default_sample_type: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueType {
    #[prost(int64, tag = "1")]
    pub(crate) kind: i64,
    #[prost(int64, tag = "2")]
    pub(crate) unit: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PprofSample {
    #[prost(uint64, repeated, tag = "1")]
    pub(crate) location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    pub(crate) value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) label: Vec<Label>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Label {
    #[prost(int64, tag = "1")]
    pub(crate) key: i64,
    #[prost(int64, tag = "2")]
    pub(crate) text: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Location {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) mapping_id: u64,
    #[prost(message, repeated, tag = "4")]
    pub(crate) line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Line {
    #[prost(uint64, tag = "1")]
    pub(crate) function_id: u64,
    #[prost(int64, tag = "2")]
    pub(crate) line: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Function {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(int64, tag = "2")]
    pub(crate) name: i64,
    #[prost(int64, tag = "4")]
    pub(crate) filename: i64,
}

impl Pprof {
    pub(crate) fn unpacked(bytes: &[u8]) -> Self {
        let mut message = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut message).unwrap();
        Self::decode(&*message).unwrap()
    }

    pub(crate) fn text(&self, index: i64) -> &str {
        &self.string_table[index as usize]
    }

    /// Sums of the columns by name, once all ids were found to mean something.
    pub(crate) fn check(&self) -> BTreeMap<String, i64> {
        assert_eq!(self.string_table[0], "");
        for function in &self.function {
            assert!(function.id > 0 && !self.text(function.name).is_empty());
            let _ = self.text(function.filename);
        }
        let functions: HashMap<u64, &Function> = self.function.iter().map(|function| (function.id, function)).collect();
        assert_eq!(functions.len(), self.function.len(), "ids are their own");
        let locations: HashMap<u64, &Location> = self.location.iter().map(|location| (location.id, location)).collect();
        assert_eq!(locations.len(), self.location.len(), "ids are their own");
        for location in &self.location {
            assert!(location.id > 0 && location.mapping_id == 0 && location.line.len() == 1);
            assert!(functions.contains_key(&location.line[0].function_id));
        }
        for sample in &self.sample {
            assert_eq!(sample.value.len(), self.sample_type.len());
            assert!(!sample.location_id.is_empty());
            assert!(sample.location_id.iter().all(|id| locations.contains_key(id)));
            for label in &sample.label {
                assert!(["thread", "task"].contains(&self.text(label.key)) && !self.text(label.text).is_empty());
            }
        }
        let sum = |column: usize| self.sample.iter().map(|sample| sample.value[column]).sum();
        (self.sample_type.iter().enumerate()).map(|(at, kind)| (self.text(kind.kind).to_owned(), sum(at))).collect()
    }
}

/// The events of a trace, once they were found to follow the rules of the format: slices of a track lie in each other or
/// behind each other, and each that begins ends.
pub(crate) fn check_trace(file: &Value) -> &Vec<Value> {
    type Track<'a> = Vec<(u64, usize, &'a Value)>;
    let events = file["traceEvents"].as_array().unwrap();
    let mut tracks: HashMap<(u64, u64), Track<'_>> = HashMap::new();
    for (position, event) in events.iter().enumerate() {
        let (pid, tid) = (event["pid"].as_u64().unwrap(), event["tid"].as_u64().unwrap());
        assert!(u32::try_from(pid).is_ok() && u32::try_from(tid).is_ok(), "{event}");
        match event["ph"].as_str().unwrap() {
            "M" => {
                let args = &event["args"];
                let is_known = match event["name"].as_str().unwrap() {
                    "process_name" | "thread_name" => args["name"].is_string(),
                    "process_sort_index" | "thread_sort_index" => args["sort_index"].is_u64(),
                    _ => false,
                };
                assert!(is_known, "{event}");
                continue;
            }
            "C" => assert!(event["args"]["value"].as_f64().unwrap() >= 0.0),
            "i" => assert_eq!(event["s"], "p"),
            "X" => {
                assert!(event["dur"].as_u64().unwrap() > 0, "{event}");
                assert!(!event["cat"].as_str().unwrap().is_empty());
                tracks.entry((pid, tid)).or_default().push((event["ts"].as_u64().unwrap(), position, event));
            }
            "B" | "E" => tracks.entry((pid, tid)).or_default().push((event["ts"].as_u64().unwrap(), position, event)),
            other => assert_eq!(other, "a kind that is written", "{event}"),
        }
        assert!(event["ts"].is_u64() && event["name"].is_string(), "{event}");
    }
    for (place, mut track) in tracks {
        // As readers sort them: by time, and what stands first stays first.
        track.sort_by_key(|(ts, position, _)| (*ts, *position));
        let mut open: Vec<(Option<u64>, &Value)> = Vec::new();
        for (ts, _, event) in track {
            while open.last().is_some_and(|(end, _)| end.is_some_and(|end| end <= ts)) {
                open.pop();
            }
            let within = open.last().and_then(|(end, _)| *end);
            match event["ph"].as_str().unwrap() {
                "B" => open.push((None, event)),
                "E" => {
                    assert!(!open.is_empty(), "{place:?} ends nothing: {event}");
                    let (end, begun) = open.pop().unwrap();
                    assert!(end.is_none(), "{place:?}: {event} ends inside of {begun}");
                    assert_eq!((&event["name"], &event["args"]), (&begun["name"], &begun["args"]));
                }
                _ => {
                    assert_eq!(within, None, "{place:?}: {event} begins inside of {:?}", open.last());
                    open.push((Some(ts + event["dur"].as_u64().unwrap()), event));
                }
            }
        }
        assert!(open.iter().all(|(end, _)| end.is_some()), "{place:?}: {open:?} never ends");
    }
    events
}

/// The threads of a processed profile, once all numbers in their tables were found to mean something.
pub(crate) fn check_firefox(profile: &Value) -> &Vec<Value> {
    let meta = &profile["meta"];
    assert!(meta["preprocessedProfileVersion"].as_u64().unwrap() >= 50);
    let categories = count(&meta["categories"]);
    let schemas: Vec<&str> =
        meta["markerSchema"].as_array().unwrap().iter().map(|schema| schema["name"].as_str().unwrap()).collect();
    let threads = profile["threads"].as_array().unwrap();
    for thread in threads {
        let strings = count(&thread["stringArray"]);
        let length = |table: &str| thread[table]["length"].as_u64().unwrap() as usize;
        let points = |table: &str, column: &str, most: usize| {
            let column = &thread[table][column];
            for index in column.as_array().unwrap().iter().filter(|index| !index.is_null() && **index != -1) {
                assert!((index.as_u64().unwrap() as usize) < most, "{table}: {index} of {most}");
            }
            assert_eq!(count(column), length(table));
        };
        points("funcTable", "name", strings);
        points("frameTable", "func", length("funcTable"));
        points("frameTable", "category", categories);
        points("stackTable", "frame", length("frameTable"));
        points("stackTable", "prefix", length("stackTable"));
        points("samples", "stack", length("stackTable"));
        points("markers", "name", strings);
        points("markers", "category", categories);
        assert!(
            thread["stackTable"]["prefix"]
                .as_array()
                .unwrap()
                .iter()
                .enumerate()
                .all(|(stack, prefix)| { prefix.as_u64().is_none_or(|prefix| (prefix as usize) < stack) })
        );
        for column in ["weight", "threadCPUDelta", "timeDeltas"] {
            let values = numbers(&thread["samples"][column]);
            assert_eq!(values.len(), length("samples"), "{column}");
            assert!(values.iter().all(|value| *value >= 0.0), "{column}");
        }
        for data in thread["markers"]["data"].as_array().unwrap() {
            assert!(schemas.contains(&data["type"].as_str().unwrap()), "{data}");
        }
    }
    threads
}

/// The lines of JSON lines.
pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
