//! One Redis server: plain, with options, or a sentinel.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::protocol::{answers, ask};
use crate::ports::{free_port, is_listening};
use crate::process::signal_all;

/// How often a server's state is asked for before the test fails: for ten seconds.
pub(super) const MAX_POLLS: usize = 1_000;

pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// How many ports are tried: a program outside the tests may take one.
const MAX_START_ATTEMPTS: usize = 5;

/// What a server keeps when it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// Nothing.
    Nothing,
    /// What it answered, all of it.
    All,
}

/// One server.
pub struct Server {
    child: Child,
    folder: TempDir,
    pub(super) port: u16,
    keeps: Keeps,
    pub(super) more: Vec<String>,
}

impl Server {
    /// A plain one.
    pub fn start(keeps: Keeps) -> Self {
        Self::with(keeps, &[])
    }

    /// One with more options.
    pub fn with(keeps: Keeps, more: &[&str]) -> Self {
        let more: Vec<String> = more.iter().map(ToString::to_string).collect();
        for _ in 0..MAX_START_ATTEMPTS {
            let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
            let child = spawn(&folder, port, keeps, &more);
            let mut server = Self { child, folder, port, keeps, more: more.clone() };
            if server.answers() {
                return server;
            }
        }
        panic!("redis-server does not start");
    }

    /// A sentinel that watches over `master`, and decides alone.
    pub fn sentinel(master: &Self) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let file = folder.path().join("sentinel.conf");
        let watched = format!(
            "sentinel monitor main 127.0.0.1 {} 1\nsentinel down-after-milliseconds main 500\n\
             sentinel failover-timeout main 2000\n",
            master.port
        );
        std::fs::write(&file, watched).unwrap();
        let mut command = Command::new("redis-server");
        command.arg(&file).args(["--sentinel", "--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("redis-server is not installed, and the tests need it");
        let mut server = Self { child, folder, port, keeps: Keeps::Nothing, more: Vec::new() };
        assert!(server.answers(), "the sentinel does not start");
        let knows_replica = |server: &Self| server.say(&["SENTINEL", "REPLICAS", "main"]).contains(&"slave".to_owned());
        server.until("the sentinel knows of no replica", knows_replica);
        server
    }

    /// Returns once a replica has all that was written here.
    pub fn until_copied(&self) {
        self.until("the replica lags behind", |server| server.say(&["WAIT", "1", "100"]) == ["1"]);
    }

    pub(super) fn until(&self, otherwise: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..MAX_POLLS * 2 {
            if is_so(self) {
                return;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        panic!("{otherwise}");
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// SIGKILL: no goodbye.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The same server again, with what it kept.
    pub fn start_again(&mut self) {
        self.child = spawn(&self.folder, self.port, self.keeps, &self.more);
        assert!(self.answers(), "redis-server does not start again");
    }

    /// Sets cluster time so far ahead of this server's own, as after a failover from another host.
    pub fn set_clock_offset_ms(&self, ms: i64) {
        let said = self.say(&["INFO", "server"]).concat();
        let run_id = said.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap().trim().to_owned();
        self.say(&["HSET", "sk:{clock}", "run_id", &run_id, "offset_ms", &ms.to_string()]);
    }

    /// It neither answers nor goes away.
    pub fn freeze(&self) {
        signal_all("STOP", &[self.child.id()]);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        signal_all("CONT", &[self.child.id()]);
    }

    /// What it answers to a command, each part of it a text.
    pub fn say(&self, words: &[&str]) -> Vec<String> {
        ask(self.port, words).unwrap()
    }

    /// Waits until this process answers. False if it has ended, or another server has the port.
    fn answers(&mut self) -> bool {
        for _ in 0..MAX_POLLS {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if is_listening(self.child.id(), self.port) && (self.has_tls() || answers(self.port, &["PING"], "PONG")) {
                return true;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        false
    }

    fn has_tls(&self) -> bool {
        self.more.iter().any(|option| option == "--tls-port")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &TempDir, port: u16, keeps: Keeps, more: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--dir"]).arg(folder.path());
    command.args(["--appendonly", if keeps == Keeps::All { "yes" } else { "no" }, "--appendfsync", "always"]);
    // `--tls-port` comes last, and takes the port; there is no other then.
    let port = port.to_string();
    match more.last() {
        Some(last) if last == "--tls-port" => command.args(["--port", "0"]).args(more).arg(port),
        _ => command.args(["--port", &port]).args(more),
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server is not installed, and the tests need it")
}
