//! A whole deployment of several instances, started here by the project's own script.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::meter::Groups;
use crate::failure::Failure;
use crate::target::{Target, address};

const SCRIPT: &str = "scripts/cluster";

/// Instances, the Redis and the PostgreSQL they share; they end with it.
pub struct Cluster {
    script: PathBuf,
    program: PathBuf,
    folder: TempDir,
    told: HashMap<String, String>,
}

impl Cluster {
    /// Starts `instances` instances of the program.
    pub fn start(program: &Path, instances: usize) -> Result<Self, Failure> {
        let (script, program, folder) = (script()?, program.to_path_buf(), tempfile::tempdir()?);
        let mut cluster = Self { script, program, folder, told: HashMap::new() };
        cluster.ask(&["up", &instances.to_string()])?;
        cluster.told = told(&std::fs::read_to_string(cluster.state().join("env"))?);
        Ok(cluster)
    }

    pub fn target(&self) -> Result<Target, Failure> {
        let instances =
            self.words("SYNCKAIROS_URLS").map(|url| address(url, false)).collect::<Result<Vec<SocketAddr>, _>>()?;
        Ok(Target { instances, token: self.told.get("SYNCKAIROS_TOKEN").cloned() })
    }

    pub fn groups(&self) -> Groups {
        let names =
            [("server", "SYNCKAIROS_PIDS"), ("redis", "SYNCKAIROS_REDIS_PID"), ("postgres", "SYNCKAIROS_POSTGRES_PID")];
        let pids = |told| self.words(told).filter_map(|pid| pid.parse().ok()).collect();
        names.into_iter().map(|(name, told)| (name.to_owned(), pids(told))).collect()
    }

    fn words(&self, name: &str) -> impl Iterator<Item = &str> {
        self.told.get(name).map(String::as_str).unwrap_or_default().split(' ').filter(|word| !word.is_empty())
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("cluster")
    }

    fn ask(&self, what: &[&str]) -> Result<(), Failure> {
        let mut command = Command::new(&self.script);
        command.args(what).arg("--state").arg(self.state()).stdin(Stdio::null());
        command.env("SYNCKAIROS_PROGRAM", &self.program);
        let done = command.output()?;
        if done.status.success() {
            return Ok(());
        }
        Err(Failure::Local(String::from_utf8_lossy(&done.stderr).into_owned()))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The script reports processes that it could not end.
        let _ = self.ask(&["down"]);
    }
}

/// Here, or above the program that runs.
fn script() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let above = own.ancestors().map(Path::to_path_buf).chain([std::env::current_dir()?]);
    let found = above.map(|folder| folder.join(SCRIPT)).find(|script| script.is_file());
    found
        .ok_or_else(|| Failure::Usage(format!("several instances are started by {SCRIPT} of a checkout; run it there")))
}

/// `export NAME='value'`, line by line.
fn told(env: &str) -> HashMap<String, String> {
    let line = |line: &str| {
        let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
        Some((name.to_owned(), value.trim_matches('\'').to_owned()))
    };
    env.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_script_leaves_is_read() {
        let told = told("# a comment\nexport SYNCKAIROS_PIDS='1 2'\nexport SYNCKAIROS_WORKER_PID=''\n");
        assert_eq!(told["SYNCKAIROS_PIDS"], "1 2");
        assert_eq!((told["SYNCKAIROS_WORKER_PID"].as_str(), told.len()), ("", 2));
    }
}
