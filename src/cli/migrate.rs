//! `migrate`: brings the ledger's schema up, and nothing else.

use clap::Command;

use super::Failure;
use crate::config::Config;
use crate::server;

pub(super) fn command() -> Command {
    Command::new("migrate")
        .about("Brings the ledger's schema up (serve does it too where the ledger is SQLite, or with --migrate)")
}

pub(super) async fn run(config: Config) -> Result<(), Failure> {
    Ok(server::migrate(config).await?)
}
