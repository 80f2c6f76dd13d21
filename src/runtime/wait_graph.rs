//! The wait graph: from the futures that tasks wait for to the tasks behind them, and from the locks they wait for to
//! the tasks that hold them. Pure functions over addresses: the caller reads memory and passes in what it found.

use std::hash::Hash;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::remote::Addr;

/// LIMIT: how deep nested futures are followed (a gather of gathers of shields ...), in rounds.
const MAX_ROUNDS: usize = 1_000;

/// The known tasks and the futures between them.
pub trait Futures {
    /// How the caller identifies a task.
    type Task: Copy + Eq + Hash;

    /// The task at `addr`, if it is part of the graph.
    fn task(&self, addr: Addr) -> Option<Self::Task>;

    /// The targets of a future that is not such a task; empty if unknown.
    fn targets(&self, future: Addr) -> &[Addr];
}

/// A task of the graph.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a, T> {
    /// The task.
    pub task: T,
    /// It is suspended, so the following fields are what it waits for now.
    pub is_suspended: bool,
    /// The tasks and futures it waits for. Tasks that wait for the same thing share one list, which is expanded only
    /// once.
    pub targets: &'a [Addr],
    /// The lock it waits for.
    pub wanted_lock: Option<Addr>,
    /// The tasks that hold what it waits for, according to the lock itself.
    pub holders: &'a [Addr],
    /// It has released its locks while it waits.
    pub has_released: bool,
    /// What it waits for is entered only when it has been acquired.
    pub enters_late: bool,
    /// The objects that its coroutines have entered with `async with`, including locks.
    pub entered: &'a [Addr],
    /// Its awaiters, according to its own field.
    pub awaiters: &'a [Addr],
}

/// What a task waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edges<T> {
    /// The tasks it waits for, each once.
    pub awaits: Arc<[T]>,
    /// The tasks that hold the lock it waits for.
    pub held_by: Arc<[T]>,
}

impl<T> Default for Edges<T> {
    fn default() -> Self {
        Self { awaits: Arc::default(), held_by: Arc::default() }
    }
}

