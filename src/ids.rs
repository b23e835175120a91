//! Where identifiers and nonces come from: the operating system, or a seed in tests.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::{Builder, Uuid};

use crate::domain::chain::Digest;
use crate::domain::id::{ParticipantId, SessionId, TenantId};
use crate::domain::time::Timestamp;

/// The golden part of all numbers; odd, so that none comes twice.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A source of names that nobody else has.
#[derive(Debug, Default)]
pub enum Ids {
    /// From the operating system's randomness.
    #[default]
    Random,
    /// The same row of names each time, for tests.
    Seeded {
        /// What the row follows from.
        seed: u64,
        /// How many were given.
        given: AtomicU64,
    },
}

impl Ids {
    /// The row of names that follows from `seed`.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self::Seeded { seed, given: AtomicU64::new(0) }
    }

    /// A `UUIDv7` made at `now`: names sort by when they were made. Its text is valid
    /// as any identifier of the domain.
    #[must_use]
    pub fn uuid(&self, now: Timestamp) -> Uuid {
        let ms = u64::try_from(now.as_ms()).unwrap_or(0);
        Builder::from_unix_timestamp_millis(ms, &self.random()).into_uuid()
    }

    /// A name for a session whose caller gave none.
    #[must_use]
    pub fn session(&self, now: Timestamp) -> SessionId {
        SessionId::from_uuid(self.uuid(now).into_bytes())
    }

    /// A name for a participant whose caller gave none.
    #[must_use]
    pub fn participant(&self, now: Timestamp) -> ParticipantId {
        ParticipantId::from_uuid(self.uuid(now).into_bytes())
    }

    /// A number that tells one attempt from another: operations, connections.
    ///
    /// The system is asked once; from there on they are counted, in steps that spread over
    /// all numbers, so that those of two processes meet no sooner than random ones.
    #[must_use]
    pub fn nonce(&self) -> u64 {
        static FIRST: LazyLock<u64> = LazyLock::new(|| u64::from_be_bytes(front(&from_system())));
        static GIVEN: AtomicU64 = AtomicU64::new(0);
        match self {
            Self::Random => FIRST.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed).wrapping_mul(STEP)),
            Self::Seeded { .. } => u64::from_be_bytes(front(&self.random())),
        }
    }

    /// A name for a request that brings none: 16 hexadecimal digits.
    #[must_use]
    pub fn request(&self) -> String {
        format!("{:016x}", self.nonce())
    }

    fn random(&self) -> [u8; 10] {
        match self {
            Self::Random => from_system(),
            Self::Seeded { seed, given } => from_seed(*seed, given.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// The name of the session that a create with an idempotency key makes.
///
/// It follows from who asks and the key alone, so the repeat finds what the first one
/// made, on whichever instance it arrives. Nobody else's key leads to it: each part is
/// bound with its length.
#[must_use]
pub fn derived(tenant: &TenantId, subject: &str, key: &str) -> SessionId {
    let mut named = Vec::new();
    for part in ["create", tenant.as_str(), subject, key] {
        named.extend((part.len() as u64).to_be_bytes());
        named.extend(part.as_bytes());
    }
    SessionId::from_uuid(Builder::from_custom_bytes(front(Digest::of(&named).as_bytes())).into_uuid().into_bytes())
}

/// Ten bytes of a version 4 UUID, around those that hold its version and variant.
#[expect(clippy::disallowed_methods, reason = "the one place that asks the system for randomness")]
fn from_system() -> [u8; 10] {
    let bytes = Uuid::new_v4().into_bytes();
    let mut random = [0; 10];
    random[..6].copy_from_slice(&bytes[..6]);
    random[6..].copy_from_slice(&bytes[9..13]);
    random
}

fn from_seed(seed: u64, number: u64) -> [u8; 10] {
    front(Digest::of([seed.to_be_bytes(), number.to_be_bytes()].as_flattened()).as_bytes())
}

/// The first `N` of at least as many bytes.
fn front<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut front = [0; N];
    front.copy_from_slice(&bytes[..N]);
    front
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_767_225_600_000);

    #[test]
    fn a_name_is_a_uuid_of_its_instant() {
        for ids in [Ids::Random, Ids::seeded(1)] {
            let uuid = ids.uuid(NOW);
            assert_eq!(uuid.get_version_num(), 7);
            assert_eq!(uuid.get_timestamp().map(|at| at.to_unix().0), Some(1_767_225_600));
            assert_ne!(ids.uuid(NOW), ids.uuid(NOW));
            assert_ne!(ids.nonce(), ids.nonce());
            assert!(ids.session(NOW) < ids.session(NOW + 1));
        }
    }

    #[test]
    fn a_seed_gives_the_same_row_again() {
        let row = |seed| {
            let ids = Ids::seeded(seed);
            [ids.nonce(), ids.nonce(), ids.nonce()]
        };
        assert_eq!(row(7), row(7));
        assert_ne!(row(7), row(8));
    }

    #[test]
    fn a_derived_name_belongs_to_tenant_subject_and_key() {
        let name = |tenant, subject, key| derived(&TenantId::new(tenant).unwrap(), subject, key);
        let first = name("t", "s", "k");
        assert_eq!(first, name("t", "s", "k"));
        assert_eq!(first.as_str().len(), 36);
        for (tenant, subject, key) in
            [("u", "s", "k"), ("t", "x", "k"), ("t", "s", "l"), ("t", "sk", ""), ("ts", "", "k")]
        {
            assert_ne!(first, name(tenant, subject, key));
        }
    }
}
