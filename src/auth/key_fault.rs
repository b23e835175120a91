//! Why a key of a set is not used, and how many there are of each kind.

use std::collections::BTreeMap;

/// Why a key is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum KeyFault {
    /// A key below its least size, or a secret that can be guessed.
    #[error(
        "a key that is too weak: RSA has 2048 to 8192 bits; a secret has at least 32 bytes, 8 of them different ones"
    )]
    Weak,
    /// A key that is not what its kind says, such as a short Ed25519 key.
    #[error("a key that is not valid for its kind")]
    Invalid,
    /// Another kind of key, curve or algorithm.
    #[error("a key of another kind: RS256, ES256 and EdDSA (Ed25519) are known")]
    Unsupported,
    /// A key that encrypts.
    #[error("a key that is not for signatures")]
    OtherUse,
    /// A shared secret at an address.
    #[error("a shared secret: it must not come from an address")]
    SharedSecret,
    /// A private key, which whoever can read it can sign with.
    #[error("a private key: only the public one belongs there")]
    PrivateKey,
    /// Several keys under one `kid`.
    #[error("several keys under one kid and algorithm")]
    Duplicate,
    /// One more than is kept.
    #[error("more keys than are kept")]
    TooMany,
}

impl KeyFault {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Weak,
        Self::Invalid,
        Self::Unsupported,
        Self::OtherUse,
        Self::SharedSecret,
        Self::PrivateKey,
        Self::Duplicate,
        Self::TooMany,
    ];

    /// The reason, as the metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Weak => "weak",
            Self::Invalid => "invalid",
            Self::Unsupported => "unsupported",
            Self::OtherUse => "other_use",
            Self::SharedSecret => "shared_secret",
            Self::PrivateKey => "private_key",
            Self::Duplicate => "duplicate",
            Self::TooMany => "too_many",
        }
    }
}

/// How many keys were left out, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyFaultCounts(BTreeMap<KeyFault, usize>);

impl KeyFaultCounts {
    /// Counts a key.
    pub fn add(&mut self, why: KeyFault) {
        self.add_all(why, 1);
    }

    /// Counts several keys.
    pub fn add_all(&mut self, why: KeyFault, keys: usize) {
        if keys > 0 {
            *self.0.entry(why).or_default() += keys;
        }
    }

    /// How many were left out for that reason.
    pub fn of(&self, why: KeyFault) -> usize {
        self.0.get(&why).copied().unwrap_or(0)
    }

    /// How many were left out.
    pub fn total(&self) -> usize {
        self.0.values().sum()
    }
}

/// As in `2 weak, 1 duplicate`.
impl std::fmt::Display for KeyFaultCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, (why, keys)) in self.0.iter().enumerate() {
            let before = if place == 0 { "" } else { ", " };
            write!(f, "{before}{keys} {}", why.as_str())?;
        }
        Ok(())
    }
}
