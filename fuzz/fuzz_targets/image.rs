//! Files that claim to be memory images: the input as the whole file, then as the content of a correctly compressed one.
#![no_main]

use asyncprof::capture::session::take_image;
use asyncprof::remote::image::Image;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _ = Image::load(input);
    let Ok(packed) = zstd::encode_all(input, 1) else { return };
    if let Ok(image) = Image::load(&[b"APIMAGE1", &packed[..]].concat()[..]) {
        let _ = take_image(&image);
    }
});
