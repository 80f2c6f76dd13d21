//! The good runs that later runs are compared with, and the circumstances that must match for that.

use std::collections::BTreeMap;

use super::run::Run;

/// Runs kept for comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Baseline {
    /// When the baseline was made, RFC 3339.
    pub created_at: String,
    /// The program that made it.
    pub fingerprint: Fingerprint,
    /// The runs.
    pub runs: Vec<Run>,
}

/// The circumstances of runs by name: `cpu`, `cores`, `kernel`, `python`, `loop`, `rate`, `task-rate`, `stall`,
/// `asyncprof`, `command`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(pub BTreeMap<String, String>);

/// A circumstance that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which one.
    pub name: String,
    /// The value then; empty where it is not known.
    pub then: String,
    /// The value now; empty where it is not known.
    pub now: String,
}

/// A machine whose speed differs by more than this factor counts as a different machine.
const SPEED: f64 = 1.2;

impl Difference {
    /// Whether times of then and now cannot be compared. The command may be spelled differently and still be the same.
    pub fn forbids_times(&self) -> bool {
        self.name != "command"
    }
}

impl Baseline {
    /// The circumstances that have changed, for runs like these made under the given circumstances.
    pub fn differences(&self, now: &Fingerprint, runs: &[Run]) -> Vec<Difference> {
        let text = |fingerprint: &Fingerprint, name: &str| fingerprint.0.get(name).cloned().unwrap_or_default();
        let names =
            self.fingerprint.0.keys().chain(now.0.keys().filter(|name| !self.fingerprint.0.contains_key(*name)));
        let mut differences: Vec<Difference> = names
            .map(|name| Difference { name: name.clone(), then: text(&self.fingerprint, name), now: text(now, name) })
            .filter(|difference| difference.then != difference.now)
            .collect();
        let fastest = |runs: &[Run]| runs.iter().filter_map(|run| run.spin_ns).min();
        if let (Some(then), Some(now)) = (fastest(&self.runs), fastest(runs)) {
            let ratio = now as f64 / then.max(1) as f64;
            if !(1.0 / SPEED..=SPEED).contains(&ratio) {
                let said = |ns: u64| format!("{:.2} ms for the same work", ns as f64 / 1e6);
                differences.push(Difference { name: "speed".into(), then: said(then), now: said(now) });
            }
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::super::run::tests::run;
    use super::*;

    fn fingerprint(facts: &[(&str, &str)]) -> Fingerprint {
        Fingerprint(facts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn what_differs_is_named_with_then_and_now() {
        let then = fingerprint(&[("cpu", "one"), ("cores", "2"), ("command", "python a.py")]);
        let baseline = Baseline { fingerprint: then.clone(), ..Baseline::default() };
        assert_eq!(baseline.differences(&then, &[]), []);
        let now = fingerprint(&[("cpu", "two"), ("command", "python b.py"), ("kernel", "6")]);
        let found = baseline.differences(&now, &[]);
        let names: Vec<_> = found.iter().map(|one| (&*one.name, &*one.then, &*one.now)).collect();
        let wanted =
            [("command", "python a.py", "python b.py"), ("cores", "2", ""), ("cpu", "one", "two"), ("kernel", "", "6")];
        assert_eq!(names, wanted);
        assert_eq!(found.iter().filter(|one| one.forbids_times()).count(), 3);
    }

    #[test]
    fn a_machine_at_another_speed_is_another_machine() {
        let at = |spin_ns: u64| Run { spin_ns: Some(spin_ns), ..run(&[]) };
        let baseline = Baseline { runs: vec![at(1_300), at(1_000)], ..Baseline::default() };
        assert_eq!(baseline.differences(&Fingerprint::default(), &[at(1_100), at(2_000)]), []);
        for speed in [700, 1_300] {
            assert!(baseline.differences(&Fingerprint::default(), &[at(speed)])[0].forbids_times());
        }
    }
}
