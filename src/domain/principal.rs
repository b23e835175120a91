//! Who a token proves the caller to be, and what that may do.

use std::collections::BTreeSet;

use super::id::{ParticipantId, SessionId, TenantId};
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
