//! What clients were told of their commands, against what became of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use synckairos::domain::position::Position;
use synckairos::domain::session::command::{Command, Refused};
use synckairos::domain::session::event::Step;
use synckairos::domain::session::{Session, Status};
use synckairos::domain::time::Timestamp;

use super::lines::Line;
use super::timeline::Version;
use super::{Case, Complaint};
use crate::simulation::record::{Event, Reply, Try, Wish};

/// A command, by all its tries.
#[derive(Default)]
struct CommandTries<'a> {
    /// In the order they were answered.
    tries: Vec<(Timestamp, &'a Try)>,
    made: Vec<Version<'a>>,
}

impl<'a> Case<'a> {
    pub fn commands(&self, line: &Line<'_>) -> Result<(), Complaint> {
        let mut asked = BTreeMap::<Arc<str>, CommandTries<'a>>::new();
        for (at, event) in &self.events {
            if let Event::Tried(tried) = event {
                asked.entry(Arc::clone(&tried.subject)).or_default().tries.push((*at, tried));
            }
        }
        for version in &self.timeline.versions {
            if let Some(subject) = version.stored.subject() {
                asked.entry(subject.into()).or_default().made.push(*version);
            }
        }
        asked.iter().try_for_each(|(subject, asked)| self.command(subject, asked, line))
    }

    fn command(&self, subject: &str, asked: &CommandTries<'_>, line: &Line<'_>) -> Result<(), Complaint> {
        let lasting = asked.made.iter().filter(|made| line.has(&made.stored.entry.link.digest()));
        let lasting: Vec<_> = lasting.map(|made| made.stored.position()).collect();
        if lasting.len() > 1 {
            return self.complain(format!("{subject} was done more than once: {lasting:?}"));
        }
        let is_open = asked
            .tries
            .iter()
            .any(|(_, tried)| matches!(tried.said, Reply::Unknown | Reply::Done { .. } | Reply::Gone));
        if let (false, Some(made)) = (is_open, asked.made.first()) {
            return self.complain(format!("{subject} was declined, and done as {}", made.stored.position()));
        }
        asked.made.iter().try_for_each(|made| self.follows_the_rules(made, asked))?;
        asked.tries.iter().try_for_each(|(ended, tried)| self.answer(tried, *ended, asked, &lasting, line))
    }

    fn answer(
        &self,
        tried: &Try,
        ended: Timestamp,
        asked: &CommandTries<'_>,
        lasting: &[Position],
        line: &Line<'_>,
    ) -> Result<(), Complaint> {
        let subject = &tried.subject;
        self.is_as_it_stood(tried, ended)?;
        match &tried.said {
            Reply::Done { at, replayed } => self.done(tried, replayed.unwrap_or(*at), asked),
            Reply::Refused(..) | Reply::Stale(_) if was_done_before(tried, asked, lasting) => {
                self.complain(format!("{subject} was done, and then declined under the same key"))
            }
            Reply::Refused(why, at) => {
                self.stood(tried, *at, ended)?;
                self.refused(tried, *why, *at)
            }
            Reply::Stale(at) if tried.expected == Some(at.version) => {
                self.complain(format!("{subject} named version {}, and was told that it is another", at.version))
            }
            Reply::Stale(at) | Reply::Exists(at) | Reply::Stands(at) => self.stood(tried, *at, ended),
            Reply::Missing => self.missing(tried, ended),
            Reply::Gone => self.gone(tried, line),
            Reply::Odd(what) => self.complain(format!("{subject} was answered {what}")),
            Reply::Away(_) | Reply::Unknown => Ok(()),
        }
    }

    /// What an answer shows is what stood there, and it stood there meanwhile.
    fn is_as_it_stood(&self, tried: &Try, ended: Timestamp) -> Result<(), Complaint> {
        let Some(shown) = &tried.shown else { return Ok(()) };
        match self.timeline.states.get(&shown.position) {
            Some(stood) if stood == shown => self.stood(tried, shown.position, ended),
            // That it was told what was never stored is said elsewhere.
            None if matches!(tried.said, Reply::Done { .. }) => Ok(()),
            _ => self.complain(format!("{} was shown a {} that never stood", tried.subject, shown.position)),
        }
    }

