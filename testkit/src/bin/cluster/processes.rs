//! The processes of a cluster: begun, recognised, waited for, ended.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use testkit::ports::is_listening;
use testkit::process::signal_all;

use crate::cluster::{Cluster, clear_environment};
use crate::failure::Failure;
use crate::interrupts;

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How many lines of a log are quoted when its process fails.
const MAX_QUOTED_LINES: usize = 20;

impl Cluster {
    /// Begins a process in a session of its own, so that no key pressed here reaches it.
    pub fn begin(&self, name: &str, words: &[String]) -> Result<(), Failure> {
        self.write(&format!("processes/{name}.command"), &words.join("\0"))?;
        let log = File::options().append(true).create(true).mode(0o600).open(self.log(name))?;
        let mut command = Command::new("setsid");
        clear_environment(&mut command);
        command.args(words).current_dir("/").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let pid = command.spawn()?.id();
        let since = started_at(pid).unwrap_or_default();
        self.write(&format!("processes/{name}.pid"), &format!("{pid} {since}\n"))
    }

    /// Begins a process again that has ended.
    pub fn begin_again(&self, name: &str) -> Result<(), Failure> {
        let words = fs::read_to_string(self.folder.join(format!("processes/{name}.command")));
        let words = words.map_err(|_| format!("there is no {name}; scripts/cluster status says what there is"))?;
        if self.pid(name).is_some() {
            return Err(format!("{name} runs").into());
        }
        self.begin(name, &words.split('\0').map(str::to_owned).collect::<Vec<_>>())
    }

    /// The id of a process, while it runs.
    pub fn pid(&self, name: &str) -> Option<u32> {
        let text = fs::read_to_string(self.folder.join(format!("processes/{name}.pid"))).ok()?;
        let (pid, since) = text.trim_end().split_once(' ')?;
        let pid = pid.parse().ok()?;
        (started_at(pid)? == since).then_some(pid)
    }

    /// Signals all of them at once; those that are not gone in time are killed.
    pub fn halt(&self, signal: &str, timeout: Duration, names: &[String]) {
        let pids: Vec<_> = names.iter().filter_map(|name| self.pid(name)).collect();
        if pids.is_empty() {
            return;
        }
        signal_all(signal, &pids);
        let is_gone = || names.iter().all(|name| self.pid(name).is_none());
        for _ in 0..polls(timeout) {
            if is_gone() {
                return;
            }
            sleep(POLL_INTERVAL);
        }
        for name in names {
            if let Some(pid) = self.pid(name) {
                eprintln!("scripts/cluster: {name} does not stop by itself and is ended");
                signal_all("KILL", &[pid]);
            }
        }
    }

    /// Waits until a process itself listens at its address, and is ready.
    pub fn until_ready(&self, name: &str, timeout: Duration, is_ready: impl Fn() -> bool) -> Result<(), Failure> {
        for _ in 0..polls(timeout) {
            interrupts::check()?;
            let Some(pid) = self.pid(name) else { return Err(self.quoted(name, "has ended")) };
            if is_listening(pid, self.layout.port(name)) && is_ready() {
                return Ok(());
            }
            sleep(POLL_INTERVAL);
        }
        Err(self.quoted(name, "does not become ready"))
    }

    /// Prints the end of a log, and says why.
    pub fn quoted(&self, name: &str, why: &str) -> Failure {
        let log = fs::read(self.log(name)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<_> = log.lines().collect();
        for line in &lines[lines.len().saturating_sub(MAX_QUOTED_LINES)..] {
            eprintln!("{line}");
        }
        format!("{name} {why}; that is the end of {}", self.log(name).display()).into()
    }
}

fn polls(timeout: Duration) -> u128 {
    timeout.as_millis() / POLL_INTERVAL.as_millis()
}

/// When a process started, in ticks since boot; with its id that is one process for good. None if it has ended.
fn started_at(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may hold anything: the state is the first field, the start the twentieth.
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    (fields.first()? != &"Z").then(|| fields.get(19).map(ToString::to_string))?
}
