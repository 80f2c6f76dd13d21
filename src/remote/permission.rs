//! Whether the kernel will let us read a process: the facts that decide it, and a pure function that evaluates them,
//! with the smallest fix for each obstacle.
//!
//! Linux: kernel/ptrace.c `__ptrace_may_access`, security/yama/yama_lsm.c, security/commoncap.c.

use super::access::{AccessError, GENERAL_FIX};
use super::elf;
use super::process::Process;

mod facts;

pub use facts::{AttemptError, Credentials, Facts};

/// The capability to trace other users' processes. Linux: include/uapi/linux/capability.h
const CAP_SYS_PTRACE: u64 = 1 << 19;
/// The capability to open other users' files. Linux: include/uapi/linux/capability.h
const CAP_DAC_READ_SEARCH: u64 = 1 << 2;

/// How to give a container CAP_SYS_PTRACE.
const CONTAINER_FIX: &str = "start the container of asyncprof with --cap-add=SYS_PTRACE (Docker, Podman), or with \
                             capabilities.add: [SYS_PTRACE] (Kubernetes)";

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was checked, in a few words.
    pub name: &'static str,
    /// The result.
    pub status: Status,
    /// The finding, as a sentence.
    pub detail: String,
    /// The fix, for problems.
    pub fix: Option<Fix>,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// No obstacle.
    Ok,
    /// It prevents reading.
    Problem,
    /// It could not be determined.
    Unknown,
    /// No obstacle, but good to know.
    Note,
}

/// A fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// How much it takes.
    pub effort: Effort,
    /// What to do.
    pub text: String,
}

/// How much a fix takes, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Run asyncprof as the user that the target runs as.
    SameUser,
    /// A system setting, or running asyncprof next to the target in its container.
    Setting,
    /// One capability for asyncprof.
    Capability,
    /// The root account.
    Root,
    /// Another target or another asyncprof.
    Elsewhere,
}

impl Facts {
    /// Whether we have the capability and it applies to the target. In another user namespace it applies only from the
    /// outside inwards, which cannot be seen from here.
    fn may_trace_anybody(&self) -> bool {
        self.ours.effective & CAP_SYS_PTRACE != 0 && self.same_user_namespace != Some(false)
    }

    /// Evaluates every fact, in order of importance.
    pub fn checks(&self) -> Vec<Check> {
        let checks = [
            ("architecture", self.architecture()),
            ("user", self.user()),
            ("memory protection", self.protected()),
            ("capabilities", self.capabilities()),
            ("ptrace_scope", self.yama()),
            ("container", self.namespaces()),
            ("seccomp", self.seccomp()),
            ("attempt", self.tried()),
            ("system calls", self.system_calls()),
        ];
        checks.into_iter().map(|(name, check)| self.judged(Check { name, ..check })).collect()
    }

    /// What was read was allowed: then nothing that seems to stand in the way does.
    fn judged(&self, check: Check) -> Check {
        let contradicts = check.status == Status::Problem && self.attempt.is_ok() && self.own_read.is_ok();
        let is_permission = matches!(check.name, "user" | "memory protection" | "capabilities" | "ptrace_scope");
        if contradicts && is_permission {
            return Check {
                detail: format!("{}; reading works all the same", check.detail),
                fix: None,
                status: Status::Note,
                ..check
            };
        }
        check
    }

    fn architecture(&self) -> Check {
        match &self.other_architecture {
            None => ok(format!("both are {}", elf::OUR_ARCHITECTURE)),
            Some(found) => problem(
                format!("the target is built for {found}, this asyncprof for {}", elf::OUR_ARCHITECTURE),
                Effort::Elsewhere,
                format!("use an asyncprof built for {found}"),
            ),
        }
    }

    fn user(&self) -> Check {
        let Some(theirs) = self.theirs else {
            return unknown("the target's user cannot be seen".into());
        };
        let (user, group) = (self.ours.users[0], self.ours.groups[0]);
        // The names of a container's users are in the container.
        let shares_names = self.same_user_namespace != Some(false) && self.same_pid_namespace != Some(false);
        let name = self.user_name.clone().filter(|_| shares_names);
        let shown = name.unwrap_or_else(|| format!("#{}", theirs.users[1]));
        if theirs.users == [user; 3] && theirs.groups == [group; 3] {
            return ok(format!("the target runs as the same user ({shown})"));
        }
        if self.may_trace_anybody() {
            return ok(format!("the target runs as {shown}; CAP_SYS_PTRACE lets us read it"));
        }
        let one_user = theirs.users.iter().all(|&u| u == theirs.users[0]);
        if !one_user || theirs.users == [user; 3] {
            return problem(
                format!("the target runs with mixed users or groups {:?} {:?}", theirs.users, theirs.groups),
                Effort::Capability,
                self.with_capability(),
            );
        }
        problem(
            format!("the target runs as user {shown}, asyncprof as user #{user}"),
            if theirs.users[1] == 0 { Effort::Root } else { Effort::SameUser },
            format!("run asyncprof as that user: sudo -u '{shown}' asyncprof doctor {}", self.pid),
        )
    }