    /// Done is done: it was stored there, and is still, unless the store lost it.
    fn done(&self, tried: &Try, at: Position, asked: &CommandTries<'_>) -> Result<(), Complaint> {
        let subject = &tried.subject;
        if asked.made.iter().any(|made| made.stored.position() == at) {
            // That it lasts is a matter of the line.
            return Ok(());
        }
        self.complain(format!("{subject} was told that it was done as {at}, which was never stored"))
    }

    /// A deletion that was answered is in the ledger. Another session may follow it under the same id.
    fn gone(&self, tried: &Try, line: &Line<'_>) -> Result<(), Complaint> {
        let mut stored = line.entries.iter().filter_map(|entry| Session::from_stored(entry.body.as_ref()?).ok());
        if stored.any(|session| session.status == Status::Deleted) {
            return Ok(());
        }
        self.complain(format!("{} was told that it is deleted, and it is not", tried.subject))
    }

    /// What was stored is what the rules make of one of its tries.
    fn follows_the_rules(&self, made: &Version<'_>, asked: &CommandTries<'_>) -> Result<(), Complaint> {
        let Some(base) = made.stored.base.and_then(|base| self.timeline.states.get(&base)) else { return Ok(()) };
        let made_by = |(_, tried): &(Timestamp, &Try)| {
            let command = match &tried.wish {
                Wish::Command(command) => command,
                Wish::Delete => &Command::Delete,
                Wish::Create | Wish::Revert(_) | Wish::Look => return true,
            };
            tried.arrived.is_some_and(|arrived| match base.next(command, arrived) {
                Step::Done(change) => is_same(&change.session, &made.stored.session),
                Step::Refused(_) | Step::Due(..) => false,
            })
        };
        // A try of which nobody heard any more is not in the record.
        if asked.tries.iter().any(made_by) || asked.tries.iter().all(|(_, tried)| tried.arrived.is_none()) {
            return Ok(());
        }
        let (made, base) = (made.stored.position(), base.position);
        self.complain(format!("{made} is not what the rules make of {base}"))
    }

    /// A refusal rests on where the session stood while it was asked.
    fn stood(&self, tried: &Try, at: Position, ended: Timestamp) -> Result<(), Complaint> {
        // What is deleted stays so, whatever the store does.
        let is_deleted = self.timeline.states.get(&at).is_some_and(|session| session.status == Status::Deleted);
        if is_deleted || self.timeline.stood(at, tried.began, ended) {
            return Ok(());
        }
        self.complain(format!("{} was shown {at}, where it did not stand meanwhile", tried.subject))
    }

    /// The rules say the same of that state.
    fn refused(&self, tried: &Try, why: Refused, at: Position) -> Result<(), Complaint> {
        let (Wish::Command(command), Some(arrived)) = (&tried.wish, tried.arrived) else { return Ok(()) };
        let session = &self.timeline.states[&at];
        match session.next(command, arrived) {
            Step::Refused(same) if same == why => Ok(()),
            // It was refused because of what had to happen first, and that was written.
            _ if session.updated_at >= arrived => Ok(()),
            other => self.complain(format!("{} was refused as {why:?} at {at}, by the rules {other:?}", tried.subject)),
        }
    }

    fn missing(&self, tried: &Try, ended: Timestamp) -> Result<(), Complaint> {
        // It may be the version that is not there.
        let is_revert = matches!(tried.wish, Wish::Revert(_));
        let made = self.timeline.versions.first().filter(|first| first.at < tried.began);
        match made {
            Some(_) if !self.timeline.may_be_missing() && !self.timeline.was_deleted(ended) && !is_revert => {
                self.complain(format!("{} was told that there is no such session", tried.subject))
            }
            _ => Ok(()),
        }
    }
}

/// But for the link, and for what a restoring did, which the rules know nothing of.
fn is_same(made: &Session, stored: &Session) -> bool {
    Session { previous: stored.previous, outage: None, ..made.clone() } == *stored
}

fn was_done_before(tried: &Try, asked: &CommandTries<'_>, lasting: &[Position]) -> bool {
    let is_before = |made: &Version<'_>| made.at < tried.began && lasting.contains(&made.stored.position());
    tried.has_key && asked.made.iter().any(is_before)
}
