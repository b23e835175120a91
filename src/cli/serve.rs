//! `serve`: the service, until a signal stops it; or with `--check`, what it would be.

use std::io::{Write as _, stdout};

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::Failure;
use super::signals::stop_on_signals;
use crate::config::{Audit, Config, OthersLedger, Resolved};
use crate::server;
use crate::shutdown::Shutdown;

/// What `serve` was asked for.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The flags that were given.
    given: Vec<&'static str>,
}

/// The same for whoever writes to the ledger.
pub(super) const TAKES_OVER: (&str, &str) =
    ("takes-over", "Take the ledger from the deployment that writes to it, which then stops answering; say it once");

/// Each flag, and what it is for.
const FLAGS: [(&str, &str); 6] = [
    ("check", "Only validate the settings and say what they resolve to"),
    ("migrate", "First bring the schema of a ledger in PostgreSQL up"),
    ("single-instance", "Nobody else uses that Redis, so the ledger may be SQLite"),
    ("allow-eviction", "Serve also from a Redis that may throw sessions away when it is full"),
    (TAKES_OVER.0, TAKES_OVER.1),
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
            others_ledger: OthersLedger::of(self.says(TAKES_OVER.0)),
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
