//! Names of things: short, printable, safe in a URL, a Redis key and a log line.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest identifier that is accepted, in bytes.
pub const MAX_LENGTH: usize = 128;

/// Why a text is no identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 128 characters of A-Z a-z 0-9 _ . : - and begin with a letter or digit")]
pub struct InvalidId;

fn is_valid(text: &str) -> bool {
    let tail = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    text.len() <= MAX_LENGTH && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric) && text.bytes().all(tail)
}

fn uuid_text(bits: u128) -> String {
    let part = |from: u32, digits: u32| (bits >> (4 * from)) & ((1 << (4 * digits)) - 1);
    format!("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", part(24, 8), part(20, 4), part(16, 4), part(12, 4), part(0, 12))
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and keeps `text`.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                let text = text.as_ref();
                if is_valid(text) { Ok(Self(text.into())) } else { Err(InvalidId) }
            }

            /// The identifier that is a UUID's text, which is always valid.
            pub fn from_uuid(bytes: [u8; 16]) -> Self {
                Self(uuid_text(u128::from_be_bytes(bytes)).into())
            }

            /// The identifier as it is written everywhere.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

identifier!(
    /// Who owns sessions; nothing of one tenant is visible to another.
    TenantId
);
identifier!(
    /// One shared timer arrangement within its tenant.
    SessionId
);
identifier!(
    /// Someone, or some team, with a place in a session.
    ParticipantId
);
identifier!(
    /// Participants who share one bank.
    GroupId
);

/// A session and its tenant: the key of every store, channel and row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    /// Whose session it is.
    pub tenant: TenantId,
    /// Its name within the tenant.
    pub session: SessionId,
}

impl fmt::Display for SessionKey {
    /// `<tenant>/<session>`; `/` stands in no identifier.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_written_in_its_five_groups() {
        let bytes = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes();
        assert_eq!(SessionId::from_uuid(bytes).as_str(), "01234567-89ab-cdef-0123-456789abcdef");
        assert!(is_valid(ParticipantId::from_uuid([0xff; 16]).as_str()));
    }

    #[test]
    fn ids_are_what_a_url_and_a_key_can_hold() {
        for good in ["a", "0", "white", "A.b:c_d-e", &"x".repeat(128)] {
            assert!(SessionId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "a/b", "a b", "ä", "a\n", &"x".repeat(129)] {
            assert_eq!(SessionId::new(bad), Err(InvalidId), "{bad}");
        }
    }
}
