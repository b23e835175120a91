//! Revocations: tokens that prove nothing any more, though they have not ended.

use super::id::TenantId;
use super::principal::Principal;
use super::time::Timestamp;

/// Which tokens are revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevokedTokens {
    /// The token of that id (`jti`).
    Token(String),
    /// Those of a subject, and those that it has made for others.
    Subject {
        /// The subject (`sub`).
        subject: String,
        /// Those made (`iat`) at or before this instant. A token that does not say when it was
        /// made counts as older.
        before: Timestamp,
    },
}

/// A revocation by an administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Its id.
    pub id: String,
    /// Whose tokens.
    pub tenant: TenantId,
    /// Which of them.
    pub tokens: RevokedTokens,
    /// When it was made.
    pub at: Timestamp,
    /// The administrator's subject.
    pub by: String,
    /// When it ends by itself, as every token that it concerns has ended; [`Timestamp::NEVER`]
    /// where tokens may last for any time.
    pub expires_at: Timestamp,
}

/// Whether a token that was made at `issued_at` was made at or before that instant.
pub fn is_made_by(issued_at: Option<Timestamp>, before: Timestamp) -> bool {
    issued_at.is_none_or(|issued_at| issued_at <= before)
}

impl RevokedTokens {
    /// Whether they are those of `principal`, or it was made by one who is revoked.
    pub fn include(&self, principal: &Principal) -> bool {
        let from = &principal.provenance;
        match self {
            Self::Token(id) => from.token_id.as_ref() == Some(id),
            Self::Subject { subject, before } => {
                let is_theirs = principal.subject == *subject || from.made_by.as_ref() == Some(subject);
                is_theirs && is_made_by(from.issued_at, *before)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::principal::{Provenance, Role};

    fn principal(subject: &str, provenance: Provenance) -> Principal {
        Principal {
            tenant: TenantId::new("t").unwrap(),
            subject: subject.to_owned(),
            role: Role::Viewer,
            participant_id: None,
            sessions: None,
            locations: None,
            expires_at: None,
            provenance,
        }
    }

    #[test]
    fn a_token_is_revoked_by_its_id_alone() {
        let revoked = RevokedTokens::Token("a".to_owned());
        let of = |id: Option<&str>| Provenance { token_id: id.map(str::to_owned), ..Provenance::default() };
        assert!(revoked.include(&principal("s", of(Some("a")))));
        assert!(!revoked.include(&principal("a", of(Some("b")))));
        assert!(!revoked.include(&principal("a", of(None))));
    }

    #[test]
    fn a_subject_is_revoked_up_to_an_instant_with_what_it_made() {
        let revoked = RevokedTokens::Subject { subject: "s".to_owned(), before: Timestamp::from_ms(5) };
        let at = |ms: Option<i64>, maker: Option<&str>| Provenance {
            issued_at: ms.map(Timestamp::from_ms),
            made_by: maker.map(str::to_owned),
            ..Provenance::default()
        };
        for (subject, provenance, is_revoked) in [
            ("s", at(Some(5), None), true),
            ("s", at(Some(6), None), false),
            ("s", at(None, None), true),
            ("x", at(Some(1), None), false),
            ("x", at(Some(5), Some("s")), true),
            ("x", at(Some(6), Some("s")), false),
            ("x", at(Some(5), Some("y")), false),
        ] {
            assert_eq!(
                revoked.include(&principal(subject, provenance.clone())),
                is_revoked,
                "{subject} {provenance:?}"
            );
        }
    }
}
