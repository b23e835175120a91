//! Reading and commanding sessions: settle, judge, commit, again if the race was lost.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::asked::{Answer, Asked};
use super::attendance::Attendance;
use super::commanding::Asking;
use super::counting;
use super::error::Error;
use super::past::Past;
use super::remembered::Remembered;
use super::restoring::{Restoring, Retention};
use super::writing::{Author, commit};
use crate::bus::Audience;
use crate::clock::Clock;
use crate::domain::chain::Digest;
use crate::domain::entry::{Answered, Repeat};
use crate::domain::id::{SessionId, SessionKey};
use crate::domain::position::Position;
use crate::domain::principal::{Principal, Role};
use crate::domain::session::Status;
use crate::domain::session::command::Command;
use crate::domain::session::event::{Kind, Outcome};
use crate::domain::time::Timestamp;
use crate::ids::Ids;
use crate::ledger::Ledger;
use crate::store;
use crate::store::outbox::Ticket;
use crate::store::{Committed, Held, Store};
use crate::wire::command::Wish;
use crate::wire::history;

/// How long a lost race is tried again on the caller's behalf.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// How long a delete waits for the ledger.
const DELETE_WAIT: Duration = Duration::from_secs(2);

/// How long an answer waits to be durable, where every answer is.
const DURABLE_WAIT: Duration = Duration::from_secs(5);

/// A deadline that somebody must see to soon.
pub type Soon = (Timestamp, SessionKey);

/// What sessions rest on.
pub struct Parts {
    /// Live sessions.
    pub store: Arc<dyn Store>,
    /// The lasting record.
    pub ledger: Arc<dyn Ledger>,
    /// Where now comes from.
    pub clock: Arc<dyn Clock>,
    /// Where the numbers of operations come from.
    pub ids: Ids,
    /// Where deadlines are announced; when it is full, the poll finds them.
    pub soon: mpsc::Sender<Soon>,
    /// Who watches, wherever.
    pub audience: Arc<dyn Audience>,
    /// An answer means that the ledger holds it.
    pub is_durable: bool,
    /// Turns advance by themselves no faster than this.
    pub least_advance: Duration,
    /// Without anybody there for so long, they advance no more.
    pub idle: Duration,
}

/// Timer sessions, as callers see them.
pub struct Sessions {
    pub(super) store: Arc<dyn Store>,
    pub(super) ids: Ids,
    pub(super) remembered: Remembered,
    clock: Arc<dyn Clock>,
    soon: mpsc::Sender<Soon>,
    pub(super) restoring: Restoring,
    attendance: Attendance,
    is_durable: bool,
    pub(super) least_advance_ms: i64,
    /// What was, from the ledger.
    pub past: Past,
}

