//! The findings of all full snapshots of a watch, not only of the last one: an orphan that came and went is still
//! reported.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::rules::Subject;
use crate::model::event::KeptFinding;
use crate::model::snapshot::{Frame, RuleId, Severity};
use crate::model::tables::Tables;

/// A finding of at least one snapshot, and when it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenFinding {
    /// From the snapshot in which it concerned the most tasks.
    pub finding: KeptFinding,
    /// The outermost coroutine of its tasks; the line is its first line, if known.
    pub coroutine: Option<Frame>,
    /// The most tasks concerned in one snapshot.
    pub most: u64,
    /// Number of snapshots that showed it.
    pub looks: u64,
    /// When the first of them was taken, on the clock of the events.
    pub first_ns: u64,
    /// When the last of them was taken.
    pub last_ns: u64,
}

/// What identifies a finding across snapshots: the rule, the coroutine of the tasks, and the type of exception.
type Key = (RuleId, Option<(Arc<str>, Arc<str>)>, Option<String>);

/// The findings of all snapshots.
#[derive(Clone, Debug, Default)]
pub struct SeenFindings {
    list: Vec<SeenFinding>,
    positions: FxHashMap<Key, usize>,
    most: FxHashMap<RuleId, u64>,
    looks: u64,
    last_look_ns: u64,
    left_out: u64,
}

impl SeenFindings {
    /// LIMIT: distinct findings; any more are only counted.
    const LIMIT: usize = 1_000;

    /// Adds the findings of one snapshot.
    pub(super) fn absorb(&mut self, at_ns: u64, findings: &[KeptFinding], tables: &Tables) {
        self.looks += 1;
        self.last_look_ns = self.last_look_ns.max(at_ns);
        let mut at_once: FxHashMap<&RuleId, u64> = FxHashMap::default();
        for finding in findings {
            let subject = Subject::of(&finding.finding);
            let concerned = subject.count.unwrap_or(finding.tasks.len() as u64).max(1);
            // What is only mentioned is not counted.
            if finding.finding.severity != Severity::Info {
                *at_once.entry(&finding.finding.rule).or_default() += concerned;
            }
            let coroutine = coroutine_of(finding, &subject, tables);
            self.add(at_ns, finding, concerned, coroutine, subject.exception.as_deref().map(kind_of_exception));
        }
        for (rule, number) in at_once {
            let most = self.most.entry(rule.clone()).or_default();
            *most = (*most).max(number);
        }
    }

    fn add(
        &mut self,
        at_ns: u64,
        finding: &KeptFinding,
        concerned: u64,
        coroutine: Option<Frame>,
        exception: Option<String>,
    ) {
        let names = coroutine.as_ref().map(|frame| (frame.function.clone(), frame.file.clone()));
        let key = (finding.finding.rule.clone(), names, exception);
        if let Some(position) = self.positions.get(&key) {
            let known = &mut self.list[*position];
            known.looks += 1;
            known.last_ns = known.last_ns.max(at_ns);
            if concerned > known.most {
                (known.most, known.finding) = (concerned, finding.clone());
            }
            return;
        }
        if self.list.len() >= Self::LIMIT {
            self.left_out += 1;
            return;
        }
        self.positions.insert(key, self.list.len());
        self.list.push(SeenFinding {
            finding: finding.clone(),
            coroutine,
            most: concerned,
            looks: 1,
            first_ns: at_ns,
            last_ns: at_ns,
        });
    }

    /// In the order in which they were first seen.
    pub fn list(&self) -> &[SeenFinding] {
        &self.list
    }

    /// Number of full snapshots; if there were none, nothing is known about findings.
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// When the last full snapshot was taken, on the clock of the events; `None` if none was.
    pub fn last_look_ns(&self) -> Option<u64> {
        (self.looks > 0).then_some(self.last_look_ns)
    }

    /// The most tasks that the warnings and errors of a rule concerned in one snapshot.
    pub fn most(&self, rule: &RuleId) -> u64 {
        self.most.get(rule).copied().unwrap_or(0)
    }

