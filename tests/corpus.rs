//! Inputs that fuzzing has found, and those it began with, again: none may panic, take long, or be taken for something else.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[allow(unreachable_pub, dead_code, reason = "the fuzzer's programs use it as a library")]
#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What an input may take in a build that is not optimised, on a busy machine; it takes milliseconds.
const LONGEST: Duration = Duration::from_secs(10);

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_input_of_the_corpus_is_read_soon_and_without_a_panic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut inputs = 0;
    for (name, run) in targets::TARGETS {
        let files = files(&corpus.join(name));
        assert!(!files.is_empty(), "no input for {name}");
        for file in files {
            let input = fs::read(&file).unwrap();
            let begun = Instant::now();
            run(&input);
            assert!(begun.elapsed() < LONGEST, "{} took {:?}", file.display(), begun.elapsed());
            inputs += 1;
        }
    }
    assert!(inputs >= targets::TARGETS.len());
}

#[test]
fn every_target_has_its_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let programs: Vec<String> =
        files(&folder).iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let names: Vec<&str> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(programs, names);
}
