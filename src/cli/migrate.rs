//! `migrate`: migrates the ledger's schema, and nothing else.

use clap::Command;

use super::Failure;
use crate::config::Config;
use crate::server;

pub(super) fn command() -> Command {
    Command::new("migrate")
        .about("Migrates the ledger's schema (serve does it too if the ledger is SQLite, or with --migrate)")
}

pub(super) async fn run(config: Config) -> Result<(), Failure> {
    Ok(server::migrate(config).await?)
}
