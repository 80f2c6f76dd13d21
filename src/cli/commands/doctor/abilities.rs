//! What this user may do on this machine, before any process is selected.

use std::fs;

use crate::remote::permission::{Check, Credentials, Effort, Fix, Status};

/// The capability to trace other users' processes. Linux: include/uapi/linux/capability.h
const CAP_SYS_PTRACE: u64 = 1 << 19;

pub(crate) fn checks() -> Vec<Check> {
    vec![user(), capability(), yama()]
}

fn user() -> Check {
    let uid = nix::unistd::geteuid();
    let detail = match uid.is_root() {
        true => "root".to_owned(),
        false => format!("user id {uid}: processes of the same user can be read"),
    };
    Check { name: "user", status: Status::Ok, detail, fix: None }
}

fn capability() -> Check {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ours = Credentials::parse(&status);
    let (status, detail) = match ours.map(|ours| ours.effective & CAP_SYS_PTRACE != 0) {
        Some(true) => (Status::Ok, "CAP_SYS_PTRACE is held: processes of other users can be read too"),
        Some(false) => (Status::Note, "CAP_SYS_PTRACE is not held: only processes of the same user can be read"),
        None => (Status::Unknown, "the capabilities of this process cannot be read"),
    };
    Check { name: "capability", status, detail: detail.into(), fix: None }
}

fn yama() -> Check {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    let (status, detail, fix) = match scope.as_deref().map(str::trim) {
        Ok("0") => (Status::Ok, "ptrace_scope is 0: any process of the same user can be read", None),
        Ok("1") => (
            Status::Note,
            "ptrace_scope is 1: without CAP_SYS_PTRACE only programs started by asyncprof can be read",
            Some("run asyncprof with sudo, or: sudo sysctl kernel.yama.ptrace_scope=0"),
        ),
        Ok("2") => (
            Status::Note,
            "ptrace_scope is 2: processes can be read only with CAP_SYS_PTRACE",
            Some("run asyncprof with sudo, or: sudo sysctl kernel.yama.ptrace_scope=0"),
        ),
        Ok("3") => (
            Status::Problem,
            "ptrace_scope is 3: no process can be read until the next boot",
            Some("set kernel.yama.ptrace_scope to 1 in /etc/sysctl.d and reboot"),
        ),
        Ok(_) => (Status::Unknown, "ptrace_scope has an unknown value", None),
        Err(_) => (Status::Ok, "no Yama restriction", None),
    };
    Check {
        name: "ptrace_scope",
        status,
        detail: detail.into(),
        fix: fix.map(|text| Fix { effort: Effort::Root, text: text.into() }),
    }
}
