//! What the tests that start real interpreters share. It knows interpreters, target processes, and how a dump is
//! compared with the truth.

#![allow(unreachable_pub, dead_code, reason = "each test binary that includes this folder uses a part of it")]

pub mod churn;
pub mod command;
pub mod compare;
pub mod consumers;
pub mod core;
pub mod legal;
pub mod pythons;
pub mod schema;
pub mod target;
pub mod trials;