/// The edges of each node, in the order of the nodes.
pub fn relate<F: Futures>(nodes: &[Node<'_, F::Task>], futures: &F) -> Vec<Edges<F::Task>> {
    let mut expansion = Expansion::new(futures);
    let holders = find_holders(nodes);
    let mut edges: Vec<Edges<F::Task>> = (nodes.iter())
        .map(|node| {
            let suspended = Some(node).filter(|node| node.is_suspended);
            let lock = suspended.and_then(|node| node.wanted_lock);
            let recorded = suspended.map_or(&[][..], |node| node.holders);
            let held_by = match recorded {
                [] => lock.and_then(|lock| holders.get(&lock)).cloned().unwrap_or_default(),
                recorded => recorded.iter().filter_map(|holder| futures.task(*holder)).collect(),
            };
            Edges { awaits: expansion.of(suspended.map_or(&[], |node| node.targets)), held_by }
        })
        .collect();
    add_awaiters(nodes, futures, &mut edges);
    edges
}

/// The tasks that wait for each node's task, in the order of the nodes.
pub fn awaited_by<T: Copy + Eq + Hash>(nodes: &[Node<'_, T>], edges: &[Edges<T>]) -> Vec<Vec<T>> {
    let positions: FxHashMap<T, usize> = nodes.iter().enumerate().map(|(at, node)| (node.task, at)).collect();
    let mut awaited_by = vec![Vec::new(); nodes.len()];
    for (node, edges) in nodes.iter().zip(edges) {
        for at in edges.awaits.iter().filter_map(|awaited| positions.get(awaited)) {
            awaited_by[*at].push(node.task);
        }
    }
    awaited_by
}

/// Expands lists of targets to tasks. A list that many tasks share is followed only once.
struct Expansion<'f, F: Futures> {
    futures: &'f F,
    nothing: Arc<[F::Task]>,
    /// By the address of a list: lists do not move while the graph is built.
    known: FxHashMap<(*const Addr, usize), Arc<[F::Task]>>,
    /// Targets followed so far.
    steps: usize,
}

impl<'f, F: Futures> Expansion<'f, F> {
    fn new(futures: &'f F) -> Self {
        Self { futures, nothing: Arc::default(), known: FxHashMap::default(), steps: 0 }
    }

    /// The tasks that these targets stand for, each once, in the order in which they are found.
    fn of(&mut self, targets: &[Addr]) -> Arc<[F::Task]> {
        let mut list = targets;
        // A single future is replaced by its targets: several shields of one gather are expanded once.
        for _ in 0..MAX_ROUNDS {
            let [only] = list else { break };
            if let Some(task) = self.futures.task(*only) {
                return Arc::new([task]);
            }
            list = self.futures.targets(*only);
        }
        if list.is_empty() {
            return Arc::clone(&self.nothing);
        }
        let key = (list.as_ptr(), list.len());
        if let Some(known) = self.known.get(&key) {
            return Arc::clone(known);
        }
        let found = self.expand(list);
        self.known.insert(key, Arc::clone(&found));
        found
    }

    fn expand(&mut self, targets: &[Addr]) -> Arc<[F::Task]> {
        let (mut found, mut seen) = (Vec::new(), FxHashSet::default());
        let mut open: Vec<Addr> = targets.iter().rev().copied().collect();
        while let Some(target) = open.pop() {
            self.steps += 1;
            if !seen.insert(target) {
                continue;
            }
            match self.futures.task(target) {
                Some(task) => found.push(task),
                None => open.extend(self.futures.targets(target).iter().rev()),
            }
        }
        found.into()
    }
}

/// The tasks that hold each lock that some task waits for. Entering `async with lock` puts the lock on the stack before
/// it is acquired: one such entry of a task that waits for the lock does not show that it holds it, a second one does.
/// A task that waits for a condition has released its lock.
fn find_holders<T: Copy + Eq>(nodes: &[Node<'_, T>]) -> FxHashMap<Addr, Arc<[T]>> {
    let wanted = nodes.iter().filter(|node| node.is_suspended).filter_map(|node| node.wanted_lock);
    let mut holders: FxHashMap<Addr, Vec<T>> = wanted.map(|lock| (lock, Vec::new())).collect();
    for node in nodes.iter().filter(|node| !node.has_released) {
        let mut not_acquired = node.wanted_lock.filter(|_| !node.enters_late);
        for lock in node.entered {
            if not_acquired == Some(*lock) {
                not_acquired = None;
                continue;
            }
            // A lock that is entered twice is on the stack twice; nodes are visited one after the other.
            if let Some(holders) = holders.get_mut(lock).filter(|holders| holders.last() != Some(&node.task)) {
                holders.push(node.task);
            }
        }
    }
    holders.into_iter().map(|(lock, holders)| (lock, holders.into())).collect()
}

/// Adds the awaiters that tasks record themselves to the derived ones.
fn add_awaiters<F: Futures>(nodes: &[Node<'_, F::Task>], futures: &F, edges: &mut [Edges<F::Task>]) {
    let mut awaited: FxHashMap<F::Task, Vec<F::Task>> = FxHashMap::default();
    for node in nodes {
        for awaiter in node.awaiters.iter().filter_map(|awaiter| futures.task(*awaiter)) {
            awaited.entry(awaiter).or_default().push(node.task);
        }
    }
    if awaited.is_empty() {
        return;
    }
    for (node, edges) in nodes.iter().zip(edges) {
        // Only for a task that waits now: the entry stays until the awaiter's next step.
        let Some(awaited) = awaited.get(&node.task).filter(|_| node.is_suspended) else { continue };
        let mut known: FxHashSet<F::Task> = edges.awaits.iter().copied().collect();
        let missing: Vec<F::Task> = awaited.iter().copied().filter(|task| known.insert(*task)).collect();
        if !missing.is_empty() {
            edges.awaits = edges.awaits.iter().copied().chain(missing).collect();
        }
    }
}

/// The futures between tasks, to be read round by round, starting from what the tasks wait for. Each is visited once.
#[derive(Debug, Default)]
pub struct Frontier {
    met: FxHashSet<Addr>,
    open: Vec<Addr>,
    rounds: usize,
}

impl Frontier {
    /// Starts with the targets of tasks. `is_task` returns whether an address is a task of the graph.
    pub fn new<'a>(lists: impl Iterator<Item = &'a [Addr]>, is_task: impl Fn(Addr) -> bool) -> Self {
        let mut frontier = Self::default();
        let mut shared = FxHashSet::default();
        for list in lists.filter(|list| shared.insert((list.as_ptr(), list.len()))) {
            frontier.add(list, &is_task);
        }
        frontier
    }

    /// Adds the targets of a future.
    pub fn add(&mut self, targets: &[Addr], is_task: impl Fn(Addr) -> bool) {
        for target in targets.iter().filter(|target| !is_task(**target)) {
            if self.met.insert(*target) {
                self.open.push(*target);
            }
        }
    }

    /// The futures to read next, in order of address.
    pub fn next_round(&mut self) -> Option<Vec<Addr>> {
        self.rounds += 1;
        if self.open.is_empty() || self.rounds > MAX_ROUNDS {
            return None;
        }
        let mut round = std::mem::take(&mut self.open);
        round.sort_unstable();
        Some(round)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Made-up futures. The first `tasks` of them are tasks, and some of the others are unknown.
    #[derive(Clone, Debug)]
    struct Graph {
        tasks: usize,
        targets: Vec<Option<Vec<Addr>>>,
    }

    fn addr(number: usize) -> Addr {
        Addr::new(0x1000 + 16 * number as u64).expect("no address here is 0")
    }

    fn number(addr: Addr) -> usize {
        (addr.raw() - 0x1000) as usize / 16
    }

    impl Futures for Graph {
        type Task = usize;

        fn task(&self, addr: Addr) -> Option<usize> {
            Some(number(addr)).filter(|number| *number < self.tasks)
        }

        fn targets(&self, future: Addr) -> &[Addr] {
            self.targets[number(future)].as_deref().unwrap_or_default()
        }
    }

    impl Graph {
        fn nodes(&self) -> Vec<Node<'_, usize>> {
            (0..self.tasks).map(|task| Node { targets: self.targets(addr(task)), ..idle(task) }).collect()
        }

        /// The tasks that can be reached from `targets`, found by adding neighbours until there are no new ones.
        fn reached(&self, targets: &[Addr]) -> BTreeSet<usize> {
            let mut reached: BTreeSet<Addr> = targets.iter().copied().collect();
            loop {
                let futures = reached.iter().filter(|addr| self.task(**addr).is_none());
                let next: BTreeSet<Addr> = futures.flat_map(|future| self.targets(*future)).copied().collect();
                let before = reached.len();
                reached.extend(next);
                if reached.len() == before {
                    return reached.into_iter().filter_map(|addr| self.task(addr)).collect();
                }
            }
        }
    }

    fn idle<'a>(task: usize) -> Node<'a, usize> {
        Node {
            task,
            is_suspended: true,
            targets: &[],
            wanted_lock: None,
            holders: &[],
            has_released: false,
            enters_late: false,
            entered: &[],
            awaiters: &[],
        }
    }

    /// Graphs of every shape: few futures with many targets have cycles and diamonds, many with few have chains.
    fn graphs() -> impl Strategy<Value = Graph> {
        (1..40usize, 1..6usize).prop_flat_map(|(count, most)| {
            let list = prop::collection::vec((0..count).prop_map(addr), 0..most);
            let targets = prop::collection::vec(prop::option::weighted(0.9, list), count);
            (0..=count, targets).prop_map(|(tasks, targets)| Graph { tasks, targets })
        })
    }

    proptest! {
        #[test]
        fn a_task_waits_for_the_tasks_that_its_targets_reach(graph in graphs()) {
            let nodes = graph.nodes();
            let edges = relate(&nodes, &graph);
            for (node, edges) in nodes.iter().zip(&edges) {
                let found: BTreeSet<usize> = edges.awaits.iter().copied().collect();
                prop_assert_eq!(found.len(), edges.awaits.len(), "each once");
                prop_assert_eq!(found, graph.reached(node.targets));
            }
            prop_assert_eq!(edges, relate(&graph.clone().nodes(), &graph), "the order is always the same");
        }

        #[test]
        fn being_awaited_is_the_inverse_of_awaiting(graph in graphs()) {
            let nodes = graph.nodes();
            let edges = relate(&nodes, &graph);
            let pairs = |lists: Vec<Vec<usize>>| -> BTreeSet<(usize, usize)> {
                lists.iter().enumerate().flat_map(|(at, list)| list.iter().map(move |other| (at, *other))).collect()
            };
            let awaits = pairs(edges.iter().map(|edges| edges.awaits.to_vec()).collect());
            let awaited = pairs(awaited_by(&nodes, &edges));
            prop_assert_eq!(awaits, awaited.into_iter().map(|(awaited, waiter)| (waiter, awaited)).collect());
        }

        #[test]
        fn every_future_between_tasks_is_met_once(graph in graphs()) {
            let is_task = |addr| graph.task(addr).is_some();
            let nodes = graph.nodes();
            let mut frontier = Frontier::new(nodes.iter().map(|node| node.targets), is_task);
            let mut met = Vec::new();
            while let Some(round) = frontier.next_round() {
                for future in round {
                    met.push(future);
                    frontier.add(graph.targets(future), is_task);
                }
            }
            let mut all: BTreeSet<Addr> = nodes.iter().flat_map(|node| node.targets).copied().collect();
            for _ in 0..graph.targets.len() {
                let next: Vec<Addr> =
                    all.iter().filter(|addr| !is_task(**addr)).flat_map(|addr| graph.targets(*addr)).copied().collect();
                all.extend(next);
            }
            all.retain(|addr| !is_task(*addr));
            prop_assert_eq!(met.len(), all.len(), "each once");
            prop_assert_eq!(met.into_iter().collect::<BTreeSet<_>>(), all);
        }

        #[test]
        fn an_awaiter_awaits_what_names_it(graph in graphs(), awaiters in prop::collection::vec(0..40usize, 0..80)) {
            let lists: Vec<Vec<Addr>> = (0..graph.tasks)
                .map(|task| awaiters.iter().skip(task).step_by(graph.tasks).map(|awaiter| addr(*awaiter)).collect())
                .collect();
            let plain = graph.nodes();
            let nodes: Vec<_> = plain.iter().map(|node| Node { awaiters: &lists[node.task], ..*node }).collect();
            let edges = relate(&nodes, &graph);
            for (derived, edges) in relate(&plain, &graph).iter().zip(&edges) {
                prop_assert!(edges.awaits.starts_with(&derived.awaits), "what is derived comes first");
            }
            for (position, edges) in edges.iter().enumerate() {
                let named = lists.iter().enumerate().filter(|(_, list)| list.contains(&addr(position)));
                let mut expected = graph.reached(nodes[position].targets);
                expected.extend(named.map(|(task, _)| task));
                prop_assert_eq!(edges.awaits.iter().copied().collect::<BTreeSet<_>>(), expected);
            }
        }
    }

    /// `tasks` that all wait for one gather of as many children, each through a shield of its own.
    fn one_gather(tasks: usize) -> Graph {
        let gather = 3 * tasks;
        let mut targets: Vec<Option<Vec<Addr>>> = vec![None; gather + 1];
        for task in 0..tasks {
            targets[task] = Some(vec![addr(2 * tasks + task)]);
            targets[2 * tasks + task] = Some(vec![addr(gather)]);
        }
        targets[gather] = Some((tasks..2 * tasks).map(addr).collect());
        Graph { tasks: 2 * tasks, targets }
    }

    #[test]
    fn the_work_for_many_tasks_on_one_gather_grows_with_their_number() {
        for tasks in [100, 1_000, 10_000] {
            let graph = one_gather(tasks);
            let nodes = graph.nodes();
            let mut expansion = Expansion::new(&graph);
            let found: Vec<_> = nodes.iter().map(|node| expansion.of(node.targets)).collect();
            assert!(found[..tasks].iter().all(|list| Arc::ptr_eq(list, &found[0])), "one list for all");
            assert_eq!(found[0].len(), tasks);
            assert_eq!(expansion.steps, tasks);
            let edges = relate(&nodes, &graph);
            assert!(edges[1..tasks].iter().all(|other| Arc::ptr_eq(&other.awaits, &edges[0].awaits)));
        }
    }

    #[test]
    fn a_chain_of_futures_is_followed_round_by_round_up_to_a_limit() {
        let count = MAX_ROUNDS + 10;
        let graph = Graph { tasks: 1, targets: (1..=count).map(|next| Some(vec![addr(next % count)])).collect() };
        let is_task = |addr| graph.task(addr).is_some();
        let mut frontier = Frontier::new(std::iter::once(graph.targets(addr(0))), is_task);
        let mut rounds = 0;
        while let Some(round) = frontier.next_round() {
            assert_eq!(round.len(), 1);
            rounds += 1;
            round.iter().for_each(|future| frontier.add(graph.targets(*future), is_task));
        }
        assert_eq!(rounds, MAX_ROUNDS);
        // What was read is expanded however deep it is: the chain leads back to the task.
        assert_eq!(relate(&graph.nodes(), &graph)[0].awaits[..], [0]);
    }

    #[test]
    fn a_lock_is_held_by_who_entered_it_and_does_not_wait_for_it() {
        let graph = Graph { tasks: 5, targets: vec![None; 5] };
        let (lock, other) = ([addr(100)], addr(101));
        let nodes = [
            Node { entered: &lock, ..idle(0) },
            Node { entered: &lock, wanted_lock: Some(lock[0]), ..idle(1) },
            // It was woken, but has not made its step yet.
            Node { entered: &lock, wanted_lock: Some(lock[0]), is_suspended: false, ..idle(2) },
            Node { entered: &lock, has_released: true, ..idle(3) },
            Node { entered: &[lock[0], lock[0]], wanted_lock: Some(other), ..idle(4) },
        ];
        let edges = relate(&nodes, &graph);
        assert_eq!(edges[1].held_by[..], [0, 4]);
        for nothing in [0, 2, 3, 4] {
            assert!(edges[nothing].held_by.is_empty());
        }
    }
}
