//! What a test asks of a dump or a report, in words: findings, stalls and sentences.

use serde_json::Value;

/// The ids of rules that the cases ask for.
pub(crate) mod rules {
    pub(crate) const AWAIT_CYCLE: &str = "await-cycle";
    pub(crate) const BLOCKING_CALL: &str = "blocking-call";
    pub(crate) const ORPHANED_TASK: &str = "orphaned-task";
    /// A circle that passes through a thread, a pool or a second loop.
    pub(crate) const THREAD_DEADLOCK: &str = "thread-deadlock";
    /// A loop waits for the GIL that a thread keeps.
    pub(crate) const GIL_CONTENTION: &str = "gil-contention";
    /// A loop at 100 % that never blocks.
    pub(crate) const LOOP_SPIN: &str = "loop-spin";
    /// A lock or semaphore is held by nobody who could give it back.
    pub(crate) const HOLDER_ENDED: &str = "lock-holder-ended";
    /// A callback is ready, and the loop sleeps.
    pub(crate) const MISSED_WAKEUP: &str = "missed-wakeup";
    /// Something waits for a loop that nobody runs.
    pub(crate) const LOOP_NOT_RUNNING: &str = "loop-not-running";
    /// All workers, tokens or places of a pool are taken, and others wait for one.
    pub(crate) const POOL_EXHAUSTED: &str = "pool-exhausted";
    /// A bounded queue is full, and those who put wait.
    pub(crate) const QUEUE_FULL: &str = "queue-full";
    /// Tasks wait for a lock whose holder waits for something else.
    pub(crate) const LOCK_CONVOY: &str = "lock-convoy";
    /// A task was asked to cancel and waits on.
    pub(crate) const CANCELLED_TASK: &str = "cancelled-task-waits";
    /// What ends waits for a thread or a task.
    pub(crate) const SHUTDOWN_WAITS: &str = "shutdown-waits";
    /// The process is stopped, or its control group is frozen.
    pub(crate) const PROCESS_STOPPED: &str = "process-stopped";
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Warnings and errors; what is only worth knowing is not among them.
fn serious(dump: &Value) -> Vec<&Value> {
    list(&dump["findings"]).iter().filter(|finding| finding["severity"] != "info").collect()
}

/// Nothing is wrong, and nothing is said to be.
pub(crate) fn assert_nothing_found(dump: &Value) {
    let found = serious(dump);
    assert!(found.is_empty(), "false findings: {found:#?}");
}

/// The findings are of these rules and no others; returns the first of each, in the order asked for.
pub(crate) fn assert_found<'v, const N: usize>(dump: &'v Value, wanted: [&str; N]) -> [&'v Value; N] {
    let found = serious(dump);
    let rest: Vec<_> = found.iter().filter(|finding| !wanted.iter().any(|&rule| finding["rule"] == rule)).collect();
    assert!(rest.is_empty(), "false findings beside {wanted:?}: {rest:#?}");
    wanted.map(|rule| {
        let one = found.iter().copied().find(|finding| finding["rule"] == rule);
        one.unwrap_or_else(|| panic!("no {rule} among {found:#?}"))
    })
}

/// The message or the evidence names each of these.
pub(crate) fn assert_names(finding: &Value, wanted: &[&str]) {
    let said = format!("{} {}", finding["message"].as_str().unwrap_or_default(), finding["evidence"]);
    let missing: Vec<_> = wanted.iter().filter(|word| !said.contains(**word)).collect();
    assert!(missing.is_empty(), "{missing:?} not named in {finding:#}");
}

/// The first finding of this rule, of any severity.
pub(crate) fn find<'v>(dump: &'v Value, rule: &str) -> &'v Value {
    let found = list(&dump["findings"]).iter().find(|finding| finding["rule"] == rule);
    found.unwrap_or_else(|| panic!("no {rule} among {:#}", dump["findings"]))
}

/// The names of the tasks of a finding.
pub(crate) fn tasks_of<'v>(dump: &'v Value, finding: &Value) -> Vec<&'v str> {
    let of_finding = |task: &&Value| list(&finding["tasks"]).contains(&task["id"]);
    let mut names: Vec<_> = list(&dump["tasks"]).iter().filter(of_finding).filter_map(|t| t["name"].as_str()).collect();
    names.sort_unstable();
    names
}

/// A task by its name.
pub(crate) fn task<'v>(dump: &'v Value, name: &str) -> &'v Value {
    let task = list(&dump["tasks"]).iter().find(|task| task["name"] == name);
    task.unwrap_or_else(|| panic!("no task {name} in {:#}", dump["tasks"]))
}

