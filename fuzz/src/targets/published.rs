//! Offset tables that a target publishes.

use asyncprof::python::layout::{published, rows};
use asyncprof::runtime::asyncio::layout as asyncio;

/// Runs the target.
pub fn run(input: &[u8]) {
    for minor in 13..=rows::NEWEST_MINOR {
        for free_threaded in [false, true] {
            let Some(row) = rows::row(minor, free_threaded) else { continue };
            let _ = published::overlay(row.clone(), input);
            let _ = asyncio::published::overlay(asyncio::rows::row(&row), &row, input);
        }
    }
}
