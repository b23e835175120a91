//! Sessions that append their versions to an outbox, linked, without the service around them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use synckairos::domain::chain::{Digest, Link};
use synckairos::domain::entry::Entry;
use synckairos::domain::id::{SessionId, SessionKey, TenantId};
use synckairos::domain::position::Position;
use synckairos::domain::time::Timestamp;
use synckairos::ledger::Ledger;
use synckairos::store::outbox::MemoryOutbox;

use super::cluster::{BEGIN_MS, TENANT};

#[derive(Default)]
pub struct Writers {
    last: HashMap<SessionKey, (u64, Digest)>,
}

impl Writers {
    /// That many entries, of the sessions in turn.
    pub fn append(&mut self, outbox: &MemoryOutbox, entries: usize, sessions: usize) {
        for number in 0..entries {
            outbox.append(self.next(number % sessions));
        }
    }

    pub fn next(&mut self, session: usize) -> Arc<Entry> {
        let key = key(session);
        let (version, previous) = self.last.get(&key).copied().unwrap_or((0, Digest::NONE));
        let version = version + 1;
        let at = BEGIN_MS + version.cast_signed();
        let body = json!({
            "format": 1, "status": "running", "sync_mode": "global", "due_at": null, "created_at": BEGIN_MS,
            "updated_at": at, "participants": [], "metadata": {}, "version": version,
        });
        let body = Bytes::from(body.to_string());
        let position = Position { epoch: 1, version };
        let link = Link { position, at: Timestamp::from_ms(at), previous, body: Digest::of(&body) };
        self.last.insert(key.clone(), (version, link.digest()));
        Arc::new(Entry { key, link, body: Some(body), change: "{}".into(), idempotency: None })
    }

    /// How many of its versions each session should have.
    pub async fn all_are_in(&self, ledger: &dyn Ledger) {
        for (key, (version, _)) in &self.last {
            assert_eq!(versions(ledger, key).await, (1..=*version).collect::<Vec<_>>(), "{key}");
        }
    }
}

/// The versions the ledger holds, after checking that each is linked to the one before.
pub async fn versions(ledger: &dyn Ledger, key: &SessionKey) -> Vec<u64> {
    let (mut versions, mut after, mut previous) = (Vec::new(), None, None);
    loop {
        let page = ledger.history(key, after, 1_000).await.unwrap().rows;
        let Some(last) = page.last() else { return versions };
        after = Some(last.link.position);
        for row in page {
            let follows = versions.last().is_none_or(|last| row.link.position.version == last + 1);
            assert!(!follows || previous.is_none_or(|previous| row.link.previous == previous));
            previous = Some(row.link.digest());
            versions.push(row.link.position.version);
        }
    }
}

pub fn key(session: usize) -> SessionKey {
    SessionKey { tenant: TenantId::new(TENANT).unwrap(), session: SessionId::new(format!("s{session}")).unwrap() }
}
