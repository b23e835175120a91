//! Sessions, versions and commits for tests of a store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::Bench;
use crate::domain::chain::{Digest, Link};
use crate::domain::entry::Entry;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::idempotency::IdempotencyKey;
use crate::domain::session::Session;
use crate::domain::session::command::{Command, Switch};
use crate::domain::session::control::{Rules, SyncMode};
use crate::domain::session::event::Step;
use crate::domain::session::new::NewSession;
use crate::domain::time::Timestamp;
use crate::store::{Commit, Committed, Now, StoredSession};

pub const NOW: Timestamp = Timestamp::from_ms(1_767_225_600_000);

/// A clock that stands still.
pub fn still() -> Now {
    Arc::new(|| NOW)
}

pub fn key(session: &str) -> SessionKey {
    SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new(session).unwrap() }
}

/// A session with one minute.
pub fn created(key: &SessionKey) -> Session {
    let new = NewSession {
        session_id: key.session.clone(),
        sync_mode: SyncMode::Global,
        participants: Vec::new(),
        groups: Vec::new(),
        rules: Rules { total_time_ms: Some(60_000), ..Rules::default() },
        metadata: serde_json::Map::new(),
    };
    Session::create(new, NOW).unwrap().session
}

pub fn after(base: &StoredSession, command: &Command, at: Timestamp) -> Session {
    match base.session.next(command, at) {
        Step::Done(change) => change.session,
        other => panic!("{other:?}"),
    }
}

pub const START: Command = Command::Start { at: None, participant: None };

pub fn commit(
    key: &SessionKey,
    base: Option<&StoredSession>,
    session: Session,
    repeat: Option<IdempotencyKey>,
) -> Commit {
    let body = Bytes::from(session.stored());
    let previous = base.map_or(Digest::NONE, |base| base.head);
    let link = Link { position: session.position, at: session.updated_at, previous, body: Digest::of(&body) };
    let change = Bytes::from(format!("{{\"version\":{}}}", session.position.version));
    let frames = Bytes::from(format!("frame {}", session.position));
    let entry = Arc::new(Entry { key: key.clone(), link, body: Some(body), change, idempotency: repeat });
    Commit {
        operation: OPERATIONS.fetch_add(1, Ordering::Relaxed),
        key: key.clone(),
        base: base.map(|base| base.session.position),
        session: Arc::new(session),
        frames,
        entry,
    }
}

static OPERATIONS: AtomicU64 = AtomicU64::new(0);

pub fn switch() -> Command {
    Command::Switch(Switch::default())
}

pub async fn stored(bench: &impl Bench, commit: Commit) -> StoredSession {
    match bench.store().commit(commit).await.unwrap() {
        Committed::Stored(stored) => stored,
        other => panic!("{other:?}"),
    }
}

pub async fn first(bench: &impl Bench, key: &SessionKey) -> StoredSession {
    bench.subscribe(key).await;
    stored(bench, commit(key, None, created(key), None)).await
}

pub async fn commanded(bench: &impl Bench, key: &SessionKey, base: &StoredSession, command: &Command) -> StoredSession {
    let at = base.session.updated_at;
    stored(bench, commit(key, Some(base), after(base, command, at), None)).await
}

pub fn repeat(text: &str) -> IdempotencyKey {
    IdempotencyKey { key: Digest::of(text.as_bytes()), body: Digest::of(b"body") }
}
