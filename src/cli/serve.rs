//! `serve`: the service, until a signal stops it; or with `--check`, its settings.

use std::io::{Write as _, stdout};

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::Failure;
use super::signals::stop_on_signals;
use crate::config::{Audit, Config, ForeignLedger, Resolved};
use crate::server;
use crate::shutdown::Shutdown;

/// The flags of `serve`.
#[derive(Debug, Default)]
pub(super) struct Args {
    flags: Vec<&'static str>,
}

/// A flag of both commands that write to the ledger.
pub(super) const TAKE_OVER_FLAG: (&str, &str) =
    ("takes-over", "Take the ledger from the deployment that writes to it, which then stops answering; pass it once");

/// Each flag and its help.
const FLAGS: [(&str, &str); 6] = [
    ("check", "Only validate the settings and print them"),
    ("migrate", "First migrate a ledger in PostgreSQL"),
    ("single-instance", "This is the only instance on that Redis, so the ledger may be SQLite"),
    ("allow-eviction", "Serve even from a Redis that may evict sessions when it is full"),
    (TAKE_OVER_FLAG.0, TAKE_OVER_FLAG.1),
    ("no-audit", "Leave the draining of the outbox to `synckairos worker`"),
];

impl Args {
    pub(super) fn read(matches: &ArgMatches) -> Self {
        let flags = FLAGS.iter().map(|(name, _)| *name).filter(|name| matches.get_flag(name)).collect();
        Self { flags }
    }

    fn has_flag(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }

    fn apply(&self, config: Config) -> Config {
        Config {
            migrate: self.has_flag("migrate"),
            single_instance: self.has_flag("single-instance"),
            foreign_ledger: ForeignLedger::of(self.has_flag(TAKE_OVER_FLAG.0)),
            allow_eviction: self.has_flag("allow-eviction"),
            audit: if self.has_flag("no-audit") { Audit::ByWorkers } else { Audit::InProcess },
            ..config
        }
    }
}

pub(super) fn command() -> Command {
    let flag =
        |(name, help): (&'static str, &'static str)| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    Command::new("serve").about("Serves (the default)").args(FLAGS.map(flag))
}

pub(super) async fn run(args: &Args, mut settings: Resolved) -> Result<(), Failure> {
    settings.config = args.apply(settings.config);
    settings.config.check()?;
    server::check_files(&settings.config)?;
    if args.has_flag("check") {
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
