//! Runs of the program, and the service they put under load.
//!
//! The service is the binary that the same build made: it stands beside the program, or where
//! `SYNCKAIROS_TEST_PROGRAM` says. Without it these tests fail.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use testkit::ports::{free_address, is_listening};

pub const SECRET: &str = "the tests' own key, of more than thirty-two bytes";

/// The service under load.
#[expect(clippy::disallowed_methods, reason = "a test has no other way to be told")]
pub fn program() -> PathBuf {
    let beside = || Path::new(env!("CARGO_BIN_EXE_loadtest")).with_file_name("synckairos");
    let program = std::env::var_os("SYNCKAIROS_TEST_PROGRAM").map_or_else(beside, PathBuf::from);
    assert!(program.is_file(), "{} is not there: cargo build, or name it", program.display());
    program
}

pub fn loadtest(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(arguments.split_whitespace()).stdin(Stdio::null());
    command
}

pub fn ended(mut command: Command) -> Output {
    command.output().unwrap()
}

/// The report of a successful run.
pub fn found(command: Command) -> Value {
    let output = ended(command);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["errors"], serde_json::json!({}), "{report:#}");
    report
}

/// A run against a service that it starts by itself, embedded.
pub fn run(arguments: &str) -> Value {
    let mut command = loadtest(arguments);
    command.args(["--instances", "1", "--json"]).arg("--program").arg(program());
    found(command)
}

pub fn figure(report: &Value, name: &str) -> f64 {
    report["figures"][name].as_f64().unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

/// Figures that are whole numbers.
pub fn count(report: &Value, name: &str) -> String {
    format!("{}", figure(report, name))
}

/// Asserts that every frame was delivered once.
pub fn assert_all_delivered(report: &Value) {
    assert_eq!(count(report, "delivered"), count(report, "expected"));
    assert!(figure(report, "delivered") > 0.0, "{report:#}");
    assert_eq!((count(report, "skipped"), count(report, "repeated")), ("0".to_owned(), "0".to_owned()));
}

/// A service that a test starts, and ends.
pub struct Service {
    pub child: Child,
    pub address: SocketAddr,
    pub folder: tempfile::TempDir,
}

impl Service {
    pub fn start() -> Self {
        let (address, metrics, folder) = (free_address(), free_address(), tempfile::tempdir().unwrap());
        let mut command = Command::new(program());
        command.arg("serve").env_clear().env("DATA_DIR", folder.path()).env("JWT_SECRET", SECRET);
        command.env("LISTEN_ADDR", address.to_string()).env("METRICS_ADDR", metrics.to_string());
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let service = Self { child, address, folder };
        while !is_listening(service.child.id(), address.port()) {
            std::thread::sleep(Duration::from_millis(10));
        }
        service
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
