//! The descendants of a process, including those that appear later and those that are orphaned after they were seen.

use std::collections::BTreeMap;
use std::fs;

use super::process::{Process, Stat};

/// LIMIT: processes that are remembered; a program that forks endlessly must not use up our memory or time.
const MAX_KNOWN: usize = 4_096;
/// LIMIT: threads of one process whose children are queried one by one; beyond that, all processes are searched
/// instead.
const MAX_THREADS: usize = 256;

/// The descendants of a process, reported as they appear.
#[derive(Debug)]
pub struct Descendants {
    /// `None` when it is gone.
    root: Option<Process>,
    /// The live ones, by id.
    known: BTreeMap<i32, Process>,
}

impl Descendants {
    /// The descendants of this process; none are known before the first [`Descendants::look`].
    pub fn of(pid: i32) -> Self {
        Self { root: Process::open(pid).ok(), known: BTreeMap::new() }
    }

    /// Finds the current descendants; returns those that were not there the last time, parents before their children.
    pub fn look(&mut self) -> Vec<Process> {
        self.root = self.root.take().filter(Process::is_same);
        self.known.retain(|_, process| process.is_same());
        let mut to_ask: Vec<i32> = self.root.iter().map(Process::pid).chain(self.known.keys().copied()).collect();
        let mut found = Vec::new();
        let mut parents = None;
        while let Some(pid) = to_ask.pop() {
            for child in children_of(pid, &mut parents) {
                if self.known.len() >= MAX_KNOWN || self.known.contains_key(&child) || self.is_root(child) {
                    continue;
                }
                // A process that is already gone, or a zombie, has no children any more.
                let Ok(process) = Process::open(child) else { continue };
                self.known.insert(child, process.clone());
                to_ask.push(child);
                found.push(process);
            }
        }
        found
    }

    /// Whether the process itself or one of its known descendants was alive at the last [`Descendants::look`].
    pub fn anybody_lives(&self) -> bool {
        self.root.is_some() || !self.known.is_empty()
    }

    /// Whether this process was among them and alive at the last search.
    pub fn has(&self, process: &Process) -> bool {
        self.known.get(&process.pid()) == Some(process)
    }

    fn is_root(&self, pid: i32) -> bool {
        self.root.as_ref().is_some_and(|root| root.pid() == pid)
    }
}

/// The children of a process. `parents` caches the parent of every process, once all processes had to be searched.
fn children_of(pid: i32, parents: &mut Option<Vec<(i32, i32)>>) -> Vec<i32> {
    if let Some(children) = listed_children(pid) {
        return children;
    }
    let parents = parents.get_or_insert_with(all_parents);
    parents.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| *child).collect()
}

/// The children as the kernel lists them, under the thread that forked each; `None` where it does not
/// (CONFIG_PROC_CHILDREN).
fn listed_children(pid: i32) -> Option<Vec<i32>> {
    let mut children = Vec::new();
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    for (count, thread) in threads.flatten().enumerate() {
        if count >= MAX_THREADS {
            return None;
        }
        match fs::read_to_string(thread.path().join("children")) {
            Ok(list) => children.extend(list.split_ascii_whitespace().filter_map(|id| id.parse::<i32>().ok())),
            // A thread that has just ended left its children to another one.
            Err(_) if !thread.path().exists() => {}
            Err(_) => return None,
        }
    }
    Some(children)
}

/// (process, parent) of every process.
fn all_parents() -> Vec<(i32, i32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    ids.filter_map(|pid| Some((pid, Stat::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)?.parent))).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A shell, and its first line of output.
    fn shell(script: &str) -> (Child, String) {
        let mut child =
            Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        (child, said.trim().to_owned())
    }

    #[test]
    fn a_grandchild_is_told_once_and_known_after_its_parent_has_ended() {
        // The process in the middle ends when its stdin does.
        let (mut child, said) = shell("exec 3<&0; sh -c 'sleep 60 & echo $!; read line <&3; :' & wait");
        let grandchild: i32 = said.parse().unwrap();
        let mut descendants = Descendants::of(i32::try_from(child.id()).unwrap());
        let found: Vec<i32> = descendants.look().iter().map(Process::pid).collect();
        assert_eq!((found.len(), found.last()), (2, Some(&grandchild)));
        assert!(descendants.look().is_empty());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(descendants.look().is_empty() && descendants.anybody_lives());
        assert_eq!(descendants.known.keys().copied().collect::<Vec<_>>(), [grandchild]);
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(grandchild), nix::sys::signal::Signal::SIGKILL).unwrap();
        while descendants.anybody_lives() {
            descendants.look();
        }
    }

    #[test]
    fn both_ways_to_find_children_agree() {
        let (mut child, said) = shell("sleep 60 & echo $!; read line; kill $!");
        let pid = i32::try_from(child.id()).unwrap();
        let by_parents: Vec<i32> =
            all_parents().into_iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| child).collect();
        assert_eq!(by_parents, [said.parse::<i32>().unwrap()]);
        assert_eq!(listed_children(pid).unwrap_or(by_parents.clone()), by_parents);
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_gone_has_none() {
        let mut descendants = Descendants::of(i32::MAX);
        assert!(descendants.look().is_empty() && !descendants.anybody_lives());
    }
}
