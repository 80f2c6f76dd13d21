//! Stalls in made-up streams of samples: what is one, when it is told of, how long it was, why and where.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod analysis;
mod builder;
mod causes;
mod iterations;
mod property;