impl Sessions {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { store, ledger, clock, ids, soon, audience, is_durable, least_advance, idle } = parts;
        let (attendance, least_advance_ms) = (Attendance::new(audience, whole_ms(idle)), whole_ms(least_advance));
        let past = Past::new(Arc::clone(&store), Arc::clone(&ledger));
        let restoring = Restoring::new(Arc::clone(&store), ledger, Arc::clone(&clock));
        let remembered = Remembered::default();
        Self { store, ids, remembered, clock, soon, restoring, attendance, is_durable, least_advance_ms, past }
    }

    /// The same, over a store that does so with sessions by itself.
    #[must_use]
    pub fn with_retention(self, retention: Retention) -> Self {
        Self { restoring: self.restoring.with_retention(retention), ..self }
    }

    /// How many sessions are remembered for their next commit, and how many ids as unknown.
    #[must_use]
    pub fn cached(&self) -> [(&'static str, usize); 2] {
        [("sessions", self.remembered.len()), ("unknown_ids", self.restoring.unknown())]
    }

    /// The session as it stands now; what had to happen by now has happened.
    pub async fn look(&self, by: &Principal, id: &SessionId) -> Result<Held, Error> {
        self.newest(&self.key(by, id)?).await
    }

    /// The same for whoever has already been let in.
    pub async fn newest(&self, key: &SessionKey) -> Result<Held, Error> {
        let now = self.clock.now();
        let patience = Instant::now() + PATIENCE;
        loop {
            let held = self.live(key).await?;
            if !held.session.is_due(now) {
                return Ok(held);
            }
            self.settle_held(key, held, now).await?;
            impatient(patience)?;
        }
    }

    /// The same for whoever watches: a deleted session is shown as deleted.
    pub async fn watched(&self, key: &SessionKey) -> Result<Held, Error> {
        let present = self.restoring.watched(key).await?;
        let is_settled = present.session.status == Status::Deleted || !present.session.is_due(self.clock.now());
        if is_settled { Ok(present) } else { self.newest(key).await }
    }

    /// Does what a command says.
    pub async fn command(
        &self,
        by: &Principal,
        id: &SessionId,
        asked: Asked,
        arrived: Timestamp,
    ) -> Result<Answer, Error> {
        let key = self.key(by, id)?;
        if !may_ask(by, &asked.wish) {
            return Err(Error::Forbidden);
        }
        let (name, outcome) = match self.command_of(&key, asked.wish).await {
            Err(error) => ("revert", Err(error)),
            Ok(mut command) => {
                own(&mut command, by, asked.lag_ms);
                let repeat = asked.idempotency.map(|(text, body)| Repeat::of(&key, &by.identity(), &text, body));
                let author = Author { command: command.name(), arguments: None, by: Some(by), repeat };
                let asked = Asking { key: &key, command: &command, expected: &asked.expected, author, arrived };
                (command.name(), self.carry_out(asked).await)
            }
        };
        counting::decided(name, outcome.as_ref());
        outcome
    }

    async fn command_of(&self, key: &SessionKey, wish: Wish) -> Result<Command, Error> {
        match wish {
            Wish::Command(command) => Ok(command),
            Wish::Revert { to_version } => {
                let held = self.live(key).await?;
                Ok(Command::Revert { then: Box::new(self.past.version(key, &held, to_version).await?) })
            }
        }
    }

    /// What an idempotency key of the caller's was answered with before, where that wrote no
    /// version; else it is `change` from now on.
    pub async fn remember(
        &self,
        by: &Principal,
        held: &Held,
        (text, body): (&str, Digest),
        change: Bytes,
        now: Timestamp,
    ) -> Result<(Bytes, bool), Error> {
        let key = self.key(by, &held.session.session_id)?;
        let repeat = Repeat::of(&key, &by.identity(), text, body);
        let answered = Answered { repeat, position: held.session.position, at: now, change: change.clone() };
        let standing = self.store.remember(&key, answered).await?;
        if standing.repeat.body != body {
            return Err(Error::Mismatch);
        }
        let is_replay = standing.change != change;
        Ok((standing.change, is_replay))
    }

    /// Deletes, and answers once the ledger holds it. Asking again is safe.
    pub async fn delete(
        &self,
        by: &Principal,
        id: &SessionId,
        asked: Asked,
        arrived: Timestamp,
    ) -> Result<Answer, Error> {
        operates(by)?;
        let key = self.key(by, id)?;
        let present = self.restoring.present(&key).await?;
        let answer = if present.session.status == Status::Deleted {
            Answer { held: present, outcome: Outcome::of(Kind::Deleted), replayed: None, told: None }
        } else {
            self.command(by, id, asked, arrived).await?
        };
        if let Some(ticket) = answer.held.ticket {
            self.recorded(ticket, DELETE_WAIT, Error::NotRecorded).await?;
        }
        Ok(answer)
    }

    /// Writes what had to happen by now, if anything had; gives whether it did.
    pub async fn settle(&self, key: &SessionKey) -> Result<bool, Error> {
        let now = self.clock.now();
        let held = self.restoring.present(key).await?;
        if !held.session.is_due(now) {
            self.announce(key, &held);
            return Ok(false);
        }
        self.settle_held(key, held, now).await
    }

    /// The same for what has to happen at a known instant: it is read at once, and written
    /// when `past` says that the instant is certainly over.
    pub async fn settle_at(
        &self,
        key: &SessionKey,
        at: Timestamp,
        past: impl Future<Output = ()>,
    ) -> Result<bool, Error> {
        let held = self.restoring.present(key).await?;
        if !held.session.is_due(at) {
            self.announce(key, &held);
            return Ok(false);
        }
        past.await;
        // Whoever wrote meanwhile may have left it due.
        Ok(self.settle_held(key, held, self.clock.now()).await? || self.settle(key).await?)
    }

    async fn settle_held(&self, key: &SessionKey, held: Held, now: Timestamp) -> Result<bool, Error> {
        let settled = self.attendance.settled(key, &held.session, now.max(held.session.updated_at)).await;
        let committed = self.store.commit(commit(self.ids.nonce(), key, Some(&held), settled, Author::NOBODY)).await?;
        let Committed::Stored(held) = committed else { return Ok(false) };
        self.announce(key, &held);
        Ok(true)
    }

    /// The present version, unless it is deleted.
    pub(super) async fn live(&self, key: &SessionKey) -> Result<Held, Error> {
        let held = self.restoring.present(key).await?;
        if held.session.status == Status::Deleted { Err(Error::NoSession) } else { Ok(held) }
    }

    /// What a command was answered with before, if it was; asked of a session that stood
    /// where `held` says. A store that has lost the session since then has lost the answer
    /// as well, so a no is one only in that epoch; in a later one it is asked again, of the
    /// session as it stands there.
    pub(super) async fn answered(
        &self,
        key: &SessionKey,
        mut held: Held,
        repeat: Option<Repeat>,
    ) -> Result<(Held, Option<Answered>), Error> {
        let Some(repeat) = repeat else { return Ok((held, None)) };
        loop {
            let answered = self.store.answered(key, &repeat.key).await?;
            if answered.is_some() {
                return Ok((held, answered));
            }
            let newest = self.restoring.present(key).await?;
            if newest.session.position.epoch == held.session.position.epoch {
                return Ok((held, None));
            }
            held = newest;
        }
    }

    /// Whoever sets a deadline says so, or it might pass before the next poll.
    pub(super) fn announce(&self, key: &SessionKey, held: &Held) {
        if let Some(at) = held.session.due_at {
            let _ = self.soon.try_send((at, key.clone()));
        }
    }

    /// Where not every answer is durable, none is far from it.
    pub(super) async fn durable(&self, answer: Answer) -> Result<Answer, Error> {
        match answer.held.ticket {
            Some(ticket) if self.is_durable => {
                self.recorded(ticket, DURABLE_WAIT, Error::NotDurable).await?;
            }
            Some(_) => self.store.in_step().await,
            None => {}
        }
        Ok(answer)
    }

    /// Waits for the ledger to hold what was written. Who cannot learn that, because the
    /// store does not answer now, must not say that nothing was written.
    async fn recorded(&self, ticket: Ticket, within: Duration, not_yet: Error) -> Result<(), Error> {
        match tokio::time::timeout(within, self.store.recorded(ticket)).await {
            Err(_) | Ok(Err(store::Error::Unavailable(_))) => Err(not_yet),
            Ok(recorded) => Ok(recorded?),
        }
    }

    /// The key of a session the caller can see.
    pub fn key(&self, by: &Principal, id: &SessionId) -> Result<SessionKey, Error> {
        if !by.sees(id) {
            return Err(Error::NoSession);
        }
        Ok(SessionKey { tenant: by.tenant.clone(), session: id.clone() })
    }
}

