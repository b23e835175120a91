//! PostgreSQL's own clients, for what needs no connection kept.

use std::process::{Command, Stdio};

use super::installation::binary;

/// Whether the server at that address accepts connections.
pub fn is_ready(url: &str) -> bool {
    let mut command = Command::new(binary("pg_isready"));
    command.args(["--quiet", "--dbname", url]).stdin(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Executes statements one by one, each in a transaction of its own.
///
/// # Errors
/// With what `psql` says of the first that fails.
pub fn execute(url: &str, statements: &[String]) -> Result<(), String> {
    let mut command = Command::new(binary("psql"));
    command.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", url]).stdin(Stdio::null());
    command.args(statements.iter().flat_map(|statement| ["--command", statement]));
    let done = command.output().map_err(|error| error.to_string())?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}
