//! `audit dead list, retry, drop`: the entries that the ledger refused for good.

mod stakes;

use std::io::{Write as _, stdout};

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};

use self::stakes::Stakes;
use super::Failure;
use crate::audit::dead_letters;
use crate::audit::dead_letters::{RetryOutcome, Selection};
use crate::config::{Config, Database};
use crate::domain::chain::Digest;
use crate::ledger;
use crate::ledger::{DeadLetter, Ledger};
use crate::server;
use crate::telemetry::outage::chain;
use crate::wire::instant::Instant;

/// The action, and the entries it is for.
#[derive(Debug)]
pub(super) struct Args {
    action: Action,
    selection: Selection,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    List,
    Retry,
    Drop,
}

impl Args {
    pub(super) fn read(matches: &ArgMatches) -> Self {
        let dead = matches.subcommand_matches("dead").and_then(ArgMatches::subcommand);
        match dead {
            Some(("retry", matches)) => Self { action: Action::Retry, selection: selection(matches) },
            Some(("drop", matches)) => Self { action: Action::Drop, selection: selection(matches) },
            _ => Self { action: Action::List, selection: Selection::All },
        }
    }
}

fn selection(matches: &ArgMatches) -> Selection {
    let digests = matches.get_many::<Digest>("digest").map(|digests| digests.copied().collect());
    digests.map_or(Selection::All, Selection::Of)
}

pub(super) fn command() -> Command {
    let dead = Command::new("dead").about("Entries that the ledger refused for good").subcommand_required(true);
    let list = Command::new("list")
        .about("Lists them: digest, session, position, since when, why; then the consequences of a drop, by session");
    let retry = selecting("retry", "Offers them to the ledger again; removes those it accepts");
    let drop = selecting("drop", "Deletes them for good");
    Command::new("audit")
        .about("Manages the dead letters of the audit")
        .subcommand_required(true)
        .subcommand(dead.subcommands([list, retry, drop]))
}

fn selecting(name: &'static str, about: &'static str) -> Command {
    let digest = Arg::new("digest").value_name("DIGEST").action(ArgAction::Append);
    let all = Arg::new("all").long("all").action(ArgAction::SetTrue);
    Command::new(name)
        .about(about)
        .arg(digest.value_parser(|text: &str| text.parse::<Digest>()).help("A digest of `list`"))
        .arg(all.help("All of them"))
        .group(ArgGroup::new("which").args(["digest", "all"]).required(true))
}

pub(super) async fn run(args: &Args, config: &Config) -> Result<(), Failure> {
    // Opening a file creates it: in the wrong folder the list would be empty.
    if matches!(config.database, Database::Sqlite(_)) && !config.ledger_file().exists() {
        return Err(Failure::NoLedger(config.ledger_file()));
    }
    let ledger = server::ledger(config).await?;
    let done = execute(args, &*ledger).await;
    ledger.close().await;
    done
}

async fn execute(args: &Args, ledger: &dyn Ledger) -> Result<(), Failure> {
    let (mut refused, mut stakes) = (0, Stakes::default());
    let found = dead_letters::each(ledger, &args.selection, async |letter| {
        let outcome = apply(args.action, ledger, letter).await?;
        refused += usize::from(outcome.starts_with("refused"));
        stakes.add(letter);
        print_line(&line(letter, &outcome));
        Ok(())
    });
    let found = found.await?;
    if let Action::List = args.action {
        stakes.lines(ledger).await?.iter().for_each(|line| print_line(line));
    }
    match &args.selection {
        Selection::Of(digests) if found < digests.len() => Err(Failure::NoSuchLetter(digests.len() - found)),
        _ if refused > 0 => Err(Failure::StillRefused(refused)),
        Selection::All if found == 0 => {
            print_line("There are no dead letters: the ledger took everything it was given.");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Applies `action`; returns its outcome in words.
async fn apply(action: Action, ledger: &dyn Ledger, letter: &DeadLetter) -> Result<String, ledger::Error> {
    match action {
        Action::List => Ok(letter.reason.clone()),
        Action::Drop => dead_letters::drop(ledger, letter).await.map(|()| "dropped".to_owned()),
        Action::Retry => Ok(match dead_letters::retry(ledger, letter).await? {
            RetryOutcome::Recorded => "recorded".to_owned(),
            RetryOutcome::Forked => "recorded beside another at its position".to_owned(),
            RetryOutcome::Superseded => "recorded, but the session had gone on without it".to_owned(),
            RetryOutcome::Refused(why) => format!("refused again: {}", chain(&why)),
        }),
    }
}

/// One line for each letter; a reason never breaks it.
fn line(letter: &DeadLetter, outcome: &str) -> String {
    let DeadLetter { entry, added_at, .. } = letter;
    let (digest, position, since) = (entry.link.digest(), entry.link.position, Instant(*added_at));
    format!("{digest} {} {position} {since} {}", entry.key, outcome.escape_debug())
}

/// A closed standard output does not stop the action.
fn print_line(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}
