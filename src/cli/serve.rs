//! `serve`: the service, until a signal stops it; or with `--check`, what it would be.

use std::io::{self, Write as _, stdout};

use clap::{Arg, ArgAction, ArgMatches, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;
use crate::config::{Audit, Config, Resolved};
use crate::server;
use crate::shutdown::Shutdown;

/// What `serve` was asked for.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The flags that were given.
    given: Vec<&'static str>,
}

/// Each flag, and what it is for.
const FLAGS: [(&str, &str); 5] = [
    ("check", "Only validate the settings and say what they resolve to"),
    ("migrate", "First bring the schema of a ledger in PostgreSQL up"),
    ("single-instance", "Nobody else uses that Redis, so the ledger may be SQLite"),
    ("allow-eviction", "Serve also from a Redis that may throw sessions away when it is full"),
    ("no-audit", "Leave it to `synckairos worker` to bring what was committed to the ledger"),
];

impl Order {
    pub(super) fn read(matches: &ArgMatches) -> Self {
        let given = FLAGS.iter().map(|(name, _)| *name).filter(|name| matches.get_flag(name)).collect();
        Self { given }
    }

    fn says(&self, flag: &str) -> bool {
        self.given.contains(&flag)
    }

    fn settle(&self, config: Config) -> Config {
        Config {
            migrate: self.says("migrate"),
            single_instance: self.says("single-instance"),
            allow_eviction: self.says("allow-eviction"),
            audit: if self.says("no-audit") { Audit::ByWorkers } else { Audit::Here },
            ..config
        }
    }
}

pub(super) fn command() -> Command {
    let flag =
        |(name, help): (&'static str, &'static str)| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    Command::new("serve").about("Serves (the default)").args(FLAGS.map(flag))
}

pub(super) async fn run(order: &Order, mut settings: Resolved) -> Result<(), Failure> {
    settings.config = order.settle(settings.config);
    settings.config.check()?;
    if order.says("check") {
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
