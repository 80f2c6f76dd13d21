//! The wait graph, and which tasks can never continue. Iterative throughout: a chain of a hundred thousand tasks works
//! as well as one of three.

use std::collections::VecDeque;

use crate::model::Snapshot;
use crate::model::snapshot::{Awaiting, PoolKind, Task, TaskId, TaskState, WaitKind};

/// Tasks that block each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knot {
    /// A shortest cycle in the knot: each task waits for the next, the last for the first.
    pub circle: Vec<TaskId>,
    /// Every task in the knot, including the cycle, in the snapshot's order.
    pub members: Vec<TaskId>,
}

/// What a task needs before it can continue.
enum Need {
    /// Nothing from another task: it runs, is ready, or waits for a timer, a socket, a notification.
    Nothing,
    /// All of these tasks.
    All,
    /// Any one of these tasks.
    Any,
}

fn need_of(task: &Task, blockers: &[TaskId]) -> Need {
    let Some(awaiting) = &task.awaiting else { return Need::Nothing };
    if blockers.is_empty() || matches!(task.state, TaskState::Running | TaskState::Ready | TaskState::Done) {
        return Need::Nothing;
    }
    if may_get_it(awaiting) {
        return Need::Nothing;
    }
    if is_pool(awaiting) {
        return Need::Any;
    }
    match awaiting.kind {
        // Any other task may notify, set, or put.
        WaitKind::Condition | WaitKind::Event | WaitKind::QueueGet | WaitKind::QueuePut => Need::Nothing,
        // One holder that releases is enough; asyncio.wait() may return as soon as the first one is done, and a
        // snapshot does not show how it was called.
        WaitKind::Semaphore | WaitKind::Wait | WaitKind::Other => Need::Any,
        _ => Need::All,
    }
}

/// Whether a task may get the lock or permit it waits for from others than those that are seen to hold it.
pub(super) fn may_get_it(awaiting: &Awaiting) -> bool {
    // One that is free, or around which something moves, is changing hands. Who called acquire() is not seen.
    awaiting.resource.is_some_and(|resource| {
        let are_unseen = resource.bound.is_some_and(|bound| (awaiting.held_by.len() as u64) < bound);
        awaiting.has_moved
            || resource.pool.is_some_and(PoolKind::is_given_back_by_peers)
            || resource.free.is_some_and(|free| free > 0)
            || ((awaiting.kind == WaitKind::Semaphore || is_pool(awaiting)) && are_unseen)
    })
}

/// Whether it is a connection of a pool that is waited for.
pub(super) fn is_pool(awaiting: &Awaiting) -> bool {
    awaiting.resource.is_some_and(|resource| resource.pool.is_some())
}

/// The tasks whose progress this one needs: those it awaits, and the holders of the lock it waits for.
pub(super) fn blockers_of(id: TaskId, task: &Task, tasks: usize) -> Vec<TaskId> {
    let Some(awaiting) = &task.awaiting else { return Vec::new() };
    // Whoever has one permit and waits for another gets that of someone else, seen or not.
    let of_many = awaiting.kind == WaitKind::Semaphore || is_pool(awaiting);
    let is_own = |blocker: &TaskId| *blocker == id && of_many;
    let all = awaiting.tasks.iter().chain(&awaiting.held_by).copied();
    let mut blockers: Vec<TaskId> = all.filter(|one| (one.0 as usize) < tasks && !is_own(one)).collect();
    blockers.sort_unstable();
    blockers.dedup();
    blockers
}

/// Which tasks wait for which in one snapshot.
#[derive(Debug)]
pub struct Waits {
    /// For each stuck task, the stuck tasks it waits for.
    blockers: Vec<Vec<usize>>,
    stuck: Vec<bool>,
}

impl Waits {
    /// Builds the graph and determines which tasks can continue.
    pub fn of(snapshot: &Snapshot) -> Self {
        let tasks = &snapshot.tasks;
        let blockers: Vec<Vec<TaskId>> =
            (0..).map(TaskId).zip(tasks).map(|(id, task)| blockers_of(id, task, tasks.len())).collect();
        let stuck = find_stuck(tasks, &blockers);
        let blockers = (blockers.into_iter().enumerate())
            .map(|(task, blockers)| match stuck[task] {
                true => blockers.into_iter().map(|id| id.0 as usize).filter(|&blocker| stuck[blocker]).collect(),
                false => Vec::new(),
            })
            .collect();
        Self { blockers, stuck }
    }

    /// Whether a task can continue only if something from outside cancels or times out a task of a knot.
    pub fn is_stuck(&self, task: TaskId) -> bool {
        self.stuck[task.0 as usize]
    }

