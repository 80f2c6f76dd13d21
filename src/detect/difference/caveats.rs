//! What makes two watches hard to compare.

use std::collections::BTreeSet;

use super::watch::Watch;
use crate::detect::stall::Cause;
use crate::model::event::Header;

/// One reason not to trust a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caveat {
    /// kebab-case.
    pub kind: &'static str,
    /// One sentence. Names in it are unchanged from the recordings.
    pub message: String,
}

/// Shorter watches are unreliable, nanoseconds.
const SHORT_NS: u64 = 5_000_000_000;

/// All caveats, the most serious first.
pub(super) fn find(base: &Watch<'_>, head: &Watch<'_>) -> Vec<Caveat> {
    let mut caveats = Vec::new();
    let mut say = |kind: &'static str, message: String| caveats.push(Caveat { kind, message });
    let sides = [("the base", base), ("the head", head)];
    for (which, watch) in sides {
        if !watch.complete {
            say("cut-off", format!("{which} is cut off: what came later is missing."));
        }
        if watch.watched_ns() < SHORT_NS {
            let seconds = watch.watched_ns() as f64 / 1e9;
            say("short", format!("{which} was watched for only {seconds:.1} s, too short for reliable numbers."));
        }
    }
    let (base_header, head_header) = (base.analysis.header(), head.analysis.header());
    let mut differs = |kind, what: &str, base: String, head: String| {
        if base != head {
            say(kind, format!("{what} differs: {base} in the base, {head} in the head."));
        }
    };
    let build = |free_threaded: bool| if free_threaded { " free-threaded" } else { "" };
    let python = |header: &Header| format!("{}{}", header.python, build(header.free_threaded));
    differs("python", "Python", python(base_header), python(head_header));
    let facts: BTreeSet<&str> =
        base_header.machine.iter().chain(&head_header.machine).map(|(name, _)| &**name).collect();
    for fact in facts {
        let of = |machine: &[(String, String)]| {
            let value = machine.iter().find(|(name, _)| name == fact).map(|(_, value)| value.clone());
            value.unwrap_or_else(|| "unknown".into())
        };
        differs("machine", &format!("the machine ({fact})"), of(&base_header.machine), of(&head_header.machine));
    }
    let classes = |watch: &Watch<'_>| {
        let loops = watch.analysis.profile().loops();
        let classes: BTreeSet<&str> = loops.iter().map(|event_loop| &*event_loop.info.class).collect();
        classes.into_iter().collect::<Vec<_>>().join(", ")
    };
    differs("event-loop", "the kind of event loop", classes(base), classes(head));
    let rates = |header: &Header| format!("{}/s and {}/s", header.loop_rate_hz, header.task_rate_hz);
    differs("rates", "the requested sampling rate of loops and tasks", rates(base_header), rates(head_header));
    let threshold = |ns: u64| format!("{} ms", ns as f64 / 1e6);
    if base_header.stall_threshold_ns != head_header.stall_threshold_ns {
        let longer = threshold(base_header.stall_threshold_ns.max(head_header.stall_threshold_ns));
        say(
            "stall-threshold",
            format!("only stalls of {longer} or more are in both; --stall sets one threshold for both."),
        );
    }
    if base_header.blocking != head_header.blocking {
        say("blocking", "one of them stopped the process for each sample, which slows it down.".into());
    }
    for (which, watch) in sides {
        if let Some(health) = watch.analysis.health().filter(|health| health.lowered_rate) {
            let (loops, tasks) = (health.loop_rate_hz, health.task_rate_hz);
            let message = format!(
                "sampling of {which} was slowed to stay within the CPU budget (to {loops:.0}/s and {tasks:.1}/s at the end): \
                 short stalls and waits may be missing there."
            );
            say("lowered-rate", message);
        }
        if let Some(health) = watch.analysis.health().filter(|health| health.lost * 50 > health.loop_samples) {
            say("lost", format!("{} samples of {which} were lost.", health.lost));
        }
        let starved = watch.analysis.stalls().totals().get(&Cause::CpuStarved).map_or(0, |total| total.count);
        if starved > 0 {
            let times = if starved == 1 { "once".to_owned() } else { format!("{starved} times") };
            let message = format!("{which} was CPU-starved {times}: the machine was busy with other work.");
            say("cpu-starved", message);
        }
        let (kept, all) = (watch.analysis.stalls().worst_first().len() as u64, watch.analysis.stalls().total().count);
        if kept < all {
            say("stalls-left-out", format!("of the {all} stalls of {which}, only the longest {kept} are compared."));
        }
    }
    caveats
}
