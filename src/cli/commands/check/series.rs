//! The runs of a check, as many and in the order that the question needs: noisy runs are repeated, and more runs are made where
//! the answer is open.

use std::ffi::OsString;

use super::baseline_file::BaselineFile;
use super::runner::{Made, Runner};
use crate::cli::failure::{Failure, note};
use crate::cli::input::args::check::CheckArgs;
use crate::cli::input::units::nanos;
use crate::cli::terminal::Color;
use crate::detect::check::{
    Before, Criteria, Fingerprint, Judgement, Metric, Problem, Run, SelfTest, Taint, Verdict, judge,
    threshold_to_look_with,
};
use crate::render::escape::visible;

/// Pairs of an alternating comparison: ten tolerate one that points the other way.
const PAIRS: usize = 10;
/// Runs of a baseline: with fewer than five against five no difference can be significant.
const KEPT: usize = 5;

/// The default stall threshold.
pub(crate) const STALL_NS: u64 = 100_000_000;

/// What a check has done: the runs and their judgement.
pub(crate) struct Done {
    pub(crate) judgement: Judgement,
    pub(crate) head: Vec<Run>,
    pub(crate) base: Vec<Run>,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) self_test: Option<SelfTest>,
}

/// Makes the runs of a check and has them judged.
pub(crate) struct Series<'a> {
    args: &'a CheckArgs,
    baseline: &'a BaselineFile,
    rules: Criteria,
    runner: Runner,
    base_command: Option<Vec<OsString>>,
    fingerprint: Option<Fingerprint>,
    /// The fastest spin so far.
    fastest: Option<u64>,
    made: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Base,
    Head,
}

impl<'a> Series<'a> {
    pub(crate) fn new(
        args: &'a CheckArgs,
        baseline: &'a BaselineFile,
        rules: Criteria,
        color: Color,
    ) -> Result<Self, Failure> {
        let base_command = match (&args.comparison.base_cmd, args.comparison.self_test) {
            (Some(text), _) => Some(split(text)?),
            (None, Some(_)) => Some(args.command.clone()),
            (None, None) => None,
        };
        let threshold_ns = args.watch.stall.map_or(STALL_NS, nanos);
        let look_ns = threshold_to_look_with(rules.budgets.shortest_stall_ns(threshold_ns));
        let watch = args.watch.with_stall(std::time::Duration::from_nanos(look_ns));
        let runner = Runner::new(watch, threshold_ns, args.output.keep.as_deref(), color)?;
        Ok(Self { args, baseline, rules, runner, base_command, fingerprint: None, fastest: None, made: 0 })
    }

    /// Makes the runs and judges them.
    pub(crate) fn run(mut self) -> Result<Done, Failure> {
        let runs = self.args.comparison.runs.map(|runs| runs as usize);
        let (judgement, head, base, self_test) = match (self.args.comparison.self_test, &self.base_command) {
            (Some(trials), _) => self.test_itself(trials as usize, runs.unwrap_or(PAIRS))?,
            (None, Some(_)) => {
                let (judgement, head, base) = self.side_by_side(runs.unwrap_or(PAIRS), "")?;
                (judgement, head, base, None)
            }
            (None, None) => {
                let default = match self.baseline.kept() {
                    Some(kept) => kept.runs.len().clamp(1, PAIRS),
                    None if self.args.comparison.update => KEPT,
                    None => 1,
                };
                let (judgement, head, base) = self.alone(runs.unwrap_or(default))?;
                (judgement, head, base, None)
            }
        };
        Ok(Done { judgement, head, base, fingerprint: self.fingerprint.unwrap_or_default(), self_test })
    }

    /// One program, `runs` times.
    fn alone(&mut self, runs: usize) -> Result<(Judgement, Vec<Run>, Vec<Run>), Failure> {
        let mut head = Vec::new();
        for _ in 0..runs {
            head.push(self.once(Side::Head, &format!("run {} of {runs}", head.len() + 1))?);
            if has_failed(&head) {
                break;
            }
        }
        let mut spare = runs.div_ceil(2) + 1;
        loop {
            self.compare_spins(&mut head);
            let fingerprint = self.fingerprint.clone().unwrap_or_default();
            let differences = self.baseline.differences(&fingerprint, &head);
            let before = match self.baseline.kept() {
                Some(kept) => Before::Kept(kept, &differences),
                None => Before::Nothing,
            };
            let judgement = judge(&head, before, &self.rules);
            let spoilt = head.iter().position(|run| !self.taints(run).is_empty() || lacks_snapshot(run));
            match (judgement.verdict, spoilt) {
                (Verdict::Inconclusive | Verdict::NoData, Some(index)) if spare > 0 => {
                    spare -= 1;
                    self.note_repetition(&head[index]);
                    head[index] = self.once(Side::Head, &format!("run {} again", index + 1))?;
                }
                _ => {
                    let base = self.baseline.kept().map(|kept| kept.runs.clone()).unwrap_or_default();
                    return Ok((judgement, head, base));
                }
            }
        }
    }

