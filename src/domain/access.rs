//! Who may do what: every right, in one table.
//!
//! Each role has the rights of those before it. What a participant may do depends on the
//! session as well: on its seat, and on the rights that the session gives its participants.

use super::id::{ParticipantId, SessionId};
use super::principal::{Principal, Role};
use super::session::command::{Command, Target};
use super::session::{Owner, Session};

/// What a caller asks for. Reading and following a session needs no right but to see it.
#[derive(Debug, Clone, Copy)]
pub enum Access<'a> {
    /// A command to a session.
    Command(&'a Command),
    /// A revert whose version is not looked up yet.
    Revert,
    /// To create or clone a session, or to have a token issued.
    Operate,
    /// To follow the status of the instance.
    FollowStatus,
    /// To read what belonged to an earlier session of the same id, which was deleted.
    ReadPredecessor,
    /// To administer the tenant: its settings, revocations and security events.
    Administer,
}

impl Access<'_> {
    /// The least role that has the right.
    const fn least_role(self) -> Role {
        match self {
            Self::Command(Command::Settle) => Role::Viewer,
            Self::Command(
                Command::Switch(_) | Command::Pause { .. } | Command::Resume { .. } | Command::Complete { .. },
            ) => Role::Participant,
            Self::Command(
                Command::Start { .. }
                | Command::Cancel
                | Command::Reset
                | Command::Adjust { .. }
                | Command::Extend
                | Command::Revert { .. }
                | Command::AddParticipant(_)
                | Command::ChangeParticipant { .. }
                | Command::RemoveParticipant { .. }
                | Command::Delete,
            )
            | Self::Revert
            | Self::Operate
            | Self::FollowStatus
            | Self::ReadPredecessor => Role::Operator,
            Self::Administer => Role::Admin,
        }
    }
}

/// The role of a token that an operator has issued: it is for one participant, or for a viewer.
pub const fn issued_role(participant: Option<&ParticipantId>) -> Role {
    match participant {
        Some(_) => Role::Participant,
        None => Role::Viewer,
    }
}

impl Principal {
    /// Whether it may see `session`. What it may not see does not exist for it.
    pub fn sees(&self, session: &SessionId) -> bool {
        self.sessions.as_ref().is_none_or(|allowed| allowed.contains(session))
    }

    /// Whether its role has the right at all. This is asked before anything is read, so that
    /// neither a refusal nor the repeat of another role's request shows what only that role may see.
    pub fn may(&self, access: Access<'_>) -> bool {
        self.role >= access.least_role()
    }

    /// Whether it may administer its tenant: a token for some sessions is for those alone.
    pub fn may_administer(&self) -> bool {
        self.may(Access::Administer) && self.sessions.is_none()
    }

    /// Whether it may do this to a session in that state.
    pub fn may_command(&self, command: &Command, session: &Session) -> bool {
        match Access::Command(command).least_role() {
            least if self.role < least => false,
            Role::Participant if self.role == Role::Participant => self
                .participant_id
                .as_ref()
                .is_some_and(|own| self.has_seat_of(own, session) && is_its_own(command, own, session)),
            _ => true,
        }
    }

    /// Whether its token is for the present holder of its participant's id. A token that names
    /// no seat is for the holder of the id when it was made, to the second that `iat` gives.
    fn has_seat_of(&self, own: &ParticipantId, session: &Session) -> bool {
        let Some(seat) = session.seat(own) else { return true };
        let joined = session.participants[seat].joined;
        match (self.provenance.seat, joined, self.provenance.issued_at) {
            (Some(version), joined, _) => version == joined.map_or(0, |joined| joined.version),
            (None, Some(joined), Some(issued_at)) => issued_at.as_ms() >= joined.at.as_ms() / 1_000 * 1_000,
            _ => true,
        }
    }
}

/// A participant switches while it is active, and has its own clock where all run at once.
fn is_its_own(command: &Command, own: &ParticipantId, session: &Session) -> bool {
    match command {
        Command::Switch(switch) => {
            let is_active = session.active_participant().is_some_and(|active| active.participant_id == *own);
            let names_itself = switch.current.as_ref().is_none_or(|current| current == own);
            is_active && names_itself && session.lets_hand_on(&switch.next)
        }
        Command::Pause { target, .. } => session.rules.rights.self_pause && is_own_clock(target, own, session),
        Command::Resume { target, reason, .. } => {
            let may_pause = session.rules.rights.self_pause && is_own_clock(target, own, session);
            may_pause && may_lift(reason.as_deref(), own, session)
        }
        Command::Complete { target } => session.rules.rights.self_complete && is_own_clock(target, own, session),
        _ => false,
    }
}

/// A participant has a clock for itself only where all run at once.
fn is_own_clock(target: &Target, own: &ParticipantId, session: &Session) -> bool {
    session.is_simultaneous() && *target == Target::Participant(own.clone())
}

/// A participant takes back the reasons it gave. One that does not stand is for the rules to refuse.
fn may_lift(reason: Option<&str>, own: &ParticipantId, session: &Session) -> bool {
    let Some(seat) = session.seat(own) else { return true };
    let bank = session.bank(Owner::Participant(seat));
    match reason {
        Some(reason) => !bank.reasons.contains(reason) || bank.own_reasons.contains(reason),
        None => bank.reasons.is_empty() || !bank.own_reasons.is_empty(),
    }
}
