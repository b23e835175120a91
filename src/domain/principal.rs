//! Who a token proves the caller to be, and what that may do.

use std::collections::BTreeSet;

use super::id::{ParticipantId, SessionId, TenantId};
use super::session::Session;
use super::session::command::{Command, Target};
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
            (Role::Participant, Some(own)) => is_its_own(command, own, session),
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
            is_active && switch.current.as_ref().is_none_or(|current| current == own)
        }
        Command::Pause { target, .. } | Command::Resume { target, .. } | Command::Complete { target } => {
            session.is_simultaneous() && *target == Target::Participant(own.clone())
        }
        Command::Settle => true,
        _ => false,
    }
}
