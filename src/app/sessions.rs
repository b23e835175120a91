//! Creating, reading and commanding sessions: settle, judge, commit, again if the race was lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::asked::{Answer, Asked};
use super::commanding::Asking;
use super::error::Error;
use super::past::Past;
use super::remembered::Remembered;
use super::restoring::Restoring;
use super::writing::{Author, commit};
use crate::clock::Clock;
use crate::domain::entry::{Answered, Repeat};
use crate::domain::id::{SessionId, SessionKey};
use crate::domain::position::Position;
use crate::domain::principal::{Principal, Role};
use crate::domain::session::command::Command;
use crate::domain::session::create::NewSession;
use crate::domain::session::event::{Kind, Outcome};
use crate::domain::session::{Session, Status};
use crate::domain::time::Timestamp;
use crate::ids::Ids;
use crate::ledger::Ledger;
use crate::store;
use crate::store::outbox::Ticket;
use crate::store::{Committed, Held, Store};
use crate::telemetry::metrics;
use crate::wire::command::Wish;
use crate::wire::history;

/// How long a lost race is tried again on the caller's behalf.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// How long a delete waits for the ledger.
const DELETE_WAIT: Duration = Duration::from_secs(2);

/// How long an answer waits to be durable, where every answer is.
const DURABLE_WAIT: Duration = Duration::from_secs(5);

/// Where the name of a new session comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// The caller gave it, or it follows from a key of the caller's: there may be such a
    /// session, or have been one.
    Given,
    /// It was made just now, and nobody had it before: nothing is looked for.
    Fresh,
}

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
    /// An answer means that the ledger holds it.
    pub is_durable: bool,
}

/// Timer sessions, as callers see them.
pub struct Sessions {
    pub(super) store: Arc<dyn Store>,
    pub(super) ids: Ids,
    pub(super) remembered: Remembered,
    clock: Arc<dyn Clock>,
    soon: mpsc::Sender<Soon>,
    restoring: Restoring,
    is_durable: bool,
    /// What was, from the ledger.
    pub past: Past,
}

