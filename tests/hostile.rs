//! Saved memory with faults and lies in it. Whatever the memory of a process holds, reading it ends soon, takes little
//! memory, does not panic, and gives an error or a picture that holds together. What a lie makes a reader believe is
//! not judged here.
//!
//! `ASYNCPROF_ROUNDS=20000` looks further, `ASYNCPROF_SEED=7` elsewhere.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod saved;

use std::time::Duration;

use asyncprof::remote::Addr;
use asyncprof::remote::image::Image;
use saved::VERSIONS;
use saved::watch::Watch;
use saved::words::{PAGE, Random, lie, read_word, with_word, words};

/// How many rounds an image gets: the large ones take longer.
fn rounds(image: &Image) -> usize {
    let rounds = std::env::var("ASYNCPROF_ROUNDS").ok().map(|rounds| rounds.parse().unwrap());
    let rounds = rounds.unwrap_or(if cfg!(debug_assertions) { 60 } else { 600 });
    if image.bytes() > 4 << 20 { rounds / 12 } else { rounds }
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
                let _ = watch.survive(format!("no page at {page:#x}"), &image.clone().with_fault(page..page + PAGE));
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
                let _ = watch.survive(format!("cut short in round {round}"), &short);
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
