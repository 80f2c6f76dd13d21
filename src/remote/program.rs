//! Which program a process executes: distinguished from the one before an `exec`, even if that was the same file at the
//! same addresses.

use std::fs;

use super::addr::Addr;
use super::live::LiveMemory;
use super::memory::{Memory, ReadError};

/// The entry of the auxiliary vector that names 16 random bytes, made by the kernel at each `exec` for the new program,
/// and used by its C library as a seed. Linux: include/uapi/linux/auxvec.h.
const AT_RANDOM: u64 = 25;

/// A program, as started by one `exec`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    random_at: Addr,
    random: [u8; 16],
}

impl Program {
    /// The program that process `pid` executes; `None` if unknown: no permission, or the process is just starting or
    /// ending.
    pub fn of(pid: i32) -> Option<Self> {
        let random_at = find_random(&fs::read(format!("/proc/{pid}/auxv")).ok()?)?;
        let mut random = [0; 16];
        LiveMemory::new(pid).read(random_at, &mut random).ok()?;
        Some(Self { random_at, random })
    }

    /// Whether process `pid` still executes it; `None` if unknown. One read.
    pub fn still_runs_in(&self, pid: i32) -> Option<bool> {
        let mut random = [0; 16];
        match LiveMemory::new(pid).read(self.random_at, &mut random) {
            Ok(()) => Some(random == self.random),
            Err(ReadError::Unmapped(_)) => Some(false),
            Err(_) => None,
        }
    }
}

fn find_random(vector: &[u8]) -> Option<Addr> {
    let word = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).ok();
    let entry = vector.chunks_exact(16).find(|entry| word(&entry[..8]) == Some(AT_RANDOM))?;
    Addr::new(word(&entry[8..])?)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn an_exec_of_the_same_file_is_another_program() {
        // Without `setarch -R` the addresses would differ; the bytes alone must show it too.
        let mut child = Command::new("sh")
            .args(["-c", "echo first; read line; exec sh -c 'echo second; read line'"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id() as i32;
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let first = Program::of(pid).unwrap();
        assert_eq!(first.still_runs_in(pid), Some(true));
        assert_eq!(Program::of(pid).as_ref(), Some(&first));
        stdin.write_all(b"go on\n").unwrap();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "first\nsecond\n");
        assert_eq!(first.still_runs_in(pid), Some(false));
        let same_address = Program { random_at: Program::of(pid).unwrap().random_at, ..first };
        assert_eq!(same_address.still_runs_in(pid), Some(false));
        drop(stdin);
        child.wait().unwrap();
        assert_eq!(same_address.still_runs_in(pid), None);
        assert_eq!(Program::of(pid), None);
    }

    #[test]
    fn a_vector_that_is_cut_off_names_no_program() {
        let mut vector = Vec::new();
        for (key, value) in [(6u64, 4096u64), (AT_RANDOM, 0x7fff_0000), (0, 0)] {
            vector.extend(key.to_le_bytes());
            vector.extend(value.to_le_bytes());
        }
        assert_eq!(find_random(&vector), Addr::new(0x7fff_0000));
        assert_eq!(find_random(&vector[..31]), None);
        assert_eq!(find_random(&[]), None);
    }
}
