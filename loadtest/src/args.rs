//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::host::meter::Groups;
use crate::scenario::expiry::Expiry;
use crate::scenario::fanout::Fanout;
use crate::scenario::hotpath::Hotpath;
use crate::scenario::idle::Idle;
use crate::scenario::many::Many;
use crate::scenario::soak::Soak;
use crate::scenario::storm::Storm;
use crate::scenario::up_to;

/// The group of processes without a name.
const SERVER: &str = "server";

/// Puts a `SyncKairos` deployment under load and says how fast it is.
///
/// Without --to it starts the service by itself, two instances of it, and ends them after the run.
#[derive(Debug, Parser)]
#[command(name = "loadtest")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Commands as fast as the answers come, or with --rate by the clock
    Hotpath(Run<Hotpath>),
    /// One session with many subscribers, switched on one instance after the other
    Fanout(Run<Fanout>),
    /// Many sessions with a few subscribers each
    Many(Run<Many>),
    /// Connections that only wait: memory and processor time of each
    ///
    /// Give it servers that were just started: memory freed by earlier load would hide the cost.
    Idle(Run<Idle>),
    /// Many clocks run out, evenly over some seconds: how late each is announced
    Expiry(Run<Expiry>),
    /// All subscribers lose their streams, miss a change, and reconnect at once from their last position
    Storm(Run<Storm>),
    /// A mixed load for long: whether memory grows
    ///
    /// Subscribers on every transport, some of which reconnect; short sessions that run out and are deleted.
    Soak(Run<Soak>),
    /// Compares two files of runs, figure by figure
    Compare { a: PathBuf, b: PathBuf },
    /// Holds subscribers for another process of this program
    #[command(hide = true)]
    Drive,
}

// A scenario, and the arguments of all scenarios. No doc comment: the help of each would show it.
#[derive(Debug, Args)]
pub struct Run<S: Args> {
    #[command(flatten)]
    pub scenario: S,
    #[command(flatten)]
    pub deployment: Deployment,
    #[command(flatten)]
    pub driving: Driving,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Deployment")]
pub struct Deployment {
    /// An instance, such as `http://127.0.0.1:8001`; repeat for several
    #[arg(long = "to", value_name = "URL")]
    pub to: Vec<String>,
    /// Processes whose time and memory are reported; other processes than servers with a name: redis=4711
    #[arg(long = "pid", value_name = "[NAME=]PID", value_parser = named_pid)]
    pub pids: Vec<(String, u32)>,
    /// An operator's token
    #[arg(long)]
    pub token: Option<String>,
    /// The deployment's key, to sign a token with
    #[arg(long, conflicts_with = "token")]
    pub jwt_secret: Option<String>,
    /// The tenant of a signed token
    #[arg(long, default_value = "loadtest")]
    pub tenant: String,
    /// The service to start without --to; by default the one that was built here
    #[arg(long, conflicts_with = "to")]
    pub program: Option<PathBuf>,
    /// Instances to start, with a Redis and a PostgreSQL; a single one is embedded
    #[arg(long, default_value = "2", value_parser = up_to::<16>, conflicts_with = "to")]
    pub instances: usize,
    /// Allows load on other machines
    #[arg(long)]
    pub allow_remote: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Driving")]
pub struct Driving {
    /// Processes that hold the subscribers, if one may not open enough files
    #[arg(long, default_value = "1", value_parser = up_to::<64>)]
    pub drivers: usize,
    /// Addresses that each of them connects from; 0: the system chooses
    #[arg(long, default_value = "4", value_parser = clap::value_parser!(u8).range(0..=250))]
    pub sources: u8,
    /// Streams that open at a time, except in storms
    #[arg(long, default_value = "64", value_parser = up_to::<100_000>)]
    pub at_once: usize,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Appends the run to this file, as a line of JSON
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Prints the JSON instead of the table
    #[arg(long)]
    pub json: bool,
    /// A label for the run
    #[arg(long, default_value = "")]
    pub label: String,
}

impl Deployment {
    pub fn groups(&self) -> Groups {
        let mut groups = Groups::new();
        for (name, pid) in &self.pids {
            groups.entry(name.clone()).or_default().push(*pid);
        }
        groups
    }

    /// The given token, or one signed with the given key.
    pub fn token(&self) -> Option<String> {
        match &self.jwt_secret {
            Some(secret) => Some(crate::token::sign(secret, &self.tenant)),
            None => self.token.clone(),
        }
    }

    /// The groups of processes started here.
    pub fn started(pids: Vec<u32>) -> Groups {
        Groups::from([(SERVER.to_owned(), pids)])
    }
}

fn named_pid(text: &str) -> Result<(String, u32), String> {
    let (name, pid) = text.split_once('=').unwrap_or((SERVER, text));
    let pid = pid.parse().map_err(|_| "must be a process id, or a name, = and a process id".to_owned())?;
    Ok((name.to_owned(), pid))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn processes_have_names() {
        let line = "loadtest many --to http://127.0.0.1:1 --pid 5 --pid redis=6 --pid 7";
        let Command::Many(run) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!("{line}") };
        let groups = run.deployment.groups();
        assert_eq!((&groups["server"], &groups["redis"]), (&vec![5, 7], &vec![6]));
        assert!(named_pid("x=y").is_err());
    }
}
