//! The program of `record -- CMD`: started with our stdin, stdout and stderr, told what we are told, and its status passed
//! on. It must not know that it is watched.
//!
//! INVARIANT: only this process is waited for, and by `wait` alone, which takes the value: a signal cannot go to another process
//! that has got its id.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child as Process, Command, ExitStatus};

use crossbeam_channel::{Receiver, TryRecvError, bounded};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::signals::Request;
use super::{Exit, Failure};

/// A program that we started.
#[derive(Debug)]
pub(super) struct Child {
    process: Process,
    /// Closed when it has ended.
    pub(super) ended: Receiver<()>,
}

impl Child {
    /// Starts a program with its arguments.
    pub(super) fn start(command: &[OsString]) -> Result<Self, Failure> {
        let (program, arguments) =
            command.split_first().ok_or_else(|| Failure::new(Exit::Usage, "there is no command after --"))?;
        let process = Command::new(program).args(arguments).spawn().map_err(|error| {
            let exit = match error.kind() {
                io::ErrorKind::NotFound => Exit::NotFound,
                io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock => Exit::Own,
                _ => Exit::NotExecutable,
            };
            Failure::new(exit, format!("cannot start {}: {error}", program.display()))
        })?;
        let ended = watch_for_end(process.id())?;
        Ok(Self { process, ended })
    }

    /// Its process id.
    pub(super) fn pid(&self) -> i32 {
        // CAST: the kernel's process ids are positive `i32`s; std shows them as `u32`.
        self.process.id() as i32
    }

    /// Whether it is over.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.try_recv() == Err(TryRecvError::Disconnected)
    }

    /// Hands on a request to end, unless the terminal has told it already.
    pub(super) fn hand_on(&self, request: Request) {
        if !request.from_terminal {
            // It may have ended just now, and is not reaped: then nobody hears this.
            let _ = kill(Pid::from_raw(self.pid()), request.signal);
        }
    }

    /// Waits for its end and takes its status.
    pub(super) fn wait(mut self) -> Result<ExitStatus, Failure> {
        self.process
            .wait()
            .map_err(|error| Failure::new(Exit::Own, format!("cannot wait for the program that was started: {error}")))
    }
}

/// Waits for the end on a thread of its own, without taking the status: the process stays a zombie, and its id its own.
fn watch_for_end(pid: u32) -> Result<Receiver<()>, Failure> {
    let (sender, ended) = bounded::<()>(0);
    let wait = move || {
        // CAST: the kernel's process ids are positive `i32`s; std shows them as `u32`.
        let pid = Pid::from_raw(pid as i32);
        // An error other than an interruption means that it is not ours any more.
        while let Err(Errno::EINTR) = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {}
        drop(sender);
    };
    std::thread::Builder::new()
        .name("child".into())
        .spawn(wait)
        .map_err(|error| Failure::new(Exit::Own, format!("cannot start a thread: {error}")))?;
    Ok(ended)
}

/// Our exit code for a program's status.
pub(super) fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        // CAST: a status is a byte.
        (Some(code), _) => Exit::Child(code as u8),
        // CAST: signals end at 64.
        (None, Some(signal)) => Exit::Child(128 + signal as u8),
        (None, None) => Exit::Own,
    }
}
