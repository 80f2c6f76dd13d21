//! No sampled stack is one that the target cannot have: `tests/programs/legal_stacks.py` changes its stack every 2 µs and is
//! read at the highest rate without being stopped. One test for each interpreter, such as `python3.13/fast`; the checker is
//! tested with stacks that are made impossible. `scripts/impossible-stacks` does the same at length.

#[path = "../examples/loop_samples/sampling.rs"]
mod sampling;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};

use sampling::{Counts, Wanted};
use support::core::OneCore;
use support::legal::{Frame, Legal};
use support::pythons::{Interpreter, Matrix};
use support::target::{Program, Target};
use support::trials::trials_of_missing;

/// How the target is, and how it is read.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    /// Arguments of the target.
    target: &'static [&'static str],
    /// Samples to keep; a stop takes far longer than a look.
    kept: u64,
    /// Samples to keep that differ from the one before.
    changes: u64,
    blocking: bool,
    /// Target and reader share a core, so that the target loses it for each sample, wherever it is, and then stands still.
    one_core: bool,
    /// In percent of the attempts; what stands still for each of them leaves little to lose.
    least_kept: u64,
    /// How many different functions must be seen at the end of a complete stack: a sampler that loses what is deep and
    /// busy would pass otherwise.
    ends: usize,
}

const CASES: [Case; 4] = [
    Case { name: "fast", kept: 20_000, changes: 1500, ..CASE },
    Case { name: "slow", target: &["--us", "50"], kept: 10_000, changes: 800, ..CASE },
    Case { name: "stopped", kept: 300, changes: 200, blocking: true, ..CASE },
    Case { name: "one_core", kept: 20_000, changes: 2000, one_core: true, least_kept: 98, ends: 40, ..CASE },
];

const CASE: Case = Case {
    name: "",
    target: &["--us", "2"],
    kept: 0,
    changes: 0,
    blocking: false,
    one_core: false,
    least_kept: 90,
    ends: 20,
};

/// LIMIT: who has not kept its samples by then does not keep any.
const PATIENCE: Duration = Duration::from_secs(60);

impl Case {
    fn wanted(self) -> Wanted {
        let Self { kept, changes, blocking, one_core: resting, .. } = self;
        Wanted { kept, changes, within: PATIENCE, blocking, resting }
    }
}

