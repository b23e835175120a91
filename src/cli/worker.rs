//! `worker`: brings what instances committed to the ledger, until a signal stops it.

use clap::{Arg, ArgAction, Command};

use super::Failure;
use super::serve::TAKES_OVER;
use super::signals::stop_on_signals;
use crate::config::{Config, OthersLedger};
use crate::server;
use crate::shutdown::Shutdown;

pub(super) fn command() -> Command {
    let (name, help) = TAKES_OVER;
    Command::new("worker")
        .about("Only drains the audit: brings what instances committed to the ledger")
        .arg(Arg::new(name).long(name).action(ArgAction::SetTrue).help(help))
}

pub(super) async fn run(takes_over: bool, config: Config) -> Result<(), Failure> {
    let config = Config { others_ledger: OthersLedger::of(takes_over), ..config };
    let shutdown = Shutdown::new();
    stop_on_signals(&shutdown)?;
    Ok(server::work(config, shutdown).await?)
}
