//! What `-v` and `ASYNCPROF_LOG` print: why data is missing. The layers below log through the `log` crate and know nothing of
//! stderr; without a level nothing is formatted.

use std::io::{self, IsTerminal as _};

use log::{LevelFilter, Log, Metadata, Record};

use super::failure::Failure;
use super::terminal::{ERASE, tell};
use crate::render::escape::visible;

const VARIABLE: &str = "ASYNCPROF_LOG";

struct Stderr;

impl Log for Stderr {
    /// Only our own messages: libraries log too.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("asyncprof")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // A status line would be in the way.
            let erase = if io::stderr().is_terminal() { ERASE } else { "" };
            let level = record.level().as_str().to_ascii_lowercase();
            tell(format_args!("{erase}{level}: {}\n", visible(&record.args().to_string())));
        }
    }

    fn flush(&self) {}
}

/// Starts logging: `-v` is info and `-vv` debug; without them the variable decides.
pub(crate) fn start(verbose: u8) -> Result<(), Failure> {
    let level = match (verbose, std::env::var(VARIABLE).as_deref()) {
        (0, Ok("" | "off") | Err(_)) => return Ok(()),
        (0, Ok("info")) | (1, _) => LevelFilter::Info,
        (0, Ok("debug")) | (2.., _) => LevelFilter::Debug,
        (0, Ok(other)) => {
            return Err(Failure::usage(format!("{VARIABLE}: it must be off, info or debug, not {other:?}")));
        }
    };
    // Nobody else sets a logger.
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(level);
    }
    Ok(())
}