    /// Number of stuck tasks, including those that wait behind a knot.
    pub fn stuck(&self) -> usize {
        self.stuck.iter().filter(|&&stuck| stuck).count()
    }

    /// All groups of stuck tasks that wait for each other.
    pub fn knots(&self) -> Vec<Knot> {
        let mut knots: Vec<Knot> = self
            .strong_components()
            .into_iter()
            .filter(|members| members.len() > 1 || self.waits_for_itself(members[0]))
            .map(|members| Knot { circle: self.shortest_circle(&members), members })
            .collect();
        knots.sort_by_key(|knot| knot.members[0]);
        knots
    }

    fn waits_for_itself(&self, task: TaskId) -> bool {
        let task = task.0 as usize;
        self.blockers[task].contains(&task)
    }

    /// Tarjan's strongly connected components over the stuck tasks, with an explicit stack instead of recursion.
    fn strong_components(&self) -> Vec<Vec<TaskId>> {
        const UNSEEN: usize = usize::MAX;
        let count = self.blockers.len();
        let (mut order, mut low) = (vec![UNSEEN; count], vec![UNSEEN; count]);
        let mut open = vec![false; count];
        let mut path = Vec::new();
        let mut components = Vec::new();
        let mut seen = 0;

        for root in (0..count).filter(|&task| self.stuck[task]) {
            if order[root] != UNSEEN {
                continue;
            }
            let mut visits = vec![(root, 0)];
            while let Some((task, next)) = visits.pop() {
                if next == 0 {
                    order[task] = seen;
                    low[task] = seen;
                    seen += 1;
                    open[task] = true;
                    path.push(task);
                }
                if let Some(&blocker) = self.blockers[task].get(next) {
                    visits.push((task, next + 1));
                    if order[blocker] == UNSEEN {
                        visits.push((blocker, 0));
                    } else if open[blocker] {
                        low[task] = low[task].min(order[blocker]);
                    }
                    continue;
                }
                if let Some(&(parent, _)) = visits.last() {
                    low[parent] = low[parent].min(low[task]);
                }
                if low[task] == order[task] {
                    let start = path.iter().rposition(|&member| member == task).unwrap_or(0);
                    let mut members: Vec<TaskId> = path.drain(start..).map(task_id).collect();
                    for member in &members {
                        open[member.0 as usize] = false;
                    }
                    members.sort_unstable();
                    components.push(members);
                }
            }
        }
        components
    }

    /// Breadth-first from the first member until an edge leads back to it.
    fn shortest_circle(&self, members: &[TaskId]) -> Vec<TaskId> {
        let start = members[0].0 as usize;
        let mut came_from = rustc_hash::FxHashMap::default();
        let mut queue = VecDeque::from([start]);
        while let Some(task) = queue.pop_front() {
            for &blocker in &self.blockers[task] {
                if blocker == start {
                    let mut circle = vec![task_id(task)];
                    let mut at = task;
                    while let Some(&before) = came_from.get(&at) {
                        circle.push(task_id(before));
                        at = before;
                    }
                    circle.reverse();
                    return circle;
                }
                if members.binary_search(&task_id(blocker)).is_ok() && !came_from.contains_key(&blocker) {
                    came_from.insert(blocker, task);
                    queue.push_back(blocker);
                }
            }
        }
        members.to_vec()
    }
}

fn task_id(index: usize) -> TaskId {
    TaskId(u32::try_from(index).expect("a snapshot's tasks are indexed by u32"))
}

/// The tasks that can never continue: all tasks, except those that need nothing, those whose needs can continue, and so
/// on.
fn find_stuck(tasks: &[Task], blockers: &[Vec<TaskId>]) -> Vec<bool> {
    let mut waiters: Vec<Vec<usize>> = vec![Vec::new(); tasks.len()];
    // How many blockers still have to be shown able to continue.
    let mut missing = vec![0_usize; tasks.len()];
    let mut movable = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        missing[index] = match need_of(task, &blockers[index]) {
            Need::Nothing => 0,
            Need::Any => 1,
            Need::All => blockers[index].len(),
        };
        if missing[index] == 0 {
            movable.push(index);
        }
        for blocker in &blockers[index] {
            waiters[blocker.0 as usize].push(index);
        }
    }
    let mut stuck: Vec<bool> = missing.iter().map(|&missing| missing > 0).collect();
    while let Some(index) = movable.pop() {
        for &waiter in &waiters[index] {
            if stuck[waiter] {
                missing[waiter] -= 1;
                if missing[waiter] == 0 {
                    stuck[waiter] = false;
                    movable.push(waiter);
                }
            }
        }
    }
    stuck
}