/// The functions of a stack, without their classes, outermost first.
pub(crate) fn functions(shown: &Value) -> Vec<&str> {
    let names = list(&shown["stack"]).iter().filter_map(|frame| frame["function"].as_str());
    names.map(|name| name.rsplit('.').next().unwrap_or(name)).collect()
}

/// That `wanted` stand in `functions` in this order, others between them or not.
pub(crate) fn assert_in_order(functions: &[&str], wanted: &[&str]) {
    let mut rest = functions.iter();
    let all = wanted.iter().all(|one| rest.any(|function| function == one));
    assert!(all, "{wanted:?} do not stand in this order in {functions:?}");
}

/// Stalls as they must be.
pub(crate) struct Stall<'s> {
    /// Function and line of the site.
    pub(crate) function: &'s str,
    pub(crate) line: u64,
    /// `None`: not asked for.
    pub(crate) task: Option<&'s str>,
    pub(crate) cause: &'s str,
    /// What the detail of the cause speaks of; nothing, if it is empty.
    pub(crate) detail: &'s [&'s str],
    /// Length of the shortest whole one, and of the longest.
    pub(crate) ms: std::ops::Range<f64>,
}

impl Stall<'_> {
    fn fault_of(&self, stall: &Value) -> Option<String> {
        let site = &stall["site"];
        let function = site["function"].as_str().unwrap_or_default().rsplit('.').next();
        let detail = stall["cause_detail"].as_str().unwrap_or_default();
        let right = function == Some(self.function)
            && site["line"] == self.line
            && self.task.is_none_or(|name| stall["task"] == name)
            && stall["cause"] == self.cause
            && (self.detail.is_empty() || self.detail.iter().any(|word| detail.contains(word)))
            && stall["duration_ms"].as_f64().is_some_and(|ms| ms < self.ms.end);
        let (duration, task, cause) = (&stall["duration_ms"], &stall["task"], &stall["cause"]);
        (!right).then(|| format!("{duration} ms at {site} in task {task}: {cause}, {detail}"))
    }
}

/// The stalls of a report that the program made: on a machine that is loaded, starved ones are true beside them.
pub(crate) fn own_stalls(report: &Value) -> Vec<&Value> {
    list(&report["stalls"]).iter().filter(|stall| stall["cause"] != "cpu_starved").collect()
}

/// At least `count` stalls, each as it must be; those at the ends of the watch may be cut.
pub(crate) fn assert_stalls(report: &Value, count: usize, wanted: &Stall) {
    let stalls = own_stalls(report);
    let wrong: Vec<_> = stalls.iter().filter_map(|stall| wanted.fault_of(stall)).collect();
    assert!(wrong.is_empty(), "{} of {} stalls are not as they are: {wrong:#?}", wrong.len(), stalls.len());
    assert!(stalls.len() >= count, "{} stalls instead of {count}: {}", stalls.len(), report["sampling"]);
    let whole = stalls.iter().filter(|one| one["duration_ms"].as_f64().is_some_and(|ms| ms >= wanted.ms.start)).count();
    assert!(
        whole + 2 >= count,
        "{whole} of {} stalls last {} ms or longer: {stalls:#?}",
        stalls.len(),
        wanted.ms.start
    );
}

pub(crate) fn assert_no_stalls(report: &Value) {
    let stalls = own_stalls(report);
    let said: Vec<_> = stalls.iter().map(|one| [&one["duration_ms"], &one["cause"], &one["site"]]).collect();
    assert!(said.is_empty(), "false stalls: {said:?}");
}

/// The share of time in which the loop of a report with one was busy.
pub(crate) fn busy_percent(report: &Value) -> f64 {
    let loops = list(&report["loops"]);
    assert_eq!(loops.len(), 1, "{loops:#?}");
    loops[0]["busy_percent"].as_f64().unwrap()
}

/// That a text says each of these, whatever the case of its letters.
pub(crate) fn assert_says(text: &str, wanted: &[&str]) {
    let lower = text.to_lowercase();
    let missing: Vec<_> = wanted.iter().filter(|words| !lower.contains(&words.to_lowercase())).collect();
    assert!(missing.is_empty(), "{missing:?} not said in:\n{text}");
}

pub(crate) fn assert_never_says(text: &str, unwanted: &[&str]) {
    let lower = text.to_lowercase();
    let said: Vec<_> = unwanted.iter().filter(|words| lower.contains(&words.to_lowercase())).collect();
    assert!(said.is_empty(), "untrue {said:?} in:\n{text}");
}
