//! The findings of all looks at everything during a watch, not those of the last one alone: an orphan that comes and goes, or
//! that ends with the program, was there. It must not know how a look is taken or what a finding means for anybody.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::event::KeptFinding;
use crate::model::snapshot::{Finding, Frame};
use crate::model::tables::Tables;

/// A finding that at least one look showed, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenFinding {
    /// As the look with the most of its tasks showed it.
    pub finding: KeptFinding,
    /// The coroutine that its tasks were made of; the line is where it begins, where that is known.
    pub coroutine: Option<Frame>,
    /// Most tasks that it concerned at one look.
    pub most: u64,
    /// Looks that showed it.
    pub looks: u64,
    /// The first such look, on the clock of the events.
    pub first_ns: u64,
    /// The last such look.
    pub last_ns: u64,
}

/// What makes two findings the same: the rule, the coroutine of the tasks, and the kind of exception.
type Key = (&'static str, Option<(Arc<str>, Arc<str>)>, Option<String>);

/// All that looks at everything have shown.
#[derive(Clone, Debug, Default)]
pub struct SeenFindings {
    list: Vec<SeenFinding>,
    positions: FxHashMap<Key, usize>,
    most: FxHashMap<&'static str, u64>,
    looks: u64,
    last_look_ns: u64,
    left_out: u64,
}

impl SeenFindings {
    /// LIMIT: distinct findings; a program that makes ever new ones is told of these.
    const LIMIT: usize = 1_000;

    /// Takes what one look showed.
    pub(super) fn absorb(&mut self, at_ns: u64, findings: &[KeptFinding], tables: &Tables) {
        self.looks += 1;
        self.last_look_ns = self.last_look_ns.max(at_ns);
        let mut at_once: FxHashMap<&'static str, u64> = FxHashMap::default();
        for finding in findings {
            let concerned = concerned(finding);
            *at_once.entry(finding.finding.rule).or_default() += concerned;
            self.add(at_ns, finding, concerned, coroutine_of(finding, tables));
        }
        for (rule, number) in at_once {
            let most = self.most.entry(rule).or_default();
            *most = (*most).max(number);
        }
    }

    fn add(&mut self, at_ns: u64, finding: &KeptFinding, concerned: u64, coroutine: Option<Frame>) {
        let names = coroutine.as_ref().map(|frame| (frame.function.clone(), frame.file.clone()));
        let key = (finding.finding.rule, names, exception_of(&finding.finding));
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

    /// How often everything was looked at; zero says that nobody can know what was wrong.
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// When everything was looked at last, on the clock of the events; `None` if never.
    pub fn last_look_ns(&self) -> Option<u64> {
        (self.looks > 0).then_some(self.last_look_ns)
    }

    /// The most tasks that findings of a rule concerned at one look.
    pub fn most(&self, rule: &str) -> u64 {
        self.most.get(rule).copied().unwrap_or(0)
    }

    /// How often a finding was seen that is beyond the limit of distinct ones.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// How many tasks it is about: by its own count, else those it names.
fn concerned(finding: &KeptFinding) -> u64 {
    let counted = finding.finding.evidence.get("count").and_then(serde_json::Value::as_u64);
    counted.unwrap_or(finding.tasks.len() as u64).max(1)
}

/// `ValueError` of `ValueError: card 4711 was declined`: the text differs from one to the next.
fn exception_of(finding: &Finding) -> Option<String> {
    let exception = finding.evidence.get("exception")?.as_str()?;
    Some(exception.split(':').next().unwrap_or(exception).trim().to_owned())
}

/// By what the finding says itself, else by what is known of its first task.
fn coroutine_of(finding: &KeptFinding, tables: &Tables) -> Option<Frame> {
    let text = |name: &str| finding.finding.evidence.get(name).and_then(serde_json::Value::as_str);
    let of_task = || finding.tasks.iter().find_map(|task| tables.task(*task)?.coroutine.clone());
    match (text("coroutine"), text("file")) {
        (Some(function), Some(file)) => {
            let known = of_task().filter(|frame| &*frame.function == function && &*frame.file == file);
            Some(known.unwrap_or_else(|| Frame { function: function.into(), file: file.into(), line: None }))
        }
        _ => of_task(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::snapshot::Severity;
    use crate::model::tables::{TaskInfo, TaskNo};

    fn finding(rule: &'static str, evidence: &[(&'static str, serde_json::Value)], tasks: Vec<TaskNo>) -> KeptFinding {
        let finding = Finding {
            rule,
            severity: Severity::Warning,
            message: "wrong".into(),
            tasks: Vec::new(),
            evidence: evidence.iter().cloned().collect::<BTreeMap<_, _>>(),
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
        assert_eq!((seen.looks(), seen.most("orphaned-task"), seen.most("await-cycle")), (3, 5, 0));
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
        assert_eq!(seen.most("exception-never-retrieved"), 4);
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
