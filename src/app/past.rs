//! What was: lists, histories and earlier versions, from the ledger.

use std::sync::Arc;
use std::time::Duration;

use super::error::Error;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::session::Session;
use crate::domain::time::Timestamp;
use crate::ledger::{Filter, Ledger, Row};
use crate::store::{Held, Store};

/// How long a question about the past waits for the audit to catch up.
const AUDIT_WAIT: Duration = Duration::from_millis(500);

/// A page of sessions.
#[derive(Debug)]
pub struct Listed {
    /// By session id.
    pub sessions: Vec<Session>,
    /// Where the next page begins, if there is one.
    pub next: Option<SessionId>,
}

/// A page of a history.
#[derive(Debug)]
pub struct History {
    /// Oldest first.
    pub rows: Vec<Row>,
    /// Nothing up to here is missing.
    pub complete_to: Option<Position>,
    /// There is more after the last row.
    pub has_more: bool,
}

/// The ledger, asked.
pub struct Past {
    store: Arc<dyn Store>,
    ledger: Arc<dyn Ledger>,
}

impl Past {
    pub(super) const fn new(store: Arc<dyn Store>, ledger: Arc<dyn Ledger>) -> Self {
        Self { store, ledger }
    }

    pub(super) async fn ping(&self) -> bool {
        self.ledger.ping().await.is_ok()
    }

    /// A tenant's sessions as the ledger has them.
    pub async fn list(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Listed, Error> {
        let mut rows = self.ledger.sessions(tenant, filter, after, limit + 1).await?;
        let has_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| has_more).map(|row| row.key.session.clone());
        let sessions = rows.iter().map(session_of).collect::<Result<_, _>>()?;
        Ok(Listed { sessions, next })
    }

    /// Every change after a position, as far as the ledger has them.
    pub async fn history(
        &self,
        key: &SessionKey,
        held: &Held,
        after: Option<Position>,
        limit: u32,
    ) -> Result<History, Error> {
        let is_complete = self.caught_up(held).await?;
        let mut rows = self.ledger.history(key, after, limit + 1).await?;
        let has_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let last = rows.last().map(|row| row.link.position).or(after);
        let complete_to = if is_complete && !has_more { Some(held.session.position) } else { last };
        Ok(History { rows, complete_to, has_more })
    }

    /// The session as it stood at an instant: what was out by then is out, though
    /// it may have been written a little later.
    pub async fn at(&self, key: &SessionKey, held: &Held, at: Timestamp) -> Result<Session, Error> {
        self.caught_up(held).await?;
        let row = self.ledger.at(key, at).await?;
        let row = row.ok_or(Error::Invalid { pointer: "/time", detail: "is before the session began" })?;
        let session = session_of(&row)?;
        Ok(if session.is_due(at) { session.settled(at).session } else { session })
    }

    /// The session as it stood in a version.
    pub async fn version(&self, key: &SessionKey, held: &Held, version: u64) -> Result<Session, Error> {
        self.caught_up(held).await?;
        let row = self.ledger.version(key, version).await?;
        session_of(&row.ok_or(Error::Invalid { pointer: "/to_version", detail: "is no version of the session" })?)
    }

    /// Waits until the ledger holds the newest version; false if it takes too long.
    async fn caught_up(&self, held: &Held) -> Result<bool, Error> {
        let Some(ticket) = held.ticket else { return Ok(true) };
        match tokio::time::timeout(AUDIT_WAIT, self.store.recorded(ticket)).await {
            Ok(recorded) => Ok(recorded.map(|()| true)?),
            Err(_) => Ok(false),
        }
    }
}

fn session_of(row: &Row) -> Result<Session, Error> {
    let body = row
        .body
        .as_deref()
        .ok_or(Error::Invalid { pointer: "/to_version", detail: "was shed while the ledger was away" })?;
    Ok(Session::from_stored(body)?)
}
