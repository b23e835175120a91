//! Facts about the past: what a change did, for frames, answers and the audit.

use serde::{Deserialize, Serialize};

use super::Session;
use super::command::Refused;
use super::control::Action;
use crate::domain::id::{GroupId, ParticipantId};
use crate::domain::time::Timestamp;

/// The kind of an outcome, in the words of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each says what the command of that name did")]
pub enum Kind {
    Created,
    Started,
    Scheduled,
    Switched,
    Paused,
    Resumed,
    Completed,
    Cancelled,
    Reset,
    Adjusted,
    Extended,
    Reverted,
    ParticipantAdded,
    ParticipantChanged,
    ParticipantRemoved,
    Deleted,
    Settled,
}

/// What a command did, in figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What the whole cycle charged, credit taken off.
    pub charged_ms: i64,
    /// Of the claimed lag, what was given back.
    pub lag_credited_ms: i64,
    /// Of the claimed lag, what was not.
    pub lag_refused_ms: i64,
    /// The participant whose clock ran out in this change.
    pub expired_participant_id: Option<ParticipantId>,
    /// What that led to.
    pub action_applied: Option<Action>,
}

impl Outcome {
    /// One that charged nothing.
    pub const fn of(kind: Kind) -> Self {
        Self::charging(kind, 0)
    }

    /// One that charged a cycle.
    pub const fn charging(kind: Kind, charged_ms: i64) -> Self {
        Self {
            kind,
            charged_ms,
            lag_credited_ms: 0,
            lag_refused_ms: 0,
            expired_participant_id: None,
            action_applied: None,
        }
    }
}

impl Outcome {
    /// Adds the clock that ran out last.
    pub(super) fn tell(&mut self, expired: &Expired) {
        self.expired_participant_id.clone_from(&expired.participant_id);
        self.action_applied = Some(expired.action);
        if matches!(self.kind, Kind::Settled | Kind::Adjusted) {
            self.charged_ms = expired.charged_ms;
        }
    }
}

/// A clock ran out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    /// The exact instant.
    pub at: Timestamp,
    /// Whose cycle it was.
    pub participant_id: Option<ParticipantId>,
    /// Whose bank it was.
    pub group_id: Option<GroupId>,
    /// What the cycle that ran out was charged.
    pub charged_ms: i64,
    /// What that led to.
    pub action: Action,
}

/// A new version of a session and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The session after it.
    pub session: Session,
    /// What it did, in figures.
    pub outcome: Outcome,
    /// Clocks that ran out, in order; the newest [`MAX_EXPIRED`] of them.
    pub expired: Vec<Expired>,
}

/// The most expiries that one change names.
pub const MAX_EXPIRED: usize = 64;

/// What the rules make of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The rules refuse.
    Refused(Refused),
    /// This must be written first. Then the command is applied again, or refused if there is a
    /// refusal.
    Due(Box<Change>, Option<Refused>),
    /// This is what the command does.
    Done(Box<Change>),
}
