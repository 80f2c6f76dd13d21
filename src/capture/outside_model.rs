//! Pools of threads and waits for results, as the model has them.

use rustc_hash::FxHashMap;

use super::instant::Capture;
use super::outside::{Place, SeenOf, SeenPool, SeenResult};
use crate::model::snapshot::{Job, LoopId, Pool, ResultOf, ResultWait, TaskId};
use crate::remote::Addr;

pub(super) fn assemble_outside(capture: &Capture, loops: &FxHashMap<Addr, LoopId>) -> (Vec<Pool>, Vec<ResultWait>) {
    let pools = capture.outside.pools.iter().map(|pool| assemble_pool(capture, pool)).collect();
    let results = capture.outside.results.iter().map(|result| assemble_result(capture, loops, result)).collect();
    (pools, results)
}

fn assemble_pool(capture: &Capture, seen: &SeenPool) -> Pool {
    let running = seen.running.iter().map(|job| Job {
        thread: job.thread,
        outside: job.outside,
        function: job.record.function.as_deref().map(str::to_owned),
    });
    let jobs = seen.record.queued.as_ref().map_or(&[][..], |(_, jobs)| jobs);
    let mut functions: FxHashMap<&str, u64> = FxHashMap::default();
    for function in jobs.iter().filter_map(|job| job.function.as_deref()) {
        *functions.entry(function).or_default() += 1;
    }
    let mut queued_functions: Vec<(String, u64)> =
        functions.into_iter().map(|(function, count)| (function.to_owned(), count)).collect();
    queued_functions.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Pool {
        key: seen.queue.raw(),
        name: seen.record.name.clone(),
        workers: seen.record.workers,
        running: running.collect(),
        queued: seen.record.queued.as_ref().map(|(count, _)| *count),
        oldest: jobs.first().and_then(|job| job.function.as_deref()).map(str::to_owned),
        queued_functions,
        shut_down_by: seen.shut_down_by.iter().map(|(thread, _)| *thread).collect(),
        still_ms: capture.still.pools.get(&seen.queue).copied(),
    }
}

fn assemble_result(capture: &Capture, loops: &FxHashMap<Addr, LoopId>, seen: &SeenResult) -> ResultWait {
    let of = match &seen.of {
        SeenOf::Unknown => ResultOf::Unknown,
        SeenOf::Task(task) => match capture.graph.tasks.get(task) {
            Some(position) => ResultOf::Task(TaskId(*position as u32)),
            None => ResultOf::Unknown,
        },
        SeenOf::Place(Place::Thread(thread)) => ResultOf::Running(*thread),
        SeenOf::Place(Place::Pool(pool)) => ResultOf::Queued(*pool),
        SeenOf::Coroutine { function, event_loop, says_running } => {
            let runs = |event_loop: Addr| {
                let complete = capture.threads.iter().all(|thread| thread.reading.held);
                let runs = capture.threads.iter().any(|thread| thread.reading.running_loop == Some(event_loop));
                // One that started since the threads were read is in none of them.
                (runs || (complete && !says_running)).then_some(runs)
            };
            ResultOf::Coroutine {
                function: function.as_ref().map(|(function, file)| (function.to_string(), file.to_string())),
                event_loop: event_loop.and_then(|event_loop| loops.get(&event_loop).copied()),
                is_running: event_loop.and_then(runs),
            }
        }
    };
    ResultWait { thread: seen.thread, outside: seen.outside, timeout_ns: seen.timeout_ns, of }
}