    fn protected(&self) -> Check {
        let (Some(owner), Some(theirs)) = (self.proc_owner, self.theirs) else {
            return unknown("the owner of the target's entry in /proc cannot be seen".into());
        };
        if owner == theirs.users[1] {
            return ok("the target does not hide its memory".into());
        }
        let found = "the target is not dumpable: it changed its user, has file capabilities or asked for it";
        if self.may_trace_anybody() {
            return ok(format!("{found}; CAP_SYS_PTRACE lets us read it"));
        }
        problem(found.into(), Effort::Capability, self.with_capability())
    }

    fn capabilities(&self) -> Check {
        let Some(theirs) = self.theirs else {
            return unknown("the target's capabilities cannot be seen".into());
        };
        if self.may_trace_anybody() {
            return ok("asyncprof has CAP_SYS_PTRACE".into());
        }
        let more = theirs.permitted & !self.ours.permitted;
        if more == 0 {
            return ok("the target has no capability that asyncprof lacks".into());
        }
        problem(
            format!("the target has capabilities that asyncprof lacks ({more:#x})"),
            Effort::Capability,
            self.with_capability(),
        )
    }

    fn yama(&self) -> Check {
        let once = "run asyncprof with sudo, or allow it until the next boot: sudo sysctl kernel.yama.ptrace_scope=0";
        match self.ptrace_scope {
            None => ok("this kernel does not restrict tracing (no Yama)".into()),
            Some(0) => ok("0: processes of one user may read each other".into()),
            Some(scope @ (1 | 2)) if self.may_trace_anybody() => ok(format!("{scope}: CAP_SYS_PTRACE lets us read it")),
            Some(1) if self.descendant => ok("1: the target was started by asyncprof".into()),
            Some(1) => {
                problem("1: only a process that started the target may read it".into(), Effort::Setting, once.into())
            }
            Some(2) => problem(
                "2: only processes with CAP_SYS_PTRACE may read others".into(),
                Effort::Capability,
                self.with_capability(),
            ),
            Some(scope) => problem(
                format!("{scope}: no process may read another until the machine is booted anew"),
                Effort::Elsewhere,
                "set kernel.yama.ptrace_scope to 1 or less in /etc/sysctl.d and boot".into(),
            ),
        }
    }

    fn namespaces(&self) -> Check {
        match (self.same_user_namespace, self.same_pid_namespace) {
            (Some(false), _) => {
                note("the target is in another user namespace; run asyncprof inside it if reading fails".into())
            }
            (_, Some(false)) => note("the target runs in a container; it is read from outside".into()),
            (Some(true), Some(true)) => ok("the target shares our namespaces".into()),
            _ => unknown("the target's namespaces cannot be seen".into()),
        }
    }

    fn seccomp(&self) -> Check {
        match (self.own_read, self.seccomp) {
            (Err(_), _) => problem(
                "the system call process_vm_readv is forbidden to asyncprof itself".into(),
                Effort::Setting,
                CONTAINER_FIX.into(),
            ),
            (Ok(()), Some(2)) => note("a filter is active, but it lets us read memory".into()),
            (Ok(()), _) => ok("no filter forbids reading memory".into()),
        }
    }

    /// How to get the capability to read other users' processes.
    fn with_capability(&self) -> String {
        if self.ours.bounding & CAP_SYS_PTRACE == 0 {
            // No file capability and no root account can give it here.
            return CONTAINER_FIX.to_owned();
        }
        format!(
            "give asyncprof the capabilities: sudo setcap cap_sys_ptrace,cap_dac_read_search=ep \
             \"$(command -v asyncprof)\"; or run it as root: sudo asyncprof doctor {}",
            self.pid
        )
    }

