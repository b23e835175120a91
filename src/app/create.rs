//! Creating sessions, under an id that is new or whose session was deleted.

use super::asked::{Answer, Expected};
use super::error::Error;
use super::sessions::{Sessions, operates, replay};
use super::writing::{Author, commit, stored_bytes};
use crate::domain::chain::Digest;
use crate::domain::entry::Repeat;
use crate::domain::id::{SessionId, SessionKey};
use crate::domain::principal::Principal;
use crate::domain::session::create::NewSession;
use crate::domain::session::event::{Change, Kind, Outcome};
use crate::domain::session::growth::MAX_STORED;
use crate::domain::session::{Session, Status};
use crate::domain::time::Timestamp;
use crate::store::{Commit, Committed, Held};

/// Where the name of a new session comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// The caller gave it, or it follows from a key of the caller's: there may be such a
    /// session, or have been one.
    Given,
    /// It was made just now, and nobody had it before: nothing is looked for.
    Fresh,
}

/// What a create meets under its id.
enum Existing {
    /// Nothing, ever.
    None,
    /// A session that was deleted.
    Deleted(Held),
    /// The session that this same request made.
    Replay(Box<Answer>),
}

impl Sessions {
    /// Makes a session. A repeat finds the first one by its key.
    pub async fn create(
        &self,
        by: &Principal,
        new: NewSession,
        name: Name,
        idempotency: Option<(String, Digest)>,
        arrived: Timestamp,
    ) -> Result<Answer, Error> {
        let key = self.key(by, &new.session_id)?;
        operates(by)?;
        let repeat = idempotency.map(|(text, body)| Repeat::of(&key, &by.identity(), &text, body));
        if new.advances_faster_than(self.least_advance_ms) {
            return Err(Error::AdvancesTooFast { least_ms: self.least_advance_ms });
        }
        let deleted = match name {
            Name::Fresh => None,
            Name::Given => match self.existing(&key, repeat).await? {
                Existing::None => None,
                Existing::Deleted(held) => Some(held),
                Existing::Replay(answer) => return Ok(*answer),
            },
        };
        let predecessor = deleted.as_ref().map(|held| held.session.position);
        // A session that an earlier life of the store has lost whole may have stood in any epoch of that.
        let at = arrived.max(self.store.began(&key).await?);
        let change = Session::create_after(predecessor, new, at)?;
        let author = Author { command: "create", arguments: None, by: Some(by), repeat };
        match self.create_from(&key, deleted.as_ref(), change, author).await? {
            Committed::Stored(held) => {
                self.restoring.created(&key);
                self.durable(Answer { held, outcome: Outcome::of(Kind::Created), replayed: None, told: None }).await
            }
            // The store went back meanwhile: what stands there is not shown before it is taken back.
            Committed::Repeated(_, held) | Committed::Stale(held) if held.is_doubtful => {
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
        deleted: Option<&Held>,
        change: Change,
        author: Author<'_>,
    ) -> Result<Committed, Error> {
        let write = commit(self.ids.nonce(), key, deleted, change, author);
        let bytes = stored_bytes(&write);
        if bytes > MAX_STORED {
            return Err(Error::TooLarge { bytes });
        }
        let Some(_) = deleted else { return Ok(self.store.commit(write).await?) };
        let again = Commit { operation: self.ids.nonce(), ..write.clone() };
        match self.store.commit(write).await? {
            Committed::Missing => {
                self.restoring.predecessor(key).await?;
                Ok(self.store.commit(again).await?)
            }
            committed => Ok(committed),
        }
    }

    /// What stands in the way of a session of that id.
    async fn existing(&self, key: &SessionKey, repeat: Option<Repeat>) -> Result<Existing, Error> {
        let held = match self.restoring.predecessor(key).await {
            Err(Error::NoSession) => return Ok(Existing::None),
            held => held?,
        };
        match self.answered(key, held, repeat).await? {
            (held, Some(_)) if held.session.status == Status::Deleted => Err(Error::NoSession),
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
        expected: &[Expected],
    ) -> Result<NewSession, Error> {
        operates(by)?;
        let held = self.look(by, id).await?;
        if expected.iter().all(|expected| expected.is_at(held.session.position)) {
            Ok(held.session.blueprint(clone_id))
        } else {
            Err(Error::Stale(Box::new(held)))
        }
    }
}
