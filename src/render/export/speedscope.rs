//! speedscope's file format: one profile for each way to weigh time, containing stitched stacks with their nanoseconds.
//!
//! The format is that of speedscope's `file-format-schema.json`: frames are listed once, and samples refer to them,
//! outermost first.

use std::io::{self, Write};

use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::profile::{By, Label, Profile};
use crate::render::escape;
use crate::render::levels::{Level, level};
use crate::render::object::{object, write_line};

/// Writes the profiles; `by` selects the one shown first, `whose` is the title.
pub fn write(profile: &Profile, by: By, whose: &str, out: &mut dyn Write) -> io::Result<()> {
    let mut frames = Frames::default();
    let profiles = WAYS.map(|way| sampled(profile, way, &mut frames));
    let file = object! {
        #[serde(rename = "$schema")]
        schema: "https://www.speedscope.app/file-format-schema.json",
        shared: object! { frames: frames.list },
        profiles,
        name: escape::brief(whose, 200),
        #[serde(rename = "activeProfileIndex")]
        active_profile_index: WAYS.iter().position(|way| *way == by).unwrap_or_default(),
        exporter: concat!("asyncprof@", env!("CARGO_PKG_VERSION")),
    };
    write_line(&file, out)
}

/// The profiles, in this order.
const WAYS: [By; 3] = [By::Run, By::Await, By::Wall];

fn sampled<'p>(profile: &'p Profile, way: By, frames: &mut Frames<'p>) -> impl Serialize + use<> {
    let weights = profile.weights(way);
    let times: Vec<u64> = weights.iter().map(|weighted| weighted.time_ns).collect();
    let mut sample = |stack: &[Label<'p>]| stack.iter().map(|of| frames.add(level(of))).collect::<Vec<_>>();
    object! {
        r#type: "sampled",
        name: match way {
            By::Run => "run: what the event loops ran",
            By::Await => "await: where the tasks waited",
            By::Wall => "wall: how the tasks spent their time",
        },
        unit: "nanoseconds",
        #[serde(rename = "startValue")]
        start_value: 0,
        #[serde(rename = "endValue")]
        end_value: times.iter().sum::<u64>(),
        samples: weights.iter().map(|weighted| sample(&weighted.stack)).collect::<Vec<_>>(),
        weights: times,
    }
}

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