    fn system_calls(&self) -> Check {
        if self.shows_system_calls {
            return ok("the system calls of its threads are shown".into());
        }
        if self.attempt.is_err() {
            return unknown("whether the system calls of its threads are shown is not known".into());
        }
        let found =
            "memory can be read, but not the system calls of its threads: the causes of some stalls are unknown";
        let fix = if self.ours.bounding & CAP_DAC_READ_SEARCH == 0 {
            "start the container of asyncprof with --cap-add=DAC_READ_SEARCH as well"
        } else {
            "give asyncprof CAP_DAC_READ_SEARCH as well as CAP_SYS_PTRACE, or run it as root"
        };
        note(format!("{found}; {fix}"))
    }

    fn tried(&self) -> Check {
        let more = || match self.ours.users[0] {
            0 => "even root may not: give asyncprof CAP_SYS_PTRACE (for a container --cap-add=SYS_PTRACE), run it on \
                  the host, or ask the security module (AppArmor, SELinux) to allow it"
                .to_owned(),
            _ => format!("run asyncprof as root: sudo asyncprof doctor {}", self.pid),
        };
        match self.attempt {
            Ok(()) => ok("the target's memory was read".into()),
            Err(AttemptError::Gone) => {
                problem("the target has exited".into(), Effort::Elsewhere, "give the id of a running process".into())
            }
            Err(AttemptError::Maps) => {
                problem("the kernel does not show the target's mappings".into(), Effort::Root, more())
            }
            Err(AttemptError::Memory) => {
                problem("the kernel does not show the target's memory".into(), Effort::Root, more())
            }
        }
    }
}

/// Whether a process that was refused can be read after all: then it was refused while it executed a program.
pub fn is_readable(process: &Process) -> bool {
    process.executable().is_some() && facts::attempt(process).is_ok()
}

/// Whether process `pid` can be read, and if not, why: every check that could be made.
pub fn diagnose(pid: i32) -> Vec<Check> {
    match Process::open(pid) {
        Ok(process) => Facts::gather(&process).checks(),
        Err(error) => vec![Check { name: "process", ..problem(error.to_string(), Effort::Elsewhere, error.hint()) }],
    }
}

/// The obstacle to report first. Fixing one of several is not enough, so the one with the largest fix decides; a
/// general "as root" counts only if nothing more specific was found.
pub fn decisive(checks: &[Check]) -> Option<(&Check, &Fix)> {
    let problems = || checks.iter().filter(|c| c.status == Status::Problem).filter_map(|c| Some((c, c.fix.as_ref()?)));
    let particular = problems().filter(|(check, _)| check.name != "attempt").max_by_key(|(_, fix)| fix.effort);
    particular.or_else(|| problems().next())
}

fn answer(status: Status, detail: String) -> Check {
    Check { name: "", status, detail, fix: None }
}

fn ok(detail: String) -> Check {
    answer(Status::Ok, detail)
}

fn note(detail: String) -> Check {
    answer(Status::Note, detail)
}

fn unknown(detail: String) -> Check {
    answer(Status::Unknown, detail)
}

fn problem(detail: String, effort: Effort, text: String) -> Check {
    Check { fix: Some(Fix { effort, text }), ..answer(Status::Problem, detail) }
}

