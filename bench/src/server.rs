//! A server process: started, watched until it answers, measured, and ended with the run.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::probe;
use crate::workshop::Workshop;

/// Between two looks at a server that is starting or ending.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// How many looks a server gets: ten seconds.
const LOOKS: usize = 200;

#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    command: String,
}

impl Server {
    /// Starts `program`; what it prints goes to `<name>.log` in the workshop.
    pub(crate) fn start(
        workshop: &Workshop,
        name: &str,
        program: &Path,
        arguments: &[String],
    ) -> anyhow::Result<Self> {
        let log = File::create(workshop.path(&format!("{name}.log")))?;
        let child = Command::new(program)
            .args(arguments)
            .current_dir(workshop.directory())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start `{}`", program.display()))?;
        Ok(Self { child, command: workshop.show(program, arguments) })
    }

    /// Waits until `path` on `port` gets any answer.
    pub(crate) fn until_ready(
        mut self,
        workshop: &Workshop,
        name: &str,
        port: u16,
        path: &str,
    ) -> anyhow::Result<Self> {
        for _ in 0..LOOKS {
            if probe::get(port, path, None).is_ok() {
                return Ok(self);
            }
            if self.child.try_wait()?.is_some() {
                break;
            }
            std::thread::sleep(LOOK_PAUSE);
        }
        let log = fs::read_to_string(workshop.path(&format!("{name}.log"))).unwrap_or_default();
        bail!("{name} did not start: {}", log.trim())
    }

    /// The command line, as shown in the report.
    pub(crate) fn command(&self) -> &str {
        &self.command
    }

    /// The CPU time that the process, its threads and its workers have used.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let main = self.child.id();
        let mut ticks = 0;
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // A process may end while the list is read.
            let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
            let Some(stat) = Stat::parse(&stat) else { continue };
            if pid == main || stat.parent == main {
                ticks += stat.ticks;
            }
        }
        Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }

    /// Resident memory in KiB.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no resident size")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        for _ in 0..LOOKS {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(LOOK_PAUSE);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The parts of `/proc/<pid>/stat` that count.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// User and system time of all threads, those that ended too.
    ticks: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name in brackets may hold spaces and brackets, so the fields are counted from the last one.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Self { parent: fields.get(1)?.parse().ok()?, ticks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_spaces_and_brackets_does_not_shift_the_fields() {
        let text = "4242 (a (b) c) S 17 4242 4242 0 -1 4194560 1 2 3 4 250 50 6 7 20 0 1 0 99";
        assert_eq!(Stat::parse(text), Some(Stat { parent: 17, ticks: 300 }));
    }
}