    /// How often a finding beyond the limit of distinct ones was seen.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// Turns `ValueError: card 4711 was declined` into `ValueError`: the text differs from one occurrence to the next.
fn kind_of_exception(exception: &str) -> String {
    exception.split(':').next().unwrap_or(exception).trim().to_owned()
}

/// The coroutine that the finding names, otherwise that of its first task.
fn coroutine_of(finding: &KeptFinding, subject: &Subject, tables: &Tables) -> Option<Frame> {
    let of_task = finding.tasks.iter().find_map(|task| tables.task(*task)?.coroutine.clone());
    let (Some(function), Some(file)) = (&subject.coroutine, &subject.file) else { return of_task };
    let is_named = |frame: &Frame| *frame.function == **function && *frame.file == **file;
    let named = || Frame { function: function.as_str().into(), file: file.as_str().into(), line: None };
    Some(of_task.filter(is_named).unwrap_or_else(named))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::{Finding, Severity};
    use crate::model::tables::{TaskInfo, TaskNo};

    fn finding(rule: &'static str, evidence: &[(&'static str, serde_json::Value)], tasks: Vec<TaskNo>) -> KeptFinding {
        let finding = Finding {
            rule: RuleId::new(rule),
            severity: Severity::Warning,
            message: "wrong".into(),
            tasks: Vec::new(),
            evidence: evidence.iter().map(|(name, fact)| ((*name).to_owned(), fact.clone())).collect(),
            advice: "do otherwise".into(),
        };
        KeptFinding { finding, tasks, site: None }
    }

    #[test]
    fn a_finding_that_comes_and_goes_was_there() {
        let orphans = |count: u64| {
            let evidence = [("coroutine", "lost".into()), ("file", "/app/main.py".into()), ("count", count.into())];
            finding("orphaned-task", &evidence, Vec::new())
        };
        let (mut seen, tables) = (SeenFindings::default(), Tables::default());
        seen.absorb(1, &[orphans(2)], &tables);
        seen.absorb(2, &[], &tables);
        seen.absorb(3, &[orphans(5)], &tables);
        let [one] = seen.list() else { panic!("{seen:?}") };
        assert_eq!((one.first_ns, one.last_ns, one.looks, one.most), (1, 3, 2, 5));
        assert_eq!(
            (seen.looks(), seen.most(&RuleId::new("orphaned-task")), seen.most(&RuleId::new("await-cycle"))),
            (3, 5, 0)
        );
    }

    #[test]
    fn exceptions_differ_by_their_kind_and_coroutine_but_not_by_their_text() {
        let (mut seen, mut tables) = (SeenFindings::default(), Tables::default());
        let mut failed = |function: &str, exception: &str| {
            let coroutine = Some(Frame { function: function.into(), file: "/app/main.py".into(), line: Some(7) });
            let task = tables.add_task(&TaskInfo { key: 1, name: None, coroutine });
            finding("exception-never-retrieved", &[("exception", exception.into()), ("count", 1.into())], vec![task])
        };
        let (a, b) = (failed("charge", "ValueError: card 1"), failed("charge", "ValueError: card 2"));
        let (c, d) = (failed("refund", "ValueError: card 1"), failed("charge", "KeyError: 'x'"));
        seen.absorb(1, &[a, b, c, d], &tables);
        assert_eq!(seen.list().len(), 3);
        assert_eq!(seen.list()[0].coroutine.as_ref().and_then(|frame| frame.line), Some(7));
        assert_eq!(seen.most(&RuleId::new("exception-never-retrieved")), 4);
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let (mut seen, tables) = (SeenFindings::default(), Tables::default());
        for number in 0..SeenFindings::LIMIT + 5 {
            let evidence = [("coroutine", format!("f{number}").into()), ("file", "/app/main.py".into())];
            seen.absorb(1, &[finding("orphaned-task", &evidence, Vec::new())], &tables);
        }
        assert_eq!((seen.list().len(), seen.left_out()), (SeenFindings::LIMIT, 5));
    }
}
