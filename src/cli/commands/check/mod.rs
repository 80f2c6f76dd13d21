//! `asyncprof check`: makes or reads runs, has them judged against budgets or a baseline, and writes the result.

mod baseline_file;
mod environment;
mod outputs;
mod runner;
mod series;

use std::path::Path;
use std::time::Duration;

use crate::cli::failure::{Exit, Failure, hint};
use crate::cli::input::args::check::{BudgetArgs, CheckArgs};
use crate::cli::input::replay::Replay;
use crate::cli::input::units::nanos;
use crate::cli::terminal::Color;
use crate::detect::check::{
    Before, Budgets, Circumstances, Criteria, Metric, Problem, Run, Tolerance, Verdict, judge, threshold_to_look_with,
};
use crate::profile::Folding;
use crate::render::check::Check;
use baseline_file::BaselineFile;
use outputs::Outputs;
use series::{Done, STALL_NS, Series};

/// The probability that comparing runs fails by chance alone; with --base-cmd runs are compared at most twice.
const ALPHA: f64 = 0.01;

pub(crate) fn run(args: &CheckArgs, color: Color) -> Result<Exit, Failure> {
    let outputs = Outputs::check(&args.output)?;
    let baseline = BaselineFile::open(args)?;
    let rules = rules(args);
    let asks = !rules.budgets.is_empty() || args.comparison.base_cmd.is_some() || args.comparison.self_test.is_some();
    if !asks && !baseline.is_used() && !args.comparison.update {
        return Err(Failure::usage("there is nothing to check against").hint(
            "give a budget such as --max-stall 100ms, or save a baseline with --update and compare with it later",
        ));
    }
    for (option, is_given) in
        [("--base-cmd", args.comparison.base_cmd.is_some()), ("--self-test", args.comparison.self_test.is_some())]
    {
        if is_given && args.file.is_some() {
            return Err(Failure::usage(format!("{option} needs a command to run, not a recording")));
        }
    }
    let done = match &args.file {
        Some(file) => check_file(file, args, &baseline, &rules)?,
        None => Series::new(args, &baseline, rules, color)?.run()?,
    };
    if args.comparison.update {
        baseline.update(&done.head, &done.fingerprint)?;
    }
    let subject = match &args.file {
        Some(file) => file.display().to_string(),
        None => environment::join(&args.command),
    };
    let (reproduce, root) = (environment::reproduce(), environment::root());
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
            "only the process that is started is watched, not its subprocesses: give the Python program itself, or exec it",
        );
    }
    Ok(match done.judgement.verdict {
        Verdict::Pass | Verdict::Shown => Exit::Fine,
        Verdict::Fail => Exit::Found,
        Verdict::NoData | Verdict::Inconclusive => Exit::Undecided,
    })
}

/// The rules given on the command line and in settings.
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
    let time = |limit: Option<Duration>| limit.map(|limit| nanos(limit) as f64);
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

/// A recording is a run without measurements from outside.
fn check_file(path: &Path, args: &CheckArgs, baseline: &BaselineFile, rules: &Criteria) -> Result<Done, Failure> {
    let replay = Replay::open(path)?;
    let threshold_ns = args.watch.stall.map_or(replay.header().stall_threshold_ns, nanos);
    let look_ns = threshold_to_look_with(rules.budgets.shortest_stall_ns(threshold_ns));
    let look = Duration::from_nanos(look_ns);
    let watched = replay.with_stall(Some(look)).read(Folding::default())?;
    let problem = (!watched.whole)
        .then(|| Problem::Unseen("the recording is cut off or damaged: what is missing cannot be judged".into()));
    let run = Run::of(&watched.analysis, threshold_ns, Circumstances { problem, ..Circumstances::default() });
    let fingerprint = environment::fingerprint(&watched.analysis, threshold_ns, &[]);
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