    /// Two programs alternately: base, head, head, base. If that is inconclusive, the same number again.
    fn side_by_side(&mut self, pairs: usize, which: &str) -> Result<(Judgement, Vec<Run>, Vec<Run>), Failure> {
        let (mut head, mut base) = (Vec::new(), Vec::new());
        let mut spare = pairs.div_ceil(2);
        for look in 1..=2 {
            let wanted = look * pairs;
            while head.len() < wanted {
                let (one, other) = self.pair(head.len(), wanted, which)?;
                base.push(one);
                head.push(other);
                if has_failed(&head) || has_failed(&base) {
                    break;
                }
                self.compare_spins(&mut head);
                self.compare_spins(&mut base);
                let spoilt = [base.last(), head.last()].into_iter().flatten().find(|run| !self.taints(run).is_empty());
                if let Some(run) = spoilt.filter(|_| spare > 0) {
                    spare -= 1;
                    self.note_repetition(run);
                    base.pop();
                    head.pop();
                }
            }
            let judgement = judge(&head, Before::SideBySide(&base), &self.rules);
            let is_open = judgement.verdict == Verdict::Inconclusive && !has_failed(&head) && !has_failed(&base);
            // Fewer pairs could never be conclusive, and --runs asked for no more.
            if !is_open || look == 2 || pairs < PAIRS {
                return Ok((judgement, head, base));
            }
            note(&format!("inconclusive after {pairs} pairs: running {pairs} more"));
        }
        Err(Failure::bug("the comparison did not end"))
    }

    /// Each program goes first equally often.
    fn pair(&mut self, index: usize, pairs: usize, which: &str) -> Result<(Run, Run), Failure> {
        let label = |side: &str| format!("{which}pair {} of {pairs}, {side}", index + 1);
        if index.is_multiple_of(2) {
            let base = self.once(Side::Base, &label("base"))?;
            Ok((base, self.once(Side::Head, &label("head"))?))
        } else {
            let head = self.once(Side::Head, &label("head"))?;
            Ok((self.once(Side::Base, &label("base"))?, head))
        }
    }

    #[expect(clippy::type_complexity, reason = "the result of the other ways to compare, and the self-test")]
    fn test_itself(
        &mut self,
        trials: usize,
        pairs: usize,
    ) -> Result<(Judgement, Vec<Run>, Vec<Run>, Option<SelfTest>), Failure> {
        let mut made = Vec::new();
        for trial in 1..=trials {
            let (judgement, head, base) = self.side_by_side(pairs, &format!("comparison {trial} of {trials}, "))?;
            note(&format!("comparison {trial} of {trials}: {}", judgement.verdict.as_str()));
            if has_failed(&head) {
                return Ok((judgement, head, base, None));
            }
            made.push((head, base));
        }
        let test = SelfTest::of(&made, &self.rules);
        let verdict = match (test.false_alarms, test.inconclusive) {
            (0, inconclusive) if inconclusive == test.trials => Verdict::Inconclusive,
            (0, _) => Verdict::Pass,
            _ => Verdict::Fail,
        };
        let judgement = Judgement { verdict, items: Vec::new(), not_judged: Vec::new(), differences: Vec::new() };
        Ok((judgement, Vec::new(), Vec::new(), Some(test)))
    }

    fn once(&mut self, side: Side, label: &str) -> Result<Run, Failure> {
        let command = match (side, &self.base_command) {
            (Side::Base, Some(command)) => command.clone(),
            _ => self.args.command.clone(),
        };
        let Made { run, took, fingerprint } = self.runner.run(&command)?;
        self.made += 1;
        let cpu = run.value(Metric::Cpu).map(|ns| format!(", {:.2} s of CPU time", ns / 1e9)).unwrap_or_default();
        let problem = match &run.problem {
            Some(Problem::Failed(text) | Problem::Unseen(text)) => format!(": {}", visible(text)),
            None => String::new(),
        };
        note(&format!("{label}: {:.2} s{cpu}{problem}", took.as_secs_f64()));
        if side == Side::Head && self.fingerprint.is_none() {
            self.fingerprint = fingerprint;
        }
        self.fastest = self.fastest.into_iter().chain(run.spin_ns).min();
        Ok(run)
    }

    /// Compares the machine's speed during each run with its best.
    fn compare_spins(&self, runs: &mut [Run]) {
        for run in runs {
            run.noise.spin_ratio =
                run.spin_ns.zip(self.fastest).map(|(spin, fastest)| spin as f64 / fastest.max(1) as f64);
        }
    }

    fn taints(&self, run: &Run) -> Vec<Taint> {
        run.noise.taints(&self.rules.tolerance)
    }

    fn note_repetition(&self, run: &Run) {
        let mut why: Vec<&str> = self.taints(run).into_iter().map(Taint::describe).collect();
        if lacks_snapshot(run) {
            why.push("no full snapshot was taken after its start");
        }
        note(&format!("repeated because {}", why.join("; ")));
    }
}

/// No full snapshot was taken late enough to find orphans.
fn lacks_snapshot(run: &Run) -> bool {
    run.problem.is_none() && run.samples > 0 && run.value(Metric::Orphans).is_none()
}

fn has_failed(runs: &[Run]) -> bool {
    runs.iter().any(|run| run.problem.is_some())
}

/// A command in one string, as a shell would split it.
fn split(text: &str) -> Result<Vec<OsString>, Failure> {
    match shlex::split(text) {
        Some(words) if !words.is_empty() => Ok(words.into_iter().map(Into::into).collect()),
        Some(_) => Err(Failure::usage("--base-cmd is empty")),
        None => Err(Failure::usage("--base-cmd has an unclosed quote")),
    }
}
