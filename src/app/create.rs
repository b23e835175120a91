//! Creating sessions, under an id that is new or whose session was deleted.

use super::commit::{Author, commit, stored_bytes};
use super::error::Error;
use super::request::{CommandResult, Precondition};
use super::sessions::{Sessions, authorize, replay};
use crate::domain::access::Access;
use crate::domain::chain::Digest;
use crate::domain::id::{SessionId, SessionKey};
use crate::domain::idempotency::IdempotencyKey;
use crate::domain::principal::Principal;
use crate::domain::session::event::{Change, Kind, Outcome};
use crate::domain::session::new::NewSession;
use crate::domain::session::{Session, Status};
use crate::domain::time::Timestamp;
use crate::store::{Commit, Committed, StoredSession};

/// Where the id of a new session comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdSource {
    /// The caller gave it, or it is derived from the caller's key: there may be such a session,
    /// or have been one.
    Caller,
    /// The server made it just now: no session can have it.
    Server,
}

/// What exists under the id of a create.
enum Existing {
    /// Nothing, ever.
    None,
    /// A session that was deleted.
    Deleted(StoredSession),
    /// The session that this request made before.
    Replay(Box<CommandResult>),
}

impl Sessions {
    /// Creates a session. A repeat finds the first one by its key.
    pub async fn create(
        &self,
        by: &Principal,
        new: NewSession,
        id_source: IdSource,
        idempotency: Option<(String, Digest)>,
        arrived: Timestamp,
    ) -> Result<CommandResult, Error> {
        let key = self.key(by, &new.session_id)?;
        authorize(by, Access::Operate)?;
        let idempotency = idempotency.map(|(text, body)| IdempotencyKey::of(&key, &by.identity(), &text, body));
        if new.advances_faster_than(self.least_advance_ms) {
            return Err(Error::AdvancesTooFast { least_ms: self.least_advance_ms });
        }
        let deleted = match id_source {
            IdSource::Server => None,
            IdSource::Caller => match self.existing(&key, idempotency).await? {
                Existing::None => None,
                Existing::Deleted(stored) => Some(stored),
                Existing::Replay(result) => return Ok(*result),
            },
        };
        let predecessor = deleted.as_ref().map(|stored| stored.session.position);
        // An earlier generation of the store may have lost a session in any of its epochs.
        let at = arrived.max(self.store.generation_started_at(&key).await?);
        let change = Session::create_after(predecessor, new, at)?;
        let author = Author { command: "create", arguments: None, by: Some(by), idempotency };
        match self.create_from(&key, deleted.as_ref(), change, author).await? {
            Committed::Stored(stored) => {
                self.restorer.forget_missing(&key);
                self.wait_durable(CommandResult {
                    stored,
                    outcome: Outcome::of(Kind::Created),
                    replayed: None,
                    snapshot: None,
                })
                .await
            }
            // The store has lost data since: the session is restored before it is shown.
            Committed::Repeated(_, stored) | Committed::Stale(stored) if stored.needs_restore => {
                match self.existing(&key, idempotency).await? {
                    Existing::Replay(result) => Ok(*result),
                    Existing::None | Existing::Deleted(_) => Err(Error::Restoring),
                }
            }
            Committed::Repeated(record, stored) => replay(&record, stored, idempotency),
            Committed::Stale(stored) => Err(Error::Exists(Box::new(stored))),
            Committed::Missing => Err(Error::Restoring),
        }
    }

    /// Writes a first version. The store may have released the deleted session in between, once
    /// the ledger had it: then it is restored first.
    async fn create_from(
        &self,
        key: &SessionKey,
        deleted: Option<&StoredSession>,
        change: Change,
        author: Author<'_>,
    ) -> Result<Committed, Error> {
        let first = commit(self.ids.nonce(), self.write_format.get(), key, deleted, change, author);
        let bytes = stored_bytes(&first);
        let most = self.max_bytes(&key.tenant);
        if bytes > most {
            return Err(Error::TooLarge { bytes, most });
        }
        let Some(_) = deleted else { return Ok(self.store.commit(first).await?) };
        let second = Commit { operation: self.ids.nonce(), ..first.clone() };
        match self.store.commit(first).await? {
            Committed::Missing => {
                self.restorer.load_for_creation(key).await?;
                Ok(self.store.commit(second).await?)
            }
            committed => Ok(committed),
        }
    }

    /// What exists under that id.
    async fn existing(&self, key: &SessionKey, idempotency: Option<IdempotencyKey>) -> Result<Existing, Error> {
        let stored = match self.restorer.load_for_creation(key).await {
            Err(Error::SessionNotFound) => return Ok(Existing::None),
            stored => stored?,
        };
        match self.idempotency_record(key, stored, idempotency).await? {
            (stored, Some(_)) if stored.session.status == Status::Deleted => Err(Error::SessionNotFound),
            (stored, Some(record)) => Ok(Existing::Replay(replay(&record, stored, idempotency)?.into())),
            (stored, None) if stored.session.status == Status::Deleted => Ok(Existing::Deleted(stored)),
            (stored, None) => Err(Error::Exists(Box::new(stored))),
        }
    }

    /// A new pending session of the same configuration.
    pub async fn blueprint(
        &self,
        by: &Principal,
        id: &SessionId,
        clone_id: SessionId,
        expected: &[Precondition],
    ) -> Result<NewSession, Error> {
        authorize(by, Access::Operate)?;
        let stored = self.read(by, id).await?;
        if expected.iter().all(|expected| expected.is_met_at(stored.session.position)) {
            Ok(stored.session.blueprint(clone_id))
        } else {
            Err(Error::Stale(Box::new(stored)))
        }
    }
}
