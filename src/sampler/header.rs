//! What is known at the start of a watch: the target, the options, the machine.

use std::fs;

use nix::sys::utsname::uname;

use crate::capture::session::Attachment;
use crate::model::event::Header;

use super::options::Options;

/// Describes a watch that begins at `now_ns`.
pub(super) fn describe(attachment: &Attachment, options: &Options, now_ns: u64) -> Header {
    Header {
        pid: attachment.process.pid(),
        python: attachment.version.clone(),
        free_threaded: attachment.facts.free_threaded,
        executable: attachment.facts.executable.clone(),
        command: attachment.process.command_line(),
        started_at: jiff::Timestamp::now().to_string(),
        started_ns: now_ns,
        loop_rate_hz: options.loop_rate_hz,
        task_rate_hz: options.task_rate_hz,
        stall_threshold_ns: u64::try_from(options.stall_threshold.as_nanos()).unwrap_or(u64::MAX),
        cpu_budget: options.cpu_budget,
        blocking: options.stops.is_some(),
        asyncprof: env!("CARGO_PKG_VERSION").to_owned(),
        machine: machine(),
    }
}

/// Facts that a comparison with another recording needs. Unknown ones are left out.
fn machine() -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut add = |name: &str, value: Option<String>| facts.extend(value.map(|value| (name.to_owned(), value)));
    add("cpu", fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| find_model(&text)));
    add("cores", std::thread::available_parallelism().ok().map(|cores| cores.to_string()));
    add("kernel", uname().ok().map(|names| names.release().to_string_lossy().into_owned()));
    facts
}

/// The first processor's name in `/proc/cpuinfo`; only x86 machines have one there.
fn find_model(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("model name"))?;
    Some(line.trim_start().strip_prefix(':')?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_named_where_the_kernel_names_it() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\nflags\t: fpu\n";
        assert_eq!(find_model(text).as_deref(), Some("Some CPU @ 2.00GHz"));
        assert_eq!(find_model("processor\t: 0\nBogoMIPS\t: 50.00\n"), None);
        let names: Vec<String> = machine().into_iter().map(|(name, _)| name).collect();
        assert!(names.contains(&"cores".to_owned()) && names.contains(&"kernel".to_owned()), "{names:?}");
    }
}
