//! `asyncprof.check/1`: a check and all its evidence, in machine-readable form. Its types belong to the format; the
//! model can change without it.

use std::io::{self, Write};

use serde::Serialize;

use super::contents::Check;
use super::run_json::{RunJson, SiteJson, ms, named};
use super::words;
use crate::detect::check::{Difference, Item, Judgement, Numbers, SelfTest, Subject, Verdict};
use crate::render::object::{object, write_line};

/// The format's name and version; fields may be added in this version, but never changed.
const SCHEMA: &str = "asyncprof.check/1";

/// Writes the check as one line of JSON.
pub fn write(check: &Check<'_>, out: &mut dyn Write) -> io::Result<()> {
    let Judgement { verdict, items, not_judged, differences } = check.judgement;
    let whole = object! {
        schema: SCHEMA,
        asyncprof: env!("CARGO_PKG_VERSION"),
        verdict: verdict.as_str(),
        subject: check.subject,
        reproduce: check.reproduce,
        items: items.iter().map(item).collect::<Vec<_>>(),
        not_judged: not_judged.iter().map(SiteJson::of).collect::<Vec<_>>(),
        differences: differences.iter().map(difference).collect::<Vec<_>>(),
        runs: check.head.iter().map(RunJson::of).collect::<Vec<_>>(),
        base_runs: check.base.iter().map(RunJson::of).collect::<Vec<_>>(),
        self_test: check.self_test.map(self_test),
    };
    write_line(&whole, out)
}

fn item(item: &Item) -> impl Serialize {
    let about = match &item.subject {
        Subject::Run(_) => "run",
        Subject::Budget(_) => "budget",
        Subject::NewSite | Subject::NoNewSites => "sites",
        Subject::Change(_) => "change",
    };
    object! {
        about,
        name: words::name(item),
        verdict: item.verdict.as_str(),
        text: words::sentence(item),
        numbers: NumbersJson::of(item),
        sites: item.sites.iter().map(SiteJson::of).collect::<Vec<_>>(),
        reason: &item.reason,
    }
}

/// Numbers of a metric are in the unit given by its name.
#[derive(Serialize)]
#[serde(untagged)]
enum NumbersJson {
    Limit {
        metric: String,
        value: Option<f64>,
        limit: f64,
        exceeded: usize,
        runs: usize,
    },
    Seen {
        seen_in: usize,
        runs: usize,
        base_runs: usize,
        p: f64,
    },
    Change {
        metric: String,
        base: Option<f64>,
        head: Option<f64>,
        ratio: Option<f64>,
        /// Ends of the confidence interval; absent where there is none.
        ratio_low: Option<f64>,
        ratio_high: Option<f64>,
        p: f64,
        runs: usize,
        spoilt: usize,
    },
}

impl NumbersJson {
    fn of(item: &Item) -> Option<Self> {
        let finite = |number: f64| number.is_finite().then_some(number);
        match (&item.subject, &item.numbers) {
            (Subject::Budget(metric), Numbers::Limit { value, limit, exceeded, runs }) => {
                let (metric, divisor) = named(*metric);
                let (value, limit) = (value.map(|value| value / divisor), limit / divisor);
                Some(Self::Limit { metric, value, limit, exceeded: *exceeded, runs: *runs })
            }
            (_, Numbers::Seen { head, heads, bases, p }) => {
                Some(Self::Seen { seen_in: *head, runs: *heads, base_runs: *bases, p: *p })
            }
            (Subject::Change(metric), Numbers::Change { base, head, ratio, low, high, p, runs, spoilt }) => {
                let (metric, divisor) = named(*metric);
                Some(Self::Change {
                    metric,
                    base: base.map(|base| base / divisor),
                    head: head.map(|head| head / divisor),
                    ratio: *ratio,
                    ratio_low: finite(*low).filter(|low| *low > 0.0),
                    ratio_high: finite(*high),
                    p: *p,
                    runs: *runs,
                    spoilt: *spoilt,
                })
            }
            _ => None,
        }
    }
}

fn difference(difference: &Difference) -> impl Serialize {
    let Difference { name, then, now } = difference;
    object! { name, then, now, times_are_judged: !difference.forbids_times() }
}

fn self_test(test: &SelfTest) -> impl Serialize {
    let (rate, low, high) = test.rate;
    object! {
        trials: test.trials,
        false_alarms: test.false_alarms,
        inconclusive: test.inconclusive,
        false_alarm_rate: rate,
        false_alarm_rate_low: low,
        false_alarm_rate_high: high,
        smallest_cpu_effect: test.smallest_effect.effect,
        smallest_cpu_effect_found: test.smallest_effect.found,
        sure_stall_ms: test.sure_stall_ns.map(ms),
        alarms: test.alarms.iter().map(|judgement| failed(judgement).map(item).collect::<Vec<_>>()).collect::<Vec<_>>(),
    }
}

fn failed(judgement: &Judgement) -> impl Iterator<Item = &Item> {
    judgement.items.iter().filter(|item| item.verdict == Verdict::Fail)
}
