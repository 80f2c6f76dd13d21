//! The memory of a running process, read with `process_vm_readv`: no stop, no write, nothing the target can notice.

use std::cell::Cell;
use std::io::IoSliceMut;

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::addr::Span;
use super::memory::{Memory, ReadError};
use super::process::Process;

/// LIMIT: pieces in one system call; the kernel's UIO_MAXIOV.
const PIECES_PER_CALL: usize = 1024;

/// A live process's memory.
#[derive(Debug)]
pub struct LiveMemory {
    pid: Pid,
    calls: Cell<u64>,
}

impl LiveMemory {
    /// The memory of a process, through a thread that still has it.
    pub fn of(process: &Process) -> Self {
        Self::new(process.living_thread())
    }

    /// The memory of process `pid`, or of the process of a thread. Nothing is opened or checked here; errors appear at
    /// the first read.
    pub fn new(pid: i32) -> Self {
        Self { pid: Pid::from_raw(pid), calls: Cell::new(0) }
    }

    /// System calls made so far.
    pub fn calls(&self) -> u64 {
        self.calls.get()
    }

    /// One call for `spans`; returns how many leading bytes were read.
    fn call(&self, spans: &[Span], out: &mut [u8]) -> Result<usize, Errno> {
        let remote: Vec<RemoteIoVec> =
            spans.iter().map(|s| RemoteIoVec { base: s.addr.raw() as usize, len: s.len }).collect();
        self.calls.set(self.calls.get() + 1);
        process_vm_readv(self.pid, &mut [IoSliceMut::new(out)], &remote)
    }
}

/// The meaning of an error of a whole call. Only a refusal ends a watch with advice about permissions.
fn failure(error: Errno) -> ReadError {
    match error {
        Errno::ESRCH => ReadError::Gone,
        Errno::EPERM | Errno::EACCES => ReadError::Forbidden,
        other => ReadError::Kernel(other),
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
                // Nothing of the first piece was read; a signal (EINTR) or a shortage in the kernel (ENOMEM) also fails
                // a single piece, never the whole batch.
                Err(Errno::EFAULT | Errno::EINTR | Errno::ENOMEM) => 0,
                Err(error) => {
                    // Every remaining piece has the same result. A zombie has no memory any more and fails like a
                    // process that is gone.
                    results.resize(spans.len(), Err(failure(error)));
                    return;
                }
            };
            // The kernel stops in the first piece it cannot read, possibly after part of it: the pieces before it are
            // complete, that one has failed, and the next call continues after it.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::Addr;

    #[test]
    fn every_error_of_the_kernel_is_told_as_what_it_is() {
        for (errno, error) in [
            (Errno::ESRCH, ReadError::Gone),
            (Errno::EPERM, ReadError::Forbidden),
            (Errno::EACCES, ReadError::Forbidden),
            (Errno::EINVAL, ReadError::Kernel(Errno::EINVAL)),
            (Errno::EMFILE, ReadError::Kernel(Errno::EMFILE)),
            (Errno::ENOSYS, ReadError::Kernel(Errno::ENOSYS)),
            (Errno::EIO, ReadError::Kernel(Errno::EIO)),
        ] {
            assert_eq!(failure(errno), error);
            assert_eq!(error.is_fatal(), matches!(error, ReadError::Gone | ReadError::Forbidden), "{errno}");
        }
    }

    fn ourselves() -> LiveMemory {
        LiveMemory::new(std::process::id() as i32)
    }

    fn batch(memory: &LiveMemory, spans: &[Span]) -> (Vec<u8>, Vec<Result<(), ReadError>>) {
        let mut out = vec![0; spans.iter().map(|s| s.len).sum()];
        let mut results = Vec::new();
        memory.read_batch(spans, &mut out, &mut results);
        (out, results)
    }

    fn span(bytes: &[u8]) -> Span {
        Span::new(Addr::new(bytes.as_ptr() as u64).unwrap(), bytes.len())
    }

    #[test]
    fn a_piece_that_fails_does_not_hurt_its_neighbours() {
        let (first, second) = (b"first piece".to_vec(), b"second piece".to_vec());
        // Nothing is ever mapped in the page after the first.
        let hole = Addr::new(4096).unwrap();
        let memory = ourselves();
        let spans = [Span::new(hole, 8), span(&first), Span::new(hole, 24), Span::new(hole, 1), span(&second)];
        let (out, results) = batch(&memory, &spans);
        let unmapped = Err(ReadError::Unmapped(hole));
        assert_eq!(results, [unmapped, Ok(()), unmapped, unmapped, Ok(())]);
        assert_eq!(&out[8..19], first);
        assert_eq!(&out[44..], second);
    }

    #[test]
    fn more_pieces_than_one_call_takes_are_read_in_few_calls() {
        let bytes: Vec<u8> = (0..5000u32).map(|n| n as u8).collect();
        let start = span(&bytes).addr;
        let spans: Vec<Span> = (0..5000).map(|n| Span::new(start.add(n).unwrap(), 1)).collect();
        let memory = ourselves();
        let (out, results) = batch(&memory, &spans);
        assert_eq!(out, bytes);
        assert!(results.len() == 5000 && results.iter().all(Result::is_ok));
        assert_eq!(memory.calls(), 5);
    }

    #[test]
    fn empty_pieces_and_empty_batches_are_read() {
        let memory = ourselves();
        assert_eq!(batch(&memory, &[]).1, []);
        assert_eq!(batch(&memory, &[Span::new(Addr::new(4096).unwrap(), 0)]).1, [Ok(())]);
    }

    #[test]
    fn only_a_refusal_of_the_kernel_is_a_lack_of_permission() {
        for refusal in [Errno::EPERM, Errno::EACCES] {
            assert_eq!(failure(refusal), ReadError::Forbidden);
        }
        for other in [Errno::EINVAL, Errno::EAGAIN, Errno::ENOSYS] {
            let error = failure(other);
            assert!(error.to_string().contains(&format!("{other:?}")) && !error.is_fatal(), "{error}");
        }
    }

    #[test]
    fn a_zombie_and_a_process_that_is_gone_answer_the_same_for_every_piece() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let memory = LiveMemory::new(child.id() as i32);
        let spans = [Span::new(Addr::new(4096).unwrap(), 8); 2];
        child.kill().unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        let dead = nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT;
        nix::sys::wait::waitid(nix::sys::wait::Id::Pid(pid), dead).unwrap();
        assert_eq!(batch(&memory, &spans).1, [Err(ReadError::Gone); 2], "a zombie");
        child.wait().unwrap();
        assert_eq!(batch(&memory, &spans).1, [Err(ReadError::Gone); 2], "nobody");
    }
}