impl AccessError {
    /// The kernel denied access to process `pid`; determines why. The memory of a process that ends is refused too, before the
    /// process is gone.
    pub fn forbidden(pid: i32) -> Self {
        let checks = match Process::open(pid).map(|process| Facts::gather(&process)) {
            Ok(facts) if facts.attempt == Err(AttemptError::Gone) => return Self::Exited { pid },
            Ok(facts) => facts.checks(),
            Err(_) => diagnose(pid),
        };
        let (why, fix) = decisive(&checks).map_or_else(
            || (String::new(), GENERAL_FIX.to_owned()),
            |(check, fix)| (check.detail.clone(), fix.text.clone()),
        );
        Self::Forbidden { pid, why, fix }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::memory::ReadError;

    const STATUS: &str = "Name:\tpython\nUid:\t1000\t1000\t1000\t1000\nGid:\t100\t100\t100\t100\n\
                          CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t000001ffffffffff\n";

    /// Two processes of one user on an ordinary machine.
    fn facts() -> Facts {
        let person = Credentials::parse(STATUS).unwrap();
        Facts {
            pid: 4211,
            ours: person,
            theirs: Some(person),
            user_name: Some("web".into()),
            proc_owner: Some(1000),
            same_user_namespace: Some(true),
            same_pid_namespace: Some(true),
            ptrace_scope: Some(0),
            descendant: false,
            seccomp: Some(0),
            own_read: Ok(()),
            other_architecture: None,
            shows_system_calls: true,
            attempt: Ok(()),
        }
    }

    /// The same, but reading fails.
    fn refused(facts: &Facts) -> Facts {
        Facts { attempt: Err(AttemptError::Memory), shows_system_calls: false, ..facts.clone() }
    }

    /// The decisive obstacle where reading fails, if a particular one is found: name and fix.
    fn obstacle(facts: &Facts) -> Option<(&'static str, Effort, String)> {
        refusal(facts).filter(|(name, ..)| *name != "attempt")
    }

    /// What is said where reading fails: name and fix.
    fn refusal(facts: &Facts) -> Option<(&'static str, Effort, String)> {
        decisive(&refused(facts).checks()).map(|(check, fix)| (check.name, fix.effort, fix.text.clone()))
    }

    fn with_ptrace(mut facts: Facts) -> Facts {
        facts.ours.effective |= CAP_SYS_PTRACE;
        facts.ours.permitted |= CAP_SYS_PTRACE;
        facts
    }

    #[test]
    fn processes_of_one_user_have_nothing_between_them() {
        assert!(facts().checks().iter().all(|check| check.status == Status::Ok), "{:#?}", facts().checks());
        assert_eq!(obstacle(&facts()), None);
    }

    #[test]
    fn what_was_read_has_no_obstacle() {
        let mut facts = facts();
        facts.same_user_namespace = Some(false);
        facts.theirs = facts.theirs.map(|c| Credentials { permitted: 1 << 10, ..c });
        assert_eq!(obstacle(&facts).map(|o| o.0), Some("capabilities"));
        let checks = facts.checks();
        assert_eq!(decisive(&checks), None);
        let check = checks.iter().find(|check| check.name == "capabilities").unwrap();
        assert_eq!(check.status, Status::Note);
        assert!(check.detail.ends_with("; reading works all the same"), "{}", check.detail);
    }

    #[test]
    fn memory_without_system_calls_is_noted_with_what_helps() {
        let mut facts = Facts { shows_system_calls: false, ..with_ptrace(facts()) };
        let said = |facts: &Facts| facts.checks().into_iter().find(|check| check.name == "system calls").unwrap();
        assert_eq!(said(&facts).status, Status::Note);
        assert!(
            said(&facts)
                .detail
                .ends_with("give asyncprof CAP_DAC_READ_SEARCH as well as CAP_SYS_PTRACE, or run it as root")
        );
        facts.ours.bounding = CAP_SYS_PTRACE;
        assert!(said(&facts).detail.ends_with("--cap-add=DAC_READ_SEARCH as well"));
        assert_eq!(said(&refused(&facts)).status, Status::Unknown);
    }

    #[test]
    fn names_of_users_are_not_those_of_another_container() {
        let mut facts = facts();
        facts.ours.users = [1001; 3];
        facts.same_pid_namespace = Some(false);
        assert_eq!(obstacle(&facts).unwrap().2, "run asyncprof as that user: sudo -u '#1000' asyncprof doctor 4211");
    }

    #[test]
    fn a_capability_that_nothing_can_give_is_asked_of_the_container() {
        let mut facts = facts();
        facts.proc_owner = Some(0);
        assert!(obstacle(&facts).unwrap().2.contains("sudo setcap cap_sys_ptrace,cap_dac_read_search=ep"));
        facts.ours.bounding = 0;
        assert_eq!(obstacle(&facts).unwrap().2, CONTAINER_FIX);
    }

    #[test]
    fn another_users_process_is_read_as_that_user() {
        let mut facts = facts();
        facts.ours.users = [1001; 3];
        facts.attempt = Err(AttemptError::Maps);
        let (name, effort, fix) = obstacle(&facts).unwrap();
        assert_eq!((name, effort), ("user", Effort::SameUser));
        assert_eq!(fix, "run asyncprof as that user: sudo -u 'web' asyncprof doctor 4211");
        assert_eq!(facts.checks()[1].detail, "the target runs as user web, asyncprof as user #1001");
        assert_eq!(obstacle(&with_ptrace(facts)), None);
    }

    #[test]
    fn a_root_process_asks_for_root() {
        let mut facts = facts();
        facts.theirs = Some(Credentials { users: [0; 3], groups: [0; 3], ..Credentials::default() });
        facts.proc_owner = Some(0);
        assert_eq!(obstacle(&facts).map(|o| (o.0, o.1)), Some(("user", Effort::Root)));
    }

    #[test]
    fn ptrace_scope_asks_for_sudo_or_for_the_setting() {
        let mut facts = facts();
        facts.ptrace_scope = Some(1);
        let (name, effort, fix) = obstacle(&facts).unwrap();
        assert_eq!((name, effort), ("ptrace_scope", Effort::Setting));
        assert!(fix.contains("sudo sysctl kernel.yama.ptrace_scope=0"), "{fix}");
        assert_eq!(obstacle(&with_ptrace(facts.clone())), None);
        facts.descendant = true;
        assert_eq!(obstacle(&facts), None);
        facts.ptrace_scope = Some(2);
        assert_eq!(obstacle(&facts).map(|o| o.1), Some(Effort::Capability));
        facts.ptrace_scope = Some(3);
        assert_eq!(obstacle(&with_ptrace(facts)).map(|o| o.1), Some(Effort::Elsewhere));
    }

    #[test]
    fn of_several_obstacles_the_one_that_asks_most_is_named() {
        let mut facts = facts();
        facts.ptrace_scope = Some(1);
        facts.proc_owner = Some(0);
        facts.attempt = Err(AttemptError::Maps);
        assert_eq!(obstacle(&facts).map(|o| (o.0, o.1)), Some(("memory protection", Effort::Capability)));
    }

    #[test]
    fn capabilities_of_the_target_that_we_lack_are_an_obstacle() {
        let mut facts = facts();
        facts.theirs = facts.theirs.map(|c| Credentials { permitted: 1 << 10, ..c });
        assert_eq!(obstacle(&facts).map(|o| o.0), Some("capabilities"));
        assert_eq!(obstacle(&with_ptrace(facts)), None);
    }

    #[test]
    fn a_capability_in_another_user_namespace_does_not_count() {
        let mut facts = with_ptrace(facts());
        facts.same_user_namespace = Some(false);
        facts.ptrace_scope = Some(2);
        assert_eq!(obstacle(&facts).map(|o| o.0), Some("ptrace_scope"));
    }

    #[test]
    fn a_filter_that_forbids_the_call_itself_is_found_by_reading_ourselves() {
        let mut facts = facts();
        facts.seccomp = Some(2);
        assert_eq!(obstacle(&facts), None, "a filter alone is only worth a note");
        facts.own_read = Err(ReadError::Forbidden);
        assert!(obstacle(&facts).unwrap().2.contains("--cap-add=SYS_PTRACE"));
    }

    #[test]
    fn a_refusal_without_a_known_reason_asks_for_root() {
        let mut facts = facts();
        facts.attempt = Err(AttemptError::Memory);
        assert_eq!(refusal(&facts).map(|o| (o.0, o.1)), Some(("attempt", Effort::Root)));
        assert_eq!(refusal(&facts).map(|o| o.2), Some("run asyncprof as root: sudo asyncprof doctor 4211".into()));
        (facts.ours.users, facts.ours.groups) = ([0; 3], [0; 3]);
        facts.theirs = Some(facts.ours);
        facts.proc_owner = Some(0);
        assert!(refusal(&facts).unwrap().2.starts_with("even root may not"));
    }

    #[test]
    fn another_architecture_cannot_be_fixed_here() {
        let mut facts = facts();
        facts.other_architecture = Some("32-bit i386".into());
        facts.proc_owner = Some(0);
        assert_eq!(obstacle(&facts).map(|o| o.0), Some("architecture"));
    }

    #[test]
    fn what_cannot_be_seen_is_unknown_and_no_problem() {
        let mut facts = facts();
        (facts.theirs, facts.proc_owner, facts.same_user_namespace) = (None, None, None);
        let unknown = facts.checks().iter().filter(|check| check.status == Status::Unknown).count();
        assert_eq!((unknown, decisive(&facts.checks())), (4, None));
    }

    #[test]
    fn this_very_process_can_be_read() {
        let checks = diagnose(std::process::id() as i32);
        assert!(checks.iter().all(|check| check.status != Status::Problem), "{checks:#?}");
    }

    #[test]
    fn a_process_that_is_not_there_is_the_only_thing_said() {
        let checks = diagnose(i32::MAX);
        assert_eq!(checks.len(), 1);
        assert_eq!(checks[0].detail, "there is no process 2147483647");
    }
}
