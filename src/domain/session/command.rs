//! Commands, and why the rules may refuse them.

use serde_json::{Map, Value};

use super::Session;
use super::control::TimeControl;
use super::new::NewParticipant;
use crate::domain::id::{GroupId, ParticipantId};
use crate::domain::time::Timestamp;

/// Whose clock a command is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Target {
    /// The session, or whatever runs.
    #[default]
    Session,
    /// One participant's.
    Participant(ParticipantId),
    /// One group's.
    Group(GroupId),
}

/// The next participant of a switch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Next {
    /// The next in turn order who can still play.
    #[default]
    InTurn,
    /// This one.
    Participant(ParticipantId),
    /// The next of this group.
    Group(GroupId),
}

/// What a switch says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Switch {
    /// Who the caller believes is active.
    pub current: Option<ParticipantId>,
    /// Who comes next.
    pub next: Next,
    /// When the client says it acted.
    pub acted_at: Option<Timestamp>,
    /// The sending connection's own lag, as measured by the server.
    pub connection_lag_ms: i64,
}

/// How an adjustment changes a bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adjustment {
    /// Give or take.
    Add(i64),
    /// Replace.
    Set(i64),
}

/// Changes to a participant; absent parts stay.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParticipantChange {
    /// Its bank; only while pending.
    pub total_time_ms: Option<i64>,
    /// Its group; only while pending.
    pub group_id: Option<GroupId>,
    /// Its place in the turn order.
    pub participant_index: Option<u32>,
    /// In place of the session's; only while pending.
    pub time_control: Option<TimeControl>,
    /// The caller's metadata.
    pub metadata: Option<Map<String, Value>>,
}

/// A command. Nothing else changes a session.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Begin, at once or at an instant to come.
    Start {
        /// When; at once if absent or past.
        at: Option<Timestamp>,
        /// Whose cycle is first.
        participant: Option<ParticipantId>,
    },
    /// Hand on; a lap where time counts up.
    Switch(Switch),
    /// Stop the clock for a reason.
    Pause {
        /// Why.
        reason: Option<String>,
        /// Whose, where clocks run simultaneously.
        target: Target,
        /// The clock's own participant asks; the reason is its own then.
        by_participant: bool,
    },
    /// Take a reason back (all, if none is named).
    Resume {
        /// Which.
        reason: Option<String>,
        /// Whose, where clocks run simultaneously.
        target: Target,
        /// The clock's own participant asks; it takes back only its own reasons.
        by_participant: bool,
    },
    /// End well.
    Complete {
        /// Whose, where clocks run simultaneously.
        target: Target,
    },
    /// Call off.
    Cancel,
    /// Back to pending.
    Reset,
    /// Give, take or set time.
    Adjust {
        /// Whose.
        target: Target,
        /// How.
        change: Adjustment,
    },
    /// An accepted bid.
    Extend,
    /// Clocks and turn as they stood in an earlier version.
    Revert {
        /// That version.
        then: Box<Session>,
    },
    /// One more takes part.
    AddParticipant(Box<NewParticipant>),
    /// One of them changes.
    ChangeParticipant {
        /// Who.
        id: ParticipantId,
        /// How.
        change: Box<ParticipantChange>,
    },
    /// One leaves.
    RemoveParticipant {
        /// Who.
        id: ParticipantId,
    },
    /// Gone for good.
    Delete,
    /// Only settle what is due.
    Settle,
}

impl Command {
    /// As in the URL, the audit and the metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Switch(_) => "switch",
            Self::Pause { .. } => "pause",
            Self::Resume { .. } => "resume",
            Self::Complete { .. } => "complete",
            Self::Cancel => "cancel",
            Self::Reset => "reset",
            Self::Adjust { .. } => "adjust",
            Self::Extend => "extend",
            Self::Revert { .. } => "revert",
            Self::AddParticipant(_) => "add_participant",
            Self::ChangeParticipant { .. } => "change_participant",
            Self::RemoveParticipant { .. } => "remove_participant",
            Self::Delete => "delete",
            Self::Settle => "settle",
        }
    }
}

/// The rules refuse; nothing is broken and nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// No clock runs.
    #[error("the session is not running")]
    NotRunning,
    /// It is not paused, or not for that reason.
    #[error("the session is not paused for that reason")]
    NotPaused,
    /// Only a pending session can be started or changed so.
    #[error("the session has already started")]
    AlreadyStarted,
    /// No command changes it any more.
    #[error("the session has ended")]
    SessionEnded,
    /// The given current participant is not active.
    #[error("that participant is not the active one")]
    NotActive,
    /// The session's mode has no such command.
    #[error("the session's mode does not have that command")]
    WrongMode,
    /// The clock is out and waits for a switch already under way.
    #[error("the clock is at zero and waits for a switch already under way")]
    DeadlinePending,
    /// That bank is empty.
    #[error("that participant's time has run out")]
    ParticipantExpired,
    /// No such participant.
    #[error("there is no such participant")]
    UnknownParticipant,
    /// No such group.
    #[error("there is no such group")]
    UnknownGroup,
    /// A participant of that name is there already, or too many are.
    #[error("the participants would not be valid")]
    InvalidParticipants,
    /// The time would be out of bounds.
    #[error("the time would be out of bounds")]
    OutOfBounds,
    /// The combination of controls has no meaning.
    #[error("the time control has no meaning in this session")]
    InvalidTimeControl,
}
