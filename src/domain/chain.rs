//! Every change is a link: position, previous digest, digest of the body, instant.
//!
//! A missing or altered link shows, even where the body it stands for was shed.

use std::fmt;
use std::str::FromStr;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::position::Position;
use super::time::Timestamp;

/// A SHA-256 digest, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; 32]);

/// Why a text is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 hexadecimal digits")]
pub struct InvalidDigest;

impl Digest {
    /// The predecessor that the first link of a session names.
    pub const NONE: Self = Self([0; 32]);

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut of = [0; 32];
        of.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(of)
    }

    /// The digest as stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A digest read back from storage.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, InvalidDigest> {
        bytes.try_into().map(Self).map_err(|_| InvalidDigest)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;
    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;
    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        if text.len() != 64 || !text.is_ascii() {
            return Err(InvalidDigest);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| InvalidDigest)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| InvalidDigest)?;
        }
        Ok(Self(bytes))
    }
}

/// One change, bound to the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The position the change made.
    pub position: Position,
    /// When it happened.
    pub at: Timestamp,
    /// Digest of the link before; [`Digest::NONE`] for the first.
    pub previous: Digest,
    /// Digest of the stored body.
    pub body: Digest,
}

impl Link {
    /// The predecessor that the next link names.
    pub fn digest(&self) -> Digest {
        let Self { position, at, previous, body } = self;
        let numbers = [position.epoch.to_be_bytes(), position.version.to_be_bytes(), at.as_ms().to_be_bytes()];
        Digest::of(&[numbers.as_flattened(), &previous.0, &body.0].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(version: u64, previous: Digest) -> Link {
        Link {
            position: Position { epoch: 5, version },
            at: Timestamp::from_ms(9),
            previous,
            body: Digest::of(b"body"),
        }
    }

    #[test]
    fn any_changed_part_changes_the_digest() {
        let first = link(1, Digest::NONE);
        let digest = first.digest();
        assert_eq!(digest, link(1, Digest::NONE).digest());
        assert_ne!(digest, link(2, Digest::NONE).digest());
        assert_ne!(digest, link(1, digest).digest());
        assert_ne!(digest, Link { at: Timestamp::from_ms(8), ..first }.digest());
        assert_ne!(digest, Link { body: Digest::of(b"bodz"), ..first }.digest());
    }

    #[test]
    fn a_digest_survives_its_text() {
        let digest = Digest::of(b"x");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!("zz".parse::<Digest>(), Err(InvalidDigest));
        assert_eq!("é".repeat(32).parse::<Digest>(), Err(InvalidDigest));
    }
}
