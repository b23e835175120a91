//! Lists, histories and earlier versions, from the ledger.

use std::sync::Arc;
use std::time::Duration;

use super::error::Error;
use crate::domain::access::Access;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::domain::session::Session;
use crate::domain::time::Timestamp;
use crate::ledger::{Filter, HistoryRow, Ledger, Page, Row};
use crate::store::{LedgerProgress, StoredSession};

/// How long a query waits for the audit to catch up.
const AUDIT_TIMEOUT: Duration = Duration::from_millis(500);

/// A page of sessions.
#[derive(Debug)]
pub struct SessionPage {
    /// By session id.
    pub sessions: Vec<Session>,
    /// There are more after the last.
    pub has_more: bool,
}

/// A page of a history.
#[derive(Debug)]
pub struct HistoryPage {
    /// Oldest first.
    pub rows: Vec<HistoryRow>,
    /// Nothing up to here is missing.
    pub complete_to: Option<Position>,
    /// There is more after the last row.
    pub has_more: bool,
}

/// Queries to the ledger.
pub struct History {
    store: Arc<dyn LedgerProgress>,
    ledger: Arc<dyn Ledger>,
}

impl History {
    pub(super) const fn new(store: Arc<dyn LedgerProgress>, ledger: Arc<dyn Ledger>) -> Self {
        Self { store, ledger }
    }

    /// A tenant's sessions, as the ledger has them.
    pub async fn list(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<SessionPage, Error> {
        let Page { rows, has_more } = self.ledger.sessions(tenant, filter, after, limit).await?;
        let sessions = rows.iter().map(session_of).collect::<Result<_, _>>()?;
        Ok(SessionPage { sessions, has_more })
    }

    /// Every change after a position, as far as the ledger has them. Changes of an earlier session
    /// of the same id, which was deleted, are for operators.
    pub async fn history(
        &self,
        by: &Principal,
        key: &SessionKey,
        stored: &StoredSession,
        after: Option<Position>,
        limit: u32,
    ) -> Result<HistoryPage, Error> {
        let after = if by.may(Access::ReadPredecessor) { after } else { after.max(stored.session.predecessor) };
        let is_complete = self.wait_for_audit(stored).await?;
        let Page { rows, has_more } = self.ledger.history(key, after, limit).await?;
        let last = rows.last().map(|row| row.link.position).or(after);
        let complete_to = if is_complete && !has_more { Some(stored.session.position) } else { last };
        let complete_to = self.without_refused(by, key, stored, complete_to).await?;
        Ok(HistoryPage { rows, complete_to, has_more })
    }

    /// How far nothing is missing up to `complete_to`: a version that the ledger refused is missing.
    async fn without_refused(
        &self,
        by: &Principal,
        key: &SessionKey,
        stored: &StoredSession,
        complete_to: Option<Position>,
    ) -> Result<Option<Position>, Error> {
        let begins = if by.may(Access::ReadPredecessor) { None } else { stored.session.predecessor };
        match self.ledger.first_dead_letter(key, begins).await? {
            Some(missing) if Some(missing) <= complete_to => Ok(before(missing)),
            _ => Ok(complete_to),
        }
    }

    /// The session as it stood at an instant, with everything settled that was due by then, even
    /// if it was written a little later.
    pub async fn at(&self, key: &SessionKey, stored: &StoredSession, at: Timestamp) -> Result<Session, Error> {
        self.wait_for_audit(stored).await?;
        let row = self.ledger.at(key, at).await?;
        let row = row.filter(|row| !stored.session.is_before_its_beginning(row.link.position));
        let row =
            row.ok_or(Error::Invalid { pointer: "/time", detail: "must not be before the created_at of the session" })?;
        let session = session_of(&row)?;
        Ok(if session.is_due(at) { session.settled(at).session } else { session })
    }

    /// The session as it stood in a version.
    pub async fn version(&self, key: &SessionKey, stored: &StoredSession, version: u64) -> Result<Session, Error> {
        self.wait_for_audit(stored).await?;
        let row = self.ledger.version(key, version).await?;
        let row = row.filter(|row| !stored.session.is_before_its_beginning(row.link.position));
        session_of(&row.ok_or(Error::Invalid {
            pointer: "/to_version",
            detail: "must be a version of the session, from its first to the present one; history lists them",
        })?)
    }

    /// Waits until the ledger has the newest version; false if that takes too long.
    async fn wait_for_audit(&self, stored: &StoredSession) -> Result<bool, Error> {
        let Some(entry_id) = stored.entry_id else { return Ok(true) };
        match tokio::time::timeout(AUDIT_TIMEOUT, self.store.wait_recorded(entry_id)).await {
            Ok(recorded) => Ok(recorded.map(|()| true)?),
            Err(_) => Ok(false),
        }
    }
}

/// The position before that one; none, if it is the first.
fn before(Position { epoch, version }: Position) -> Option<Position> {
    let version = version.checked_sub(1).filter(|before| *before > 0)?;
    Some(Position { epoch, version })
}

fn session_of(row: &Row) -> Result<Session, Error> {
    let body = row.body.as_deref().ok_or(Error::Invalid {
        pointer: "/to_version",
        detail: "was shed while the ledger was away; choose a version near it",
    })?;
    Ok(Session::from_stored(body)?)
}
