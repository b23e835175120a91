//! `with-postgres COMMAND...`: runs a command beside a PostgreSQL server of its own, and ends as the command does.
//!
//! The command's `SYNCKAIROS_TEST_POSTGRES_URL` names the server. Each test would start one otherwise, which takes
//! longer than most tests.

use std::process::{Command, ExitCode};

use testkit::postgres::Server;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!("usage: with-postgres COMMAND...");
        return ExitCode::from(2);
    };
    let server = Server::own(&["max_connections=200"]).await;
    let mut command = Command::new(&program);
    command.args(words).env("SYNCKAIROS_TEST_POSTGRES_URL", server.url("postgres"));
    match command.status() {
        // A command that was killed by a signal has no code.
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => {
            eprintln!("with-postgres: failed to run {}: {error}", program.display());
            ExitCode::FAILURE
        }
    }
}