/// Kinds of impossible stacks that a failure shows.
const SHOWN: usize = 6;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let matrix = Matrix::find();
    matrix.warn_of_missing();
    let mut trials = checker_trials();
    trials.extend(trials_of_missing(&matrix));
    for interpreter in &matrix.found {
        for case in CASES {
            let (name, interpreter) = (format!("{}/{}", interpreter.which.label(), case.name), interpreter.clone());
            trials.push(Trial::test(name, move || nothing_impossible_is_shown(&interpreter, case)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn program() -> Program {
    Program::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/legal_stacks.py"))
}

fn nothing_impossible_is_shown(interpreter: &Interpreter, case: Case) -> Result<(), Failed> {
    let arguments: Vec<String> = case.target.iter().map(ToString::to_string).collect();
    let _core = if case.one_core { Some(OneCore::take()?) } else { None };
    let mut target = Target::start(interpreter, &program(), &arguments)?;
    let legal = Legal::of(target.said()?)?;
    let pid = i32::try_from(target.pid()).expect("process ids are positive i32");
    let sampled = sampling::sample(pid, case.wanted());
    if !target.is_alive() {
        return Err(target.death("ended while it was sampled").into());
    }
    judge(&legal, &sampled?, case).map_err(Failed::from)
}

fn judge(legal: &Legal, counts: &Counts, case: Case) -> Result<(), String> {
    let mut ends = BTreeSet::new();
    // By what is wrong: how many samples, and the first such stack.
    let mut impossible: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for ((stack, torn), count) in &counts.stacks {
        let frames = counts.tables.frames_outermost_first(*stack);
        let frames: Vec<Frame> = frames.into_iter().map(frame).collect();
        if let Some(fault) = legal.fault(&frames, *torn) {
            let what = if *torn { "partial" } else { "complete" };
            let (summary, text) = fault.split_once(':').unwrap_or((&fault, ""));
            impossible.entry(format!("{what}: {summary}")).or_insert((0, text.to_owned())).0 += count;
        } else if !torn {
            ends.extend(frames.last().map(|frame| frame.function.clone()));
        }
    }
    let (kept, ends) = (counts.kept(), ends.len());
    let shares = format!(
        "{} attempts: {} complete, {} partial, {} dropped; {} changes, {ends} functions seen at the end",
        counts.attempts, counts.complete, counts.partial, counts.dropped, counts.changes
    );
    if !impossible.is_empty() {
        let count: u64 = impossible.values().map(|(count, _)| count).sum();
        let shown = impossible.iter().take(SHOWN).map(|(what, (count, text))| format!("\n{count} {what}{text}"));
        return Err(format!("{count} of {kept} are impossible ({shares})") + &shown.collect::<String>());
    }
    if kept < case.kept || counts.changes < case.changes {
        return Err(format!("only so much in {} s: {shares}", PATIENCE.as_secs()));
    }
    // Of the attempts, as the goal is; what is dropped is what was lost.
    if kept * 100 < counts.attempts * case.least_kept || ends < case.ends {
        return Err(format!("too much is lost: {shares}"));
    }
    if case.blocking && counts.partial + counts.dropped > 0 {
        return Err(format!("a stopped target leaves no excuse: {shares}"));
    }
    Ok(())
}

fn frame(of: &asyncprof::model::snapshot::Frame) -> Frame {
    Frame { function: of.function.to_string(), file: of.file.to_string(), line: of.line }
}

/// A checker that accepts everything would let every sampler pass.
fn checker_trials() -> Vec<Trial> {
    let tests: [(&str, fn()); 4] = [
        ("what_the_program_says_is_legal", what_the_program_says_is_legal),
        ("every_way_to_be_impossible_is_seen", every_way_to_be_impossible_is_seen),
        ("two_halves_of_legal_stacks_are_no_stack", two_halves_of_legal_stacks_are_no_stack),
        ("a_partial_stack_is_judged_as_far_as_it_goes", a_partial_stack_is_judged_as_far_as_it_goes),
    ];
    let trial = |(name, test): (&str, fn())| {
        Trial::test(format!("checker/{name}"), move || {
            test();
            Ok(())
        })
    };
    tests.into_iter().map(trial).collect()
}

/// `<module>` calls `a` at 2 and `b` at 3; `a` calls itself at 12, and at 13 an end that is another one at each depth.
fn legal() -> Legal {
    let node = |function: &str, lines: [u32; 2], calls: Value| json!({"function": function, "file": "/p.py", "lines": lines, "calls": calls});
    let deepest = node("a", [10, 15], json!({"13": [node("end_2", [20, 22], json!({}))]}));
    let deeper = node("a", [10, 15], json!({"12": [deepest], "13": [node("end_1", [30, 32], json!({}))]}));
    let b = node("b", [40, 42], json!({"41": [node("leaf", [50, 52], json!({}))]}));
    Legal::of(json!({"tree": [node("<module>", [1, 9], json!({"2": [deeper], "3": [b]}))]})).expect("a tree")
}

fn stack(frames: &[(&str, u32)]) -> Vec<Frame> {
    let frame = |(function, line): &(&str, u32)| Frame {
        function: (*function).to_owned(),
        file: "/p.py".to_owned(),
        line: Some(*line),
    };
    frames.iter().map(frame).collect()
}

fn what_the_program_says_is_legal() {
    let legal = legal();
    let stacks = legal.stacks();
    assert_eq!(stacks.len(), 7, "{stacks:?}");
    for stack in stacks {
        assert_eq!(legal.fault(&stack, false), None);
    }
    assert_eq!(legal.fault(&stack(&[("<module>", 3), ("Class.b", 41), ("leaf", 50)]), false), None, "a qualified name");
}

fn every_way_to_be_impossible_is_seen() {
    let legal = legal();
    for (frames, why) in [
        (&[("<module>", 2), ("b", 41)][..], "that line calls another function"),
        (&[("<module>", 4), ("a", 12)], "that line calls nothing"),
        (&[("<module>", 2), ("a", 12), ("end_1", 30)], "a level is missing, or too many"),
        (&[("<module>", 2), ("a", 13), ("end_2", 20)], "the end of another depth"),
        (&[("<module>", 2), ("end_1", 30)], "a frame was skipped"),
        (&[("a", 12)], "the outermost frame is missing"),
        (&[("<module>", 3), ("b", 43)], "the innermost line is another function's"),
        (&[("<module>", 3), ("b", 41), ("leaf", 50), ("leaf", 50)], "a frame below a leaf"),
        (&[], "no frames at all"),
    ] {
        assert!(legal.fault(&stack(frames), false).is_some(), "{why}: {frames:?}");
    }
    let mut other_file = stack(&[("<module>", 3), ("b", 41)]);
    other_file[1].file = "/q.py".to_owned();
    assert!(legal.fault(&other_file, false).is_some(), "a function of another file");
}

/// What a torn read that nobody noticed looks like: the outer part of one stack, the inner part of another.
fn two_halves_of_legal_stacks_are_no_stack() {
    let legal = legal();
    let stacks = legal.stacks();
    let mut refused = 0;
    for one in &stacks {
        for other in &stacks {
            for cut in 1..one.len().min(other.len()) {
                let spliced: Vec<Frame> = one[..cut].iter().chain(&other[cut..]).cloned().collect();
                let is_legal = stacks.iter().any(|stack| same_calls(stack, &spliced));
                assert_eq!(legal.fault(&spliced, false).is_none(), is_legal, "{spliced:?}");
                refused += usize::from(!is_legal);
            }
        }
    }
    assert!(refused > 0, "no splice was impossible");
}

/// Whether they differ at most in the line of the innermost frame, which is free.
fn same_calls(one: &[Frame], other: &[Frame]) -> bool {
    let name = |frames: &[Frame]| frames.last().map(|frame| frame.function.clone());
    one.len() == other.len() && one[..one.len() - 1] == other[..other.len() - 1] && name(one) == name(other)
}

fn a_partial_stack_is_judged_as_far_as_it_goes() {
    let legal = legal();
    for (frames, right) in [
        (&[("<module>", 2), ("a", 12)][..], true),
        (&[("<module>", 2)], true),
        (&[], true),
        (&[("<module>", 2), ("b", 41)], false),
        (&[("a", 12)], false),
    ] {
        assert_eq!(legal.fault(&stack(frames), true).is_none(), right, "{frames:?}");
    }
}
