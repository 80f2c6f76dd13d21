//! speedscope's file format: one profile for each way to weigh time, containing stitched stacks with their nanoseconds.
//!
//! The format is that of speedscope's `file-format-schema.json`: frames are listed once, and samples refer to them,
//! outermost first.

use std::io::{self, Write};

use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::profile::{By, Profile};
use crate::render::escape;
use crate::render::json::serializer;
use crate::render::levels::{Level, level};

/// Writes the profiles; `by` selects the one shown first, `whose` is the title.
///
/// # Errors
/// Any error of `out`.
pub fn write(profile: &Profile, by: By, whose: &str, out: &mut dyn Write) -> io::Result<()> {
    let mut frames = Frames::default();
    let file = File {
        schema: "https://www.speedscope.app/file-format-schema.json",
        profiles: WAYS.map(|way| sampled(profile, way, &mut frames)),
        shared: Shared { frames: frames.list.iter().map(Frame::of).collect() },
        name: &escape::brief(whose, 200),
        active_profile_index: WAYS.iter().position(|way| *way == by).unwrap_or_default(),
        exporter: concat!("asyncprof@", env!("CARGO_PKG_VERSION")),
    };
    let mut out = io::BufWriter::new(out);
    file.serialize(&mut serializer(&mut out))?;
    out.write_all(b"\n")?;
    out.flush()
}

/// The profiles, in this order.
const WAYS: [By; 3] = [By::Run, By::Await, By::Wall];

#[derive(Serialize)]
struct File<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    shared: Shared<'a>,
    profiles: [Sampled; 3],
    name: &'a str,
    #[serde(rename = "activeProfileIndex")]
    active_profile_index: usize,
    exporter: &'static str,
}

#[derive(Serialize)]
struct Shared<'a> {
    frames: Vec<Frame<'a>>,
}

#[derive(Serialize)]
struct Frame<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

impl<'a> Frame<'a> {
    fn of(level: &'a Level<'_>) -> Self {
        Self { name: &level.name, file: level.file.as_deref(), line: level.line }
    }
}

#[derive(Serialize)]
struct Sampled {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    unit: &'static str,
    #[serde(rename = "startValue")]
    start_value: u64,
    #[serde(rename = "endValue")]
    end_value: u64,
    samples: Vec<Vec<usize>>,
    weights: Vec<u64>,
}

fn sampled<'p>(profile: &'p Profile, way: By, frames: &mut Frames<'p>) -> Sampled {
    let weights = profile.weights(way);
    let times: Vec<u64> = weights.iter().map(|weighted| weighted.time_ns).collect();
    Sampled {
        kind: "sampled",
        name: match way {
            By::Run => "run: what the event loops ran",
            By::Await => "await: where the tasks waited",
            By::Wall => "wall: how the tasks spent their time",
        },
        unit: "nanoseconds",
        start_value: 0,
        end_value: times.iter().sum(),
        samples: weights
            .iter()
            .map(|weighted| weighted.stack.iter().map(|of| frames.add(level(of))).collect())
            .collect(),
        weights: times,
    }
}

/// Each frame once.
#[derive(Default)]
struct Frames<'p> {
    list: Vec<Level<'p>>,
    numbers: FxHashMap<Level<'p>, usize>,
}

impl<'p> Frames<'p> {
    fn add(&mut self, level: Level<'p>) -> usize {
        if let Some(number) = self.numbers.get(&level) {
            return *number;
        }
        self.list.push(level.clone());
        self.numbers.insert(level, self.list.len() - 1);
        self.list.len() - 1
    }
}
