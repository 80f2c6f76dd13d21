//! A run as JSON, in a check's result and in a baseline. Its types belong to the format.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::detect::check::{Metric, Noise, Problem, Run, Site, SiteKind, Unit};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RunJson {
    problem: Option<ProblemJson>,
    /// By metric, each with its unit in the name: `cpu_ms`, `stalls`.
    values: BTreeMap<String, f64>,
    sites: Vec<SiteJson>,
    #[serde(default)]
    not_judged: Vec<SiteJson>,
    stall_threshold_ms: f64,
    sure_stall_ms: Option<f64>,
    loop_samples: u64,
    looks_at_everything: u64,
    spin_ms: Option<f64>,
    noise: NoiseJson,
}

#[derive(Debug, Serialize, Deserialize)]
struct ProblemJson {
    kind: String,
    text: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SiteJson {
    kind: String,
    function: String,
    file: String,
    line: Option<u32>,
    what: String,
    count: u64,
    longest_ms: f64,
    advice: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct NoiseJson {
    delay_share: Option<f64>,
    spin_ratio: Option<f64>,
    longest_gap_ms: Option<f64>,
    torn_share: Option<f64>,
    missed_share: Option<f64>,
    lowered_rate: bool,
}

pub(super) fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

fn ns(ms: f64) -> u64 {
    // CAST: negative values and NaN become zero, values that are too large become the maximum.
    (ms * 1e6).round() as u64
}

/// A metric's name with its unit, and the divisor for its values in that unit.
pub(super) fn named(metric: Metric) -> (String, f64) {
    let name = metric.as_str().replace('-', "_");
    match metric.unit() {
        Unit::Time => (format!("{name}_ms"), 1e6),
        Unit::Count => (name, 1.0),
        Unit::Share => (format!("{name}_share"), 1.0),
        Unit::PerMinute => (format!("{name}_per_minute"), 1.0),
    }
}

impl RunJson {
    pub(super) fn of(run: &Run) -> Self {
        let problem = run.problem.as_ref().map(|problem| match problem {
            Problem::Failed(text) => ProblemJson { kind: "failed".into(), text: text.clone() },
            Problem::Unseen(text) => ProblemJson { kind: "unseen".into(), text: text.clone() },
        });
        let value = |(metric, value): (&Metric, &f64)| {
            let (name, divisor) = named(*metric);
            (name, value / divisor)
        };
        Self {
            problem,
            values: run.values.iter().map(value).collect(),
            sites: run.sites.iter().map(SiteJson::of).collect(),
            not_judged: run.not_judged.iter().map(SiteJson::of).collect(),
            stall_threshold_ms: ms(run.threshold_ns),
            sure_stall_ms: run.sure_stall_ns.map(ms),
            loop_samples: run.samples,
            looks_at_everything: run.looks,
            spin_ms: run.spin_ns.map(ms),
            noise: NoiseJson::of(&run.noise),
        }
    }

    /// The run described by this JSON. Fields that the JSON lacks stay empty.
    pub(super) fn read(&self) -> Run {
        let values = Metric::ALL.into_iter().filter_map(|metric| {
            let (name, divisor) = named(metric);
            let value = self.values.get(&name)? * divisor;
            value.is_finite().then_some((metric, value))
        });
        let problem = self.problem.as_ref().map(|problem| match &*problem.kind {
            "failed" => Problem::Failed(problem.text.clone()),
            _ => Problem::Unseen(problem.text.clone()),
        });
        Run {
            remarks: Vec::new(),
            problem,
            values: values.collect(),
            sites: self.sites.iter().filter_map(SiteJson::read).collect(),
            not_judged: self.not_judged.iter().filter_map(SiteJson::read).collect(),
            threshold_ns: ns(self.stall_threshold_ms),
            sure_stall_ns: self.sure_stall_ms.map(ns),
            samples: self.loop_samples,
            looks: self.looks_at_everything,
            spin_ns: self.spin_ms.map(ns),
            noise: self.noise.read(),
        }
    }
}

impl SiteJson {
    pub(super) fn of(site: &Site) -> Self {
        Self {
            kind: site.kind.as_str().into(),
            function: site.function.clone(),
            file: site.file.clone(),
            line: site.line,
            what: site.what.clone(),
            count: site.count,
            longest_ms: ms(site.longest_ns),
            advice: site.advice.clone(),
        }
    }

    fn read(&self) -> Option<Site> {
        Some(Site {
            kind: SiteKind::parse(&self.kind)?,
            function: self.function.clone(),
            file: self.file.clone(),
            line: self.line,
            what: self.what.clone(),
            count: self.count,
            longest_ns: ns(self.longest_ms),
            advice: self.advice.clone(),
        })
    }
}

impl NoiseJson {
    fn of(noise: &Noise) -> Self {
        Self {
            delay_share: noise.delay_share,
            spin_ratio: noise.spin_ratio,
            longest_gap_ms: noise.longest_gap_ns.map(ms),
            torn_share: noise.torn_share,
            missed_share: noise.missed_share,
            lowered_rate: noise.lowered_rate,
        }
    }

    fn read(&self) -> Noise {
        Noise {
            delay_share: self.delay_share,
            spin_ratio: self.spin_ratio,
            longest_gap_ns: self.longest_gap_ms.map(ns),
            torn_share: self.torn_share,
            missed_share: self.missed_share,
            lowered_rate: self.lowered_rate,
        }
    }
}
