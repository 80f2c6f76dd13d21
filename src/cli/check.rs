//! `asyncprof check`: is a program good enough? Brings runs and what they are compared with, has them judged, and writes what
//! was found. It must not know how it is judged.

mod baseline_file;
mod outputs;
mod runner;
mod series;
mod surroundings;

use std::path::Path;

use super::args::{BudgetArgs, CheckArgs, Color};
use super::replay::Replay;
use super::{Exit, Failure, hint, note};
use crate::detect::check::{
    Before, Budgets, Circumstances, Criteria, Fingerprint, Judgement, Metric, Problem, Run, SelfTest, Tolerance,
    Verdict, judge, threshold_to_look_with,
};
use crate::profile::Folding;
use crate::render::check::Check;
use baseline_file::BaselineFile;
use outputs::Outputs;
use series::Series;

/// From how long on a loop is stalled, unless somebody says otherwise.
const STALL_NS: u64 = 100_000_000;
/// How likely all comparisons of one look at the runs may fail by chance alone; with --base-cmd there are at most two looks.
const ALPHA: f64 = 0.01;

/// What was done, and what came of it.
pub(super) struct Done {
    judgement: Judgement,
    head: Vec<Run>,
    base: Vec<Run>,
    fingerprint: Fingerprint,
    self_test: Option<SelfTest>,
}

pub(super) fn run(args: &CheckArgs, color: Color) -> Result<Exit, Failure> {
    let outputs = Outputs::check(&args.output)?;
    let baseline = BaselineFile::open(args)?;
    let rules = rules(args);
    let asks = !rules.budgets.is_empty() || args.comparison.base_cmd.is_some() || args.comparison.self_test.is_some();
    if !asks && !baseline.is_used() && !args.comparison.update {
        return Err(Failure::new(Exit::Usage, "there is nothing to check against")
            .hint("give a budget such as --max-stall 100ms, or keep how it is now with --update and compare later"));
    }
    for (option, is_given) in
        [("--base-cmd", args.comparison.base_cmd.is_some()), ("--self-test", args.comparison.self_test.is_some())]
    {
        if is_given && args.file.is_some() {
            let what = format!("{option} is for a command: a recording is one run, and was made");
            return Err(Failure::new(Exit::Usage, what));
        }
    }
    let done = match &args.file {
        Some(file) => check_file(file, args, &baseline, &rules)?,
        None => Series::new(args, &baseline, rules, color)?.run()?,
    };
    if args.comparison.update {
        baseline.update(&done)?;
    }
    let subject = match &args.file {
        Some(file) => file.display().to_string(),
        None => surroundings::join(&args.command),
    };
    let (reproduce, root) = (surroundings::reproduce(), surroundings::root());
    outputs.write(
        &Check {
            judgement: &done.judgement,
            head: &done.head,
            base: &done.base,
            subject: &subject,
            reproduce: &reproduce,
            root: &root,
            self_test: done.self_test.as_ref(),
        },
        color,
    )?;
    if args.file.is_none() && !done.head.is_empty() && done.head.iter().all(|run| run.samples == 0) {
        hint(
            "the process that is started is watched, not those that it starts: give the Python program itself, or exec it",
        );
    }
    Ok(match done.judgement.verdict {
        Verdict::Pass | Verdict::Shown => Exit::Fine,
        Verdict::Fail => Exit::Found,
        Verdict::NoData | Verdict::Inconclusive => Exit::Undecided,
    })
}

/// What is asked for on the command line and in settings.
fn rules(args: &CheckArgs) -> Criteria {
    let threshold_ns = args.watch.stall.map_or(STALL_NS, nanos);
    Criteria {
        budgets: budgets(&args.budgets),
        min_effect: args.comparison.min_effect,
        alpha: ALPHA,
        tolerance: Tolerance::for_stalls_of(threshold_ns),
    }
}

fn budgets(args: &BudgetArgs) -> Budgets {
    let time = |limit: Option<std::time::Duration>| limit.map(|limit| nanos(limit) as f64);
    let count = |limit: Option<u64>| limit.map(|limit| limit as f64);
    let limits = [
        (Metric::LongestStall, time(args.max_stall)),
        (Metric::Stalls, count(args.max_stalls)),
        (Metric::P99Lag, time(args.max_p99_lag)),
        (Metric::Busy, args.max_busy),
        (Metric::Orphans, count(args.max_orphans)),
        (Metric::Unretrieved, count(args.max_unretrieved)),
        (Metric::TaskGrowth, args.max_task_growth),
    ];
    Budgets::new(limits.into_iter().filter_map(|(metric, limit)| Some((metric, limit?))))
}

/// A recording is a run of which nothing was measured around it.
fn check_file(path: &Path, args: &CheckArgs, baseline: &BaselineFile, rules: &Criteria) -> Result<Done, Failure> {
    let replay = Replay::open(path)?;
    let threshold_ns = args.watch.stall.map_or(replay.header().stall_threshold_ns, nanos);
    let look_ns = threshold_to_look_with(rules.budgets.shortest_stall_ns(threshold_ns));
    let look = std::time::Duration::from_nanos(look_ns);
    let watched = replay.with_stall(Some(look)).read(Folding::default())?;
    let problem = (!watched.whole)
        .then(|| Problem::Unseen("the recording breaks off or is damaged: what is not in it cannot be judged".into()));
    let run = Run::of(&watched.analysis, threshold_ns, Circumstances { problem, ..Circumstances::default() });
    let fingerprint = surroundings::fingerprint(&watched.analysis, threshold_ns, &[]);
    let head = vec![run];
    let differences = baseline.differences(&fingerprint, &head);
    let before = match baseline.kept() {
        Some(kept) => Before::Kept(kept, &differences),
        None => Before::Nothing,
    };
    let judgement = judge(&head, before, rules);
    let base = baseline.kept().map(|kept| kept.runs.clone()).unwrap_or_default();
    Ok(Done { judgement, head, base, fingerprint, self_test: None })
}

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
