//! The saved images in `tests/images`. It must not know what they hold.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::panic,
    clippy::unwrap_used,
    reason = "shared by tests, of which not every one needs all of it"
)]

pub mod watch;
pub mod words;

use std::fs::File;
use std::path::{Path, PathBuf};

use asyncprof::remote::image::Image;

/// Versions of which there is an image, and what it should say.
pub const VERSIONS: [&str; 9] = ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.13t", "3.14", "3.15"];

/// The same program as in [`MANY_OF`], with 300 more tasks.
pub const MANY: &str = "3.14-many";
/// See [`MANY`].
pub const MANY_OF: &str = "3.14";

/// The image of a version.
pub fn image(name: &str) -> Image {
    let path = path_of(name, "apimage");
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Image::load(file).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `tests/images/NAME.ENDING`.
pub fn path_of(name: &str, ending: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images").join(format!("{name}.{ending}"))
}
