//! A program as a child process: killed when dropped, signalled, and waited for.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::ports::is_listening;

/// No program of the tests takes longer to start or to stop.
const PROCESS_TIMEOUT: Duration = Duration::from_secs(10);

const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A running program, and the file that it logs to.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command; what it prints to standard error is appended to `log`.
    pub fn spawn(mut command: Command, log: &Path) -> Self {
        let file = File::options().append(true).create(true).open(log).unwrap();
        let child = command.stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Self { child, log: log.to_owned() }
    }

    /// Starts it with its outputs on pipes that nobody reads: each write fails, as on a terminal that is gone.
    pub fn spawn_unread(mut command: Command, log: &Path) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        Self { child, log: log.to_owned() }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until the process itself listens on that port.
    pub async fn until_listening(&mut self, port: u16) {
        let until = Instant::now() + PROCESS_TIMEOUT;
        while !is_listening(self.id(), port) {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended with {status}: {}", self.log());
            }
            assert!(Instant::now() < until, "it does not listen on {port}: {}", self.log());
            sleep(POLL_INTERVAL).await;
        }
    }

    /// SIGKILL: no goodbye.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it ends by itself; gives how, and what it logged.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let until = Instant::now() + PROCESS_TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, self.log());
            }
            assert!(Instant::now() < until, "it does not end: {}", self.log());
            sleep(POLL_INTERVAL).await;
        }
    }

    /// SIGTERM; gives how it ended.
    pub async fn terminate(self) -> ExitStatus {
        self.send("TERM");
        self.ended().await.0
    }

    /// Sends that signal, by name or number.
    pub fn send(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.id().to_string()]).status().unwrap();
        assert!(sent.success(), "{signal}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to processes, some of which may have ended already.
pub fn signal_all(signal: &str, pids: &[u32]) {
    let pids = pids.iter().map(u32::to_string);
    let _ = Command::new("kill").args(["-s", signal]).args(pids).stderr(Stdio::null()).status();
}

/// The children of a process's main thread.
pub fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
