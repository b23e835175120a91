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
    single_instance: bool,
    allow_eviction: bool,
    no_audit: bool,
}

impl Order {
    pub(super) fn read(matches: &ArgMatches) -> Self {
        Self {
            check: matches.get_flag("check"),
            migrate: matches.get_flag("migrate"),
            single_instance: matches.get_flag("single-instance"),
            allow_eviction: matches.get_flag("allow-eviction"),
            no_audit: matches.get_flag("no-audit"),
        }
    }

    fn settle(&self, config: Config) -> Config {
        let Self { check: _, migrate, single_instance, allow_eviction, no_audit } = *self;
        Config { migrate, single_instance, allow_eviction, audits: !no_audit, ..config }
    }
}

pub(super) fn command() -> Command {
    let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    Command::new("serve")
        .about("Serves (the default)")
        .arg(flag("check").help("Only validate the settings and say what they resolve to"))
        .arg(flag("migrate").help("First bring the schema of a ledger in PostgreSQL up"))
        .arg(flag("single-instance").help("Nobody else uses that Redis, so the ledger may be SQLite"))
        .arg(flag("allow-eviction").help("Serve also from a Redis that may throw sessions away when it is full"))
        .arg(flag("no-audit").help("Leave it to `synckairos worker` to bring what was committed to the ledger"))
}

pub(super) async fn run(order: &Order, mut settings: Resolved) -> Result<(), Failure> {
    settings.config = order.settle(settings.config);
    settings.config.check()?;
    if order.check {
        stdout().write_all(settings.report().as_bytes())?;
        return Ok(());
    }
    warn_if_open(&settings.config);
    let shutdown = Shutdown::new();
    stop_on_signals(&shutdown)?;
    Ok(server::serve(settings.config, shutdown).await?)
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

/// From now on, the first signal asks everyone to finish, the second does not wait for them.
pub(super) fn stop_on_signals(shutdown: &Shutdown) -> io::Result<()> {
    tokio::spawn(follow(Signals::new()?, shutdown.clone()));
    Ok(())
}

async fn follow(mut signals: Signals, shutdown: Shutdown) {
    signals.next().await;
    tracing::info!("stopping; a second signal stops at once");
    shutdown.begin();
    signals.next().await;
    shutdown.abort();
}
