//! The audit entry of one change, and how a history shows it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::change::{Arguments, BankChange, Details, Turn};
use super::instant::Instant;
use crate::domain::chain::{Digest, Link};
use crate::domain::id::{GroupId, ParticipantId};
use crate::domain::principal::Principal;
use crate::domain::session::control::Action;
use crate::domain::session::event::{Change, Kind, Outcome};
use crate::domain::session::idle::IDLE_REASON;
use crate::domain::session::restore::Outage;

/// What happened, as the ledger keeps it and a history shows it.
#[derive(Debug, Serialize)]
struct Changed<'a> {
    command: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Arguments<'a>>,
    by: Option<By<'a>>,
    outcome: &'a Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    turn: Option<&'a Turn<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    banks: &'a [BankChange<'a>],
    /// The reason of a pause without a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expired: Vec<ExpiredBody<'a>>,
    /// What a restore did before the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    restored: Option<RestoreNote>,
}

/// What a restore did to a running session.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields say what they hold")]
pub struct RestoreNote {
    /// Why it is paused since then.
    pub reason: &'static str,
    /// The span that was not charged.
    pub from: Instant,
    pub until: Instant,
}

impl RestoreNote {
    /// The session was paused for that outage.
    pub fn of(outage: Outage) -> Self {
        Self { reason: "outage", from: Instant(outage.from), until: Instant(outage.until) }
    }
}

#[derive(Debug, Serialize)]
struct By<'a> {
    sub: &'a str,
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    participant_id: Option<&'a ParticipantId>,
    /// The subject that requested the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "made_by")]
    maker: Option<&'a str>,
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

/// The audit entry of a change: command, author and outcome; and the outage before it, if the
/// session was restored since the last change.
pub fn changed(
    command: &'static str,
    details: &Details<'_>,
    by: Option<&Principal>,
    change: &Change,
    outage: Option<Outage>,
) -> Bytes {
    let by = by.map(|by| By {
        sub: &by.subject,
        role: by.role.as_str(),
        participant_id: by.participant_id.as_ref(),
        maker: by.provenance.made_by.as_deref(),
    });
    let expired = change.expired.iter().map(|expired| ExpiredBody {
        at: Instant(expired.at),
        participant_id: expired.participant_id.as_ref(),
        group_id: expired.group_id.as_ref(),
        action: expired.action,
    });
    let is_idle = by.is_none() && change.outcome.kind == Kind::Paused;
    let Details { arguments, turn, banks } = details;
    let changed = Changed {
        command,
        arguments: *arguments,
        by,
        outcome: &change.outcome,
        turn: turn.as_ref(),
        banks,
        reason: is_idle.then_some(IDLE_REASON),
        expired: expired.collect(),
        restored: outage.map(RestoreNote::of),
    };
    let mut out = Vec::with_capacity(256);
    // Numbers and texts only: it always serialises.
    let _ = serde_json::to_writer(&mut out, &changed);
    out.into()
}

/// The outcome in an audit entry.
pub fn outcome_in(change: &[u8]) -> Option<Outcome> {
    #[derive(Deserialize)]
    struct OutcomeOnly {
        outcome: Outcome,
    }
    serde_json::from_slice::<OutcomeOnly>(change).ok().map(|audited| audited.outcome)
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
