//! `worker`: records what instances committed in the ledger, until a signal stops it.

use clap::{Arg, ArgAction, Command};

use super::Failure;
use super::serve::TAKE_OVER_FLAG;
use super::signals::stop_on_signals;
use crate::config::{Config, ForeignLedger};
use crate::server;
use crate::shutdown::Shutdown;

pub(super) fn command() -> Command {
    let (name, help) = TAKE_OVER_FLAG;
    Command::new("worker")
        .about("Only drains the audit: records what instances committed in the ledger")
        .arg(Arg::new(name).long(name).action(ArgAction::SetTrue).help(help))
}

pub(super) async fn run(takes_over: bool, config: Config) -> Result<(), Failure> {
    let config = Config { foreign_ledger: ForeignLedger::of(takes_over), ..config };
    let shutdown = Shutdown::new();
    stop_on_signals(&shutdown)?;
    Ok(server::work(config, shutdown).await?)
}
