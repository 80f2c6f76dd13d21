//! The program of `record -- CMD` and `check -- CMD`: it inherits stdin, stdout and stderr, signals are forwarded to it, and its
//! exit status is passed on.
//!
//! INVARIANT: only `wait` reaps the process, and it takes the value: a signal cannot reach another process that reuses the id.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child as Process, Command, ExitStatus};
use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError, bounded};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::signals::Request;
use crate::cli::failure::{Exit, Failure};

/// How long to wait while our own stop of the program hides whether it has ended.
const STOP: Duration = Duration::from_millis(2);

/// A program that we started.
#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
    /// Closed when it has ended.
    pub(crate) ended: Receiver<()>,
}

impl Child {
    /// Starts a program with its arguments.
    pub(crate) fn start(command: &[OsString]) -> Result<Self, Failure> {
        let (program, arguments) =
            command.split_first().ok_or_else(|| Failure::usage("there is no command after --"))?;
        let process = Command::new(program).args(arguments).spawn().map_err(|error| {
            let exit = match error.kind() {
                io::ErrorKind::NotFound => Exit::NotFound,
                io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock => Exit::Internal,
                _ => Exit::NotExecutable,
            };
            Failure::new(exit, format!("cannot start {}: {error}", program.display()))
        })?;
        let ended = watch_for_end(process.id())?;
        Ok(Self { process, ended })
    }

    pub(crate) fn pid(&self) -> i32 {
        // CAST: the kernel's process ids are positive `i32`s; std shows them as `u32`.
        self.process.id() as i32
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.try_recv() == Err(TryRecvError::Disconnected)
    }

    /// Forwards a request to end, unless the terminal has already sent it.
    pub(crate) fn forward(&self, request: Request) {
        if !request.from_terminal {
            // It may have just ended and not be reaped yet: then the signal has no effect.
            let _ = kill(Pid::from_raw(self.pid()), request.signal);
        }
    }

    /// Waits for its end and takes its status.
    pub(crate) fn wait(mut self) -> Result<ExitStatus, Failure> {
        self.process.wait().map_err(|error| Failure::internal(format!("cannot wait for the program: {error}")))
    }
}

/// Waits for the end on a thread of its own, without reaping: the process stays a zombie and keeps its id.
fn watch_for_end(pid: u32) -> Result<Receiver<()>, Failure> {
    let (sender, ended) = bounded::<()>(0);
    let wait = move || {
        // CAST: the kernel's process ids are positive `i32`s; std shows them as `u32`.
        let pid = Pid::from_raw(pid as i32);
        loop {
            match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(Errno::ECHILD) => break,
                Err(Errno::EINTR) => {}
                // With --blocking we trace it, and every stop is a status, whatever was asked for. One that comes with a
                // real-time signal is an error (EINVAL) because nix cannot name it.
                Ok(_) | Err(_) => std::thread::sleep(STOP),
            }
        }
        drop(sender);
    };
    std::thread::Builder::new()
        .name("child".into())
        .spawn(wait)
        .map_err(|error| Failure::internal(format!("cannot start a thread: {error}")))?;
    Ok(ended)
}

/// The exit code that passes on a program's status.
pub(crate) fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        // CAST: a status is a byte.
        (Some(code), _) => Exit::Child(code as u8),
        // CAST: signals end at 64.
        (None, Some(signal)) => Exit::Child(128 + signal as u8),
        (None, None) => Exit::Internal,
    }
}
