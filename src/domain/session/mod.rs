//! Timer sessions: whose clock runs, how it behaves, what commands do to it.
//!
//! Nothing ticks. A session holds anchors, from which a read computes what a clock shows at an
//! instant. Everything due by then is settled at its own exact instant, however late the read.

pub mod bank;
pub mod command;
pub mod control;
pub mod create;
pub mod edges;
pub mod event;
pub mod explain;
pub mod growth;
pub mod idle;
pub mod lifecycle;
pub mod new;
pub mod outage;
pub mod participant;
pub mod project;
pub mod restore;
pub mod stored;
pub mod summary;
pub mod validate;

mod adjust;
mod apply;
mod cycle;
mod lag;
mod revert;
mod roster;
mod settle;
mod skip;
#[cfg(test)]
pub(crate) mod tests;
mod turn;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::bank::Bank;
use self::control::{Concurrency, PLAIN, Rules, SyncMode, TimeControl};
use self::outage::Outage;
use self::participant::{Group, Participant};
use self::skip::{is_default, is_empty};
use crate::domain::chain::Digest;
use crate::domain::id::{GroupId, ParticipantId, SessionId};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Created; no time has been used.
    Pending,
    /// Somebody's time is being used.
    Running,
    /// Nobody's time is being used; it goes on when the last reason is gone.
    Paused,
    /// A clock ran out, and that ended it.
    Expired,
    /// Ended well.
    Completed,
    /// Called off.
    Cancelled,
    /// Gone; only the position remains.
    Deleted,
}

impl Status {
    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Expired => "expired",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Deleted => "deleted",
        }
    }

    /// Whether no command changes it any more.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Expired | Self::Completed | Self::Cancelled | Self::Deleted)
    }
}

/// That a session was lost and restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// When it was restored.
    pub at: Timestamp,
    /// The `updated_at` of the version it came from.
    pub from: Timestamp,
}

/// One shared timer arrangement, its participants and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Format of the stored form: the one it was read in, or the one to write.
    pub format: u16,
    /// Its name within the tenant.
    pub session_id: SessionId,
    /// Where it is in its history.
    pub position: Position,
    /// Where an earlier session of this id ended, if there was one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub predecessor: Option<Position>,
    /// The link before the one this version makes.
    pub previous: Digest,
    /// Where it is in its life.
    pub status: Status,
    /// Whose clock runs.
    pub sync_mode: SyncMode,
    /// What its clocks go by.
    pub rules: Arc<Rules>,
    /// When something happens without a command.
    #[serde(default, skip_serializing_if = "is_default")]
    pub due_at: Option<Timestamp>,
    /// When it will start by itself.
    #[serde(default, skip_serializing_if = "is_default")]
    pub starts_at: Option<Timestamp>,
    /// Seat of the participant whose time is being used.
    #[serde(default, skip_serializing_if = "is_default")]
    pub active: Option<usize>,
    /// Why it is paused.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reasons: BTreeSet<String>,
    /// The session's own clock: global, count-up, or the cycle's.
    #[serde(default, skip_serializing_if = "Bank::is_unused")]
    pub clock: Bank,
    /// What the present cycle has been charged, pauses bridged.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cycle_used_ms: i64,
    /// In turn order; the seat is the index here. Unchanged ones are shared with the version before.
    #[serde(default, skip_serializing_if = "is_default")]
    pub participants: Vec<Arc<Participant>>,
    /// Groups with a bank of their own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub groups: Vec<Group>,
    /// The caller's metadata.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub metadata: Arc<Map<String, Value>>,
    /// That it was lost and restored.
    #[serde(default, skip_serializing_if = "is_default")]
    pub recovered: Option<Recovered>,
    /// The outage that it was paused for when it was restored. The history has it for the next
    /// version, where this is `None`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub outage: Option<Outage>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it first started.
    #[serde(default, skip_serializing_if = "is_default")]
    pub started_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When a caller or subscriber was last seen, if it has advanced by itself since.
    #[serde(default, skip_serializing_if = "is_default")]
    pub attended_at: Option<Timestamp>,
}

/// Which clock: the session's own, a participant's by seat, a group's by place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The session's own.
    Session,
    /// A participant's.
    Participant(usize),
    /// A group's.
    Group(usize),
}

impl Session {
    /// All clocks at once?
    pub fn is_simultaneous(&self) -> bool {
        self.rules.concurrency == Concurrency::Simultaneous
    }

