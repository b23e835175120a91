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

/// Which key proved a token: the same key has the same mark, from wherever it was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyMark(pub u64);

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
    /// The key that proved it; `None` in open mode, and for a principal that no token has proved yet.
    pub key: Option<KeyMark>,
}

/// The longest name of a caller, in bytes: it is written into every change.
pub const MAX_NAME_BYTES: usize = 256;

/// Whether `text` can name a caller: it is not empty, not long, and shows as what it is.
///
/// Control characters and those that turn the direction of writing would let one name pass for
/// another wherever it is shown. The two joiners stay: names in several scripts need them.
pub fn is_valid_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len()) && !text.chars().any(is_invisible)
}

/// Controls (Cc), line and paragraph separators (Zl, Zp) and format characters (Cf), but for U+200C and U+200D.
fn is_invisible(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
                | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}'
        )
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
    /// The locations it is limited to; `None` is all of the tenant's.
    pub locations: Option<BTreeSet<String>>,
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

    /// Whether `renewed` is the same caller in the same role, with no more sessions or locations.
    ///
    /// Whoever watches a stream has seen it opened by this caller: a role or a participant that
    /// changes on the way would be another one.
    pub fn is_renewed_by(&self, renewed: &Self) -> bool {
        let is_same = self.tenant == renewed.tenant
            && self.subject == renewed.subject
            && self.role == renewed.role
            && self.participant_id == renewed.participant_id;
        let is_no_wider = is_within(self.sessions.as_ref(), renewed.sessions.as_ref())
            && is_within(self.locations.as_ref(), renewed.locations.as_ref());
        is_same && is_no_wider
    }
}

/// Whether `new` opens nothing that `old` does not; `None` opens all.
fn is_within<T: Ord>(old: Option<&BTreeSet<T>>, new: Option<&BTreeSet<T>>) -> bool {
    match (old, new) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(old), Some(new)) => new.is_subset(old),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_shows_as_what_it_is() {
        let longest = "s".repeat(MAX_NAME_BYTES);
        for name in ["s", "auth0|5f7c8ec7", "Ann O'Neil", "زه‌ره", "👩‍🚀", "a b", &longest] {
            assert!(is_valid_name(name), "{name:?}");
        }
        let too_long = "s".repeat(MAX_NAME_BYTES + 1);
        for name in [
            "",
            "a\0",
            "a\r\nb",
            "a\u{1b}[31m",
            "a\u{7f}",
            "a\u{85}",
            "a\u{202e}b",
            "\u{2066}a",
            "a\u{200f}",
            "a\u{200b}",
            "a\u{2028}b",
            "\u{feff}a",
            "a\u{ad}",
            "a\u{e0041}",
            &too_long,
        ] {
            assert!(!is_valid_name(name), "{name:?}");
        }
    }
}
