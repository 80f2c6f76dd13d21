//! Saved memory with faults and lies in it. Whatever the memory of a process holds, reading it ends soon, takes little
//! memory, does not panic, and gives an error or a picture that holds together. What a lie makes a reader believe is
//! not judged here.
//!
//! `ASYNCPROF_ROUNDS=20000` looks further, `ASYNCPROF_SEED=7` elsewhere.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod saved;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use asyncprof::detect;
use asyncprof::render::{Format, Options, write};
use asyncprof::snapshot::Snapshot;
use asyncprof::snapshot::session::{AttachError, take_image};
use asyncprof::target::Addr;
use asyncprof::target::image::Image;
use saved::VERSIONS;

/// How long the slowest reading may take. Sound images take a tenth of a second at most, in a debug build.
const PATIENCE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 5 });
/// Tasks, frames, gaps: no image here holds as many of anything.
const PLENTY: usize = 1 << 20;
/// Address space for reading an image in a process of its own, in KiB: the program, its threads, and its own copy.
const ADDRESS_SPACE_KIB: u64 = 1 << 20;
const PAGE: u64 = 4096;

/// How many rounds an image gets: the large ones take longer.
fn rounds(image: &Image) -> usize {
    let rounds = std::env::var("ASYNCPROF_ROUNDS").ok().map(|rounds| rounds.parse().unwrap());
    let rounds = rounds.unwrap_or(if cfg!(debug_assertions) { 60 } else { 600 });
    if image.bytes() > 4 << 20 { rounds / 12 } else { rounds }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn of(version: &str) -> Self {
        let seed: u64 = std::env::var("ASYNCPROF_SEED").map_or(1, |seed| seed.parse().unwrap());
        Self(version.bytes().fold(seed, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into())))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// What runs now, for when it does not end.
#[derive(Clone, Default)]
struct Watch(Arc<Mutex<Option<(String, Instant)>>>);

impl Watch {
    /// Runs `work`, which tells the watch of each step, and fails with the step that does not end or panics.
    fn over(name: &str, work: impl FnOnce(&Self) + Send) {
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
    fn survive(&self, step: impl Into<String>, image: &Image) -> (Duration, Result<Snapshot, AttachError>) {
        let (step, since) = (step.into(), Instant::now());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((step.clone(), since));
        let result = take_image(image);
        match &result {
            Ok(snapshot) => assert_sound(snapshot),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        let took = since.elapsed();
        assert!(took < PATIENCE, "{step}: took {took:?}");
        (took, result)
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
    for format in [Format::Json, Format::Text, Format::Tree, Format::Dot, Format::Collapsed] {
        let mut written = Vec::new();
        write(format, snapshot, &findings, &options, &mut written).unwrap();
        let written = String::from_utf8(written).unwrap();
        if matches!(format, Format::Json) {
            serde_json::from_str::<serde_json::Value>(&written).unwrap();
        }
    }
}

/// Addresses of all words of an image that are not zero, and the pointers into it among what they hold.
fn words(image: &Image) -> (Vec<u64>, Vec<u64>) {
    let mut found = Vec::new();
    for (start, piece) in image.pieces() {
        let words = piece.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        found.extend((0u64..).zip(words).filter(|(_, word)| *word != 0).map(|(at, word)| (start + at * 8, word)));
    }
    let starts: BTreeMap<u64, u64> = image.pieces().map(|(start, piece)| (start, start + piece.len() as u64)).collect();
    let inside = |word: u64| starts.range(..=word).next_back().is_some_and(|(_, end)| word < *end);
    let mut pointers: Vec<u64> = found.iter().map(|(_, word)| *word).filter(|word| inside(*word)).collect();
    pointers.sort_unstable();
    pointers.dedup();
    (found.into_iter().map(|(at, _)| at).collect(), pointers)
}

fn read_word(image: &Image, at: u64) -> u64 {
    use asyncprof::target::Memory as _;
    image.read_u64(Addr::new(at).unwrap()).unwrap()
}

fn with_word(image: Image, at: u64, word: u64) -> Image {
    image.with_bytes(Addr::new(at).unwrap(), &word.to_le_bytes())
}

/// What a word is overwritten with.
fn lie(random: &mut Random, at: u64, word: u64, words: &[u64], pointers: &[u64]) -> u64 {
    const NUMBERS: [u64; 16] = [
        0,
        1,
        2,
        3,
        8,
        255,
        0xffff,
        0x7fff_ffff,
        0xffff_ffff,
        1 << 40,
        (1 << 47) - 8,
        1 << 62,
        i64::MAX as u64,
        1 << 63,
        u64::MAX - 7,
        u64::MAX,
    ];
    match random.below(10) {
        0 | 1 => random.one(&NUMBERS),
        2 => at,
        3 => random.one(words),
        4..=6 => random.one(pointers),
        7 => word ^ (1 << random.below(64)),
        8 => word.wrapping_add(random.one(&[1, 8, 16, PAGE]).wrapping_mul(random.one(&[1, u64::MAX]))),
        // Half of it, as fields are that are half a word.
        _ => word & 0xffff_ffff | random.one(&NUMBERS) << 32,
    }
}

#[test]
fn every_page_can_be_missing() {
    for version in VERSIONS {
        let image = saved::image(version);
        let mut pages: Vec<u64> = image
            .pieces()
            .flat_map(|(start, piece)| (start..start + piece.len() as u64).step_by(PAGE as usize))
            .collect();
        // All, or evenly spread ones.
        let step = (pages.len() / rounds(&image)).max(1);
        pages = pages.into_iter().step_by(step).collect();
        Watch::over(version, |watch| {
            for page in pages {
                watch.survive(format!("no page at {page:#x}"), &image.clone().with_fault(page..page + PAGE));
            }
        });
    }
}

#[test]
fn pieces_can_be_cut_short() {
    for version in VERSIONS {
        let (image, mut random) = (saved::image(version), Random::of(version));
        Watch::over(version, |watch| {
            for round in 0..rounds(&image) / 4 {
                let cut = |(start, piece): (u64, &[u8]), random: &mut Random| {
                    let len = if random.below(8) == 0 { random.below(piece.len() + 1) } else { piece.len() };
                    Some((Addr::new(start)?, piece[..len].to_vec())).filter(|_| len > 0)
                };
                let pieces: Vec<_> = image.pieces().filter_map(|piece| cut(piece, &mut random)).collect();
                let short = Image::new(image.facts().clone(), pieces).unwrap();
                watch.survive(format!("cut short in round {round}"), &short);
            }
        });
    }
}

#[test]
fn words_can_be_lies() {
    for version in VERSIONS {
        let (mut image, mut random) = (saved::image(version), Random::of(version));
        let (places, pointers) = words(&image);
        Watch::over(version, |watch| {
            let mut slowest = (Duration::ZERO, String::new());
            for round in 0..rounds(&image) {
                let mut changed = Vec::new();
                let mut step = format!("round {round}:");
                for _ in 0..random.one(&[1, 1, 2, 5, 40]) {
                    let at = random.one(&places);
                    let word = read_word(&image, at);
                    let lie = lie(&mut random, at, word, &places, &pointers);
                    step += &format!(" {at:#x}={lie:#x}");
                    image = with_word(image, at, lie);
                    changed.push((at, word));
                }
                let (took, _) = watch.survive(&step, &image);
                slowest = slowest.max((took, step));
                image = changed.into_iter().rev().fold(image, |image, (at, word)| with_word(image, at, word));
            }
            println!("{version}: slowest {:?}: {}", slowest.0, slowest.1);
        });
    }
}

#[test]
fn images_that_are_cut_off_or_damaged_are_refused() {
    let bytes = std::fs::read(saved::path_of("3.12", "apimage")).unwrap();
    let mut random = Random::of("3.12");
    for _ in 0..200 {
        let len = random.below(bytes.len());
        assert!(Image::load(&bytes[..len]).is_err(), "cut off after {len} bytes");
        let mut damaged = bytes.clone();
        let at = random.below(bytes.len());
        damaged[at] ^= 1 << random.below(8);
        // The checksum sees every change of what counts.
        if let Ok(image) = Image::load(&damaged[..]) {
            assert!(image == Image::load(&bytes[..]).unwrap(), "byte {at}");
        }
    }
}
