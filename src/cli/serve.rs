//! `serve`: the service, until a signal stops it; or with `--check`, what it would be.

use std::io::{self, Write as _, stdout};

use clap::{Arg, ArgAction, ArgMatches, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;
use crate::config::{Config, Resolved};
use crate::server;
use crate::shutdown::Shutdown;

/// What `serve` was asked for.
#[derive(Debug, Default)]
pub(super) struct Order {
    check: bool,
    migrate: bool,
}

impl Order {
    pub(super) fn read(matches: &ArgMatches) -> Self {
        Self { check: matches.get_flag("check"), migrate: matches.get_flag("migrate") }
    }
}

pub(super) fn command() -> Command {
    let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    Command::new("serve")
        .about("Serves (the default)")
        .arg(flag("check").help("Only validate the settings and say what they resolve to"))
        .arg(flag("migrate").help("First bring the schema of a ledger in PostgreSQL up"))
}

pub(super) async fn run(order: &Order, settings: Resolved) -> Result<(), Failure> {
    settings.config.check()?;
    if order.check {
        stdout().write_all(settings.report().as_bytes())?;
        return Ok(());
    }
    warn_if_open(&settings.config);
    let shutdown = Shutdown::new();
    tokio::spawn(stop_on_signals(Signals::new()?, shutdown.clone()));
    let config = Config { migrate: order.migrate, ..settings.config };
    Ok(server::serve(config, shutdown).await?)
}

fn warn_if_open(config: &Config) {
    if config.is_open() {
        tracing::warn!("JWT_SECRET is not set: every caller is operator of tenant local, on loopback only");
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The first signal asks everyone to finish, the second does not wait for them.
async fn stop_on_signals(mut signals: Signals, shutdown: Shutdown) {
    signals.next().await;
    tracing::info!("stopping; a second signal stops at once");
    shutdown.begin();
    signals.next().await;
    shutdown.abort();
}
