//! What the audit says of one change, and how a history shows it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::instant::Instant;
use crate::domain::chain::{Digest, Link};
use crate::domain::id::{GroupId, ParticipantId};
use crate::domain::principal::Principal;
use crate::domain::session::control::Action;
use crate::domain::session::event::{Change, Outcome};

/// What happened, as the ledger keeps it and a history shows it.
#[derive(Debug, Serialize)]
struct Changed<'a> {
    command: &'static str,
    by: Option<By<'a>>,
    outcome: &'a Outcome,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expired: Vec<ExpiredBody<'a>>,
}

#[derive(Debug, Serialize)]
struct By<'a> {
    sub: &'a str,
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    participant_id: Option<&'a ParticipantId>,
}

#[derive(Debug, Serialize)]
struct ExpiredBody<'a> {
    at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    participant_id: Option<&'a ParticipantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<&'a GroupId>,
    action: Action,
}

/// Writes down a change: the command, who asked, what came of it.
#[must_use]
pub fn changed(command: &'static str, by: Option<&Principal>, change: &Change) -> Bytes {
    let by = by.map(|by| By { sub: &by.subject, role: by.role.as_str(), participant_id: by.participant_id.as_ref() });
    let expired = change.expired.iter().map(|expired| ExpiredBody {
        at: Instant(expired.at),
        participant_id: expired.participant_id.as_ref(),
        group_id: expired.group_id.as_ref(),
        action: expired.action,
    });
    let changed = Changed { command, by, outcome: &change.outcome, expired: expired.collect() };
    let mut out = Vec::with_capacity(256);
    // Numbers and texts only: it always serialises.
    let _ = serde_json::to_writer(&mut out, &changed);
    out.into()
}

/// The outcome inside a change that was written down.
#[must_use]
pub fn outcome_in(change: &[u8]) -> Option<Outcome> {
    #[derive(Deserialize)]
    struct Kept {
        outcome: Outcome,
    }
    serde_json::from_slice::<Kept>(change).ok().map(|kept| kept.outcome)
}

/// One change of a history.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields say what they hold")]
pub struct Item {
    pub position: String,
    pub epoch: i64,
    pub version: u64,
    pub at: Instant,
    pub superseded: bool,
    pub change: Option<Box<RawValue>>,
    pub link: LinkBody,
}

/// A link of the chain: the digest covers position, instant, previous and body.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields say what they hold")]
pub struct LinkBody {
    pub previous: Digest,
    pub body: Digest,
    pub digest: Digest,
}

impl Item {
    /// A row of the ledger as the wire shows it.
    #[must_use]
    pub fn of(link: &Link, change: &[u8], superseded: bool) -> Self {
        Self {
            position: link.position.to_string(),
            epoch: link.position.epoch,
            version: link.position.version,
            at: Instant(link.at),
            superseded,
            change: serde_json::from_slice(change).ok(),
            link: LinkBody { previous: link.previous, body: link.body, digest: link.digest() },
        }
    }
}
