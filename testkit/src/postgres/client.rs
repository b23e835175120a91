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
    psql(url, statements.iter().map(String::as_str)).map(drop)
}

/// The answer to a question, a row a line.
///
/// # Errors
/// With what `psql` says.
pub fn query(url: &str, question: &str) -> Result<String, String> {
    psql(url, [question])
}

fn psql<'a>(url: &str, statements: impl IntoIterator<Item = &'a str>) -> Result<String, String> {
    let mut command = Command::new(binary("psql"));
    command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]).stdin(Stdio::null());
    command.args(["--set", "ON_ERROR_STOP=1", "--dbname", url]);
    command.args(statements.into_iter().flat_map(|statement| ["--command", statement]));
    let done = command.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
}
