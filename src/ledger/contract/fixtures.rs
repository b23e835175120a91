//! Entries to record, and short queries about them.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::domain::chain::{Digest, Link};
use crate::domain::entry::Entry;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::ledger::{Filter, Ledger, Row};

pub(super) fn key(session: &str) -> SessionKey {
    SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new(session).unwrap() }
}

pub(super) fn stored(at: i64, more: &Value) -> Bytes {
    let mut stored = json!({
        "format": 1, "status": "running", "sync_mode": "global", "due_at": null,
        "created_at": 0, "updated_at": at, "participants": [], "metadata": {}, "other": {"kept": true},
    });
    for (name, value) in more.as_object().unwrap() {
        stored[name] = value.clone();
    }
    Bytes::from(stored.to_string())
}

/// The entry after `previous`. Its instant is ten times its version.
pub(super) fn entry(session: &str, epoch: i64, version: u64, previous: Digest, more: &Value) -> Arc<Entry> {
    let at = 10 * i64::try_from(version).unwrap();
    let body = stored(at, more);
    let link =
        Link { position: Position { epoch, version }, at: Timestamp::from_ms(at), previous, body: Digest::of(&body) };
    let change = Bytes::from(json!({ "type": "switched", "version": version }).to_string());
    Arc::new(Entry { key: key(session), link, body: Some(body), change, idempotency: None })
}

pub(super) fn first(session: &str, more: &Value) -> Arc<Entry> {
    entry(session, 1, 1, Digest::NONE, more)
}

/// Versions `from..=to` of one epoch, linked.
pub(super) fn chain(session: &str, epoch: i64, versions: RangeInclusive<u64>, previous: Digest) -> Vec<Arc<Entry>> {
    let mut previous = previous;
    versions
        .map(|version| {
            let entry = entry(session, epoch, version, previous, &json!({ "epoch": epoch }));
            previous = entry.link.digest();
            entry
        })
        .collect()
}

pub(super) fn changed(entry: &Arc<Entry>, change: impl FnOnce(&mut Entry)) -> Arc<Entry> {
    let mut entry = Entry::clone(entry);
    change(&mut entry);
    Arc::new(entry)
}

pub(super) async fn positions(ledger: &dyn Ledger, session: &str) -> Vec<(i64, u64, bool)> {
    let rows = ledger.history(&key(session), None, 1000).await.unwrap().rows;
    rows.iter().map(|row| (row.link.position.epoch, row.link.position.version, row.superseded)).collect()
}

pub(super) async fn ids(ledger: &dyn Ledger, filter: &Filter) -> Vec<String> {
    let tenant = TenantId::new("acme").unwrap();
    let rows = ledger.sessions(&tenant, filter, None, 100).await.unwrap().rows;
    rows.iter().map(|row| row.key.session.to_string()).collect()
}

pub(super) async fn epoch_of(ledger: &dyn Ledger, version: u64) -> Option<i64> {
    let row = ledger.version(&key("a"), version).await.unwrap()?;
    assert_eq!(row.link.position.version, version);
    Some(row.link.position.epoch)
}

pub(super) fn as_row(entry: &Entry) -> Row {
    Row {
        key: entry.key.clone(),
        link: entry.link,
        body: entry.body.clone(),
        change: entry.change.clone(),
        superseded: false,
    }
}
