//! Reads images that are made to mislead, and holds the reading to what must be true whatever was read. It must not know
//! what the lie was.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use asyncprof::capture::session::take_image;
use asyncprof::detect;
use asyncprof::model::Snapshot;
use asyncprof::remote::image::Image;
use asyncprof::render::{Options, collapsed, dot, json, text, tree};

/// How long the slowest reading may take. Sound images take a tenth of a second at most, in a debug build.
const PATIENCE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 5 });
/// Tasks, frames, gaps: no image here holds as many of anything.
const PLENTY: usize = 1 << 20;

/// What runs now, for when it does not end.
#[derive(Clone, Default)]
pub struct Watch(Arc<Mutex<Option<(String, Instant)>>>);

impl Watch {
    /// Runs `work`, which tells the watch of each step, and fails with the step that does not end or panics.
    pub fn over(name: &str, work: impl FnOnce(&Self) + Send) {
        let watch = Self::default();
        let (done, ended) = mpsc::channel();
        thread::scope(|scope| {
            let inner = watch.clone();
            let worker = scope.spawn(move || {
                // Dropped also when the work panics.
                let _done: mpsc::Sender<()> = done;
                work(&inner);
            });
            while ended.recv_timeout(Duration::from_secs(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
                if let Some((step, since)) = watch.now()
                    && since.elapsed() > 6 * PATIENCE
                {
                    // The thread cannot be ended, and the scope would wait for it.
                    eprintln!("{name}: {step}: no end after {:?}", since.elapsed());
                    std::process::exit(101);
                }
            }
            let step = watch.now().map_or_else(String::new, |(step, _)| step);
            assert!(worker.join().is_ok(), "{name}: {step}: see above");
        });
    }

    fn now(&self) -> Option<(String, Instant)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads an image whose lie is described, and checks what must hold for all; how long it took.
    pub fn survive(&self, step: impl Into<String>, image: &Image) -> (Duration, Option<Snapshot>) {
        let (step, since) = (step.into(), Instant::now());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((step.clone(), since));
        let result = take_image(image);
        match &result {
            Ok(snapshot) => assert_sound(snapshot),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        let took = since.elapsed();
        assert!(took < PATIENCE, "{step}: took {took:?}");
        (took, result.ok())
    }
}

/// A picture that later layers can work on: every number in it has something behind it, and every format can be written.
fn assert_sound(snapshot: &Snapshot) {
    let Snapshot { frames, threads, loops, tasks, gaps, .. } = snapshot;
    assert!(frames.len().max(threads.len()).max(loops.len()).max(tasks.len()).max(gaps.len()) < PLENTY);
    let stacks = tasks.iter().map(|task| &task.stack).chain(threads.iter().map(|thread| &thread.stack));
    assert!(stacks.flatten().all(|frame| (frame.0 as usize) < frames.len()));
    for task in tasks {
        assert!(task.coroutines as usize <= task.stack.len());
        assert!(task.event_loop.is_none_or(|id| (id.0 as usize) < loops.len()));
        let awaited = task.awaiting.iter().flat_map(|awaiting| awaiting.tasks.iter().chain(&awaiting.held_by));
        assert!(awaited.chain(&task.awaited_by).all(|id| (id.0 as usize) < tasks.len()));
    }
    assert!(loops.iter().filter_map(|one| one.running_task).all(|id| (id.0 as usize) < tasks.len()));

    let findings = detect::judge(snapshot);
    let options = Options { limit: None, width: 100, color: false, full_task_names: false };
    let formats = [json::write, text::write, tree::write, dot::write, collapsed::write];
    for (position, format) in formats.into_iter().enumerate() {
        let mut written = Vec::new();
        format(snapshot, &findings, &options, &mut written).unwrap();
        let written = String::from_utf8(written).unwrap();
        if position == 0 {
            serde_json::from_str::<serde_json::Value>(&written).unwrap();
        }
    }
}