    /// Whether each participant, or each group, has a bank of its own.
    pub const fn has_own_banks(&self) -> bool {
        matches!(self.sync_mode, SyncMode::PerParticipant | SyncMode::PerGroup)
    }

    /// The clock of an owner.
    pub fn bank(&self, owner: Owner) -> &Bank {
        match owner {
            Owner::Session => &self.clock,
            Owner::Participant(seat) => &self.participants[seat].bank,
            Owner::Group(place) => &self.groups[place].bank,
        }
    }

    pub(super) fn participant_mut(&mut self, seat: usize) -> &mut Participant {
        Arc::make_mut(&mut self.participants[seat])
    }

    pub(super) fn bank_mut(&mut self, owner: Owner) -> &mut Bank {
        match owner {
            Owner::Session => &mut self.clock,
            Owner::Participant(seat) => &mut self.participant_mut(seat).bank,
            Owner::Group(place) => &mut self.groups[place].bank,
        }
    }

    /// The control an owner's clock goes by.
    pub fn control(&self, owner: Owner) -> &TimeControl {
        match owner {
            _ if !self.has_own_banks() => &PLAIN,
            Owner::Participant(seat) => {
                self.participants[seat].time_control.as_ref().unwrap_or(&self.rules.time_control)
            }
            _ => &self.rules.time_control,
        }
    }

    /// Whose bank `seat` uses: its own, its group's, or the session's.
    pub fn owner_of(&self, seat: usize) -> Owner {
        match self.sync_mode {
            SyncMode::PerParticipant => Owner::Participant(seat),
            SyncMode::PerGroup => self.group_of(seat).map_or(Owner::Participant(seat), Owner::Group),
            SyncMode::PerCycle | SyncMode::Global | SyncMode::CountUp => Owner::Session,
        }
    }

    /// The clock that runs in the present turn, where one at a time does.
    pub(super) fn owner_in_turn(&self) -> Owner {
        self.active.map_or(Owner::Session, |seat| self.owner_of(seat))
    }

    /// The clock that runs, where one at a time does.
    pub fn running(&self) -> Option<Owner> {
        if self.status != Status::Running || self.is_simultaneous() {
            return None;
        }
        match (self.sync_mode, self.active) {
            (SyncMode::PerCycle, Some(seat)) if self.clock.anchor.is_none() => Some(Owner::Participant(seat)),
            (_, Some(seat)) => Some(self.owner_of(seat)),
            (_, None) => Some(Owner::Session),
        }
    }

    /// The clock of an owner with the control it goes by.
    pub(super) fn clocked(&mut self, owner: Owner) -> (&mut Bank, &TimeControl) {
        let own = self.has_own_banks();
        let common = if own { &self.rules.time_control } else { &PLAIN };
        match owner {
            Owner::Session => (&mut self.clock, common),
            Owner::Group(place) => (&mut self.groups[place].bank, common),
            Owner::Participant(seat) => {
                let participant = Arc::make_mut(&mut self.participants[seat]);
                let control = participant.time_control.as_ref().filter(|_| own).unwrap_or(common);
                (&mut participant.bank, control)
            }
        }
    }

    /// Every clock that can run out by itself, where all run at once.
    pub(super) fn owners(&self) -> impl Iterator<Item = Owner> + use<> {
        let (seats, places) = match self.sync_mode {
            SyncMode::PerGroup => (0, self.groups.len()),
            _ => (self.participants.len(), 0),
        };
        (0..seats).map(Owner::Participant).chain((0..places).map(Owner::Group))
    }

    /// Whether a position belongs to an earlier session of this id, which was deleted.
    pub fn is_before_its_beginning(&self, position: Position) -> bool {
        self.predecessor.is_some_and(|end| position <= end)
    }

    /// The seat of a participant.
    pub fn seat(&self, id: &ParticipantId) -> Option<usize> {
        self.participants.iter().position(|participant| participant.participant_id == *id)
    }

    /// The place of a group.
    pub fn place(&self, id: &GroupId) -> Option<usize> {
        self.groups.iter().position(|group| group.group_id == *id)
    }

    /// The place of the group a seat belongs to.
    pub fn group_of(&self, seat: usize) -> Option<usize> {
        self.participants[seat].group_id.as_ref().and_then(|id| self.place(id))
    }

    /// The participant whose time is being used.
    pub fn active_participant(&self) -> Option<&Participant> {
        self.active.and_then(|seat| self.participants.get(seat)).map(Arc::as_ref)
    }
}
