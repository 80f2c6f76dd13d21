//! A full snapshot of a memory image in which the input overwrites some words. The first byte chooses the image; each
//! further 5 bytes choose a word, a kind of value and the value.

use std::sync::OnceLock;

use asyncprof::capture::session::take_image;
use asyncprof::detect;
use asyncprof::remote::Addr;
use asyncprof::remote::image::Image;
use asyncprof::render::{Options, dot, json, text, tree};

/// A memory image and its non-zero words.
struct Base {
    image: Image,
    words: Vec<(u64, u64)>,
}

fn bases() -> &'static [Base] {
    static BASES: OnceLock<Vec<Base>> = OnceLock::new();
    BASES.get_or_init(|| {
        // The small images: the others hold much the same and take ten times as long.
        let files: [&[u8]; 4] = [
            include_bytes!("../../../tests/images/3.8.apimage"),
            include_bytes!("../../../tests/images/3.11.apimage"),
            include_bytes!("../../../tests/images/3.13.apimage"),
            include_bytes!("../../../tests/images/3.13t.apimage"),
        ];
        files.map(|file| Base::new(Image::load(file).expect("the images in the repository load"))).into()
    })
}

impl Base {
    fn new(image: Image) -> Self {
        let mut words = Vec::new();
        for (start, piece) in image.pieces() {
            let found = piece.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
            words.extend((start..).step_by(8).zip(found).filter(|(_, word)| *word != 0));
        }
        Self { image, words }
    }

    /// The address of the word that `choice` selects.
    fn place(&self, choice: u16) -> u64 {
        // Scaled to cover all words: there are more of them than 16 bits can index.
        self.words[usize::from(choice) * self.words.len() / (usize::from(u16::MAX) + 1)].0
    }

    fn value(&self, kind: u8, at: u64, choice: u16) -> u64 {
        let word = self.words[usize::from(choice) * self.words.len() / (usize::from(u16::MAX) + 1)].1;
        match kind % 8 {
            0 => choice.into(),
            1 => at.wrapping_add_signed(i64::from(choice.cast_signed()) * 8),
            2 => self.place(choice),
            3 | 4 => word,
            5 => u64::MAX - u64::from(choice),
            6 => 1 << (choice % 64),
            _ => u64::from(choice) << 32 | word & 0xffff_ffff,
        }
    }
}

/// Runs the target.
pub fn run(input: &[u8]) {
    let Some((&choice, lies)) = input.split_first() else { return };
    let base = &bases()[usize::from(choice) % bases().len()];
    let mut image = base.image.clone();
    for &[a, b, kind, c, d] in lies.as_chunks::<5>().0 {
        let at = base.place(u16::from_le_bytes([a, b]));
        let Some(addr) = Addr::new(at) else { return };
        image = image.with_bytes(addr, &base.value(kind, at, u16::from_le_bytes([c, d])).to_le_bytes());
    }
    let Ok(snapshot) = take_image(&image) else { return };
    let findings = detect::judge(&snapshot);
    let options = Options { limit: None, width: 100, color: false, full_task_names: false };
    for write in [json::write, text::write, tree::write, dot::write] {
        let written = write(&snapshot, &findings, &options, &mut std::io::sink());
        written.expect("nothing can fail when writing to nowhere");
    }
}
