//! Whether a whole process is kept from running: stopped by job control or a debugger, or its control group is frozen.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::kernel_thread::ThreadState;
use super::process::{Process, Stat};

/// Where control groups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// What keeps a process from running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Halt {
    /// A signal: SIGSTOP, SIGTSTP, ...
    JobControl,
    /// A debugger.
    Tracer,
    /// The freezer of its control group.
    Frozen,
}

impl Halt {
    /// What keeps all threads of a process from running now; `None` if nothing does, or only some of them.
    pub fn of(process: &Process) -> Option<Self> {
        let folder = format!("/proc/{}", process.pid());
        if is_frozen(&fs::read_to_string(format!("{folder}/cgroup")).unwrap_or_default(), Path::new(CGROUPS)) {
            return Some(Self::Frozen);
        }
        let main = process.stat().map(|stat| ThreadState::from_letter(stat.state))?;
        let kind = match main {
            ThreadState::Stopped => Self::JobControl,
            ThreadState::Traced => Self::Tracer,
            _ => return None,
        };
        let state = |tid: i32| {
            let stat = fs::read(format!("{folder}/task/{tid}/stat")).ok()?;
            Some(ThreadState::from_letter(Stat::parse(&stat)?.state))
        };
        let states = process.thread_ids().into_iter().filter_map(state);
        let mut states = states.filter(|state| *state != ThreadState::Exited);
        states.all(|state| state == main).then_some(kind)
    }
}

/// Whether the control group of a process, or a parent of it, is frozen. `groups` is its `cgroup` file.
// Linux: Documentation/admin-guide/cgroup-v2.rst, cgroup.events; cgroup-v1/freezer-subsystem.rst, freezer.state: both
// include what a parent does.
fn is_frozen(groups: &str, mounted: &Path) -> bool {
    groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':')).any(|(controllers, group)| {
        // A group outside our namespace is not mounted here.
        let group = group.trim_matches('/');
        if group.starts_with("..") {
            return false;
        }
        let text = |folder: PathBuf, file: &str| fs::read_to_string(folder.join(group).join(file)).unwrap_or_default();
        match controllers {
            "" => [mounted.to_owned(), mounted.join("unified")]
                .into_iter()
                .any(|root| text(root, "cgroup.events").lines().any(|line| line.trim() == "frozen 1")),
            _ if controllers.split(',').any(|name| name == "freezer") => {
                text(mounted.join("freezer"), "freezer.state").trim() == "FROZEN"
            }
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frozen(groups: &str, files: &[(&str, &str)]) -> bool {
        let mounted = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let file = mounted.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        is_frozen(groups, mounted.path())
    }

    #[test]
    fn a_group_of_either_version_is_frozen_or_not() {
        assert!(frozen("0::/a/b\n", &[("a/b/cgroup.events", "populated 1\nfrozen 1\n")]));
        assert!(!frozen("0::/a/b\n", &[("a/b/cgroup.events", "populated 1\nfrozen 0\n")]));
        assert!(frozen("0::/\n", &[("unified/cgroup.events", "populated 1\nfrozen 1\n")]));
        assert!(frozen("6:freezer:/x\n0::/\n", &[("freezer/x/freezer.state", "FROZEN\n")]));
        assert!(!frozen("6:freezer:/x\n0::/\n", &[("freezer/x/freezer.state", "THAWED\n")]));
        assert!(!frozen("0::/../x\n", &[("x/cgroup.events", "frozen 1\n")]), "it is not mounted here");
        assert!(!frozen("", &[]));
    }

    #[test]
    fn who_reads_this_is_not_halted() {
        assert_eq!(Halt::of(&Process::open(std::process::id() as i32).unwrap()), None);
    }
}