impl Sessions {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { store, ledger, clock, ids, soon, is_durable } = parts;
        let past = Past::new(Arc::clone(&store), Arc::clone(&ledger));
        let restoring = Restoring::new(Arc::clone(&store), ledger, Arc::clone(&clock));
        let remembered = Remembered::default();
        Self { store, ids, remembered, clock, soon, restoring, is_durable, past }
    }

    /// Whether the store and the ledger answer.
    pub async fn reachable(&self) -> (bool, bool) {
        let (store, ledger) = futures::join!(self.store.ping(), self.past.ping());
        (store.is_ok(), ledger)
    }

    /// Makes a session. A repeat finds the first one by its key.
    pub async fn create(
        &self,
        by: &Principal,
        new: NewSession,
        name: Name,
        idempotency: Option<(String, crate::domain::chain::Digest)>,
        arrived: Timestamp,
    ) -> Result<Answer, Error> {
        let key = self.key(by, &new.session_id)?;
        operates(by)?;
        let repeat = idempotency.map(|(text, body)| Repeat::of(&key, &by.subject, &text, body));
        let change = Session::create(new, arrived)?;
        if name == Name::Given
            && let Some(held) = self.found(&key).await?
        {
            return self.existing(&key, held, repeat).await;
        }
        let author = Author { command: "create", by: Some(by), repeat };
        match self.store.commit(commit(self.ids.nonce(), &key, None, change, author)).await? {
            Committed::Stored(held) => {
                self.restoring.created(&key);
                self.durable(Answer { held, outcome: Outcome::of(Kind::Created), replayed: None, told: None }).await
            }
            // The store went back meanwhile: what stands there is not shown before it is taken back.
            Committed::Repeated(_, held) | Committed::Stale(held) if held.is_doubtful => {
                self.existing(&key, self.restoring.present(&key).await?, repeat).await
            }
            Committed::Repeated(answered, held) => replay(&answered, held, repeat),
            Committed::Stale(held) => Err(Error::Exists(Box::new(held))),
            Committed::Missing => Err(Error::NoSession),
        }
    }

    async fn found(&self, key: &SessionKey) -> Result<Option<Held>, Error> {
        match self.restoring.present(key).await {
            Ok(held) => Ok(Some(held)),
            Err(Error::NoSession) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn existing(&self, key: &SessionKey, held: Held, repeat: Option<Repeat>) -> Result<Answer, Error> {
        match self.answered(key, held, repeat).await? {
            (held, Some(_)) if held.session.status == Status::Deleted => Err(Error::NoSession),
            (held, Some(answered)) => replay(&answered, held, repeat),
            (held, None) => Err(Error::Exists(Box::new(held))),
        }
    }

    /// A new pending session of the same configuration.
    pub async fn blueprint(&self, by: &Principal, id: &SessionId, clone_id: SessionId) -> Result<NewSession, Error> {
        operates(by)?;
        Ok(self.look(by, id).await?.session.blueprint(clone_id))
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
        let present = self.restoring.present(key).await?;
        if present.session.status == Status::Deleted { Ok(present) } else { self.newest(key).await }
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
        if by.role == Role::Viewer {
            return Err(Error::Forbidden);
        }
        let (name, outcome) = match self.command_of(&key, asked.wish).await {
            Err(error) => ("revert", Err(error)),
            Ok(mut command) => {
                own(&mut command, by, asked.lag_ms);
                let repeat = asked.idempotency.map(|(text, body)| Repeat::of(&key, &by.subject, &text, body));
                let author = Author { command: command.name(), by: Some(by), repeat };
                let asked = Asking { key: &key, command: &command, expected: &asked.expected, author, arrived };
                (command.name(), self.carry_out(asked).await)
            }
        };
        metrics::commanded(name, said(&outcome));
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

    /// Deletes, and answers once the ledger holds it. Asking again is safe.
    pub async fn delete(&self, by: &Principal, id: &SessionId, asked: Asked, arrived: Timestamp) -> Result<(), Error> {
        operates(by)?;
        let key = self.key(by, id)?;
        let present = self.restoring.present(&key).await?;
        let held = if present.session.status == Status::Deleted {
            present
        } else {
            self.command(by, id, asked, arrived).await?.held
        };
        let Some(ticket) = held.ticket else { return Ok(()) };
        self.recorded(ticket, DELETE_WAIT, Error::NotRecorded).await
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
        let settled = held.session.settled(now.max(held.session.updated_at));
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

/// What is for operators only.
pub fn operates(by: &Principal) -> Result<(), Error> {
    if by.role >= Role::Operator { Ok(()) } else { Err(Error::Forbidden) }
}

/// A participant's switch is about its own cycle, also if it lost a race meanwhile.
fn own(command: &mut Command, by: &Principal, lag_ms: i64) {
    let Command::Switch(switch) = command else { return };
    switch.connection_lag_ms = lag_ms;
    if by.role == Role::Participant && switch.current.is_none() {
        switch.current.clone_from(&by.participant_id);
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

fn impatient(patience: Instant) -> Result<(), Error> {
    if Instant::now() < patience {
        return Ok(());
    }
    let why = "a session was written to faster than it could be read";
    Err(Error::StoreAway(store::Error::Unavailable(why.into())))
}

fn said(outcome: &Result<Answer, Error>) -> &'static str {
    match outcome {
        Ok(_) => "applied",
        Err(Error::Stale(_) | Error::Contended(_)) => "conflict",
        Err(Error::Refused(..) | Error::Forbidden | Error::NoSession | Error::Mismatch | Error::Invalid { .. }) => {
            "refused"
        }
        Err(_) => "failed",
    }
}

/// Where an answer stands, for its `ETag`.
impl Answer {
    /// The position of the snapshot it carries.
    #[must_use]
    pub fn position(&self) -> Position {
        self.held.session.position
    }
}
