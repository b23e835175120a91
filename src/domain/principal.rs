//! Who a token proves the caller to be, and what that may do.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::id::{ParticipantId, SessionId, TenantId};
use super::session::command::{Command, Target};
use super::session::{Owner, Session};
use super::time::Timestamp;

/// What a caller may do; each includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Read and subscribe.
    Viewer,
    /// Act for its own participant.
    Participant,
    /// Everything inside its tenant's sessions.
    Operator,
    /// That, and the tenant's settings and dead letters.
    Admin,
}

impl Role {
    /// The role as a token names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Participant => "participant",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role a token's text names.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        [Self::Viewer, Self::Participant, Self::Operator, Self::Admin].into_iter().find(|role| role.as_str() == text)
    }
}

/// What a token says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Provenance {
    /// The token's own id (`jti`).
    pub token_id: Option<String>,
    /// When it was made (`iat`).
    pub issued_at: Option<Timestamp>,
    /// The subject that had it made by `POST .../tokens`.
    pub made_by: Option<String>,
    /// The version that added its participant, 0 for one of the first: the token is for that
    /// seat, not for whoever has the id later.
    pub seat: Option<u64>,
}

/// A proven caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Whose things it sees.
    pub tenant: TenantId,
    /// Who it is, within the tenant.
    pub subject: String,
    /// What it may do.
    pub role: Role,
    /// The participant it acts for.
    pub participant_id: Option<ParticipantId>,
    /// The sessions it is limited to; `None` is all of the tenant's.
    pub sessions: Option<BTreeSet<SessionId>>,
    /// When its token ends; `None` in open mode.
    pub expires_at: Option<Timestamp>,
    /// Where its token comes from.
    pub provenance: Provenance,
}

impl Principal {
    /// Whether it may see `session`. What it may not see does not exist for it.
    #[must_use]
    pub fn sees(&self, session: &SessionId) -> bool {
        self.sessions.as_ref().is_none_or(|allowed| allowed.contains(session))
    }

    /// Whether it may do this to a session in that state.
    #[must_use]
    pub fn may(&self, command: &Command, session: &Session) -> bool {
        match (self.role, &self.participant_id) {
            (Role::Operator | Role::Admin, _) => true,
            (Role::Viewer, _) | (_, None) => matches!(command, Command::Settle),
            (Role::Participant, Some(own)) => self.has_seat_of(own, session) && is_its_own(command, own, session),
        }
    }

    /// Whether its token is for the present holder of its participant's id. A token that names
    /// no seat is for whoever had the id when it was made, to the second that `iat` may tell.
    fn has_seat_of(&self, own: &ParticipantId, session: &Session) -> bool {
        let Some(seat) = session.seat(own) else { return true };
        let joined = session.participants[seat].joined;
        match (self.provenance.seat, joined, self.provenance.issued_at) {
            (Some(version), joined, _) => version == joined.map_or(0, |joined| joined.version),
            (None, Some(joined), Some(issued_at)) => issued_at.as_ms() >= joined.at.as_ms() / 1_000 * 1_000,
            _ => true,
        }
    }

    /// Whose idempotency keys its requests share: a token that somebody else had made for a
    /// subject is not that subject.
    #[must_use]
    pub fn identity(&self) -> Cow<'_, str> {
        match &self.provenance.made_by {
            None => Cow::Borrowed(&self.subject),
            Some(maker) => Cow::Owned(format!("{}\nmade by {maker}", self.subject)),
        }
    }

    /// Whether `renewed` is the same caller with no more rights over sessions.
    #[must_use]
    pub fn is_renewed_by(&self, renewed: &Self) -> bool {
        let narrower = match (&self.sessions, &renewed.sessions) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(old), Some(new)) => new.is_subset(old),
        };
        self.subject == renewed.subject && self.tenant == renewed.tenant && narrower
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
        Command::Settle => true,
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
