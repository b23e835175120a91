//! The real binary as a child process: killed, restarted, asked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use testkit::ports::free_address;
use testkit::process::Process;

use super::caller::{Authority, Caller, Client, client};
use super::token::{SECRET, TOKEN_LIFE, claims, signed};

/// A data folder, addresses and settings, for processes that serve from them.
pub struct Host {
    folder: TempDir,
    address: SocketAddr,
    metrics: SocketAddr,
    settings: Vec<(&'static str, String)>,
    /// What a shell is to say before it becomes the binary.
    limit: Option<String>,
    client: Client,
}

impl Host {
    /// One with a key, on a port of its own.
    pub fn new() -> Self {
        let settings = vec![
            ("JWT_SECRET", SECRET.to_owned()),
            ("MAX_TOKEN_LIFE_MS", TOKEN_LIFE.as_millis().to_string()),
            ("DRAIN_TIMEOUT_MS", "2000".to_owned()),
            // No balancer has to notice.
            ("DRAIN_GRACE_MS", "0".to_owned()),
            ("LOG_FORMAT", "text".to_owned()),
        ];
        let (address, metrics) = (free_address(), free_address());
        Self { folder: tempfile::tempdir().unwrap(), address, metrics, settings, limit: None, client: client() }
    }

    /// With another value for a setting, or none.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.settings.retain(|(each, _)| *each != name);
        if !value.is_empty() {
            self.settings.push((name, value.to_owned()));
        }
        self
    }

    /// With at most so many file descriptors.
    pub fn with_descriptors(self, descriptors: u32) -> Self {
        Self { limit: Some(format!("ulimit -n {descriptors}")), ..self }
    }

    /// With so many at first, and leave to take as many as this process may.
    pub fn with_descriptors_at_first(self, descriptors: u32) -> Self {
        Self { limit: Some(format!("ulimit -Sn {descriptors}")), ..self }
    }

    /// What that setting is.
    pub fn setting(&self, name: &str) -> String {
        self.settings.iter().find(|(each, _)| *each == name).map(|(_, value)| value.clone()).unwrap()
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn ledger(&self) -> PathBuf {
        self.data().join("synckairos.db")
    }

    /// The binary with these settings and no others.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let binary = env!("CARGO_BIN_EXE_synckairos");
        let mut command = Command::new(if self.limit.is_some() { "/bin/sh" } else { binary });
        if let Some(limit) = &self.limit {
            command.args(["-c", &format!("{limit}; exec \"$0\" \"$@\""), binary]);
        }
        command.env_clear().args(arguments).stdin(Stdio::null());
        command.env("LISTEN_ADDR", self.address.to_string()).env("METRICS_ADDR", self.metrics.to_string());
        command.env("DATA_DIR", self.data());
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it to its end.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// An operator's `Authorization`.
    pub fn authorization() -> String {
        format!("Bearer {}", signed(&claims(super::cluster::TENANT, "operator")))
    }

    pub fn caller(&self) -> Caller {
        Caller::new(self.client.clone(), self.address, Authority::Operator)
    }

    /// What a scrape gives.
    pub async fn scrape(&self) -> String {
        self.caller().scrape(self.metrics).await
    }

    /// Starts it with those arguments.
    pub fn spawn(&self, arguments: &[&str]) -> Process {
        self.spawn_command(self.command(arguments))
    }

    /// The same of a command that was changed.
    pub fn spawn_command(&self, command: Command) -> Process {
        Process::spawn(command, &self.log())
    }

    /// Starts it on a terminal that is gone: nobody reads what it prints, or ever will.
    pub fn spawn_unread(&self, arguments: &[&str]) -> Process {
        Process::spawn_unread(self.command(arguments), &self.log())
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Starts it and waits until it is ready.
    pub async fn serve(&self) -> Process {
        self.start(&["serve"]).await
    }

    /// The same, with those arguments.
    pub async fn start(&self, arguments: &[&str]) -> Process {
        self.until_ready(self.spawn(arguments)).await
    }

    /// Waits until it is ready.
    pub async fn until_ready(&self, mut process: Process) -> Process {
        process.until_listening(self.address.port()).await;
        self.caller().get("/ready").await.expect(200);
        process
    }
}

/// Every byte of the files in a folder, for what must stand in none of them.
pub fn contents(folder: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    files.flat_map(|file| std::fs::read(file).unwrap()).collect()
}
