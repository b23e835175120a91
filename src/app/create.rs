//! Creating sessions, under an id that is new or whose session was deleted.

use super::commit::{Author, commit, stored_bytes};
use super::error::Error;
use super::request::{CommandResult, Precondition};
use super::sessions::{Sessions, replay, require_operator};
use crate::domain::chain::Digest;
use crate::domain::entry::IdempotencyKey;
use crate::domain::id::{SessionId, SessionKey};
use crate::domain::principal::Principal;
use crate::domain::session::create::NewSession;
use crate::domain::session::event::{Change, Kind, Outcome};
use crate::domain::session::growth::MAX_STORED;
use crate::domain::session::{Session, Status};
use crate::domain::time::Timestamp;
use crate::store::{Commit, Committed, StoredSession};

/// Where the name of a new session comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdSource {
    /// The caller gave it, or it follows from a key of the caller's: there may be such a
    /// session, or have been one.
    Caller,
    /// It was made just now, and nobody had it before: nothing is looked for.
    Server,
}

/// What a create meets under its id.
enum Existing {
    /// Nothing, ever.
    None,
    /// A session that was deleted.
    Deleted(StoredSession),
    /// The session that this same request made.
    Replay(Box<CommandResult>),
}

impl Sessions {
    /// Makes a session. A repeat finds the first one by its key.
    pub async fn create(
        &self,
        by: &Principal,
        new: NewSession,
        name: IdSource,
        idempotency: Option<(String, Digest)>,
        arrived: Timestamp,
    ) -> Result<CommandResult, Error> {
        let key = self.key(by, &new.session_id)?;
        require_operator(by)?;
        let repeat = idempotency.map(|(text, body)| IdempotencyKey::of(&key, &by.identity(), &text, body));
        if new.advances_faster_than(self.least_advance_ms) {
            return Err(Error::AdvancesTooFast { least_ms: self.least_advance_ms });
        }
        let deleted = match name {
            IdSource::Server => None,
            IdSource::Caller => match self.existing(&key, repeat).await? {
                Existing::None => None,
                Existing::Deleted(held) => Some(held),
                Existing::Replay(answer) => return Ok(*answer),
            },
        };
        let predecessor = deleted.as_ref().map(|held| held.session.position);
        // A session that an earlier life of the store has lost whole may have stood in any epoch of that.
        let at = arrived.max(self.store.generation_started_at(&key).await?);
        let change = Session::create_after(predecessor, new, at)?;
        let author = Author { command: "create", arguments: None, by: Some(by), repeat };
        match self.create_from(&key, deleted.as_ref(), change, author).await? {
            Committed::Stored(held) => {
                self.restorer.forget_missing(&key);
                self.wait_durable(CommandResult {
                    stored: held,
                    outcome: Outcome::of(Kind::Created),
                    replayed: None,
                    snapshot: None,
                })
                .await
            }
            // The store went back meanwhile: what stands there is not shown before it is taken back.
            Committed::Repeated(_, held) | Committed::Stale(held) if held.needs_restore => {
                match self.existing(&key, repeat).await? {
                    Existing::Replay(answer) => Ok(*answer),
                    Existing::None | Existing::Deleted(_) => Err(Error::Restoring),
                }
            }
            Committed::Repeated(answered, held) => replay(&answered, held, repeat),
            Committed::Stale(held) => Err(Error::Exists(Box::new(held))),
            Committed::Missing => Err(Error::Restoring),
        }
    }

    /// Writes a first version. The store lets go of what was deleted once the ledger has that:
    /// then it is taken back for the moment.
    async fn create_from(
        &self,
        key: &SessionKey,
        deleted: Option<&StoredSession>,
        change: Change,
        author: Author<'_>,
    ) -> Result<Committed, Error> {
        let write = commit(self.ids.nonce(), self.write_format.get(), key, deleted, change, author);
        let bytes = stored_bytes(&write);
        if bytes > MAX_STORED {
            return Err(Error::TooLarge { bytes });
        }
        let Some(_) = deleted else { return Ok(self.store.commit(write).await?) };
        let again = Commit { operation: self.ids.nonce(), ..write.clone() };
        match self.store.commit(write).await? {
            Committed::Missing => {
                self.restorer.load_for_creation(key).await?;
                Ok(self.store.commit(again).await?)
            }
            committed => Ok(committed),
        }
    }

    /// What stands in the way of a session of that id.
    async fn existing(&self, key: &SessionKey, repeat: Option<IdempotencyKey>) -> Result<Existing, Error> {
        let held = match self.restorer.load_for_creation(key).await {
            Err(Error::SessionNotFound) => return Ok(Existing::None),
            held => held?,
        };
        match self.idempotency_record(key, held, repeat).await? {
            (held, Some(_)) if held.session.status == Status::Deleted => Err(Error::SessionNotFound),
            (held, Some(answered)) => Ok(Existing::Replay(replay(&answered, held, repeat)?.into())),
            (held, None) if held.session.status == Status::Deleted => Ok(Existing::Deleted(held)),
            (held, None) => Err(Error::Exists(Box::new(held))),
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
        require_operator(by)?;
        let held = self.read(by, id).await?;
        if expected.iter().all(|expected| expected.is_met_at(held.session.position)) {
            Ok(held.session.blueprint(clone_id))
        } else {
            Err(Error::Stale(Box::new(held)))
        }
    }
}
