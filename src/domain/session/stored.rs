//! The stored session: one JSON object that carries its format number.
//!
//! Fields at their default are omitted. That is most of them, so the store, the outbox and the ledger hold a third
//! of the bytes.

use serde::Deserialize;

use super::Session;

/// The newest format that this build reads and writes. It writes an older one while an
/// instance runs that cannot read this one.
pub const FORMAT: u16 = 1;

/// Why a stored session cannot be read here.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Another release wrote it; leave it alone.
    #[error("the session is stored in format {0}, newer than this release reads")]
    Newer(u16),
    /// It is no stored session.
    #[error("the stored session is damaged")]
    Damaged(#[from] serde_json::Error),
}

#[derive(Deserialize)]
struct Numbered {
    format: u16,
}

impl Session {
    /// The stored form, in the format that the session carries.
    pub fn stored(&self) -> Vec<u8> {
        let mut stored = Vec::with_capacity(1_024 + 256 * self.participants.len());
        // Every part is a number, a text or a map with text keys: it always serialises.
        let _ = serde_json::to_writer(&mut stored, self);
        stored
    }

    /// Reads the stored form of this and every earlier release.
    pub fn from_stored(stored: &[u8]) -> Result<Self, Unreadable> {
        match serde_json::from_slice::<Numbered>(stored)?.format {
            newer if newer > FORMAT => Err(Unreadable::Newer(newer)),
            _ => Ok(serde_json::from_slice(stored)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_of_a_newer_release_is_left_alone() {
        let newer = Session::from_stored(br#"{"format": 2, "anything": true}"#);
        assert!(matches!(newer, Err(Unreadable::Newer(2))));
        assert!(matches!(Session::from_stored(br#"{"format": 1}"#), Err(Unreadable::Damaged(_))));
        assert!(matches!(Session::from_stored(b"no session"), Err(Unreadable::Damaged(_))));
    }
}
