//! Files that claim to be memory images: the input as the whole file, then as the content of a correctly compressed one.

use asyncprof::capture::session::take_image;
use asyncprof::remote::image::Image;

/// Runs the target.
pub fn run(input: &[u8]) {
    let _ = Image::load(input);
    let Ok(packed) = zstd::encode_all(input, 1) else { return };
    if let Ok(image) = Image::load(&[b"APIMAGE1", &packed[..]].concat()[..]) {
        let _ = take_image(&image);
    }
}
