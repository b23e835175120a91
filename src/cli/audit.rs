//! `audit dead list, retry, drop`: the entries that the ledger refused for good.

mod stakes;

use std::io::{Write as _, stdout};

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};

use self::stakes::Stakes;
use super::Failure;
use crate::audit::dead_letters;
use crate::audit::dead_letters::{Retried, Selection};
use crate::config::{Config, Database};
use crate::domain::chain::Digest;
use crate::ledger;
use crate::ledger::{DeadLetter, Ledger};
use crate::server;
use crate::telemetry::outage::chain;
use crate::wire::instant::Instant;

/// What is to be done with which.
#[derive(Debug)]
pub(super) struct Order {
    act: Act,
    which: Selection,
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
            _ => Self { act: Act::List, which: Selection::All },
        }
    }
}

fn which(matches: &ArgMatches) -> Selection {
    let digests = matches.get_many::<Digest>("digest").map(|digests| digests.copied().collect());
    digests.map_or(Selection::All, Selection::Of)
}

pub(super) fn command() -> Command {
    let dead = Command::new("dead").about("Entries that the ledger refused for good").subcommand_required(true);
    let list = Command::new("list")
        .about("Shows them: digest, session, position, since when, why; then what is at stake, by session");
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
    // Opening a file makes it: whoever asks in the wrong place would read that nothing is dead.
    if matches!(config.database, Database::Sqlite(_)) && !config.ledger_file().exists() {
        return Err(Failure::NoLedger(config.ledger_file()));
    }
    let ledger = server::ledger(config).await?;
    let done = carry_out(order, &*ledger).await;
    ledger.close().await;
    done
}

async fn carry_out(order: &Order, ledger: &dyn Ledger) -> Result<(), Failure> {
    let (mut refused, mut stakes) = (0, Stakes::default());
    let met = dead_letters::each(ledger, &order.which, async |letter| {
        let came_of_it = act(order.act, ledger, letter).await?;
        refused += usize::from(came_of_it.starts_with("refused"));
        stakes.add(letter);
        say(&line(letter, &came_of_it));
        Ok(())
    });
    let met = met.await?;
    if let Act::List = order.act {
        stakes.lines(ledger).await?.iter().for_each(|line| say(line));
    }
    match &order.which {
        Selection::Of(digests) if met < digests.len() => Err(Failure::NoSuchLetter(digests.len() - met)),
        _ if refused > 0 => Err(Failure::StillRefused(refused)),
        Selection::All if met == 0 => {
            say("There are no dead letters: the ledger took everything it was given.");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What came of it, in words.
async fn act(act: Act, ledger: &dyn Ledger, letter: &DeadLetter) -> Result<String, ledger::Error> {
    match act {
        Act::List => Ok(letter.reason.clone()),
        Act::Drop => dead_letters::drop(ledger, letter).await.map(|()| "dropped".to_owned()),
        Act::Retry => Ok(match dead_letters::retry(ledger, letter).await? {
            Retried::Recorded => "recorded".to_owned(),
            Retried::Forked => "recorded beside another at its position".to_owned(),
            Retried::Superseded => "recorded, but the session had gone on without it".to_owned(),
            Retried::Refused(why) => format!("refused again: {}", chain(&why)),
        }),
    }
}

/// One line each; a reason never breaks it.
fn line(letter: &DeadLetter, what: &str) -> String {
    let DeadLetter { entry, buried_at, .. } = letter;
    let (digest, position, since) = (entry.link.digest(), entry.link.position, Instant(*buried_at));
    format!("{digest} {} {position} {since} {}", entry.key, what.escape_debug())
}

/// Nobody may be reading, which is no reason not to do as told.
fn say(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}
