//! `audit dead list, retry, drop`: the entries that the ledger refused for good.

use std::io::{Write as _, stdout};

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};

use super::Failure;
use crate::audit::dead;
use crate::audit::dead::{Retried, Which};
use crate::config::Config;
use crate::domain::chain::Digest;
use crate::ledger;
use crate::ledger::{DeadLetter, Ledger};
use crate::server;
use crate::wire::instant::Instant;

/// What is to be done with which.
#[derive(Debug)]
pub(super) struct Order {
    act: Act,
    which: Which,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    List,
    Retry,
    Drop,
}

impl Order {
    pub(super) fn read(matches: &ArgMatches) -> Self {
        let dead = matches.subcommand_matches("dead").and_then(ArgMatches::subcommand);
        match dead {
            Some(("retry", matches)) => Self { act: Act::Retry, which: which(matches) },
            Some(("drop", matches)) => Self { act: Act::Drop, which: which(matches) },
            _ => Self { act: Act::List, which: Which::All },
        }
    }
}

fn which(matches: &ArgMatches) -> Which {
    let digests = matches.get_many::<Digest>("digest").map(|digests| digests.copied().collect());
    digests.map_or(Which::All, Which::Of)
}

pub(super) fn command() -> Command {
    let dead = Command::new("dead").about("Entries that the ledger refused for good").subcommand_required(true);
    let list = Command::new("list").about("Shows them: digest, session, position, since when, why");
    let retry = choosing("retry", "Offers them to the ledger once more; what it takes is dead no longer");
    let drop = choosing("drop", "Forgets them: what they held is gone");
    Command::new("audit")
        .about("Looks after what the audit put aside")
        .subcommand_required(true)
        .subcommand(dead.subcommands([list, retry, drop]))
}

fn choosing(name: &'static str, about: &'static str) -> Command {
    let digest = Arg::new("digest").value_name("DIGEST").action(ArgAction::Append);
    let all = Arg::new("all").long("all").action(ArgAction::SetTrue);
    Command::new(name)
        .about(about)
        .arg(digest.value_parser(|text: &str| text.parse::<Digest>()).help("As `list` shows it"))
        .arg(all.help("Every one of them"))
        .group(ArgGroup::new("which").args(["digest", "all"]).required(true))
}

pub(super) async fn run(order: &Order, config: &Config) -> Result<(), Failure> {
    let ledger = server::ledger(config).await?;
    let done = carry_out(order, &*ledger).await;
    ledger.close().await;
    done
}

async fn carry_out(order: &Order, ledger: &dyn Ledger) -> Result<(), Failure> {
    let mut refused = 0;
    let met = dead::each(ledger, &order.which, async |letter| {
        let came_of_it = act(order.act, ledger, letter).await?;
        refused += usize::from(came_of_it.starts_with("refused"));
        tell(letter, &came_of_it);
        Ok(())
    });
    let met = met.await?;
    match &order.which {
        Which::Of(digests) if met < digests.len() => Err(Failure::NoSuchLetter(digests.len() - met)),
        _ if refused > 0 => Err(Failure::StillRefused(refused)),
        _ => Ok(()),
    }
}

/// What came of it, in words.
async fn act(act: Act, ledger: &dyn Ledger, letter: &DeadLetter) -> Result<String, ledger::Error> {
    match act {
        Act::List => Ok(letter.reason.clone()),
        Act::Drop => dead::drop(ledger, letter).await.map(|()| "dropped".to_owned()),
        Act::Retry => Ok(match dead::retry(ledger, letter).await? {
            Retried::Recorded => "recorded".to_owned(),
            Retried::Forked => "recorded beside another at its position".to_owned(),
            Retried::Refused(why) => format!("refused again: {}", super::failure::chain(&why)),
        }),
    }
}

/// One line each; a reason never breaks it.
fn tell(letter: &DeadLetter, what: &str) {
    let DeadLetter { entry, buried_at, .. } = letter;
    let (digest, position, since) = (entry.link.digest(), entry.link.position, Instant(*buried_at));
    // Nobody may be reading, which is no reason not to do as told.
    let _ = writeln!(stdout(), "{digest} {} {position} {since} {}", entry.key, what.escape_debug());
}
