//! The memory of a running process, read with `process_vm_readv`: no stop, no write, nothing the target can notice.
//! It must not know what it reads.

use std::cell::Cell;
use std::io::IoSliceMut;

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::addr::Span;
use super::memory::{Memory, ReadError};

/// LIMIT: pieces in one system call; the kernel's UIO_MAXIOV.
const PIECES_PER_CALL: usize = 1024;

/// A live process's memory.
#[derive(Debug)]
pub struct LiveMemory {
    pid: Pid,
    calls: Cell<u64>,
}

impl LiveMemory {
    /// The memory of process `pid`. Nothing is opened or checked here; the first read tells.
    pub fn new(pid: i32) -> Self {
        Self { pid: Pid::from_raw(pid), calls: Cell::new(0) }
    }

    /// System calls made so far.
    pub fn calls(&self) -> u64 {
        self.calls.get()
    }

    /// One call over `spans`; answers how many leading bytes arrived.
    fn call(&self, spans: &[Span], out: &mut [u8]) -> Result<usize, Errno> {
        let remote: Vec<RemoteIoVec> =
            spans.iter().map(|s| RemoteIoVec { base: s.addr.raw() as usize, len: s.len }).collect();
        self.calls.set(self.calls.get() + 1);
        process_vm_readv(self.pid, &mut [IoSliceMut::new(out)], &remote)
    }
}

impl Memory for LiveMemory {
    fn read_batch(&self, spans: &[Span], out: &mut [u8], results: &mut Vec<Result<(), ReadError>>) {
        results.clear();
        let (mut next, mut offset) = (0, 0);
        while next < spans.len() {
            let batch = &spans[next..spans.len().min(next + PIECES_PER_CALL)];
            let wanted: usize = batch.iter().map(|s| s.len).sum();
            let arrived = match self.call(batch, &mut out[offset..offset + wanted]) {
                Ok(arrived) => arrived,
                Err(Errno::EFAULT) => 0,
                Err(error) => {
                    // The whole process is out of reach: every remaining piece has the same answer.
                    let error = if error == Errno::ESRCH { ReadError::Gone } else { ReadError::Forbidden };
                    results.resize(spans.len(), Err(error));
                    return;
                }
            };
            // The kernel stops at the first piece it cannot read: the ones before it are whole, that one has failed,
            // and the next call goes on behind it.
            let mut seen = 0;
            for span in batch {
                offset += span.len;
                seen += span.len;
                next += 1;
                if seen > arrived {
                    results.push(Err(ReadError::Unmapped(span.addr)));
                    break;
                }
                results.push(Ok(()));
            }
        }
    }
}