/// Whether the caller's role may ask for this at all. It is asked before anything is read, so that
/// neither a refusal nor the repeat of another role's request tells what only that role may know.
fn may_ask(by: &Principal, wish: &Wish) -> bool {
    match (by.role, wish) {
        (Role::Operator | Role::Admin, _) => true,
        (Role::Participant, Wish::Command(command)) => command.is_for_participants(),
        (Role::Participant, Wish::Revert { .. }) | (Role::Viewer, _) => false,
    }
}

/// What is for operators only.
pub fn operates(by: &Principal) -> Result<(), Error> {
    if by.role >= Role::Operator { Ok(()) } else { Err(Error::Forbidden) }
}

/// A participant's switch is about its own cycle, also if it lost a race meanwhile; its pauses
/// are its own.
fn own(command: &mut Command, by: &Principal, lag_ms: i64) {
    let is_participant = by.role == Role::Participant;
    match command {
        Command::Switch(switch) => {
            switch.connection_lag_ms = lag_ms;
            if is_participant && switch.current.is_none() {
                switch.current.clone_from(&by.participant_id);
            }
        }
        Command::Pause { by_participant, .. } | Command::Resume { by_participant, .. } => {
            *by_participant = is_participant;
        }
        _ => {}
    }
}

/// What was answered the first time, with the session as it stands.
pub(super) fn replay(answered: &Answered, held: Held, repeat: Option<Repeat>) -> Result<Answer, Error> {
    if repeat.is_some_and(|repeat| repeat.body != answered.repeat.body) {
        return Err(Error::Mismatch);
    }
    let outcome = history::outcome_in(&answered.change).unwrap_or(Outcome::of(Kind::Settled));
    Ok(Answer { held, outcome, replayed: Some(answered.position), told: None })
}

fn whole_ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn impatient(patience: Instant) -> Result<(), Error> {
    if Instant::now() < patience {
        return Ok(());
    }
    let why = "a session was written to faster than it could be read";
    Err(Error::StoreAway(store::Error::Unavailable(why.into())))
}

/// Where an answer stands, for its `ETag`.
impl Answer {
    /// The position of the snapshot it carries.
    #[must_use]
    pub fn position(&self) -> Position {
        self.held.session.position
    }
}
