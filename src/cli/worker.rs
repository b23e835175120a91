//! `worker`: brings what instances committed to the ledger, until a signal stops it.

use clap::Command;

use super::Failure;
use super::serve::stop_on_signals;
use crate::config::Config;
use crate::server;
use crate::shutdown::Shutdown;

pub(super) fn command() -> Command {
    Command::new("worker").about("Only drains the audit: brings what instances committed to the ledger")
}

pub(super) async fn run(config: Config) -> Result<(), Failure> {
    let shutdown = Shutdown::new();
    stop_on_signals(&shutdown)?;
    Ok(server::work(config, shutdown).await?)
}
