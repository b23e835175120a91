//! Who a token proves the caller to be.

use std::borrow::Cow;
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
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Participant => "participant",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role a token's text names.
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
    /// The subject that requested it by `POST .../tokens`.
    pub made_by: Option<String>,
    /// The version that added its participant, 0 for a participant from the beginning: the token
    /// is for that seat, not for a later holder of the id.
    pub seat: Option<u64>,
    /// The end of the client certificate that proves the same caller, where one does.
    pub certificate_end: Option<Timestamp>,
}

/// A proven caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The tenant whose sessions it sees.
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
    /// The identity that idempotency keys belong to: a token that another subject requested is
    /// not the same caller.
    pub fn identity(&self) -> Cow<'_, str> {
        match &self.provenance.made_by {
            None => Cow::Borrowed(&self.subject),
            Some(maker) => Cow::Owned(format!("{}\nmade by {maker}", self.subject)),
        }
    }

    /// The caller whom a token proves beside the certificate of `holder`: with what the token
    /// allows, until either ends. `None`, if they are not the same caller in the same role.
    pub fn bound_to(&self, holder: &Self) -> Option<Self> {
        let is_same = self.tenant == holder.tenant && self.subject == holder.subject && self.role == holder.role;
        let end = holder.provenance.certificate_end?;
        is_same.then(|| Self {
            expires_at: Some(self.expires_at.map_or(end, |at| at.min(end))),
            provenance: Provenance { certificate_end: Some(end), ..self.provenance.clone() },
            ..self.clone()
        })
    }

    /// Whether `renewed` is the same caller with no more rights over sessions.
    pub fn is_renewed_by(&self, renewed: &Self) -> bool {
        let narrower = match (&self.sessions, &renewed.sessions) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(old), Some(new)) => new.is_subset(old),
        };
        self.subject == renewed.subject && self.tenant == renewed.tenant && narrower
    }
}
