//! Words of images: where they are, what they hold, and what they are overwritten with. It must not know what they mean.

use std::collections::BTreeMap;

use asyncprof::remote::image::Image;
use asyncprof::remote::{Addr, Memory as _};

pub const PAGE: u64 = 4096;

/// splitmix64.
pub struct Random(u64);

impl Random {
    pub fn of(version: &str) -> Self {
        let seed: u64 = std::env::var("ASYNCPROF_SEED").map_or(1, |seed| seed.parse().unwrap());
        Self(version.bytes().fold(seed, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into())))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// Addresses of all words of an image that are not zero, and the pointers into it among what they hold.
pub fn words(image: &Image) -> (Vec<u64>, Vec<u64>) {
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

pub fn read_word(image: &Image, at: u64) -> u64 {
    image.read_u64(Addr::new(at).unwrap()).unwrap()
}

pub fn with_word(image: Image, at: u64, word: u64) -> Image {
    image.with_bytes(Addr::new(at).unwrap(), &word.to_le_bytes())
}

/// What a word is overwritten with.
pub fn lie(random: &mut Random, at: u64, word: u64, words: &[u64], pointers: &[u64]) -> u64 {
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
