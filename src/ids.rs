//! Where identifiers and nonces come from: the operating system, or a seed in tests.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::{Builder, Uuid};

use crate::domain::chain::Digest;
use crate::domain::id::{ParticipantId, SessionId, TenantId};
use crate::domain::time::Timestamp;

/// The golden ratio of all numbers; odd, so that no number repeats.
const NONCE_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A source of unique identifiers.
#[derive(Debug, Default)]
pub enum Ids {
    /// From the operating system's randomness.
    #[default]
    Random,
    /// The same sequence each time, for tests.
    Seeded {
        /// The seed of the sequence.
        seed: u64,
        /// How many were made.
        count: AtomicU64,
    },
}

impl Ids {
    /// The sequence of `seed`.
    pub const fn seeded(seed: u64) -> Self {
        Self::Seeded { seed, count: AtomicU64::new(0) }
    }

    /// A `UUIDv7` of `now`: they sort by time. Its text is valid as any identifier of the
    /// domain.
    pub fn uuid(&self, now: Timestamp) -> Uuid {
        let ms = u64::try_from(now.as_ms()).unwrap_or(0);
        Builder::from_unix_timestamp_millis(ms, &self.random()).into_uuid()
    }

    /// An id for a session whose caller gave none.
    pub fn session(&self, now: Timestamp) -> SessionId {
        SessionId::from_uuid(self.uuid(now).into_bytes())
    }

    /// An id for a participant whose caller gave none.
    pub fn participant(&self, now: Timestamp) -> ParticipantId {
        ParticipantId::from_uuid(self.uuid(now).into_bytes())
    }

    /// A number that identifies an operation, a connection or an instance.
    ///
    /// The first is random; the next ones follow in steps that spread over all numbers, so that
    /// those of two processes collide no sooner than random ones.
    pub fn nonce(&self) -> u64 {
        static FIRST: LazyLock<u64> = LazyLock::new(|| u64::from_be_bytes(prefix(&from_system())));
        static COUNT: AtomicU64 = AtomicU64::new(0);
        match self {
            Self::Random => FIRST.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed).wrapping_mul(NONCE_STEP)),
            Self::Seeded { .. } => u64::from_be_bytes(prefix(&self.random())),
        }
    }

    /// An id for a request without one: 16 hexadecimal digits.
    pub fn request(&self) -> String {
        format!("{:016x}", self.nonce())
    }

    fn random(&self) -> [u8; 10] {
        match self {
            Self::Random => from_system(),
            Self::Seeded { seed, count } => from_seed(*seed, count.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// The id of the session that a create with an idempotency key makes.
///
/// It follows from the caller and the key alone, so a retry finds the session of the first
/// attempt, on any instance. No other caller's key gives the same id: each part is hashed
/// with its length.
pub fn derived(tenant: &TenantId, subject: &str, key: &str) -> SessionId {
    let mut bytes = Vec::new();
    for part in ["create", tenant.as_str(), subject, key] {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(part.as_bytes());
    }
    SessionId::from_uuid(Builder::from_custom_bytes(prefix(Digest::of(&bytes).as_bytes())).into_uuid().into_bytes())
}

/// Ten bytes of a version 4 UUID, without those that hold its version and variant.
#[expect(clippy::disallowed_methods, reason = "the one place that reads randomness of the system")]
fn from_system() -> [u8; 10] {
    let bytes = Uuid::new_v4().into_bytes();
    let mut random = [0; 10];
    random[..6].copy_from_slice(&bytes[..6]);
    random[6..].copy_from_slice(&bytes[9..13]);
    random
}

fn from_seed(seed: u64, number: u64) -> [u8; 10] {
    prefix(Digest::of([seed.to_be_bytes(), number.to_be_bytes()].as_flattened()).as_bytes())
}

/// The first `N` of at least as many bytes.
fn prefix<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut prefix = [0; N];
    prefix.copy_from_slice(&bytes[..N]);
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_767_225_600_000);

    #[test]
    fn an_id_is_a_uuid_of_its_instant() {
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
    fn a_seed_gives_the_same_sequence_again() {
        let sequence = |seed| {
            let ids = Ids::seeded(seed);
            [ids.nonce(), ids.nonce(), ids.nonce()]
        };
        assert_eq!(sequence(7), sequence(7));
        assert_ne!(sequence(7), sequence(8));
    }

    #[test]
    fn a_derived_id_belongs_to_tenant_subject_and_key() {
        let id = |tenant, subject, key| derived(&TenantId::new(tenant).unwrap(), subject, key);
        let first = id("t", "s", "k");
        assert_eq!(first, id("t", "s", "k"));
        assert_eq!(first.as_str().len(), 36);
        for (tenant, subject, key) in
            [("u", "s", "k"), ("t", "x", "k"), ("t", "s", "l"), ("t", "sk", ""), ("ts", "", "k")]
        {
            assert_ne!(first, id(tenant, subject, key));
        }
    }
}
